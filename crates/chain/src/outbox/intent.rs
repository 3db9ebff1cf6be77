//! What is to be sent, how far it got, and how it ended.

use alloy_primitives::{Address, B256, Bytes};
use poco::units::{BlockNumber, Timestamp};
use serde::{Deserialize, Serialize};

use super::{fees::Offer, join::Joinable};
use crate::{Receipt, Revert};

/// A transaction that is wanted. It does not say nonce, gas price or time: those are the outbox's business.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Names the purpose, like `initialize:0x…`. One payload per key is mined, however often it is submitted.
    pub key: String,
    /// The contract.
    pub to: Address,
    /// Selector and arguments.
    pub calldata: Bytes,
    /// How the gas limit is found.
    pub gas: GasPolicy,
    /// When sending it makes no sense any more. It counts only until the first transaction is signed.
    pub deadline: Option<Timestamp>,
    /// What it does, if that can be done in one transaction with others. Then it may be sent so, at a share of the gas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joins: Option<Joinable>,
}

/// Gas limit = the larger of `floor` and estimate × `margin` / 1000, plus `extra`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GasPolicy {
    /// The least limit before `extra`.
    pub floor: u64,
    /// Gas for what an estimate does not see, like a callback.
    pub extra: u64,
    /// In thousandths of the estimate: 1000 takes it as it is.
    pub margin: u32,
}

impl GasPolicy {
    /// A fifth above the estimate.
    pub const fn estimated() -> Self {
        Self {
            floor: 0,
            extra: 0,
            margin: 1200,
        }
    }

    /// The same with a least limit.
    #[must_use]
    pub const fn at_least(mut self, floor: u64) -> Self {
        self.floor = floor;
        self
    }

    /// The same with gas added on top.
    #[must_use]
    pub const fn plus(mut self, extra: u64) -> Self {
        self.extra = extra;
        self
    }

    pub(super) fn limit(self, estimate: u64) -> u64 {
        let with_margin = u128::from(estimate).saturating_mul(u128::from(self.margin)) / 1000;
        u64::try_from(with_margin)
            .unwrap_or(u64::MAX)
            .max(estimate)
            .max(self.floor)
            .saturating_add(self.extra)
    }
}

/// How an intent ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is in a block and did what it was sent for.
    Mined {
        /// Of the transaction that was mined.
        receipt: Receipt,
    },
    /// It is in a block and failed there.
    Reverted {
        /// Why, found by repeating the call.
        reason: Revert,
        /// Of the transaction that was mined.
        receipt: Receipt,
    },
    /// It would fail, so it was not sent. Submitting it again tries again.
    Refused {
        /// Why the contract or the nodes refuse it.
        reason: Revert,
    },
    /// Its deadline passed before anything was sent. Submitting it again tries again.
    Expired,
}

impl Outcome {
    /// Whether something of it is in a block, so that the same key must never be sent again.
    pub const fn is_on_chain(&self) -> bool {
        matches!(self, Self::Mined { .. } | Self::Reverted { .. })
    }

    pub(super) const fn receipt(&self) -> Option<&Receipt> {
        match self {
            Self::Mined { receipt } | Self::Reverted { receipt, .. } => Some(receipt),
            Self::Refused { .. } | Self::Expired => None,
        }
    }
}

/// One signed transaction of an intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its hash.
    pub hash: B256,
    /// Its bytes, as they are broadcast.
    pub raw: Bytes,
    /// What it offers for gas.
    pub offer: Offer,
}

/// How far an intent got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Accepted, nothing signed.
    Waiting,
    /// Part of another intent of the outbox's own, which does this and more in one transaction. It ends as that one does.
    Joined {
        /// That intent's key.
        carrier: String,
    },
    /// Signed, perhaps broadcast. All attempts have the same nonce and payload, so one of them at most is mined.
    Sending {
        /// The nonce that belongs to this intent.
        nonce: u64,
        /// The gas limit.
        gas: u64,
        /// Oldest first, never empty.
        attempts: Vec<Attempt>,
    },
    /// Ended.
    Settled {
        /// How.
        outcome: Outcome,
        /// What would be sent again if a reorganisation took it off the chain; `None` once that is out of question.
        watched: Option<Watched>,
    },
}

/// The transactions of a settled intent while its block is young.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// Their nonce.
    pub nonce: u64,
    /// Their gas limit.
    pub gas: u64,
    /// The block one of them is in.
    pub block: BlockNumber,
    /// Oldest first.
    pub attempts: Vec<Attempt>,
}

/// An intent and how far it got: what the store keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxRecord {
    /// What is wanted.
    pub intent: Intent,
    /// When it was accepted; older ones are sent first.
    pub accepted: Timestamp,
    /// How far it got.
    pub stage: Stage,
    /// The most intents, itself included, that it may be sent with, since it failed in greater company.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub together: Option<u32>,
}

impl OutboxRecord {
    /// A new one.
    pub const fn new(intent: Intent, accepted: Timestamp) -> Self {
        Self {
            intent,
            accepted,
            stage: Stage::Waiting,
            together: None,
        }
    }

    pub(super) fn most_together(&self) -> usize {
        self.together.map_or(usize::MAX, |most| most as usize)
    }

    /// Whether the outbox still has to do with it, so that it must be loaded at start.
    pub const fn is_live(&self) -> bool {
        match &self.stage {
            Stage::Waiting | Stage::Joined { .. } | Stage::Sending { .. } => true,
            Stage::Settled { watched, .. } => watched.is_some(),
        }
    }

    /// The nonce it holds.
    pub const fn nonce(&self) -> Option<u64> {
        match &self.stage {
            Stage::Waiting | Stage::Joined { .. } => None,
            Stage::Sending { nonce, .. } => Some(*nonce),
            Stage::Settled { watched, .. } => match watched {
                Some(watched) => Some(watched.nonce),
                None => None,
            },
        }
    }
}
