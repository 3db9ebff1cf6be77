//! Deals: taken on, refused, waited for.

use engine::{Fact, Input, Located, Purpose};
use poco::ids::TaskId;
use poco::tag::Tag;
use wire::status::TaskStatus::{
    self, Failed, InitializeFailed, Initialized, Initializing, Received,
};

use crate::world::{DealWords, Tx, World, deal_id, minutes, seconds, standard, task};

#[test]
fn a_deal_brings_its_tasks_and_each_is_initialised() {
    let world = World::new().deal(standard().tasks(3));
    for index in 0..3 {
        assert_eq!(
            world.path(task(index)),
            [Received, Initializing, Initialized]
        );
    }
    assert_eq!(world.commanded(Purpose::Initialize), 3);
}

#[test]
fn indexes_are_those_of_the_chain() {
    let details = engine::DealDetails {
        bot_first: 7,
        ..standard().tasks(2)
    };
    let world = World::new().deal(details);
    let indexes: Vec<u64> = world.engine.tasks().map(|task| task.index).collect();
    assert!(indexes.contains(&7) && indexes.contains(&8), "{indexes:?}");
}

#[test]
fn a_deal_that_the_pool_cannot_serve_fails_its_tasks_with_the_reason_and_sends_nothing() {
    let reason = "the workerpool was owned by somebody else";
    let details = engine::DealDetails {
        refused: Some(reason.to_owned()),
        ..standard().tasks(2)
    };
    let world = World::new().deal(details);
    for index in 0..2 {
        assert_eq!(world.path(task(index)).last(), Some(&Failed));
    }
    assert_eq!(world.commanded(Purpose::Initialize), 0);
    assert!(
        world
            .engine
            .tasks()
            .all(|task| task.failure.as_deref() == Some(reason))
    );
}

#[test]
fn a_large_deal_is_taken_on_in_parts() {
    // the original inserted a bag of any size in one go.
    let mut world = World::new();
    world.matched(standard().tasks(1_200));
    assert_eq!(world.stored.tasks.len(), 500);
    assert_eq!(
        world.engine.next_wake(),
        Some(world.now),
        "wants to go on at once"
    );
    world.input(Input::Tick);
    assert_eq!(world.stored.tasks.len(), 1_000);
    world.restart();
    world.input(Input::Tick);
    assert_eq!(world.stored.tasks.len(), 1_200);
}

#[test]
fn a_task_that_somebody_initialised_before_it_was_made_is_not_missed() {
    let mut world = World::new();
    let id = world.matched(standard().tasks(800));
    let late = TaskId::of(id, 777);
    assert!(!world.stored.tasks.contains_key(&late));
    world
        .chain
        .mempool
        .push(Tx::Initialize(late, world.times(id)));
    world.mine();
    assert_eq!(world.status(late), Initialized);
    world.pass(seconds(20));
    assert_eq!(world.stored.tasks.len(), 800);
}

#[test]
fn a_deal_that_demands_an_enclave_no_sms_is_there_for_is_refused_loudly() {
    for tag in [Tag::TEE, Tag::SCONE, Tag::GRAMINE, Tag::TDX] {
        let mut world = World::new().workers(["ann"]).deal(standard().tag(tag));
        assert!(world.stored.deals[&deal_id(1)].refused.is_some());
        assert_eq!(world.path(task(0)), [Received, InitializeFailed, Failed]);
        assert!(
            world.stored.tasks[&task(0)]
                .failure
                .as_ref()
                .unwrap()
                .contains(if tag == Tag::TEE { "enclave" } else { "no SMS" })
        );
        assert_eq!(world.commanded(Purpose::Initialize), 0);
        world.ask("ann").is_nothing();
    }
}

#[test]
fn a_refused_deal_is_claimed_in_the_end_so_that_its_money_comes_free() {
    let mut world = World::new().deal(standard().tag(Tag::SCONE));
    world.pass(minutes(51));
    assert!(world.stored.tasks[&task(0)].claim.attempt > 0);
    assert_eq!(
        world.chain.status(task(0)),
        poco::status::ChainTaskStatus::Failed
    );
}

#[test]
fn a_deal_seen_twice_makes_its_tasks_once() {
    //
    let mut world = World::new().deal(standard());
    let block = world
        .chain
        .blocks
        .iter()
        .find(|block| !block.facts.is_empty())
        .unwrap()
        .clone();
    world.input(Input::Advanced {
        to: world.chain.head().unwrap(),
        head: world.chain.head().unwrap().number,
        facts: block.facts,
    });
    assert_eq!(world.path(task(0)), [Received, Initializing, Initialized]);
}

#[test]
fn a_deal_that_cannot_be_read_is_recorded_and_taken_on_later() {
    // one failed read of a deal skipped it for ever.
    let mut world = World::new();
    for _ in 0..3 {
        world.input(Input::DealUnreadable {
            deal: deal_id(1),
            reason: "timeout".to_owned(),
        });
    }
    let told = |world: &World| {
        let events = world.stored.events.iter();
        events
            .filter(|event| event.text.contains("cannot be read now"))
            .count()
    };
    assert_eq!(told(&world), 1);
    let world = world.deal(standard());
    assert_eq!(world.status(task(0)), Initialized);
}

#[test]
fn a_deal_that_can_never_be_read_stops_nobody_else() {
    // a poisoned deal stopped the scan for everybody.
    let mut world = World::new();
    let head = world.chain.head().unwrap();
    world.input(Input::Advanced {
        to: head,
        head: head.number,
        facts: vec![Located {
            block: head.number,
            time: head.time,
            tx: Default::default(),
            log_index: 0,
            fact: Fact::DealInvalid {
                deal: deal_id(99),
                reason: "its category does not exist".to_owned(),
            },
        }],
    });
    let world = world.deal(standard());
    assert_eq!(world.status(task(0)), Initialized);
}

#[test]
fn a_task_that_a_stranger_initialised_goes_on() {
    // the original failed it.
    let mut world = World::new();
    world.outbox_stuck = true;
    world.matched(standard());
    let times = world.times(deal_id(1));
    world.send(Tx::Initialize(task(0), times));
    world.mine();
    assert_eq!(world.status(task(0)), Initialized);
    world.outbox_stuck = false;
    world.pass(minutes(1));
    assert_eq!(world.status(task(0)), Initialized);
}

#[test]
fn an_initialisation_that_does_not_go_through_is_tried_again_until_contributions_close() {
    let mut world = World::new();
    world.outbox_stuck = true;
    world.matched(standard());
    for attempt in 1..4 {
        let command = world.undone.pop_front().unwrap();
        assert_eq!(command.key.attempt, attempt, "each try has its own key");
        world.input(Input::Done {
            key: command.key,
            outcome: engine::Outcome::Refused {
                reason: "insufficient funds".to_owned(),
            },
        });
        assert_eq!(world.status(task(0)), Initializing);
        world.pass(seconds(30));
    }
    world.pass(minutes(35));
    assert_eq!(
        world.path(task(0)),
        [Received, Initializing, InitializeFailed, Failed]
    );
    let failure = world.stored.tasks[&task(0)].failure.clone().unwrap();
    assert!(failure.contains("insufficient funds"), "{failure}");
}

#[test]
fn while_the_cursor_catches_up_nothing_is_initialised_and_no_deadline_is_judged() {
    let mut world = World::new();
    world.cursor_stuck = true;
    world.matched(standard());
    let block = world.chain.blocks.last().unwrap().clone();
    world.pass(minutes(40));
    let far = world.chain.head().unwrap().number;
    world.input(Input::Advanced {
        to: block.block,
        head: far,
        facts: block.facts,
    });
    world.pass(minutes(1));
    assert_eq!(world.status(task(0)), Received);
    assert_eq!(world.commanded(Purpose::Initialize), 0);
    world.cursor_stuck = false;
    world.see_blocks();
    assert_eq!(world.status(task(0)), TaskStatus::Failed);
}
