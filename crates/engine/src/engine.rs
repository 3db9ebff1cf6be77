//! The state machine itself: what it remembers, and the one door through which things happen.
//!
//! Whatever an input touches is *reviewed* before the turn ends: a review looks at a record, the chain's facts and the time,
//! and makes every step that is due. So an input only has to write down what it says; and after a restart, reviewing
//! everything gives back what was left to do.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::Discriminant;

use alloy_primitives::Address;
use poco::ids::{DealId, TaskId};
use poco::units::{BlockNumber, Timestamp};
use wire::status::ReplicateStatus;

use crate::alarms::Alarms;
use crate::backlog::Backlog;
use crate::input::{Input, Order, Ticket};
use crate::open::OpenTasks;
use crate::output::{Outputs, Refusal, Reply};
use crate::parked::Parked;
use crate::reading::Reading;
use crate::records::{DealRecord, PoolRecord, ReplicateRecord, TaskRecord, Topic, WorkerRecord};
use crate::settings::Settings;
use crate::supply::HeldAsk;
use crate::turn::{About, Turn};
use crate::upload::Check;

/// What happens to deals, tasks, replicates and workers, and why.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) settings: Settings,

    // What is stored.
    pub(crate) pool: PoolRecord,
    pub(crate) deals: BTreeMap<DealId, DealRecord>,
    pub(crate) tasks: BTreeMap<TaskId, TaskRecord>,
    pub(crate) replicates: BTreeMap<(TaskId, Address), ReplicateRecord>,
    pub(crate) workers: BTreeMap<Address, WorkerRecord>,

    // What follows from it.
    /// Every deal ever seen, also those whose tasks are all gone from memory.
    pub(crate) known_deals: BTreeSet<DealId>,
    pub(crate) tasks_of_deal: BTreeMap<DealId, BTreeSet<TaskId>>,
    pub(crate) tasks_of_worker: BTreeMap<Address, BTreeSet<TaskId>>,
    /// The tasks that hold a slot, by worker.
    pub(crate) holding: BTreeMap<Address, BTreeSet<TaskId>>,
    pub(crate) open: OpenTasks,
    pub(crate) backlog: Backlog,
    /// Mined transactions whose block the cursor has not passed.
    pub(crate) mined: BTreeSet<(BlockNumber, TaskId)>,

    // What a restart may forget.
    pub(crate) clock: Timestamp,
    pub(crate) chain_up: bool,
    /// When it was loaded: workers that are there may not have shown it yet.
    pub(crate) began: Timestamp,
    pub(crate) catching_up: bool,
    pub(crate) alarms: Alarms<Alarm>,
    /// When a worker may have fallen silent.
    pub(crate) silences: Alarms<Address>,
    /// Deadlines by the chain's clock.
    pub(crate) chain_alarms: Alarms<TaskId>,
    pub(crate) last_seen: BTreeMap<Address, Timestamp>,
    pub(crate) last_ask: BTreeMap<Address, Timestamp>,
    pub(crate) held: BTreeMap<Ticket, HeldAsk>,
    /// Which of them is whose.
    pub(crate) held_of: BTreeMap<Address, Ticket>,
    pub(crate) parked: BTreeMap<Ticket, Parked>,
    pub(crate) readings: BTreeMap<TaskId, Reading>,
    pub(crate) checks: BTreeMap<TaskId, Check>,
    /// The last report that was refused to each replicate, and why.
    pub(crate) refused: BTreeMap<(TaskId, Address), (ReplicateStatus, Discriminant<Refusal>)>,
    /// Deals whose unreadability is already recorded.
    pub(crate) unreadable: BTreeSet<DealId>,
}

/// What wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Alarm {
    /// More tasks of a deal are to be made.
    Expand(DealId),
    /// Something about a task is due.
    Task(TaskId),
    /// A held ask runs out.
    Held(Ticket),
    /// A parked report or question runs out.
    Parked(Ticket),
    /// The result proxy is to be asked again.
    Check(TaskId),
    /// More tasks that no worker can begin in time are to be given up.
    Late,
    /// Whether there is time for all of a deal is to be judged again.
    Capacity(DealId),
}

impl Engine {
    /// A pool that has seen nothing yet. It is out of service until [`Input::ChainHealth`] says that the chain is up.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            pool: PoolRecord::default(),
            deals: BTreeMap::new(),
            tasks: BTreeMap::new(),
            replicates: BTreeMap::new(),
            workers: BTreeMap::new(),
            known_deals: BTreeSet::new(),
            tasks_of_deal: BTreeMap::new(),
            tasks_of_worker: BTreeMap::new(),
            holding: BTreeMap::new(),
            open: OpenTasks::default(),
            backlog: Backlog::default(),
            mined: BTreeSet::new(),
            clock: Timestamp::default(),
            chain_up: false,
            began: Timestamp::default(),
            catching_up: false,
            alarms: Alarms::default(),
            silences: Alarms::default(),
            chain_alarms: Alarms::default(),
            last_seen: BTreeMap::new(),
            last_ask: BTreeMap::new(),
            held: BTreeMap::new(),
            held_of: BTreeMap::new(),
            parked: BTreeMap::new(),
            readings: BTreeMap::new(),
            checks: BTreeMap::new(),
            refused: BTreeMap::new(),
            unreadable: BTreeSet::new(),
        }
    }

    /// Takes one thing that happened, at `now`, and says what must be stored, answered, told and done because of it.
    ///
    /// A clock that went back is taken to stand still.
    pub fn handle(&mut self, now: Timestamp, input: Input) -> Outputs {
        self.forgive(now);
        self.clock = self.clock.max(now);
        let tick = matches!(input, Input::Tick);
        let mut turn = Turn::new(self.clock);
        let turn_ref = &mut turn;
        match input {
            Input::Advanced { to, head, facts } => self.learn(turn_ref, to, head, facts),
            Input::RolledBack { to } => self.unlearn(turn_ref, to),
            Input::DealUnreadable { deal, reason } => {
                self.deal_unreadable(turn_ref, deal, &reason);
            }
            Input::ChainHealth { up } => self.chain_health(turn_ref, up),
            Input::LoggedIn { worker } | Input::Pinged { worker } => self.seen(turn_ref, worker),
            Input::Registered {
                ticket,
                worker,
                profile,
            } => self.register(turn_ref, ticket, worker, profile),
            Input::Ask(ask) => self.asked(turn_ref, ask),
            Input::Report(report) => self.reported(turn_ref, *report),
            Input::Interrupted {
                ticket,
                worker,
                block,
            } => self.interrupted(turn_ref, ticket, worker, block),
            Input::HungUp { ticket } => self.hung_up(ticket),
            Input::Computing { ticket, worker } => self.computing(turn_ref, ticket, worker),
            Input::ListensTo { task } => self.tell_listeners(turn_ref, task),
            Input::Listens { worker } => self.tell_worker(turn_ref, worker),
            Input::Done { key, outcome } => self.done(turn_ref, key, outcome),
            Input::Operator { ticket, order } => self.obey(turn_ref, ticket, order),
            Input::Tick => {}
        }
        if tick {
            self.judge_silences(turn_ref);
        }
        self.wake_due(turn_ref);
        self.settle(turn_ref);
        self.finish(turn)
    }

    /// When [`Input::Tick`] is wanted at the latest. A moment that has passed means at once: long work is done in parts.
    ///
    /// Whatever is already known must be said before it: that nobody heard from a worker is judged by a tick alone.
    pub fn next_wake(&self) -> Option<Timestamp> {
        let silence = self.silences.first();
        self.alarms.first().into_iter().chain(silence).min()
    }

    /// Makes every step that is due, until nothing is.
    pub(crate) fn settle(&mut self, turn: &mut Turn) {
        self.review_touched(turn);
        while self.initialize_next(turn) || self.claim_next(turn) {
            self.review_touched(turn);
        }
        if turn.supply {
            self.serve_held(turn);
            self.review_touched(turn);
        }
    }

    pub(crate) fn review_touched(&mut self, turn: &mut Turn) {
        while let Some(task) = turn.review.pop_first() {
            self.review(turn, task);
        }
    }

    pub(crate) fn wake_due(&mut self, turn: &mut Turn) {
        for alarm in self.alarms.take_due(turn.now) {
            match alarm {
                Alarm::Expand(deal) => self.expand(turn, deal),
                Alarm::Task(task) => {
                    turn.review.insert(task);
                }
                Alarm::Held(ticket) => self.ask_ran_out(turn, ticket),
                Alarm::Parked(ticket) => self.parked_ran_out(turn, ticket),
                Alarm::Check(task) => self.check_again(turn, task),
                Alarm::Late => self.give_up_late(turn),
                Alarm::Capacity(deal) => self.judge_capacity(turn, deal, false),
            }
        }
    }

    /// The time that deadlines of the chain are compared with when nothing must be decided for good: ours or the chain's,
    /// whichever is later.
    pub(crate) fn chain_clock(&self) -> Timestamp {
        self.pool
            .head
            .map_or(self.clock, |head| head.time.max(self.clock))
    }

    pub(crate) fn head_number(&self) -> BlockNumber {
        self.pool.head.map(|head| head.number).unwrap_or_default()
    }

    fn chain_health(&mut self, turn: &mut Turn, up: bool) {
        if self.chain_up == up {
            return;
        }
        self.chain_up = up;
        let text = if up {
            "the chain can be read: in service"
        } else {
            "the chain cannot be read: no work is given until it can"
        };
        self.note(turn, Topic::Chain, About::default(), text.to_owned());
        if up {
            turn.supply = true;
            self.judge_parked(turn);
        }
    }

    fn obey(&mut self, turn: &mut Turn, ticket: Ticket, order: Order) {
        let reply = match order {
            Order::Drain => {
                self.pool.draining_since.get_or_insert(turn.now);
                let text = "draining: nobody is given new work".to_owned();
                self.note(turn, Topic::Pool, About::default(), text);
                Reply::Obeyed
            }
            Order::Resume => {
                self.pool.draining_since = None;
                turn.supply = true;
                let text = "work is given again".to_owned();
                self.note(turn, Topic::Pool, About::default(), text);
                Reply::Obeyed
            }
            Order::Cordon(worker) => self.cordon(turn, worker, true),
            Order::Uncordon(worker) => self.cordon(turn, worker, false),
        };
        turn.reply(ticket, reply);
    }
}
