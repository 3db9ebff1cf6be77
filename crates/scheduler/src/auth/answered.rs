//! Logins that succeeded a moment ago. A Java worker whose answer was lost sends the same login again by itself, up to five times, and
//! works no more until it is restarted if that is refused (spec scheduler-api §1.2, §10). Who overhears a login hears its token
//! too, so for a moment the same signature is as good as the token.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use alloy_primitives::Address;
use poco::units::Timestamp;

/// Longer than such a worker waits for an answer.
const MOMENT: Duration = Duration::from_secs(120);

/// Logins remembered: more in one moment are not to be had.
const MOST: usize = 20_000;

/// The last login of each wallet: what was signed, and until when it counts. In memory alone.
#[derive(Default)]
pub(super) struct Answered(Mutex<HashMap<Address, (String, Timestamp)>>);

impl Answered {
    pub(super) fn note(&self, wallet: Address, signature: &str, now: Timestamp) {
        let mut logins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if logins.len() >= MOST {
            logins.retain(|_, (_, until)| *until > now);
        }
        if logins.len() < MOST {
            logins.insert(wallet, (signature.to_owned(), now.saturating_add(MOMENT)));
        }
    }

    /// Whether this very login succeeded a moment ago.
    pub(super) fn has(&self, wallet: Address, signature: &str, now: Timestamp) -> bool {
        let logins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logins
            .get(&wallet)
            .is_some_and(|(signed, until)| signed == signature && now < *until)
    }

    #[cfg(test)]
    pub(super) fn forget(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_login_counts_for_a_moment() {
        let (answered, ann) = (Answered::default(), Address::repeat_byte(1));
        let now = Timestamp::from_secs(1000);
        answered.note(ann, "0x01", now);
        assert!(answered.has(
            ann,
            "0x01",
            now.saturating_add(MOMENT - Duration::from_secs(1))
        ));
        assert!(!answered.has(ann, "0x01", now.saturating_add(MOMENT)));
        assert!(!answered.has(ann, "0x02", now));
        assert!(!answered.has(Address::repeat_byte(2), "0x01", now));
    }
}
