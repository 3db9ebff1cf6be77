//! Long random stories: deals, workers that die, lie, repeat and reorder, a chain that reorganises, a scheduler that is killed.
//! Safety must hold after every input; in the end every task has an end. A failing story is one number, its seed.

mod dice;
mod supply;
mod worker;

use std::collections::BTreeMap;

use alloy_primitives::Address;
use engine::{Input, Settings, Ticket, WorkerProfile};
use poco::consensus::more_needed;
use poco::ids::TaskId;
use poco::status::ChainTaskStatus;
use poco::tag::{Tag, TeeFramework};
use poco::units::Timestamp;
use wire::status::ReplicateStatus::{self, Created, WorkerLost};
use wire::status::{TaskNotificationType, TaskStatus};

use crate::world::{DealWords, Tx, World, minutes, seconds, standard, wallet};
use dice::Dice;
use worker::{Given, SimWorker};

const NAMES: [&str; 6] = ["ann", "bob", "cat", "dan", "eve", "fay"];

/// What may go wrong in a story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weather {
    /// Nothing: everybody is honest and nothing fails.
    Fair,
    /// The scheduler is killed now and then, and the chain reorganises; workers are honest.
    Windy,
    /// Everything.
    Storm,
}

struct Story {
    world: World,
    dice: Dice,
    weather: Weather,
    workers: Vec<SimWorker>,
    /// Notices read so far.
    heard: usize,
    /// Tasks given, by whom.
    given: BTreeMap<(TaskId, Address), u32>,
    /// The chain dropped a transaction for good.
    lossy: bool,
    reorganised_at: Timestamp,
    /// Until when something fails.
    trouble: BTreeMap<&'static str, u32>,
}

impl Story {
    fn new(seed: u64, weather: Weather) -> Self {
        let mut dice = Dice::new(seed);
        let settings = Settings {
            initialize_ahead: 4,
            expand_at_once: 3,
            frameworks: [TeeFramework::Scone].into(),
            ..Settings::default()
        };
        let mut world = World::with(settings);
        // Once a step: these stories are long.
        world.thorough = false;
        let mut workers = Vec::new();
        for name in NAMES {
            let (cpus, gpu) = (1 + dice.below(3) as i64, dice.one_in(4));
            let caf = dice.one_in(2);
            world.register_as(
                name,
                WorkerProfile {
                    cpu_nb: cpus,
                    gpu,
                    caf,
                    sgx: dice.one_in(2),
                    ..WorkerProfile::default()
                },
            );
            let honest = weather != Weather::Storm || dice.one_in(2);
            workers.push(SimWorker::new(name, honest, caf));
        }
        Self {
            world,
            dice,
            weather,
            workers,
            heard: 0,
            given: BTreeMap::new(),
            lossy: false,
            reorganised_at: Timestamp::default(),
            trouble: BTreeMap::new(),
        }
    }

    fn deal(&mut self) {
        let storm = self.weather == Weather::Storm;
        // In better weather no more is asked for than these workers can do in time.
        let (trusts, most) = if storm { (5, 5) } else { (4, 3) };
        let mut details = standard()
            .trust([1, 1, 2, 3, 5][self.dice.below(trusts)])
            .tasks(1 + self.dice.below(most) as u64);
        if storm && self.dice.one_in(2) {
            details.max_execution = minutes(2);
        }
        if self.dice.one_in(4) {
            details = details.with_callback();
        }
        if storm && self.dice.one_in(6) {
            details = details.tag(if self.dice.one_in(2) {
                Tag::GPU
            } else {
                Tag::SCONE
            });
        }
        self.world.matched(details);
    }

    fn step(&mut self) {
        let pause = 1 + self.dice.below(4) as u64;
        self.world.pass(seconds(pause));
        if self.weather != Weather::Fair {
            self.weather_changes();
        }
        self.hear();
        for index in 0..self.workers.len() {
            if self.dice.one_in(2) {
                let worker = &mut self.workers[index];
                worker.act(&mut self.world, &mut self.dice);
            }
        }
        self.check();
    }

    /// Workers hear what was pushed; in bad weather some of it is lost.
    fn hear(&mut self) {
        let from = self.heard.min(self.world.notices.len());
        let new = self.world.notices[from..].to_vec();
        self.heard = self.world.notices.len();
        for (_, notice) in new {
            self.check_notice(&notice);
            for worker in &mut self.workers {
                if self.weather == Weather::Storm && self.dice.one_in(4) {
                    continue;
                }
                worker.hear(&notice);
            }
        }
    }

    fn weather_changes(&mut self) {
        if self.dice.one_in(25) {
            self.world.restart();
        }
        if self.dice.one_in(40) {
            let depth = 1 + self.dice.below(3);
            let lose = self.weather == Weather::Storm && self.dice.one_in(3);
            self.lossy |= lose;
            self.reorganised_at = self.world.now;
            self.world
                .reorganise(depth, |tx| !lose || matches!(tx, Tx::Match(_)));
        }
        if self.weather == Weather::Storm {
            self.troubles();
        }
    }

    fn troubles(&mut self) {
        for name in ["outbox", "proxy", "cursor", "chain"] {
            let left = self.trouble.get(name).copied().unwrap_or(0);
            let left = if left > 0 {
                left - 1
            } else if self.dice.one_in(80) {
                5 + self.dice.below(40) as u32
            } else {
                0
            };
            self.trouble.insert(name, left);
        }
        self.apply_troubles();
    }

    fn apply_troubles(&mut self) {
        let on = |name| self.trouble.get(name).is_some_and(|left| *left > 0);
        self.world.outbox_stuck = on("outbox");
        self.world.proxy_down = on("proxy");
        self.world.cursor_stuck = on("cursor");
        let up = !on("chain");
        self.world.see_blocks();
        self.world.input(Input::ChainHealth { up });
    }

    /// What must hold at every moment.
    fn check(&mut self) {
        self.world.check_invariants();
        for worker in &self.workers {
            let (slots, held) = self.world.slots(worker.name);
            assert!(
                held <= slots,
                "I3: {} holds {held} of {slots} slots",
                worker.name
            );
        }
        let workers = self.workers.iter_mut();
        let given: Vec<_> = workers.flat_map(SimWorker::take_given).collect();
        for one in given {
            self.check_given(one);
        }
        for task in self.world.stored.tasks.values() {
            let limit = task
                .final_deadline
                .max(task.created_at)
                .saturating_add(minutes(2));
            assert!(
                task.is_final() || self.world.now <= limit,
                "I5: {} is still {}",
                task.id,
                task.status
            );
            assert_eq!(
                task.status == TaskStatus::Failed,
                task.failure.is_some(),
                "{} must say why it failed",
                task.id
            );
        }
    }

    fn check_given(&mut self, given: Given) {
        let (id, name, history) = (given.task, given.name, given.history);
        let worker = wallet(name);
        let times = self.given.entry((id, worker)).or_default();
        *times += 1;
        if *times > 1 {
            let begun = history
                .iter()
                .any(|status| *status != Created && *status != WorkerLost);
            assert!(!begun, "I3: {name} got {id} twice: {history:?}");
            return;
        }
        let record = &self.world.stored.replicates[&(id, worker)];
        let task = &self.world.stored.tasks[&id];
        assert!(record.created_at < task.contribution_deadline, "I8");
        // Apart from this one, what was under way when it was given did not suffice.
        let same_moment = |fact: &engine::ChainFact| fact.seen_at == record.created_at;
        if task.facts.iter().any(same_moment) || record.created_at <= self.reorganised_at {
            // What was known when it was given cannot be told afterwards.
            return;
        }
        let mut chain = task.clone();
        chain.facts.retain(|fact| fact.seen_at < record.created_at);
        chain.refold();
        let hashes = |one: &Address| chain.contribution_of(*one);
        let others: Vec<_> = self
            .world
            .stored
            .replicates
            .range((id, Address::ZERO)..=(id, Address::repeat_byte(0xff)))
            .map(|(_, one)| one)
            .filter(|one| one.worker != worker && one.created_at < record.created_at)
            .collect();
        let contributed = others
            .iter()
            .filter_map(|one| Some((hashes(&one.worker)?, 2)));
        let pending = others.iter().filter(|one| {
            let young = record.created_at <= one.created_at.saturating_add(task.max_execution());
            let at_it = one.history.iter().all(|step| {
                let fine = step.status == ReplicateStatus::ContributeAndFinalizeOngoing
                    || (step.status.is_success() && step.status <= ReplicateStatus::Contributed);
                fine || step.at > record.created_at
            });
            young && at_it && hashes(&one.worker).is_none()
        });
        let reopened = self.world.path(id).contains(&TaskStatus::Reopened);
        let enough = !more_needed(task.trust, contributed, pending.map(|one| one.weight));
        assert!(
            !enough || reopened,
            "I3: {id} had enough replicates when {name} got it"
        );
    }

    fn check_notice(&self, notice: &engine::Notice) {
        let task = &self.world.stored.tasks[&notice.task];
        match notice.kind {
            TaskNotificationType::PleaseReveal => {
                assert!(notice.block.is_some_and(|block| block.0 > 0), "Q-05");
            }
            TaskNotificationType::PleaseAbort => {
                let path = self.world.path(notice.task);
                let decided = path.contains(&TaskStatus::ConsensusReached)
                    || path.contains(&TaskStatus::Finalized);
                assert!(
                    decided || task.status == TaskStatus::Failed,
                    "I10: aborted for nothing"
                );
            }
            TaskNotificationType::PleaseComplete => assert_eq!(task.status, TaskStatus::Completed),
            _ => {}
        }
    }

    /// The weather clears, and time passes until every deadline is over.
    fn end(&mut self) {
        self.weather = Weather::Fair;
        self.trouble.clear();
        self.apply_troubles();
        for _ in 0..1_000 {
            self.step();
            if self.world.stored.tasks.values().all(|task| task.is_final()) {
                break;
            }
        }
        for worker in &mut self.workers {
            worker.leave(&mut self.world);
        }
        self.world.pass(minutes(60));
        self.check();
        for task in self.world.stored.tasks.values() {
            assert!(task.is_final(), "I5: {} rests in {}", task.id, task.status);
            let chain = self.world.chain.status(task.id);
            assert!(chain.is_final(), "{} is {chain:?} on the chain", task.id);
            // The chain may drop a finalisation when it is too late for another.
            if task.status == TaskStatus::Completed && !self.lossy {
                assert_eq!(chain, ChainTaskStatus::Completed);
            }
            let deal = &self.world.stored.deals[&task.deal];
            assert!(deal.is_expanded(), "I1");
        }
        for worker in &self.workers {
            assert_eq!(
                self.world.slots(worker.name).1,
                0,
                "R-38: {} keeps slots",
                worker.name
            );
        }
        assert_eq!(self.world.unanswered(), Vec::<Ticket>::new());
    }
}

fn tell(seed: u64, weather: Weather) -> Story {
    let mut story = Story::new(seed, weather);
    let rarely = if weather == Weather::Storm { 12 } else { 30 };
    story.deal();
    for _ in 0..200 {
        if story.dice.one_in(rarely) {
            story.deal();
        }
        story.step();
    }
    story.end();
    story
}

/// Seeds to try: `ENGINE_SIMULATION_SEED` tells one story again, `ENGINE_SIMULATION_STORIES` tells more than usual.
fn seeds(count: u64) -> Vec<u64> {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().expect("a number"))
    };
    match number("ENGINE_SIMULATION_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("ENGINE_SIMULATION_STORIES").unwrap_or(count)).collect(),
    }
}

#[test]
fn in_fair_weather_every_task_is_completed() {
    // How many were finished with one transaction, and how many in steps.
    let mut ways = [0, 0];
    for seed in seeds(6) {
        println!("seed {seed}");
        let story = tell(seed, Weather::Fair);
        for task in story.world.stored.tasks.values() {
            let path = story.world.path(task.id);
            let in_steps = path.contains(&TaskStatus::ConsensusReached);
            ways[usize::from(in_steps)] += 1;
            assert_eq!(
                task.status,
                TaskStatus::Completed,
                "seed {seed}: {:?}",
                task.failure
            );
        }
    }
    assert!(ways.iter().all(|count| *count > 0), "{ways:?}");
}

#[test]
fn restarts_and_reorganisations_lose_nothing() {
    for seed in seeds(12) {
        println!("seed {seed}");
        let story = tell(seed, Weather::Windy);
        let tasks = &story.world.stored.tasks;
        let completed = tasks
            .values()
            .filter(|task| task.status == TaskStatus::Completed);
        assert!(
            completed.count() * 10 >= tasks.len() * 8,
            "seed {seed}: too little was completed"
        );
    }
}

#[test]
fn whatever_happens_nothing_breaks_and_everything_ends() {
    for seed in seeds(25) {
        println!("seed {seed}");
        tell(seed, Weather::Storm);
    }
}

#[test]
fn the_same_story_told_twice_is_the_same() {
    let told = |seed| tell(seed, Weather::Storm).world.stored.events;
    assert_eq!(told(7), told(7));
}
