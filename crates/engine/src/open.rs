//! Which tasks are on offer to workers, and in which order: those that were begun first, then the deal whose tasks hold the
//! fewest slots, then the earliest deadline.

use std::collections::BTreeMap;
use std::iter::Peekable;

use alloy_primitives::Address;
use poco::ids::{DealId, TaskId};
use poco::tag::Tag;
use wire::status::TaskStatus;

use crate::fair::{FairLine, Place, Waiting};
use crate::matching::Unfit;
use crate::records::TaskRecord;

/// Tasks that take one more replicate, by what they demand of a worker.
#[derive(Debug, Clone, Default)]
pub(crate) struct OpenTasks {
    plain: Ranks,
    gpu: Ranks,
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
    gpu: bool,
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
            gpu: task.tag.gpu(),
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
    pub(crate) fn slot_of(&mut self, deal: DealId, taken: bool) {
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
        for ranks in [&mut self.plain, &mut self.gpu] {
            ranks.begun.has(deal, now);
            ranks.fresh.has(deal, now);
        }
    }

    const fn line(&mut self, offer: Offer) -> &mut FairLine {
        let ranks = if offer.gpu {
            &mut self.gpu
        } else {
            &mut self.plain
        };
        ranks.line(offer.begun)
    }

    /// Tasks for a worker that took part in none of them, best first. A worker with a graphics processor takes what only it
    /// can do before anything else that has the same turn.
    pub(crate) fn for_anybody(&self, gpu: bool) -> impl Iterator<Item = TaskId> {
        self.best_first(gpu, FairLine::iter)
    }

    /// The same without the tasks that the worker took part in.
    pub(crate) fn for_worker(&self, worker: Address, gpu: bool) -> impl Iterator<Item = TaskId> {
        self.best_first(gpu, move |line| line.for_worker(worker))
    }

    fn best_first<'a, I: Iterator<Item = Waiting> + 'a>(
        &'a self,
        gpu: bool,
        wanted: impl Fn(&'a FairLine) -> I + Copy + 'a,
    ) -> impl Iterator<Item = TaskId> + 'a {
        let special = gpu.then_some(&self.gpu);
        let begun = special
            .into_iter()
            .flat_map(move |ranks| wanted(&ranks.begun));
        let fresh = special
            .into_iter()
            .flat_map(move |ranks| wanted(&ranks.fresh));
        merged(begun, wanted(&self.plain.begun)).chain(merged(fresh, wanted(&self.plain.fresh)))
    }

    /// Who took part in a task on offer, as far as this index knows.
    pub(crate) fn takers_of(&self, task: TaskId) -> Option<&[Address]> {
        let offer = self.offers.get(&task)?;
        Some(self.takers(*offer))
    }

    fn takers(&self, offer: Offer) -> &[Address] {
        let ranks = if offer.gpu { &self.gpu } else { &self.plain };
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

    /// What keeps a worker without a graphics processor from what is left.
    pub(crate) fn missing_gpu(&self) -> Option<Unfit> {
        let waiting = !(self.gpu.begun.is_empty() && self.gpu.fresh.is_empty());
        waiting.then_some(Unfit::TagMissing(Tag::GPU))
    }

    pub(crate) fn len(&self) -> u64 {
        self.offers.len() as u64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.offers.is_empty()
    }
}

fn merged(
    special: impl Iterator<Item = Waiting>,
    plain: impl Iterator<Item = Waiting>,
) -> impl Iterator<Item = TaskId> {
    let (mut special, mut plain) = (special.peekable(), plain.peekable());
    std::iter::from_fn(move || {
        if is_before(&mut special, &mut plain) {
            special.next()
        } else {
            plain.next()
        }
    })
    .map(|waiting| waiting.place.task)
}

fn is_before(
    one: &mut Peekable<impl Iterator<Item = Waiting>>,
    other: &mut Peekable<impl Iterator<Item = Waiting>>,
) -> bool {
    match (one.peek(), other.peek()) {
        (Some(one), Some(other)) => {
            (one.has, one.place.deadline) <= (other.has, other.place.deadline)
        }
        (Some(_), None) => true,
        (None, _) => false,
    }
}
