//! Hashes of orders and of order operations (EIP-712, spec onchain B3), and how deals come of them.
//!
//! The hashed structs leave `sign` out and take `operation` as `uint256`, unlike the ABI structs of
//! [`crate::contracts`]; they are private so that nobody hashes the wrong ones. Strings are hashed as UTF-8 also when they
//! start with `0x`: the contract is the authority, the Java quirk is not copied.

use std::borrow::Cow;

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{Eip712Domain, SolStruct};

use crate::contracts;

mod typed {
    // Names must be exactly those of the contracts, because they are part of the hash.
    alloy_sol_types::sol! {
        struct AppOrder { address app; uint256 appprice; uint256 volume; bytes32 tag; address datasetrestrict; address workerpoolrestrict; address requesterrestrict; bytes32 salt; }
        struct DatasetOrder { address dataset; uint256 datasetprice; uint256 volume; bytes32 tag; address apprestrict; address workerpoolrestrict; address requesterrestrict; bytes32 salt; }
        struct WorkerpoolOrder { address workerpool; uint256 workerpoolprice; uint256 volume; bytes32 tag; uint256 category; uint256 trust; address apprestrict; address datasetrestrict; address requesterrestrict; bytes32 salt; }
        struct RequestOrder { address app; uint256 appmaxprice; address dataset; uint256 datasetmaxprice; address workerpool; uint256 workerpoolmaxprice; address requester; uint256 volume; bytes32 tag; uint256 category; uint256 trust; address beneficiary; address callback; string params; bytes32 salt; }
        struct AppOrderOperation { AppOrder order; uint256 operation; }
        struct DatasetOrderOperation { DatasetOrder order; uint256 operation; }
        struct WorkerpoolOrderOperation { WorkerpoolOrder order; uint256 operation; }
        struct RequestOrderOperation { RequestOrder order; uint256 operation; }
    }
}

/// The domain that orders of this hub are signed for: name `iExecODB`, version `5.0.0`. Its `separator()` must equal the
/// hub's `eip712domain_separator()`.
pub const fn domain(chain_id: u64, hub: Address) -> Eip712Domain {
    Eip712Domain {
        name: Some(Cow::Borrowed("iExecODB")),
        version: Some(Cow::Borrowed("5.0.0")),
        chain_id: Some(U256::from_limbs([chain_id, 0, 0, 0])),
        verifying_contract: Some(hub),
        salt: None,
    }
}

/// What can be done with an order besides matching it (spec onchain A7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Record it as signed by the asset's owner.
    Sign = 0,
    /// Make it used up.
    Close = 1,
}

/// An order that can be hashed and signed.
pub trait Order {
    /// The hash of the struct alone, without `sign`.
    fn struct_hash(&self) -> B256;

    /// The order's hash under this domain: what its owner signs raw, and what the hub counts consumption by.
    fn order_hash(&self, domain: &Eip712Domain) -> B256;

    /// What the owner signs raw to let somebody else send this operation.
    fn operation_hash(&self, operation: Operation, domain: &Eip712Domain) -> B256;
}

macro_rules! order {
    ($order:ident, $operation:ident, [$($field:ident),*]) => {
        impl From<&contracts::$order> for typed::$order {
            fn from(order: &contracts::$order) -> Self {
                Self { $($field: order.$field.clone()),* }
            }
        }

        impl Order for contracts::$order {
            fn struct_hash(&self) -> B256 {
                typed::$order::from(self).eip712_hash_struct()
            }

            fn order_hash(&self, domain: &Eip712Domain) -> B256 {
                typed::$order::from(self).eip712_signing_hash(domain)
            }

            fn operation_hash(&self, operation: Operation, domain: &Eip712Domain) -> B256 {
                typed::$operation { order: self.into(), operation: U256::from(operation as u8) }
                    .eip712_signing_hash(domain)
            }
        }
    };
}

order!(
    AppOrder,
    AppOrderOperation,
    [
        app,
        appprice,
        volume,
        tag,
        datasetrestrict,
        workerpoolrestrict,
        requesterrestrict,
        salt
    ]
);
order!(
    DatasetOrder,
    DatasetOrderOperation,
    [
        dataset,
        datasetprice,
        volume,
        tag,
        apprestrict,
        workerpoolrestrict,
        requesterrestrict,
        salt
    ]
);
order!(
    WorkerpoolOrder,
    WorkerpoolOrderOperation,
    [
        workerpool,
        workerpoolprice,
        volume,
        tag,
        category,
        trust,
        apprestrict,
        datasetrestrict,
        requesterrestrict,
        salt
    ]
);
order!(
    RequestOrder,
    RequestOrderOperation,
    [
        app,
        appmaxprice,
        dataset,
        datasetmaxprice,
        workerpool,
        workerpoolmaxprice,
        requester,
        volume,
        tag,
        category,
        trust,
        beneficiary,
        callback,
        params,
        salt
    ]
);
