//! How many tasks compute at the same time, and on which slot's network each does. A slot is held from the moment work is taken until it is
//! computed, so this worker never takes more than it can run, whatever a scheduler offers.

use std::collections::BTreeMap;
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
    /// The slots that are held, and whether their holder has work.
    taken: Mutex<BTreeMap<u32, bool>>,
    free: watch::Sender<Free>,
}

/// Slots that nobody holds, and slots without work: those, and the one with which work is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Free {
    held_by_nobody: u32,
    without_work: u32,
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

    /// There is work for it now.
    pub fn works(&self) {
        self.inner.change(|taken| taken.insert(self.number, true));
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.inner.change(|taken| taken.remove(&self.number));
    }
}

impl Inner {
    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<u32, bool>) -> T) -> T {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut taken);
        let left = |used: usize| {
            self.count
                .saturating_sub(u32::try_from(used).unwrap_or(u32::MAX))
        };
        let free = Free {
            held_by_nobody: left(taken.len()),
            without_work: left(taken.values().filter(|works| **works).count()),
        };
        drop(taken);
        self.free.send_replace(free);
        changed
    }
}

impl Slots {
    /// `count` slots, all free.
    #[must_use]
    pub fn new(count: u32) -> Self {
        let (free, _) = watch::channel(Free {
            held_by_nobody: count,
            without_work: count,
        });
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
        self.inner.free.borrow().held_by_nobody
    }

    /// Takes the lowest free slot, if there is one.
    #[must_use]
    pub fn take(&self) -> Option<Held> {
        let count = self.inner.count;
        let number = self.inner.change(|taken| {
            let number = (0..count).find(|number| !taken.contains_key(number))?;
            taken.insert(number, false);
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
                .filter(|number| !taken.contains_key(number))
                .or_else(|| (0..).find(|number| !taken.contains_key(number)))
                .unwrap_or(0);
            taken.insert(number, true);
            number
        });
        Held {
            inner: Arc::clone(&self.inner),
            number,
        }
    }

    /// Resolves when every slot has work.
    pub async fn wait_full(&self) {
        let mut free = self.inner.free.subscribe();
        // The sender lives as long as `self`.
        let _ = free.wait_for(|free| free.without_work == 0).await;
    }

    /// Resolves when a slot is free.
    pub async fn wait_free(&self) {
        let mut free = self.inner.free.subscribe();
        // The sender lives as long as `self`.
        let _ = free.wait_for(|free| free.held_by_nobody > 0).await;
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
    async fn a_slot_with_which_work_is_asked_for_is_not_busy() {
        use futures_util::FutureExt as _;
        let slots = Slots::new(1);
        let held = slots.take().unwrap();
        assert!(slots.wait_full().now_or_never().is_none());
        held.works();
        assert!(slots.wait_full().now_or_never().is_some());
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
