//! Which RECEIVED tasks are initialised, and when: a bag is initialised as workers come free for it, not all at once.

use std::collections::BTreeSet;

use poco::ids::TaskId;
use poco::units::Timestamp;
use wire::status::TaskStatus;

use crate::engine::Engine;
use crate::records::TaskRecord;
use crate::turn::Turn;

/// Tasks kept initialised for each slot of the workers that are there: initialising takes a block or two, in which a slot may
/// finish several short tasks.
const AHEAD_PER_SLOT: usize = 8;

/// Tasks kept initialised with hardly any worker there, or none.
const LEAST_AHEAD: usize = 16;

/// Tasks that no worker has taken yet, in one line for each thing that they may demand of one: those that wait for a machine
/// which is not there keep nobody else waiting.
#[derive(Debug, Clone, Default)]
pub(crate) struct Backlog {
    plain: Line,
    gpu: Line,
}

#[derive(Debug, Clone, Default)]
struct Line {
    /// RECEIVED tasks in the order in which they will be initialised.
    received: BTreeSet<(Timestamp, TaskId)>,
    /// Tasks initialised, or on the way to it.
    ahead: BTreeSet<TaskId>,
    /// Slots, taken or free, of the workers that could have these tasks and were there of late.
    slots: usize,
}

impl Line {
    fn next(&mut self, most: usize) -> Option<TaskId> {
        let wanted = LEAST_AHEAD.max(self.slots.saturating_mul(AHEAD_PER_SLOT));
        if self.ahead.len() >= wanted.min(most) {
            return None;
        }
        self.received.pop_first().map(|(_, id)| id)
    }
}

impl Backlog {
    /// Notes whether the task waits to be initialised, or is and waits for a worker.
    pub(crate) fn sort_in(&mut self, task: &TaskRecord, waits: bool, ahead: bool) {
        let line = if task.tag.gpu() {
            &mut self.gpu
        } else {
            &mut self.plain
        };
        let place = (task.contribution_deadline, task.id);
        if waits {
            line.received.insert(place);
        } else {
            line.received.remove(&place);
        }
        if ahead {
            line.ahead.insert(task.id);
        } else {
            line.ahead.remove(&task.id);
        }
    }

    /// A worker has it, or it is gone.
    pub(crate) fn taken(&mut self, id: TaskId) {
        self.plain.ahead.remove(&id);
        self.gpu.ahead.remove(&id);
    }

    /// The task to initialise next, if one more is wanted. At most `most` wait for a worker in each line.
    fn next(&mut self, most: usize) -> Option<TaskId> {
        self.gpu.next(most).or_else(|| self.plain.next(most))
    }
}

impl Engine {
    /// Counts the slots of the workers that are there.
    pub(crate) fn count_slots(&mut self, now: Timestamp) {
        let (mut plain, mut gpu) = (0, 0);
        for worker in self.workers.values() {
            if worker.cordoned_since.is_some() || !self.is_alive(worker.worker, now) {
                continue;
            }
            let slots = worker.profile.slots() as usize;
            plain += slots;
            if worker.profile.gpu {
                gpu += slots;
            }
        }
        self.backlog.plain.slots = plain;
        self.backlog.gpu.slots = gpu;
    }

    /// Begins the next initialisation, if one more is wanted. Says whether it did anything.
    pub(crate) fn initialize_next(&mut self, turn: &mut Turn) -> bool {
        // Facts to come may show that much of this is done.
        if self.catching_up || self.pool.head.is_none() {
            return false;
        }
        let Some(id) = self.backlog.next(self.settings.initialize_ahead) else {
            return false;
        };
        let Some(task) = self.tasks.get(&id) else {
            return true;
        };
        let reserve = self.window_reserve(task);
        let in_time = self.chain_clock().saturating_add(reserve) < task.contribution_deadline;
        if task.status == TaskStatus::Received && in_time {
            let why = "initialize is sent";
            self.advance(turn, id, &[TaskStatus::Initializing], why);
        }
        true
    }
}
