//! One turn of the engine: what one input has touched so far. Collects, orders and hands out; decides nothing.

use std::collections::BTreeSet;

use alloy_primitives::Address;
use poco::ids::{DealId, TaskId};
use poco::units::Timestamp;

use crate::engine::Engine;
use crate::input::Ticket;
use crate::output::{Change, Command, Notice, Outputs, Reply};
use crate::records::{EventRecord, Topic};

/// What one input has touched so far.
pub(crate) struct Turn {
    pub(crate) now: Timestamp,
    /// Tasks to be looked at before the turn ends.
    pub(crate) review: BTreeSet<TaskId>,
    /// Work or a slot came free: held asks may be served.
    pub(crate) supply: bool,
    /// How many tasks were made, or given up.
    pub(crate) made: u64,
    deals: BTreeSet<DealId>,
    tasks: BTreeSet<TaskId>,
    replicates: BTreeSet<(TaskId, Address)>,
    workers: BTreeSet<Address>,
    pool: bool,
    out: Outputs,
}

/// What an event is about.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct About {
    pub(crate) deal: Option<DealId>,
    pub(crate) task: Option<TaskId>,
    pub(crate) worker: Option<Address>,
}

impl About {
    pub(crate) fn deal(deal: DealId) -> Self {
        Self {
            deal: Some(deal),
            ..Self::default()
        }
    }

    pub(crate) fn worker(worker: Address) -> Self {
        Self {
            worker: Some(worker),
            ..Self::default()
        }
    }

    pub(crate) fn replicate(task: TaskId, worker: Address) -> Self {
        Self {
            task: Some(task),
            worker: Some(worker),
            ..Self::default()
        }
    }
}

impl Turn {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            now,
            review: BTreeSet::new(),
            supply: false,
            made: 0,
            deals: BTreeSet::new(),
            tasks: BTreeSet::new(),
            replicates: BTreeSet::new(),
            workers: BTreeSet::new(),
            pool: false,
            out: Outputs::default(),
        }
    }

    pub(crate) fn deal_changed(&mut self, deal: DealId) {
        self.deals.insert(deal);
    }

    /// The task's record must be stored, and its situation looked at again.
    pub(crate) fn task_changed(&mut self, task: TaskId) {
        self.tasks.insert(task);
        self.review.insert(task);
    }

    /// The replicate's record must be stored, and its task looked at again.
    pub(crate) fn replicate_changed(&mut self, task: TaskId, worker: Address) {
        self.replicates.insert((task, worker));
        self.review.insert(task);
    }

    pub(crate) fn worker_changed(&mut self, worker: Address) {
        self.workers.insert(worker);
    }

    pub(crate) fn pool_changed(&mut self) {
        self.pool = true;
    }

    pub(crate) fn reply(&mut self, ticket: Ticket, reply: Reply) {
        self.out.replies.push((ticket, reply));
    }

    pub(crate) fn tell(&mut self, notice: Notice) {
        self.out.notices.push(notice);
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.out.commands.push(command);
    }

    /// Something to be stored as it is, once.
    pub(crate) fn store(&mut self, change: Change) {
        self.out.changes.push(change);
    }
}

impl Engine {
    /// Adds to the record of what happened, in words.
    pub(crate) fn note(&mut self, turn: &mut Turn, topic: Topic, about: About, text: String) {
        let deal = about
            .deal
            .or_else(|| Some(self.tasks.get(&about.task?)?.deal));
        let event = EventRecord {
            seq: self.pool.next_event,
            at: turn.now,
            block: self.pool.head.map(|head| head.number),
            topic,
            deal,
            task: about.task,
            worker: about.worker,
            text,
        };
        self.pool.next_event += 1;
        turn.pool_changed();
        turn.store(Change::Event(Box::new(event)));
    }

    /// Adds to the record of what happened to one task.
    pub(crate) fn note_task(&mut self, turn: &mut Turn, task: TaskId, text: String) {
        let about = About {
            task: Some(task),
            ..About::default()
        };
        self.note(turn, Topic::Task, about, text);
    }

    /// What the turn comes to. Each touched record is stored once, as it is now.
    pub(crate) fn finish(&self, turn: Turn) -> Outputs {
        let mut out = turn.out;
        let deals = turn.deals.iter().filter_map(|id| self.deals.get(id));
        out.changes
            .extend(deals.map(|deal| Change::Deal(Box::new(deal.clone()))));
        let tasks = turn.tasks.iter().filter_map(|id| self.tasks.get(id));
        out.changes
            .extend(tasks.map(|task| Change::Task(Box::new(task.clone()))));
        let replicates = turn
            .replicates
            .iter()
            .filter_map(|key| self.replicates.get(key));
        out.changes
            .extend(replicates.map(|one| Change::Replicate(Box::new(one.clone()))));
        let workers = turn.workers.iter().filter_map(|id| self.workers.get(id));
        out.changes
            .extend(workers.map(|worker| Change::Worker(Box::new(worker.clone()))));
        if turn.pool {
            out.changes.push(Change::Pool(Box::new(self.pool.clone())));
        }
        out
    }
}
