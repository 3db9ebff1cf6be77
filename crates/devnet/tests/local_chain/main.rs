//! The local chain on the real node, with the real contracts and the real SDK: the acceptance checks of spec devnet.md §15.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops at once on what cannot happen"
)]

mod buyer;
mod deployment;
mod download;
mod native;
mod orders;
mod profiles;
mod refusals;
mod reload;
mod views;
