//! What a scheduler signs to let one worker contribute to one task (spec onchain B5), and the messages derived from it
//! (spec onchain B6).
//!
//! Hashes only: all of them are signed with the prefix ([`crate::signing::sign_prefixed`]). Who may be authorised is
//! decided elsewhere.

use alloy_primitives::{Address, B256, keccak256};

use crate::ids::TaskId;

/// keccak256(worker ‖ task ‖ enclave challenge). The pool owner signs it for the worker; the worker signs the same hash
/// itself towards the secret manager and the result proxy. For a standard task `enclave` is the zero address, and its
/// 20 zero bytes are part of the message.
pub fn hash(worker: Address, task: TaskId, enclave: Address) -> B256 {
    let mut preimage = Vec::with_capacity(72);
    preimage.extend_from_slice(worker.as_slice());
    preimage.extend_from_slice(task.0.as_slice());
    preimage.extend_from_slice(enclave.as_slice());
    keccak256(preimage)
}

/// keccak256(task): what the scheduler signs when it asks the secret manager for an enclave challenge.
pub fn enclave_challenge_hash(task: TaskId) -> B256 {
    keccak256(task.0)
}

/// keccak256(task ‖ worker): what an enclave signs when it reports to its worker.
pub fn enclave_to_worker_hash(task: TaskId, worker: Address) -> B256 {
    let mut preimage = Vec::with_capacity(52);
    preimage.extend_from_slice(task.0.as_slice());
    preimage.extend_from_slice(worker.as_slice());
    keccak256(preimage)
}
