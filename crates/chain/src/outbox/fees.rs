//! What is offered for gas: the network's price times a multiplier, never above the cap. Whole numbers only.

use serde::{Deserialize, Serialize};

use crate::Fees;

/// What a transaction offers, in wei per gas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Offer {
    /// EIP-1559.
    Dynamic {
        /// The most it pays.
        max_fee: u128,
        /// The part of it for the block's maker.
        tip: u128,
    },
    /// One price.
    Legacy {
        /// What it pays.
        price: u128,
    },
}

impl Offer {
    /// The most it pays per gas.
    pub const fn most(self) -> u128 {
        match self {
            Self::Dynamic { max_fee, .. } => max_fee,
            Self::Legacy { price } => price,
        }
    }
}

/// How offers are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pricing {
    /// Thousandths.
    pub(super) multiplier: u64,
    /// Wei per gas.
    pub(super) cap: u128,
    pub(super) legacy: bool,
}

/// The cap does not even cover the base fee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CapTooLow {
    pub(super) base: u128,
}

impl Pricing {
    /// An offer for `fees`, or why none can be made now.
    pub(super) fn offer(self, fees: Fees) -> Result<Offer, CapTooLow> {
        match fees {
            Fees::Legacy { price } => Ok(Offer::Legacy {
                price: self.scale(price).min(self.cap),
            }),
            Fees::Dynamic { base, .. } if self.cap < base => Err(CapTooLow { base }),
            Fees::Dynamic { base, tip } if self.legacy => Ok(Offer::Legacy {
                // Rounding or a multiplier below one must not offer less than the base fee (spec onchain C3).
                price: self.scale(base.saturating_add(tip)).max(base).min(self.cap),
            }),
            Fees::Dynamic { base, tip } => {
                // Twice the base fee lasts for six full blocks in a row.
                let roomy = base.saturating_mul(2).saturating_add(tip);
                let max_fee = self.scale(roomy).max(base).min(self.cap);
                Ok(Offer::Dynamic {
                    max_fee,
                    tip: self.scale(tip).min(max_fee),
                })
            }
        }
    }

    /// An offer that nodes take as a replacement of `old`: an eighth more in every part, or `fresh` where that is more.
    /// `None` when the cap does not allow it.
    pub(super) fn replacement(self, old: Offer, fresh: Offer) -> Option<Offer> {
        let better = match (old, fresh) {
            (Offer::Dynamic { max_fee, tip }, fresh) => {
                let (fresh_fee, fresh_tip) = match fresh {
                    Offer::Dynamic { max_fee, tip } => (max_fee, tip),
                    Offer::Legacy { price } => (price, 0),
                };
                let max_fee = an_eighth_more(max_fee).max(fresh_fee);
                Offer::Dynamic {
                    max_fee,
                    tip: an_eighth_more_or_zero(tip).max(fresh_tip).min(max_fee),
                }
            }
            (Offer::Legacy { price }, fresh) => Offer::Legacy {
                price: an_eighth_more(price).max(fresh.most()),
            },
        };
        (better.most() <= self.cap).then_some(better)
    }

    fn scale(self, wei: u128) -> u128 {
        wei.saturating_mul(u128::from(self.multiplier)) / 1000
    }
}

fn an_eighth_more(wei: u128) -> u128 {
    wei.saturating_add(wei.div_ceil(8)).max(1)
}

/// A tip of zero is as good as another where tips do not count.
fn an_eighth_more_or_zero(wei: u128) -> u128 {
    wei.saturating_add(wei.div_ceil(8))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GWEI: u128 = 1_000_000_000;
    const PRICING: Pricing = Pricing {
        multiplier: 1000,
        cap: 22 * GWEI,
        legacy: false,
    };

    // C3: single precision made 100000000 out of 100000001, below the base fee.
    #[test]
    fn prices_are_scaled_without_rounding_them_below_the_base_fee() {
        let fees = Fees::Dynamic {
            base: 100_000_001,
            tip: 0,
        };
        let legacy = Pricing {
            legacy: true,
            ..PRICING
        };
        assert_eq!(legacy.offer(fees), Ok(Offer::Legacy { price: 100_000_001 }));
        let more = Pricing {
            multiplier: 1300,
            ..PRICING
        };
        assert_eq!(
            more.offer(Fees::Legacy { price: GWEI / 10 }),
            Ok(Offer::Legacy { price: 130_000_000 })
        );
    }

    #[test]
    fn a_dynamic_offer_leaves_room_for_a_rising_base_fee() {
        let fees = Fees::Dynamic {
            base: 3 * GWEI,
            tip: GWEI,
        };
        assert_eq!(
            PRICING.offer(fees),
            Ok(Offer::Dynamic {
                max_fee: 7 * GWEI,
                tip: GWEI
            })
        );
    }

    #[test]
    fn the_cap_is_never_exceeded_and_below_the_base_fee_there_is_no_offer() {
        let fees = |base| Fees::Dynamic { base, tip: GWEI };
        assert_eq!(
            PRICING.offer(fees(20 * GWEI)).map(Offer::most),
            Ok(22 * GWEI)
        );
        assert_eq!(
            PRICING.offer(fees(23 * GWEI)),
            Err(CapTooLow { base: 23 * GWEI })
        );
        assert_eq!(
            PRICING.offer(Fees::Legacy { price: 50 * GWEI }),
            Ok(Offer::Legacy { price: 22 * GWEI })
        );
    }

    #[test]
    fn free_gas_is_a_price() {
        let free = Pricing { cap: 0, ..PRICING };
        assert_eq!(
            free.offer(Fees::Legacy { price: 0 }),
            Ok(Offer::Legacy { price: 0 })
        );
    }

    #[test]
    fn a_replacement_offers_an_eighth_more_in_every_part_or_the_fresh_price() {
        let old = Offer::Dynamic {
            max_fee: 801,
            tip: 9,
        };
        let calm = Offer::Dynamic {
            max_fee: 100,
            tip: 1,
        };
        let hot = Offer::Dynamic {
            max_fee: 5000,
            tip: 50,
        };
        assert_eq!(
            PRICING.replacement(old, calm),
            Some(Offer::Dynamic {
                max_fee: 902,
                tip: 11
            })
        );
        assert_eq!(PRICING.replacement(old, hot), Some(hot));
        assert_eq!(
            PRICING.replacement(Offer::Legacy { price: 8 }, calm),
            Some(Offer::Legacy { price: 100 })
        );
    }

    #[test]
    fn a_replacement_that_would_need_more_than_the_cap_is_not_made() {
        let old = Offer::Legacy { price: 20 * GWEI };
        assert_eq!(PRICING.replacement(old, old), None);
    }
}
