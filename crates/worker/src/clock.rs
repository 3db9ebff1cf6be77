//! The one place that reads the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use poco::units::Timestamp;

/// Now, in milliseconds since 1970.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
