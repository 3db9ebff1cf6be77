//! Deadlines, failures, claims, and leaving memory.

use engine::{Action, Input, Outcome, Purpose};
use poco::status::ChainTaskStatus;
use wire::status::ReplicateStatus::{Aborted, Started};
use wire::status::TaskAbortCause;
use wire::status::TaskNotificationType::{PleaseAbort, PleaseComplete, PleaseWait};
use wire::status::TaskStatus::{
    self, Completed, ConsensusReached, ContributionTimeout, Failed, FinalDeadlineReached, Running,
};

use crate::world::{DealWords, World, minutes, seconds, standard, task};

#[test]
fn a_task_without_consensus_fails_when_contributions_close() {
    let mut world = World::new().workers(["ann"]).deal(standard());
    world
        .ask("ann")
        .is_given(task(0))
        .goes_to("ann", task(0), Started);
    world.pass(minutes(35));
    assert!(
        world
            .path(task(0))
            .ends_with(&[Running, ContributionTimeout, Failed])
    );
    // everybody is told, and the slot is free.
    assert_eq!(world.told("ann", PleaseAbort).len(), 1);
    let (_, notice) = world.notices.last().unwrap();
    assert_eq!(
        notice.abort_cause,
        Some(TaskAbortCause::ContributionTimeout)
    );
    assert_eq!(world.free_slots("ann"), 1);
}

#[test]
fn a_consensus_wins_over_the_contribution_deadline() {
    // the original looked at the clock only.
    let mut world = World::new().workers(["ann"]).deal(standard());
    world.pass(minutes(29));
    world.computes("ann", task(0));
    world.pass(minutes(5)).pass(seconds(30));
    world.contributes("ann", task(0), "result");
    world.pass(minutes(2));
    assert_eq!(world.status(task(0)), ConsensusReached);
}

#[test]
fn a_cursor_that_is_behind_fails_nothing_that_the_chain_decided() {
    let mut world = World::new().workers(["ann"]).deal(standard());
    world.pass(minutes(29));
    world.computes("ann", task(0));
    world.cursor_stuck = true;
    world.sends_contribution("ann", task(0), "result");
    world.pass(minutes(8));
    assert_eq!(world.status(task(0)), Running);
    assert!(world.commanded(Purpose::ReadTask) > 0, "the chain is asked");
    world.cursor_stuck = false;
    world.see_blocks();
    assert_eq!(world.status(task(0)), ConsensusReached);
}

#[test]
fn where_no_block_comes_the_chain_is_asked_and_its_answer_ends_the_task() {
    let mut world = World::new().workers(["ann"]).deal(standard());
    world.cursor_stuck = true;
    // Contributions close 35 minutes after the match, which was 15 seconds ago; clocks may differ by 15 more.
    world.pass(minutes(34)).pass(seconds(59));
    assert_eq!(world.status(task(0)), TaskStatus::Initialized);
    world.pass(seconds(3));
    assert_eq!(world.status(task(0)), Failed);
}

#[test]
fn a_task_ends_by_its_final_deadline_and_a_minute_and_a_half_even_if_nobody_answers() {
    // I5
    let mut world = World::new().workers(["ann"]).deal(standard());
    world
        .computes("ann", task(0))
        .contributes("ann", task(0), "result");
    world.sends_reveal("ann", task(0));
    world.cursor_stuck = true;
    world.pass(minutes(50));
    world.undone.clear();
    let answered = world.status(task(0));
    assert!(answered == Failed || !answered.is_final());
    world.pass(seconds(90));
    assert!(
        world
            .path(task(0))
            .ends_with(&[FinalDeadlineReached, Failed])
    );
    assert!(world.stored.tasks[&task(0)].failure.is_some());
}

#[test]
fn a_failed_task_is_claimed_after_its_final_deadline() {
    let mut world = World::new().workers(["ann"]).deal(standard());
    world.pass(minutes(49));
    assert_eq!(world.status(task(0)), Failed);
    assert_eq!(world.commanded(Purpose::Claim), 0);
    world.pass(minutes(2));
    assert_eq!(world.commanded(Purpose::Claim), 1);
    assert_eq!(world.chain.status(task(0)), ChainTaskStatus::Failed);
}

#[test]
fn a_task_never_initialised_is_initialised_and_claimed_at_once() {
    let mut world = World::new();
    world.outbox_stuck = true;
    world.matched(standard());
    world.pass(minutes(48));
    world.outbox_stuck = false;
    world.undone.clear();
    world.pass(minutes(3));
    let claim = world
        .commands
        .iter()
        .find(|one| one.key.purpose == Purpose::Claim);
    assert!(matches!(
        claim.unwrap().action,
        Action::Claim {
            initialize_first: true,
            ..
        }
    ));
    assert_eq!(world.chain.status(task(0)), ChainTaskStatus::Failed);
}

#[test]
fn claiming_can_be_switched_off() {
    let settings = engine::Settings {
        claim: false,
        ..engine::Settings::default()
    };
    let mut world = World::with(settings).deal(standard());
    world.pass(minutes(60));
    assert_eq!(world.commanded(Purpose::Claim), 0);
}

#[test]
fn a_claim_that_cannot_go_through_is_given_up_in_the_end() {
    let mut world = World::new();
    world.outbox_stuck = true;
    world.matched(standard());
    for _ in 0..200 {
        world.pass(minutes(5));
        for command in std::mem::take(&mut world.undone) {
            world.input(Input::Done {
                key: command.key,
                outcome: Outcome::Refused {
                    reason: "no funds".to_owned(),
                },
            });
        }
    }
    assert_eq!(world.commanded(Purpose::Claim), 50);
    assert!(world.engine.task(task(0)).is_none(), "it left memory");
}

#[test]
fn what_the_chain_does_with_a_failed_task_is_still_written_down() {
    //
    let mut world = World::new().workers(["ann"]).deal(standard());
    world
        .computes("ann", task(0))
        .contributes("ann", task(0), "result")
        .reveals("ann", task(0));
    world
        .report("ann", task(0), Aborted)
        .is_accepted(PleaseWait);
    assert_eq!(world.status(task(0)), Failed);
    world.send(crate::world::Tx::Finalize(
        task(0),
        Default::default(),
        Default::default(),
    ));
    world.mine();
    assert_eq!(world.status(task(0)), Failed);
    assert!(
        world
            .stored
            .events
            .last()
            .unwrap()
            .text
            .contains("finalised")
    );
    world.pass(minutes(60));
    assert_eq!(world.commanded(Purpose::Claim), 0);
}

#[test]
fn an_ended_task_leaves_memory_after_a_while_and_is_not_loaded_again() {
    let mut world = World::new().workers(["ann"]).deal(standard());
    world.does_it_all("ann", task(0));
    assert!(world.engine.task(task(0)).is_some());
    world.pass(minutes(11));
    assert!(world.engine.task(task(0)).is_none());
    assert!(world.stored.tasks[&task(0)].retired);
    world.restart();
    assert!(world.engine.task(task(0)).is_none());
    assert_eq!(world.engine.tasks().count(), 0);
    assert_eq!(world.stored.pool.tasks_by_status.get(&Completed), Some(&1));
}

#[test]
fn whoever_took_part_is_told_that_the_task_is_completed() {
    let mut world = World::new()
        .workers(["ann", "bob"])
        .deal(standard().trust(3));
    world.computes("ann", task(0));
    world.computes("bob", task(0));
    world
        .contributes("ann", task(0), "good")
        .contributes("bob", task(0), "good");
    world
        .reveals("ann", task(0))
        .reveals("bob", task(0))
        .uploads("ann", task(0))
        .pass(seconds(10));
    for name in ["ann", "bob"] {
        assert_eq!(world.told(name, PleaseComplete).len(), 1, "{name}");
    }
}
