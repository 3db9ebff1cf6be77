//! What the pool cannot do in time, said as early as it can be known: a deal of which not everything can be run with the
//! slots there are, and tasks that no worker could begin any more before contributions close.

use std::time::Duration;

use poco::ids::{DealId, TaskId};
use poco::units::Timestamp;
use wire::status::TaskStatus;

use crate::demand::Demand;
use crate::engine::{Alarm, Engine};
use crate::input::DealDetails;
use crate::records::{DeedPhase, TaskRecord, Topic};
use crate::turn::{About, Turn};

/// Tasks given up in one turn: a bag of thousands ends at one moment, and others must not wait for that.
const AT_ONCE: u64 = 500;

/// A deal at one moment, as far as it matters for whether there is time for all of it.
#[derive(Debug, Clone, Copy)]
struct Outlook {
    /// Tasks that no worker has yet.
    left: usize,
    /// Tasks that a worker has, or had.
    given: usize,
    /// Since when the deal is known.
    known_for: Duration,
    /// Until the last moment at which a task can be begun.
    time_left: Duration,
    /// Longest execution time.
    longest: Duration,
    /// Slots of the workers that are there.
    slots: usize,
}

impl Outlook {
    /// How many more tasks can be begun in time: at the pace so far once a run could have ended, before that as many as the
    /// slots hold if every run takes as long as it may.
    fn can_begin(&self) -> (usize, &'static str) {
        if self.given > 0 && self.known_for >= self.longest {
            let pace = self.known_for.as_millis().max(1);
            let more = (self.given as u128).saturating_mul(self.time_left.as_millis()) / pace;
            return (
                usize::try_from(more).unwrap_or(usize::MAX),
                "at the pace so far",
            );
        }
        let rounds = self.time_left.as_millis() / self.longest.as_millis().max(1) + 1;
        let rounds = usize::try_from(rounds).unwrap_or(usize::MAX);
        (
            self.slots.saturating_mul(rounds),
            "if each takes the longest time allowed",
        )
    }
}

impl Engine {
    /// Looks at the deal again when its time goes on: after a sixth, after half, and when no task can be begun any more.
    pub(crate) fn watch_capacity(&mut self, id: DealId, now: Timestamp) {
        let Some(deal) = self.deals.get(&id) else {
            return;
        };
        let start = deal.details.start_time;
        let end = self.last_start_of(&deal.details);
        let window = end.since(start);
        let next = [window / 6, window / 2, window]
            .into_iter()
            .map(|after| start.saturating_add(after))
            .find(|at| *at > now);
        match next {
            Some(at) => self.alarms.set(Alarm::Capacity(id), at),
            None => self.alarms.clear(&Alarm::Capacity(id)),
        }
    }

    /// Says so when not all of the deal can be run in time. `known` is set when the deal was just taken on: then workers that
    /// are not there yet are still expected.
    pub(crate) fn judge_capacity(&mut self, turn: &mut Turn, id: DealId, known: bool) {
        self.watch_capacity(id, turn.now);
        let Some(deal) = self.deals.get(&id) else {
            return;
        };
        if deal.refused.is_some() || deal.vanished {
            return;
        }
        let details = &deal.details;
        let demand = Demand::of(details.tag);
        let last_start = self.last_start_of(details);
        let (size, longest) = (details.bot_size, details.max_execution);
        let slots = self.backlog.slots(demand);
        if turn.now >= last_start {
            self.tell_what_was_not_begun(turn, id, size, slots);
            return;
        }
        let left = self.backlog.left_of(id, demand);
        let outlook = Outlook {
            left,
            given: usize::try_from(size)
                .unwrap_or(usize::MAX)
                .saturating_sub(left),
            known_for: turn.now.since(deal.seen_at),
            time_left: last_start.since(turn.now),
            longest,
            slots,
        };
        let (can, how) = outlook.can_begin();
        if can >= outlook.left || (known && slots == 0) {
            return;
        }
        let text = if slots == 0 {
            format!(
                "no worker is there for the {left} of {size} task(s) that nobody runs yet; they must be begun before {last_start}"
            )
        } else {
            format!(
                "of {left} task(s) that no worker has yet, {can} can be begun before {last_start} {how}: a run may take {} s, and \
                 the pool has {slots} slot(s) for them; more workers can run more of them",
                longest.as_secs()
            )
        };
        self.note(turn, Topic::Capacity, About::deal(id), text);
    }

    fn tell_what_was_not_begun(&mut self, turn: &mut Turn, id: DealId, size: u64, slots: usize) {
        let not_begun = self
            .tasks_of_deal
            .get(&id)
            .into_iter()
            .flatten()
            .filter_map(|task| self.tasks.get(task))
            .filter(|task| self.was_never_begun(task))
            .count();
        if not_begun > 0 {
            let text = format!(
                "{not_begun} of {size} task(s) were not begun in time and will not run; the pool has {slots} slot(s) for such tasks"
            );
            self.note(turn, Topic::Capacity, About::deal(id), text);
        }
    }

    fn was_never_begun(&self, task: &TaskRecord) -> bool {
        task.status != TaskStatus::Completed
            && task.chain.contributions.is_empty()
            && self.replicates_of(task.id).next().is_none()
    }

    fn last_start_of(&self, details: &DealDetails) -> Timestamp {
        let reserve = details
            .max_execution
            .saturating_mul(self.settings.window_reserve_percent)
            / 100;
        details.contribution_deadline().saturating_sub(reserve)
    }

    /// Ends tasks that no worker could begin any more by the chain's own clock and that nothing initialises: whether they ever
    /// are makes no difference now. Wants to be woken at once while some are left.
    pub(crate) fn give_up_late(&mut self, turn: &mut Turn) {
        let Some(time) = self.pool.head.map(|head| head.time) else {
            return;
        };
        // Facts to come may show that somebody else initialised them.
        if self.catching_up {
            return;
        }
        while turn.made < AT_ONCE {
            let Some(id) = self.backlog.next_late(time) else {
                return;
            };
            turn.made += 1;
            self.give_up(turn, id);
        }
        if self.backlog.has_late(time) {
            self.alarms.set(Alarm::Late, turn.now);
        }
    }

    /// Ends the task if it is too late to begin it and nothing initialises it.
    pub(crate) fn give_up(&mut self, turn: &mut Turn, id: TaskId) -> bool {
        let Some(task) = self.tasks.get(&id) else {
            return false;
        };
        let waits = matches!(task.status, TaskStatus::Received | TaskStatus::Initializing)
            && task.chain.initialized.is_none()
            && self.replicates_of(id).next().is_none();
        let under_way = matches!(
            task.initialize.phase,
            DeedPhase::Asked { .. } | DeedPhase::Mined { .. }
        );
        if !waits || under_way || !self.is_too_late(task) || self.deal_vanished(task.deal) {
            return false;
        }
        let reason = self.why_not_begun(task);
        self.fail(turn, id, TaskStatus::InitializeFailed, &reason);
        true
    }

    /// Whether no worker could begin the task any more, by the chain's own clock.
    fn is_too_late(&self, task: &TaskRecord) -> bool {
        let last_start = self.last_start(task);
        !self.catching_up && self.pool.head.is_some_and(|head| head.time >= last_start)
    }

    /// Why a task was not begun in time, in words.
    pub(crate) fn why_not_begun(&self, task: &TaskRecord) -> String {
        let slots = self.backlog.slots(Demand::of(task.tag));
        let why = match (&task.initialize.last_failure, slots) {
            (Some(failure), _) if task.chain.initialized.is_none() => {
                format!("initialize {failure}")
            }
            (_, 0) => "no worker that could run it was there".to_owned(),
            (_, slots) => {
                format!("no slot came free for it in a pool that has {slots} for such tasks")
            }
        };
        format!(
            "it could not be begun in time: contributions close at {}, and a run may take {} s: {why}",
            task.contribution_deadline,
            task.max_execution().as_secs()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outlook(left: usize, given: usize, minutes_known: u64) -> Outlook {
        Outlook {
            left,
            given,
            known_for: Duration::from_secs(60 * minutes_known),
            time_left: Duration::from_secs(60 * 20),
            longest: Duration::from_secs(60 * 5),
            slots: 2,
        }
    }

    #[test]
    fn before_anything_ran_each_slot_is_taken_to_need_the_longest_time_for_each_task() {
        // Begun at once, and after 5, 10, 15 and 20 minutes.
        assert_eq!(outlook(100, 2, 1).can_begin().0, 10);
    }

    #[test]
    fn what_was_done_so_far_tells_better_than_the_longest_time() {
        assert_eq!(outlook(100, 300, 10).can_begin().0, 600);
    }
}
