//! The engine's rules, each told as a short story, and long random stories in which none of them may break.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may stop at once on what cannot happen"
)]

mod rules;
mod simulation;
mod world;
