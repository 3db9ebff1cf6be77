//! The pool's signature under "this worker may compute this task" (spec scheduler-api §5.1).
//!
//! It is made only from an [`Assignment`], which the engine gives out only for a registered worker inside the task's
//! contribution window, or again for the same worker and task after that; and never for a wallet that is not allowed.

use std::collections::BTreeSet;

use alloy_primitives::Address;
use alloy_signer_local::PrivateKeySigner;
use engine::Assignment;
use poco::ids::TaskId;
use poco::signing::{self, Sig, SigningError};
use wire::message::WorkerpoolAuthorization;

/// Signs with the pool's wallet.
pub(crate) struct Authorizer {
    wallet: PrivateKeySigner,
    allowed: BTreeSet<Address>,
}

/// Why an authorization was not signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotAuthorized {
    /// The wallet is not on the list.
    #[error("worker {0:#x} is not allowed in this pool")]
    NotAllowed(Address),
    /// A bag has more tasks than the message can number.
    #[error("index {0} of a task does not fit into an authorization")]
    Index(u64),
    /// The wallet did not sign.
    #[error(transparent)]
    Signing(#[from] SigningError),
}

impl Authorizer {
    pub(crate) const fn new(wallet: PrivateKeySigner, allowed: BTreeSet<Address>) -> Self {
        Self { wallet, allowed }
    }

    /// The wallet's address.
    pub(crate) const fn address(&self) -> Address {
        self.wallet.address()
    }

    /// The authorization of this assignment. The same assignment always gives the same bytes.
    pub(crate) fn authorize(
        &self,
        given: &Assignment,
    ) -> Result<WorkerpoolAuthorization, NotAuthorized> {
        if !self.allowed.is_empty() && !self.allowed.contains(&given.worker) {
            return Err(NotAuthorized::NotAllowed(given.worker));
        }
        let hash = poco::authorization::hash(given.worker, given.task, given.enclave_challenge());
        Ok(WorkerpoolAuthorization {
            chain_task_id: given.task,
            deal_id: given.deal,
            task_index: u32::try_from(given.index)
                .map_err(|_| NotAuthorized::Index(given.index))?,
            worker_wallet: given.worker,
            enclave_challenge: given.enclave_challenge(),
            signature: signing::sign_prefixed(&self.wallet, hash)?.into(),
        })
    }

    /// What the scheduler itself shows the result proxy to ask about a task (spec result-proxy §11.3). No worker gets it.
    pub(crate) fn for_the_result_proxy(
        &self,
        task: TaskId,
        enclave_challenge: Address,
    ) -> Result<(WorkerpoolAuthorization, Sig), NotAuthorized> {
        let hash = poco::authorization::hash(self.address(), task, enclave_challenge);
        let signature = signing::sign_prefixed(&self.wallet, hash)?;
        let authorization = WorkerpoolAuthorization {
            chain_task_id: task,
            worker_wallet: self.address(),
            enclave_challenge,
            signature: signature.into(),
            ..WorkerpoolAuthorization::default()
        };
        Ok((authorization, signature))
    }

    /// What the scheduler shows a secret manager to ask for a task's enclave (spec sms §6.4).
    pub(crate) fn for_an_enclave(&self, task: TaskId) -> Result<Sig, NotAuthorized> {
        let hash = poco::authorization::enclave_challenge_hash(task);
        Ok(signing::sign_prefixed(&self.wallet, hash)?)
    }

    /// What the scheduler shows a secret manager to leave a secret of its own (spec sms §3).
    pub(crate) fn for_a_secret(&self, name: &str, value: &str) -> Result<Sig, NotAuthorized> {
        let hash = poco::secrets::named_hash(self.address(), name, value);
        Ok(signing::sign_prefixed(&self.wallet, hash)?)
    }
}
