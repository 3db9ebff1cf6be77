//! Statuses of tasks and contributions on the chain (spec onchain A3).
//!
//! The contracts return a `uint8`; a number this version does not know is an error value, never another status.

use serde::{Deserialize, Serialize};

/// A status number that the protocol does not define.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the chain returned {what} status {number}, which this version does not know")]
pub struct Unknown {
    /// Whose status: `task` or `contribution`.
    pub what: &'static str,
    /// The number the contract returned.
    pub number: u8,
}

/// Where a task stands on the chain.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ChainTaskStatus {
    /// Never initialised.
    #[default]
    Unset,
    /// Initialised, contributions are taken.
    Active,
    /// Consensus reached, the winners reveal.
    Revealing,
    /// Finalised and paid.
    Completed,
    /// Claimed after the final deadline.
    Failed,
}

impl ChainTaskStatus {
    /// Whether nothing can change any more.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

impl TryFrom<u8> for ChainTaskStatus {
    type Error = Unknown;

    fn try_from(number: u8) -> Result<Self, Unknown> {
        Ok(match number {
            0 => Self::Unset,
            1 => Self::Active,
            2 => Self::Revealing,
            3 => Self::Completed,
            4 => Self::Failed,
            number => {
                return Err(Unknown {
                    what: "task",
                    number,
                });
            }
        })
    }
}

/// Where one worker's contribution to a task stands on the chain.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ChainContributionStatus {
    /// None.
    #[default]
    Unset,
    /// Sent, not revealed.
    Contributed,
    /// Revealed; the contracts call it PROVED, Java calls it `REVEALED`.
    #[serde(rename = "REVEALED")]
    Proved,
    /// On a consensus that was reopened.
    Rejected,
}

impl TryFrom<u8> for ChainContributionStatus {
    type Error = Unknown;

    fn try_from(number: u8) -> Result<Self, Unknown> {
        Ok(match number {
            0 => Self::Unset,
            1 => Self::Contributed,
            2 => Self::Proved,
            3 => Self::Rejected,
            number => {
                return Err(Unknown {
                    what: "contribution",
                    number,
                });
            }
        })
    }
}
