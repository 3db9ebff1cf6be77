//! End-to-end tests: one binary, each test in a world of its own. See `README.md` for what they need.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops at once on what cannot happen"
)]

mod alone;
mod apps;
mod bags;
mod clock;
mod enclaves;
mod faults;
mod inputs;
mod java;
mod kill;
mod main_job;
mod money;
mod native;
mod node;
mod random_kills;
mod refusals;
mod reorg;
mod sandbox;
mod storage;
mod strangers;
mod surface;

use std::sync::LazyLock;

use tokio::sync::{Semaphore, SemaphorePermit};

/// A world is some ten processes: more than two at once only make each other slow.
pub(crate) async fn turn() -> SemaphorePermit<'static> {
    static TURNS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(2));
    TURNS.acquire().await.expect("never closed")
}
