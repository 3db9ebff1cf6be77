//! Bags of thousands of tasks: taken on, never in the way of others, and what cannot run in time is said.

use engine::{Outcome, Purpose, Topic};
use poco::ids::TaskId;
use wire::status::TaskStatus::{
    self, Completed, Failed, InitializeFailed, Initialized, Initializing, Received,
};

use crate::world::{BLOCK, DealWords, World, deal_id, minutes, seconds, standard, task};

/// A world with a bag of so many tasks, taken on whole, and a worker with so many slots.
fn bag(size: u64, slots: i64) -> World {
    let mut world = World::new();
    // Looking for broken invariants after each input takes too long with so many.
    world.thorough = false;
    if slots > 0 {
        world.register("ann", slots, false);
    }
    world.matched(standard().tasks(size));
    while world.stored.tasks.len() < size as usize {
        world.input(engine::Input::Tick);
    }
    world
}

fn of_second(index: u64) -> TaskId {
    TaskId::of(deal_id(2), index)
}

fn said(world: &World) -> Vec<String> {
    let events = world.stored.events.iter();
    let capacity = events.filter(|event| event.topic == Topic::Capacity);
    capacity.map(|event| event.text.clone()).collect()
}

fn count(world: &World, status: TaskStatus) -> usize {
    let tasks = world.stored.tasks.values();
    tasks.filter(|task| task.status == status).count()
}

/// The worker asks, and computes what it is given at once.
fn run_one(world: &mut World) -> TaskId {
    world.pass(seconds(6));
    world.ask("ann").given()
}

#[test]
fn a_bag_of_ten_thousand_is_taken_on_and_initialised_as_slots_come_free() {
    let mut world = bag(10_000, 4);
    world.pass(minutes(1));
    assert_eq!(count(&world, Initialized), 64);
    assert_eq!(count(&world, Received), 10_000 - 64);
    let waiting = world
        .engine
        .tasks()
        .find(|task| task.status == Received)
        .unwrap()
        .id;
    let because = world.engine.explain(world.now, waiting).unwrap().because;
    assert!(
        because
            .iter()
            .any(|why| why.contains("10000 task(s) of its deal") && why.contains("4 slot(s)")),
        "{because:?}"
    );
    world.check_invariants();
}

#[test]
fn a_deal_after_a_bag_is_initialised_in_the_next_block_and_runs_in_the_next_slot() {
    let mut world = bag(10_000, 4);
    world.pass(minutes(1));
    for _ in 0..3 {
        run_one(&mut world);
    }
    world.matched(standard().tasks(2));
    world.pass(BLOCK);
    for index in 0..2 {
        assert_eq!(world.status(of_second(index)), Initialized, "{index}");
    }
    let given = run_one(&mut world);
    assert_eq!(world.stored.tasks[&given].deal, deal_id(2));
}

#[test]
fn the_bag_keeps_what_others_leave() {
    let mut world = bag(100, 4);
    world.pass(seconds(20));
    world.matched(standard().tasks(10));
    world.pass(seconds(20));
    let mut of = [0; 2];
    for _ in 0..4 {
        let given = run_one(&mut world);
        of[usize::from(world.stored.tasks[&given].deal == deal_id(2))] += 1;
    }
    assert_eq!(of, [2, 2], "each has half of the slots");
}

#[test]
fn many_deals_at_once_do_not_have_everything_initialised_for_nobody() {
    let mut world = World::new();
    world.thorough = false;
    for _ in 0..60 {
        world.matched(standard().tasks(3));
    }
    world.pass(minutes(1));
    let begun = world.commanded(Purpose::Initialize);
    assert_eq!(begun, 32, "twice what is kept ready with nobody there");
}

#[test]
fn a_bag_that_the_slots_cannot_run_in_time_is_said_at_once_and_in_figures() {
    let world = bag(1_000, 4);
    let said = said(&world);
    assert_eq!(said.len(), 1, "{said:?}");
    // From the match contributions are open for 35 minutes, a run may take 5: seven rounds of four.
    for figure in ["of 1000 task(s)", "28 can be begun", "4 slot(s)", "300 s"] {
        assert!(said[0].contains(figure), "{figure}: {}", said[0]);
    }
}

#[test]
fn a_bag_that_the_slots_can_run_is_no_news() {
    let mut world = bag(20, 4);
    world.pass(minutes(4));
    assert_eq!(said(&world), Vec::<String>::new());
}

#[test]
fn a_deal_for_which_nobody_is_there_is_said_after_a_while() {
    let mut world = bag(3, 0);
    assert_eq!(
        said(&world),
        Vec::<String>::new(),
        "workers may be on the way"
    );
    world.pass(minutes(6));
    let said = said(&world);
    assert!(
        said[0].contains("no worker is there for the 3 of 3"),
        "{said:?}"
    );
}

#[test]
fn a_warning_is_repeated_after_a_restart_no_more_than_its_time_tells() {
    let mut world = bag(1_000, 4);
    world.pass(minutes(1));
    world.restart();
    world.pass(minutes(1));
    assert_eq!(said(&world).len(), 1);
    // A sixth of the 30 minutes in which tasks can be begun.
    world.pass(minutes(4));
    assert_eq!(said(&world).len(), 2, "{:?}", said(&world));
}

#[test]
fn what_no_worker_can_begin_in_time_fails_with_a_reason_and_is_never_initialised() {
    let mut world = bag(100, 1);
    let first = world.pass(seconds(20)).ask("ann").given();
    world.pass(minutes(31));
    let initialised = world.commanded(Purpose::Initialize);
    assert!(initialised < 40, "{initialised}");
    let failed: Vec<_> = world
        .stored
        .tasks
        .values()
        .filter(|task| task.status == Failed)
        .collect();
    assert_eq!(failed.len(), 100 - initialised);
    for task in failed {
        let history: Vec<_> = task.history.iter().map(|step| step.status).collect();
        assert_eq!(history, [Received, InitializeFailed, Failed]);
        let reason = task.failure.as_deref().unwrap();
        assert!(reason.contains("could not be begun in time"), "{reason}");
        assert!(reason.contains("no slot came free"), "{reason}");
    }
    let last = said(&world).pop().unwrap();
    assert!(
        last.contains("99 of 100 task(s) were not begun in time"),
        "{last}"
    );
    assert_ne!(world.status(first), Failed);
    // What was initialised and not given says the same when contributions close.
    world.pass(minutes(6));
    let given_up = world.stored.tasks.values().filter(|task| {
        let reason = task.failure.as_deref().unwrap_or_default();
        reason.contains("could not be begun in time")
    });
    assert_eq!(given_up.count(), 99);
}

#[test]
fn a_bag_that_ends_is_given_up_in_parts() {
    let mut world = bag(1_300, 0);
    world.pass(minutes(29));
    assert_eq!(count(&world, Failed), 0);
    while count(&world, Failed) == 0 {
        let end = world.now.saturating_add(BLOCK);
        world.now = end;
        world.mine();
    }
    assert_eq!(count(&world, Failed), 500);
    assert_eq!(
        world.engine.next_wake(),
        Some(world.now),
        "wants to go on at once"
    );
    world.input(engine::Input::Tick);
    assert_eq!(count(&world, Failed), 1_000);
    world.restart();
    world.pass(BLOCK);
    assert_eq!(
        count(&world, Failed),
        1_300 - 16,
        "those that are initialised wait"
    );
}

#[test]
fn an_initialisation_that_would_come_too_late_is_not_sent() {
    let mut world = World::new();
    world.outbox_stuck = true;
    world.matched(standard());
    let command = world.undone[0].clone();
    let engine::Action::Initialize { until, .. } = command.action else {
        panic!("it is initialised first")
    };
    let last_start = world.stored.tasks[&task(0)]
        .contribution_deadline
        .saturating_sub(minutes(5));
    assert_eq!(until, last_start);
    world.pass(minutes(31));
    assert_eq!(world.status(task(0)), Initializing, "it may still be mined");
    world.input(engine::Input::Done {
        key: command.key,
        outcome: Outcome::Expired,
    });
    world.pass(BLOCK);
    assert_eq!(world.status(task(0)), Failed);
    assert_eq!(world.commanded(Purpose::Initialize), 1);
}

#[test]
fn a_task_that_a_stranger_initialises_late_is_given_to_nobody_and_says_why() {
    let mut world = bag(1, 0);
    world.outbox_stuck = true;
    world.pass(minutes(1));
    let times = world.times(deal_id(1));
    world.send(crate::world::Tx::Initialize(task(0), times));
    world.pass(minutes(40));
    let failure = world.stored.tasks[&task(0)].failure.clone().unwrap();
    assert!(
        failure.contains("no worker that could run it was there"),
        "{failure}"
    );
}

#[test]
fn the_claims_of_a_bag_are_made_a_few_at_a_time_and_all_in_the_end() {
    let mut world = bag(700, 0);
    world.pass(minutes(45));
    assert_eq!(world.commanded(Purpose::Claim), 0);
    world.outbox_stuck = true;
    world.pass(minutes(6));
    assert_eq!(world.commanded(Purpose::Claim), 256);
    world.restart();
    assert_eq!(world.undone.len(), 256, "the same again");
    world.outbox_stuck = false;
    world.pass(minutes(5));
    for index in 0..700 {
        let status = world.chain.status(task(index));
        assert_eq!(status, poco::status::ChainTaskStatus::Failed, "{index}");
    }
    assert_eq!(count(&world, Completed), 0);
}
