//! A line of tasks that is fair to deals. The deal that has the least of what is given out comes first, and of several such
//! the one with the earliest deadline; within a deal tasks come in the order of their indexes. So a bag of thousands gets all
//! there is while it is alone, and a small deal that comes after it waits for nothing but the next thing to be given.
//!
//! Some workers can have nothing more of some tasks. What is left for one of them is found without a look at those, however
//! many they are.

use std::collections::BTreeMap;

use alloy_primitives::Address;
use poco::ids::{DealId, TaskId};
use poco::units::Timestamp;

use crate::ranked::Ranked;
use crate::records::TaskRecord;

/// Where a task stands among those of its deal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// When contributions close: of all tasks of a deal the same, as far as the chain tells.
    pub(crate) deadline: Timestamp,
    pub(crate) index: u64,
    pub(crate) task: TaskId,
}

impl Place {
    pub(crate) const fn of(task: &TaskRecord) -> Self {
        Self {
            deadline: task.contribution_deadline,
            index: task.index,
            task: task.id,
        }
    }
}

/// Deals in the order in which they are served: those that have the least first, then by the place of their first task.
type Order = BTreeMap<usize, Ranked<(Place, DealId)>>;

/// Tasks that wait, by deal. How much each deal has already is told from outside, also of deals that have nothing waiting.
#[derive(Debug, Clone, Default)]
pub(crate) struct FairLine {
    deals: BTreeMap<DealId, Ranked<Place>>,
    /// Of deals that have any.
    has: BTreeMap<DealId, usize>,
    /// Deals with waiting tasks.
    order: Order,
    /// Of each task that somebody took part in, who did.
    takers: BTreeMap<TaskId, Vec<Address>>,
    parts: BTreeMap<Address, Part>,
}

/// What of a line is nothing for one worker, because it took part in it.
#[derive(Debug, Clone, Default)]
struct Part {
    deals: BTreeMap<DealId, Ranked<Place>>,
    /// Deals in all of whose waiting tasks it took part: the same turns as in the line's own order.
    done: Order,
}

/// A waiting task, and what its turn depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) place: Place,
    pub(crate) deal: DealId,
    /// How much its deal has already.
    pub(crate) has: usize,
}

/// When a deal is served, and to whom its turn means nothing.
struct Turn {
    has: usize,
    turn: (Place, DealId),
    done_by: Vec<Address>,
}

impl FairLine {
    pub(crate) fn insert(&mut self, deal: DealId, place: Place) {
        self.insert_taken(deal, place, Vec::new());
    }

    /// A task that all but these workers may have.
    pub(crate) fn insert_taken(&mut self, deal: DealId, place: Place, takers: Vec<Address>) {
        self.change(deal, |line| {
            line.deals.entry(deal).or_default().insert(place);
            for worker in &takers {
                let part = line.parts.entry(*worker).or_default();
                part.deals.entry(deal).or_default().insert(place);
            }
            if !takers.is_empty() {
                line.takers.insert(place.task, takers);
            }
        });
    }

    pub(crate) fn remove(&mut self, deal: DealId, place: Place) {
        self.change(deal, |line| {
            remove(&mut line.deals, deal, place);
            for worker in line.takers.remove(&place.task).unwrap_or_default() {
                if let Some(part) = line.parts.get_mut(&worker) {
                    remove(&mut part.deals, deal, place);
                    if part.deals.is_empty() {
                        line.parts.remove(&worker);
                    }
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
        self.served(None)
    }

    /// The same without the tasks that the worker took part in.
    pub(crate) fn for_worker(&self, worker: Address) -> impl Iterator<Item = Waiting> {
        self.served(self.parts.get(&worker))
    }

    fn served<'a>(&'a self, part: Option<&'a Part>) -> impl Iterator<Item = Waiting> + 'a {
        self.order.iter().flat_map(move |(has, turns)| {
            let done = part.and_then(|part| part.done.get(has));
            turns.all_but(done).flat_map(move |(_, deal)| {
                let taken = part.and_then(|part| part.deals.get(&deal));
                let places = self.deals.get(&deal).into_iter();
                places
                    .flat_map(move |places| places.all_but(taken))
                    .map(move |place| Waiting {
                        place,
                        deal,
                        has: *has,
                    })
            })
        })
    }

    /// Who took part in the task, in order.
    pub(crate) fn takers(&self, task: TaskId) -> &[Address] {
        self.takers
            .get(&task)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// How many tasks of the deal wait.
    pub(crate) fn of(&self, deal: DealId) -> usize {
        self.deals.get(&deal).map_or(0, Ranked::len)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    fn change(&mut self, deal: DealId, change: impl FnOnce(&mut Self)) {
        if let Some(Turn { has, turn, done_by }) = self.turn_of(deal) {
            remove(&mut self.order, has, turn);
            for worker in done_by {
                if let Some(part) = self.parts.get_mut(&worker) {
                    remove(&mut part.done, has, turn);
                }
            }
        }
        change(self);
        if let Some(Turn { has, turn, done_by }) = self.turn_of(deal) {
            self.order.entry(has).or_default().insert(turn);
            for worker in done_by {
                if let Some(part) = self.parts.get_mut(&worker) {
                    part.done.entry(has).or_default().insert(turn);
                }
            }
        }
    }

    fn turn_of(&self, deal: DealId) -> Option<Turn> {
        let places = self.deals.get(&deal)?;
        let first = places.first()?;
        // Who took part in all of them did so in the first: there are never many.
        let has_all = |worker: &&Address| {
            let part = self.parts.get(*worker);
            let taken = part.and_then(|part| part.deals.get(&deal));
            taken.is_some_and(|taken| taken.len() == places.len())
        };
        Some(Turn {
            has: self.has.get(&deal).copied().unwrap_or(0),
            turn: (first, deal),
            done_by: self
                .takers(first.task)
                .iter()
                .filter(has_all)
                .copied()
                .collect(),
        })
    }
}

/// Takes a value out of one of several sets, and the set with its last value.
fn remove<K: Ord, T: Ord + Copy>(sets: &mut BTreeMap<K, Ranked<T>>, key: K, value: T) {
    if let Some(set) = sets.get_mut(&key) {
        set.remove(&value);
        if set.is_empty() {
            sets.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;

    fn deal(n: u8) -> DealId {
        DealId(B256::repeat_byte(n))
    }

    fn place(deal: DealId, index: u64, deadline: u64) -> Place {
        Place {
            deadline: Timestamp(deadline),
            index,
            task: TaskId::of(deal, index),
        }
    }

    fn line(deals: &[(u8, u64, u64)]) -> FairLine {
        let mut line = FairLine::default();
        for (number, tasks, deadline) in deals {
            for index in 0..*tasks {
                let id = deal(*number);
                line.insert(id, place(id, index, *deadline));
            }
        }
        line
    }

    /// Serves everybody and says whose tasks went out, in order.
    fn served(mut line: FairLine) -> Vec<u8> {
        let mut served = Vec::new();
        while let Some(next) = line.first() {
            line.remove(next.deal, next.place);
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
        line.insert(deal(2), place(deal(2), 0, 99));
        line.insert(deal(2), place(deal(2), 1, 99));
        assert_eq!(served(line), [2, 2, 1, 1, 1]);
    }

    #[test]
    fn tasks_of_a_deal_come_in_the_order_of_their_indexes() {
        let line = line(&[(1, 50, 10)]);
        assert!(line.iter().map(|one| one.place.index).eq(0..50));
    }

    #[test]
    fn what_leaves_the_line_is_not_served() {
        let mut line = line(&[(1, 2, 10)]);
        line.remove(deal(1), place(deal(1), 0, 10));
        line.remove(deal(1), place(deal(1), 0, 10));
        line.remove(deal(3), place(deal(3), 0, 10));
        assert_eq!((line.of(deal(1)), line.of(deal(3))), (1, 0));
        assert_eq!(served(line), [1]);
    }

    fn worker(n: u8) -> Address {
        Address::repeat_byte(n)
    }

    /// Numbers that look random.
    fn numbers(seed: u64) -> impl Iterator<Item = u64> {
        let mut state = seed | 1;
        std::iter::repeat_with(move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state >> 20
        })
    }

    #[test]
    fn for_each_worker_it_is_the_line_without_what_that_worker_took_part_in() {
        for seed in 1..40 {
            let mut line = FairLine::default();
            let mut waiting = BTreeMap::new();
            let mut dice = numbers(seed);
            let mut below = |limit: u64| dice.next().unwrap() % limit;
            for _ in 0..400 {
                let id = deal(below(6) as u8);
                let index = below(4);
                let task = TaskId::of(id, index);
                match below(5) {
                    0 => line.has(id, below(3) as usize),
                    1 | 2 => {
                        if let Some((before, _)) = waiting.remove(&task) {
                            line.remove(id, before);
                        }
                    }
                    _ => {
                        let new = place(id, index, below(2));
                        let takers: Vec<_> = (1..4).filter(|_| below(3) > 0).map(worker).collect();
                        if let Some((before, _)) = waiting.insert(task, (new, takers.clone())) {
                            line.remove(id, before);
                        }
                        line.insert_taken(id, new, takers);
                    }
                }
                assert_eq!(line.iter().count(), waiting.len());
                for worker in (1..5).map(worker) {
                    let may = |one: &Waiting| !waiting[&one.place.task].1.contains(&worker);
                    assert!(line.for_worker(worker).eq(line.iter().filter(may)));
                }
            }
            for (place, _) in waiting.into_values() {
                let found = line.iter().find(|one| one.place == place).unwrap();
                line.remove(found.deal, place);
            }
            assert!(line.parts.is_empty() && line.takers.is_empty() && line.is_empty());
        }
    }
}
