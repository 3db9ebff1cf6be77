//! What the protocol demands beyond its test vectors: edge cases, properties, mended defects.

// Helpers of tests may stop at once, as tests may.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod challenges;
mod consensus;
mod deal_params;
mod interface;
mod money;
mod orders;
mod signatures;
mod texts;
