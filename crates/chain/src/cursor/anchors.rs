//! Where a cursor is, and the blocks it remembers to find its way back after a reorganisation.

use std::collections::VecDeque;

use alloy_primitives::B256;
use poco::units::BlockNumber;
use serde::{Deserialize, Serialize};

use crate::Block;

/// How many earlier blocks are remembered.
const KEPT: usize = 64;

/// A block that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// Its height.
    pub number: BlockNumber,
    /// Its hash.
    pub hash: B256,
}

/// Where a cursor is. All blocks up to `number` are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorPosition {
    /// The last block read.
    pub number: BlockNumber,
    /// Its hash.
    pub hash: B256,
    /// Ends of earlier steps, oldest first; at most 64.
    pub earlier: VecDeque<Anchor>,
}

impl CursorPosition {
    /// A position with no past.
    pub const fn at(number: BlockNumber, hash: B256) -> Self {
        Self {
            number,
            hash,
            earlier: VecDeque::new(),
        }
    }

    pub(super) fn moved_to(&self, block: &Block) -> Self {
        let mut earlier = self.earlier.clone();
        if earlier.len() >= KEPT {
            earlier.pop_front();
        }
        earlier.push_back(self.anchor());
        Self {
            number: block.number,
            hash: block.hash,
            earlier,
        }
    }

    /// This position as it was at the remembered block `number`.
    pub(super) fn back_to(&self, number: BlockNumber) -> Option<Self> {
        let mut earlier = self.earlier.clone();
        earlier.push_back(self.anchor());
        while let Some(newest) = earlier.pop_back() {
            if newest.number == number {
                return Some(Self {
                    number,
                    hash: newest.hash,
                    earlier,
                });
            }
        }
        None
    }

    pub(super) fn newest_first(&self) -> impl Iterator<Item = Anchor> {
        std::iter::once(self.anchor()).chain(self.earlier.iter().rev().copied())
    }

    pub(super) fn newest_up_to(&self, number: BlockNumber) -> Option<Anchor> {
        self.newest_first().find(|anchor| anchor.number <= number)
    }

    const fn anchor(&self) -> Anchor {
        Anchor {
            number: self.number,
            hash: self.hash,
        }
    }
}
