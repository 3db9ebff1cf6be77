//! Trying again: pauses that grow, and never past the moment the thing is worth nothing. No loop here is without a pause or without an end.

use std::future::Future;
use std::time::Duration;

use chain::NodeError;
use poco::units::Timestamp;

use crate::clock;

/// Pauses that double from `first` to `longest`.
#[derive(Debug, Clone)]
pub struct Pauses {
    next: Duration,
    longest: Duration,
}

impl Pauses {
    /// From one second to thirty.
    #[must_use]
    pub const fn new() -> Self {
        Self::between(Duration::from_secs(1), Duration::from_secs(30))
    }

    /// From `first` to `longest`.
    #[must_use]
    pub const fn between(first: Duration, longest: Duration) -> Self {
        Self {
            next: first,
            longest,
        }
    }

    /// Sleeps for the next pause, or until `deadline`; false when that has passed.
    pub async fn rest(&mut self, deadline: Option<Timestamp>) -> bool {
        let left = deadline.map_or(Duration::MAX, |deadline| deadline.since(clock::now()));
        if left.is_zero() {
            return false;
        }
        // A fifth more or less, so that workers that were refused together do not come back together.
        let jitter = u32::try_from(clock::now().millis() % 41).unwrap_or(0) + 80;
        tokio::time::sleep((self.next * jitter / 100).min(left)).await;
        self.next = (self.next * 2).min(self.longest);
        true
    }
}

impl Default for Pauses {
    fn default() -> Self {
        Self::new()
    }
}

/// Reads from the chain until it answers, however long it is away; `None` when `deadline` passed first. Where none is known, as [`read`].
pub async fn read_until<T, F>(
    what: &str,
    pause: Duration,
    deadline: Option<Timestamp>,
    ask: impl Fn() -> F,
) -> Option<T>
where
    F: Future<Output = Result<T, NodeError>>,
{
    let Some(deadline) = deadline else {
        return read(what, pause, ask).await;
    };
    let mut pauses = Pauses::between(pause, pause.max(Duration::from_secs(30)));
    loop {
        match ask().await {
            Ok(value) => return Some(value),
            Err(error) => tracing::warn!(what, %error, "the chain does not answer"),
        }
        if !pauses.rest(Some(deadline)).await {
            return None;
        }
    }
}

/// Reads from the chain, up to six times with a pause between; `None` when it never answered. An error is never taken for an answer.
pub async fn read<T, F>(what: &str, pause: Duration, ask: impl Fn() -> F) -> Option<T>
where
    F: Future<Output = Result<T, NodeError>>,
{
    for attempt in 1..=6 {
        match ask().await {
            Ok(value) => return Some(value),
            Err(error) => tracing::warn!(what, attempt, %error, "the chain does not answer"),
        }
        if attempt < 6 {
            tokio::time::sleep(pause).await;
        }
    }
    None
}
