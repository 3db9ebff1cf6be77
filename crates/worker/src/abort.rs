//! Giving a task up. No message alone does that: what came over an authenticated way counts, unless the chain shows that a reveal is
//! still owed, because then the worker would lose its stake; what came over an open way counts only if the chain agrees.

use alloy_primitives::B256;
use chain::outbox::Stage;
use poco::status::{ChainContributionStatus, ChainTaskStatus};
use poco::units::Timestamp;
use wire::status::{ReplicateStatus, ReplicateStatusCause as Cause};

use crate::description::seconds;
use crate::journal::{Journal, Outcome, Step};
use crate::pipeline::Notice;
use crate::pipeline::work::{Acted, Work};
use crate::{clock, complete, patience};

/// Where a notice came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The scheduler's answer to a report of ours.
    Answer,
    /// The WebSocket, opened with our token.
    Events,
    /// The scheduler's list of interrupted work, asked for with our token.
    Recovery,
    /// What this worker saw on the chain itself.
    OwnWatch,
    /// A topic that anybody could write to.
    OpenTopic,
}

/// What the chain says about a task that is to be given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stakes {
    status: ChainTaskStatus,
    consensus: B256,
    contribution_deadline: Timestamp,
    reveal_deadline: Timestamp,
    final_deadline: Timestamp,
    own: Option<(ChainContributionStatus, B256)>,
}

/// Whether the task may be given up because of `notice`.
pub(crate) async fn is_confirmed(work: &Work, journal: &Journal, notice: &Notice) -> bool {
    let authenticated = notice.source != Source::OpenTopic;
    if authenticated && journal.step < Step::Contribute {
        return true;
    }
    match stakes(work, journal).await {
        Some(Some(stakes)) => {
            let now = clock::now();
            // What is handed over to the outbox cannot be called back: mined after the result was thrown away, it costs the stake (Q23).
            may_give_up(&stakes, authenticated, now)
                && (is_over(&stakes, now) || !is_under_way(work, journal).await)
        }
        // The chain has no such task: there is nothing to lose.
        Some(None) => true,
        // Not known: the watch over the task asks again.
        None => false,
    }
}

/// Whether a transaction of this task may still be mined; so it is, too, where the outbox cannot tell.
async fn is_under_way(work: &Work, journal: &Journal) -> bool {
    let Some(key) = &journal.transaction else {
        return false;
    };
    match work.shared.outbox.find(key).await {
        Ok(record) => record.is_some_and(|record| !matches!(record.stage, Stage::Settled { .. })),
        Err(error) => {
            tracing::warn!(task = %work.task, key, %error, "the outbox does not say whether a transaction is under way");
            true
        }
    }
}

async fn stakes(work: &Work, journal: &Journal) -> Option<Option<Stakes>> {
    let (shared, wallet) = (&work.shared, work.shared.session.wallet());
    let Some(task) =
        patience::read("task", shared.block_time, || shared.hub.task(work.task)).await?
    else {
        return Some(None);
    };
    // A node that is behind may not have a contribution that we know of.
    let own = if task.contributors.contains(&wallet) || journal.transaction.is_some() {
        patience::read("contribution", shared.block_time, || {
            shared.hub.contribution(work.task, wallet)
        })
        .await?
    } else {
        None
    };
    Some(Some(Stakes {
        status: ChainTaskStatus::try_from(task.status).ok()?,
        consensus: task.consensusValue,
        contribution_deadline: seconds(task.contributionDeadline),
        reveal_deadline: seconds(task.revealDeadline),
        final_deadline: seconds(task.finalDeadline),
        own: own.and_then(|own| {
            Some((
                ChainContributionStatus::try_from(own.status).ok()?,
                own.resultHash,
            ))
        }),
    }))
}

fn is_over(stakes: &Stakes, now: Timestamp) -> bool {
    stakes.status.is_final() || now >= stakes.final_deadline
}

fn may_give_up(stakes: &Stakes, authenticated: bool, now: Timestamp) -> bool {
    if is_over(stakes, now) {
        return true;
    }
    let revealing = stakes.status == ChainTaskStatus::Revealing;
    match stakes.own {
        Some((ChainContributionStatus::Contributed, hash)) => {
            let lost = revealing && (hash != stakes.consensus || now >= stakes.reveal_deadline);
            lost || (stakes.status == ChainTaskStatus::Active
                && now >= stakes.contribution_deadline)
        }
        // Nothing of ours can be lost: who may tell us so decides, or the chain, where nothing can be contributed any more.
        Some(_) => authenticated,
        None => authenticated || revealing || now >= stakes.contribution_deadline,
    }
}

/// Stops, cleans up, and says so.
pub(crate) async fn abort(work: &Work, journal: &Journal) -> Acted {
    if let Some(container) = &journal.container
        && let Err(error) = work.shared.engine.stop(container).await
    {
        tracing::warn!(task = %work.task, container, %error, "a container does not stop");
    }
    complete::clean(work, journal).await;
    let cause = journal.abort_cause.clone().unwrap_or(Cause::Unknown);
    Outcome::because(ReplicateStatus::Aborted, cause).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: B256 = B256::repeat_byte(1);
    const THEIRS: B256 = B256::repeat_byte(2);

    fn stakes(status: ChainTaskStatus, own: Option<ChainContributionStatus>) -> Stakes {
        Stakes {
            status,
            consensus: OURS,
            contribution_deadline: Timestamp(70),
            reveal_deadline: Timestamp(90),
            final_deadline: Timestamp(100),
            own: own.map(|status| (status, OURS)),
        }
    }

    #[test]
    fn nobody_makes_us_give_up_a_reveal_that_is_owed() {
        // Q23: the original deletes the result whose transaction may still be mined.
        let owed = stakes(
            ChainTaskStatus::Revealing,
            Some(ChainContributionStatus::Contributed),
        );
        assert!(!may_give_up(&owed, true, Timestamp(50)));
        assert!(may_give_up(&owed, true, Timestamp(90)));
        assert!(may_give_up(
            &Stakes {
                consensus: THEIRS,
                ..owed
            },
            false,
            Timestamp(50)
        ));
    }

    #[test]
    fn a_contribution_that_may_still_win_is_kept_until_the_contribution_deadline() {
        let waiting = stakes(
            ChainTaskStatus::Active,
            Some(ChainContributionStatus::Contributed),
        );
        assert!(!may_give_up(&waiting, true, Timestamp(69)));
        assert!(may_give_up(&waiting, true, Timestamp(70)));
    }

    #[test]
    fn an_open_message_alone_gives_nothing_up() {
        let computing = stakes(ChainTaskStatus::Active, None);
        assert!(!may_give_up(&computing, false, Timestamp(50)));
        assert!(may_give_up(&computing, true, Timestamp(50)));
        let decided = stakes(ChainTaskStatus::Revealing, None);
        assert!(may_give_up(&decided, false, Timestamp(50)));
    }

    #[test]
    fn a_task_that_is_over_on_chain_is_given_up_whoever_says_so() {
        for status in [ChainTaskStatus::Completed, ChainTaskStatus::Failed] {
            assert!(may_give_up(
                &stakes(status, Some(ChainContributionStatus::Proved)),
                false,
                Timestamp(0)
            ));
        }
        assert!(may_give_up(
            &stakes(ChainTaskStatus::Active, None),
            false,
            Timestamp(100)
        ));
    }
}
