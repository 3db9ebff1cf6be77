//! Sending the contribution (spec `worker.md` §9, `onchain.md` B4): once, under one key of the outbox, whatever happens to this process in
//! between. Before a failure is told the chain is asked again, since a transaction that was thought lost may have been mined (Q23).

use std::time::Duration;

use alloy_primitives::{B256, Bytes};
use alloy_sol_types::SolCall;
use chain::{GasPolicy, Intent, Outcome as Sent, Receipt};
use futures_util::future::BoxFuture;
use poco::contracts::Hub as Abi;
use poco::signing::Sig;
use poco::status::ChainContributionStatus;
use poco::units::Timestamp;
use wire::message::{ChainReceipt, ReplicateStatusDetails};
use wire::status::{ReplicateStatus, ReplicateStatusCause as Cause};

use crate::journal::{Journal, Outcome};
use crate::patience::{self, Pauses};
use crate::pipeline::work::{Acted, Work};

/// The original's fixed gas limit, kept as the least (Q59).
const GAS_FLOOR: u64 = 500_000;

/// Contributes, or finds that it was done.
pub(crate) async fn contribute(work: &Work, journal: &Journal) -> Acted {
    match try_contribute(work, journal).await {
        Ok(receipt) => done(ReplicateStatus::Contributed, receipt),
        Err(cause) => Outcome::because(ReplicateStatus::ContributeFailed, cause).into(),
    }
}

/// A status that a transaction brought about.
pub(crate) fn done(status: ReplicateStatus, receipt: ChainReceipt) -> Acted {
    Outcome::with(
        status,
        ReplicateStatusDetails {
            chain_receipt: Some(receipt),
            ..ReplicateStatusDetails::default()
        },
    )
    .into()
}

async fn try_contribute(work: &Work, journal: &Journal) -> Result<ChainReceipt, Cause> {
    let digest = journal.digest;
    let key = format!("contribute:{}", work.task);
    if let Some(digest) = digest
        && is_contributed(work, digest).await == Some(true)
    {
        return receipt(work, &key, None).await;
    }
    if let Some(cause) = work.cannot_contribute(Some(journal)).await {
        // Asked again, since the chain may have been away before: a contribution of ours is what locked the stake.
        return match digest {
            Some(digest) if is_contributed(work, digest).await == Some(true) => {
                receipt(work, &key, None).await
            }
            _ => Err(cause),
        };
    }
    let digest = digest.ok_or(Cause::DeterminismHashNotFound)?;
    let description = work.description().await?;
    let call = calldata(work, journal, digest).ok_or(Cause::WorkerpoolAuthorizationNotFound)?;
    let gas = GasPolicy::estimated().at_least(GAS_FLOOR);
    let sent = send(
        work,
        &key,
        call,
        gas,
        description.contribution_deadline,
        digest,
        |work, digest| Box::pin(is_contributed(work, digest)),
    )
    .await;
    match sent {
        Some(Sent::Mined { receipt: mined }) => receipt(work, &key, Some(&mined)).await,
        other if is_contributed(work, digest).await == Some(true) => {
            tracing::info!(task = %work.task, ?other, "the contribution is on chain although its transaction seemed to fail");
            receipt(work, &key, None).await
        }
        // The guard says what stands in its way now; if nothing does, the transaction itself was the reason.
        other => {
            tracing::warn!(task = %work.task, outcome = ?other, "the contribution was not taken");
            if !work.shared.has_gas().await {
                return Err(Cause::OutOfGas);
            }
            Err(work
                .cannot_contribute(Some(journal))
                .await
                .unwrap_or(Cause::ChainReceiptNotValid))
        }
    }
}

fn calldata(work: &Work, journal: &Journal, digest: B256) -> Option<Bytes> {
    let authorization = &journal.authorization;
    let signature = authorization
        .signature
        .value
        .parse::<Sig>()
        .ok()?
        .for_the_contracts()?;
    let call = Abi::contributeCall {
        taskid: work.task.0,
        resultHash: poco::contribution::result_hash(work.task, digest),
        resultSeal: poco::contribution::result_seal(
            work.shared.session.wallet(),
            work.task,
            digest,
        ),
        enclaveChallenge: authorization.enclave_challenge,
        // For standard tasks the original sends 32 zero bytes; so does everyone.
        enclaveSign: Bytes::from_static(&[0; 32]),
        authorizationSign: Bytes::copy_from_slice(&signature.0),
    };
    Some(call.abi_encode().into())
}

/// Whether the chain has this worker's contribution of `digest`; `None` when it does not answer.
async fn is_contributed(work: &Work, digest: B256) -> Option<bool> {
    let (shared, wallet) = (&work.shared, work.shared.session.wallet());
    let found = patience::read("contribution", shared.block_time, || {
        shared.hub.contribution(work.task, wallet)
    })
    .await?;
    let hash = poco::contribution::result_hash(work.task, digest);
    Some(found.is_some_and(|found| {
        let status = ChainContributionStatus::try_from(found.status);
        let stands = matches!(
            status,
            Ok(ChainContributionStatus::Contributed | ChainContributionStatus::Proved)
        );
        stands && found.resultHash == hash
    }))
}

/// Whether the chain shows what a transaction was to bring about; `None` when it does not answer.
pub(crate) type IsDone = for<'a> fn(&'a Work, B256) -> BoxFuture<'a, Option<bool>>;

/// Has the outbox send a transaction and waits for its end. While the wallet has no gas, or the outbox cannot be used, it is tried again
/// until the deadline (Q21). `None` when the deadline passed first.
pub(crate) async fn send(
    work: &Work,
    key: &str,
    calldata: Bytes,
    gas: GasPolicy,
    deadline: Timestamp,
    digest: B256,
    is_done: IsDone,
) -> Option<Sent> {
    let shared = &work.shared;
    let intent = Intent {
        key: key.to_owned(),
        to: shared.hub.address(),
        calldata,
        gas,
        deadline: Some(deadline),
        joins: None,
    };
    let mut pauses = Pauses::between(Duration::from_secs(2), Duration::from_secs(30));
    loop {
        if shared.has_gas().await {
            let sent = match shared.outbox.submit(intent.clone()).await {
                Ok(()) => shared.outbox.outcome(key).await,
                Err(error) => Err(error),
            };
            match sent {
                Ok(sent @ (Sent::Mined { .. } | Sent::Reverted { .. } | Sent::Expired)) => {
                    shared
                        .metrics
                        .transaction(matches!(sent, Sent::Mined { .. }));
                    return Some(sent);
                }
                Ok(Sent::Refused { reason }) => {
                    if is_done(work, digest).await == Some(true) || !may_pass(&reason.to_string()) {
                        shared.metrics.transaction(false);
                        return Some(Sent::Refused { reason });
                    }
                    tracing::warn!(task = %work.task, key, %reason, "a transaction is refused; trying again");
                }
                Err(error) if error.kind() == chain::Kind::Bug => {
                    tracing::error!(task = %work.task, key, %error, "a transaction cannot be handed over");
                    return None;
                }
                Err(error) => {
                    tracing::warn!(task = %work.task, key, %error, "a transaction cannot be handed over; trying again")
                }
            }
        } else {
            tracing::error!(
                task = %work.task, worker = poco::hex::lower(&shared.session.wallet()),
                "the wallet has no gas left: send it some before the task's deadline"
            );
        }
        if !pauses.rest(Some(deadline)).await {
            return None;
        }
    }
}

/// A refusal that money in the wallet would mend.
fn may_pass(reason: &str) -> bool {
    let reason = reason.to_lowercase();
    ["insufficient funds", "insufficient balance", "out of gas"]
        .iter()
        .any(|words| reason.contains(words))
}

/// The receipt to report: of the transaction that was mined, else the newest block, in which the contribution stands for sure.
pub(crate) async fn receipt(
    work: &Work,
    key: &str,
    mined: Option<&Receipt>,
) -> Result<ChainReceipt, Cause> {
    let known = match mined {
        Some(receipt) => Some(receipt.clone()),
        None => mined_before(work, key).await,
    };
    if let Some(receipt) = known {
        return Ok(ChainReceipt {
            block_number: receipt.block.0,
            tx_hash: Some(receipt.tx.to_string()),
        });
    }
    let head = work
        .shared
        .head()
        .await
        .ok_or(Cause::ChainReceiptNotValid)?;
    Ok(ChainReceipt {
        block_number: head.0,
        tx_hash: None,
    })
}

/// What an earlier life of this process had mined, if the outbox knows.
async fn mined_before(work: &Work, key: &str) -> Option<Receipt> {
    let wait = Duration::from_secs(30).max(work.shared.block_time * 3);
    match tokio::time::timeout(wait, work.shared.outbox.outcome(key)).await {
        Ok(Ok(Sent::Mined { receipt })) => Some(receipt),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::may_pass;

    #[test]
    fn only_a_refusal_that_money_mends_is_worth_another_try() {
        assert!(may_pass("insufficient funds for gas * price + value"));
        assert!(!may_pass("execution reverted"));
    }
}
