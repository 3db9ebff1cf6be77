//! The engine as it was stored. Whatever follows from the records is derived again: indexes, wake-ups, commands that were
//! given out and did not come back, and what workers must be told.

use poco::units::Timestamp;
use wire::status::TaskStatus;

use crate::engine::{Alarm, Engine};
use crate::output::{Outputs, Purpose};
use crate::records::Records;
use crate::settings::Settings;
use crate::turn::Turn;

impl Engine {
    /// The pool as it was stored, and what was left to do: unfinished commands and notices, derived again. Nothing is parked
    /// or held: those callers' connections are gone.
    ///
    /// Workers get their usual time to show that they live, from `now`: the time in which nobody listened is not held
    /// against them, and those that never come back are lost all the same (spec scheduler-logic Q-07).
    pub fn load(settings: Settings, records: Records, now: Timestamp) -> (Self, Outputs) {
        let mut engine = Self::new(settings);
        engine.clock = now;
        engine.began = now;
        engine.pool = records.pool;
        engine.workers = records
            .workers
            .into_iter()
            .map(|worker| (worker.worker, worker))
            .collect();
        for (id, worker) in &engine.workers {
            engine.last_seen.insert(*id, worker.last_alive.min(now));
        }
        for mut task in records.tasks {
            if task.retired {
                continue;
            }
            task.refold();
            engine
                .tasks_of_deal
                .entry(task.deal)
                .or_default()
                .insert(task.id);
            let id = task.id;
            engine
                .mined
                .extend(task.mined_in().map(|block| (block, id)));
            engine.tasks.insert(task.id, task);
        }
        for deal in records.deals {
            let id = deal.details.id;
            engine.known_deals.insert(id);
            if engine.tasks_of_deal.contains_key(&id) || !deal.is_expanded() {
                engine.alarms.set(Alarm::Expand(id), now);
                engine.deals.insert(id, deal);
                engine.watch_capacity(id, now);
            }
        }
        let mut turn = Turn::new(now);
        for replicate in records.replicates {
            let key = (replicate.task, replicate.worker);
            if !engine.tasks.contains_key(&key.0) {
                continue;
            }
            engine
                .tasks_of_worker
                .entry(key.1)
                .or_default()
                .insert(key.0);
            if replicate.holds_slot {
                engine.holding.entry(key.1).or_default().insert(key.0);
                if let Some(task) = engine.tasks.get(&key.0) {
                    engine.open.slot_of(task, true);
                }
            }
            if !replicate.is_over() {
                engine.last_seen.insert(key.1, now);
            }
            engine.replicates.insert(key, replicate);
        }
        let workers: Vec<_> = engine.tasks_of_worker.keys().copied().collect();
        for worker in workers {
            engine.watch_worker(&mut turn, worker);
        }
        engine.count_slots(now);
        engine.resume_all(&mut turn);
        turn.review.extend(engine.tasks.keys().copied());
        engine.wake_due(&mut turn);
        engine.settle(&mut turn);
        let outputs = engine.finish(turn);
        (engine, outputs)
    }

    /// Gives out again every command that was given out and is still wanted.
    fn resume_all(&mut self, turn: &mut Turn) {
        let mut left = Vec::new();
        for (id, task) in &self.tasks {
            let wanted: &[Purpose] = match task.status {
                // Also when the chain has dropped, or brought, the initialisation meanwhile: what was asked for comes back.
                TaskStatus::Initializing => &[Purpose::Initialize, Purpose::EnclaveChallenge],
                TaskStatus::Reopening => &[Purpose::Reopen],
                TaskStatus::Finalizing => &[Purpose::Finalize],
                TaskStatus::Completed if task.chain.finalized.is_none() => {
                    &[Purpose::Finalize, Purpose::Claim]
                }
                TaskStatus::Failed if self.will_be_claimed(task) => &[Purpose::Claim],
                _ => &[],
            };
            left.extend(wanted.iter().map(|purpose| (*id, *purpose)));
        }
        for (id, purpose) in left {
            self.resume(turn, id, purpose);
        }
    }
}
