//! What workers must be told. A need follows from where a task and a replicate are, so a lost push is told again: after a
//! while, when its worker begins to listen, and after a restart. Only what a worker has provably not begun is told again: a
//! Java worker acts on every copy (spec scheduler-logic §10.3, scheduler-api Q35).

use std::time::Duration;

use alloy_primitives::Address;
use poco::ids::TaskId;
use poco::units::{BlockNumber, Timestamp};
use wire::status::ReplicateStatus;
use wire::status::{TaskAbortCause, TaskNotificationType, TaskStatus};

use crate::engine::Engine;
use crate::output::{Notice, Recipients};
use crate::records::{ReplicateRecord, TaskRecord, Told};
use crate::turn::Turn;

/// What a worker must be told about a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) kind: TaskNotificationType,
    pub(crate) block: Option<BlockNumber>,
    pub(crate) cause: Option<TaskAbortCause>,
}

impl Need {
    const fn just(kind: TaskNotificationType) -> Self {
        Self {
            kind,
            block: None,
            cause: None,
        }
    }

    pub(crate) const fn abort(cause: Option<TaskAbortCause>) -> Self {
        Self {
            kind: TaskNotificationType::PleaseAbort,
            block: None,
            cause,
        }
    }
}

/// Whether a task was finished by somebody else while this worker still works on a result for it.
fn passed_by(task: &TaskRecord, replicate: &ReplicateRecord) -> bool {
    let chain = &task.chain;
    chain.alone.is_some()
        && !chain.contributions.contains_key(&replicate.worker)
        && replicate.may_contribute()
}

/// Whom to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Whoever was not told, or not for a while.
    WhoeverIsDue,
    /// Everybody who just began to listen.
    Listeners,
    /// One worker that just began to listen.
    Listener(Address),
}

impl Engine {
    /// What a worker must be told now, whether or not it was told.
    pub(crate) fn need(&self, task: &TaskRecord, replicate: &ReplicateRecord) -> Option<Need> {
        use TaskNotificationType::{PleaseComplete, PleaseReveal, PleaseUpload};
        if replicate.is_over() {
            return None;
        }
        let relevant = replicate.relevant();
        match task.status {
            // It was decided in one transaction, so nobody was told of a consensus.
            TaskStatus::Completed if passed_by(task, replicate) => {
                Some(Need::abort(Some(TaskAbortCause::ConsensusReached)))
            }
            TaskStatus::Completed => {
                (relevant != ReplicateStatus::Completing).then(|| Need::just(PleaseComplete))
            }
            TaskStatus::Failed => {
                let timed_out = task.times_in(TaskStatus::ContributionTimeout) > 0;
                Some(Need::abort(
                    timed_out.then_some(TaskAbortCause::ContributionTimeout),
                ))
            }
            status if status.is_waiting_reveal() || status == TaskStatus::Finalizing => {
                let consensus = task.chain.consensus?;
                if !task.chain.is_winner(replicate.worker) {
                    return Some(Need::abort(Some(TaskAbortCause::ConsensusReached)));
                }
                let revealed = task
                    .chain
                    .contributions
                    .get(&replicate.worker)
                    .is_some_and(|one| one.revealed.is_some());
                match relevant {
                    ReplicateStatus::Contributed if !revealed && self.may_reveal(task) => {
                        Some(Need {
                            kind: PleaseReveal,
                            block: Some(consensus.block),
                            cause: None,
                        })
                    }
                    ReplicateStatus::ResultUploadRequested
                        if status == TaskStatus::ResultUploading
                            && task
                                .uploader
                                .is_some_and(|one| one.worker == replicate.worker) =>
                    {
                        Some(Need::just(PleaseUpload))
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    pub(crate) fn may_reveal(&self, task: &TaskRecord) -> bool {
        task.reveal_deadline()
            .is_some_and(|deadline| self.chain_clock() < deadline)
    }

    /// When what a worker was told may be told again.
    fn told_again_at(&self, told: &Told) -> Timestamp {
        let doubled = told.times.min(6);
        let wait = self.settings.tell_again.saturating_mul(1 << doubled);
        told.at.saturating_add(wait)
    }

    fn is_due(&self, now: Timestamp, one: &ReplicateRecord, need: Need, to: Audience) -> bool {
        let Some(told) = one.told.filter(|told| told.kind == need.kind) else {
            return true;
        };
        let listens = match to {
            Audience::WhoeverIsDue => false,
            Audience::Listeners => true,
            Audience::Listener(worker) => worker == one.worker,
        };
        if listens {
            return now >= told.at.saturating_add(self.settings.tell_again);
        }
        self.is_alive(one.worker, now) && now >= self.told_again_at(&told)
    }

    /// Tells the workers of a task what they must know.
    pub(crate) fn tell(&mut self, turn: &mut Turn, id: TaskId, to: Audience) {
        let Some(task) = self.tasks.get(&id) else {
            return;
        };
        let due: Vec<(Address, Need)> = self
            .replicates_of(id)
            .filter_map(|one| Some((one.worker, self.need(task, one)?, one)))
            .filter(|(_, need, one)| self.is_due(turn.now, one, *need, to))
            .map(|(worker, need, _)| (worker, need))
            .collect();
        let first_time = |worker: &Address, need: &Need| {
            self.replicates
                .get(&(id, *worker))
                .is_some_and(|one| one.told.is_none_or(|told| told.kind != need.kind))
        };
        // The end of a task concerns whoever listens, but for a timeout, of which the original told each worker, and for an end that
        // is not the same for all.
        let to_all = task.is_final()
            && due.iter().all(|(_, need)| need.cause.is_none())
            && due.iter().any(|(worker, need)| first_time(worker, need));
        let mut groups: Vec<(Need, Vec<Address>)> = Vec::new();
        for (worker, need) in &due {
            match groups.iter_mut().find(|(other, _)| other == need) {
                Some((_, workers)) => workers.push(*worker),
                None => groups.push((*need, vec![*worker])),
            }
        }
        for (need, workers) in groups {
            let to = if to_all {
                Recipients::Everyone
            } else {
                Recipients::Workers(workers)
            };
            turn.tell(Notice {
                task: id,
                to,
                kind: need.kind,
                block: need.block,
                abort_cause: need.cause,
            });
        }
        for (worker, need) in due {
            self.mark_told(turn, id, worker, need.kind);
        }
    }

    /// Writes down that a worker was told.
    pub(crate) fn mark_told(
        &mut self,
        turn: &mut Turn,
        id: TaskId,
        worker: Address,
        kind: TaskNotificationType,
    ) {
        if let Some(replicate) = self.replicates.get_mut(&(id, worker)) {
            let before = replicate.told.filter(|told| told.kind == kind);
            replicate.told = Some(Told {
                kind,
                at: turn.now,
                times: before.map_or(0, |told| told.times) + 1,
            });
            turn.replicate_changed(id, worker);
        }
    }

    pub(crate) fn tell_listeners(&mut self, turn: &mut Turn, task: TaskId) {
        self.tell(turn, task, Audience::Listeners);
    }

    pub(crate) fn tell_worker(&mut self, turn: &mut Turn, worker: Address) {
        self.seen(turn, worker);
        let tasks = self.tasks_of_worker.get(&worker).cloned();
        for task in tasks.unwrap_or_default() {
            self.tell(turn, task, Audience::Listener(worker));
        }
    }

    /// When somebody must be told again.
    pub(crate) fn next_telling(&self, task: &TaskRecord) -> Option<Timestamp> {
        self.replicates_of(task.id)
            .filter(|one| self.is_alive(one.worker, self.clock))
            .filter_map(|one| {
                let need = self.need(task, one)?;
                let told = one.told.filter(|told| told.kind == need.kind)?;
                Some(self.told_again_at(&told))
            })
            .min()
    }

    /// How long after a fact its worker's own report is waited for.
    pub(crate) fn report_grace(&self) -> Duration {
        self.settings.report_grace
    }
}
