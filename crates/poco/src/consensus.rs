//! Trust, weights and consensus: the contract's own arithmetic (spec onchain A12), and the prediction by which a
//! scheduler decides whether one more worker is wanted (spec scheduler-logic §6).
//!
//! The chain decides; nothing here knows what really happened. Integers are 256 bits wide and saturate, so that no
//! number of workers or weight can overflow.

use std::collections::BTreeMap;

use alloy_primitives::{B256, U256};

/// What a contribution of a worker with this score counts: `max(score / 3, 3) - 1`, at least 2.
pub const fn weight(score: u64) -> u64 {
    let third = score / 3;
    if third > 3 { third - 1 } else { 2 }
}

/// What the contract stores with a contribution and shares the reward by: the binary logarithm of the weight, rounded
/// down. Zero for a weight of zero, which no contribution has.
pub const fn stored_weight(weight: u64) -> u32 {
    match weight.checked_ilog2() {
        Some(log) => log,
        None => 0,
    }
}

/// The contract's running tally of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    total: U256,
    groups: BTreeMap<B256, U256>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            total: U256::ONE,
            groups: BTreeMap::new(),
        }
    }
}

impl Tally {
    /// Takes a contribution of `weight` for the result hash `hash`: the first of a group counts its weight, each further
    /// one multiplies the group by its own.
    pub fn contribute(&mut self, hash: B256, weight: u64) {
        let before = self.group(hash);
        let after = before.max(U256::ONE).saturating_mul(U256::from(weight));
        self.total = self.total.saturating_sub(before).saturating_add(after);
        self.groups.insert(hash, after);
    }

    /// Takes back everything contributed for `hash`, as a reopening does.
    pub fn reject(&mut self, hash: B256) {
        let group = self.groups.remove(&hash).unwrap_or_default();
        self.total = self.total.saturating_sub(group);
    }

    /// Whether `hash` has consensus under `trust`. The contract asks this after each contribution, for the contributed
    /// hash only.
    pub fn reached(&self, hash: B256, trust: u64) -> bool {
        let trust = U256::from(trust.max(1));
        self.group(hash).saturating_mul(trust)
            > self.total.saturating_mul(trust.saturating_sub(U256::ONE))
    }

    /// The product of the weights that contributed `hash`; zero when none did.
    pub fn group(&self, hash: B256) -> U256 {
        self.groups.get(&hash).copied().unwrap_or_default()
    }

    /// One, and all groups.
    pub const fn total(&self) -> U256 {
        self.total
    }
}

/// What consensus would look like if every worker that may still contribute agreed with the best result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prediction {
    /// The largest group of what was contributed; zero when nothing was.
    pub best: U256,
    /// The sum of all other groups.
    pub worst: U256,
    /// The product of the weights of the workers that may still contribute; zero when there are none.
    pub pending: U256,
}

impl Prediction {
    /// From what was contributed (result hash and weight of each) and the weights of the workers still at it. A weight of
    /// zero means that it is not known, and counts as nobody.
    pub fn new(
        contributions: impl IntoIterator<Item = (B256, u64)>,
        pending: impl IntoIterator<Item = u64>,
    ) -> Self {
        let mut groups: BTreeMap<B256, U256> = BTreeMap::new();
        for (hash, weight) in contributions.into_iter().filter(|(_, weight)| *weight > 0) {
            let group = groups.entry(hash).or_insert(U256::ONE);
            *group = group.saturating_mul(U256::from(weight));
        }
        let best = groups.values().copied().max().unwrap_or_default();
        let all = groups
            .values()
            .fold(U256::ZERO, |sum, group| sum.saturating_add(*group));
        Self {
            best,
            worst: all.saturating_sub(best),
            pending: pending
                .into_iter()
                .filter(|weight| *weight > 0)
                .map(U256::from)
                .reduce(U256::saturating_mul)
                .unwrap_or_default(),
        }
    }

    /// The group that the best result would have.
    pub fn best_prediction(&self) -> U256 {
        match (self.best.is_zero(), self.pending.is_zero()) {
            (true, _) => self.pending,
            (_, true) => self.best,
            _ => self.best.saturating_mul(self.pending),
        }
    }

    /// Whether that would still not be consensus under `trust`, so that one more worker is wanted.
    pub fn more_needed(&self, trust: u64) -> bool {
        let others = U256::from(trust.max(1) - 1);
        self.best_prediction() <= others.saturating_mul(self.worst.saturating_add(U256::ONE))
    }
}

/// Whether one more worker is wanted: see [`Prediction`]. `contributions` are result hash and weight of each that was
/// made; `pending` the weights of workers that may still make one.
pub fn more_needed(
    trust: u64,
    contributions: impl IntoIterator<Item = (B256, u64)>,
    pending: impl IntoIterator<Item = u64>,
) -> bool {
    Prediction::new(contributions, pending).more_needed(trust)
}
