//! Reveal, upload, finalisation.

use engine::{Input, Purpose, Refusal, Reply};
use wire::status::ReplicateStatus::{
    self, Aborted, Contributed, ResultUploadFailed, ResultUploadRequested, ResultUploaded,
    ResultUploading, Revealed,
};
use wire::status::TaskNotificationType::{
    PleaseAbort, PleaseComplete, PleaseContinue, PleaseReveal, PleaseUpload, PleaseWait,
};
use wire::status::TaskStatus::{
    self, AtLeastOneRevealed, Completed, ConsensusReached, Failed, Finalized, Finalizing,
    Initialized, Initializing, Received, ReopenFailed, Reopened, Reopening, ResultUploadTimeout,
    Running,
};

use crate::world::{
    DealWords, LINK, Tx, World, hash, minutes, seconds, standard, task, wallet, with_link,
};

/// Trust 3, and both winners contributed.
fn agreed() -> World {
    let mut world = World::new()
        .workers(["ann", "bob"])
        .deal(standard().trust(3));
    world.computes("ann", task(0));
    world.computes("bob", task(0));
    world.contributes("ann", task(0), "good");
    world.contributes("bob", task(0), "good");
    world
}

#[test]
fn a_task_goes_all_the_way() {
    let mut world = World::new().workers(["ann"]).deal(standard());
    world.does_it_all("ann", task(0));
    assert_eq!(
        world.path(task(0)),
        [
            Received,
            Initializing,
            Initialized,
            Running,
            ConsensusReached,
            AtLeastOneRevealed,
            TaskStatus::ResultUploading,
            TaskStatus::ResultUploaded,
            Finalizing,
            Finalized,
            Completed
        ]
    );
    assert_eq!(
        world.stored.tasks[&task(0)].result_link.as_deref(),
        Some(LINK)
    );
    assert_eq!(world.told("ann", PleaseReveal).len(), 1);
    assert_eq!(world.told("ann", PleaseUpload).len(), 1);
    assert_eq!(world.told("ann", PleaseComplete).len(), 1);
    let counts = &world.stored.pool.tasks_by_status;
    assert_eq!(counts.get(&Completed), Some(&1));
    assert!(
        counts
            .iter()
            .all(|(status, count)| *status == Completed || *count == 0)
    );
}

#[test]
fn winners_are_told_to_reveal_with_the_consensus_block_and_losers_to_abort() {
    let mut world = World::new()
        .workers(["ann", "bob", "cat", "dan"])
        .deal(standard().trust(3));
    world
        .computes("ann", task(0))
        .contributes("ann", task(0), "good");
    world
        .computes("bob", task(0))
        .contributes("bob", task(0), "bad");
    world.computes("cat", task(0));
    world.computes("dan", task(0));
    world.contributes("cat", task(0), "good");
    world.contributes("dan", task(0), "good");
    assert_eq!(world.status(task(0)), ConsensusReached);
    let consensus = world.chain.head().unwrap().number;
    for name in ["ann", "cat", "dan"] {
        assert_eq!(world.told(name, PleaseReveal).len(), 1, "{name}");
    }
    assert_eq!(world.told("bob", PleaseAbort).len(), 1);
    assert!(world.told("bob", PleaseReveal).is_empty());
    let blocks: Vec<_> = world
        .notices
        .iter()
        .filter_map(|(_, notice)| notice.block)
        .collect();
    assert!(blocks.iter().all(|block| *block == consensus), "{blocks:?}");
}

#[test]
fn the_first_to_reveal_is_asked_to_upload() {
    let mut world = agreed();
    world.reveals("bob", task(0));
    world.reveals("ann", task(0));
    assert_eq!(world.told("bob", PleaseUpload).len(), 1);
    assert!(world.told("ann", PleaseUpload).is_empty());
}

#[test]
fn finalisation_waits_for_every_winner_s_reveal() {
    //
    let mut world = agreed();
    world
        .reveals("ann", task(0))
        .uploads("ann", task(0))
        .pass(minutes(1));
    assert_eq!(world.status(task(0)), TaskStatus::ResultUploaded);
    world.reveals("bob", task(0)).pass(seconds(10));
    assert_eq!(world.status(task(0)), Completed);
}

#[test]
fn after_the_reveal_deadline_it_is_finalised_with_the_reveals_there_are() {
    // the original waited for its five-minute job.
    let mut world = agreed();
    world.reveals("ann", task(0)).uploads("ann", task(0));
    world.pass(minutes(9));
    assert_eq!(world.status(task(0)), TaskStatus::ResultUploaded);
    world.pass(minutes(1)).pass(seconds(20));
    assert_eq!(world.status(task(0)), Completed);
}

#[test]
fn a_consensus_that_nobody_revealed_is_reopened_while_there_is_time() {
    //
    let mut world = World::new().workers(["ann", "bob"]).deal(standard());
    world
        .computes("ann", task(0))
        .contributes("ann", task(0), "result");
    world.pass(minutes(10)).pass(seconds(30));
    let path = world.path(task(0));
    assert!(
        path.ends_with(&[ConsensusReached, Reopening, Reopened, Initialized, Running]),
        "{path:?}"
    );
    assert_eq!(
        world.replicate("ann", task(0)).last(),
        Some(&ReplicateStatus::Failed)
    );
    world.does_it_all("bob", task(0));
    assert_eq!(world.status(task(0)), Completed);
}

#[test]
fn a_consensus_that_nobody_revealed_ends_the_task_when_no_time_is_left() {
    let mut world = World::new().workers(["ann"]).deal(standard());
    world.pass(minutes(25));
    world
        .computes("ann", task(0))
        .contributes("ann", task(0), "result");
    world.pass(minutes(11));
    assert!(
        world
            .path(task(0))
            .ends_with(&[ConsensusReached, ReopenFailed, Failed])
    );
    assert_eq!(world.commanded(Purpose::Reopen), 0);
}

#[test]
fn a_reveal_that_its_worker_lived_not_to_report_still_counts() {
    // a later WORKER_LOST hid the reveal and the task stalled.
    let mut world = agreed();
    world.sends_reveal("ann", task(0));
    world.silence("ann");
    world.reveals("bob", task(0));
    world.pass(minutes(2));
    assert!(world.replicate("ann", task(0)).contains(&Revealed));
    world.uploads("bob", task(0)).pass(seconds(10));
    assert_eq!(world.status(task(0)), Completed);
}

#[test]
fn a_lost_uploader_is_replaced() {
    let mut world = agreed();
    world.reveals("ann", task(0)).reveals("bob", task(0));
    world.silence("ann").pass(minutes(1)).pass(seconds(15));
    assert_eq!(world.told("bob", PleaseUpload).len(), 1);
    world.uploads("bob", task(0)).pass(seconds(10));
    assert_eq!(world.status(task(0)), Completed);
}

#[test]
fn an_uploader_that_takes_too_long_is_replaced_wherever_it_is() {
    // RESULT_UPLOAD_REQUESTED and callback tasks were never reassigned.
    for uploading in [false, true] {
        let mut world = agreed();
        world.reveals("ann", task(0)).reveals("bob", task(0));
        if uploading {
            world
                .report("ann", task(0), ResultUploading)
                .is_accepted(PleaseContinue);
        }
        world.pass(seconds(115));
        assert!(world.told("bob", PleaseUpload).is_empty());
        world.pass(seconds(5));
        assert_eq!(world.told("bob", PleaseUpload).len(), 1);
        world.uploads("bob", task(0)).pass(seconds(10));
        assert_eq!(world.status(task(0)), Completed);
    }
}

#[test]
fn a_slow_uploader_that_nobody_can_replace_may_still_get_there() {
    let mut world = World::new().workers(["ann"]).deal(standard());
    world
        .computes("ann", task(0))
        .contributes("ann", task(0), "result")
        .reveals("ann", task(0));
    world.report("ann", task(0), ResultUploading);
    world.pass(minutes(10));
    world.uploaded.insert(task(0));
    let ticket = world
        .report_with("ann", task(0), ResultUploaded, with_link())
        .ticket;
    world.pass(seconds(10));
    assert_eq!(world.reply(ticket), Some(&Reply::Accepted(PleaseWait)));
    assert_eq!(world.status(task(0)), Completed);
}

#[test]
fn only_one_worker_is_asked_to_upload_at_a_time() {
    //
    let mut world = agreed();
    world
        .reveals("ann", task(0))
        .reveals("bob", task(0))
        .pass(minutes(1));
    let requested = ["ann", "bob"].into_iter().filter(|name| {
        world
            .replicate(name, task(0))
            .contains(&ResultUploadRequested)
    });
    assert_eq!(requested.count(), 1);
}

#[test]
fn a_task_ends_early_when_everybody_gave_the_result_up() {
    let mut world = World::new().workers(["ann"]).deal(standard());
    world
        .computes("ann", task(0))
        .contributes("ann", task(0), "result")
        .reveals("ann", task(0));
    world
        .report("ann", task(0), Aborted)
        .is_accepted(PleaseWait);
    assert!(
        world
            .path(task(0))
            .ends_with(&[ResultUploadTimeout, Failed])
    );
}

#[test]
fn an_upload_that_is_not_there_is_refused() {
    let mut world = World::new().workers(["ann"]).deal(standard());
    world
        .computes("ann", task(0))
        .contributes("ann", task(0), "result")
        .reveals("ann", task(0));
    world.report("ann", task(0), ResultUploading);
    let ticket = world
        .report_with("ann", task(0), ResultUploaded, with_link())
        .has_no_answer_yet();
    world.carry_out();
    assert_eq!(
        world.reply(ticket),
        Some(&Reply::Refused(Refusal::NotUploaded))
    );
    // The same asked the other way round: that the upload failed is believed only when the result is not there.
    let ticket = world
        .report("ann", task(0), ResultUploadFailed)
        .has_no_answer_yet();
    world.uploaded.insert(task(0));
    world.carry_out();
    assert_eq!(
        world.reply(ticket),
        Some(&Reply::Refused(Refusal::Uploaded))
    );
}

#[test]
fn a_silent_result_proxy_is_asked_again_and_is_no_answer() {
    let mut world = World::new().workers(["ann"]).deal(standard());
    world
        .computes("ann", task(0))
        .contributes("ann", task(0), "result")
        .reveals("ann", task(0));
    world.report("ann", task(0), ResultUploading);
    world.uploaded.insert(task(0));
    world.proxy_down = true;
    let ticket = world
        .report_with("ann", task(0), ResultUploaded, with_link())
        .ticket;
    world.pass(seconds(20));
    assert_eq!(world.reply(ticket), None);
    world.proxy_down = false;
    world.pass(seconds(3));
    assert_eq!(world.reply(ticket), Some(&Reply::Accepted(PleaseWait)));
}

#[test]
fn a_result_without_a_link_is_refused() {
    let mut world = World::new().workers(["ann"]).deal(standard());
    world
        .computes("ann", task(0))
        .contributes("ann", task(0), "result")
        .reveals("ann", task(0));
    world.report("ann", task(0), ResultUploading);
    world
        .report("ann", task(0), ResultUploaded)
        .is_refused(Refusal::Incomplete {
            what: "the result link",
        });
}

#[test]
fn a_task_that_a_stranger_finalised_is_completed() {
    // chain COMPLETED with RESULT_UPLOADED off chain never completed.
    let mut world = World::new().workers(["ann"]).deal(standard());
    world
        .computes("ann", task(0))
        .contributes("ann", task(0), "result");
    world.sends_reveal("ann", task(0));
    world.send(Tx::Finalize(
        task(0),
        hash("whatever").to_vec().into(),
        Default::default(),
    ));
    world.mine();
    assert_eq!(world.status(task(0)), Completed);
    assert_eq!(
        world.replicate("ann", task(0)).last(),
        Some(&ReplicateStatus::Revealing)
    );
}

#[test]
fn a_push_that_was_lost_is_told_again_when_its_worker_listens_but_not_at_once() {
    // scheduler-api Q35
    let mut world = World::new().workers(["ann"]).deal(standard());
    world
        .computes("ann", task(0))
        .contributes("ann", task(0), "result");
    assert_eq!(world.told("ann", PleaseReveal).len(), 1);
    world.input(Input::ListensTo { task: task(0) });
    assert_eq!(
        world.told("ann", PleaseReveal).len(),
        1,
        "never within 30 s"
    );
    world.pass(seconds(31));
    world.input(Input::ListensTo { task: task(0) });
    world.input(Input::Listens {
        worker: wallet("ann"),
    });
    assert_eq!(world.told("ann", PleaseReveal).len(), 2);
    world.report("ann", task(0), ReplicateStatus::Revealing);
    world.pass(minutes(2));
    assert_eq!(world.told("ann", PleaseReveal).len(), 2, "it has begun");
}

#[test]
fn a_push_that_nobody_acted_on_is_told_again_in_growing_steps() {
    let mut world = World::new().workers(["ann"]).deal(standard());
    world
        .computes("ann", task(0))
        .contributes("ann", task(0), "result");
    assert_eq!(world.replicate("ann", task(0)).last(), Some(&Contributed));
    world.pass(minutes(9));
    let told = world.told("ann", PleaseReveal);
    let steps: Vec<u64> = told
        .windows(2)
        .map(|pair| pair[1].since(pair[0]).as_secs())
        .collect();
    assert_eq!(steps, [60, 120, 240]);
}

#[test]
fn the_only_worker_that_revealed_is_asked_when_it_is_back() {
    let mut world = agreed();
    world.report("ann", task(0), ReplicateStatus::Revealing);
    world.silence("ann").pass(minutes(2));
    world.send(Tx::Reveal(task(0), wallet("ann")));
    world.pass(seconds(20));
    assert_eq!(world.status(task(0)), AtLeastOneRevealed);
    assert!(world.told("ann", PleaseUpload).is_empty());
    world.back("ann");
    assert_eq!(world.told("ann", PleaseUpload).len(), 1);
    assert_eq!(world.status(task(0)), TaskStatus::ResultUploading);
}

#[test]
fn an_upload_reported_while_the_chain_was_away_is_checked_when_it_is_back() {
    let mut world = World::new().workers(["ann"]).deal(standard());
    world
        .computes("ann", task(0))
        .contributes("ann", task(0), "result");
    world.reveals("ann", task(0));
    world.report("ann", task(0), ResultUploading);
    world.uploaded.insert(task(0));
    world.input(Input::ChainHealth { up: false });
    let ticket = world
        .report_with("ann", task(0), ResultUploaded, with_link())
        .has_no_answer_yet();
    world.input(Input::ChainHealth { up: true });
    world.carry_out();
    assert_eq!(world.reply(ticket), Some(&Reply::Accepted(PleaseWait)));
}
