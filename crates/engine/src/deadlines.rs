//! When to look at a task again. Every task that has not ended has a next wake-up: its deadlines on the chain, by the chain's
//! clock and by ours, and what it waits for itself. Looking too early costs nothing; not looking would leave it stuck.

use std::time::Duration;

use poco::ids::TaskId;
use poco::units::Timestamp;
use wire::status::TaskStatus;

use crate::engine::{Alarm, Engine};
use crate::records::TaskRecord;
use crate::turn::Turn;

/// How long after the final deadline a task ends even if the chain cannot be read.
pub(crate) const HOPELESS: Duration = Duration::from_secs(90);

/// Looked again after this when nothing else is due: while the cursor catches up, only the chain's clock counts.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

impl Engine {
    /// Sets when to look at the task again.
    pub(crate) fn schedule(&mut self, turn: &Turn, id: TaskId) {
        let Some(task) = self.tasks.get(&id) else {
            self.alarms.clear(&Alarm::Task(id));
            self.chain_alarms.clear(&id);
            return;
        };
        let head_time = self.pool.head.map(|head| head.time).unwrap_or_default();
        let deadlines = self.deadlines(task);
        // Whichever clock is ahead closes the window: what nobody could begin any more is not to be on offer.
        let closes = self.window_closes(task);
        let chain = deadlines
            .iter()
            .copied()
            .chain(closes)
            .filter(|at| *at > head_time)
            .min();
        let skew = self.settings.clock_skew;
        let wall = deadlines
            .iter()
            .flat_map(|at| [*at, at.saturating_add(skew)])
            .chain(self.timers(task))
            .filter(|at| *at > turn.now)
            .min();
        let wall = match wall {
            None if !task.is_final() => Some(turn.now.saturating_add(LOOK_AGAIN)),
            other => other,
        };
        match chain {
            Some(at) => self.chain_alarms.set(id, at),
            None => self.chain_alarms.clear(&id),
        }
        match wall {
            Some(at) => self.alarms.set(Alarm::Task(id), at),
            None => self.alarms.clear(&Alarm::Task(id)),
        }
    }

    /// Deadlines of the chain that end something about the task.
    fn deadlines(&self, task: &TaskRecord) -> Vec<Timestamp> {
        if task.is_final() {
            return Vec::from_iter(self.will_be_claimed(task).then_some(task.final_deadline));
        }
        let contribution = matches!(
            task.status,
            TaskStatus::Received
                | TaskStatus::Initializing
                | TaskStatus::Initialized
                | TaskStatus::Running
                | TaskStatus::Reopening
        )
        .then_some(task.contribution_deadline);
        [
            contribution,
            task.reveal_deadline(),
            Some(task.final_deadline),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// When too little time is left to begin the task.
    fn window_closes(&self, task: &TaskRecord) -> Option<Timestamp> {
        let waits = task.status.is_waiting_contribution();
        waits.then(|| self.last_start(task))
    }

    /// Moments of our own at which something about the task is due.
    fn timers(&self, task: &TaskRecord) -> Vec<Timestamp> {
        let mut timers: Vec<Timestamp> = task.retries().collect();
        timers.extend(self.next_telling(task));
        timers.extend(self.next_fill(task));
        if let Some(ended) = task.ended_at {
            timers.push(ended.saturating_add(self.settings.keep_ended));
            return timers;
        }
        let hopeless = task.final_deadline.max(task.created_at);
        timers.push(hopeless.saturating_add(HOPELESS));
        timers.extend(self.readings.get(&task.id).map(|reading| reading.again_at));
        timers.extend(
            task.uploader
                .map(|one| one.asked_at.saturating_add(self.settings.upload_patience)),
        );
        timers.extend(self.window_closes(task));
        if task.status.is_waiting_contribution() {
            for one in self.replicates_of(task.id) {
                let period = task.max_execution() + Duration::from_millis(1);
                timers.push(one.created_at.saturating_add(period));
                let patience = self.settings.recovery_patience;
                timers.extend(one.recovering_since.map(|at| at.saturating_add(patience)));
            }
        }
        timers
    }
}
