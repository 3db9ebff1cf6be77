//! Workers: what they say about themselves, their signs of life, and what happens when those stop.

use std::time::Duration;

use alloy_primitives::Address;
use poco::ids::TaskId;
use poco::units::Timestamp;
use wire::status::ReplicateStatus;

use crate::engine::Engine;
use crate::input::{Ticket, WorkerProfile};
use crate::output::Reply;
use crate::records::{Topic, WorkerRecord};
use crate::replicate::Entry;
use crate::turn::{About, Turn};

/// Being woken later than this is no accident of scheduling: the process did not run, or could not store.
const OVERSLEPT: Duration = Duration::from_secs(10);

impl Engine {
    /// Any authenticated call is a sign of life, asking included (spec scheduler-logic Q-33).
    pub(crate) fn seen(&mut self, turn: &mut Turn, worker: Address) {
        let ours = self.workers.contains_key(&worker) || self.tasks_of_worker.contains_key(&worker);
        if !ours {
            return;
        }
        if !self.is_alive(worker, turn.now)
            && let Some(tasks) = self.tasks_of_worker.get(&worker)
        {
            // It is back: it may be told things and asked for results again.
            turn.review.extend(tasks.iter().copied());
        }
        self.last_seen.insert(worker, turn.now);
        self.watch_worker(turn, worker);
    }

    /// Wakes when the worker may have fallen silent.
    pub(crate) fn watch_worker(&mut self, turn: &mut Turn, worker: Address) {
        if self.tasks_of_worker.contains_key(&worker) && self.silences.of(&worker).is_none() {
            let seen = *self.last_seen.entry(worker).or_insert(turn.now);
            self.silences
                .set(worker, seen.saturating_add(self.settings.worker_silence));
        }
    }

    /// Time in which this process did not run is not held against the workers: it was woken that much too late, so it could
    /// not hear them either. Their time begins again. A clock that was put forward looks the same and is forgiven too.
    pub(crate) fn forgive(&mut self, now: Timestamp) {
        let overslept = self
            .next_wake()
            .is_some_and(|wanted| now.since(wanted.max(self.clock)) >= OVERSLEPT);
        if !overslept {
            return;
        }
        for seen in self.last_seen.values_mut() {
            if self.clock.since(*seen) < self.settings.worker_silence {
                *seen = now;
            }
        }
    }

    /// Looks at the workers that may have fallen silent. Only when everything that they said by now was heard.
    pub(crate) fn judge_silences(&mut self, turn: &mut Turn) {
        for worker in self.silences.take_due(turn.now) {
            self.worker_may_be_lost(turn, worker);
        }
    }

    /// Whether there was a sign of life of late.
    pub(crate) fn is_alive(&self, worker: Address, now: Timestamp) -> bool {
        self.last_seen
            .get(&worker)
            .is_some_and(|seen| now < seen.saturating_add(self.settings.worker_silence))
    }

    pub(crate) fn register(
        &mut self,
        turn: &mut Turn,
        ticket: Ticket,
        worker: Address,
        profile: WorkerProfile,
    ) {
        if let Some((by, seen)) = self.other_of_the_wallet(turn.now, worker, &profile) {
            turn.reply(ticket, Reply::WalletInUse { by, seen });
            return;
        }
        let fresh = !self.workers.contains_key(&worker);
        let record = self.workers.entry(worker).or_insert_with(|| WorkerRecord {
            worker,
            profile: WorkerProfile::default(),
            registered_at: turn.now,
            last_alive: turn.now,
            cordoned_since: None,
        });
        let news = fresh || record.profile != profile;
        record.profile = profile;
        record.last_alive = turn.now;
        let reply = Reply::Registered(Box::new(record.clone()));
        turn.worker_changed(worker);
        // It may have more slots now.
        turn.supply = true;
        if news {
            let slots = self
                .workers
                .get(&worker)
                .map_or(0, |one| one.profile.slots());
            let text = format!("registered with {slots} slot(s)");
            self.note(turn, Topic::Worker, About::worker(worker), text);
        }
        self.seen(turn, worker);
        turn.reply(ticket, reply);
    }

    /// The living worker that registered with this wallet under another name. One that was started anew under its own name goes on.
    fn other_of_the_wallet(
        &self,
        now: Timestamp,
        worker: Address,
        profile: &WorkerProfile,
    ) -> Option<(String, Timestamp)> {
        let known = self.workers.get(&worker)?.profile.name.as_ref()?;
        let other = profile.name.as_ref()? != known;
        let seen = *self.last_seen.get(&worker)?;
        (other && self.is_alive(worker, now)).then(|| (known.clone(), seen))
    }

    pub(crate) fn cordon(&mut self, turn: &mut Turn, worker: Address, cordon: bool) -> Reply {
        let Some(record) = self.workers.get_mut(&worker) else {
            return Reply::UnknownWorker;
        };
        if record.cordoned_since.is_some() == cordon {
            return Reply::Obeyed;
        }
        let text = if cordon {
            record.cordoned_since = Some(turn.now);
            "cordoned: it is given no new work"
        } else {
            record.cordoned_since = None;
            turn.supply = true;
            "uncordoned: it is given work again"
        };
        turn.worker_changed(worker);
        self.note(turn, Topic::Worker, About::worker(worker), text.to_owned());
        Reply::Obeyed
    }

    pub(crate) fn computing(&mut self, turn: &mut Turn, ticket: Ticket, worker: Address) {
        self.seen(turn, worker);
        let tasks = self
            .holding
            .get(&worker)
            .map(|tasks| tasks.iter().copied().collect())
            .unwrap_or_default();
        turn.reply(ticket, Reply::Computing(tasks));
    }

    pub(crate) fn worker_may_be_lost(&mut self, turn: &mut Turn, worker: Address) {
        let Some(seen) = self.last_seen.get(&worker).copied() else {
            return;
        };
        if self.is_alive(worker, turn.now) {
            self.silences
                .set(worker, seen.saturating_add(self.settings.worker_silence));
            return;
        }
        let tasks: Vec<TaskId> = self
            .tasks_of_worker
            .get(&worker)
            .into_iter()
            .flatten()
            .copied()
            .collect();
        let mut lost = 0_u32;
        for task in tasks {
            lost += u32::from(self.replicate_lost(turn, task, worker));
        }
        if let Some(record) = self.workers.get_mut(&worker) {
            record.last_alive = seen;
            turn.worker_changed(worker);
        }
        if lost > 0 {
            let text = format!(
                "silent for {} s: lost, with {lost} task(s)",
                self.settings.worker_silence.as_secs()
            );
            self.note(turn, Topic::Worker, About::worker(worker), text);
        }
    }

    fn replicate_lost(&mut self, turn: &mut Turn, task: TaskId, worker: Address) -> bool {
        let Some(replicate) = self.replicates.get(&(task, worker)) else {
            return false;
        };
        // Of an ended task nothing is lost any more, and an aborted replicate stays aborted (spec scheduler-logic R-43).
        let matters = !replicate.is_over()
            && self.tasks.get(&task).is_some_and(|task| !task.is_final())
            && replicate.current() != ReplicateStatus::WorkerLost;
        if !matters {
            self.free_slot(turn, task, worker);
            return false;
        }
        let entry = Entry::of_pool(ReplicateStatus::WorkerLost);
        self.set_replicate(turn, task, worker, &entry, "the worker fell silent")
    }
}
