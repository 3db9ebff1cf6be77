//! How many tasks compute at the same time, and on which slot's network each does. A slot is held from the moment work is taken until it is
//! computed, so this worker never takes more than it can run, whatever a scheduler offers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// The slots of one worker. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Slots {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    count: u32,
    taken: Mutex<BTreeSet<u32>>,
    free: watch::Sender<u32>,
}

/// A slot that is held; dropping it makes it free.
#[derive(Debug)]
pub struct Held {
    inner: Arc<Inner>,
    number: u32,
}

impl Held {
    /// Which slot, from 0.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.inner.change(|taken| taken.remove(&self.number));
    }
}

impl Inner {
    fn change<T>(&self, change: impl FnOnce(&mut BTreeSet<u32>) -> T) -> T {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut taken);
        let used = u32::try_from(taken.len()).unwrap_or(u32::MAX);
        drop(taken);
        self.free.send_replace(self.count.saturating_sub(used));
        changed
    }
}

impl Slots {
    /// `count` slots, all free.
    #[must_use]
    pub fn new(count: u32) -> Self {
        let (free, _) = watch::channel(count);
        Self {
            inner: Arc::new(Inner {
                count,
                taken: Mutex::default(),
                free,
            }),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.inner.count
    }

    /// How many are free now.
    #[must_use]
    pub fn free(&self) -> u32 {
        *self.inner.free.borrow()
    }

    /// Takes the lowest free slot, if there is one.
    #[must_use]
    pub fn take(&self) -> Option<Held> {
        let count = self.inner.count;
        let number = self.inner.change(|taken| {
            let number = (0..count).find(|number| !taken.contains(number))?;
            taken.insert(number);
            Some(number)
        })?;
        Some(Held {
            inner: Arc::clone(&self.inner),
            number,
        })
    }

    /// Takes the slot that a task had before this worker was restarted: its container may still run on that slot's network. When the
    /// slot is already held, another number is given, past the last one if need be: work that was taken is not thrown away.
    #[must_use]
    pub fn take_again(&self, number: Option<u32>) -> Held {
        let number = self.inner.change(|taken| {
            let number = number
                .filter(|number| !taken.contains(number))
                .or_else(|| (0..).find(|number| !taken.contains(number)))
                .unwrap_or(0);
            taken.insert(number);
            number
        });
        Held {
            inner: Arc::clone(&self.inner),
            number,
        }
    }

    /// Resolves when a slot is free.
    pub async fn wait_free(&self) {
        let mut free = self.inner.free.subscribe();
        // The sender lives as long as `self`.
        let _ = free.wait_for(|&free| free > 0).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_slots_are_given_than_there_are_and_a_dropped_one_is_given_again() {
        let slots = Slots::new(2);
        let first = slots.take().unwrap();
        let second = slots.take().unwrap();
        assert_eq!((first.number(), second.number()), (0, 1));
        assert!(slots.take().is_none());
        drop(first);
        assert_eq!(slots.take().unwrap().number(), 0);
    }

    #[test]
    fn a_resumed_task_gets_its_slot_back_and_nobody_else_does() {
        let slots = Slots::new(2);
        let resumed = slots.take_again(Some(0));
        assert_eq!(resumed.number(), 0);
        assert_eq!(slots.take().unwrap().number(), 1);
        let beyond = (slots.take_again(None), slots.take_again(Some(0)));
        assert_eq!(
            (beyond.0.number(), beyond.1.number(), slots.free()),
            (1, 2, 0)
        );
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_a_slot_that_comes_free() {
        let slots = Slots::new(1);
        let held = slots.take().unwrap();
        let waiter = slots.clone();
        let waiting = tokio::spawn(async move { waiter.wait_free().await });
        drop(held);
        waiting.await.unwrap();
    }
}
