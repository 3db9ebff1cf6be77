//! What of an uploaded result goes to the chain: callback data and link.

use engine::{Action, Purpose, Refusal, Reply, ReportDetails};
use wire::status::ReplicateStatus::{Aborted, ResultUploaded, ResultUploading};
use wire::status::TaskNotificationType::PleaseWait;
use wire::status::TaskStatus::Completed;

use crate::world::{
    DealWords, World, callback_of, seconds, standard, task, with_callback, with_link,
};

#[test]
fn a_callback_result_goes_to_the_chain_and_no_proxy_is_asked() {
    //
    let mut world = World::new()
        .workers(["ann"])
        .deal(standard().with_callback());
    world
        .computes("ann", task(0))
        .contributes("ann", task(0), "result")
        .reveals("ann", task(0));
    world.report("ann", task(0), ResultUploading);
    world
        .report_with("ann", task(0), ResultUploaded, with_callback("result"))
        .is_accepted(PleaseWait);
    assert_eq!(world.commanded(Purpose::CheckUploaded), 0);
    let finalize = world
        .commands
        .iter()
        .find(|one| one.key.purpose == Purpose::Finalize);
    match &finalize.unwrap().action {
        Action::Finalize {
            link,
            callback_data,
            calls_back,
            ..
        } => {
            assert_eq!(
                (link.as_str(), callback_data.as_deref(), *calls_back),
                ("", Some(callback_of("result").as_str()), true)
            );
        }
        other => panic!("{other:?}"),
    }
    world.pass(seconds(10));
    assert_eq!(world.status(task(0)), Completed);
}

#[test]
fn callback_data_of_a_task_without_callback_never_reaches_the_chain() {
    // The contract refuses it, so one uploader could keep a task from being finalised.
    let mut world = World::new().workers(["ann"]).deal(standard());
    world
        .computes("ann", task(0))
        .contributes("ann", task(0), "result")
        .reveals("ann", task(0));
    world.report("ann", task(0), ResultUploading);
    world.uploaded.insert(task(0));
    let details = ReportDetails {
        callback_data: Some("0x01".to_owned()),
        ..with_link()
    };
    let ticket = world
        .report_with("ann", task(0), ResultUploaded, details)
        .ticket;
    world.pass(seconds(10));
    assert_eq!(world.reply(ticket), Some(&Reply::Accepted(PleaseWait)));
    assert_eq!(world.status(task(0)), Completed);
    assert_eq!(world.stored.tasks[&task(0)].callback_data, None);
}

#[test]
fn callback_data_that_is_not_the_revealed_result_is_refused_and_another_winner_brings_it() {
    let mut world = World::new()
        .workers(["ann", "bob"])
        .deal(standard().trust(3).with_callback());
    for name in ["ann", "bob"] {
        world.computes(name, task(0));
    }
    for name in ["ann", "bob"] {
        world.contributes(name, task(0), "good");
    }
    world.reveals("ann", task(0)).reveals("bob", task(0));
    world.report("ann", task(0), ResultUploading);
    world
        .report_with("ann", task(0), ResultUploaded, with_callback("bad"))
        .is_refused(Refusal::OtherResult);
    world
        .report("ann", task(0), Aborted)
        .is_accepted(PleaseWait);
    world.report("bob", task(0), ResultUploading);
    world
        .report_with("bob", task(0), ResultUploaded, with_callback("good"))
        .is_accepted(PleaseWait);
    world.pass(seconds(10));
    assert_eq!(world.status(task(0)), Completed);
}

#[test]
fn a_result_link_longer_than_any_link_is_refused() {
    // Each of its bytes is paid for by the pool.
    let mut world = World::new().workers(["ann"]).deal(standard());
    world
        .computes("ann", task(0))
        .contributes("ann", task(0), "result")
        .reveals("ann", task(0));
    world.report("ann", task(0), ResultUploading);
    let details = ReportDetails {
        result_link: Some("x".repeat(1025)),
        ..ReportDetails::default()
    };
    world
        .report_with("ann", task(0), ResultUploaded, details)
        .is_refused(Refusal::LinkTooLong {
            bytes: 1025,
            most: 1024,
        });
}
