//! From consensus to reveal: what the chain shows of contributions and reveals is filled into histories of workers that do not
//! report it, and a consensus that nobody revealed is reopened.

use std::time::Duration;

use alloy_primitives::Address;
use poco::ids::TaskId;
use poco::status::ChainTaskStatus;
use poco::units::Timestamp;
use wire::status::ReplicateStatus::{
    self, AppDownloadFailed, Computed, ContributeAndFinalizeDone, ContributeAndFinalizeOngoing,
    Contributed, Contributing, DataDownloadFailed, Failed, Revealed, Revealing,
};
use wire::status::{ReplicateStatusCause, StatusModifier, TaskStatus};

use crate::engine::Engine;
use crate::output::{Notice, Purpose, Recipients};
use crate::records::{DeedPhase, TaskRecord};
use crate::replicate::Entry;
use crate::tell::Need;
use crate::turn::Turn;

impl Engine {
    /// Fills in what the chain shows and workers did not report.
    pub(crate) fn fill(&mut self, turn: &mut Turn, id: TaskId) {
        for worker in self.workers_of(id) {
            self.fill_replicate(turn, id, worker, self.report_grace());
        }
    }

    /// Fills in one worker's history, where its own report was waited for.
    pub(crate) fn fill_replicate(
        &mut self,
        turn: &mut Turn,
        id: TaskId,
        worker: Address,
        grace: Duration,
    ) {
        let Some(task) = self.tasks.get(&id) else {
            return;
        };
        let Some(contribution) = task.chain.contributions.get(&worker) else {
            return;
        };
        if contribution.rejected {
            self.reject(turn, id, worker);
            return;
        }
        let waited = |(_, seen): &(_, Timestamp)| seen.saturating_add(grace) <= turn.now;
        let Some((target, _)) = task.chain.shown(worker).rfind(waited) else {
            return;
        };
        for status in self.unreported(id, worker, target) {
            let entry = Entry::of_pool(status);
            let why = "the chain shows it, the worker did not say";
            self.set_replicate(turn, id, worker, &entry, why);
        }
    }

    fn unreported(
        &self,
        id: TaskId,
        worker: Address,
        target: ReplicateStatus,
    ) -> Vec<ReplicateStatus> {
        let Some(replicate) = self.replicates.get(&(id, worker)) else {
            return Vec::new();
        };
        let relevant = replicate.relevant();
        let alone = target == ContributeAndFinalizeDone;
        let from = match relevant {
            // The error is the result that was contributed.
            AppDownloadFailed | DataDownloadFailed => Computed,
            // It fell back to contributing alone.
            ContributeAndFinalizeOngoing if !alone => Computed,
            other => other,
        };
        // Each way has its own statuses between the result and the end (spec scheduler-logic Q-17).
        ReplicateStatus::missing(from, target)
            .iter()
            .copied()
            .filter(|status| !alone || !(Contributing..=Revealed).contains(status))
            .collect()
    }

    /// Whether the chain shows something about a worker that its history will show after a while.
    pub(crate) fn next_fill(&self, task: &TaskRecord) -> Option<Timestamp> {
        task.chain
            .contributions
            .iter()
            .filter(|(worker, one)| {
                !one.rejected && self.replicates.contains_key(&(task.id, **worker))
            })
            .flat_map(|(worker, _)| {
                task.chain
                    .shown(*worker)
                    .map(move |(target, seen)| (*worker, target, seen))
            })
            .filter(|(worker, target, _)| !self.unreported(task.id, *worker, *target).is_empty())
            .map(|(_, _, seen)| seen.saturating_add(self.report_grace()))
            .filter(|at| *at > self.clock)
            .min()
    }

    /// A contribution whose consensus was reopened is lost for good (spec scheduler-logic §3.11).
    fn reject(&mut self, turn: &mut Turn, id: TaskId, worker: Address) {
        let over = self.replicates.get(&(id, worker)).is_none_or(|one| {
            one.is_over()
                || !matches!(
                    one.relevant(),
                    Computed | Contributing | Contributed | Revealing
                )
        });
        if over {
            return;
        }
        let entry = Entry {
            status: Failed,
            by: StatusModifier::PoolManager,
            cause: Some(ReplicateStatusCause::RevealTimeout),
        };
        let why = "the consensus it was part of was reopened";
        if self.set_replicate(turn, id, worker, &entry, why) {
            turn.tell(Notice {
                task: id,
                to: Recipients::Workers(vec![worker]),
                kind: Need::abort(None).kind,
                block: None,
                abort_cause: None,
            });
        }
    }

    /// What follows from a consensus until somebody has revealed. Says whether the task moved.
    pub(crate) fn see_to_reveal(&mut self, turn: &mut Turn, id: TaskId) -> bool {
        let Some(task) = self.tasks.get(&id) else {
            return false;
        };
        if self.somebody_revealed(task) {
            let why = "a winner revealed";
            return self.advance(turn, id, &[TaskStatus::AtLeastOneRevealed], why);
        }
        let Some(deadline) = task.reveal_deadline() else {
            return false;
        };
        if task.chain.reveals() > 0 {
            return false;
        }
        let nobody = self.is_over(turn, id, deadline, |view| {
            view.status == ChainTaskStatus::Revealing && view.reveals == 0
        });
        if !nobody {
            return false;
        }
        let Some(task) = self.tasks.get_mut(&id) else {
            return false;
        };
        // This is another consensus: the next try is never the same as one for an earlier one.
        if matches!(task.reopen.phase, DeedPhase::Failed { .. }) {
            task.reopen.attempt += 1;
        }
        task.reopen.phase = DeedPhase::Idle;
        if self.time_to_compute(id) {
            let why = "nobody revealed in time, and there is time for other workers";
            self.advance(turn, id, &[TaskStatus::Reopening], why);
            self.drive(turn, id, Purpose::Reopen);
        } else {
            let reason = "nobody revealed in time, and no time is left to compute again";
            self.fail(turn, id, TaskStatus::ReopenFailed, reason);
        }
        true
    }

    /// Whether a reveal is known on both sides: on the chain and in the worker's history.
    fn somebody_revealed(&self, task: &TaskRecord) -> bool {
        task.chain.winners().any(|(worker, one)| {
            one.revealed.is_some()
                && self
                    .replicates
                    .get(&(task.id, *worker))
                    .is_some_and(|replicate| replicate.passed(Revealed))
        })
    }

    fn time_to_compute(&self, id: TaskId) -> bool {
        self.tasks.get(&id).is_some_and(|task| {
            self.chain_clock().saturating_add(self.window_reserve(task))
                < task.contribution_deadline
        })
    }

    /// Says whether the task moved.
    pub(crate) fn see_to_reopening(&mut self, turn: &mut Turn, id: TaskId) -> bool {
        let Some(task) = self.tasks.get(&id) else {
            return false;
        };
        if task.chain.consensus.is_none() {
            return self.lost_consensus(turn, id);
        }
        if task.chain.reveals() > 0 {
            let why = "a winner revealed after all";
            return self.advance(turn, id, &[TaskStatus::ConsensusReached], why);
        }
        let deadline = task.contribution_deadline;
        let late = self.is_over(turn, id, deadline, |view| {
            view.status == ChainTaskStatus::Revealing
        });
        if late {
            let reason = "nobody revealed in time, and the task could not be reopened in time";
            self.fail(turn, id, TaskStatus::ReopenFailed, reason);
            return true;
        }
        self.drive(turn, id, Purpose::Reopen);
        false
    }

    /// The consensus is gone: reopened, or dropped by the chain. Says whether the task moved, which it always does.
    pub(crate) fn lost_consensus(&mut self, turn: &mut Turn, id: TaskId) -> bool {
        let Some(task) = self.tasks.get(&id) else {
            return false;
        };
        let reopened = usize::try_from(task.chain.reopened).unwrap_or(usize::MAX)
            > task.times_in(TaskStatus::Reopened);
        let steps: &[TaskStatus] = match task.status {
            TaskStatus::ConsensusReached => &[
                TaskStatus::Reopening,
                TaskStatus::Reopened,
                TaskStatus::Initialized,
            ],
            TaskStatus::Reopening => &[TaskStatus::Reopened, TaskStatus::Initialized],
            _ => &[],
        };
        if reopened && !steps.is_empty() {
            self.advance(turn, id, steps, "reopened on the chain")
        } else if task.chain.initialized.is_some() {
            let why = "the chain dropped the consensus";
            self.fall_back(turn, id, TaskStatus::Running, why);
            true
        } else {
            let why = "the chain dropped the initialisation";
            self.fall_back(turn, id, TaskStatus::Initializing, why);
            true
        }
    }
}
