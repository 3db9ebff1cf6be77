//! The steps a replicate may take, in one table; what comes next after each; and what its history says.

use alloy_primitives::Address;
use poco::ids::TaskId;
use poco::units::Timestamp;
use wire::status::ReplicateStatus::{self, *};
use wire::status::{ReplicateStatusCause, StatusModifier, TaskNotificationType};

use crate::engine::Engine;
use crate::records::{ReplicateRecord, ReplicateStep, Topic};
use crate::turn::{About, Turn};

/// Whether a replicate in `from` may become `to` (spec scheduler-api §6.1, complete).
///
/// One row is ours: a worker that began to contribute and finalise in one transaction may go back to contributing alone.
pub const fn replicate_may_become(from: ReplicateStatus, to: ReplicateStatus) -> bool {
    match to {
        Aborted => !matches!(from, Aborted | Completed | Failed),
        WorkerLost => !matches!(from, WorkerLost | Completed | Failed),
        Failed => may_fail(from),
        Recovering => may_recover(from),
        _ => may_go_on(from, to),
    }
}

const fn may_fail(from: ReplicateStatus) -> bool {
    !matches!(
        from,
        Revealed
            | ResultUploadRequested
            | ResultUploading
            | ResultUploadFailed
            | ResultUploaded
            | ContributeAndFinalizeDone
            | Completing
            | CompleteFailed
            | Completed
            | Failed
    )
}

const fn may_recover(from: ReplicateStatus) -> bool {
    !matches!(
        from,
        StartFailed
            | ComputeFailed
            | ContributeFailed
            | RevealFailed
            | CompleteFailed
            | Aborted
            | Completed
            | Failed
    )
}

const fn may_go_on(from: ReplicateStatus, to: ReplicateStatus) -> bool {
    match from {
        Created => matches!(to, Starting),
        Starting => matches!(to, Started | StartFailed),
        Started => matches!(to, AppDownloading),
        AppDownloading => matches!(to, AppDownloaded | AppDownloadFailed),
        AppDownloadFailed | DataDownloadFailed => matches!(to, Contributing),
        AppDownloaded => matches!(to, DataDownloading),
        DataDownloading => matches!(to, DataDownloaded | DataDownloadFailed),
        DataDownloaded => matches!(to, Computing),
        Computing => matches!(to, Computed | ComputeFailed),
        Computed => matches!(to, Contributing | ContributeAndFinalizeOngoing),
        Contributing => matches!(to, Contributed | ContributeFailed),
        Contributed => matches!(to, Revealing),
        Revealing => matches!(to, Revealed | RevealFailed),
        Revealed => matches!(to, ResultUploadRequested | Completing),
        ResultUploadRequested => matches!(to, ResultUploading),
        ResultUploading => matches!(to, ResultUploaded | ResultUploadFailed),
        ResultUploadFailed | ResultUploaded | ContributeAndFinalizeDone => {
            matches!(to, Completing)
        }
        ContributeAndFinalizeOngoing => {
            matches!(
                to,
                ContributeAndFinalizeDone | ContributeAndFinalizeFailed | Contributing
            )
        }
        Completing => matches!(to, Completed | CompleteFailed),
        Aborted => matches!(to, Completed),
        Recovering => !matches!(to, Created | Starting),
        WorkerLost => true,
        StartFailed
        | ComputeFailed
        | ContributeFailed
        | RevealFailed
        | ContributeAndFinalizeFailed
        | CompleteFailed
        | Completed
        | Failed => false,
    }
}

/// What a worker in this status should do next (spec scheduler-api §6.3). Where the original has no answer it is told to
/// wait: a Java worker repeats a call at once until it gets an action (spec scheduler-logic Q-37).
pub fn next_action(
    status: ReplicateStatus,
    cause: Option<&ReplicateStatusCause>,
) -> TaskNotificationType {
    use ReplicateStatusCause as Cause;
    use TaskNotificationType::{
        PleaseAbort, PleaseCompute, PleaseContinue, PleaseContribute, PleaseDownloadApp,
        PleaseDownloadData, PleaseWait,
    };
    match status {
        Starting
        | AppDownloading
        | DataDownloading
        | Computing
        | Contributing
        | Revealing
        | ResultUploading
        | ContributeAndFinalizeOngoing
        | Completing => PleaseContinue,
        Started => PleaseDownloadApp,
        AppDownloaded => PleaseDownloadData,
        DataDownloaded => PleaseCompute,
        Computed => PleaseContribute,
        // The download can fail for everybody alike: then that failure is the result (spec worker, error results).
        AppDownloadFailed => match cause {
            Some(Cause::AppImageDownloadFailed) => PleaseContribute,
            _ => PleaseAbort,
        },
        DataDownloadFailed => match cause {
            Some(
                Cause::DatasetFileDownloadFailed
                | Cause::DatasetFileBadChecksum
                | Cause::InputFilesDownloadFailed,
            ) => PleaseContribute,
            _ => PleaseAbort,
        },
        StartFailed
        | ComputeFailed
        | ContributeFailed
        | RevealFailed
        | ResultUploadFailed
        | ContributeAndFinalizeFailed
        | CompleteFailed => PleaseAbort,
        Contributed
        | Revealed
        | ResultUploaded
        | ContributeAndFinalizeDone
        | Completed
        | Created
        | ResultUploadRequested
        | Failed
        | Aborted
        | Recovering
        | WorkerLost => PleaseWait,
    }
}

impl ReplicateRecord {
    /// The last status, WORKER_LOST and RECOVERING included.
    pub fn current(&self) -> ReplicateStatus {
        self.history.last().map_or(Created, |step| step.status)
    }

    /// The last status that says how far the work is: neither WORKER_LOST nor RECOVERING (spec scheduler-logic §3.6).
    pub fn relevant(&self) -> ReplicateStatus {
        self.relevant_step().map_or(Created, |step| step.status)
    }

    fn relevant_step(&self) -> Option<&ReplicateStep> {
        self.history
            .iter()
            .rev()
            .find(|step| !matches!(step.status, WorkerLost | Recovering))
    }

    /// What the worker should do next by its last relevant status.
    pub fn next_action(&self) -> TaskNotificationType {
        let cause = self.relevant_step().and_then(|step| step.cause.as_ref());
        next_action(self.relevant(), cause)
    }

    /// Whether it ever was in a status.
    pub fn passed(&self, status: ReplicateStatus) -> bool {
        self.history.iter().any(|step| step.status == status)
    }

    /// Whether the worker is done with it, one way or another.
    pub(crate) fn is_over(&self) -> bool {
        matches!(
            self.relevant(),
            Aborted | Completed | CompleteFailed | Failed
        )
    }

    /// Whether it is still before a result and not failed: that is what a slot is for.
    pub(crate) fn needs_slot(&self) -> bool {
        let relevant = self.relevant();
        relevant.is_success() && relevant < Computed
    }

    /// Whether it may still contribute, apart from its age and its worker's life.
    pub(crate) fn may_contribute(&self) -> bool {
        let relevant = self.relevant();
        if relevant.is_success() {
            return relevant <= Contributed || relevant == ContributeAndFinalizeOngoing;
        }
        self.next_action() == TaskNotificationType::PleaseContribute
    }
}

/// One status to be added to a replicate's history.
pub(crate) struct Entry {
    pub(crate) status: ReplicateStatus,
    pub(crate) by: StatusModifier,
    pub(crate) cause: Option<ReplicateStatusCause>,
}

impl Entry {
    /// A status that the scheduler itself gives.
    pub(crate) fn of_pool(status: ReplicateStatus) -> Self {
        Self {
            status,
            by: StatusModifier::PoolManager,
            cause: None,
        }
    }
}

pub(crate) fn step_of(entry: &Entry, at: Timestamp) -> ReplicateStep {
    ReplicateStep {
        status: entry.status,
        by: entry.by,
        at,
        cause: entry.cause.clone(),
        block: None,
        exit_code: None,
    }
}

impl Engine {
    /// Adds a status that the scheduler itself gives, where the table has the step. Says whether it was added.
    pub(crate) fn set_replicate(
        &mut self,
        turn: &mut Turn,
        task: TaskId,
        worker: Address,
        entry: &Entry,
        why: &str,
    ) -> bool {
        let Some(replicate) = self.replicates.get_mut(&(task, worker)) else {
            return false;
        };
        let before = replicate.current();
        // RECOVERING may follow itself: a worker can start anew twice (spec scheduler-logic Q-23).
        if !replicate_may_become(before, entry.status) {
            return false;
        }
        replicate.history.push(step_of(entry, turn.now));
        turn.replicate_changed(task, worker);
        self.note(
            turn,
            Topic::Replicate,
            About::replicate(task, worker),
            format!("{} -> {}: {why}", before.name(), entry.status.name()),
        );
        self.settle_slot(turn, task, worker);
        true
    }

    /// Frees the slot of a replicate that needs none any more.
    pub(crate) fn settle_slot(&mut self, turn: &mut Turn, task: TaskId, worker: Address) {
        let Some(replicate) = self.replicates.get(&(task, worker)) else {
            return;
        };
        let over = self.tasks.get(&task).is_none_or(|task| task.is_final());
        let away = matches!(replicate.current(), WorkerLost | Recovering);
        if replicate.holds_slot && (!replicate.needs_slot() || away || over) {
            self.free_slot(turn, task, worker);
        }
    }

    pub(crate) fn free_slot(&mut self, turn: &mut Turn, task: TaskId, worker: Address) {
        if let Some(replicate) = self.replicates.get_mut(&(task, worker))
            && replicate.holds_slot
        {
            replicate.holds_slot = false;
            turn.replicate_changed(task, worker);
            turn.supply = true;
            if let Some(holding) = self.holding.get_mut(&worker) {
                holding.remove(&task);
            }
            if let Some(task) = self.tasks.get(&task) {
                self.open.slot_of(task, false);
            }
        }
    }

    pub(crate) fn take_slot(&mut self, turn: &mut Turn, task: TaskId, worker: Address) {
        if let Some(replicate) = self.replicates.get_mut(&(task, worker)) {
            replicate.holds_slot = true;
            turn.replicate_changed(task, worker);
            let fresh = self.holding.entry(worker).or_default().insert(task);
            if let Some(task) = self.tasks.get(&task).filter(|_| fresh) {
                self.open.slot_of(task, true);
            }
        }
    }

    /// The replicates of a task, in order of their workers' addresses.
    pub(crate) fn replicates_of(&self, task: TaskId) -> impl Iterator<Item = &ReplicateRecord> {
        self.replicates
            .range((task, Address::ZERO)..=(task, Address::repeat_byte(0xff)))
            .map(|(_, replicate)| replicate)
    }

    /// The workers that have a replicate of a task.
    pub(crate) fn workers_of(&self, task: TaskId) -> Vec<Address> {
        self.replicates_of(task).map(|one| one.worker).collect()
    }
}
