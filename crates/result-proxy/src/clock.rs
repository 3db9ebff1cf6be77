//! The host's clock, read in one place. Deadlines of the chain are compared with it, so it must be kept right (NTP).

use std::time::{SystemTime, UNIX_EPOCH};

use poco::units::Timestamp;

/// The present moment.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
