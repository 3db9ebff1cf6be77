//! Signs of life, and what happens when they stop or come back.

use engine::{Input, Refusal, Reply, WorkerProfile};
use wire::status::ReplicateStatus::{
    self, Aborted, AppDownloading, Computed, Computing, Contributed, Recovering, Started, Starting,
    WorkerLost,
};
use wire::status::TaskNotificationType::{
    PleaseAbort, PleaseContinue, PleaseContribute, PleaseReveal, PleaseUpload, PleaseWait,
};
use wire::status::{TaskAbortCause, TaskStatus};

use crate::world::{DealWords, World, minutes, seconds, standard, task, wallet};

#[test]
fn a_lost_worker_frees_its_slot_and_its_task_is_offered_again() {
    let mut world = World::new().workers(["ann", "bob"]).deal(standard());
    world.ask("ann").is_given(task(0));
    world.silence("ann").pass(minutes(2));
    world.ask("bob").is_given(task(0));
    assert_eq!(world.free_slots("ann"), 1);
    assert_eq!(
        world.replicate("ann", task(0)),
        [ReplicateStatus::Created, WorkerLost]
    );
}

#[test]
fn the_second_of_two_workers_with_one_wallet_is_not_registered_while_the_first_lives() {
    let called = |name: &str| WorkerProfile {
        name: Some(name.to_owned()),
        cpu_nb: 1,
        ..WorkerProfile::default()
    };
    let mut world = World::new();
    world.register_as("ann", called("first"));
    let second = |world: &mut World, name: &str| {
        let ticket = world.ticket();
        let (worker, profile) = (wallet("ann"), called(name));
        world.input(Input::Registered {
            ticket,
            worker,
            profile,
        });
        world.reply(ticket).cloned().unwrap()
    };
    let refused = second(&mut world, "second");
    assert!(
        matches!(&refused, Reply::WalletInUse { by, .. } if by == "first"),
        "{refused:?}"
    );
    // The same one, started anew.
    assert!(matches!(second(&mut world, "first"), Reply::Registered(_)));
    world.silence("ann").pass(minutes(2));
    assert!(matches!(second(&mut world, "second"), Reply::Registered(_)));
}

#[test]
fn a_worker_is_lost_after_sixty_seconds_and_not_before() {
    let mut world = World::new().workers(["ann"]).deal(standard());
    world.ask("ann").is_given(task(0));
    world.silence("ann").pass(seconds(59));
    assert!(!world.replicate("ann", task(0)).contains(&WorkerLost));
    world.pass(seconds(2));
    assert!(world.replicate("ann", task(0)).contains(&WorkerLost));
}

#[test]
fn a_pause_of_ours_loses_no_worker_that_pinged_meanwhile() {
    // What was queued first after a pause judged everybody before their own pings were heard.
    let mut world = World::new()
        .workers(["ann", "bob"])
        .deal(standard().trust(3));
    for name in ["ann", "bob"] {
        world.ask(name).is_given(task(0));
    }
    world.now = world.now.saturating_add(seconds(60));
    for name in ["ann", "bob"] {
        let worker = wallet(name);
        world.input(Input::Pinged { worker });
    }
    world.pass(seconds(1));
    for name in ["ann", "bob"] {
        assert!(!world.replicate(name, task(0)).contains(&WorkerLost));
    }
}

#[test]
fn the_time_in_which_nobody_listened_is_not_held_against_a_worker() {
    let mut world = World::new().workers(["ann"]).deal(standard());
    world.ask("ann").is_given(task(0));
    world.silence("ann").pass(seconds(20));
    // The machine stood still: nothing was heard, and nothing is queued.
    world.now = world.now.saturating_add(minutes(5));
    world.pass(seconds(59));
    assert!(!world.replicate("ann", task(0)).contains(&WorkerLost));
    world.pass(seconds(2));
    assert!(world.replicate("ann", task(0)).contains(&WorkerLost));
}

#[test]
fn asking_is_a_sign_of_life() {
    // in the original an ask before the first ping broke the search for lost workers.
    let mut world = World::new().workers(["ann"]).deal(standard());
    world.ask("ann").is_given(task(0));
    world.silence("ann");
    for _ in 0..12 {
        world.pass(seconds(10));
        let _ = world.ask("ann").get();
    }
    assert!(!world.replicate("ann", task(0)).contains(&WorkerLost));
}

#[test]
fn a_worker_silent_since_a_restart_is_lost_too() {
    // the original forgot whom it had seen.
    let mut world = World::new().workers(["ann", "bob"]).deal(standard());
    world.ask("ann").is_given(task(0));
    world.silence("ann").restart();
    world.pass(minutes(2));
    assert!(world.replicate("ann", task(0)).contains(&WorkerLost));
    world.ask("bob").is_given(task(0));
}

#[test]
fn a_worker_can_be_lost_more_than_once() {
    //
    let mut world = World::new().workers(["ann"]).deal(standard());
    world
        .ask("ann")
        .is_given(task(0))
        .goes_to("ann", task(0), Starting);
    world.silence("ann").pass(minutes(2));
    world.back("ann");
    world.report("ann", task(0), Started);
    world.silence("ann").pass(minutes(2));
    let lost = world.replicate("ann", task(0));
    assert_eq!(
        lost.iter().filter(|status| **status == WorkerLost).count(),
        2
    );
}

#[test]
fn a_lost_worker_that_comes_back_goes_on_with_its_slot() {
    let mut world = World::new().workers(["ann"]).deal(standard());
    world
        .ask("ann")
        .is_given(task(0))
        .goes_to("ann", task(0), Computing);
    world.silence("ann").pass(minutes(2));
    assert_eq!(world.free_slots("ann"), 1);
    world.back("ann");
    // repeating where it is brings the next action, not a wait.
    world
        .report("ann", task(0), Computing)
        .is_known(PleaseContinue);
    assert_eq!(world.free_slots("ann"), 0);
    world
        .report("ann", task(0), Computed)
        .is_accepted(PleaseContribute);
    assert_eq!(world.free_slots("ann"), 1);
}

#[test]
fn a_lost_worker_whose_slot_is_taken_is_told_to_abort() {
    // I3: slots are never oversubscribed.
    let mut world = World::new().workers(["ann"]).deal(standard().tasks(2));
    let first = world.ask("ann").given();
    world.goes_to("ann", first, Started);
    world.silence("ann").pass(minutes(2));
    world.back("ann");
    let second = world.ask("ann").given();
    assert_ne!(first, second);
    world
        .report("ann", first, AppDownloading)
        .is_refused(Refusal::SlotGone);
}

#[test]
fn an_aborted_or_ended_replicate_is_not_lost() {
    //
    let mut world = World::new().workers(["ann"]).deal(standard());
    world.ask("ann").is_given(task(0));
    world.report("ann", task(0), Aborted);
    world.silence("ann").pass(minutes(2));
    assert_eq!(
        world.replicate("ann", task(0)),
        [ReplicateStatus::Created, Aborted]
    );
}

#[test]
fn a_worker_asks_which_of_its_tasks_hold_a_slot() {
    let mut world = World::new().workers(["ann"]).deal(standard());
    let computing = |world: &mut World| {
        let ticket = world.ticket();
        let worker = wallet("ann");
        world.input(Input::Computing { ticket, worker });
        world.reply(ticket).cloned().unwrap()
    };
    world.ask("ann").is_given(task(0));
    assert_eq!(computing(&mut world), Reply::Computing(vec![task(0)]));
    world.goes_to("ann", task(0), Computed);
    assert_eq!(computing(&mut world), Reply::Computing(Vec::new()));
}

#[test]
fn registering_again_keeps_work_and_date() {
    // scheduler-api Q28
    let mut world = World::new().workers(["ann"]).deal(standard());
    world.ask("ann").is_given(task(0));
    let before = world.stored.workers[&wallet("ann")].registered_at;
    world.pass(seconds(10));
    world.register("ann", 2, false);
    let record = &world.stored.workers[&wallet("ann")];
    assert_eq!(record.registered_at, before);
    assert_eq!(record.last_alive, world.now);
    assert_eq!(world.free_slots("ann"), 1);
}

// ---- a worker that started anew ----

#[test]
fn an_interrupted_computation_frees_the_slot_and_may_still_contribute() {
    // the original kept the slot of a worker that had lost its computation.
    let mut world = World::new().workers(["ann"]).deal(standard());
    world
        .ask("ann")
        .is_given(task(0))
        .goes_to("ann", task(0), Computing);
    let head = world.chain.head().unwrap().number;
    let missed = world.interrupted("ann", head).missed_one();
    assert_eq!(missed.kind, PleaseContribute);
    assert_eq!(missed.assignment.worker, wallet("ann"));
    assert_eq!(world.replicate("ann", task(0)).last(), Some(&Recovering));
    assert_eq!(world.free_slots("ann"), 1);
    // It asks again, as its answer was lost: its history does not grow.
    let steps = world.replicate("ann", task(0)).len();
    let again = world.interrupted("ann", head).missed_one();
    assert_eq!(again.kind, PleaseContribute);
    assert_eq!(world.replicate("ann", task(0)).len(), steps);
}

#[test]
fn a_worker_that_registers_again_as_it_was_is_no_news() {
    let mut world = World::new().workers(["ann"]);
    let events = world.stored.events.len();
    world.register("ann", 7, false);
    assert_eq!(world.stored.events.len(), events + 1);
    world.register("ann", 7, false);
    assert_eq!(world.stored.events.len(), events + 1);
}

#[test]
fn a_recovering_worker_that_says_nothing_is_replaced_after_a_while() {
    let mut world = World::new().workers(["ann", "bob"]).deal(standard());
    world
        .ask("ann")
        .is_given(task(0))
        .goes_to("ann", task(0), Computing);
    let head = world.chain.head().unwrap().number;
    world.interrupted("ann", head).missed_one();
    world.ask("bob").is_nothing();
    world.pass(minutes(2));
    world.ask("bob").is_given(task(0));
}

#[test]
fn an_interrupted_winner_is_told_to_reveal_with_the_consensus_block() {
    // the original said block 0 while the task was still RUNNING off chain.
    let mut world = World::new().workers(["ann"]).deal(standard());
    world.computes("ann", task(0));
    let block = world.sends_contribution("ann", task(0), "result");
    let missed = world.interrupted("ann", block).missed_one();
    assert_eq!(missed.kind, PleaseReveal);
    assert_eq!(missed.block, Some(block));
    assert!(world.replicate("ann", task(0)).contains(&Contributed));
}

#[test]
fn the_answer_waits_until_the_cursor_knows_what_the_worker_knows() {
    let mut world = World::new().workers(["ann"]).deal(standard());
    world.computes("ann", task(0));
    world.cursor_stuck = true;
    let block = world.sends_contribution("ann", task(0), "result");
    let waiting = world.interrupted("ann", block).has_no_answer_yet();
    world.cursor_stuck = false;
    world.see_blocks();
    match world.reply(waiting) {
        Some(Reply::Missed(missed)) => assert_eq!(missed[0].kind, PleaseReveal),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_interrupted_loser_is_told_to_abort() {
    let mut world = World::new()
        .workers(["ann", "bob"])
        .deal(standard().trust(3));
    world.computes("ann", task(0));
    world.computes("bob", task(0));
    world.contributes("ann", task(0), "good");
    // A stranger to us brings the consensus.
    let eve = wallet("eve");
    world.send(crate::world::Tx::Contribute(
        task(0),
        eve,
        crate::world::hash("good"),
    ));
    world.mine();
    assert_eq!(world.status(task(0)), TaskStatus::ConsensusReached);
    let missed = world.interrupted("bob", Default::default()).missed_one();
    assert_eq!(missed.kind, PleaseAbort);
    assert_eq!(missed.abort_cause, Some(TaskAbortCause::ConsensusReached));
}

#[test]
fn an_interrupted_uploader_is_told_to_upload() {
    //
    let mut world = World::new().workers(["ann"]).deal(standard());
    world
        .computes("ann", task(0))
        .contributes("ann", task(0), "result")
        .reveals("ann", task(0));
    let head = world.chain.head().unwrap().number;
    assert_eq!(
        world.interrupted("ann", head).missed_one().kind,
        PleaseUpload
    );
    world
        .report("ann", task(0), ReplicateStatus::ResultUploading)
        .is_accepted(PleaseContinue);
    assert_eq!(
        world.interrupted("ann", head).missed_one().kind,
        PleaseUpload
    );
    world.uploaded.insert(task(0));
    let ticket = world
        .report_with(
            "ann",
            task(0),
            ReplicateStatus::ResultUploaded,
            crate::world::with_link(),
        )
        .has_no_answer_yet();
    world.carry_out();
    assert_eq!(world.reply(ticket), Some(&Reply::Accepted(PleaseWait)));
}

#[test]
fn a_worker_interrupted_while_waiting_is_told_to_wait() {
    let mut world = World::new()
        .workers(["ann", "bob"])
        .deal(standard().trust(3));
    world
        .computes("ann", task(0))
        .contributes("ann", task(0), "result");
    let missed = world.interrupted("ann", Default::default()).missed_one();
    assert_eq!(missed.kind, PleaseWait);
}

#[test]
fn a_worker_that_left_nothing_missed_nothing() {
    let mut world = World::new().workers(["ann"]).deal(standard());
    assert_eq!(world.interrupted("ann", Default::default()).missed(), []);
}

#[test]
fn a_failed_task_is_told_as_aborted() {
    let mut world = World::new().workers(["ann"]).deal(standard());
    world.ask("ann").is_given(task(0));
    world.pass(minutes(36));
    let missed = world.interrupted("ann", Default::default()).missed_one();
    assert_eq!(missed.kind, PleaseAbort);
    assert_eq!(
        missed.abort_cause,
        Some(TaskAbortCause::ContributionTimeout)
    );
}
