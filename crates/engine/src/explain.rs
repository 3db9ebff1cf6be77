//! Showing what the engine knows and why nothing happens. The matcher's own predicates with their answers; nothing here
//! changes anything.

use std::collections::BTreeMap;

use alloy_primitives::Address;
use poco::ids::{DealId, TaskId};
use poco::units::Timestamp;
use wire::status::{TaskNotificationType, TaskStatus};

use crate::engine::{Alarm, Engine};
use crate::matching::Unfit;
use crate::records::{
    DealRecord, DeedPhase, PoolRecord, ReplicateRecord, TaskRecord, WorkerRecord,
};

/// Why a task is where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The task.
    pub task: TaskId,
    /// Where it stands.
    pub status: TaskStatus,
    /// Since when.
    pub since: Timestamp,
    /// What it waits for, most important first.
    pub because: Vec<String>,
    /// For a task on offer: each registered worker, and what keeps it from the task.
    pub workers: Vec<(Address, Result<(), Unfit>)>,
    /// When the engine looks at it again at the latest.
    pub next_look: Option<Timestamp>,
}

/// The pool in numbers (spec scheduler-api §4.3).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Figures {
    /// Registered workers with a sign of life of late.
    pub alive_workers: u64,
    /// Processors of living workers without a graphics processor.
    pub registered_cpus: u64,
    /// Replicates that hold a slot of those.
    pub computing_cpus: u64,
    /// Living workers with a graphics processor.
    pub registered_gpus: u64,
    /// Those of them that compute.
    pub computing_gpus: u64,
    /// Tasks on offer.
    pub open_tasks: u64,
    /// Asks that are held.
    pub held_asks: u64,
    /// Reports and questions that wait for the chain or the result proxy.
    pub parked: u64,
    /// All tasks ever, by status.
    pub tasks_by_status: BTreeMap<TaskStatus, u64>,
}

impl Engine {
    /// A live task.
    pub fn task(&self, id: TaskId) -> Option<&TaskRecord> {
        self.tasks.get(&id)
    }

    /// The live tasks, in order of their ids.
    pub fn tasks(&self) -> impl Iterator<Item = &TaskRecord> {
        self.tasks.values()
    }

    /// A deal with live tasks.
    pub fn deal(&self, id: DealId) -> Option<&DealRecord> {
        self.deals.get(&id)
    }

    /// A worker's part in a live task.
    pub fn replicate(&self, task: TaskId, worker: Address) -> Option<&ReplicateRecord> {
        self.replicates.get(&(task, worker))
    }

    /// All parts in a live task, in order of the workers' addresses.
    pub fn replicates(&self, task: TaskId) -> impl Iterator<Item = &ReplicateRecord> {
        self.replicates_of(task)
    }

    /// A registered worker.
    pub fn worker(&self, worker: Address) -> Option<&WorkerRecord> {
        self.workers.get(&worker)
    }

    /// The registered workers, in order of their addresses.
    pub fn workers(&self) -> impl Iterator<Item = &WorkerRecord> {
        self.workers.values()
    }

    /// A worker's slots that are not taken.
    pub fn free_slots(&self, worker: Address) -> u32 {
        self.workers
            .get(&worker)
            .map_or(0, |record| record.profile.slots())
            .saturating_sub(self.running(worker))
    }

    /// The live tasks a worker has a part in, and those of them that hold a slot.
    pub fn tasks_of(&self, worker: Address) -> (Vec<TaskId>, Vec<TaskId>) {
        let list = |index: &BTreeMap<Address, std::collections::BTreeSet<TaskId>>| {
            index
                .get(&worker)
                .map(|tasks| tasks.iter().copied().collect())
                .unwrap_or_default()
        };
        (list(&self.tasks_of_worker), list(&self.holding))
    }

    /// A worker's last sign of life, if it gave any.
    pub fn last_alive(&self, worker: Address) -> Option<Timestamp> {
        self.last_seen.get(&worker).copied()
    }

    /// What there is once for the whole pool.
    pub const fn pool(&self) -> &PoolRecord {
        &self.pool
    }

    /// Whether work is given now: the chain can be read and a block is known.
    pub const fn is_in_service(&self) -> bool {
        self.chain_up && self.pool.head.is_some()
    }

    /// The pool in numbers.
    pub fn figures(&self, now: Timestamp) -> Figures {
        let mut figures = Figures {
            open_tasks: self.open.len(),
            held_asks: self.held.len() as u64,
            parked: self.parked.len() as u64,
            tasks_by_status: self.pool.tasks_by_status.clone(),
            ..Figures::default()
        };
        for (id, worker) in &self.workers {
            if !self.is_alive(*id, now) {
                continue;
            }
            let running = u64::from(self.running(*id));
            figures.alive_workers += 1;
            if worker.profile.gpu {
                figures.registered_gpus += 1;
                figures.computing_gpus += running.min(1);
            } else {
                figures.registered_cpus += u64::from(worker.profile.slots());
                figures.computing_cpus += running;
            }
        }
        figures
    }

    /// Why a live task is where it is, and what it waits for.
    pub fn explain(&self, now: Timestamp, id: TaskId) -> Option<Explanation> {
        let task = self.tasks.get(&id)?;
        let mut because = Vec::new();
        if let Some(failure) = &task.failure {
            because.push(failure.clone());
        }
        if let Err(unfit) = self.takes_replicates(now, task)
            && !task.is_final()
        {
            because.push(unfit.to_string());
        }
        because.extend(self.awaited_turn(task));
        because.extend(awaited_deeds(task));
        for one in self.replicates_of(id) {
            if let Some(need) = self.need(task, one)
                && need.kind != TaskNotificationType::PleaseAbort
            {
                let worker = poco::hex::lower(&one.worker);
                because.push(format!("worker {worker} was told {}", need.kind.name()));
            }
        }
        let workers = if self.open.contains(id) {
            self.workers
                .keys()
                .map(|worker| (*worker, self.fit(now, *worker, id)))
                .collect()
        } else {
            Vec::new()
        };
        Some(Explanation {
            task: id,
            status: task.status,
            since: task.history.last().map(|step| step.at).unwrap_or_default(),
            because,
            workers,
            next_look: self.alarms.of(&Alarm::Task(id)),
        })
    }

    /// What must never be, as far as it can be seen from one state (design §8): each a sentence. Slow; for tests and
    /// `verify`.
    pub fn broken_invariants(&self) -> Vec<String> {
        let mut broken = self.wrong_offers();
        for (id, task) in &self.tasks {
            let chain = task.chain.status();
            if !task.is_final() && self.alarms.of(&Alarm::Task(*id)).is_none() {
                broken.push(format!("I5: task {id} in {} has no wake-up", task.status));
            }
            if ahead_of_chain(task) {
                let status = task.status;
                broken.push(format!("I4: task {id} is {status}, on the chain {chain:?}"));
            }
            for one in self.replicates_of(*id) {
                let held = self
                    .holding
                    .get(&one.worker)
                    .is_some_and(|tasks| tasks.contains(id));
                let listed = self
                    .tasks_of_worker
                    .get(&one.worker)
                    .is_some_and(|tasks| tasks.contains(id));
                if held != one.holds_slot || !listed {
                    broken.push(format!("task {id}: indexes of {} are wrong", one.worker));
                }
                if one.holds_slot && (task.is_final() || !one.needs_slot()) {
                    broken.push(format!("R-38: task {id}: {} keeps a slot", one.worker));
                }
            }
        }
        broken
    }
}

/// The transactions whose facts are still missing, and where they are.
fn awaited_deeds(task: &TaskRecord) -> impl Iterator<Item = String> {
    let chain = &task.chain;
    let ended = chain.status().is_final();
    [
        ("initialize", &task.initialize, chain.initialized.is_none()),
        ("enclave-challenge", &task.challenge, task.lacks_enclave()),
        ("finalize", &task.finalize, !ended),
        ("reopen", &task.reopen, task.status == TaskStatus::Reopening),
        ("claim", &task.claim, !ended),
    ]
    .into_iter()
    .filter(|(_, _, awaited)| *awaited)
    .filter_map(|(name, deed, _)| match deed.phase {
        DeedPhase::Idle => None,
        DeedPhase::Asked { at } => {
            let attempt = deed.attempt;
            Some(format!("{name} is under way since {at} (try {attempt})"))
        }
        DeedPhase::Mined { block } => Some(format!(
            "{name} was mined in block {block}, which is not read yet"
        )),
        DeedPhase::Failed { retry_at } => {
            let failure = deed.last_failure.as_deref().unwrap_or("did not go through");
            Some(format!("{name} {failure}; tried again at {retry_at}"))
        }
    })
}

fn ahead_of_chain(task: &TaskRecord) -> bool {
    match task.status {
        TaskStatus::Initialized | TaskStatus::Running => task.chain.initialized.is_none(),
        TaskStatus::ConsensusReached => task.chain.consensus.is_none(),
        TaskStatus::AtLeastOneRevealed
        | TaskStatus::ResultUploading
        | TaskStatus::ResultUploaded
        | TaskStatus::Finalizing => task.chain.reveals() == 0,
        _ => false,
    }
}
