//! Sending the contribution (spec `worker.md` §9, `onchain.md` B4): once, under one key of the outbox, whatever happens to this process in
//! between. Before a failure is told the chain is asked again, since a transaction that was thought lost may have been mined (Q23).

use std::time::Duration;

use alloy_primitives::{B256, Bytes};
use alloy_sol_types::SolCall;
use chain::outbox::Holdup;
use chain::{GasPolicy, Intent, OutboxError, Outcome as Sent, Receipt};
use futures_util::future::BoxFuture;
use poco::contracts::Hub as Abi;
use poco::signing::Sig;
use poco::status::ChainContributionStatus;
use poco::units::Timestamp;
use wire::message::{ChainReceipt, ReplicateStatusDetails};
use wire::status::{ReplicateStatus, ReplicateStatusCause as Cause};

use crate::clock;
use crate::journal::{Journal, Outcome};
use crate::patience::{self, Pauses};
use crate::pipeline::work::{Acted, OF_LATE, Work};

/// The original's fixed gas limit, kept as the least (Q59).
const GAS_FLOOR: u64 = 500_000;
/// Refusals after which a transaction that nothing stands in the way of is given up.
pub(crate) const MOST_REFUSED: u32 = 4;

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
    // Before the questions: the stake that they ask for may be the one that it locked.
    if let Some(digest) = digest
        && work.has_taken_part(OF_LATE).await
        && is_contributed(work, digest).await == Some(true)
    {
        return receipt(work, &key, None).await;
    }
    if let Some(cause) = work.cannot_contribute(Some(journal), OF_LATE).await {
        // A contribution of ours forbids another one, and is what locked the stake.
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
    let mut refused = 0;
    loop {
        let sent = send(
            work,
            &key,
            call.clone(),
            gas,
            description.contribution_deadline,
            digest,
            |work, digest| Box::pin(is_contributed(work, digest)),
        )
        .await;
        let outcome = match sent {
            Some(Sent::Mined { receipt: mined }) => {
                work.shared.seen.lock_stake(description.worker_stake);
                return receipt(work, &key, Some(&mined)).await;
            }
            other => other,
        };
        if is_contributed(work, digest).await == Some(true) {
            tracing::info!(task = %work.task, ?outcome, "the contribution is on chain although its transaction seemed to fail");
            return receipt(work, &key, None).await;
        }
        tracing::warn!(task = %work.task, ?outcome, "the contribution was not taken");
        if !work.shared.has_gas_now().await {
            return Err(Cause::OutOfGas);
        }
        // The guard says what stands in its way now. If nothing does, the chain had taken back what it stands on, or the transaction
        // itself was the reason.
        if let Some(cause) = work.cannot_contribute(Some(journal), Duration::ZERO).await {
            return Err(cause);
        }
        if !matches!(outcome, Some(Sent::Refused { .. })) || refused == MOST_REFUSED {
            return Err(Cause::ChainReceiptNotValid);
        }
        refused += 1;
        tokio::time::sleep(work.shared.block_time).await;
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
                Ok(()) => outcome(work, key, deadline).await,
                Err(error) => Err(error),
            };
            match sent {
                Ok(None) => return None,
                Ok(Some(sent @ (Sent::Mined { .. } | Sent::Reverted { .. } | Sent::Expired))) => {
                    shared
                        .metrics
                        .transaction(matches!(sent, Sent::Mined { .. }));
                    return Some(sent);
                }
                Ok(Some(Sent::Refused { reason })) => {
                    if is_done(work, digest).await == Some(true) || !may_pass(&reason.to_string()) {
                        shared.metrics.transaction(false);
                        return Some(Sent::Refused { reason });
                    }
                    tracing::warn!(task = %work.task, key, %reason, "a transaction is refused; trying again");
                    shared.seen.note_gas(false);
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
            say_no_gas(work);
        }
        if !pauses.rest(Some(deadline)).await {
            return None;
        }
    }
}

fn say_no_gas(work: &Work) {
    tracing::error!(
        task = %work.task, worker = poco::hex::lower(&work.shared.session.wallet()),
        "the wallet has no gas left: send it some before the task's deadline"
    );
}

/// How a transaction ended. When the outbox finds no money for it meanwhile, that is said, and no work is asked for until there is some;
/// `None` when there was none by the deadline: one that is signed already waits for money for ever.
async fn outcome(work: &Work, key: &str, deadline: Timestamp) -> Result<Option<Sent>, OutboxError> {
    let outbox = &work.shared.outbox;
    let mut status = outbox.status();
    status.mark_changed();
    let (mut said, mut poor) = (false, false);
    let ended = outbox.outcome(key);
    tokio::pin!(ended);
    loop {
        tokio::select! {
            ended = &mut ended => return ended.map(Some),
            () = tokio::time::sleep(deadline.since(clock::now())), if poor => return Ok(None),
            Ok(()) = status.changed() => {
                poor = lacks_money(status.borrow_and_update().holdup.as_ref());
                if poor && !said {
                    said = true;
                    work.shared.seen.note_gas(false);
                    say_no_gas(work);
                }
            }
        }
    }
}

fn lacks_money(holdup: Option<&Holdup>) -> bool {
    match holdup {
        Some(Holdup::Funds { .. }) => true,
        Some(Holdup::Declined(reason)) => may_pass(reason),
        _ => false,
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
    use super::{Holdup, lacks_money, may_pass};

    #[test]
    fn only_a_refusal_that_money_mends_is_worth_another_try() {
        assert!(may_pass("insufficient funds for gas * price + value"));
        assert!(!may_pass("execution reverted"));
    }

    #[test]
    fn what_holds_the_outbox_up_for_want_of_money_is_told_from_the_rest() {
        let declined = |text: &str| Holdup::Declined(text.to_owned());
        assert!(lacks_money(Some(&Holdup::Funds { have: 1, need: 2 })));
        assert!(lacks_money(Some(&declined("insufficient funds for gas"))));
        assert!(!lacks_money(Some(&declined("nonce too low"))));
        assert!(!lacks_money(Some(&Holdup::NonceGap { nonce: 1 })));
        assert!(!lacks_money(None));
    }
}
