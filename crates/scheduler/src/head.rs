//! How the chain is: its newest block, read again and again, and whether that is fresh enough to give work (spec scheduler-api
//! §4.4, scheduler-logic §2.3).
//!
//! The pool starts out of service; the first fresh block puts it in service. Nothing here reads what happened in a block.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chain::{CursorWaker, Node, OutboxHandle};
use chassis::Shutdown;
use chassis::health::{Condition, Indicator};
use engine::Input;
use poco::units::{BlockNumber, Timestamp};

use crate::clock::now;
use crate::figures::Figures;
use crate::inbox::{Ending, Inbox};

/// Longest time between two looks at the chain.
const LOOK: Duration = Duration::from_secs(5);

/// Whether the chain can be relied on. Clones are the same.
#[derive(Clone)]
pub(crate) struct ChainHealth {
    inner: Arc<Mutex<Inner>>,
    block_time: Duration,
    threshold: Duration,
}

struct Inner {
    latest: Option<Timestamp>,
    failures: u64,
    first_failure: Option<Timestamp>,
}

/// What a look changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turned {
    Up,
    Down,
    Not,
}

impl ChainHealth {
    /// Out of service until the first fresh block. `threshold` is how old the newest block may be.
    pub(crate) fn new(block_time: Duration, threshold: Duration) -> Self {
        let inner = Inner {
            latest: None,
            failures: 1,
            first_failure: None,
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            block_time,
            threshold,
        }
    }

    /// Whether work may be given and reported.
    #[cfg(test)]
    fn is_up(&self) -> bool {
        self.inner().failures == 0
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
        let mut period =
            tokio::time::interval(self.block_time.min(LOOK).max(Duration::from_millis(50)));
        period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut newest: Option<BlockNumber> = None;
        loop {
            tokio::select! {
                () = shutdown.triggered() => return Ok(()),
                _ = period.tick() => {}
            }
            let head = tokio::select! {
                () = shutdown.triggered() => return Ok(()),
                head = node.head() => head,
            };
            match head {
                Ok(block) => {
                    self.inner().latest = Some(block.timestamp);
                    if newest != Some(block.number) {
                        newest = Some(block.number);
                        figures.head(block);
                        wake.0.wake();
                        wake.1.wake();
                    }
                }
                Err(error) => tracing::debug!(%error, "the newest block cannot be read"),
            }
            match self.judge(now()) {
                Turned::Up => {
                    tracing::info!(
                        block = newest.unwrap_or_default().0,
                        "the chain is read: in service"
                    );
                    inbox.tell(Input::ChainHealth { up: true }).await?;
                }
                Turned::Down => {
                    tracing::error!(
                        block = newest.unwrap_or_default().0,
                        "the chain's newest block is too old: out of service"
                    );
                    inbox.tell(Input::ChainHealth { up: false }).await?;
                }
                Turned::Not => {}
            }
        }
    }

    fn judge(&self, now: Timestamp) -> Turned {
        let mut inner = self.inner();
        let fresh = inner
            .latest
            .is_some_and(|latest| now <= latest.saturating_add(self.threshold));
        match (fresh, inner.failures) {
            (true, 0) => Turned::Not,
            (true, _) => {
                inner.failures = 0;
                inner.first_failure = None;
                Turned::Up
            }
            (false, 0) => {
                inner.failures = 1;
                inner.first_failure = Some(now);
                Turned::Down
            }
            (false, failures) => {
                inner.failures = failures.saturating_add(1);
                Turned::Not
            }
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
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
        condition = condition
            .with("consecutiveFailures", inner.failures)
            .with("pollingInterval", wire::duration::text(self.block_time));
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
        ChainHealth::new(Duration::from_secs(5), Duration::from_secs(15))
    }

    #[test]
    fn the_pool_is_out_of_service_until_the_first_fresh_block() {
        let health = health();
        assert!(!health.is_up());
        assert_eq!(health.judge(START), Turned::Not);
        health.inner().latest = Some(START);
        assert_eq!(health.judge(after(15)), Turned::Up);
        assert!(health.is_up());
    }

    #[test]
    fn one_stale_look_is_enough_to_be_out_of_service() {
        let health = health();
        health.inner().latest = Some(START);
        health.judge(START);
        assert_eq!(health.judge(after(16)), Turned::Down);
        assert_eq!(health.judge(after(21)), Turned::Not);
        let condition = health.condition();
        assert_eq!(condition.status, chassis::health::Status::OutOfService);
        assert_eq!(condition.details["consecutiveFailures"], 2);
        assert_eq!(condition.details["pollingInterval"], "PT5S");
        assert_eq!(condition.details["firstFailure"], "2023-11-14T22:13:36.000");
        health.inner().latest = Some(after(20));
        assert_eq!(health.judge(after(22)), Turned::Up);
        assert!(!health.condition().details.contains_key("firstFailure"));
    }
}
