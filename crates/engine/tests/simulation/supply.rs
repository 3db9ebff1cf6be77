//! What an asking worker is given, whatever happened before: the same as if every task were looked at. The engine's index of
//! tasks on offer is not believed; what it should answer is found from the stored records and from what
//! [`Engine::fit`](engine::Engine::fit) says of each task alone.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use engine::{Input, Order, Reply, Settings, TaskRecord, Unfit, WorkerProfile};
use poco::ids::{DealId, TaskId};
use poco::tag::{Tag, TeeFramework};
use poco::units::{BlockNumber, Timestamp};
use wire::status::ReplicateStatus::{self, Aborted, ComputeFailed, Computed, Created, Started};
use wire::status::TaskStatus;

use super::dice::Dice;
use super::seeds;
use crate::world::{DealWords, TO_COMPUTED, Tx, World, hash, minutes, seconds, standard, wallet};

const NAMES: [&str; 5] = ["ann", "bob", "cat", "dan", "eve"];
/// Has a graphics processor and never asks: what it may have is what is on offer.
const NOBODY: &str = "zoe";

/// Whose turn a task is: what was begun, then the deal that holds the fewest slots, then the earliest deadline, then what
/// demands a graphics processor; of those the same.
type Turn = (
    bool,
    usize,
    Timestamp,
    Reverse<(Option<TeeFramework>, bool)>,
    (Timestamp, u64, TaskId),
    DealId,
);

struct Market {
    world: World,
    dice: Dice,
    asks: usize,
    /// Asks of workers that took part in everything, or in what came first.
    passed_over: usize,
}

struct Expected {
    answer: Result<TaskId, Option<Unfit>>,
    /// It took part in what comes first.
    passes_over: bool,
}

impl Expected {
    const fn nothing(because: Option<Unfit>) -> Self {
        Self {
            answer: Err(because),
            passes_over: false,
        }
    }
}

impl Market {
    fn new(seed: u64) -> Self {
        let settings = Settings {
            ask_period: seconds(0),
            initialize_ahead: 12,
            expand_at_once: 50,
            frameworks: [TeeFramework::Scone].into(),
            ..Settings::default()
        };
        let mut market = Self {
            world: World::with(settings),
            dice: Dice::new(seed),
            asks: 0,
            passed_over: 0,
        };
        for name in NAMES {
            market.register(name);
        }
        let everything = WorkerProfile {
            cpu_nb: 1,
            gpu: true,
            sgx: true,
            ..WorkerProfile::default()
        };
        market.world.register_as(NOBODY, everything);
        market
    }

    fn register(&mut self, name: &str) {
        let profile = WorkerProfile {
            cpu_nb: 2 + self.dice.below(8) as i64,
            gpu: self.dice.one_in(4),
            sgx: self.dice.one_in(4),
            ..WorkerProfile::default()
        };
        self.world.register_as(name, profile);
    }

    fn deal(&mut self) {
        let mut details = standard()
            .trust([1, 3, 5, 9, 50][self.dice.below(5)])
            .tasks(1 + self.dice.below(6) as u64);
        if self.dice.one_in(3) {
            details.max_execution = minutes(2);
        }
        if self.dice.one_in(3) {
            let both = Tag(Tag::GPU.0 | Tag::SCONE.0);
            details = details.tag([Tag::GPU, Tag::SCONE, both][self.dice.below(3)]);
        }
        self.world.matched(details);
        self.world.pass(seconds(10));
    }

    fn somebody(&mut self) -> &'static str {
        NAMES[self.dice.below(NAMES.len())]
    }

    fn some_task(&mut self) -> Option<TaskId> {
        let tasks: Vec<TaskId> = self.world.stored.tasks.keys().copied().collect();
        (!tasks.is_empty()).then(|| tasks[self.dice.below(tasks.len())])
    }

    fn step(&mut self) {
        let name = self.somebody();
        match self.dice.below(26) {
            0 | 1 => self.deal(),
            15 => self.register(name),
            2 => {
                let depth = 1 + self.dice.below(4);
                let lose = self.dice.one_in(2);
                self.world
                    .reorganise(depth, |tx| !lose || matches!(tx, Tx::Match(_)));
            }
            3 => {
                self.world.restart();
            }
            4 => {
                self.world.silence(name);
            }
            5 => {
                self.world.back(name);
            }
            6 => {
                // Whether it was given the task or not.
                if let Some(task) = self.some_task() {
                    self.contribute(name, task);
                }
            }
            7 => {
                let order = match self.dice.below(12) {
                    0 => Order::Drain,
                    1 => Order::Cordon(wallet(name)),
                    2..6 => Order::Uncordon(wallet(name)),
                    _ => Order::Resume,
                };
                self.world.order(order);
            }
            8..12 => self.reports(name),
            12 => {
                // Replicates that were never begun are given again; old ones, and the silent, count no more.
                let pause = [31, 65, 125, 305][self.dice.below(4)];
                self.world.pass(seconds(pause));
            }
            13 | 14 => {
                let pause = 1 + self.dice.below(10) as u64;
                self.world.pass(seconds(pause));
            }
            _ => self.asks(name),
        }
    }

    fn contribute(&mut self, name: &str, task: TaskId) {
        let result = hash(["a", "b"][self.dice.below(2)]);
        self.world.send(Tx::Contribute(task, wallet(name), result));
        self.world.mine();
        if self.dice.one_in(3) {
            self.world
                .reorganise(1, |tx| !matches!(tx, Tx::Contribute(..)));
            self.asks(name);
        }
    }

    fn reports(&mut self, name: &str) {
        let replicates = self.world.stored.replicates.values();
        let under_way: Vec<TaskId> = replicates
            .filter(|one| one.worker == wallet(name) && one.holds_slot)
            .map(|one| one.task)
            .collect();
        if under_way.is_empty() {
            return;
        }
        let task = under_way[self.dice.below(under_way.len())];
        let status = [Started, Aborted, Aborted, ComputeFailed, Computed][self.dice.below(5)];
        if status == Computed {
            for (step, _) in TO_COMPUTED {
                self.world.report(name, task, step);
            }
            self.contribute(name, task);
        } else {
            self.world.report(name, task, status);
        }
    }

    fn asks(&mut self, name: &str) {
        let worker = wallet(name);
        // So that the ask itself is no sign of life that changes anything.
        self.world.back(name);
        let before = self.world.stored.replicates.clone();
        let expected = self.expected(name);
        let weight = Some(2 + self.dice.below(5) as u64);
        let answer = self.world.ask_with(name, |ask| {
            ask.weight = weight;
            ask.block = BlockNumber(1);
        });
        let reply = answer.get().expect("no ask waits here");
        if let Reply::Given(given) = &reply
            && let Some(one) = before.get(&(given.task, worker))
        {
            assert_eq!(one.history.last().unwrap().status, Created, "given twice");
            assert!(self.world.now >= one.created_at.saturating_add(seconds(30)));
            return;
        }
        self.asks += 1;
        self.passed_over += usize::from(expected.passes_over);
        let said = match reply {
            Reply::Given(given) => Ok(given.task),
            Reply::NothingNow { because } => Err(because),
            other => panic!("{name} was told {other:?}"),
        };
        assert_eq!(said, expected.answer, "{name}");
    }

    /// The task that this worker should get, or why none.
    fn expected(&self, name: &str) -> Expected {
        let (now, worker) = (self.world.now, wallet(name));
        let engine = &self.world.engine;
        match engine.fit(now, worker, TaskId::default()) {
            Err(Unfit::UnknownTask) => {}
            other => return Expected::nothing(other.err()),
        }
        let machine = &self.world.stored.workers[&worker].profile;
        let line = self.line();
        let can = |tag: Tag| {
            (machine.gpu || !tag.gpu()) && (machine.sgx || tag.tee_framework().is_none())
        };
        let mine = || line.iter().filter(|task| can(task.tag));
        let Some(first) = mine().next() else {
            let needed = line.iter().map(|task| task.tag);
            let least = needed.min_by_key(|tag| (tag.tee_framework(), tag.gpu()));
            return Expected::nothing(least.map(Unfit::TagMissing));
        };
        let fits = |task: &&&TaskRecord| engine.fit(now, worker, task.id).is_ok();
        let found = mine().find(fits).map(|task| task.id);
        Expected {
            answer: found.ok_or_else(|| engine.fit(now, worker, first.id).err()),
            passes_over: found != Some(first.id),
        }
    }

    /// Every task on offer, in the order of their turns.
    fn line(&self) -> Vec<&TaskRecord> {
        let stored = &self.world.stored;
        let on_offer = |task: &&TaskRecord| {
            let fit = self
                .world
                .engine
                .fit(self.world.now, wallet(NOBODY), task.id);
            fit.is_ok()
        };
        let mut line: Vec<&TaskRecord> = stored.tasks.values().filter(on_offer).collect();
        let mut slots: BTreeMap<DealId, usize> = BTreeMap::new();
        for one in stored.replicates.values().filter(|one| one.holds_slot) {
            *slots.entry(stored.tasks[&one.task].deal).or_default() += 1;
        }
        let begun = |task: &TaskRecord| task.status == TaskStatus::Running;
        let place = |task: &TaskRecord| (task.contribution_deadline, task.index, task.id);
        let first_of = |task: &TaskRecord| {
            let company = line
                .iter()
                .filter(|one| one.deal == task.deal && begun(one) == begun(task));
            company.map(|one| place(one)).min().unwrap()
        };
        let turns: BTreeMap<TaskId, Turn> = line
            .iter()
            .map(|task| {
                let turn = (
                    !begun(task),
                    slots.get(&task.deal).copied().unwrap_or(0),
                    task.contribution_deadline,
                    Reverse((task.tag.tee_framework(), task.tag.gpu())),
                    first_of(task),
                    task.deal,
                );
                (task.id, turn)
            })
            .collect();
        line.sort_by_key(|task| (turns[&task.id], place(task)));
        line
    }
}

#[test]
fn a_worker_is_given_what_a_look_at_every_task_would_give_it() {
    let (mut asks, mut passed_over) = (0, 0);
    for seed in seeds(40) {
        println!("seed {seed}");
        let mut market = Market::new(seed);
        for _ in 0..200 {
            market.step();
            market.world.input(Input::Pinged {
                worker: wallet(NOBODY),
            });
        }
        asks += market.asks;
        passed_over += market.passed_over;
    }
    println!("{asks} asks, {passed_over} of them passed over something");
    assert!(passed_over > 300, "the stories are too simple");
}

#[test]
fn a_worker_that_took_part_in_everything_is_given_what_comes_next_and_nothing_else() {
    let mut world = World::with(Settings {
        initialize_ahead: 100,
        ..Settings::default()
    })
    .workers(["ann"])
    .deal(standard().trust(5).tasks(40));
    world.register("ann", 40, false);
    for _ in 0..40 {
        let task = world.ask("ann").given();
        world.goes_to("ann", task, Started);
        world.report("ann", task, Aborted);
        world.pass(seconds(6));
    }
    let replicate = ReplicateStatus::Aborted;
    let unfit = Unfit::AlreadyTookPart { replicate };
    world.ask("ann").is_nothing_because(&unfit);
    world.restart().pass(seconds(6));
    world.ask("ann").is_nothing_because(&unfit);
    let mut world = world.deal(standard());
    let given = world.ask("ann").given();
    assert_eq!(world.stored.tasks[&given].deal, crate::world::deal_id(2));
}
