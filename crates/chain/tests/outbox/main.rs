//! The outbox against a chain with faults: nothing lost, nothing sent twice, no gap, no guess.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod bench;
mod durable;
#[path = "../fake/mod.rs"]
mod fake;
mod in_flight;
mod joined;
mod sending;
