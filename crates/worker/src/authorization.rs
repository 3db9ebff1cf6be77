//! Whether a workerpool authorization is worth working for (spec `worker.md` §5.4, S13): made for this worker, for this task, by the owner
//! of this pool. One that is not is logged and dropped; nobody is told, since whoever made it may not be the scheduler.

use std::fmt;

use alloy_primitives::Address;
use wire::message::WorkerpoolAuthorization;

use crate::pipeline::work::Shared;

/// Why an authorization is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// It names another worker.
    OtherWorker(Address),
    /// It is not signed by the owner of the pool.
    OtherSigner {
        /// The pool's owner.
        owner: Address,
    },
    /// The chain did not say who owns the pool.
    Unknown,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherWorker(wallet) => write!(f, "it is made for the worker {wallet:#x}"),
            Self::OtherSigner { owner } => {
                write!(f, "it is not signed by the pool's owner {owner:#x}")
            }
            Self::Unknown => f.write_str("the chain does not say who owns the pool"),
        }
    }
}

/// Checks an authorization against the chain.
///
/// # Errors
/// Why it is of no use.
pub async fn check(shared: &Shared, authorization: &WorkerpoolAuthorization) -> Result<(), Unfit> {
    if authorization.worker_wallet != shared.session.wallet() {
        return Err(Unfit::OtherWorker(authorization.worker_wallet));
    }
    let remembered = shared.hub.remembered_owner(shared.settings.pool);
    if remembered.is_some_and(|owner| is_signed_by(authorization, owner)) {
        return Ok(());
    }
    let owner = crate::patience::read("owner of the pool", shared.block_time, || {
        shared.hub.owner_of_late(shared.settings.pool)
    })
    .await;
    match owner {
        None => Err(Unfit::Unknown),
        Some(owner) if is_signed_by(authorization, owner) => Ok(()),
        Some(owner) => Err(Unfit::OtherSigner { owner }),
    }
}

fn is_signed_by(authorization: &WorkerpoolAuthorization, owner: Address) -> bool {
    poco::signing::is_valid_prefixed(authorization.hash(), &authorization.signature.value, owner)
}

#[cfg(test)]
mod tests {
    use wire::message::Signature;

    use super::*;

    #[test]
    fn the_signature_of_the_pools_owner_is_known_and_no_other() {
        let authorization = WorkerpoolAuthorization {
            chain_task_id: "0xd94b63fc2d3ec4b96daf84b403bbafdc8c8517e8e2addd51fec0fa4e67801be8".parse().unwrap(),
            worker_wallet: "0x748e091bf16048cb5103e0e10f9d5a8b7fbdd860".parse().unwrap(),
            enclave_challenge: "0x9a43bb008b7a657e1936ebf5d8e28e5c5e021596".parse().unwrap(),
            signature: Signature {
                value: "0x99f6b19da6aeb2133763a11204b9895c5b7d0478d08ae3d889a6bd6c820b612f0b64b1f9ceb8472f4944da55d3b75947a04618bae5ddd57a7a2a2d14c3802b7e1b".to_owned(),
            },
            ..WorkerpoolAuthorization::default()
        };
        assert!(is_signed_by(
            &authorization,
            "0xef678007d18427e6022059dbc264f27507cd1ffc"
                .parse()
                .unwrap()
        ));
        assert!(!is_signed_by(&authorization, Address::repeat_byte(1)));
    }
}
