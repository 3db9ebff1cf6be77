//! The newest block as the node pushes it, so that nobody has to ask for it, and who waits for the next one is woken by it. A node that
//! does not push is asked no more often than it would be anyway; what one asker learns serves all others for whom it is new enough.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chain::{Block, Heads};
use poco::units::BlockNumber;
use tokio::time::Instant;

use crate::pipeline::work::Shared;

/// Between two questions to a node that does not push.
const ASK: Duration = Duration::from_secs(60);
/// A block that came so long ago is not the newest any more.
const OLD: Duration = Duration::from_secs(10);

/// What came last, and when.
#[derive(Debug, Default)]
pub struct Newest(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// What the node told by itself.
    pushed: Option<(Instant, Block)>,
    /// What anybody learned, in whatever way.
    learned: Option<(Instant, BlockNumber)>,
}

impl Newest {
    /// The newest block; `None` when none came of late.
    #[must_use]
    pub fn block(&self) -> Option<BlockNumber> {
        self.header().map(|block| block.number)
    }

    /// The same with what the node said about it.
    #[must_use]
    pub fn header(&self) -> Option<Block> {
        let (at, block) = self.known().pushed?;
        (at.elapsed() < OLD).then_some(block)
    }

    /// The block that was the newest at some time within `age`.
    #[must_use]
    pub fn within(&self, age: Duration) -> Option<BlockNumber> {
        let (at, number) = self.known().learned?;
        (at.elapsed() < age).then_some(number)
    }

    /// Somebody asked for the newest block, and it is this one.
    pub fn learn(&self, number: BlockNumber) {
        self.known().learned = Some((Instant::now(), number));
    }

    fn came(&self, block: Block) {
        self.learn(block.number);
        self.known().pushed = Some((Instant::now(), block));
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows the newest block, for ever.
pub(crate) async fn follow(shared: Arc<Shared>) {
    let mut heads = Heads::new(shared.hub.node().clone(), ASK);
    loop {
        match heads.next().await {
            Ok(head) => {
                shared.newest.came(head.block);
                shared.outbox.tell(&head);
            }
            Err(error) => tracing::debug!(%error, "the newest block is not known"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkup::tests::block;

    #[tokio::test(start_paused = true)]
    async fn a_block_is_the_newest_for_a_while_only() {
        let newest = Newest::default();
        assert_eq!(newest.block(), None);
        newest.came(block(Default::default()));
        assert_eq!(newest.block(), Some(BlockNumber(7)));
        tokio::time::advance(OLD).await;
        assert_eq!(newest.block(), None);
        assert_eq!(newest.within(OLD * 2), Some(BlockNumber(7)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_asked_for_is_not_taken_for_what_the_node_pushes() {
        let newest = Newest::default();
        newest.learn(BlockNumber(7));
        assert_eq!(newest.block(), None);
        assert_eq!(newest.within(OLD), Some(BlockNumber(7)));
        tokio::time::advance(OLD).await;
        assert_eq!(newest.within(OLD), None);
    }
}
