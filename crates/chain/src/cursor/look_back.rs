//! Reading the newest blocks' logs again with those of the next ones: a node whose index of logs is behind its blocks answers a range
//! with too few logs and no error. What it finds late is told late, which is better than never. Remembered is what was told, so that
//! nothing is told twice; blocks that an earlier life of this process read are left alone.

use std::collections::BTreeSet;
use std::time::Duration;

use poco::units::BlockNumber;

use crate::{Fact, Located};

/// For how long a log may be missing and still be found.
const SPAN: Duration = Duration::from_secs(180);
/// The most blocks that are looked at again.
const MOST: u64 = 720;

/// What was told of the newest blocks.
#[derive(Debug)]
pub(super) struct LookBack {
    /// Blocks to look back at most.
    depth: u64,
    /// The first block of which it is known what was told: one that this cursor read itself, and not too long ago.
    floor: BlockNumber,
    told: BTreeSet<(BlockNumber, u64)>,
}

impl LookBack {
    pub(super) fn new(block_time: Duration, floor: BlockNumber) -> Self {
        let blocks = SPAN.as_millis() / block_time.as_millis().max(1);
        Self {
            depth: u64::try_from(blocks).unwrap_or(MOST).min(MOST),
            floor,
            told: BTreeSet::new(),
        }
    }

    /// The block from which to ask, where `from` is the first unread one and `room` more blocks fit into the request.
    pub(super) fn begin(&self, from: BlockNumber, room: u64) -> BlockNumber {
        let depth = self.depth.min(room);
        BlockNumber(from.0.saturating_sub(depth)).max(self.floor.min(from))
    }

    /// Whether this is to be told: it stands in an unread block, or was missing when its block was read.
    pub(super) fn is_news(&self, fact: &Located<Fact>, unread: BlockNumber) -> bool {
        let late = fact.block < unread;
        if late && self.told.contains(&(fact.block, fact.log_index)) {
            return false;
        }
        if late {
            tracing::warn!(
                block = fact.block.0,
                tx = %fact.tx,
                "the node gave a log only now that it had left out before"
            );
        }
        true
    }

    /// Notes that all up to `to` is read, and what was told on the way.
    pub(super) fn advanced(&mut self, facts: &[Located<Fact>], to: BlockNumber) {
        self.told
            .extend(facts.iter().map(|fact| (fact.block, fact.log_index)));
        let oldest = BlockNumber(to.0.saturating_sub(self.depth));
        self.told = self.told.split_off(&(oldest, 0));
        self.floor = self.floor.max(oldest);
    }

    /// Notes that nothing above `to` counts.
    pub(super) fn rolled_back(&mut self, to: BlockNumber) {
        let next = BlockNumber(to.0.saturating_add(1));
        let _dropped = self.told.split_off(&(next, 0));
        self.floor = self.floor.min(next);
    }

    /// Begins anew at `floor`.
    pub(super) fn restart(&mut self, floor: BlockNumber) {
        self.told.clear();
        self.floor = floor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_which_is_forgotten_what_was_told_are_not_looked_at_again_after_a_rollback() {
        let mut look_back = LookBack::new(Duration::from_secs(1), BlockNumber(0));
        look_back.advanced(&[], BlockNumber(1000));
        assert_eq!(look_back.begin(BlockNumber(1001), 1000), BlockNumber(821));
        look_back.rolled_back(BlockNumber(990));
        assert_eq!(look_back.begin(BlockNumber(991), 1000), BlockNumber(820));
        // What is taken back below what is remembered is new.
        look_back.rolled_back(BlockNumber(700));
        assert_eq!(look_back.begin(BlockNumber(701), 1000), BlockNumber(701));
    }
}
