//! The newest block as the node pushes it, so that nobody has to ask for it, and who waits for the next one is woken by it. A node that
//! does not push is asked no more often than it would be anyway; everybody then asks for themselves.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chain::Heads;
use poco::units::BlockNumber;
use tokio::time::Instant;

use crate::pipeline::work::Shared;

/// Between two questions to a node that does not push.
const ASK: Duration = Duration::from_secs(60);
/// A block that came so long ago is not the newest any more.
const OLD: Duration = Duration::from_secs(10);

/// What came last, and when.
#[derive(Debug, Default)]
pub struct Newest(Mutex<Option<(Instant, BlockNumber)>>);

impl Newest {
    /// The newest block; `None` when none came of late.
    #[must_use]
    pub fn block(&self) -> Option<BlockNumber> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .filter(|(at, _)| at.elapsed() < OLD)
            .map(|(_, number)| number)
    }

    fn came(&self, number: BlockNumber) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), number));
    }
}

/// Follows the newest block, for ever.
pub(crate) async fn follow(shared: Arc<Shared>) {
    let mut heads = Heads::new(shared.hub.node().clone(), ASK);
    loop {
        match heads.next().await {
            Ok(head) => {
                shared.newest.came(head.block.number);
                shared.outbox.tell(&head);
            }
            Err(error) => tracing::debug!(%error, "the newest block is not known"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_block_is_the_newest_for_a_while_only() {
        let newest = Newest::default();
        assert_eq!(newest.block(), None);
        newest.came(BlockNumber(7));
        assert_eq!(newest.block(), Some(BlockNumber(7)));
        tokio::time::advance(OLD).await;
        assert_eq!(newest.block(), None);
    }
}
