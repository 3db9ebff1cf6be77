//! The scheduler's permission for one worker to compute one task (spec scheduler-api §5.1).
//!
//! Carries the permission; signing and verifying are `poco::authorization` and `poco::signing`.

use alloy_primitives::{Address, B256};
use poco::ids::{DealId, TaskId};
use poco::signing::Sig;
use serde::{Deserialize, Serialize};

use crate::lenient;

/// A signature as text, `{"value":"0x…"}`. It is kept as it came: what is no signature must be answered 401 like a wrong
/// one (spec scheduler-api Q7), so that reading it may not fail.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Signature {
    /// `0x` and r, s, v in 130 hex digits, if the other side is honest; empty for `null`.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub value: String,
}

impl From<Sig> for Signature {
    fn from(signature: Sig) -> Self {
        Self {
            value: signature.to_string(),
        }
    }
}

/// The permission of the workerpool's owner to contribute to a task: the signature is over worker, task and enclave.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerpoolAuthorization {
    /// The task; 32 zero bytes when absent.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub chain_task_id: TaskId,
    /// Its deal, not signed.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub deal_id: DealId,
    /// Its index, not signed. Absolute (onchain B2.2).
    #[serde(default, deserialize_with = "lenient::number")]
    pub task_index: u32,
    /// Who may contribute.
    #[serde(
        default,
        serialize_with = "poco::hex::lower_address::serialize",
        deserialize_with = "lenient::address"
    )]
    pub worker_wallet: Address,
    /// The enclave's address, zero for standard tasks.
    #[serde(
        default,
        serialize_with = "poco::hex::lower_address::serialize",
        deserialize_with = "lenient::address"
    )]
    pub enclave_challenge: Address,
    /// By the owner of the workerpool.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub signature: Signature,
}

impl WorkerpoolAuthorization {
    /// What is signed, with Ethereum's message prefix.
    pub fn hash(&self) -> B256 {
        poco::authorization::hash(
            self.worker_wallet,
            self.chain_task_id,
            self.enclave_challenge,
        )
    }
}
