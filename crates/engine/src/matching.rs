//! Whether a worker may have a replicate of a task, and if not, why. The same predicates decide and explain: nothing here
//! changes anything.

use std::time::Duration;

use alloy_primitives::Address;
use poco::consensus::more_needed;
use poco::ids::TaskId;
use poco::status::ChainTaskStatus;
use poco::tag::Tag;
use poco::units::Timestamp;
use wire::status::{ReplicateStatus, TaskStatus};

use crate::demand::Demand;
use crate::engine::Engine;
use crate::records::{ReplicateRecord, TaskRecord};

/// Why this worker cannot have a replicate now. The order of the variants is the order in which they are worth telling.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// An operator keeps work from everybody.
    #[error("the pool is draining since {since}")]
    PoolDraining {
        /// Since when.
        since: Timestamp,
    },
    /// It never said what machine it is.
    #[error("worker {worker} is not registered")]
    NotRegistered {
        /// Who.
        worker: Address,
    },
    /// It is not on the list of allowed workers.
    #[error("worker {worker} is not allowed in this pool")]
    NotAllowed {
        /// Who.
        worker: Address,
    },
    /// An operator keeps work from it.
    #[error("the worker is cordoned since {since}")]
    WorkerCordoned {
        /// Since when.
        since: Timestamp,
    },
    /// Its node is not synchronised.
    #[error("the worker's node knows no block yet")]
    NodeNotSynced,
    /// It could not pay for its transactions.
    #[error("the worker's wallet has not enough gas")]
    NoGas,
    /// It holds as many replicates as it has slots.
    #[error("all {slots} slots of the worker are taken by {running} tasks")]
    NoFreeSlot {
        /// Replicates that hold a slot.
        running: u32,
        /// Slots.
        slots: u32,
    },
    /// The task is not, or no longer, in the engine's memory.
    #[error("the task is not one of this pool's live tasks")]
    UnknownTask,
    /// The task takes no contributions now.
    #[error("the task is {}", .status.name())]
    TaskNotOpen {
        /// Where it stands.
        status: TaskStatus,
    },
    /// The block of its deal is gone from the chain.
    #[error("the task's deal vanished in a reorganisation of the chain")]
    DealVanished,
    /// The deal demands a graphics processor, an enclave, or more.
    #[error("the worker lacks what tag {0} demands")]
    TagMissing(Tag),
    /// One replicate of a task per worker, for ever.
    #[error("the worker took part already, its replicate is {}", .replicate.name())]
    AlreadyTookPart {
        /// Where it stands.
        replicate: ReplicateStatus,
    },
    /// The replicates under way suffice for a consensus.
    #[error(
        "{pending} replicate(s) under way and {contributed} contributed are enough for trust {trust}"
    )]
    ConsensusCovered {
        /// Replicates that may still contribute.
        pending: usize,
        /// Contributions.
        contributed: usize,
        /// The deal's trust.
        trust: u64,
    },
    /// Not enough time is left to compute.
    #[error("contributions close at {at}, and {} s are needed", .needed.as_secs())]
    WindowCloses {
        /// When contributions close.
        at: Timestamp,
        /// How long a computation may take.
        needed: Duration,
    },
}

impl Engine {
    /// Whether this worker would be given a replicate of this task now, and if not, why. Asking changes nothing.
    pub fn fit(&self, now: Timestamp, worker: Address, task: TaskId) -> Result<(), Unfit> {
        self.fit_worker(worker)?;
        match self.tasks.get(&task) {
            Some(task) => self.fit_task(now, task, worker),
            None => Err(Unfit::UnknownTask),
        }
    }

    /// What keeps a worker from any work.
    pub(crate) fn fit_worker(&self, worker: Address) -> Result<(), Unfit> {
        if let Some(since) = self.pool.draining_since {
            return Err(Unfit::PoolDraining { since });
        }
        let allowed = &self.settings.allowed_workers;
        if !allowed.is_empty() && !allowed.contains(&worker) {
            return Err(Unfit::NotAllowed { worker });
        }
        let record = self
            .workers
            .get(&worker)
            .ok_or(Unfit::NotRegistered { worker })?;
        if let Some(since) = record.cordoned_since {
            return Err(Unfit::WorkerCordoned { since });
        }
        let (running, slots) = (self.running(worker), record.profile.slots());
        if running >= slots {
            return Err(Unfit::NoFreeSlot { running, slots });
        }
        Ok(())
    }

    /// What keeps a worker that can take work from this task.
    pub(crate) fn fit_task(
        &self,
        now: Timestamp,
        task: &TaskRecord,
        worker: Address,
    ) -> Result<(), Unfit> {
        self.takes_replicates(now, task)?;
        let demand = Demand::of(task.tag);
        let met = self
            .workers
            .get(&worker)
            .is_some_and(|record| demand.is_met_by(&record.profile));
        if !met {
            return Err(Unfit::TagMissing(task.tag));
        }
        if let Some(replicate) = self.replicates.get(&(task.id, worker)) {
            return Err(Unfit::AlreadyTookPart {
                replicate: replicate.current(),
            });
        }
        // Also one that only the chain knows of: the contract takes one contribution of each worker.
        if task.chain.contributions.contains_key(&worker) {
            return Err(Unfit::AlreadyTookPart {
                replicate: ReplicateStatus::Contributed,
            });
        }
        Ok(())
    }

    /// What keeps a task from taking one more replicate, whoever asks.
    pub(crate) fn takes_replicates(&self, now: Timestamp, task: &TaskRecord) -> Result<(), Unfit> {
        if self.deal_vanished(task.deal) {
            return Err(Unfit::DealVanished);
        }
        let active = task.chain.status() == ChainTaskStatus::Active;
        if !task.status.is_waiting_contribution() || !active {
            return Err(Unfit::TaskNotOpen {
                status: task.status,
            });
        }
        let needed = self.window_reserve(task);
        let clock = self.chain_clock().max(now);
        if clock.saturating_add(needed) >= task.contribution_deadline {
            return Err(Unfit::WindowCloses {
                at: task.contribution_deadline,
                needed,
            });
        }
        let contributed: Vec<_> = task
            .chain
            .contributions
            .values()
            .filter(|one| !one.rejected)
            .map(|one| (one.hash, one.weight))
            .collect();
        let pending: Vec<_> = self.pending(now, task).map(|one| one.weight).collect();
        if !more_needed(
            task.trust,
            contributed.iter().copied(),
            pending.iter().copied(),
        ) {
            return Err(Unfit::ConsensusCovered {
                pending: pending.len(),
                contributed: contributed.len(),
                trust: task.trust,
            });
        }
        Ok(())
    }

    /// Replicates that may still contribute. Unlike in the original, one that failed, was aborted or whose worker is lost
    /// does not count (spec scheduler-logic Q-24); one older than the longest execution time does not count either.
    pub(crate) fn pending(
        &self,
        now: Timestamp,
        task: &TaskRecord,
    ) -> impl Iterator<Item = &ReplicateRecord> {
        let period = task.max_execution();
        let patience = self.settings.recovery_patience;
        self.replicates_of(task.id).filter(move |one| {
            let young = now <= one.created_at.saturating_add(period);
            let gone_quiet = one
                .recovering_since
                .is_some_and(|since| now >= since.saturating_add(patience));
            let contributed = task.chain.contributions.contains_key(&one.worker);
            let lost = one.current() == ReplicateStatus::WorkerLost;
            young && !gone_quiet && !contributed && !lost && one.may_contribute()
        })
    }

    /// Time that must be left before contributions close for a replicate to make sense.
    pub(crate) fn window_reserve(&self, task: &TaskRecord) -> Duration {
        task.max_execution()
            .saturating_mul(self.settings.window_reserve_percent)
            / 100
    }

    /// How many slots of a worker are taken.
    pub(crate) fn running(&self, worker: Address) -> u32 {
        let running = self.holding.get(&worker).map_or(0, |tasks| tasks.len());
        u32::try_from(running).unwrap_or(u32::MAX)
    }
}
