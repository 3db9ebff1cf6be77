//! Tags: what a deal demands of a worker, as bits of a 32-byte word (spec onchain A10).
//!
//! Bit 0 is the least significant bit of the last byte. Which framework a deal wants is the *exact value* of the low
//! nibble; this module never guesses one from a single bit.

use alloy_primitives::B256;

use crate::hex::HexError;

/// A tag as it stands in orders and deals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tag(
    /// The 32 bytes.
    pub B256,
);

/// The enclave technologies a tag can name.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TeeFramework {
    /// Low nibble 3.
    Scone,
    /// Low nibble 5.
    Gramine,
    /// Low nibble 9.
    Tdx,
}

impl TeeFramework {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Scone, Self::Gramine, Self::Tdx];

    /// The framework of a low nibble, which must match exactly: 3, 5 or 9.
    pub const fn of_nibble(nibble: u8) -> Option<Self> {
        match nibble {
            3 => Some(Self::Scone),
            5 => Some(Self::Gramine),
            9 => Some(Self::Tdx),
            _ => None,
        }
    }

    /// The tag that demands it and nothing else.
    pub const fn tag(self) -> Tag {
        match self {
            Self::Scone => Tag::SCONE,
            Self::Gramine => Tag::GRAMINE,
            Self::Tdx => Tag::TDX,
        }
    }

    /// Its name on the wire: `SCONE`, `GRAMINE`, `TDX` (spec scheduler-api §5.7).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scone => "SCONE",
            Self::Gramine => "GRAMINE",
            Self::Tdx => "TDX",
        }
    }
}

impl std::fmt::Display for TeeFramework {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Tag {
    /// No demand at all.
    pub const NONE: Self = Self(B256::ZERO);
    /// Bit 0 alone: an enclave is demanded.
    pub const TEE: Self = Self::low(1);
    /// SCONE: bits 0 and 1.
    pub const SCONE: Self = Self::low(3);
    /// Gramine: bits 0 and 2.
    pub const GRAMINE: Self = Self::low(5);
    /// TDX: bits 0 and 3.
    pub const TDX: Self = Self::low(9);
    /// Bit 8 alone: a graphics processor is demanded.
    pub const GPU: Self = {
        let mut bytes = [0; 32];
        bytes[30] = 1;
        Self(B256::new(bytes))
    };

    const fn low(byte: u8) -> Self {
        let mut bytes = [0; 32];
        bytes[31] = byte;
        Self(B256::new(bytes))
    }

    /// Bit 0: the contracts take no contribution without an enclave challenge.
    pub fn needs_enclave(self) -> bool {
        self.low_byte() & 1 == 1
    }

    /// Bit 8: a worker with a graphics processor is wanted. Nothing on the chain enforces it.
    pub fn gpu(self) -> bool {
        let [.., high, _] = self.0.0;
        high & 1 == 1
    }

    /// The framework named by the low nibble's exact value.
    pub fn tee_framework(self) -> Option<TeeFramework> {
        TeeFramework::of_nibble(self.low_byte() & 0x0f)
    }

    /// Whether no worker can ever execute this deal: an enclave is demanded, or a framework bit is set, and the low
    /// nibble names no framework (spec onchain A10, E8). A nibble without bit 0 is an ordinary deal for everybody.
    pub fn is_impossible(self) -> bool {
        self.needs_enclave() && self.tee_framework().is_none()
    }

    /// The tag of a deal: all bits of the app's and the request's tag, and the dataset's without bits 1 to 3
    /// (spec onchain A5 check 06; PoCo 6.2).
    #[must_use]
    pub fn of_deal(app: Self, dataset: Self, request: Self) -> Self {
        Self(app.0 | dataset.without_framework().0 | request.0)
    }

    /// Whether every bit of `demanded` is set here too.
    pub fn covers(self, demanded: Self) -> bool {
        demanded.0 & !self.0 == B256::ZERO
    }

    /// This tag without bits 1 to 3: what the contracts compare of a dataset's tag (PoCo 6.2).
    #[must_use]
    pub fn without_framework(self) -> Self {
        Self(self.0 & !Self::low(0x0e).0)
    }

    fn low_byte(self) -> u8 {
        let [.., low] = self.0.0;
        low
    }
}

impl std::fmt::Display for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl std::fmt::Debug for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tag({:#x})", self.0)
    }
}

impl std::str::FromStr for Tag {
    type Err = HexError;

    fn from_str(text: &str) -> Result<Self, HexError> {
        crate::hex::fixed::<32>(text, "a tag").map(|bytes| Self(B256::from(bytes)))
    }
}

impl From<B256> for Tag {
    fn from(word: B256) -> Self {
        Self(word)
    }
}

impl serde::Serialize for Tag {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Tag {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
