//! Sending the reveal (spec `worker.md` §5.5): when the chain has reached the block of consensus and says that this worker's result won.
//! Bounded by the task's deadlines (Q22), and never told as failed while it may be mined (Q23).

use alloy_primitives::{Address, B256, Bytes};
use alloy_sol_types::SolCall;
use chain::{GasPolicy, Outcome as Sent};
use poco::contracts::{Hub as Abi, Task};
use poco::ids::TaskId;
use poco::status::{ChainContributionStatus, ChainTaskStatus};
use poco::units::Timestamp;
use wire::message::ChainReceipt;
use wire::status::{ReplicateStatus, ReplicateStatusCause as Cause};

use crate::clock;
use crate::contribute;
use crate::description::seconds;
use crate::journal::{Journal, Outcome};
use crate::patience::{self, Pauses};
use crate::pipeline::work::{Acted, Work};

/// The original's fixed gas limit, kept as the least (Q59).
const GAS_FLOOR: u64 = 100_000;

/// Reveals, or finds that it was done.
pub(crate) async fn reveal(work: &Work, journal: &Journal) -> Acted {
    match try_reveal(work, journal).await {
        Ok(receipt) => contribute::done(ReplicateStatus::Revealed, receipt),
        Err(cause) => Outcome::because(ReplicateStatus::RevealFailed, cause).into(),
    }
}

/// What the chain says about revealing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It is due, until then.
    Due(Timestamp),
    /// It is done.
    Done,
    /// It cannot be.
    Cannot,
}

async fn try_reveal(work: &Work, journal: &Journal) -> Result<ChainReceipt, Cause> {
    let block = journal
        .consensus_block
        .ok_or(Cause::ConsensusBlockMissing)?;
    let digest = journal.digest.ok_or(Cause::DeterminismHashNotFound)?;
    let key = format!("reveal:{}", work.task);
    let call = Abi::revealCall {
        taskid: work.task.0,
        resultDigest: digest,
    };
    let calldata: Bytes = call.abi_encode().into();
    let mut refused = 0;
    loop {
        let deadline = match due(work, digest, block).await? {
            Standing::Done => return contribute::receipt(work, &key, None).await,
            Standing::Cannot => return Err(Cause::CannotReveal),
            Standing::Due(deadline) => deadline,
        };
        let gas = GasPolicy::estimated().at_least(GAS_FLOOR);
        let sent = contribute::send(
            work,
            &key,
            calldata.clone(),
            gas,
            deadline,
            digest,
            |work, digest| Box::pin(is_done(work, digest)),
        )
        .await;
        match sent {
            Some(Sent::Mined { receipt }) => {
                return contribute::receipt(work, &key, Some(&receipt)).await;
            }
            other if standing(work, digest).await == Some(Standing::Done) => {
                tracing::info!(task = %work.task, ?other, "the reveal is on chain although its transaction seemed to fail");
                return contribute::receipt(work, &key, None).await;
            }
            // The chain may have taken back what the reveal stands on. What was sent comes again, and the reveal after it.
            Some(Sent::Refused { reason }) if refused < contribute::MOST_REFUSED => {
                refused += 1;
                tracing::info!(task = %work.task, %reason, "the reveal was refused; looking at the chain again");
                tokio::time::sleep(work.shared.block_time).await;
            }
            other => {
                tracing::warn!(task = %work.task, outcome = ?other, "the reveal was not taken");
                return Err(if work.shared.has_gas_now().await {
                    Cause::ChainReceiptNotValid
                } else {
                    Cause::OutOfGas
                });
            }
        }
    }
}

/// Waits until the node has the block of consensus, for as long as there is something to reveal (Q22).
async fn wait_for_block(work: &Work, block: u64) -> Result<(), Cause> {
    let description = work.description().await?;
    let mut pauses = Pauses::between(work.shared.block_time, work.shared.block_time * 4);
    let shared = &work.shared;
    let (mut until, mut looks) = (None, 0);
    loop {
        let head = shared.head_within(shared.block_time / 2).await;
        if head.is_some_and(|head| head.0 >= block) {
            return Ok(());
        }
        // Most often it is there with one of the next blocks.
        if looks > 4 && until.is_none() {
            let known = task(work).await.map(|task| seconds(task.revealDeadline));
            // Before the consensus there is no such deadline.
            until = known.filter(|deadline| deadline.millis() > 0);
        }
        let until = until.unwrap_or(description.final_deadline);
        if !pauses.rest(Some(until)).await {
            return Err(Cause::BlockNotReached);
        }
        looks += 1;
    }
}

async fn is_done(work: &Work, digest: B256) -> Option<bool> {
    Some(standing(work, digest).await? == Standing::Done)
}

/// What is so once the node has the block of consensus. A node that shows the consensus has its block; it is asked for the block where it
/// does not.
async fn due(work: &Work, digest: B256, block: u64) -> Result<Standing, Cause> {
    if work.shared.newest.block().is_none()
        && let Some(standing @ (Standing::Due(_) | Standing::Done)) =
            standing_by_task(work, digest).await
    {
        return Ok(standing);
    }
    wait_for_block(work, block).await?;
    settled(work, digest).await
}

/// Asks a few times: a node of a group may not have the consensus yet. A chain that does not answer has said nothing: it is asked until
/// the task is over.
async fn settled(work: &Work, digest: B256) -> Result<Standing, Cause> {
    let deadline = work.description().await?.final_deadline;
    let mut pauses = Pauses::between(work.shared.block_time, work.shared.block_time * 4);
    let mut refused = 0;
    loop {
        match standing_by_task(work, digest).await {
            Some(Standing::Cannot) if refused == 2 => return Ok(Standing::Cannot),
            Some(Standing::Cannot) => {
                refused += 1;
                tokio::time::sleep(work.shared.block_time * 6).await;
            }
            Some(other) => return Ok(other),
            None if pauses.rest(Some(deadline)).await => {}
            None => return Err(Cause::ChainUnreachable),
        }
    }
}

/// What the chain says, asked for the task alone where that is enough.
async fn standing_by_task(work: &Work, digest: B256) -> Option<Standing> {
    let task = task(work).await?;
    let wallet = work.shared.session.wallet();
    match due_by_task(&task, work.task, wallet, digest, clock::now()) {
        Some(deadline) => Some(Standing::Due(deadline)),
        None => standing_in(&task, work, digest).await,
    }
}

async fn standing(work: &Work, digest: B256) -> Option<Standing> {
    standing_in(&task(work).await?, work, digest).await
}

async fn task(work: &Work) -> Option<Task> {
    let shared = &work.shared;
    patience::read("task", shared.block_time, || shared.hub.task(work.task)).await?
}

/// Until when the reveal is due, if the task alone shows that it is: our result won, this wallet contributed, and nobody has revealed yet.
/// What the wallet contributed is not asked for: a reveal of something else the contract refuses before it is sent.
fn due_by_task(
    task: &Task,
    id: TaskId,
    wallet: Address,
    digest: B256,
    now: Timestamp,
) -> Option<Timestamp> {
    let deadline = seconds(task.revealDeadline);
    let due = task.status == ChainTaskStatus::Revealing as u8
        && task.consensusValue == poco::contribution::result_hash(id, digest)
        && task.contributors.contains(&wallet)
        && task.revealCounter.is_zero()
        && now < deadline;
    due.then_some(deadline)
}

async fn standing_in(task: &Task, work: &Work, digest: B256) -> Option<Standing> {
    let (shared, wallet) = (&work.shared, work.shared.session.wallet());
    let own = patience::read("contribution", shared.block_time, || {
        shared.hub.contribution(work.task, wallet)
    })
    .await?;
    let Some(own) = own else {
        return Some(Standing::Cannot);
    };
    let facts = RevealFacts {
        task_status: ChainTaskStatus::try_from(task.status).ok()?,
        consensus: task.consensusValue,
        deadline: seconds(task.revealDeadline),
        own_status: ChainContributionStatus::try_from(own.status).ok()?,
        own_hash: own.resultHash,
        own_seal: own.resultSeal,
    };
    Some(judge(&facts, work.task, wallet, digest, clock::now()))
}

/// What the chain has.
#[derive(Debug, Clone, Copy)]
struct RevealFacts {
    task_status: ChainTaskStatus,
    consensus: B256,
    deadline: Timestamp,
    own_status: ChainContributionStatus,
    own_hash: B256,
    own_seal: B256,
}

/// The conditions of spec `worker.md` §5.5, `canReveal`.
fn judge(
    facts: &RevealFacts,
    task: TaskId,
    wallet: Address,
    digest: B256,
    now: Timestamp,
) -> Standing {
    let ours = facts.own_hash == poco::contribution::result_hash(task, digest)
        && facts.own_seal == poco::contribution::result_seal(wallet, task, digest);
    match facts.own_status {
        ChainContributionStatus::Proved if ours => Standing::Done,
        ChainContributionStatus::Contributed
            if ours
                && facts.task_status == ChainTaskStatus::Revealing
                && facts.own_hash == facts.consensus
                && now < facts.deadline =>
        {
            Standing::Due(facts.deadline)
        }
        _ => Standing::Cannot,
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::U256;

    use super::*;

    const TASK: TaskId = TaskId(B256::repeat_byte(0x11));
    const DIGEST: B256 = B256::repeat_byte(0x33);

    fn wallet() -> Address {
        Address::repeat_byte(0x22)
    }

    fn facts() -> RevealFacts {
        let hash = poco::contribution::result_hash(TASK, DIGEST);
        RevealFacts {
            task_status: ChainTaskStatus::Revealing,
            consensus: hash,
            deadline: Timestamp(100),
            own_status: ChainContributionStatus::Contributed,
            own_hash: hash,
            own_seal: poco::contribution::result_seal(wallet(), TASK, DIGEST),
        }
    }

    fn judged(facts: &RevealFacts, now: u64) -> Standing {
        judge(facts, TASK, wallet(), DIGEST, Timestamp(now))
    }

    #[test]
    fn a_reveal_is_due_when_our_result_won_and_the_deadline_has_not_passed() {
        assert_eq!(judged(&facts(), 99), Standing::Due(Timestamp(100)));
        assert_eq!(judged(&facts(), 100), Standing::Cannot);
    }

    #[test]
    fn each_condition_that_is_not_met_forbids_the_reveal() {
        let other = B256::repeat_byte(9);
        let rows = [
            RevealFacts {
                task_status: ChainTaskStatus::Active,
                ..facts()
            },
            RevealFacts {
                consensus: other,
                ..facts()
            },
            RevealFacts {
                own_hash: other,
                consensus: other,
                ..facts()
            },
            RevealFacts {
                own_seal: other,
                ..facts()
            },
            RevealFacts {
                own_status: ChainContributionStatus::Rejected,
                ..facts()
            },
        ];
        for row in rows {
            assert_eq!(judged(&row, 0), Standing::Cannot, "{row:?}");
        }
    }

    #[test]
    fn the_task_alone_shows_a_reveal_that_is_due_until_somebody_reveals() {
        let task = Task {
            status: ChainTaskStatus::Revealing as u8,
            consensusValue: poco::contribution::result_hash(TASK, DIGEST),
            revealDeadline: U256::from(100),
            contributors: vec![Address::repeat_byte(1), wallet()],
            ..Task::default()
        };
        let due =
            |task: &Task, now| due_by_task(task, TASK, wallet(), DIGEST, Timestamp::from_secs(now));
        assert_eq!(due(&task, 99), Some(Timestamp::from_secs(100)));
        assert_eq!(due(&task, 100), None);
        let rows = [
            Task {
                status: ChainTaskStatus::Active as u8,
                ..task.clone()
            },
            Task {
                consensusValue: B256::repeat_byte(9),
                ..task.clone()
            },
            Task {
                contributors: vec![Address::repeat_byte(1)],
                ..task.clone()
            },
            // Ours may be the one.
            Task {
                revealCounter: U256::from(1),
                ..task
            },
        ];
        for row in rows {
            assert_eq!(due(&row, 0), None, "{row:?}");
        }
    }

    #[test]
    fn a_reveal_that_is_on_chain_is_done_whatever_became_of_the_task_since() {
        let facts = RevealFacts {
            own_status: ChainContributionStatus::Proved,
            task_status: ChainTaskStatus::Completed,
            ..facts()
        };
        assert_eq!(judged(&facts, 1_000), Standing::Done);
    }
}
