//! How the chain is: its newest block, read again and again, and whether that is fresh enough to give work (spec scheduler-api
//! §4.4, scheduler-logic §2.3).
//!
//! The pool starts out of service; the first fresh block puts it in service, provided that what happened in the blocks is being
//! read too: work is not given on old facts. Nothing here reads what happened in a block; the reader tells how far it is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chain::{Block, CursorWaker, Heads, Node, OutboxHandle};
use chassis::Shutdown;
use chassis::health::{Condition, Indicator};
use engine::Input;
use poco::units::{BlockNumber, Timestamp};
use tokio::sync::Notify;

use crate::clock::now;
use crate::figures::Figures;
use crate::inbox::{Ending, Inbox};

/// Longest time between two looks at the chain.
const LOOK: Duration = Duration::from_secs(5);

/// Whether the chain can be relied on. Clones are the same.
#[derive(Clone)]
pub(crate) struct ChainHealth {
    inner: Arc<Mutex<Inner>>,
    /// Something was read for the first time: the pool may be in service now.
    begun: Arc<Notify>,
    block_time: Duration,
    threshold: Duration,
}

struct Inner {
    /// When the newest block was made, by its maker's clock.
    latest: Option<Timestamp>,
    /// When it was first seen, by this machine's clock.
    seen: Timestamp,
    /// This machine's clock is so much behind the chain's that the operator was told.
    told_behind: bool,
    /// The newest block there is.
    head: Option<BlockNumber>,
    /// The newest block of which everything was read and stored.
    read: Option<BlockNumber>,
    /// Since when blocks wait to be read without any having been.
    behind_since: Option<Timestamp>,
    /// Whether the blocks have been followed since the start.
    followed: bool,
    failures: u64,
    first_failure: Option<Timestamp>,
}

/// What a look changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turned {
    Up,
    Down(Trouble),
    Not,
}

/// Why the chain cannot be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// No new block for too long.
    NoNewBlock,
    /// New blocks come, and are old by this machine's clock.
    OldByOurClock { age: Duration },
    /// Blocks are there, and cannot be read.
    Unread,
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoNewBlock => f.write_str(
                "the chain's newest block is too old: the node does not answer, is behind, or the chain stands still; look at the node",
            ),
            Self::OldByOurClock { age } => write!(
                f,
                "new blocks come, and are {} s old by this machine's clock: set the clock, or use a node that is not behind",
                age.as_secs()
            ),
            Self::Unread => f.write_str(
                "new blocks come, and what happened in them cannot be read; look at the node's answers to eth_getLogs and at the log above",
            ),
        }
    }
}

impl ChainHealth {
    /// Out of service until the first fresh block. `threshold` is how old the newest block may be, and how long blocks may wait
    /// to be read. `read` is the block up to which everything was read before.
    pub(crate) fn new(
        block_time: Duration,
        threshold: Duration,
        read: Option<BlockNumber>,
    ) -> Self {
        let inner = Inner {
            latest: None,
            seen: Timestamp(0),
            told_behind: false,
            head: None,
            read,
            behind_since: None,
            followed: false,
            failures: 1,
            first_failure: None,
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            begun: Arc::new(Notify::new()),
            block_time,
            threshold,
        }
    }

    /// Whether work may be given and reported.
    #[cfg(test)]
    fn is_up(&self) -> bool {
        self.inner().failures == 0
    }

    /// Notes that everything up to `block` is read and stored.
    pub(crate) fn read_to(&self, block: BlockNumber) {
        let mut inner = self.inner();
        inner.read = Some(block);
        inner.behind_since = None;
        if !inner.followed {
            inner.followed = true;
            self.begun.notify_one();
        }
    }

    fn saw(&self, block: &Block, now: Timestamp) {
        let mut inner = self.inner();
        // A clock that was put back must not make what was seen look fresh for ever.
        if inner.head != Some(block.number) || inner.seen > now {
            inner.seen = now;
        }
        inner.latest = Some(block.timestamp);
        inner.head = Some(block.number);
        let behind = block.timestamp > now.saturating_add(self.threshold);
        if behind && !inner.told_behind {
            tracing::warn!(
                block = block.number.0,
                seconds = block.timestamp.since(now).as_secs(),
                "this machine's clock is behind the chain's: set it, since windows of contribution are judged by it too"
            );
        }
        inner.told_behind = behind;
        if inner.has_read_all() {
            inner.followed = true;
        } else if inner.followed {
            inner.behind_since.get_or_insert(now);
        }
    }

    /// Looks at the chain until the end is asked for, and tells the engine when the health turned.
    pub(crate) async fn watch(
        self,
        node: Node,
        inbox: Inbox,
        figures: Figures,
        wake: (CursorWaker, OutboxHandle),
        shutdown: Shutdown,
    ) -> Result<(), Ending> {
        let period = self.block_time.min(LOOK).max(Duration::from_millis(50));
        let mut heads = Heads::new(node, period);
        let (mut newest, mut told) = (None::<BlockNumber>, None);
        loop {
            let head = tokio::select! {
                () = shutdown.triggered() => return Ok(()),
                head = heads.next() => Some(head),
                () = self.begun.notified() => None,
            };
            match head {
                Some(Ok(head)) => {
                    let block = head.block;
                    self.saw(&block, now());
                    if told != Some(block.hash) {
                        (newest, told) = (Some(block.number), Some(block.hash));
                        figures.head(block);
                        wake.0.tell(head);
                        wake.1.tell(&head);
                    }
                }
                Some(Err(error)) => tracing::debug!(%error, "the newest block cannot be read"),
                None => {}
            }
            match self.judge(now()) {
                Turned::Up => {
                    tracing::info!(
                        block = newest.unwrap_or_default().0,
                        "the chain is read: in service"
                    );
                    inbox.tell(Input::ChainHealth { up: true }).await?;
                }
                Turned::Down(trouble) => {
                    tracing::error!(
                        block = newest.unwrap_or_default().0,
                        read = self.inner().read.unwrap_or_default().0,
                        reason = %trouble,
                        "out of service: no work is given until the chain can be relied on"
                    );
                    inbox.tell(Input::ChainHealth { up: false }).await?;
                }
                Turned::Not => {}
            }
        }
    }

    fn judge(&self, now: Timestamp) -> Turned {
        let mut inner = self.inner();
        match (inner.trouble(now, self.threshold), inner.failures) {
            (None, 0) => Turned::Not,
            (None, _) => {
                inner.failures = 0;
                inner.first_failure = None;
                Turned::Up
            }
            (Some(trouble), 0) => {
                inner.failures = 1;
                inner.first_failure = Some(now);
                Turned::Down(trouble)
            }
            (Some(_), failures) => {
                inner.failures = failures.saturating_add(1);
                Turned::Not
            }
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// What is wrong, if anything is.
    fn trouble(&self, now: Timestamp, threshold: Duration) -> Option<Trouble> {
        let Some(latest) = self.latest else {
            return Some(Trouble::NoNewBlock);
        };
        let made = latest.saturating_add(threshold);
        // New, and old when it came.
        if self.seen > made && now <= self.seen.saturating_add(threshold) {
            let age = now.since(latest);
            return Some(Trouble::OldByOurClock { age });
        }
        // A block from the future is no younger than the moment in which it was seen.
        if now > made.min(self.seen.saturating_add(threshold)) {
            return Some(Trouble::NoNewBlock);
        }
        (!self.is_following(now, threshold)).then_some(Trouble::Unread)
    }

    fn has_read_all(&self) -> bool {
        self.read.is_some() && self.read >= self.head
    }

    /// Whether the facts that are known are those of the newest blocks, or soon will be.
    fn is_following(&self, now: Timestamp, threshold: Duration) -> bool {
        let in_time = self
            .behind_since
            .is_none_or(|since| now <= since.saturating_add(threshold));
        self.followed && (in_time || self.has_read_all())
    }
}

impl Indicator for ChainHealth {
    fn condition(&self) -> Condition {
        let inner = self.inner();
        let mut condition = if inner.failures == 0 {
            Condition::up()
        } else {
            Condition::out_of_service()
        };
        if let Some(first) = inner.first_failure {
            // The original writes a local time without offset; this is UTC.
            let text = wire::date::text(first).replace("+00:00", "");
            condition = condition.with("firstFailure", text);
        }
        if inner.failures > 0
            && let Some(trouble) = inner.trouble(now(), self.threshold)
        {
            condition = condition.with("reason", trouble.to_string());
        }
        condition = condition
            .with("consecutiveFailures", inner.failures)
            .with("pollingInterval", wire::duration::text(self.block_time));
        if let Some(read) = inner.read {
            condition = condition.with("latestBlockRead", read.0);
        }
        // Host clock and chain clock are compared, so their difference is worth seeing (spec scheduler-api Q42).
        if let Some(latest) = inner.latest {
            condition = condition.with("latestBlockAgeMs", age(now(), latest));
        }
        condition
    }
}

fn age(now: Timestamp, block: Timestamp) -> i64 {
    let millis = i128::from(now.millis()) - i128::from(block.millis());
    i64::try_from(millis).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn after(seconds: u64) -> Timestamp {
        START.saturating_add(Duration::from_secs(seconds))
    }

    fn health() -> ChainHealth {
        ChainHealth::new(Duration::from_secs(5), Duration::from_secs(15), None)
    }

    fn block(number: u64, timestamp: Timestamp) -> Block {
        Block {
            number: BlockNumber(number),
            timestamp,
            hash: Default::default(),
            parent: Default::default(),
            base_fee: None,
            gas_limit: 0,
        }
    }

    /// In service, with block 1 read.
    fn in_service() -> ChainHealth {
        let health = health();
        health.saw(&block(1, START), START);
        health.read_to(BlockNumber(1));
        assert_eq!(health.judge(START), Turned::Up);
        health
    }

    #[test]
    fn the_pool_is_out_of_service_until_the_first_fresh_block() {
        let health = health();
        health.read_to(BlockNumber(1));
        assert!(!health.is_up());
        assert_eq!(health.judge(START), Turned::Not);
        health.saw(&block(1, START), START);
        assert_eq!(health.judge(after(15)), Turned::Up);
        assert!(health.is_up());
    }

    #[test]
    fn one_stale_look_is_enough_to_be_out_of_service() {
        let health = in_service();
        assert_eq!(health.judge(after(16)), Turned::Down(Trouble::NoNewBlock));
        assert_eq!(health.judge(after(21)), Turned::Not);
        let condition = health.condition();
        assert_eq!(condition.status, chassis::health::Status::OutOfService);
        assert_eq!(condition.details["consecutiveFailures"], 2);
        assert_eq!(condition.details["pollingInterval"], "PT5S");
        assert_eq!(condition.details["firstFailure"], "2023-11-14T22:13:36.000");
        assert_eq!(condition.details["latestBlockRead"], 1);
        health.saw(&block(5, after(20)), after(20));
        assert_eq!(health.judge(after(22)), Turned::Up);
        assert!(!health.condition().details.contains_key("firstFailure"));
    }

    #[test]
    fn a_clock_that_is_ahead_of_the_chain_is_named_as_the_reason() {
        let health = in_service();
        for seconds in [300, 301, 302] {
            health.saw(&block(seconds, after(seconds - 298)), after(seconds));
            health.read_to(BlockNumber(seconds));
        }
        let Turned::Down(trouble) = health.judge(after(303)) else {
            panic!("the blocks are old by this clock");
        };
        let age = Duration::from_secs(299);
        assert_eq!(trouble, Trouble::OldByOurClock { age });
        let text = trouble.to_string();
        assert!(
            text.contains("299 s") && text.contains("set the clock"),
            "{text}"
        );
        // The clock is set.
        health.saw(&block(303, after(5)), after(5));
        health.read_to(BlockNumber(303));
        assert_eq!(health.judge(after(5)), Turned::Up);
    }

    #[test]
    fn a_block_from_the_future_does_not_hide_that_no_other_follows() {
        let health = in_service();
        health.saw(&block(2, after(300)), after(1));
        health.read_to(BlockNumber(2));
        assert_eq!(health.judge(after(16)), Turned::Not);
        assert_eq!(health.judge(after(17)), Turned::Down(Trouble::NoNewBlock));
    }

    #[test]
    fn blocks_that_nobody_reads_put_the_pool_out_of_service() {
        let health = in_service();
        for seconds in [1, 6, 11, 16] {
            health.saw(&block(1 + seconds, after(seconds)), after(seconds));
            assert_eq!(health.judge(after(seconds)), Turned::Not, "{seconds}");
        }
        // The newest block is fresh all the time.
        health.saw(&block(22, after(17)), after(17));
        assert_eq!(health.judge(after(17)), Turned::Down(Trouble::Unread));
        // One range read is a sign of life, however many are left.
        health.read_to(BlockNumber(5));
        assert_eq!(health.judge(after(18)), Turned::Up);
    }

    #[test]
    fn a_chain_without_new_blocks_leaves_nothing_to_read() {
        let health = in_service();
        health.saw(&block(2, after(1)), after(1));
        // The reorganisation took block 2 back; it is read up to the head again.
        health.saw(&block(1, after(20)), after(20));
        assert_eq!(health.judge(after(20)), Turned::Not);
    }

    #[test]
    fn after_a_start_nothing_is_given_before_blocks_were_read() {
        let health = ChainHealth::new(
            Duration::from_secs(5),
            Duration::from_secs(15),
            Some(BlockNumber(7)),
        );
        health.saw(&block(9, START), START);
        assert_eq!(health.judge(START), Turned::Not);
        health.read_to(BlockNumber(8));
        assert_eq!(health.judge(START), Turned::Up);
    }
}
