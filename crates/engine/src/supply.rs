//! Giving replicates to workers that ask, and asks that are held until there is something to give.

use alloy_primitives::Address;
use poco::ids::TaskId;
use poco::units::Timestamp;
use wire::status::{ReplicateStatus, StatusModifier, TaskNotificationType};

use crate::engine::{Alarm, Engine};
use crate::input::{Ask, Ticket, WorkerProfile};
use crate::matching::Unfit;
use crate::output::{Assignment, Reply};
use crate::records::{ReplicateRecord, ReplicateStep, TaskRecord, Topic, WorkerRecord};
use crate::turn::{About, Turn};

/// Slack that the original allows a worker whose clock or network is a little early (spec scheduler-api §3.7).
const ASK_SLACK_MS: u64 = 500;

/// The least weight a worker has (spec onchain A12).
pub(crate) const LEAST_WEIGHT: u64 = 2;

/// An ask that is held until there is work.
#[derive(Debug, Clone)]
pub(crate) struct HeldAsk {
    ask: Ask,
    because: Option<Unfit>,
}

impl Engine {
    /// Puts a task on offer or takes it off, as its record now says.
    pub(crate) fn offer(&mut self, turn: &mut Turn, id: TaskId) {
        let Some(task) = self.tasks.get(&id) else {
            self.open.remove(id);
            return;
        };
        if self.takes_replicates(turn.now, task).is_ok() {
            turn.supply |= self.open.insert(task, self.takers(task));
        } else {
            self.open.remove(id);
        }
    }

    pub(crate) fn asked(&mut self, turn: &mut Turn, ask: Ask) {
        self.seen(turn, ask.worker);
        if !self.chain_up || self.pool.head.is_none() {
            turn.reply(ask.ticket, Reply::OutOfService);
            return;
        }
        if !ask.wait {
            let period = self.settings.ask_period;
            if let Some(last) = self.last_ask.get(&ask.worker) {
                let free_at = last.saturating_add(period);
                if turn.now.millis() + ASK_SLACK_MS <= free_at.millis() {
                    turn.reply(ask.ticket, Reply::RateLimited { until: free_at });
                    return;
                }
            }
            if self.workers.contains_key(&ask.worker) {
                self.last_ask.insert(ask.worker, turn.now);
            }
        }
        // Whatever became free or open in this turn is known before the ask is weighed.
        self.review_touched(turn);
        match self.try_give(turn, &ask) {
            Ok(given) => turn.reply(ask.ticket, Reply::Given(Box::new(given))),
            Err(because) => self.nothing_for(turn, ask, because),
        }
    }

    fn nothing_for(&mut self, turn: &mut Turn, ask: Ask, because: Option<Unfit>) {
        let hopeless = matches!(
            because,
            Some(
                Unfit::NotRegistered { .. }
                    | Unfit::NotAllowed { .. }
                    | Unfit::NodeNotSynced
                    | Unfit::NoGas
            )
        );
        if !ask.wait || hopeless {
            turn.reply(ask.ticket, Reply::NothingNow { because });
            return;
        }
        // A worker waits once: an earlier ask of it lost its connection.
        if let Some(earlier) = self.held_of.get(&ask.worker).copied() {
            self.ask_ran_out(turn, earlier);
        }
        let until = turn.now.saturating_add(self.settings.ask_patience);
        self.alarms.set(Alarm::Held(ask.ticket), until);
        self.held_of.insert(ask.worker, ask.ticket);
        self.held.insert(ask.ticket, HeldAsk { ask, because });
    }

    pub(crate) fn ask_ran_out(&mut self, turn: &mut Turn, ticket: Ticket) {
        if let Some(held) = self.let_go(ticket) {
            let because = held.because;
            turn.reply(ticket, Reply::NothingNow { because });
        }
    }

    /// Nobody would hear what a held ask is given: the task is kept for one who listens.
    pub(crate) fn hung_up(&mut self, ticket: Ticket) {
        let _nobody_hears = self.let_go(ticket);
    }

    fn let_go(&mut self, ticket: Ticket) -> Option<HeldAsk> {
        self.alarms.clear(&Alarm::Held(ticket));
        let held = self.held.remove(&ticket)?;
        self.held_of.remove(&held.ask.worker);
        Some(held)
    }

    /// Gives what came free to those who wait, first come first served.
    pub(crate) fn serve_held(&mut self, turn: &mut Turn) {
        if !self.chain_up {
            return;
        }
        let waiting: Vec<Ticket> = self.held.keys().copied().collect();
        for ticket in waiting {
            if self.open.is_empty() {
                break;
            }
            let Some(ask) = self.held.get(&ticket).map(|held| held.ask.clone()) else {
                continue;
            };
            match self.try_give(turn, &ask) {
                Ok(given) => {
                    self.let_go(ticket);
                    turn.reply(ticket, Reply::Given(Box::new(given)));
                    // The task may be covered now; the next in line must see that.
                    self.review_touched(turn);
                }
                Err(because) => {
                    if let Some(held) = self.held.get_mut(&ticket) {
                        held.because = because;
                    }
                }
            }
        }
    }

    fn try_give(&mut self, turn: &mut Turn, ask: &Ask) -> Result<Assignment, Option<Unfit>> {
        if let Some(again) = self.give_again(turn, ask) {
            return Ok(again);
        }
        self.fit_worker(ask.worker).map_err(Some)?;
        if ask.block.0 == 0 {
            return Err(Some(Unfit::NodeNotSynced));
        }
        if !ask.gas {
            return Err(Some(Unfit::NoGas));
        }
        let Some(WorkerRecord { profile, .. }) = self.workers.get(&ask.worker) else {
            return Err(None);
        };
        match self.best_for(turn.now, ask.worker, profile) {
            Some(id) => self.give(turn, id, ask).ok_or(None),
            None => Err(self.why_nothing(turn.now, ask.worker, profile)),
        }
    }

    /// The task that a worker with a free slot gets. Those that it took part in, which may be all, are not even looked at.
    fn best_for(&self, now: Timestamp, worker: Address, machine: &WorkerProfile) -> Option<TaskId> {
        self.open
            .for_worker(worker, machine)
            .find(|id| self.fits(now, worker, *id))
    }

    fn fits(&self, now: Timestamp, worker: Address, id: TaskId) -> bool {
        self.tasks
            .get(&id)
            .is_some_and(|task| self.fit_task(now, task, worker).is_ok())
    }

    /// What keeps a worker that nothing is left for from what it would have got first.
    fn why_nothing(
        &self,
        now: Timestamp,
        worker: Address,
        machine: &WorkerProfile,
    ) -> Option<Unfit> {
        let mut tasks = self.open.for_anybody(machine);
        let first = tasks.find_map(|id| self.tasks.get(&id));
        match first {
            Some(task) => self.fit_task(now, task, worker).err(),
            None => self.open.missing(machine),
        }
    }

    /// The workers that took part in the task, also those that only the chain knows of, in order.
    fn takers(&self, task: &TaskRecord) -> Vec<Address> {
        let mut takers = self.workers_of(task.id);
        takers.extend(task.chain.contributions.keys());
        takers.sort_unstable();
        takers.dedup();
        takers
    }

    /// Where the index of open tasks says something else than a look at each of them. Slow.
    pub(crate) fn wrong_offers(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (id, task) in &self.tasks {
            let known = self.open.takers_of(*id);
            if known.is_some_and(|known| known != self.takers(task)) {
                wrong.push(format!("task {id} is offered to those who took part in it"));
            }
        }
        for (worker, record) in &self.workers {
            let machine = &record.profile;
            let best = self.best_for(self.clock, *worker, machine);
            let mut all = self.open.for_anybody(machine);
            if best != all.find(|id| self.fits(self.clock, *worker, *id)) {
                wrong.push(format!("worker {worker} would not get what suits it best"));
            }
        }
        wrong
    }

    /// A replicate that its worker never began, though it goes on asking: the answer that brought it was lost. It gets the
    /// same one again, which gives it nothing new.
    fn give_again(&mut self, turn: &mut Turn, ask: &Ask) -> Option<Assignment> {
        let patience = self.settings.tell_again;
        let clock = self.chain_clock();
        let forgotten = |one: &ReplicateRecord| {
            let since = one.told.map_or(one.created_at, |told| told.at);
            one.current() == ReplicateStatus::Created && turn.now >= since.saturating_add(patience)
        };
        let task = self
            .holding
            .get(&ask.worker)?
            .iter()
            .filter(|id| {
                self.replicates
                    .get(&(**id, ask.worker))
                    .is_some_and(forgotten)
            })
            .filter_map(|id| self.tasks.get(id))
            .find(|task| {
                task.status.is_waiting_contribution() && clock < task.contribution_deadline
            })?;
        let given = assignment(task, ask.worker);
        let text = "given again: its worker never began it".to_owned();
        let about = About::replicate(given.task, ask.worker);
        self.note(turn, Topic::Replicate, about, text);
        self.mark_told(
            turn,
            given.task,
            ask.worker,
            TaskNotificationType::PleaseStart,
        );
        Some(given)
    }

    fn give(&mut self, turn: &mut Turn, id: TaskId, ask: &Ask) -> Option<Assignment> {
        let task = self.tasks.get(&id)?;
        let worker = ask.worker;
        debug_assert_eq!(self.fit(turn.now, worker, id), Ok(()), "I3, I8");
        let given = assignment(task, worker);
        self.replicates.insert(
            (id, worker),
            ReplicateRecord {
                task: id,
                worker,
                weight: ask.weight.unwrap_or(LEAST_WEIGHT).max(LEAST_WEIGHT),
                created_at: turn.now,
                history: vec![ReplicateStep {
                    status: ReplicateStatus::Created,
                    by: StatusModifier::PoolManager,
                    at: turn.now,
                    cause: None,
                    block: None,
                    exit_code: None,
                }],
                holds_slot: false,
                recovering_since: None,
                result_link: None,
                callback_data: None,
                has_logs: false,
                told: None,
            },
        );
        self.tasks_of_worker.entry(worker).or_default().insert(id);
        self.take_slot(turn, id, worker);
        self.backlog.taken(id);
        self.watch_worker(turn, worker);
        self.note(
            turn,
            Topic::Replicate,
            About::replicate(id, worker),
            "given to the worker".to_owned(),
        );
        // At once, so that whoever is next in this turn finds the task covered.
        self.offer(turn, id);
        Some(given)
    }
}

/// What the authorization of a replicate is made of. Standard tasks have no enclave.
pub(crate) fn assignment(task: &TaskRecord, worker: Address) -> Assignment {
    Assignment {
        task: task.id,
        deal: task.deal,
        index: task.index,
        worker,
        enclave: task.enclave.clone(),
    }
}
