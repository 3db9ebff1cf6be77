//! What workers report and how it is answered.

use engine::{Input, Logs, Purpose, Refusal, Reply, ReportDetails};
use poco::units::BlockNumber;
use wire::status::ReplicateStatus::{
    self, Aborted, Computed, Computing, ContributeFailed, Contributed, Contributing, Created,
    Recovering, ResultUploadRequested, RevealFailed, Revealed, Revealing, Started, Starting,
    WorkerLost,
};
use wire::status::TaskNotificationType::{
    PleaseAbort, PleaseContinue, PleaseDownloadApp, PleaseReveal, PleaseWait,
};
use wire::status::{ReplicateStatusCause, StatusModifier, TaskStatus};

use crate::world::{
    DealWords, TO_COMPUTED, Tx, World, at_block, hash, minutes, seconds, standard, task, wallet,
};

fn ann_has_it() -> World {
    let mut world = World::new().workers(["ann"]).deal(standard());
    world.ask("ann").is_given(task(0));
    world
}

#[test]
fn each_status_is_answered_with_the_next_action() {
    let mut world = ann_has_it();
    for (status, action) in TO_COMPUTED {
        world.report("ann", task(0), status).is_accepted(action);
    }
}

#[test]
fn a_task_costs_two_transactions_and_one_question_however_much_its_worker_reports() {
    // every report had the task looked up on the chain.
    let mut world = ann_has_it();
    for (status, action) in TO_COMPUTED {
        world.report("ann", task(0), status).is_accepted(action);
        world.report("ann", task(0), status).is_known(action);
    }
    world
        .contributes("ann", task(0), "result")
        .reveals("ann", task(0))
        .uploads("ann", task(0))
        .pass(seconds(10));
    assert_eq!(world.status(task(0)), TaskStatus::Completed);
    let commands = world.commands.iter().map(|command| command.key.purpose);
    assert_eq!(
        commands.collect::<Vec<_>>(),
        [
            Purpose::Initialize,
            Purpose::CheckUploaded,
            Purpose::Finalize
        ]
    );
}

#[test]
fn a_task_runs_once_a_worker_started() {
    let mut world = ann_has_it();
    world.goes_to("ann", task(0), Starting);
    assert_eq!(world.status(task(0)), TaskStatus::Initialized);
    world.goes_to("ann", task(0), ReplicateStatus::Created);
    world.report("ann", task(0), Started);
    assert_eq!(world.status(task(0)), TaskStatus::Running);
}

#[test]
fn a_repeat_of_where_a_worker_is_brings_its_next_action() {
    // Q-25, scheduler-api Q16: a lost answer made the worker idle.
    let mut world = ann_has_it();
    world.goes_to("ann", task(0), Started);
    world
        .report("ann", task(0), Started)
        .is_known(PleaseDownloadApp);
    world.report("ann", task(0), Starting).is_known(PleaseWait);
}

#[test]
fn a_stranger_s_report_is_refused() {
    let mut world = ann_has_it();
    world
        .report("eve", task(0), Starting)
        .is_refused(Refusal::UnknownReplicate);
    world
        .report("ann", task(9), Starting)
        .is_refused(Refusal::UnknownReplicate);
}

#[test]
fn a_step_that_the_table_does_not_have_is_refused() {
    let mut world = ann_has_it();
    world
        .report("ann", task(0), Computed)
        .is_refused(Refusal::IllegalStep {
            from: "CREATED",
            to: "COMPUTED",
        });
}

#[test]
fn a_refused_report_is_recorded_once_however_often_it_is_repeated() {
    let mut world = ann_has_it();
    let events = world.stored.events.len();
    for _ in 0..3 {
        world.report("ann", task(0), Computed).get().unwrap();
    }
    assert_eq!(world.stored.events.len(), events + 1);
    world.report("ann", task(0), Recovering).get().unwrap();
    assert_eq!(world.stored.events.len(), events + 2);
}

#[test]
fn workers_do_not_set_the_scheduler_s_statuses() {
    //
    let mut world = ann_has_it();
    for status in [Created, WorkerLost, Recovering, ResultUploadRequested] {
        world
            .report("ann", task(0), status)
            .is_refused(Refusal::NotTheWorkersToSay);
    }
}

#[test]
fn a_failed_transaction_is_refused_and_its_cause_recorded() {
    // scheduler-api Q17; R-07: the worker's own ABORTED follows and is accepted.
    let mut world = ann_has_it();
    world.goes_to("ann", task(0), Computed);
    world.report("ann", task(0), Contributing);
    let details = ReportDetails {
        cause: Some(ReplicateStatusCause::StakeTooLow),
        ..ReportDetails::default()
    };
    world
        .report_with("ann", task(0), ContributeFailed, details)
        .is_refused(Refusal::TransactionFailed);
    let last = &world.stored.events.last().unwrap().text;
    assert!(last.contains("STAKE_TOO_LOW"), "{last}");
    world
        .report("ann", task(0), Aborted)
        .is_accepted(PleaseWait);
}

#[test]
fn a_winner_whose_node_never_had_the_block_of_consensus_aborts_and_holds_up_nobody() {
    // worker Q22: it waits for the block until reveals close, and says so.
    let mut world = World::new()
        .workers(["ann", "bob"])
        .deal(standard().trust(3));
    for name in ["ann", "bob"] {
        world.computes(name, task(0));
    }
    for name in ["ann", "bob"] {
        world.contributes(name, task(0), "good");
    }
    world.reveals("bob", task(0)).uploads("bob", task(0));
    let details = || ReportDetails {
        cause: Some(ReplicateStatusCause::BlockNotReached),
        ..ReportDetails::default()
    };
    world
        .report("ann", task(0), Revealing)
        .is_accepted(PleaseContinue);
    world
        .report_with("ann", task(0), RevealFailed, details())
        .is_refused(Refusal::TransactionFailed);
    let last = &world.stored.events.last().unwrap().text;
    assert!(last.contains("BLOCK_NOT_REACHED"), "{last}");
    world
        .report_with("ann", task(0), Aborted, details())
        .is_accepted(PleaseWait);
    let told = world.told("ann", PleaseReveal).len();
    world.pass(minutes(11));
    assert_eq!(world.status(task(0)), TaskStatus::Completed);
    assert_eq!(world.told("ann", PleaseReveal).len(), told, "it gave up");
}

#[test]
fn a_contribution_that_the_chain_shows_is_accepted() {
    let mut world = ann_has_it();
    world
        .goes_to("ann", task(0), Computed)
        .contributes("ann", task(0), "result");
    assert_eq!(world.status(task(0)), TaskStatus::ConsensusReached);
    let record = &world.stored.tasks[&task(0)];
    let mut record = record.clone();
    record.refold();
    assert_eq!(record.consensus(), Some(hash("result")));
    assert_eq!(record.contribution_of(wallet("ann")), Some(hash("result")));
}

#[test]
fn a_claim_ahead_of_the_cursor_waits_for_its_block() {
    // scheduler-api Q18
    let mut world = ann_has_it();
    world.goes_to("ann", task(0), Computed);
    world.cursor_stuck = true;
    let block = world.sends_contribution("ann", task(0), "result");
    let waiting = world
        .report_with("ann", task(0), Contributed, at_block(block))
        .has_no_answer_yet();
    world.pass(seconds(20));
    assert_eq!(world.reply(waiting), None);
    world.cursor_stuck = false;
    world.see_blocks();
    assert_eq!(world.reply(waiting), Some(&Reply::Accepted(PleaseWait)));
}

#[test]
fn a_claim_that_the_chain_contradicts_is_refused_when_its_block_is_read() {
    let mut world = ann_has_it();
    world.goes_to("ann", task(0), Computed);
    world.report("ann", task(0), Contributing);
    let next = BlockNumber(world.chain.head().unwrap().number.0 + 1);
    let waiting = world
        .report_with("ann", task(0), Contributed, at_block(next))
        .has_no_answer_yet();
    world.mine();
    let read_to = next;
    assert_eq!(
        world.reply(waiting),
        Some(&Reply::Refused(Refusal::NotOnChain { read_to }))
    );
}

#[test]
fn a_claim_waits_fifty_seconds_and_is_then_neither_accepted_nor_refused() {
    // scheduler-api Q18: an RPC error is never an answer.
    let mut world = ann_has_it();
    world.goes_to("ann", task(0), Computed);
    world.cursor_stuck = true;
    let block = world.sends_contribution("ann", task(0), "result");
    let waiting = world
        .report_with("ann", task(0), Contributed, at_block(block))
        .has_no_answer_yet();
    world.pass(seconds(49));
    assert_eq!(world.reply(waiting), None);
    world.pass(seconds(1));
    assert!(matches!(world.reply(waiting), Some(Reply::Later { .. })));
    assert_eq!(world.replicate("ann", task(0)).last(), Some(&Contributing));
}

#[test]
fn an_absurd_block_is_refused_at_once() {
    // Q-15, scheduler-api Q18: it pinned a thread for ever.
    let mut world = ann_has_it();
    world.goes_to("ann", task(0), Computed);
    world.report("ann", task(0), Contributing);
    let head = world.chain.head().unwrap().number;
    let hour = 3600 / 5;
    let claimed = BlockNumber(head.0 + hour + 1);
    world
        .report_with("ann", task(0), Contributed, at_block(claimed))
        .is_refused(Refusal::AbsurdBlock { claimed, head });
    let near = BlockNumber(head.0 + hour);
    world
        .report_with("ann", task(0), Contributed, at_block(near))
        .has_no_answer_yet();
}

#[test]
fn without_a_receipt_a_few_blocks_are_waited_for() {
    let mut world = ann_has_it();
    world.goes_to("ann", task(0), Computed);
    world.report("ann", task(0), Contributing);
    let waiting = world
        .report("ann", task(0), Contributed)
        .has_no_answer_yet();
    world.pass(seconds(24));
    assert_eq!(world.reply(waiting), None);
    world.pass(seconds(12));
    assert!(matches!(
        world.reply(waiting),
        Some(Reply::Refused(Refusal::NotOnChain { .. }))
    ));
}

#[test]
fn a_reveal_is_checked_on_the_chain_too() {
    let mut world = ann_has_it();
    world
        .goes_to("ann", task(0), Computed)
        .contributes("ann", task(0), "result");
    world
        .report("ann", task(0), Revealing)
        .is_accepted(PleaseContinue);
    let head = world.chain.head().unwrap().number;
    world
        .report_with("ann", task(0), Revealed, at_block(head))
        .is_refused(Refusal::NotOnChain { read_to: head });
    world
        .report("ann", task(0), RevealFailed)
        .is_refused(Refusal::TransactionFailed);
}

#[test]
fn reports_are_held_while_the_chain_cannot_be_read() {
    // a 503 at once makes Java workers call again without a pause.
    let mut world = ann_has_it();
    world.input(Input::ChainHealth { up: false });
    let first = world.report("ann", task(0), Starting).has_no_answer_yet();
    world.pass(seconds(50));
    assert!(matches!(world.reply(first), Some(Reply::Later { .. })));
    let second = world.report("ann", task(0), Starting).has_no_answer_yet();
    world.input(Input::ChainHealth { up: true });
    assert_eq!(world.reply(second), Some(&Reply::Accepted(PleaseContinue)));
}

#[test]
fn what_the_chain_shows_is_filled_in_when_the_worker_says_nothing() {
    let mut world = ann_has_it();
    world.goes_to("ann", task(0), Started);
    world.send(Tx::Contribute(task(0), wallet("ann"), hash("result")));
    world.mine();
    assert_eq!(world.replicate("ann", task(0)).last(), Some(&Started));
    world.pass(seconds(5));
    let history = &world.stored.replicates[&(task(0), wallet("ann"))].history;
    let last = history.last().unwrap();
    assert_eq!(
        (last.status, last.by),
        (Contributed, StatusModifier::PoolManager)
    );
    let path = world.replicate("ann", task(0));
    assert!(
        path.ends_with(&[Computing, Computed, Contributing, Contributed]),
        "{path:?}"
    );
    assert_eq!(world.free_slots("ann"), 1);
    world
        .report("ann", task(0), Contributed)
        .is_known(PleaseWait);
}

#[test]
fn a_worker_that_reports_in_time_is_not_pre_empted() {
    let mut world = ann_has_it();
    world.goes_to("ann", task(0), Computed);
    let block = world.sends_contribution("ann", task(0), "result");
    world.pass(seconds(3));
    world
        .report_with("ann", task(0), Contributed, at_block(block))
        .is_accepted(PleaseWait);
}

#[test]
fn whoever_still_computes_for_a_decided_task_is_told_to_abort() {
    let mut world = World::new()
        .workers(["ann", "bob"])
        .deal(standard().trust(3));
    world.computes("ann", task(0));
    world
        .ask("bob")
        .is_given(task(0))
        .goes_to("bob", task(0), Starting);
    world.contributes("ann", task(0), "good");
    world.send(Tx::Contribute(task(0), wallet("eve"), hash("good")));
    world.mine();
    world
        .report("bob", task(0), Started)
        .is_accepted(PleaseAbort);
}

#[test]
fn late_reports_of_an_ended_task_are_still_taken() {
    let mut world = ann_has_it();
    world.goes_to("ann", task(0), Starting).pass(minutes(36));
    assert_eq!(world.status(task(0)), TaskStatus::Failed);
    world
        .report("ann", task(0), Started)
        .is_accepted(PleaseAbort);
    world
        .report("ann", task(0), Aborted)
        .is_accepted(PleaseWait);
}

#[test]
fn what_the_app_wrote_is_kept_to_its_last_part() {
    // only with the statuses that say so, and never more than 100 000 units.
    let mut world = ann_has_it();
    world.goes_to("ann", task(0), Starting);
    let logs = |text: String| ReportDetails {
        logs: Some(Logs {
            stdout: Some(text),
            stderr: None,
        }),
        ..ReportDetails::default()
    };
    world.report_with("ann", task(0), Started, logs("early".to_owned()));
    assert!(world.stored.logs.is_empty());
    for (status, _) in &TO_COMPUTED[2..7] {
        world.report("ann", task(0), *status);
    }
    let long = format!("first{}", "x".repeat(99_999)) + "\u{1F600}";
    world.report_with("ann", task(0), Computed, logs(long));
    let kept = &world.stored.logs[&(task(0), wallet("ann"))];
    let text = kept.stdout.as_ref().unwrap();
    assert_eq!(text.encode_utf16().count(), 100_000);
    assert!(text.starts_with('x') && text.ends_with('\u{1F600}'));
    assert!(world.stored.replicates[&(task(0), wallet("ann"))].has_logs);
}
