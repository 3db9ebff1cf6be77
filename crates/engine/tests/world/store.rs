//! The store: keeps what the engine wants stored, and gives it back through its serialised form. Refuses what must never be
//! stored: a history that was rewritten, a final status that was left, an event out of order.

use std::collections::BTreeMap;

use alloy_primitives::Address;
use engine::{
    Change, DealRecord, EventRecord, Logs, PoolRecord, Records, ReplicateRecord, TaskRecord,
    WorkerRecord,
};
use poco::ids::{DealId, TaskId};
use serde::Serialize;
use serde::de::DeserializeOwned;

#[derive(Debug, Clone, Default)]
pub(crate) struct Stored {
    pub(crate) pool: PoolRecord,
    pub(crate) deals: BTreeMap<DealId, DealRecord>,
    pub(crate) tasks: BTreeMap<TaskId, TaskRecord>,
    pub(crate) replicates: BTreeMap<(TaskId, Address), ReplicateRecord>,
    pub(crate) workers: BTreeMap<Address, WorkerRecord>,
    pub(crate) events: Vec<EventRecord>,
    pub(crate) logs: BTreeMap<(TaskId, Address), Logs>,
}

impl Stored {
    pub(crate) fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Deal(deal) => {
                    self.deals.insert(deal.details.id, *deal);
                }
                Change::Task(task) => self.put_task(*task),
                Change::Replicate(replicate) => self.put_replicate(*replicate),
                Change::Worker(worker) => {
                    self.workers.insert(worker.worker, *worker);
                }
                Change::Pool(pool) => self.pool = *pool,
                Change::Event(event) => {
                    assert_eq!(event.seq, self.events.len() as u64, "events have no gaps");
                    self.events.push(*event);
                }
                Change::Logs { task, worker, logs } => {
                    let before = self.logs.insert((task, worker), logs);
                    assert_eq!(before, None, "logs are stored once");
                }
            }
        }
    }

    fn put_task(&mut self, task: TaskRecord) {
        assert_eq!(
            task.history.last().map(|step| step.status),
            Some(task.status)
        );
        if let Some(before) = self.tasks.get(&task.id) {
            assert!(
                task.history.starts_with(&before.history),
                "the history of {} was rewritten",
                task.id
            );
            if before.is_final() {
                assert_eq!(
                    before.status, task.status,
                    "I4: {} left a final status",
                    task.id
                );
            }
            assert!(!before.retired, "{} came back from retirement", task.id);
        }
        self.tasks.insert(task.id, task);
    }

    fn put_replicate(&mut self, replicate: ReplicateRecord) {
        let key = (replicate.task, replicate.worker);
        if let Some(before) = self.replicates.get(&key) {
            assert!(
                replicate.history.starts_with(&before.history),
                "I3: a replicate was replaced or its history rewritten"
            );
        }
        self.replicates.insert(key, replicate);
    }

    /// Everything, as it comes back from its serialised form.
    pub(crate) fn records(&self) -> Records {
        Records {
            pool: through_text(&self.pool),
            deals: self.deals.values().map(through_text).collect(),
            tasks: self.tasks.values().map(through_text).collect(),
            replicates: self.replicates.values().map(through_text).collect(),
            workers: self.workers.values().map(through_text).collect(),
        }
    }
}

fn through_text<T: Serialize + DeserializeOwned>(record: &T) -> T {
    let text = serde_json::to_string(record).unwrap();
    serde_json::from_str(&text).unwrap()
}
