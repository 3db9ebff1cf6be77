//! Watching the chain over a task that waits. With a scheduler that pushes this is only a safety net for a notice that was lost (Q20); with
//! one that does not, it is how this worker learns that a reveal is due or the task is over. A request to upload cannot be seen on the
//! chain: it needs the push.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use alloy_primitives::B256;
use poco::status::ChainTaskStatus;
use poco::units::Timestamp;
use wire::message::TaskNotificationExtra;
use wire::status::{ReplicateStatus, TaskAbortCause, TaskNotificationType as Ask};

use super::Notice;
use super::work::Work;
use crate::abort::Source;
use crate::clock;
use crate::description::seconds;
use crate::journal::{Journal, Step};

/// How long after the final deadline a task is forgotten.
const MARGIN: Duration = Duration::from_secs(120);
/// How often the chain is asked where the scheduler pushes.
const SLOW: Duration = Duration::from_secs(30);

/// One task's watch. Made anew for every wait.
pub(super) struct Watch {
    work: Arc<Work>,
    journal: Journal,
    seen: u32,
}

/// What the chain has.
#[derive(Debug, Clone, Copy)]
struct Seen {
    status: ChainTaskStatus,
    consensus: B256,
    contribution_deadline: Timestamp,
    reveal_deadline: Timestamp,
    final_deadline: Timestamp,
}

/// What is to be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Wait,
    Reveal,
    Complete,
    Abort(TaskAbortCause),
}

impl Watch {
    pub(super) fn new(work: Arc<Work>, journal: Journal) -> Self {
        Self {
            work,
            journal,
            seen: 0,
        }
    }

    /// The next thing that the chain shows to be due.
    pub(super) async fn next(&mut self) -> Notice {
        loop {
            let pushed = self.work.shared.pushed.load(Ordering::Relaxed);
            tokio::time::sleep(if pushed {
                SLOW
            } else {
                self.work.shared.block_time.max(Duration::from_secs(1))
            })
            .await;
            let Ok(Some(task)) = self.work.shared.hub.task(self.work.task).await else {
                continue;
            };
            let Ok(status) = ChainTaskStatus::try_from(task.status) else {
                continue;
            };
            let seen = Seen {
                status,
                consensus: task.consensusValue,
                contribution_deadline: seconds(task.contributionDeadline),
                reveal_deadline: seconds(task.revealDeadline),
                final_deadline: seconds(task.finalDeadline),
            };
            let verdict = judge(&self.journal, &seen, clock::now());
            self.seen = if verdict == Verdict::Wait {
                0
            } else {
                self.seen + 1
            };
            // Where the scheduler pushes its word comes first; it is late when the chain has shown the same thing twice.
            if verdict == Verdict::Wait || (pushed && self.seen < 2) {
                continue;
            }
            if let Some(notice) = self.notice(verdict).await {
                tracing::info!(task = %self.work.task, ask = %notice.ask, "the chain shows what to do next");
                return notice;
            }
        }
    }

    async fn notice(&self, verdict: Verdict) -> Option<Notice> {
        let (ask, extra) = match verdict {
            Verdict::Wait => return None,
            Verdict::Reveal => {
                let block_number = self.work.shared.head().await?.0;
                (
                    Ask::PleaseReveal,
                    TaskNotificationExtra {
                        block_number,
                        ..TaskNotificationExtra::default()
                    },
                )
            }
            Verdict::Complete => (Ask::PleaseComplete, TaskNotificationExtra::default()),
            Verdict::Abort(cause) => (
                Ask::PleaseAbort,
                TaskNotificationExtra {
                    task_abort_cause: Some(cause),
                    ..TaskNotificationExtra::default()
                },
            ),
        };
        Some(Notice {
            ask,
            extra: Some(extra),
            source: Source::OwnWatch,
        })
    }
}

fn judge(journal: &Journal, seen: &Seen, now: Timestamp) -> Verdict {
    use TaskAbortCause::{ConsensusReached, ContributionTimeout, Unknown};
    if journal.step == Step::ContributeAndFinalize {
        return judge_alone(journal, seen, now);
    }
    let revealed = journal.step >= Step::Reveal;
    let failed =
        journal.step == Step::Reveal && journal.reported == Some(ReplicateStatus::RevealFailed);
    let ours = journal
        .digest
        .map(|digest| poco::contribution::result_hash(journal.task, digest));
    match seen.status {
        ChainTaskStatus::Completed if revealed => Verdict::Complete,
        ChainTaskStatus::Completed => Verdict::Abort(ConsensusReached),
        ChainTaskStatus::Failed => Verdict::Abort(Unknown),
        _ if now >= seen.final_deadline.saturating_add(MARGIN) => Verdict::Abort(Unknown),
        // A reveal that failed, for a node that was away or a scheduler that did not want to hear of it, is owed as long as it is taken.
        ChainTaskStatus::Revealing if failed && now < seen.reveal_deadline => {
            if ours == Some(seen.consensus) {
                Verdict::Reveal
            } else {
                Verdict::Wait
            }
        }
        ChainTaskStatus::Revealing if !revealed => {
            if ours == Some(seen.consensus) && journal.step == Step::Contribute {
                Verdict::Reveal
            } else {
                Verdict::Abort(ConsensusReached)
            }
        }
        ChainTaskStatus::Active if now >= seen.contribution_deadline.saturating_add(MARGIN) => {
            Verdict::Abort(ContributionTimeout)
        }
        _ => Verdict::Wait,
    }
}

/// What is due for a task that was finished with one transaction, or was to be.
fn judge_alone(journal: &Journal, seen: &Seen, now: Timestamp) -> Verdict {
    use TaskAbortCause::{ConsensusReached, ContributionTimeout, Unknown};
    let done = journal.reported == Some(ReplicateStatus::ContributeAndFinalizeDone);
    match seen.status {
        ChainTaskStatus::Completed if done => Verdict::Complete,
        // Somebody else's work.
        ChainTaskStatus::Completed | ChainTaskStatus::Revealing => Verdict::Abort(ConsensusReached),
        ChainTaskStatus::Failed => Verdict::Abort(Unknown),
        // The chain may have dropped its block: it comes back as long as contributions are taken.
        _ if now >= seen.contribution_deadline.saturating_add(MARGIN) => {
            Verdict::Abort(ContributionTimeout)
        }
        _ => Verdict::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Phase;
    use crate::recovery::tests::journal_at;

    const DIGEST: B256 = B256::repeat_byte(0x33);

    fn journal(step: Step) -> Journal {
        Journal {
            digest: Some(DIGEST),
            ..journal_at(step, Phase::Told(Ask::PleaseWait))
        }
    }

    fn seen(status: ChainTaskStatus, consensus: B256) -> Seen {
        Seen {
            status,
            consensus,
            contribution_deadline: Timestamp::from_secs(1000),
            reveal_deadline: Timestamp::from_secs(1500),
            final_deadline: Timestamp::from_secs(2000),
        }
    }

    #[test]
    fn a_consensus_on_our_result_is_revealed_also_when_nobody_tells_us() {
        let journal = journal(Step::Contribute);
        let ours = poco::contribution::result_hash(journal.task, DIGEST);
        assert_eq!(
            judge(
                &journal,
                &seen(ChainTaskStatus::Revealing, ours),
                Timestamp(0)
            ),
            Verdict::Reveal
        );
        let theirs = seen(ChainTaskStatus::Revealing, B256::repeat_byte(9));
        assert_eq!(
            judge(&journal, &theirs, Timestamp(0)),
            Verdict::Abort(TaskAbortCause::ConsensusReached)
        );
    }

    #[test]
    fn a_reveal_that_failed_is_tried_again_until_its_deadline() {
        let journal = Journal {
            reported: Some(ReplicateStatus::RevealFailed),
            ..journal(Step::Reveal)
        };
        let ours = poco::contribution::result_hash(journal.task, DIGEST);
        let revealing = seen(ChainTaskStatus::Revealing, ours);
        let at = |seconds| judge(&journal, &revealing, Timestamp::from_secs(seconds));
        assert_eq!(at(1499), Verdict::Reveal);
        assert_eq!(at(1500), Verdict::Wait);
        assert_eq!(
            crate::pipeline::table::receive(&journal, Ask::PleaseReveal),
            crate::pipeline::table::Reception::Begin(Step::Reveal)
        );
    }

    #[test]
    fn a_task_that_waits_is_left_alone_until_its_deadlines() {
        let active = seen(ChainTaskStatus::Active, B256::ZERO);
        assert_eq!(
            judge(
                &journal(Step::Contribute),
                &active,
                Timestamp::from_secs(1100)
            ),
            Verdict::Wait
        );
        let late = judge(
            &journal(Step::Contribute),
            &active,
            Timestamp::from_secs(1120),
        );
        assert_eq!(late, Verdict::Abort(TaskAbortCause::ContributionTimeout));
        let revealing = seen(ChainTaskStatus::Revealing, B256::repeat_byte(9));
        assert_eq!(
            judge(
                &journal(Step::Reveal),
                &revealing,
                Timestamp::from_secs(1999)
            ),
            Verdict::Wait
        );
        assert_eq!(
            judge(
                &journal(Step::Reveal),
                &revealing,
                Timestamp::from_secs(2120)
            ),
            Verdict::Abort(TaskAbortCause::Unknown)
        );
    }

    #[test]
    fn a_task_finished_with_one_transaction_is_cleaned_up_and_one_that_others_finished_given_up() {
        let ours = Journal {
            reported: Some(ReplicateStatus::ContributeAndFinalizeDone),
            ..journal(Step::ContributeAndFinalize)
        };
        let at = |journal: &Journal, status, seconds| {
            let seen = seen(status, B256::ZERO);
            judge(journal, &seen, Timestamp::from_secs(seconds))
        };
        let theirs = journal(Step::ContributeAndFinalize);
        let lost = Verdict::Abort(TaskAbortCause::ConsensusReached);
        assert_eq!(at(&ours, ChainTaskStatus::Completed, 0), Verdict::Complete);
        assert_eq!(at(&theirs, ChainTaskStatus::Completed, 0), lost);
        assert_eq!(at(&ours, ChainTaskStatus::Revealing, 0), lost);
        // Its block was dropped, and it waits to be mined again.
        assert_eq!(at(&ours, ChainTaskStatus::Active, 1100), Verdict::Wait);
        assert_eq!(
            at(&ours, ChainTaskStatus::Active, 1120),
            Verdict::Abort(TaskAbortCause::ContributionTimeout)
        );
    }

    #[test]
    fn a_completed_task_is_cleaned_up_also_when_the_notice_was_lost() {
        // Q20
        let completed = seen(ChainTaskStatus::Completed, B256::ZERO);
        assert_eq!(
            judge(&journal(Step::Upload), &completed, Timestamp(0)),
            Verdict::Complete
        );
        assert_eq!(
            judge(&journal(Step::Reveal), &completed, Timestamp(0)),
            Verdict::Complete
        );
    }
}
