//! Identifiers of deals and tasks (spec onchain B2): 32-byte hashes that cannot be mistaken for one another.
//!
//! Their text form is always `0x` and 64 lower-case hex digits; reading accepts either letter case and an absent `0x`.
//! This module never guesses: text that is not exactly 32 bytes is an error.

use alloy_primitives::{B256, U256, keccak256};

use crate::hex::HexError;

macro_rules! hash_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(
            /// The 32 bytes.
            pub B256,
        );

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                // `B256` prints shortened text with `Display`, whole text with the alternate flag or `LowerHex`.
                write!(f, "{:#x}", self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = HexError;

            fn from_str(text: &str) -> Result<Self, HexError> {
                crate::hex::fixed::<32>(text, $what).map(|bytes| Self(B256::from(bytes)))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl From<B256> for $name {
            fn from(hash: B256) -> Self {
                Self(hash)
            }
        }
    };
}

hash_id! {
    /// A deal: keccak256 of the request order's hash and of how much of that order was consumed before the match
    /// (spec onchain A6, B2.1). One request order can make several deals.
    DealId,
    "a deal id"
}

hash_id! {
    /// A task: keccak256 of its deal's id and its absolute index (spec onchain B2.2).
    TaskId,
    "a task id"
}

impl DealId {
    /// The deal made from the request order `request_order_hash` when `consumed_before` of its volume was used already.
    pub fn of(request_order_hash: B256, consumed_before: u64) -> Self {
        Self(hash_and_number(request_order_hash, consumed_before))
    }
}

impl TaskId {
    /// The task of `deal` at `index`. The index is absolute: it runs from the deal's `botFirst`, not from zero.
    pub fn of(deal: DealId, index: u64) -> Self {
        Self(hash_and_number(deal.0, index))
    }
}

fn hash_and_number(hash: B256, number: u64) -> B256 {
    let mut preimage = [0; 64];
    let (left, right) = preimage.split_at_mut(32);
    left.copy_from_slice(hash.as_slice());
    right.copy_from_slice(&U256::from(number).to_be_bytes::<32>());
    keccak256(preimage)
}
