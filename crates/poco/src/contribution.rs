//! The hashes of a contribution (spec onchain B4): what a worker commits to before anybody reveals.

use alloy_primitives::{Address, B256, keccak256};

use crate::ids::TaskId;

/// keccak256(task ‖ digest): the same for every worker with the same result; consensus is on this value.
pub fn result_hash(task: TaskId, digest: B256) -> B256 {
    hash_of(&[task.0.as_slice(), digest.as_slice()])
}

/// keccak256(worker ‖ task ‖ digest): proof that this worker knew the digest when it contributed.
pub fn result_seal(worker: Address, task: TaskId, digest: B256) -> B256 {
    hash_of(&[worker.as_slice(), task.0.as_slice(), digest.as_slice()])
}

/// keccak256(result hash ‖ result seal): what an enclave signs, prefixed, about a result it made.
pub fn enclave_message(result_hash: B256, result_seal: B256) -> B256 {
    hash_of(&[result_hash.as_slice(), result_seal.as_slice()])
}

fn hash_of(parts: &[&[u8]]) -> B256 {
    keccak256(parts.concat())
}
