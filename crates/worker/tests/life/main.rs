//! A replicate's whole life on the real contracts and a real container engine, against a scheduler that only says what the protocol
//! says: what is told in which order, what the chain ends with, and that a worker that was stopped in the middle carries on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests stop at what cannot happen"
)]

mod alone;
#[path = "../busybox/mod.rs"]
mod busybox;
mod counter;
mod description;
mod money;
mod refused;
mod said;
mod scheduler;
mod twice;
mod world;

use std::time::Duration;

use wire::status::{ReplicateStatus as Is, ReplicateStatusCause as Cause};
use world::World;

/// What an application does first that goes on once it is let go.
pub(crate) const WAITS: &str = "until [ -e /iexec_in/go ]; do /bin/busybox sleep 0.1; done;";

/// What an application does that leaves its arguments' digest where the protocol wants it.
fn script(before: &str) -> String {
    let computed =
        r#"echo "{\"deterministic-output-path\":\"/iexec_out/r.txt\"}" > /iexec_out/computed.json"#;
    format!("{before} echo once >> /iexec_out/r.txt; {computed}; echo done")
}

/// What a worker needs to know once, however many tasks it does. The pool's owner is looked at when it starts, too; gas money is looked at
/// by the outbox, too.
pub(crate) fn assert_read_once(world: &World) {
    for what in ["deal", "category", "app"] {
        assert_eq!(world.asked.count(what), 1, "{what}");
    }
    assert_eq!(world.asked.count("owner"), 2);
    assert_eq!(world.asked.count("another view"), 0);
    assert!(world.asked.count("eth_getBalance") <= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_goes_from_the_ask_to_finalized_and_nothing_is_left_behind() {
    let world = World::new("whole", &script("")).await;
    let (running, shutdown) = world.start().await;
    world.until_told(Is::Completed).await;
    assert_eq!(
        world.scheduler.statuses(),
        [
            Is::Starting,
            Is::Started,
            Is::AppDownloading,
            Is::AppDownloaded,
            Is::DataDownloading,
            Is::DataDownloaded,
            Is::Computing,
            Is::Computed,
            Is::Contributing,
            Is::Contributed,
            Is::Revealing,
            Is::Revealed,
            Is::ResultUploading,
            Is::ResultUploaded,
            Is::Completing,
            Is::Completed,
        ]
    );
    assert_eq!(world.chain_status().await, 3);
    assert_eq!(world.uploaded("r.txt"), "once\n");
    assert_eq!(world.uploaded("stdout.txt"), "done\n");
    let computed = world
        .scheduler
        .told
        .borrow()
        .iter()
        .find(|update| update.status == Some(Is::Computed))
        .cloned()
        .unwrap();
    assert_eq!(computed.details.unwrap().exit_code, Some(0));
    assert!(!world.task_folder().exists());
    // Once when it is given, once when its reveal is due.
    assert_eq!(world.asked.count("task"), 2);
    assert_eq!(world.asked.count("account"), 1);
    assert_eq!(world.asked.count("contribution"), 0);
    assert_read_once(&world);
    world.end(running, shutdown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_stopped_while_it_computes_carries_on_and_runs_the_application_once() {
    let world = World::new("resume", &script(WAITS)).await;
    let (running, shutdown) = world.start().await;
    world.until_told(Is::Computing).await;
    let container = format!("{}-{}", world.name, world.task);
    while busybox::docker()
        .inspect_container(
            &container,
            None::<bollard::query_parameters::InspectContainerOptions>,
        )
        .await
        .is_err()
    {
        tokio::task::yield_now().await;
    }
    shutdown.trigger();
    running.wait().await.unwrap();
    std::fs::write(world.task_folder().join("input/go"), "").unwrap();
    let (running, shutdown) = world.start().await;
    world.until_told(Is::Completed).await;
    assert_eq!(world.chain_status().await, 3);
    assert_eq!(world.uploaded("r.txt"), "once\n");
    world.end(running, shutdown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_restarted_after_every_report_finishes_the_task_all_the_same() {
    let world = World::new("restarts", &script("")).await;
    let before = world.transactions().await;
    let (mut running, mut shutdown) = world.start().await;
    for status in [
        Is::Starting,
        Is::Started,
        Is::AppDownloading,
        Is::DataDownloading,
        Is::Computing,
        Is::Computed,
        Is::Contributing,
        Is::Contributed,
        Is::Revealing,
        Is::Revealed,
        Is::ResultUploading,
        Is::Completing,
    ] {
        world.until_told(status).await;
        shutdown.trigger();
        running.wait().await.unwrap();
        (running, shutdown) = world.start().await;
    }
    world.until_told(Is::Completed).await;
    assert_eq!(world.chain_status().await, 3);
    assert_eq!(world.uploaded("r.txt"), "once\n");
    // Each status was reported once, in order: repeats are answered 208 and not recorded.
    let statuses = world.scheduler.statuses();
    assert!(statuses.is_sorted(), "{statuses:?}");
    let sent = world.transactions().await - before;
    assert_eq!(sent, 2, "one contribution and one reveal");
    world.end(running, shutdown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_in_the_middle_of_computing_stops_the_container_and_leaves_nothing() {
    let world = World::new(
        "abort",
        &script("while true; do /bin/busybox sleep 1; done;"),
    )
    .await;
    let (running, shutdown) = world.start().await;
    world.until_told(Is::Computing).await;
    let container = format!("{}-{}", world.name, world.task);
    let docker = busybox::docker();
    let inspect = || {
        docker.inspect_container(
            &container,
            None::<bollard::query_parameters::InspectContainerOptions>,
        )
    };
    while inspect().await.is_err() {
        tokio::task::yield_now().await;
    }
    world.scheduler.notify("PLEASE_ABORT", 0);
    world.until_told(Is::Aborted).await;
    assert!(inspect().await.is_err(), "the container is still there");
    assert!(!world.task_folder().exists());
    let told = world.scheduler.told.borrow().last().cloned().unwrap();
    assert_eq!(told.details.unwrap().cause, Some(Cause::Unknown));
    world.end(running, shutdown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_while_the_contribution_is_on_its_way_does_not_throw_its_result_away() {
    // Q23: mined after the result is gone, the contribution would cost the stake.
    let world = World::new("underway", &script(WAITS)).await;
    let (running, shutdown) = world.start().await;
    world.until_told(Is::Computing).await;
    world.mine(false).await;
    let before = world.transactions().await;
    world.let_go().await;
    while world.pending().await == before {
        tokio::task::yield_now().await;
    }
    world.scheduler.notify("PLEASE_ABORT", 0);
    // Nothing tells that the notice was read and not followed.
    let aborted = tokio::time::timeout(Duration::from_secs(3), world.until_told(Is::Aborted)).await;
    assert!(aborted.is_err(), "the task was given up");
    world.mine(true).await;
    world.until_told(Is::Completed).await;
    assert_eq!(world.chain_status().await, 3);
    world.end(running, shutdown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_found_empty_when_it_should_contribute_contributes_once_it_is_filled() {
    let world = World::new("empty", &script(WAITS)).await;
    let (running, shutdown) = world.start().await;
    world.until_told(Is::Computing).await;
    let before = world.transactions().await;
    world.fill_wallet(0).await;
    let looked = world.asked.count("eth_getBalance");
    world.let_go().await;
    world.until_told(Is::Contributing).await;
    let looked_again = async {
        while world.asked.count("eth_getBalance") < looked + 2 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let looked_again = tokio::time::timeout(Duration::from_secs(30), looked_again).await;
    looked_again.expect("money is looked for again and again");
    assert_eq!(world.transactions().await, before);
    world.fill_wallet(1_000_000_000_000_000_000).await;
    world.until_told(Is::Completed).await;
    assert_eq!(world.chain_status().await, 3);
    world.end(running, shutdown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_does_not_come_becomes_a_result_that_is_contributed_and_paid() {
    let world =
        World::with_image("image", &script(""), "127.0.0.1:1/there-is-no-such-image:1").await;
    let (running, shutdown) = world.start().await;
    world.until_told(Is::Completed).await;
    let statuses = world.scheduler.statuses();
    assert!(
        statuses.contains(&Is::AppDownloadFailed) && !statuses.contains(&Is::Computing),
        "{statuses:?}"
    );
    assert_eq!(world.chain_status().await, 3);
    let text = "[IEXEC] Errors occurred while computing the task [error:APP_DOWNLOAD_FAILED, causes:[WorkflowError[cause=APP_IMAGE_DOWNLOAD_FAILED, message=]]]";
    assert_eq!(world.uploaded("error.txt"), text);
    world.end(running, shutdown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_writes_no_computed_file_contributes_nothing_and_ends_aborted() {
    let world = World::new("nothing", "echo nothing; exit 3").await;
    let (running, shutdown) = world.start().await;
    world.until_told(Is::Aborted).await;
    let told = world.scheduler.told.borrow().clone();
    let of = |status| {
        told.iter()
            .find(|update| update.status == Some(status))
            .and_then(|update| update.details.clone())
            .unwrap()
    };
    assert_eq!(of(Is::Computed).exit_code, Some(3));
    assert_eq!(of(Is::Computed).compute_logs.unwrap().stdout, "nothing\n");
    assert_eq!(
        of(Is::ContributeFailed).cause,
        Some(Cause::DeterminismHashNotFound)
    );
    assert_eq!(world.chain_status().await, 1);
    world.end(running, shutdown).await;
}
