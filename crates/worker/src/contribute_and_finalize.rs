//! Finishing a task alone: the result is uploaded first, then one `contributeAndFinalize` stands for contribution, reveal and
//! finalisation (spec `worker.md` §5.5, `onchain.md` A11). Both sides must have agreed on it (our feature `caf`), and it is for standard
//! tasks of trust 1 without a callback: a callback's gas is the pool's to pay. Whatever stands in the way of it while a contribution is
//! still possible leads back to the classic way; nothing is given up here that could be contributed.

use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall;
use chain::outbox::Stage;
use chain::{GasPolicy, Outcome as Sent};
use poco::contracts::{Hub as Abi, Task};
use poco::ids::TaskId;
use poco::signing::Sig;
use poco::status::ChainTaskStatus;
use poco::units::Timestamp;
use wire::message::{ChainReceipt, ReplicateStatusDetails};
use wire::status::{ReplicateStatus, ReplicateStatusCause as Cause};

use crate::description::{TaskDescription, seconds};
use crate::guards::{self, ChainFacts, Facts};
use crate::journal::{Journal, Outcome};
use crate::pipeline::work::{Acted, Learned, OF_LATE, Work};
use crate::{clock, contribute, patience, upload};

/// The result is at the result proxy, and nothing was sent yet.
pub(crate) const UPLOADED_POINT: &str = "worker:contribute-and-finalize:uploaded";

/// Blocks that must be left before contributions close: later than that the contribution alone is safer.
const BLOCKS_LEFT: u32 = 6;

/// The outbox's key of the task's transaction.
pub(crate) fn key(task: TaskId) -> String {
    format!("contribute-and-finalize:{task}")
}

/// Whether the contract lets a worker finish such a task alone, and this worker would.
#[must_use]
pub(crate) fn is_eligible(description: &TaskDescription) -> bool {
    let enclave = description.tag.needs_enclave() || description.tag.tee_framework().is_some();
    description.trust == U256::from(1) && !description.has_callback() && !enclave
}

/// Finishes the task, or finds that it was done.
pub(crate) async fn contribute_and_finalize(work: &Work, journal: &Journal) -> Acted {
    match attempt(work, journal).await {
        Ok(finished) => {
            let details = ReplicateStatusDetails {
                chain_receipt: Some(finished.receipt),
                result_link: Some(finished.link),
                ..ReplicateStatusDetails::default()
            };
            Outcome::with(ReplicateStatus::ContributeAndFinalizeDone, details).into()
        }
        Err(stopped) => Acted {
            outcome: Outcome::because(ReplicateStatus::ContributeAndFinalizeFailed, stopped.cause),
            learned: Learned {
                classic: stopped.classic,
                ..Learned::default()
            },
        },
    }
}

/// The task is over, by a transaction of ours.
struct Finished {
    receipt: ChainReceipt,
    link: String,
}

/// It does not go this way.
struct Stopped {
    cause: Cause,
    /// The contribution alone may still go.
    classic: bool,
}

impl Stopped {
    const fn for_good(cause: Cause) -> Self {
        Self {
            cause,
            classic: false,
        }
    }

    const fn classic(cause: Cause) -> Self {
        Self {
            cause,
            classic: true,
        }
    }
}

impl From<Cause> for Stopped {
    fn from(cause: Cause) -> Self {
        Self::for_good(cause)
    }
}

async fn attempt(work: &Work, journal: &Journal) -> Result<Finished, Stopped> {
    let description = work.description().await?;
    let before = match still_open(work, journal, description, OF_LATE).await {
        // What is not so any more is asked again, and what is not known any more.
        Err(_) => still_open(work, journal, description, Duration::ZERO).await,
        open => open,
    };
    let digest = match before? {
        Standing::Finished(link) => return finished(work, link).await,
        Standing::Open(digest) => digest,
    };
    let deadline = description.contribution_deadline;
    let (calldata, link) = match sent_before(work).await {
        // The same transaction again: it may be in a block by now, with the link that it names.
        Some(before) => before,
        None => {
            let until = upload_until(description, work.shared.block_time);
            let link = match upload::early(work, journal, description, until).await {
                Ok(link) => link,
                Err(not_early) => return not_uploaded(work, journal, description, not_early).await,
            };
            let call = calldata(work.task, journal, digest, &link)
                .ok_or(Cause::WorkerpoolAuthorizationNotFound)?;
            (call, link)
        }
    };
    chassis::crash::point(UPLOADED_POINT);
    let sent = contribute::send(
        work,
        &key(work.task),
        calldata,
        GasPolicy::estimated(),
        deadline,
        digest,
        |work, digest| Box::pin(is_done(work, digest)),
    )
    .await;
    if let Some(Sent::Mined { receipt }) = &sent {
        let receipt = contribute::receipt(work, &key(work.task), Some(receipt)).await?;
        return Ok(Finished { receipt, link });
    }
    match still_open(work, journal, description, Duration::ZERO).await {
        Ok(Standing::Finished(link)) => {
            tracing::info!(task = %work.task, outcome = ?sent, "the task is finished although its transaction seemed to fail");
            finished(work, link).await
        }
        // Nothing is on its way any more, and contributions are open: what the contract refused alone it may take in steps.
        Ok(Standing::Open(_)) => {
            tracing::warn!(task = %work.task, outcome = ?sent, "the transaction was not taken");
            Err(Stopped::classic(Cause::ChainReceiptNotValid))
        }
        Err(_) if sent.is_none() && !work.shared.has_gas_now().await => Err(Cause::OutOfGas.into()),
        Err(stopped) => Err(stopped),
    }
}

/// There is no link. What it was refused for is asked of the chain: it may be over.
async fn not_uploaded(
    work: &Work,
    journal: &Journal,
    description: &TaskDescription,
    not_early: upload::NotEarly,
) -> Result<Finished, Stopped> {
    match still_open(work, journal, description, Duration::ZERO).await? {
        Standing::Finished(link) => finished(work, link).await,
        Standing::Open(_) => {
            let reason = not_early.reason;
            tracing::warn!(task = %work.task, reason, "the result is not taken before the contribution");
            if let Some(proxy) = not_early.refused_by {
                work.shared.early.note(proxy);
            }
            Err(Stopped::classic(Cause::ResultLinkMissing))
        }
    }
}

async fn finished(work: &Work, link: String) -> Result<Finished, Stopped> {
    let receipt = contribute::receipt(work, &key(work.task), None).await?;
    Ok(Finished { receipt, link })
}

/// What the chain says about finishing a task alone.
enum Standing {
    /// It is done, with this link.
    Finished(String),
    /// It can be done, with this digest.
    Open(B256),
}

/// Asks the questions of spec `worker.md` §5.4 in their order about the task as it was within `age`. A chain that is away is waited for as
/// long as there is something to contribute to.
async fn still_open(
    work: &Work,
    journal: &Journal,
    description: &TaskDescription,
    age: Duration,
) -> Result<Standing, Stopped> {
    let wallet = work.shared.session.wallet();
    let task = work
        .task_within(age, description.contribution_deadline)
        .await;
    if let (Some(task), Some(digest)) = (&task, journal.digest)
        && is_finished_by(task, wallet, digest)
    {
        let link = String::from_utf8_lossy(&task.results).into_owned();
        return Ok(Standing::Finished(link));
    }
    let chain = task.and_then(|task| {
        Some(ChainFacts {
            status: task.status.try_into().ok()?,
            contribution_deadline: seconds(task.contributionDeadline),
            contributors: task.contributors,
            // No stake is locked.
            deposit: U256::ZERO,
            worker_stake: U256::ZERO,
        })
    });
    let facts = Facts {
        authorized: !journal.authorization.signature.value.is_empty(),
        chain,
        wallet,
        now: clock::now(),
    };
    if let Some(cause) = guards::cannot_contribute(&facts) {
        return Err(match cause {
            // Nobody but this worker: its contribution is found on the classic way.
            Cause::ContributionAlreadySet => Stopped::classic(cause),
            cause => Stopped::for_good(cause),
        });
    }
    let digest = journal.digest.ok_or(Cause::DeterminismHashNotFound)?;
    match guards::cannot_finalize_alone(&facts, is_eligible(description)) {
        Some(cause) => Err(Stopped::classic(cause)),
        None => Ok(Standing::Open(digest)),
    }
}

/// Whether this worker alone brought the task to its end, with this digest.
fn is_finished_by(task: &Task, wallet: Address, digest: B256) -> bool {
    ChainTaskStatus::try_from(task.status) == Ok(ChainTaskStatus::Completed)
        && task.contributors == [wallet]
        && task.resultDigest == digest
}

async fn is_done(work: &Work, digest: B256) -> Option<bool> {
    let shared = &work.shared;
    let task = patience::read("task", shared.block_time, || shared.hub.task(work.task)).await?;
    let wallet = shared.session.wallet();
    Some(task.is_some_and(|task| is_finished_by(&task, wallet, digest)))
}

/// What an earlier life of this process handed over to the outbox, and may still be mined: the payload, and the link in it.
async fn sent_before(work: &Work) -> Option<(Bytes, String)> {
    let record = match work.shared.outbox.find(&key(work.task)).await {
        Ok(record) => record?,
        Err(error) => {
            tracing::warn!(task = %work.task, %error, "the outbox does not say what was sent before");
            return None;
        }
    };
    if matches!(record.stage, Stage::Settled { .. }) {
        return None;
    }
    let calldata = record.intent.calldata;
    let call = Abi::contributeAndFinalizeCall::abi_decode(&calldata).ok()?;
    let link = String::from_utf8(call.results.to_vec()).ok()?;
    Some((calldata, link))
}

fn calldata(task: TaskId, journal: &Journal, digest: B256, link: &str) -> Option<Bytes> {
    let authorization = &journal.authorization;
    let signature = authorization
        .signature
        .value
        .parse::<Sig>()
        .ok()?
        .for_the_contracts()?;
    let call = Abi::contributeAndFinalizeCall {
        taskid: task.0,
        resultDigest: digest,
        results: Bytes::copy_from_slice(link.as_bytes()),
        // Q61: bytes for a callback that there is not would make it fail.
        resultsCallback: Bytes::new(),
        enclaveChallenge: authorization.enclave_challenge,
        enclaveSign: Bytes::new(),
        authorizationSign: Bytes::copy_from_slice(&signature.0),
    };
    Some(call.abi_encode().into())
}

/// Until when an upload may take before the contribution.
#[must_use]
pub(crate) fn upload_until(description: &TaskDescription, block_time: Duration) -> Timestamp {
    let margin = block_time.saturating_mul(BLOCKS_LEFT);
    description.contribution_deadline.saturating_sub(margin)
}

#[cfg(test)]
mod tests {
    use poco::tag::Tag;

    use super::*;
    use crate::description::tests::standard_task;

    #[test]
    fn a_standard_task_of_trust_1_without_a_callback_is_eligible() {
        let task = TaskDescription {
            trust: U256::from(1),
            callback: Address::ZERO,
            tag: Tag::NONE,
            ..standard_task()
        };
        assert!(is_eligible(&task));
        let rows = [
            TaskDescription {
                trust: U256::from(2),
                ..task.clone()
            },
            TaskDescription {
                callback: Address::repeat_byte(9),
                ..task.clone()
            },
            TaskDescription {
                tag: Tag::TDX,
                ..task.clone()
            },
            TaskDescription {
                tag: Tag::TEE,
                ..task
            },
        ];
        for row in rows {
            assert!(!is_eligible(&row), "{row:?}");
        }
    }

    #[test]
    fn shortly_before_contributions_close_nothing_is_uploaded_first() {
        let task = standard_task();
        let until = upload_until(&task, Duration::from_secs(5));
        assert_eq!(task.contribution_deadline.since(until).as_secs(), 30);
    }

    #[test]
    fn only_an_end_that_this_worker_brought_about_alone_is_its_own() {
        let (wallet, digest) = (Address::repeat_byte(7), B256::repeat_byte(3));
        let ours = Task {
            status: ChainTaskStatus::Completed as u8,
            dealid: B256::ZERO,
            idx: U256::ZERO,
            timeref: U256::ZERO,
            contributionDeadline: U256::ZERO,
            revealDeadline: U256::ZERO,
            finalDeadline: U256::ZERO,
            consensusValue: B256::ZERO,
            revealCounter: U256::from(1),
            winnerCounter: U256::from(1),
            contributors: vec![wallet],
            resultDigest: digest,
            results: Bytes::new(),
            resultsTimestamp: U256::ZERO,
            resultsCallback: Bytes::new(),
        };
        assert!(is_finished_by(&ours, wallet, digest));
        let rows = [
            Task {
                status: ChainTaskStatus::Revealing as u8,
                ..ours.clone()
            },
            Task {
                contributors: vec![Address::repeat_byte(8)],
                ..ours.clone()
            },
            Task {
                resultDigest: B256::repeat_byte(4),
                ..ours
            },
        ];
        for row in rows {
            assert!(!is_finished_by(&row, wallet, digest), "{row:?}");
        }
    }
}
