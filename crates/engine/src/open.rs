//! Which tasks are on offer to workers, and in which order: those that were begun first, then the deal whose tasks hold the
//! fewest slots, then the earliest deadline.

use std::collections::BTreeMap;
use std::iter::Peekable;

use alloy_primitives::Address;
use poco::ids::{DealId, TaskId};
use wire::status::TaskStatus;

use crate::demand::Demand;
use crate::fair::{FairLine, Place, Waiting};
use crate::input::WorkerProfile;
use crate::matching::Unfit;
use crate::records::TaskRecord;

/// Tasks that take one more replicate, by what they demand of a worker.
#[derive(Debug, Clone, Default)]
pub(crate) struct OpenTasks {
    ranks: BTreeMap<Demand, Ranks>,
    offers: BTreeMap<TaskId, Offer>,
    /// Slots that hold a replicate of the deal.
    slots: BTreeMap<DealId, usize>,
}

/// Tasks that were begun want their other replicates before more are begun (spec scheduler-logic §5.1). There are never more
/// of them than slots.
#[derive(Debug, Clone, Default)]
struct Ranks {
    begun: FairLine,
    fresh: FairLine,
}

/// Where a task on offer is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Offer {
    demand: Demand,
    begun: bool,
    deal: DealId,
    place: Place,
}

impl Ranks {
    const fn line(&mut self, begun: bool) -> &mut FairLine {
        if begun {
            &mut self.begun
        } else {
            &mut self.fresh
        }
    }
}

impl OpenTasks {
    /// `takers` are the workers that took part in the task, in order. Says whether somebody may have the task now who could
    /// not before.
    pub(crate) fn insert(&mut self, task: &TaskRecord, takers: Vec<Address>) -> bool {
        let offer = Offer {
            demand: Demand::of(task.tag),
            begun: task.status == TaskStatus::Running,
            deal: task.deal,
            place: Place::of(task),
        };
        let before = self.offers.get(&task.id).copied();
        let known = before.map(|offer| self.takers(offer));
        if before == Some(offer) && known == Some(takers.as_slice()) {
            return false;
        }
        // The chain can drop a contribution, which leaves one less.
        let news = known.is_none_or(|known| known.iter().any(|one| !takers.contains(one)));
        self.remove(task.id);
        let line = self.line(offer);
        line.insert_taken(offer.deal, offer.place, takers);
        self.offers.insert(task.id, offer);
        news
    }

    pub(crate) fn remove(&mut self, task: TaskId) {
        if let Some(offer) = self.offers.remove(&task) {
            self.line(offer).remove(offer.deal, offer.place);
        }
    }

    /// Notes that a replicate of the deal took a slot, or set one free.
    pub(crate) fn slot_of(&mut self, task: &TaskRecord, taken: bool) {
        let deal = task.deal;
        let before = self.slots.get(&deal).copied().unwrap_or(0);
        let now = if taken {
            before + 1
        } else {
            before.saturating_sub(1)
        };
        if now == 0 {
            self.slots.remove(&deal);
        } else {
            self.slots.insert(deal, now);
        }
        // All tasks of a deal demand the same.
        let ranks = self.ranks.entry(Demand::of(task.tag)).or_default();
        ranks.begun.has(deal, now);
        ranks.fresh.has(deal, now);
    }

    fn line(&mut self, offer: Offer) -> &mut FairLine {
        self.ranks
            .entry(offer.demand)
            .or_default()
            .line(offer.begun)
    }

    /// Tasks for a machine that took part in none of them, best first. One that has what few have takes what only it can do
    /// before anything else that has the same turn.
    pub(crate) fn for_anybody(&self, machine: &WorkerProfile) -> impl Iterator<Item = TaskId> {
        self.best_first(machine, FairLine::iter)
    }

    /// The same without the tasks that the worker took part in.
    pub(crate) fn for_worker(
        &self,
        worker: Address,
        machine: &WorkerProfile,
    ) -> impl Iterator<Item = TaskId> {
        self.best_first(machine, move |line| line.for_worker(worker))
    }

    fn best_first<'a, I: Iterator<Item = Waiting> + 'a>(
        &'a self,
        machine: &WorkerProfile,
        wanted: impl Fn(&'a FairLine) -> I,
    ) -> impl Iterator<Item = TaskId> + 'a {
        let met = || {
            self.ranks
                .iter()
                .rev()
                .filter(|(demand, _)| demand.is_met_by(machine))
                .map(|(_, ranks)| ranks)
        };
        let begun: Vec<_> = met().map(|ranks| wanted(&ranks.begun).peekable()).collect();
        let fresh: Vec<_> = met().map(|ranks| wanted(&ranks.fresh).peekable()).collect();
        merged(begun).chain(merged(fresh))
    }

    /// Who took part in a task on offer, as far as this index knows.
    pub(crate) fn takers_of(&self, task: TaskId) -> Option<&[Address]> {
        let offer = self.offers.get(&task)?;
        Some(self.takers(*offer))
    }

    fn takers(&self, offer: Offer) -> &[Address] {
        let Some(ranks) = self.ranks.get(&offer.demand) else {
            return &[];
        };
        let line = if offer.begun {
            &ranks.begun
        } else {
            &ranks.fresh
        };
        line.takers(offer.place.task)
    }

    pub(crate) fn contains(&self, task: TaskId) -> bool {
        self.offers.contains_key(&task)
    }

    /// What keeps a machine from what is left.
    pub(crate) fn missing(&self, machine: &WorkerProfile) -> Option<Unfit> {
        let out_of_reach = |(demand, ranks): &(&Demand, &Ranks)| {
            let waiting = !(ranks.begun.is_empty() && ranks.fresh.is_empty());
            waiting && !demand.is_met_by(machine)
        };
        let (demand, _) = self.ranks.iter().find(out_of_reach)?;
        Some(Unfit::TagMissing(demand.tag()))
    }

    pub(crate) fn len(&self) -> u64 {
        self.offers.len() as u64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.offers.is_empty()
    }
}

/// Of several lines always the one whose turn it is; of those with the same turn the first.
fn merged<I: Iterator<Item = Waiting>>(
    mut lines: Vec<Peekable<I>>,
) -> impl Iterator<Item = TaskId> {
    std::iter::from_fn(move || {
        let turn = |line: &mut Peekable<I>| {
            line.peek()
                .map(|waiting| (waiting.has, waiting.place.deadline))
        };
        let (_, next) = lines
            .iter_mut()
            .enumerate()
            .filter_map(|(nth, line)| Some((turn(line)?, nth)))
            .min()?;
        lines.get_mut(next)?.next()
    })
    .map(|waiting| waiting.place.task)
}
