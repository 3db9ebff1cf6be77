//! The steps a task may take, in one table, and how its record takes them. What makes it take them stands elsewhere.

use poco::ids::TaskId;
use poco::units::Timestamp;
use wire::status::TaskStatus::{self, *};

use crate::engine::Engine;
use crate::records::{TaskRecord, TaskStep};
use crate::turn::Turn;

/// Whether a task in `from` may become `to` (spec scheduler-logic §3.2). A pair that is not here cannot happen.
///
/// Rows of ours: a consensus that nobody revealed goes through REOPENING, or ends at once when no time is left; and a task
/// that somebody else finalised goes to FINALIZING from wherever it is.
pub const fn task_may_become(from: TaskStatus, to: TaskStatus) -> bool {
    match from {
        Received => matches!(to, Initializing | InitializeFailed | FinalDeadlineReached),
        Initializing => matches!(to, Initialized | InitializeFailed | FinalDeadlineReached),
        Initialized => matches!(to, Running | ContributionTimeout | FinalDeadlineReached),
        Running => matches!(
            to,
            ConsensusReached
                | RunningFailed
                | ContributionTimeout
                | Finalized
                | FinalDeadlineReached
        ),
        ConsensusReached => matches!(
            to,
            AtLeastOneRevealed | Reopening | ReopenFailed | Finalizing | FinalDeadlineReached
        ),
        Reopening => matches!(
            to,
            Reopened | ReopenFailed | ConsensusReached | FinalDeadlineReached
        ),
        Reopened => matches!(to, Initialized),
        AtLeastOneRevealed => matches!(
            to,
            ResultUploading | ResultUploadTimeout | Finalizing | FinalDeadlineReached
        ),
        ResultUploading => matches!(
            to,
            ResultUploading
                | ResultUploaded
                | ResultUploadTimeout
                | Finalizing
                | FinalDeadlineReached
        ),
        ResultUploaded => matches!(to, Finalizing | FinalDeadlineReached),
        Finalizing => matches!(to, Finalized | FinalizeFailed | FinalDeadlineReached),
        Finalized => matches!(to, Completed),
        InitializeFailed | RunningFailed | ContributionTimeout | ReopenFailed
        | ResultUploadTimeout | FinalizeFailed | FinalDeadlineReached => matches!(to, Failed),
        Completed | Failed => false,
    }
}

/// Where a task may go back to when the chain dropped the block that carried it forward. Never out of a final status.
pub const fn task_may_fall_back(from: TaskStatus, to: TaskStatus) -> bool {
    match from {
        Initialized | Running => matches!(to, Initializing),
        ConsensusReached | Reopening => matches!(to, Initializing | Running),
        AtLeastOneRevealed | ResultUploading | ResultUploaded | Finalizing => {
            matches!(to, Initializing | Running | ConsensusReached)
        }
        _ => false,
    }
}

impl TaskRecord {
    /// Takes one step, or refuses it and changes nothing.
    pub(crate) fn step(&mut self, to: TaskStatus, at: Timestamp) -> Result<(), IllegalTaskStep> {
        if !task_may_become(self.status, to) {
            return Err(IllegalTaskStep {
                from: self.status,
                to,
            });
        }
        self.enter(to, at);
        Ok(())
    }

    fn enter(&mut self, to: TaskStatus, at: Timestamp) {
        self.status = to;
        self.history.push(TaskStep { status: to, at });
        if to.is_final() {
            self.ended_at = Some(at);
        }
    }

    /// How often it passed a status.
    pub(crate) fn times_in(&self, status: TaskStatus) -> usize {
        self.history
            .iter()
            .filter(|step| step.status == status)
            .count()
    }
}

/// A step that the table does not have. A bug where it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a task in {from} cannot become {to}")]
pub(crate) struct IllegalTaskStep {
    from: TaskStatus,
    to: TaskStatus,
}

impl Engine {
    /// Takes a task through several steps in one write, and records why. Stops at a step that the table does not have.
    pub(crate) fn advance(
        &mut self,
        turn: &mut Turn,
        id: TaskId,
        steps: &[TaskStatus],
        why: &str,
    ) -> bool {
        let Some(task) = self.tasks.get_mut(&id) else {
            return false;
        };
        let before = task.status;
        for to in steps {
            if let Err(illegal) = task.step(*to, turn.now) {
                debug_assert!(false, "{illegal} ({why})");
                break;
            }
        }
        let after = task.status;
        self.count(turn, Some(before), after);
        turn.task_changed(id);
        let path = steps
            .iter()
            .map(|status| status.name())
            .collect::<Vec<_>>()
            .join(", ");
        self.note_task(turn, id, format!("{} -> {path}: {why}", before.name()));
        after != before || steps.contains(&before)
    }

    /// Takes a task back because the chain dropped what carried it forward.
    pub(crate) fn fall_back(&mut self, turn: &mut Turn, id: TaskId, to: TaskStatus, why: &str) {
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        let before = task.status;
        if !task_may_fall_back(before, to) {
            debug_assert!(false, "a task in {before} cannot fall back to {to} ({why})");
            return;
        }
        task.enter(to, turn.now);
        task.uploader = None;
        self.count(turn, Some(before), to);
        turn.task_changed(id);
        self.note_task(
            turn,
            id,
            format!("{} -> back to {}: {why}", before.name(), to.name()),
        );
    }

    /// Ends a task without a result, through the status that says at which point it failed.
    pub(crate) fn fail(&mut self, turn: &mut Turn, id: TaskId, through: TaskStatus, reason: &str) {
        if self.advance(turn, id, &[through, Failed], reason)
            && let Some(task) = self.tasks.get_mut(&id)
        {
            task.failure = Some(reason.to_owned());
        }
    }

    /// Keeps the tally of tasks by status.
    pub(crate) fn count(&mut self, turn: &mut Turn, from: Option<TaskStatus>, to: TaskStatus) {
        if let Some(count) = from.and_then(|from| self.pool.tasks_by_status.get_mut(&from)) {
            *count = count.saturating_sub(1);
        }
        *self.pool.tasks_by_status.entry(to).or_default() += 1;
        turn.pool_changed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_a_final_status() {
        for from in [Completed, Failed] {
            for to in TaskStatus::ALL {
                assert!(!task_may_become(from, *to), "{from} -> {to}");
                assert!(!task_may_fall_back(from, *to), "{from} -> {to}");
            }
        }
    }

    #[test]
    fn every_resting_status_can_end_at_the_final_deadline() {
        for from in TaskStatus::ALL {
            let passing = matches!(
                from,
                InitializeFailed
                    | RunningFailed
                    | ContributionTimeout
                    | Reopened
                    | ReopenFailed
                    | ResultUploadTimeout
                    | Finalized
                    | FinalizeFailed
                    | FinalDeadlineReached
            );
            let ends = task_may_become(*from, FinalDeadlineReached);
            assert_eq!(ends, !passing && !from.is_final(), "{from}");
        }
    }
}
