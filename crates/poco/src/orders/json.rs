//! The members of an order as JSON: written as the SDK writes them, read as any peer may write them (spec onchain B3, sdk-client 6.1).

use std::borrow::Cow;

use alloy_primitives::{Address, B256, Bytes, U256};
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::hex;

/// An address: written with its checksum, read in any case.
pub(super) struct Account(pub(super) Address);

/// 32 bytes of hex.
pub(super) struct Word(pub(super) B256);

/// A number: written as decimal text, read as that or as a JSON number.
pub(super) struct Amount(pub(super) U256);

/// Text as it is.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub(super) struct Words(pub(super) String);

/// Any number of bytes of hex, none by default.
#[derive(Default)]
pub(super) struct Blob(pub(super) Bytes);

impl Serialize for Account {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Account {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        hex::address(&text).map(Self).map_err(Error::custom)
    }
}

impl Serialize for Word {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        hex::fixed::<32>(&text, "a member of 32 bytes")
            .map(|bytes| Self(bytes.into()))
            .map_err(Error::custom)
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        hex::decode(&text, "a signature")
            .map(|bytes| Self(bytes.into()))
            .map_err(Error::custom)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AmountVisitor)
    }
}

struct AmountVisitor;

impl Visitor<'_> for AmountVisitor {
    type Value = Amount;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(
            "a whole number that is not negative, as a number or as decimal text below 2^256",
        )
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Amount, E> {
        Ok(Amount(U256::from(number)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Amount, E> {
        let wrong = || E::invalid_value(Unexpected::Str(text), &self);
        if text.is_empty() || !text.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(wrong());
        }
        U256::from_str_radix(text, 10)
            .map(Amount)
            .map_err(|_| wrong())
    }
}
