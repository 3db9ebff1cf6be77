//! The wall clock, read here and nowhere else in this crate. The engine never reads it: it is told the time with every input.

use std::time::{SystemTime, UNIX_EPOCH};

use poco::units::Timestamp;

/// Now, by this machine's clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
