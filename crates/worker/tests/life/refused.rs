//! Authorizations that are not to be worked for (S13): nothing is begun and nobody is told.

use devnet::Role;
use wire::message::WorkerpoolAuthorization;
use wire::status::ReplicateStatus as Is;

use crate::world::{World, address};
use crate::{WAITS, said, script};

#[tokio::test(flavor = "multi_thread")]
async fn work_that_is_authorized_for_another_worker_or_by_a_stranger_is_not_begun_and_nobody_is_told()
 {
    // S13
    let world = World::new("refused", &script("")).await;
    let own = world.scheduler.authorization.lock().unwrap().clone();
    let another = world.authorization(Role::Worker(2), Role::Scheduler);
    let stranger = world.authorization(Role::Worker(1), Role::Worker(2));
    // The owner's signature, but under the word that it is another's.
    let renamed = WorkerpoolAuthorization {
        worker_wallet: own.worker_wallet,
        ..another.clone()
    };
    let unsigned = WorkerpoolAuthorization {
        signature: Default::default(),
        ..own.clone()
    };
    *world.scheduler.work.lock().unwrap() = [another, stranger, renamed, unsigned].into();
    let before = world.transactions().await;
    let (running, shutdown) = world.start().await;
    // Each was let go of before the next was asked for: there is one slot.
    world.until_asked(0).await;
    assert_eq!(world.scheduler.statuses(), []);
    assert!(!world.task_folder().exists());
    assert_eq!(world.containers().await, [""; 0]);
    assert_eq!(world.asked.count("task"), 0);
    let said = |reason: String| {
        let task = world.task.to_string();
        said::with(&["ERROR", &task, "the task is not begun", &reason]).len()
    };
    let (wallet, owner) = (
        address(&world.chain, Role::Worker(2)),
        address(&world.chain, Role::Scheduler),
    );
    assert_eq!(said(format!("made for the worker {wallet:#x}")), 1);
    assert_eq!(
        said(format!("not signed by the pool's owner {owner:#x}")),
        3
    );

    // A restart finds nothing of them, and the task is still there for who may have it.
    shutdown.trigger();
    running.wait().await.unwrap();
    let (running, shutdown) = world.start().await;
    assert_eq!(world.scheduler.statuses(), []);
    assert_eq!(world.transactions().await, before);
    world.scheduler.work.lock().unwrap().push_back(own);
    world.until_told(Is::Completed).await;
    assert_eq!(world.chain_status().await, 3);
    world.end(running, shutdown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_worker_keeps_its_authorization_when_the_scheduler_brings_one_that_is_anothers()
{
    // S13
    let world = World::new("brought", &script(WAITS)).await;
    let (running, shutdown) = world.start().await;
    world.until_told(Is::Computing).await;
    shutdown.trigger();
    running.wait().await.unwrap();
    let anothers = world.authorization(Role::Worker(2), Role::Scheduler);
    *world.scheduler.authorization.lock().unwrap() = anothers;
    let (running, shutdown) = world.start().await;
    world.let_go().await;
    world.until_told(Is::Completed).await;
    assert_eq!(world.chain_status().await, 3);
    world.end(running, shutdown).await;
}
