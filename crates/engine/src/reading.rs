//! Judging a deadline of the chain. The facts decide when the cursor has passed a block later than the deadline. Where no such
//! block comes, because blocks are rare or the node is behind, the chain itself is asked; our clock alone never decides.

use std::time::Duration;

use poco::ids::TaskId;
use poco::units::Timestamp;

use crate::engine::Engine;
use crate::input::{Outcome, TaskView};
use crate::output::{Action, Command, CommandKey, Purpose};
use crate::turn::Turn;

/// A task being read from the chain, or read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reading {
    attempt: u32,
    /// When the running question was put; none when none runs.
    asked_at: Option<Timestamp>,
    /// The last answer, and when it was asked for.
    answer: Option<(Timestamp, TaskView)>,
    /// When to ask again at the earliest.
    pub(crate) again_at: Timestamp,
}

/// Time between two readings of one task.
const READ_AGAIN: Duration = Duration::from_secs(15);

impl Engine {
    /// Whether a deadline is over on the chain, so that what it ends can no longer happen there. `agrees` says whether the
    /// chain's own answer shows that it did not happen; an answer that is ahead of the facts means that facts are coming.
    pub(crate) fn is_over(
        &mut self,
        turn: &mut Turn,
        id: TaskId,
        deadline: Timestamp,
        agrees: impl Fn(&TaskView) -> bool,
    ) -> bool {
        if self.pool.head.is_some_and(|head| head.time >= deadline) {
            return true;
        }
        let sure = deadline.saturating_add(self.settings.clock_skew);
        if self.catching_up || turn.now < sure {
            return false;
        }
        let reading = self.readings.entry(id).or_default();
        if let Some((asked_at, view)) = &reading.answer
            && *asked_at >= sure
            && agrees(view)
        {
            return true;
        }
        if reading.asked_at.is_none() && reading.again_at <= turn.now {
            self.read_now(turn, id);
        }
        false
    }

    pub(crate) fn read_now(&mut self, turn: &mut Turn, id: TaskId) {
        let reading = self.readings.entry(id).or_default();
        reading.attempt += 1;
        reading.asked_at = Some(turn.now);
        reading.again_at = turn.now.saturating_add(READ_AGAIN);
        turn.command(Command {
            key: CommandKey {
                purpose: Purpose::ReadTask,
                task: id,
                attempt: reading.attempt,
            },
            action: Action::ReadTask,
        });
    }

    pub(crate) fn read_done(&mut self, turn: &mut Turn, key: CommandKey, outcome: Outcome) {
        let Some(reading) = self.readings.get_mut(&key.task) else {
            return;
        };
        if reading.attempt != key.attempt {
            return;
        }
        let Some(asked_at) = reading.asked_at.take() else {
            return;
        };
        reading.again_at = turn.now.saturating_add(READ_AGAIN);
        if let Outcome::Read(view) = outcome {
            reading.answer = Some((asked_at, view));
        }
        turn.review.insert(key.task);
    }

    /// What the chain said last, asked for at `since` or later.
    pub(crate) fn view_since(&self, id: TaskId, since: Timestamp) -> Option<&TaskView> {
        self.readings
            .get(&id)
            .and_then(|reading| reading.answer.as_ref())
            .filter(|(asked_at, _)| *asked_at >= since)
            .map(|(_, view)| view)
    }
}
