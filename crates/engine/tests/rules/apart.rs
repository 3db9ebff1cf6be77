//! Trouble with one task is that task's alone. The original's detectors stopped at the first task that was in trouble, and at the
//! first that was not.

use engine::Reply;
use wire::status::ReplicateStatus::{ResultUploadRequested, ResultUploaded, ResultUploading};
use wire::status::TaskNotificationType::{PleaseContinue, PleaseWait};
use wire::status::TaskStatus::{self, Completed, Failed, Initialized, Initializing};

use crate::world::{DealWords, World, minutes, seconds, standard, task, with_link};

/// Both tasks of a deal, each in its turn the first one: whichever is looked at first, the other is not to feel it.
const BOTH_WAYS: [(u64, u64); 2] = [(0, 1), (1, 0)];

/// Workers with a slot for each of the two tasks.
fn two_slots<const N: usize>(names: [&str; N]) -> World {
    let mut world = World::new();
    for name in names {
        world.register(name, 2, false);
    }
    world
}

#[test]
fn a_task_whose_transactions_come_to_nothing_keeps_no_other_from_its_end() {
    //
    for (dead, well) in BOTH_WAYS {
        let mut world = two_slots(["ann"]);
        world.unreachable.insert(task(dead));
        world.matched(standard().tasks(2));
        world.pass(seconds(15));
        assert_eq!(world.status(task(dead)), Initializing);
        world.does_it_all("ann", task(well));
        assert_eq!(world.status(task(well)), Completed);
        world.unreachable.clear();
        world.pass(minutes(2));
        world.does_it_all("ann", task(dead));
        assert_eq!(world.status(task(dead)), Completed);
    }
}

#[test]
fn a_task_that_cannot_be_read_keeps_no_other_from_being_judged() {
    // no block comes, so the chain is asked about each of them whether its contributions closed.
    for (dead, well) in BOTH_WAYS {
        let mut world = World::new().workers(["ann"]).deal(standard().tasks(2));
        world.cursor_stuck = true;
        world.unreachable.insert(task(dead));
        world.pass(minutes(35)).pass(seconds(2));
        assert_eq!(world.status(task(well)), Failed);
        assert_eq!(world.status(task(dead)), Initialized, "nobody knows");
        world.unreachable.clear();
        world.pass(seconds(20));
        assert_eq!(world.status(task(dead)), Failed);
    }
}

#[test]
fn a_result_that_cannot_be_looked_for_keeps_no_other_from_being_found() {
    //
    for (dead, well) in BOTH_WAYS {
        let mut world = two_slots(["ann"]).deal(standard().tasks(2));
        for id in [task(0), task(1)] {
            world.computes("ann", id);
            world.contributes("ann", id, "result").reveals("ann", id);
            world.report("ann", id, ResultUploading);
            world.uploaded.insert(id);
            world.pass(seconds(5));
        }
        world.unreachable.insert(task(dead));
        let claims = |world: &mut World, index| {
            let answer = world.report_with("ann", task(index), ResultUploaded, with_link());
            answer.has_no_answer_yet()
        };
        let unanswered = claims(&mut world, dead);
        let answered = claims(&mut world, well);
        world.pass(seconds(20));
        assert_eq!(world.reply(unanswered), None);
        assert_eq!(world.reply(answered), Some(&Reply::Accepted(PleaseWait)));
        assert_eq!(world.status(task(well)), Completed);
        world.unreachable.clear();
        world.pass(seconds(20));
        assert_eq!(world.reply(unanswered), Some(&Reply::Accepted(PleaseWait)));
        assert_eq!(world.status(task(dead)), Completed);
    }
}

#[test]
fn an_uploader_that_still_has_time_keeps_no_other_from_being_replaced() {
    // the scan stopped at the first task whose upload was not late.
    let bob_is_asked = |world: &World, index| {
        world
            .replicate("bob", task(index))
            .contains(&ResultUploadRequested)
    };
    for (old, young) in BOTH_WAYS {
        let mut world = two_slots(["ann", "bob"]).deal(standard().trust(3).tasks(2));
        for index in 0..2 {
            world
                .computes("ann", task(index))
                .computes("bob", task(index));
            world.pass(seconds(5));
        }
        for id in [task(old), task(young)] {
            world
                .contributes("ann", id, "good")
                .contributes("bob", id, "good");
            world.reveals("ann", id).reveals("bob", id);
            world
                .report("ann", id, ResultUploading)
                .is_accepted(PleaseContinue);
            world.pass(minutes(1));
        }
        // Ann has had two minutes for one of them, and one for the other.
        assert!(bob_is_asked(&world, old));
        assert!(!bob_is_asked(&world, young));
        world.uploads("bob", task(old)).pass(seconds(10));
        assert_eq!(world.status(task(old)), Completed);
        assert_eq!(world.status(task(young)), TaskStatus::ResultUploading);
        world.pass(minutes(1));
        assert!(bob_is_asked(&world, young));
        world.uploads("bob", task(young)).pass(seconds(10));
        assert_eq!(world.status(task(young)), Completed);
    }
}
