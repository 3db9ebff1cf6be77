//! Looking at the chain before a round acts. The whole look asks for the head and for the wallet's nonces, used up and pending. As long as
//! everything goes as it should, less will do: the head is told by whoever follows the blocks, a transaction's receipt says that its nonce
//! is used up, and only a new transaction needs to know the nonce that it shall have.

use std::time::Instant;

use super::round::{Front, Sender, View, WATCH_EVERY};
use crate::{Block, NodeError};

/// Transactions in flight whose receipts are asked for one by one; with more of them it is cheaper to ask how many are mined.
const FEW: usize = 2;
/// Blocks after a reorganisation for which every look is a whole one: nodes come to it one after the other.
const SETTLES: u32 = 3;

impl Sender {
    pub(super) async fn look(&mut self) -> Result<View, NodeError> {
        self.receipts.clear();
        let head = self.head().await?;
        let glanced = if self.goes_well() {
            self.glance().await?
        } else {
            None
        };
        let (mined, pending) = match glanced {
            Some(seen) => seen,
            None => {
                let wallet = self.shared.wallet;
                let (mined, pending) = tokio::try_join!(
                    self.node.transaction_count(wallet),
                    self.node.pending_count(wallet)
                )?;
                self.looked = Some(Instant::now());
                (mined, Some(pending))
            }
        };
        if self.front.nonce != mined {
            self.front = Front {
                nonce: mined,
                since: Instant::now(),
                block: head.number.0,
            };
        }
        Ok(View {
            head,
            mined,
            pending,
        })
    }

    /// The newest block: as it was told, while that is fresh.
    async fn head(&self) -> Result<Block, NodeError> {
        match self.shared.told(self.shared.settings.block_time * 2) {
            Some(head) => Ok(head),
            None => self.node.head().await,
        }
    }

    /// Whether nothing has happened since the last whole look that only a whole look would show.
    fn goes_well(&self) -> bool {
        let settings = &self.shared.settings;
        let known = self
            .looked
            .is_some_and(|at| at.elapsed() < settings.block_time * WATCH_EVERY);
        let moved = self
            .moved
            .is_some_and(|at| at.elapsed() < settings.block_time * SETTLES);
        known && !moved && self.shared.book().goes_well(FEW, settings.stuck_after / 2)
    }

    /// Nonces used up and pending, the latter where something waits for one; none where the node's word is not what was expected.
    async fn glance(&mut self) -> Result<Option<(u64, Option<u64>)>, NodeError> {
        let (flights, waits) = {
            let book = self.shared.book();
            (book.flights(), book.counts().0 > 0)
        };
        let mut mined = self.front.nonce;
        let mut next = mined;
        for flight in &flights {
            next = next.max(flight.nonce + 1);
            for hash in flight.hashes_newest_first() {
                if let Some(receipt) = self.node.receipt(hash).await? {
                    mined = mined.max(flight.nonce + 1);
                    self.receipts.insert(flight.key.clone(), receipt);
                    break;
                }
            }
        }
        if !waits {
            return Ok(Some((mined, None)));
        }
        let pending = self.node.pending_count(self.shared.wallet).await?;
        if pending < next {
            // A gap below what flies, or what was waiting is gone.
            self.receipts.clear();
            return Ok(None);
        }
        if flights.is_empty() {
            // Nothing of ours is between the two.
            mined = pending;
        }
        Ok(Some((mined, Some(pending))))
    }
}
