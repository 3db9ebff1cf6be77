//! The three deadlines of a task (spec onchain A14), all counted from the *match* of its deal or from consensus, never
//! from its initialisation.
//!
//! `time_ref` is the category's time reference. The chain's test is in whole seconds of block time: contributing,
//! revealing, finalising and reopening must come strictly before a deadline; claiming, reopening after an empty reveal
//! and finalising with some reveals missing need the deadline to have come (`deadline <= now`).

use std::time::Duration;

use crate::units::Timestamp;

/// Contribution deadline, in time references after the match. Readable from the hub; the contracts have used no other.
pub const CONTRIBUTION_RATIO: u32 = 7;
/// Reveal deadline, in time references after consensus.
pub const REVEAL_RATIO: u32 = 2;
/// Final deadline, in time references after the match.
pub const FINAL_RATIO: u32 = 10;

/// Until when contributions are taken.
pub fn contribution(matched: Timestamp, time_ref: Duration) -> Timestamp {
    after(matched, time_ref, CONTRIBUTION_RATIO)
}

/// Until when the winners may reveal.
pub fn reveal(consensus: Timestamp, time_ref: Duration) -> Timestamp {
    after(consensus, time_ref, REVEAL_RATIO)
}

/// Until when the task may be finalised, and from when on it may be claimed.
pub fn finalisation(matched: Timestamp, time_ref: Duration) -> Timestamp {
    after(matched, time_ref, FINAL_RATIO)
}

/// The moment `ratio` time references after `from`; the last moment there is when that runs over.
pub fn after(from: Timestamp, time_ref: Duration, ratio: u32) -> Timestamp {
    from.saturating_add(time_ref.saturating_mul(ratio))
}
