//! Orders: their hashes (EIP-712, spec onchain B3), signatures, operations, JSON, and how deals come of them.
//!
//! The hashed structs leave `sign` out and take `operation` as `uint256`, unlike the ABI structs of
//! [`crate::contracts`]; they are private so that nobody hashes the wrong ones. Strings are hashed as UTF-8 also when they
//! start with `0x`: the contract is the authority, the Java quirk is not copied.
//!
//! What only the chain knows is not decided here: who owns an asset now, whether an order was presigned, whether a
//! signer is a contract wallet.

mod json;

use std::borrow::Cow;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{Eip712Domain, SolCall, SolStruct};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::contracts;
use crate::signing::{self, BadLength, Sig, SigningError};

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

/// An order that can be hashed, signed, sent as JSON and taken back.
///
/// "No dataset" is `DatasetOrder::default()`: all zero, not signed (spec onchain A4). As JSON an order is what the SDK
/// writes: numbers as decimal text, addresses with checksum, words and `sign` in lower case. Numbers are read as JSON
/// numbers too, addresses in any case, and an absent `sign` as an empty one.
pub trait Order {
    /// The hash of the struct alone, without `sign`.
    fn struct_hash(&self) -> B256;

    /// The order's hash under this domain: what its owner signs raw, and what the hub counts consumption by.
    fn order_hash(&self, domain: &Eip712Domain) -> B256;

    /// What the owner signs raw to let somebody else send this operation.
    fn operation_hash(&self, operation: Operation, domain: &Eip712Domain) -> B256;

    /// The signature it carries; empty when it is not signed.
    fn signature(&self) -> &Bytes;

    /// Puts another signature in the place of the one it carries.
    fn set_signature(&mut self, signature: Bytes);

    /// Call data of the hub's `manage…Order` with this operation (spec onchain A7). `signature` is the owner's over
    /// [`Order::operation_hash`], or empty when the owner sends the call itself.
    fn operation_call(&self, operation: Operation, signature: Bytes) -> Bytes;

    /// Signs it, as the owner of its asset, or as the requester.
    ///
    /// # Errors
    /// [`SigningError`] when the key is unusable; a local key never is.
    fn sign(
        &mut self,
        owner: &PrivateKeySigner,
        domain: &Eip712Domain,
    ) -> Result<(), SigningError> {
        let signature = signing::sign_raw(owner, self.order_hash(domain))?;
        self.set_signature(Bytes::copy_from_slice(&signature.0));
        Ok(())
    }

    /// Signs an operation, so that anybody can send it.
    ///
    /// # Errors
    /// As [`Order::sign`].
    fn sign_operation(
        &self,
        operation: Operation,
        owner: &PrivateKeySigner,
        domain: &Eip712Domain,
    ) -> Result<Sig, SigningError> {
        signing::sign_raw(owner, self.operation_hash(operation, domain))
    }

    /// Who signed it, as the contracts recover it: 65 bytes with v 27 or 28 and a low s, or 64 bytes of EIP-2098. `None`
    /// where they recover nobody.
    ///
    /// # Errors
    /// [`BadLength`] when the signature is neither 64 nor 65 bytes long, so also when there is none: the match then
    /// reverts, unless the order was presigned.
    fn signer(&self, domain: &Eip712Domain) -> Result<Option<Address>, BadLength> {
        signing::recover_like_contracts(self.order_hash(domain), self.signature())
    }

    /// Whether the contracts take its signature for `owner`'s, when `owner` has no code and the order is not presigned.
    /// A malformed signature of 65 bytes is the zero address's (spec onchain A5).
    ///
    /// # Errors
    /// As [`Order::signer`].
    fn is_signed_by(&self, owner: Address, domain: &Eip712Domain) -> Result<bool, BadLength> {
        signing::contracts_accept(self.order_hash(domain), self.signature(), owner)
    }

    /// Turns a signature that other software takes and the contracts do not (v 0 or 1, a high s) into the one that they
    /// take; leaves any other as it is (spec onchain B1.4).
    fn mend_signature(&mut self) {
        let mended = Sig::try_from(self.signature().as_ref())
            .ok()
            .and_then(|signature| signature.for_the_contracts());
        if let Some(signature) = mended {
            self.set_signature(Bytes::copy_from_slice(&signature.0));
        }
    }
}

macro_rules! order {
    ($order:ident, $operation:ident, $manage:ident, { $($field:ident: $kind:ident),* $(,)? }) => {
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

            fn signature(&self) -> &Bytes {
                &self.sign
            }

            fn set_signature(&mut self, signature: Bytes) {
                self.sign = signature;
            }

            fn operation_call(&self, operation: Operation, signature: Bytes) -> Bytes {
                let operation = contracts::$operation {
                    order: self.clone(),
                    operation: operation as u8,
                    sign: signature,
                };
                contracts::Hub::$manage { operation }.abi_encode().into()
            }
        }

        const _: () = {
            #[derive(Serialize, Deserialize)]
            struct Text {
                $($field: json::$kind,)*
                #[serde(default)]
                sign: json::Blob,
            }

            impl Serialize for contracts::$order {
                fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    Text {
                        $($field: json::$kind(self.$field.clone()),)*
                        sign: json::Blob(self.sign.clone()),
                    }
                    .serialize(serializer)
                }
            }

            impl<'de> Deserialize<'de> for contracts::$order {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    let text = Text::deserialize(deserializer)?;
                    Ok(Self { $($field: text.$field.0,)* sign: text.sign.0 })
                }
            }
        };
    };
}

order!(AppOrder, AppOrderOperation, manageAppOrderCall, {
    app: Account,
    appprice: Amount,
    volume: Amount,
    tag: Word,
    datasetrestrict: Account,
    workerpoolrestrict: Account,
    requesterrestrict: Account,
    salt: Word,
});
order!(DatasetOrder, DatasetOrderOperation, manageDatasetOrderCall, {
    dataset: Account,
    datasetprice: Amount,
    volume: Amount,
    tag: Word,
    apprestrict: Account,
    workerpoolrestrict: Account,
    requesterrestrict: Account,
    salt: Word,
});
order!(WorkerpoolOrder, WorkerpoolOrderOperation, manageWorkerpoolOrderCall, {
    workerpool: Account,
    workerpoolprice: Amount,
    volume: Amount,
    tag: Word,
    category: Amount,
    trust: Amount,
    apprestrict: Account,
    datasetrestrict: Account,
    requesterrestrict: Account,
    salt: Word,
});
order!(RequestOrder, RequestOrderOperation, manageRequestOrderCall, {
    app: Account,
    appmaxprice: Amount,
    dataset: Account,
    datasetmaxprice: Amount,
    workerpool: Account,
    workerpoolmaxprice: Amount,
    requester: Account,
    volume: Amount,
    tag: Word,
    category: Amount,
    trust: Amount,
    beneficiary: Account,
    callback: Account,
    params: Words,
    salt: Word,
});
