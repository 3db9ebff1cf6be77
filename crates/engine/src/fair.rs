//! A line of tasks that is fair to deals. The deal that has the least of what is given out comes first, and of several such
//! the one with the earliest deadline; within a deal the earliest deadline comes first. So a bag of thousands gets all
//! there is while it is alone, and a small deal that comes after it waits for nothing but the next thing to be given.

use std::collections::{BTreeMap, BTreeSet};

use poco::ids::{DealId, TaskId};
use poco::units::Timestamp;

/// Where a task stands among those of its deal.
type Place = (Timestamp, TaskId);

/// Tasks that wait, by deal. How much each deal has already is told from outside, also of deals that have nothing waiting.
#[derive(Debug, Clone, Default)]
pub(crate) struct FairLine {
    deals: BTreeMap<DealId, BTreeSet<Place>>,
    /// Of deals that have any.
    has: BTreeMap<DealId, usize>,
    /// Deals with waiting tasks, in the order in which they are served.
    order: BTreeSet<(usize, Place, DealId)>,
}

/// A waiting task, and what its turn depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) task: TaskId,
    pub(crate) deal: DealId,
    pub(crate) deadline: Timestamp,
    /// How much its deal has already.
    pub(crate) has: usize,
}

impl FairLine {
    pub(crate) fn insert(&mut self, deal: DealId, deadline: Timestamp, task: TaskId) {
        self.change(deal, |line| {
            let places = line.deals.entry(deal).or_default();
            places.insert((deadline, task));
        });
    }

    pub(crate) fn remove(&mut self, deal: DealId, deadline: Timestamp, task: TaskId) {
        self.change(deal, |line| {
            if let Some(places) = line.deals.get_mut(&deal) {
                places.remove(&(deadline, task));
                if places.is_empty() {
                    line.deals.remove(&deal);
                }
            }
        });
    }

    /// Notes how much the deal has now.
    pub(crate) fn has(&mut self, deal: DealId, much: usize) {
        self.change(deal, |line| {
            if much == 0 {
                line.has.remove(&deal);
            } else {
                line.has.insert(deal, much);
            }
        });
    }

    /// Whose turn it is.
    pub(crate) fn first(&self) -> Option<Waiting> {
        self.iter().next()
    }

    /// Everybody, in the order in which they would be served if those before them want nothing: the deals by their turn,
    /// each with all its tasks.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Waiting> {
        self.order.iter().flat_map(|(has, _, deal)| {
            let places = self.deals.get(deal).into_iter().flatten();
            places.map(|(deadline, task)| Waiting {
                task: *task,
                deal: *deal,
                deadline: *deadline,
                has: *has,
            })
        })
    }

    /// How many tasks of the deal wait.
    pub(crate) fn of(&self, deal: DealId) -> usize {
        self.deals.get(&deal).map_or(0, BTreeSet::len)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    fn change(&mut self, deal: DealId, change: impl FnOnce(&mut Self)) {
        if let Some(turn) = self.turn_of(deal) {
            self.order.remove(&turn);
        }
        change(self);
        if let Some(turn) = self.turn_of(deal) {
            self.order.insert(turn);
        }
    }

    fn turn_of(&self, deal: DealId) -> Option<(usize, Place, DealId)> {
        let first = *self.deals.get(&deal)?.first()?;
        let has = self.has.get(&deal).copied().unwrap_or(0);
        Some((has, first, deal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;

    fn deal(n: u8) -> DealId {
        DealId(B256::repeat_byte(n))
    }

    fn line(deals: &[(u8, u64, u64)]) -> FairLine {
        let mut line = FairLine::default();
        for (number, tasks, deadline) in deals {
            for index in 0..*tasks {
                let id = deal(*number);
                line.insert(id, Timestamp(*deadline), TaskId::of(id, index));
            }
        }
        line
    }

    /// Serves everybody and says whose tasks went out, in order.
    fn served(mut line: FairLine) -> Vec<u8> {
        let mut served = Vec::new();
        while let Some(next) = line.first() {
            line.remove(next.deal, next.deadline, next.task);
            line.has(next.deal, next.has + 1);
            served.push(next.deal.0[0]);
        }
        assert!(line.is_empty());
        served
    }

    #[test]
    fn deals_take_turns_and_the_earliest_deadline_begins() {
        let line = line(&[(1, 4, 20), (2, 2, 10)]);
        assert_eq!(served(line), [2, 1, 2, 1, 1, 1]);
    }

    #[test]
    fn a_deal_that_comes_late_is_next_and_catches_up() {
        let mut line = line(&[(1, 3, 10)]);
        line.has(deal(1), 2);
        line.insert(deal(2), Timestamp(99), TaskId::of(deal(2), 0));
        line.insert(deal(2), Timestamp(99), TaskId::of(deal(2), 1));
        assert_eq!(served(line), [2, 2, 1, 1, 1]);
    }

    #[test]
    fn what_leaves_the_line_is_not_served() {
        let mut line = line(&[(1, 2, 10)]);
        line.remove(deal(1), Timestamp(10), TaskId::of(deal(1), 0));
        line.remove(deal(1), Timestamp(10), TaskId::of(deal(1), 0));
        line.remove(deal(3), Timestamp(10), TaskId::of(deal(3), 0));
        assert_eq!((line.of(deal(1)), line.of(deal(3))), (1, 0));
        assert_eq!(served(line), [1]);
    }
}
