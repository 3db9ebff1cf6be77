//! An ordered set of wake-ups, one per key. Setting a key's alarm replaces its earlier one.

use std::collections::{BTreeMap, BTreeSet};

use poco::units::Timestamp;

/// Wake-ups in order of time.
#[derive(Debug, Clone)]
pub(crate) struct Alarms<K> {
    by_time: BTreeSet<(Timestamp, K)>,
    by_key: BTreeMap<K, Timestamp>,
}

impl<K> Default for Alarms<K> {
    fn default() -> Self {
        Self {
            by_time: BTreeSet::new(),
            by_key: BTreeMap::new(),
        }
    }
}

impl<K: Ord + Copy> Alarms<K> {
    pub(crate) fn set(&mut self, key: K, at: Timestamp) {
        self.clear(&key);
        self.by_time.insert((at, key));
        self.by_key.insert(key, at);
    }

    pub(crate) fn clear(&mut self, key: &K) {
        if let Some(at) = self.by_key.remove(key) {
            self.by_time.remove(&(at, *key));
        }
    }

    pub(crate) fn of(&self, key: &K) -> Option<Timestamp> {
        self.by_key.get(key).copied()
    }

    pub(crate) fn first(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes out every key whose time has come, earliest first.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Vec<K> {
        let mut due = Vec::new();
        while let Some((at, key)) = self.by_time.first().copied() {
            if at > now {
                break;
            }
            self.clear(&key);
            due.push(key);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_rings_once_at_the_last_time_it_was_set_to() {
        let mut alarms = Alarms::default();
        alarms.set("a", Timestamp(10));
        alarms.set("b", Timestamp(5));
        alarms.set("a", Timestamp(20));
        assert_eq!(alarms.first(), Some(Timestamp(5)));
        assert_eq!(alarms.take_due(Timestamp(15)), ["b"]);
        assert_eq!(alarms.of(&"a"), Some(Timestamp(20)));
        assert_eq!(alarms.take_due(Timestamp(20)), ["a"]);
        assert_eq!(alarms.first(), None);
    }
}
