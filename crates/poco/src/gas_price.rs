//! What to offer for gas: the network's price times a multiplier, never above a cap (spec onchain C3).
//!
//! Exact integer arithmetic. The Java services compute in single precision, which can offer *less* than the network asks
//! (100000001 × 1.0 gives 100000000) and is then refused; and they pay the cap where the network's price is zero, also on
//! a chain whose gas is free (worker Q58). Both are mended here. A price that could not be read is the caller's error to
//! handle, not a price.

use crate::units::Wei;

/// Parts of one: a multiplier is kept in billionths.
const ONE: u64 = 1_000_000_000;

/// How much more than the network's price to offer, as a decimal number: `1`, `1.3`, `0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Multiplier {
    billionths: u64,
}

/// Text that is not a multiplier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a gas price multiplier must be a decimal number like 1.3, at most 1000000 and with at most 9 decimals, not {text:?}"
)]
pub struct NotAMultiplier {
    /// The text given.
    pub text: String,
}

impl Multiplier {
    /// The network's price as it is.
    pub const ONE: Self = Self { billionths: ONE };
    /// Nothing: for chains whose gas is free.
    pub const ZERO: Self = Self { billionths: 0 };

    /// Whether it makes every price zero.
    pub const fn is_zero(self) -> bool {
        self.billionths == 0
    }
}

impl std::str::FromStr for Multiplier {
    type Err = NotAMultiplier;

    fn from_str(text: &str) -> Result<Self, NotAMultiplier> {
        const DECIMALS: usize = 9;
        const LARGEST: u64 = 1_000_000 * ONE;
        let bad = || NotAMultiplier {
            text: text.to_owned(),
        };
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !is_digits(whole) || !is_digits(decimals) || decimals.len() > DECIMALS {
            return Err(bad());
        }
        let whole: u64 = whole.parse().map_err(|_| bad())?;
        let decimals: u64 = format!("{decimals:0<DECIMALS$}")
            .parse()
            .map_err(|_| bad())?;
        whole
            .checked_mul(ONE)
            .and_then(|billionths| billionths.checked_add(decimals))
            .filter(|billionths| *billionths <= LARGEST)
            .map(|billionths| Self { billionths })
            .ok_or_else(bad)
    }
}

impl std::fmt::Display for Multiplier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, decimals) = (self.billionths / ONE, self.billionths % ONE);
        if decimals == 0 {
            return write!(f, "{whole}");
        }
        let decimals = format!("{decimals:09}");
        write!(f, "{whole}.{}", decimals.trim_end_matches('0'))
    }
}

/// What a network price of zero means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZeroPrice {
    /// Gas costs nothing here: offer nothing (chains with the `sidechain` flag).
    Free,
    /// The node cannot say: offer the cap, as Java does everywhere.
    Unknown,
}

/// The price to offer: `min(network × multiplier, cap)`, rounded down but never below `network` for a multiplier of at
/// least one (unless the cap is).
pub fn offer(network: Wei, multiplier: Multiplier, cap: Wei, zero: ZeroPrice) -> Wei {
    if network == Wei(0) {
        return match zero {
            ZeroPrice::Free => Wei(0),
            ZeroPrice::Unknown => cap,
        };
    }
    // Whole and fraction apart, so that no price a node can name overflows.
    let one = u128::from(ONE);
    let by = u128::from(multiplier.billionths);
    let price = (network.0 / one)
        .saturating_mul(by)
        .saturating_add((network.0 % one).saturating_mul(by) / one);
    Wei(price).min(cap)
}
