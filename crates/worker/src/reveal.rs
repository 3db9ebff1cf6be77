//! Sending the reveal (spec `worker.md` §5.5): when the chain has reached the block of consensus and says that this worker's result won.
//! Bounded by the task's deadlines (Q22), and never told as failed while it may be mined (Q23).

use alloy_primitives::{Address, B256};
use alloy_sol_types::SolCall;
use chain::{GasPolicy, Outcome as Sent};
use poco::contracts::Hub as Abi;
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
    wait_for_block(work, block).await?;
    let deadline = match due(work, digest).await? {
        Standing::Done => return contribute::receipt(work, &key, None).await,
        Standing::Cannot => return Err(Cause::CannotReveal),
        Standing::Due(deadline) => deadline,
    };
    let call = Abi::revealCall {
        taskid: work.task.0,
        resultDigest: digest,
    };
    let gas = GasPolicy::estimated().at_least(GAS_FLOOR);
    match contribute::send(
        work,
        &key,
        call.abi_encode().into(),
        gas,
        deadline,
        digest,
        |work, digest| Box::pin(is_done(work, digest)),
    )
    .await
    {
        Some(Sent::Mined { receipt }) => contribute::receipt(work, &key, Some(&receipt)).await,
        other if standing(work, digest).await == Some(Standing::Done) => {
            tracing::info!(task = %work.task, ?other, "the reveal is on chain although its transaction seemed to fail");
            contribute::receipt(work, &key, None).await
        }
        other => {
            tracing::warn!(task = %work.task, outcome = ?other, "the reveal was not taken");
            Err(if work.shared.has_gas().await {
                Cause::ChainReceiptNotValid
            } else {
                Cause::OutOfGas
            })
        }
    }
}

/// Waits until the node has the block of consensus.
async fn wait_for_block(work: &Work, block: u64) -> Result<(), Cause> {
    let description = work.description().await?;
    let mut pauses = Pauses::between(work.shared.block_time, work.shared.block_time * 4);
    loop {
        if work.shared.head().await.is_some_and(|head| head.0 >= block) {
            return Ok(());
        }
        if !pauses.rest(Some(description.final_deadline)).await {
            return Err(Cause::BlockNotReached);
        }
    }
}

async fn is_done(work: &Work, digest: B256) -> Option<bool> {
    Some(standing(work, digest).await? == Standing::Done)
}

/// Asks a few times: a node of a group may not have the consensus yet. A chain that does not answer has said nothing: it is asked until
/// the task is over.
async fn due(work: &Work, digest: B256) -> Result<Standing, Cause> {
    let deadline = work.description().await?.final_deadline;
    let mut pauses = Pauses::between(work.shared.block_time, work.shared.block_time * 4);
    let mut refused = 0;
    loop {
        match standing(work, digest).await {
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

async fn standing(work: &Work, digest: B256) -> Option<Standing> {
    let (shared, wallet) = (&work.shared, work.shared.session.wallet());
    let task = patience::read("task", shared.block_time, || shared.hub.task(work.task)).await??;
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
    fn a_reveal_that_is_on_chain_is_done_whatever_became_of_the_task_since() {
        let facts = RevealFacts {
            own_status: ChainContributionStatus::Proved,
            task_status: ChainTaskStatus::Completed,
            ..facts()
        };
        assert_eq!(judged(&facts, 1_000), Standing::Done);
    }
}
