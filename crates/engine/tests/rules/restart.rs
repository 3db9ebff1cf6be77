//! The scheduler is killed and started again: nothing is lost, nothing is done twice.

use engine::{Input, Outcome, Purpose, Reply};
use poco::units::BlockNumber;
use wire::status::ReplicateStatus::{Computing, Contributed, Contributing};
use wire::status::TaskNotificationType::{PleaseContinue, PleaseReveal, PleaseUpload, PleaseWait};
use wire::status::TaskStatus::{
    self, Completed, ConsensusReached, Finalizing, Initialized, Initializing,
};

use crate::world::{DealWords, World, at_block, minutes, seconds, standard, task, wallet};

#[test]
fn an_unfinished_command_is_given_out_again_under_the_same_key() {
    // the original refused or forgot it.
    let mut world = World::new();
    world.outbox_stuck = true;
    world.matched(standard());
    let before = world.undone.front().unwrap().clone();
    world.restart();
    assert_eq!(world.undone.front(), Some(&before));
    world.outbox_stuck = false;
    world.pass(seconds(15));
    assert_eq!(world.status(task(0)), Initialized);
}

#[test]
fn an_outcome_that_comes_after_a_restart_is_understood() {
    let mut world = World::new();
    world.outbox_stuck = true;
    world.matched(standard());
    let key = world.undone.front().unwrap().key;
    world.restart();
    world.input(Input::Done {
        key,
        outcome: Outcome::Refused {
            reason: "busy".to_owned(),
        },
    });
    world.outbox_stuck = false;
    world.undone.clear();
    world.pass(seconds(30));
    assert_eq!(world.status(task(0)), Initialized);
}

#[test]
fn an_answer_to_an_earlier_try_says_nothing_new() {
    let mut world = World::new();
    world.outbox_stuck = true;
    world.matched(standard());
    let key = world.undone.pop_front().unwrap().key;
    let refused = || Outcome::Refused {
        reason: "busy".to_owned(),
    };
    world.input(Input::Done {
        key,
        outcome: refused(),
    });
    world.pass(seconds(5));
    assert_eq!(world.undone.front().unwrap().key.attempt, 2);
    world.input(Input::Done {
        key,
        outcome: refused(),
    });
    world.pass(minutes(1));
    assert_eq!(
        world.commanded(Purpose::Initialize),
        2,
        "the second try still runs"
    );
    assert_eq!(world.status(task(0)), Initializing);
}

#[test]
fn a_push_lost_in_a_crash_is_made_up_for() {
    // spec scheduler-logic §10.3: CONSENSUS_REACHED saved, and nobody told to reveal.
    let mut world = World::new().workers(["ann"]).deal(standard());
    world
        .computes("ann", task(0))
        .contributes("ann", task(0), "result");
    world.notices.clear();
    world.restart();
    world.pass(minutes(1)).pass(seconds(1));
    assert_eq!(world.told("ann", PleaseReveal).len(), 1);
}

#[test]
fn the_upload_goes_on_where_it_was() {
    let mut world = World::new().workers(["ann"]).deal(standard());
    world
        .computes("ann", task(0))
        .contributes("ann", task(0), "result")
        .reveals("ann", task(0));
    world.notices.clear();
    world.restart();
    world.pass(minutes(1)).pass(seconds(1));
    assert_eq!(world.told("ann", PleaseUpload).len(), 1);
    world.uploads("ann", task(0)).restart();
    world.pass(seconds(15));
    assert_eq!(world.status(task(0)), Completed);
}

#[test]
fn a_finalisation_goes_on_where_it_was() {
    //
    let mut world = World::new().workers(["ann"]).deal(standard());
    world
        .computes("ann", task(0))
        .contributes("ann", task(0), "result")
        .reveals("ann", task(0));
    world.outbox_stuck = true;
    world.uploads("ann", task(0));
    assert_eq!(world.status(task(0)), Finalizing);
    world.restart();
    world.outbox_stuck = false;
    world.pass(seconds(15));
    assert_eq!(world.status(task(0)), Completed);
    assert_eq!(world.stored.tasks[&task(0)].finalize.attempt, 1);
}

#[test]
fn slots_and_consensus_survive_a_restart() {
    // taking a slot and giving a replicate are one deed.
    let mut world = World::new().workers(["ann", "bob"]).deal(standard());
    world
        .ask("ann")
        .is_given(task(0))
        .goes_to("ann", task(0), Computing);
    world.restart();
    assert_eq!(world.free_slots("ann"), 0);
    world.ask("bob").is_nothing();
    world
        .report("ann", task(0), Computing)
        .is_known(PleaseContinue);
}

#[test]
fn a_worker_whose_parked_report_was_lost_reports_again() {
    let mut world = World::new().workers(["ann"]).deal(standard());
    world.computes("ann", task(0));
    world.cursor_stuck = true;
    let block = world.sends_contribution("ann", task(0), "result");
    let lost = world
        .report_with("ann", task(0), Contributed, at_block(block))
        .has_no_answer_yet();
    world.restart();
    world.cursor_stuck = false;
    world.see_blocks();
    assert_eq!(world.reply(lost), None);
    world
        .report_with("ann", task(0), Contributed, at_block(block))
        .is_accepted(PleaseWait);
    assert_eq!(world.status(task(0)), ConsensusReached);
}

#[test]
fn after_a_restart_nothing_is_given_until_the_chain_is_known() {
    //
    let world = World::new().workers(["ann"]).deal(standard());
    let records = world.stored.records();
    let (mut engine, _) = engine::Engine::load(engine::Settings::default(), records, world.now);
    let outputs = engine.handle(
        world.now,
        Input::Ask(engine::Ask {
            ticket: engine::Ticket(1),
            worker: wallet("ann"),
            block: BlockNumber(1),
            wait: false,
            gas: true,
            weight: None,
        }),
    );
    assert_eq!(outputs.replies, [(engine::Ticket(1), Reply::OutOfService)]);
}

#[test]
fn deadlines_that_passed_while_nobody_ran_are_met_at_the_next_block() {
    let mut world = World::new().workers(["ann"]).deal(standard().trust(3));
    world.computes("ann", task(0));
    world.report("ann", task(0), Contributing);
    let (now, records) = (
        world.now.saturating_add(minutes(40)),
        world.stored.records(),
    );
    world.now = now;
    drop(records);
    world.restart();
    assert_eq!(
        world.status(task(0)),
        TaskStatus::Running,
        "our clock alone decides nothing"
    );
    world.mine();
    assert_eq!(world.status(task(0)), TaskStatus::Failed);
}

#[test]
fn a_transaction_of_which_nothing_is_known_is_commanded_again_under_the_same_key() {
    // Under another key it could be sent twice.
    let mut world = World::new();
    world.outbox_stuck = true;
    world.matched(standard());
    let key = world.undone.pop_front().unwrap().key;
    let reason = "connection reset".to_owned();
    world.input(Input::Done {
        key,
        outcome: Outcome::Unreachable { reason },
    });
    assert!(world.undone.is_empty());
    world.pass(seconds(3));
    assert_eq!(world.undone.front().unwrap().key, key);
}
