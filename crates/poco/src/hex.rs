//! Strict hex text and the text form of addresses: what we emit is always `0x` and lower case.
//!
//! Reading accepts either letter case and an absent `0x`, and nothing else. The Java decoder that accepts any text
//! whatever is [`crate::lax_hex`].

use alloy_primitives::Address;

/// Text that is not the hex it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HexError {
    /// A character that is not a hex digit, or half a byte.
    #[error("{what} must be hex digits after 0x, two a byte, not {text:?}")]
    NotHex {
        /// What was being read.
        what: &'static str,
        /// The text given, shortened.
        text: String,
    },
    /// Hex of another size.
    #[error("{what} must be {expected} bytes of hex, not {got} bytes")]
    Length {
        /// What was being read.
        what: &'static str,
        /// Bytes wanted.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
}

/// The lower-case `0x` text of an address, which is what every message of ours carries (spec onchain B1.4: `Display` of
/// an address is checksummed, and Java compares some of these fields as text).
pub fn lower(address: &Address) -> String {
    format!("{address:#x}")
}

/// `0x` and two lower-case digits for each byte.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    alloy_primitives::hex::encode_prefixed(bytes)
}

/// The bytes of strict hex text: an optional `0x`, then an even number of hex digits of either case.
///
/// # Errors
/// [`HexError::NotHex`], which names `what` was being read.
pub fn decode(text: &str, what: &'static str) -> Result<Vec<u8>, HexError> {
    let wrong = || HexError::NotHex {
        what,
        text: shortened(text),
    };
    // The library takes it for a prefix; no peer does, and the lax decoder makes other bytes of it.
    if text.starts_with("0X") {
        return Err(wrong());
    }
    alloy_primitives::hex::decode(text).map_err(|_| wrong())
}

/// Strict hex text of exactly `N` bytes.
///
/// # Errors
/// [`HexError`], which names `what` was being read.
pub fn fixed<const N: usize>(text: &str, what: &'static str) -> Result<[u8; N], HexError> {
    let bytes = decode(text, what)?;
    let got = bytes.len();
    bytes.try_into().map_err(|_| HexError::Length {
        what,
        expected: N,
        got,
    })
}

/// An address in any letter case. A mixed-case address with a wrong checksum is accepted, as every peer does.
///
/// # Errors
/// [`HexError`] when the text is not 20 bytes of hex.
pub fn address(text: &str) -> Result<Address, HexError> {
    fixed::<20>(text, "an address").map(Address::from)
}

fn shortened(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// `#[serde(with = "poco::hex::lower_address")]`: an address as lower-case text, read in any case.
pub mod lower_address {
    use std::borrow::Cow;

    use alloy_primitives::Address;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the lower-case text.
    ///
    /// # Errors
    /// Those of the serialiser.
    pub fn serialize<S: Serializer>(address: &Address, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{address:#x}"))
    }

    /// Reads any letter case.
    ///
    /// # Errors
    /// When the text is not 20 bytes of hex.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        super::address(&text).map_err(serde::de::Error::custom)
    }
}

/// `#[serde(with = "poco::hex::lower_address_opt")]`: the same for an address that may be absent (`null`).
pub mod lower_address_opt {
    use std::borrow::Cow;

    use alloy_primitives::Address;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the lower-case text, or `null`.
    ///
    /// # Errors
    /// Those of the serialiser.
    pub fn serialize<S: Serializer>(
        address: &Option<Address>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match address {
            Some(address) => super::lower_address::serialize(address, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads any letter case, or `null`.
    ///
    /// # Errors
    /// When there is text and it is not 20 bytes of hex.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Address>, D::Error> {
        Option::<Cow<'de, str>>::deserialize(deserializer)?
            .map(|text| super::address(&text).map_err(serde::de::Error::custom))
            .transpose()
    }
}

/// `#[serde(with = "poco::hex::lower_addresses")]`: a list of addresses, each as lower-case text.
pub mod lower_addresses {
    use alloy_primitives::Address;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes each as lower-case text.
    ///
    /// # Errors
    /// Those of the serialiser.
    pub fn serialize<S: Serializer>(
        addresses: &[Address],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(addresses.iter().map(super::lower))
    }

    /// Reads any letter case.
    ///
    /// # Errors
    /// When one of the texts is not 20 bytes of hex.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Address>, D::Error> {
        Vec::<String>::deserialize(deserializer)?
            .iter()
            .map(|text| super::address(text).map_err(serde::de::Error::custom))
            .collect()
    }
}
