//! Which tasks are on offer to workers, and in which order: those that were begun first, then the deal whose tasks hold the
//! fewest slots, then the earliest deadline.

use std::collections::BTreeMap;
use std::iter::Peekable;

use poco::ids::{DealId, TaskId};
use poco::tag::Tag;
use poco::units::Timestamp;
use wire::status::TaskStatus;

use crate::fair::{FairLine, Waiting};
use crate::matching::Unfit;
use crate::records::TaskRecord;

/// Tasks that take one more replicate, by what they demand of a worker.
#[derive(Debug, Clone, Default)]
pub(crate) struct OpenTasks {
    plain: Ranks,
    gpu: Ranks,
    places: BTreeMap<TaskId, Place>,
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
struct Place {
    gpu: bool,
    begun: bool,
    deal: DealId,
    deadline: Timestamp,
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
    /// Says whether the task was not on offer before.
    pub(crate) fn insert(&mut self, task: &TaskRecord) -> bool {
        let place = Place {
            gpu: task.tag.gpu(),
            begun: task.status == TaskStatus::Running,
            deal: task.deal,
            deadline: task.contribution_deadline,
        };
        if self.places.get(&task.id) == Some(&place) {
            return false;
        }
        let fresh = !self.remove(task.id);
        self.line(place).insert(place.deal, place.deadline, task.id);
        self.places.insert(task.id, place);
        fresh
    }

    pub(crate) fn remove(&mut self, task: TaskId) -> bool {
        let Some(place) = self.places.remove(&task) else {
            return false;
        };
        self.line(place).remove(place.deal, place.deadline, task);
        true
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

    const fn line(&mut self, place: Place) -> &mut FairLine {
        let ranks = if place.gpu {
            &mut self.gpu
        } else {
            &mut self.plain
        };
        ranks.line(place.begun)
    }

    /// Tasks for a worker, best first. A worker with a graphics processor takes what only it can do before anything else
    /// that has the same turn.
    pub(crate) fn for_worker(&self, gpu: bool) -> impl Iterator<Item = TaskId> {
        let special = gpu.then_some(&self.gpu);
        let begun = special.into_iter().flat_map(|ranks| ranks.begun.iter());
        let fresh = special.into_iter().flat_map(|ranks| ranks.fresh.iter());
        merged(begun, self.plain.begun.iter()).chain(merged(fresh, self.plain.fresh.iter()))
    }

    pub(crate) fn contains(&self, task: TaskId) -> bool {
        self.places.contains_key(&task)
    }

    /// What keeps a worker without a graphics processor from what is left.
    pub(crate) fn missing_gpu(&self) -> Option<Unfit> {
        let waiting = !(self.gpu.begun.is_empty() && self.gpu.fresh.is_empty());
        waiting.then_some(Unfit::TagMissing(Tag::GPU))
    }

    pub(crate) fn len(&self) -> u64 {
        self.places.len() as u64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
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
    .map(|waiting| waiting.task)
}

fn is_before(
    one: &mut Peekable<impl Iterator<Item = Waiting>>,
    other: &mut Peekable<impl Iterator<Item = Waiting>>,
) -> bool {
    match (one.peek(), other.peek()) {
        (Some(one), Some(other)) => (one.has, one.deadline) <= (other.has, other.deadline),
        (Some(_), None) => true,
        (None, _) => false,
    }
}
