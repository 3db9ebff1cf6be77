//! Contribute-and-finalize: a standard task of trust 1 that its worker finishes with one transaction, by agreement of both sides.

use engine::{DealDetails, Purpose, Refusal, ReportDetails, Settings};
use poco::status::ChainTaskStatus;
use wire::status::ReplicateStatus::{
    Aborted, Computed, Computing, ContributeAndFinalizeDone, ContributeAndFinalizeFailed,
    ContributeAndFinalizeOngoing, Contributing, WorkerLost,
};
use wire::status::TaskNotificationType::{
    PleaseAbort, PleaseComplete, PleaseContinue, PleaseContribute, PleaseReveal, PleaseUpload,
    PleaseWait,
};
use wire::status::TaskStatus::{
    Completed, Finalized, Initialized, Initializing, Received, Running,
};
use wire::status::{ReplicateStatusCause, TaskAbortCause};

use crate::world::{
    DealWords, LINK, World, alone, minutes, seconds, standard, task, wallet, with_link,
};

fn ann_computed() -> World {
    let mut world = World::new()
        .workers_with_caf(["ann", "bob"])
        .deal(standard());
    world.computes("ann", task(0));
    world
}

/// Ann is at it, and the scheduler knows.
fn ann_is_at_it() -> World {
    let mut world = ann_computed();
    world
        .report("ann", task(0), ContributeAndFinalizeOngoing)
        .is_accepted(PleaseContinue);
    world
}

fn done_in(block: poco::units::BlockNumber) -> ReportDetails {
    ReportDetails {
        block: Some(block),
        ..with_link()
    }
}

#[test]
fn a_task_is_finished_with_one_transaction() {
    let mut world = World::new().workers_with_caf(["ann"]).deal(standard());
    world.does_it_alone("ann", task(0));
    assert_eq!(
        world.path(task(0)),
        [
            Received,
            Initializing,
            Initialized,
            Running,
            Finalized,
            Completed
        ]
    );
    let record = &world.stored.tasks[&task(0)];
    assert_eq!(record.result_link.as_deref(), Some(LINK));
    assert_eq!(world.commanded(Purpose::Finalize), 0);
    assert_eq!(world.told("ann", PleaseComplete).len(), 1);
    assert!(world.told("ann", PleaseReveal).is_empty());
    assert!(world.told("ann", PleaseUpload).is_empty());
}

#[test]
fn it_is_offered_only_where_both_sides_agreed_and_the_contract_allows_it() {
    let granted = || World::new().workers_with_caf(["ann"]);
    let off = Settings {
        caf: false,
        ..Settings::default()
    };
    let rows: [(&str, World, DealDetails); 4] = [
        (
            "not known to the worker",
            World::new().workers(["ann"]),
            standard(),
        ),
        (
            "not granted",
            World::with(off).workers_with_caf(["ann"]),
            standard(),
        ),
        ("trust 3", granted(), standard().trust(3)),
        ("a callback", granted(), standard().with_callback()),
    ];
    for (why, world, deal) in rows {
        println!("{why}");
        let mut world = world.deal(deal);
        world.computes("ann", task(0));
        world
            .report("ann", task(0), ContributeAndFinalizeOngoing)
            .is_refused(Refusal::NotOffered);
        // The classic way is open, and nothing of the work is lost.
        world.contributes("ann", task(0), "result");
    }
}

#[test]
fn it_is_not_offered_for_a_task_that_somebody_contributed_to() {
    // A rejected contributor keeps the contract from taking one transaction for all.
    let mut world = ann_computed();
    world.silence("ann").pass(minutes(2));
    world.computes("bob", task(0));
    world.sends_contribution("bob", task(0), "result");
    world
        .report("ann", task(0), ContributeAndFinalizeOngoing)
        .is_refused(Refusal::NotOffered);
}

#[test]
fn a_worker_may_go_back_to_contributing() {
    let mut world = ann_is_at_it();
    world
        .contributes("ann", task(0), "result")
        .reveals("ann", task(0))
        .uploads("ann", task(0))
        .pass(seconds(10));
    assert_eq!(world.status(task(0)), Completed);
    let history = world.replicate("ann", task(0));
    assert!(history.contains(&ContributeAndFinalizeOngoing) && history.contains(&Contributing));
}

#[test]
fn its_end_is_believed_once_the_cursor_has_passed_its_block() {
    let mut world = ann_computed();
    world.cursor_stuck = true;
    let block = world.finalizes_alone("ann", task(0), "result");
    let ticket = world
        .report_with("ann", task(0), ContributeAndFinalizeDone, done_in(block))
        .has_no_answer_yet();
    world.cursor_stuck = false;
    world.see_blocks();
    assert_eq!(world.reply(ticket), None, "the result proxy is asked first");
    world.carry_out();
    let accepted = engine::Reply::Accepted(PleaseWait);
    assert_eq!(world.reply(ticket), Some(&accepted));
    assert_eq!(world.status(task(0)), Completed);
}

#[test]
fn an_end_that_the_chain_does_not_show_is_refused() {
    let mut world = ann_is_at_it();
    let read_to = world.mine();
    world
        .report_with("ann", task(0), ContributeAndFinalizeDone, done_in(read_to))
        .is_refused(Refusal::NotOnChain { read_to });
    // Nor is somebody else's end this worker's.
    world.send(alone(task(0), "bob", "result"));
    let read_to = world.mine();
    world
        .report_with("ann", task(0), ContributeAndFinalizeDone, done_in(read_to))
        .is_refused(Refusal::NotOnChain { read_to });
    assert_eq!(world.status(task(0)), Completed);
}

#[test]
fn an_end_whose_result_is_not_at_the_proxy_is_refused() {
    let mut world = ann_computed();
    let block = world.finalizes_alone("ann", task(0), "result");
    world.uploaded.clear();
    let ticket = world
        .report_with("ann", task(0), ContributeAndFinalizeDone, done_in(block))
        .has_no_answer_yet();
    world.carry_out();
    let refused = engine::Reply::Refused(Refusal::NotUploaded);
    assert_eq!(world.reply(ticket), Some(&refused));
}

#[test]
fn a_task_that_is_being_finished_alone_is_not_offered_to_others() {
    let mut world = ann_is_at_it();
    world.ask("bob").is_nothing();
    assert_eq!(world.free_slots("ann"), 1);
}

#[test]
fn a_worker_lost_in_the_middle_is_replaced_and_what_it_sent_still_counts() {
    let mut world = ann_is_at_it();
    world.uploaded.insert(task(0));
    world.silence("ann").pass(minutes(2));
    assert!(world.replicate("ann", task(0)).contains(&WorkerLost));
    world.ask("bob").is_given(task(0));
    world.goes_to("bob", task(0), Computing);
    // Ann's transaction was on its way, and is mined now.
    world.send(alone(task(0), "ann", "result"));
    world.pass(seconds(10));
    assert_eq!(world.status(task(0)), Completed);
    let stop = world.notices.iter().find(|(_, notice)| {
        let to_bob = engine::Recipients::Workers(vec![wallet("bob")]);
        notice.kind == PleaseAbort && notice.to == to_bob
    });
    let (_, stop) = stop.expect("bob is told that it is decided");
    assert_eq!(stop.abort_cause, Some(TaskAbortCause::ConsensusReached));
    // Filled in as it went, without the statuses of the classic way.
    assert!(
        world
            .replicate("ann", task(0))
            .ends_with(&[WorkerLost, ContributeAndFinalizeDone])
    );
    world
        .report("bob", task(0), Aborted)
        .is_accepted(PleaseWait);
    assert_eq!(world.free_slots("bob"), 1);
}

#[test]
fn a_silent_worker_s_history_is_filled_in_the_way_it_went() {
    // the original fills in the classic way, and the task is stuck.
    let mut world = ann_computed();
    world.uploaded.insert(task(0));
    world.send(alone(task(0), "ann", "result"));
    world.pass(seconds(30));
    assert!(world.replicate("ann", task(0)).ends_with(&[
        Computed,
        ContributeAndFinalizeOngoing,
        ContributeAndFinalizeDone
    ]));
    assert_eq!(world.status(task(0)), Completed);
}

#[test]
fn a_worker_that_failed_is_told_to_stop_and_the_task_is_offered_again() {
    let mut world = ann_is_at_it();
    let details = ReportDetails {
        cause: Some(ReplicateStatusCause::TaskNotActive),
        ..ReportDetails::default()
    };
    world
        .report_with("ann", task(0), ContributeAndFinalizeFailed, details)
        .is_accepted(PleaseAbort);
    world
        .report("ann", task(0), Aborted)
        .is_accepted(PleaseWait);
    world.does_it_alone("bob", task(0));
    assert_eq!(world.status(task(0)), Completed);
}

#[test]
fn whoever_contributes_first_ends_it_for_the_other() {
    let mut world = ann_is_at_it();
    world.silence("ann").pass(minutes(2));
    world.computes("bob", task(0)).back("ann");
    world.contributes("bob", task(0), "result");
    assert_eq!(world.told("ann", PleaseAbort).len(), 1);
}

#[test]
fn a_worker_that_started_anew_goes_on_where_it_was() {
    let mut world = ann_is_at_it();
    let head = world.chain.head().unwrap().number;
    let missed = world.interrupted("ann", head).missed_one();
    assert_eq!(missed.kind, PleaseContribute);
    // It says again what it is at, and is answered as before.
    world
        .report("ann", task(0), ContributeAndFinalizeOngoing)
        .is_known(PleaseContinue);
    world.uploaded.insert(task(0));
    world.send(alone(task(0), "ann", "result"));
    let block = world.mine();
    let missed = world.interrupted("ann", block).missed_one();
    assert_eq!(missed.kind, PleaseComplete);
}

#[test]
fn a_restarted_scheduler_knows_what_was_granted() {
    let mut world = ann_computed();
    world.restart();
    world
        .report("ann", task(0), ContributeAndFinalizeOngoing)
        .is_accepted(PleaseContinue);
}

#[test]
fn a_block_that_is_dropped_and_comes_back_changes_nothing() {
    let mut world = ann_computed();
    world.finalizes_alone("ann", task(0), "result");
    assert_eq!(world.status(task(0)), Completed);
    world.reorganise(1, |_| true);
    let block = world.mine();
    let ticket = world
        .report_with("ann", task(0), ContributeAndFinalizeDone, done_in(block))
        .ticket;
    world.carry_out();
    let accepted = engine::Reply::Accepted(PleaseWait);
    assert_eq!(world.reply(ticket), Some(&accepted));
    assert_eq!(world.chain.status(task(0)), ChainTaskStatus::Completed);
}

#[test]
fn a_transaction_that_the_chain_drops_for_good_is_claimed_in_the_end() {
    let mut world = ann_computed();
    world.finalizes_alone("ann", task(0), "result");
    world.reorganise(1, |_| false);
    world.silence("ann").pass(minutes(52));
    assert_eq!(world.chain.status(task(0)), ChainTaskStatus::Failed);
}
