//! Who may have a token: the checks of spec result-proxy §4.1, in their order.
//!
//! A scheduler authorizes a wallet for a task with its signature; the wallet shows that it is itself with another over the
//! same hash. Reads the chain and changes nothing. Wallets are compared as bytes, so their spelling does not matter.

use alloy_primitives::Address;
use chain::NodeError;
use poco::ids::{DealId, TaskId};
use poco::tag::Tag;
use poco::units::Timestamp;
use serde::{Deserialize, Serialize};

use crate::fairness::Pools;
use crate::right_chain::{ChainError, RightChain};

/// The body of a token request (spec result-proxy §3.1). Everything may be missing here: what is missing is refused like
/// what is wrong. `dealId` and `taskIndex` are not signed and not read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct TokenRequest {
    pub(crate) chain_task_id: Option<String>,
    pub(crate) worker_wallet: Option<String>,
    pub(crate) enclave_challenge: Option<String>,
    pub(crate) signature: Option<SignatureText>,
}

/// `{"value":"0x…"}`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SignatureText {
    pub(crate) value: Option<String>,
}

/// An authorization that passed every check.
#[derive(Debug)]
pub(crate) struct Authorized {
    pub(crate) task: TaskId,
    pub(crate) wallet: Address,
    pub(crate) enclave: Address,
    /// When the task ends for good, and the authorization with it.
    pub(crate) until: Timestamp,
}

/// The stored form of an authorization; its key is task and wallet, lower case, with a colon between.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AuthorizationRecord {
    #[serde(rename = "enclaveChallenge", with = "poco::hex::lower_address")]
    pub(crate) enclave: Address,
}

impl AuthorizationRecord {
    /// Where the authorization of a wallet for a task is stored.
    pub(crate) fn key(task: TaskId, wallet: Address) -> String {
        format!("{task}:{}", poco::hex::lower(&wallet))
    }
}

/// Why a token is refused. The words in capitals are those of the Java proxy's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the request is not signed by the wallet it names")]
    NotTheWallet,
    #[error("EMPTY_PARAMS_UNAUTHORIZED: the authorization is incomplete or malformed")]
    EmptyParams,
    #[error("GET_CHAIN_TASK_FAILED: the chain has no such task")]
    NoTask,
    #[error("TASK_FINAL_DEADLINE_REACHED: the task's final deadline {0} (seconds) has passed")]
    FinalDeadlinePassed(u64),
    #[error("GET_CHAIN_DEAL_FAILED: the chain has no deal of that task")]
    NoDeal,
    #[error(
        "the deal is one of workerpool {0:#x}, which WORKERPOOL_RESULT_PROXY_WORKERPOOLS does not name"
    )]
    OtherPool(Address),
    #[error(
        "NO_MATCH_ONCHAIN_TYPE: a standard deal takes the zero enclave challenge, a TEE deal another one"
    )]
    OtherType,
    #[error(
        "INVALID_SIGNATURE: the authorization is not signed by the owner of the deal's workerpool, {0:#x}"
    )]
    NotThePool(Address),
}

/// No token, for one reason or the other.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The chain did not answer. That is neither yes nor no.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

impl From<NodeError> for CheckError {
    fn from(error: NodeError) -> Self {
        Self::Chain(error.into())
    }
}

/// Checks a token request: `header` is the wallet's signature, `request` carries the scheduler's.
pub(crate) async fn check(
    chain: &RightChain,
    pools: &Pools,
    now: Timestamp,
    header: &str,
    request: &TokenRequest,
) -> Result<Authorized, CheckError> {
    let wanted = parse(request).ok_or(Refusal::EmptyParams)?;
    let Parsed {
        task: id,
        wallet,
        enclave,
        signature,
    } = wanted;
    let hash = poco::authorization::hash(wallet, id, enclave);
    if !poco::signing::is_valid_prefixed(hash, header, wallet) {
        return Err(Refusal::NotTheWallet.into());
    }
    let hub = chain.hub().await?;
    let task = hub.task(id).await?.ok_or(Refusal::NoTask)?;
    let final_deadline = task.finalDeadline.saturating_to::<u64>();
    if now.as_secs() > final_deadline {
        return Err(Refusal::FinalDeadlinePassed(final_deadline).into());
    }
    let deal = hub
        .recent_deal(DealId(task.dealid))
        .await?
        .ok_or(Refusal::NoDeal)?;
    if !pools.serve(deal.workerpool.pointer) {
        return Err(Refusal::OtherPool(deal.workerpool.pointer).into());
    }
    let is_tee = Tag(deal.tag).tee_framework().is_some();
    if is_tee == enclave.is_zero() {
        return Err(Refusal::OtherType.into());
    }
    if !poco::signing::is_valid_prefixed(hash, signature, deal.workerpool.owner) {
        return Err(Refusal::NotThePool(deal.workerpool.owner).into());
    }
    Ok(Authorized {
        task: id,
        wallet,
        enclave,
        until: Timestamp::from_secs(final_deadline),
    })
}

struct Parsed<'a> {
    task: TaskId,
    wallet: Address,
    enclave: Address,
    signature: &'a str,
}

fn parse(request: &TokenRequest) -> Option<Parsed<'_>> {
    Some(Parsed {
        task: request.chain_task_id.as_deref()?.parse().ok()?,
        wallet: poco::hex::address(request.worker_wallet.as_deref()?).ok()?,
        enclave: poco::hex::address(request.enclave_challenge.as_deref()?).ok()?,
        signature: request.signature.as_ref()?.value.as_deref()?,
    })
}
