//! Logins that succeeded a moment ago. A Java worker whose answer was lost sends the same login again by itself, up to five times, and
//! works no more until it is restarted if that is refused (spec scheduler-api §1.2, §10). Who overhears a login hears its token
//! too, so for a moment the same signature is as good as the token.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy_primitives::{Address, B256, keccak256};
use poco::units::Timestamp;

/// Longer than such a worker waits for an answer.
const MOMENT: Duration = Duration::from_secs(120);

/// Logins remembered at most.
const MOST: usize = 20_000;

/// The last login of each wallet: the hash of its signature, and until when it counts. In memory alone.
#[derive(Default)]
pub(super) struct Answered(Mutex<HashMap<Address, (B256, Timestamp)>>);

impl Answered {
    pub(super) fn note(&self, wallet: Address, signature: &str, now: Timestamp) {
        let mut logins = self.logins();
        if logins.len() >= MOST {
            logins.clear();
        }
        let until = now.saturating_add(MOMENT);
        logins.insert(wallet, (keccak256(signature), until));
    }

    /// Whether this very login succeeded a moment ago.
    pub(super) fn has(&self, wallet: Address, signature: &str, now: Timestamp) -> bool {
        self.logins()
            .get(&wallet)
            .is_some_and(|(signed, until)| now < *until && *signed == keccak256(signature))
    }

    /// Forgets those that do not count any more.
    pub(super) fn sweep(&self, now: Timestamp) {
        self.logins().retain(|_, (_, until)| now < *until);
    }

    fn logins(&self) -> MutexGuard<'_, HashMap<Address, (B256, Timestamp)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn forget(&self) {
        self.logins().clear();
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
