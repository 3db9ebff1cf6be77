//! What becomes of reports, and tasks that go all the way (spec scheduler-api §3.8, §3.9, §6).
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at once on what cannot happen"
)]

mod support;

use alloy_primitives::B256;
use poco::ids::TaskId;
use serde_json::{Value, json};
use support::{World, shown};

const UNKNOWN_TASK: &str = "0x65bc5e94ed1486b940bd6cc0013c418efad58a0a52a3d08cee89faaa21970426";

#[tokio::test]
async fn a_report_is_answered_with_what_to_do_next() {
    let world = World::new().await;
    let task = world.deal(1, 1).await[0];
    let worker = world.registered(1).await;
    worker.ask(&world).await;
    let steps = [
        ("STARTING", "PLEASE_CONTINUE"),
        ("STARTED", "PLEASE_DOWNLOAD_APP"),
        ("APP_DOWNLOADING", "PLEASE_CONTINUE"),
        ("APP_DOWNLOADED", "PLEASE_DOWNLOAD_DATA"),
        ("DATA_DOWNLOADING", "PLEASE_CONTINUE"),
        ("DATA_DOWNLOADED", "PLEASE_COMPUTE"),
        ("COMPUTING", "PLEASE_CONTINUE"),
        ("COMPUTED", "PLEASE_CONTRIBUTE"),
        ("CONTRIBUTING", "PLEASE_CONTINUE"),
    ];
    for (status, next) in steps {
        let answer = worker.report(&world, task, status, Value::Null).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text),
            (200, format!("{next:?}")),
            "{status}"
        );
    }
    assert_eq!(
        worker.get(&world, "/workers/computing").await.text,
        "[]",
        "a computed task frees its slot"
    );
}

#[tokio::test]
async fn a_status_out_of_order_is_refused_and_the_worker_told_to_abort() {
    let world = World::new().await;
    let task = world.deal(1, 1).await[0];
    let worker = world.registered(1).await;
    worker.ask(&world).await;
    let refused = worker.report(&world, task, "COMPUTED", Value::Null).await;
    assert_eq!(
        (refused.status.as_u16(), refused.text.as_str()),
        (202, "\"PLEASE_ABORT\"")
    );
    let nothing = worker
        .post(
            &world,
            &format!("/replicates/{task}/updateStatus"),
            &json!({"status": null}),
        )
        .await;
    assert_eq!(
        (nothing.status.as_u16(), nothing.text.as_str()),
        (202, "\"PLEASE_ABORT\"")
    );
    let still = worker.report(&world, task, "STARTING", Value::Null).await;
    assert_eq!(still.status, 200, "a refusal changes nothing");
}

#[tokio::test]
async fn a_status_told_twice_is_208_with_the_same_next_action() {
    // Q16: the original answers PLEASE_WAIT, and a worker whose answer was lost idles.
    let world = World::new().await;
    let task = world.deal(1, 1).await[0];
    let worker = world.registered(1).await;
    worker.ask(&world).await;
    worker.report(&world, task, "STARTING", Value::Null).await;
    worker.report(&world, task, "STARTED", Value::Null).await;
    let again = worker.report(&world, task, "STARTED", Value::Null).await;
    assert_eq!(
        (again.status.as_u16(), again.text.as_str()),
        (208, "\"PLEASE_DOWNLOAD_APP\"")
    );
    let older = worker.report(&world, task, "STARTING", Value::Null).await;
    assert_eq!(
        (older.status.as_u16(), older.text.as_str()),
        (208, "\"PLEASE_WAIT\"")
    );
}

#[tokio::test]
async fn a_status_for_another_s_replicate_or_an_unknown_task_is_refused() {
    let world = World::new().await;
    let task = world.deal(1, 1).await[0];
    let worker = world.registered(1).await;
    worker.ask(&world).await;
    let other = world.registered(2).await;
    let refused = other.report(&world, task, "STARTING", Value::Null).await;
    assert_eq!(
        (refused.status.as_u16(), refused.text.as_str()),
        (202, "\"PLEASE_ABORT\"")
    );
    for id in [UNKNOWN_TASK, "0x12", "task"] {
        let path = format!("/replicates/{id}/updateStatus");
        let refused = worker
            .post(&world, &path, &json!({"status": "STARTING"}))
            .await;
        assert_eq!(
            (refused.status.as_u16(), refused.text.as_str()),
            (202, "\"PLEASE_ABORT\""),
            "{id}"
        );
    }
    let model = world
        .get(&format!("/tasks/{task}/replicates/{}", worker.wallet()))
        .await
        .json();
    assert_eq!(
        model["currentStatus"], "CREATED",
        "what others say changes nothing"
    );
}

#[tokio::test]
async fn a_status_that_does_not_exist_is_400() {
    let world = World::new().await;
    let worker = world.registered(1).await;
    let path = format!("/replicates/{UNKNOWN_TASK}/updateStatus");
    assert_eq!(
        worker
            .post(&world, &path, &json!({"status": "DANCING"}))
            .await
            .status,
        400
    );
    assert_eq!(
        worker.post(&world, &path, &json!("STARTING")).await.status,
        400
    );
}

#[tokio::test]
async fn a_report_while_the_chain_is_stale_is_answered_when_it_is_fresh_again() {
    // The original answers 503 at once, and its workers repeat the call at full speed.
    let world = World::new().await;
    let task = world.deal(1, 1).await[0];
    let worker = world.registered(1).await;
    worker.ask(&world).await;
    world.node.grow_stale();
    support::eventually("the pool is out of service", async || {
        (world.get("/actuator/health").await.status == 503).then_some(())
    })
    .await;
    assert_eq!(worker.ask(&world).await.status, 503);
    let (answer, _) = tokio::join!(
        worker.report(&world, task, "STARTING", Value::Null),
        async {
            tokio::task::yield_now().await;
            world.node.mine(&[])
        }
    );
    assert_eq!(
        (answer.status.as_u16(), answer.text.as_str()),
        (200, "\"PLEASE_CONTINUE\"")
    );
}

#[tokio::test]
async fn an_abort_is_accepted_with_something_to_wait_for() {
    // Q15: an empty answer makes Java workers post twice.
    let world = World::new().await;
    let task = world.deal(1, 1).await[0];
    let worker = world.registered(1).await;
    worker.ask(&world).await;
    let answer = worker
        .report(&world, task, "ABORTED", json!({"cause": "SOMETHING_NEW"}))
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.text.as_str()),
        (200, "\"PLEASE_WAIT\"")
    );
    let model = world
        .get(&format!("/tasks/{task}/replicates/{}", worker.wallet()))
        .await
        .json();
    assert_eq!(
        model["statusUpdateList"][1]["cause"], "SOMETHING_NEW",
        "a cause of a newer worker is kept"
    );
}

#[tokio::test]
async fn a_contribution_is_believed_when_the_chain_shows_it() {
    let world = World::new().await;
    let task = world.deal(1, 1).await[0];
    let worker = world.registered(1).await;
    worker.ask(&world).await;
    worker.compute(&world, task).await;
    worker
        .report(&world, task, "CONTRIBUTING", Value::Null)
        .await;
    // The report comes before the block it speaks of is read, and is answered when it is.
    let block = world.node.head() + 1;
    let details = json!({"chainReceipt": {"blockNumber": block, "txHash": null}});
    let claimed = worker.report(&world, task, "CONTRIBUTED", details);
    let mined = async {
        tokio::task::yield_now().await;
        world
            .node
            .contribute(task, worker.address(), B256::repeat_byte(1))
    };
    let (claimed, mined) = tokio::join!(claimed, mined);
    assert_eq!(mined, block);
    assert_eq!(
        (claimed.status.as_u16(), claimed.text.as_str()),
        (200, "\"PLEASE_WAIT\"")
    );
}

#[tokio::test]
async fn a_contribution_that_the_chain_does_not_show_is_refused() {
    let world = World::new().await;
    let task = world.deal(1, 1).await[0];
    let worker = world.registered(1).await;
    worker.ask(&world).await;
    worker.compute(&world, task).await;
    worker
        .report(&world, task, "CONTRIBUTING", Value::Null)
        .await;
    let block = world.node.mine(&[]);
    let details = json!({"chainReceipt": {"blockNumber": block, "txHash": null}});
    let claimed = worker.report(&world, task, "CONTRIBUTED", details).await;
    assert_eq!(
        (claimed.status.as_u16(), claimed.text.as_str()),
        (202, "\"PLEASE_ABORT\"")
    );
    // Q18: a block far in the future pinned a thread for ever.
    let details = json!({"chainReceipt": {"blockNumber": u64::MAX / 2, "txHash": null}});
    let claimed = worker.report(&world, task, "CONTRIBUTED", details).await;
    assert_eq!(claimed.status, 202);
}

#[tokio::test]
async fn an_interrupted_worker_is_told_what_to_go_on_with() {
    let world = World::new().await;
    let worker = world.registered(1).await;
    let path = |world: &World| format!("/replicates/interrupted?blockNumber={}", world.node.head());
    assert_eq!(worker.get(&world, &path(&world)).await.text, "[]");
    let task = world.deal(1, 1).await[0];
    worker.ask(&world).await;
    worker.report(&world, task, "STARTING", Value::Null).await;
    let missed = worker.get(&world, &path(&world)).await;
    assert_eq!(missed.status, 200);
    // Q13: no taskAbortCause at the top, or Java workers drop the list.
    insta::assert_snapshot!("interrupted", shown(&missed.text, &world.base));
}

#[tokio::test]
async fn a_worker_that_was_taken_off_the_list_is_not_let_in() {
    let mut world = World::new().await;
    let worker = world.registered(1).await;
    world.deal(1, 1).await;
    worker.ask(&world).await;
    let other = "0x1a69b2eb604db8eba185df03ea4f5288dcbbd248";
    world
        .restart_with(&[("IEXEC_WORKERS_WHITELIST", other)])
        .await;
    let path = format!("/replicates/interrupted?blockNumber={}", world.node.head());
    let refused = worker.get(&world, &path).await;
    assert_eq!((refused.status.as_u16(), refused.text.as_str()), (401, ""));
}

#[tokio::test]
async fn a_task_goes_all_the_way_and_its_worker_s_slots_are_free_again() {
    let world = World::new().await;
    let task = world.deal(1, 1).await[0];
    let worker = world.registered(1).await;
    worker.ask(&world).await;
    go_all_the_way(&world, &worker, task).await;
    let completed = world.task_becomes(task, "COMPLETED").await;
    assert_eq!(completed["resultLink"], "/ipfs/Qm");
    assert_eq!(completed["uploadingWorkerWalletAddress"], worker.wallet());
    //
    let hash = B256::repeat_byte(1).to_string();
    assert_eq!(completed["consensus"], hash);
    assert!(completed["revealDeadline"].is_string());
    let replicate = &completed["replicates"][0];
    assert_eq!(replicate["resultLink"], "/ipfs/Qm");
    assert_eq!(replicate["contributionHash"], hash);
    let metrics = world.get("/metrics").await.json();
    assert_eq!(metrics["currentTaskStatusesCount"]["COMPLETED"], 1);
    assert_eq!(metrics["aliveComputingCpu"], 0);
    assert_eq!(
        world.node.chain().mined.len(),
        2,
        "one initialize and one finalize"
    );
}

/// Computes, contributes, reveals and uploads, as a single worker at trust 1.
async fn go_all_the_way(world: &World, worker: &support::TestWorker, task: TaskId) {
    worker.compute(world, task).await;
    let hash = B256::repeat_byte(1);
    let at = |block: u64| json!({"chainReceipt": {"blockNumber": block, "txHash": null}});
    worker
        .report(world, task, "CONTRIBUTING", Value::Null)
        .await;
    let block = world.node.contribute(task, worker.address(), hash);
    world.node.consensus(task, hash);
    assert_eq!(
        worker
            .report(world, task, "CONTRIBUTED", at(block))
            .await
            .status,
        200
    );
    world.task_becomes(task, "CONSENSUS_REACHED").await;
    worker.report(world, task, "REVEALING", Value::Null).await;
    let block = world
        .node
        .reveal(task, worker.address(), B256::repeat_byte(2));
    assert_eq!(
        worker
            .report(world, task, "REVEALED", at(block))
            .await
            .status,
        200
    );
    world.task_becomes(task, "RESULT_UPLOADING").await;
    worker
        .report(world, task, "RESULT_UPLOADING", Value::Null)
        .await;
    world.node.chain().uploaded.insert(task);
    let uploaded = worker
        .report(
            world,
            task,
            "RESULT_UPLOADED",
            json!({"resultLink": "/ipfs/Qm"}),
        )
        .await;
    assert_eq!(uploaded.status, 200, "{}", uploaded.text);
}

#[tokio::test]
async fn a_result_that_is_not_there_is_not_believed() {
    let world = World::new().await;
    let task = world.deal(1, 1).await[0];
    let worker = world.registered(1).await;
    worker.ask(&world).await;
    worker.compute(&world, task).await;
    let hash = B256::repeat_byte(1);
    let at = |block: u64| json!({"chainReceipt": {"blockNumber": block, "txHash": null}});
    worker
        .report(&world, task, "CONTRIBUTING", Value::Null)
        .await;
    let block = world.node.contribute(task, worker.address(), hash);
    world.node.consensus(task, hash);
    worker.report(&world, task, "CONTRIBUTED", at(block)).await;
    world.task_becomes(task, "CONSENSUS_REACHED").await;
    worker.report(&world, task, "REVEALING", Value::Null).await;
    let block = world
        .node
        .reveal(task, worker.address(), B256::repeat_byte(2));
    worker.report(&world, task, "REVEALED", at(block)).await;
    world.task_becomes(task, "RESULT_UPLOADING").await;
    worker
        .report(&world, task, "RESULT_UPLOADING", Value::Null)
        .await;
    let claimed = worker
        .report(
            &world,
            task,
            "RESULT_UPLOADED",
            json!({"resultLink": "/ipfs/Qm"}),
        )
        .await;
    assert_eq!(
        (claimed.status.as_u16(), claimed.text.as_str()),
        (202, "\"PLEASE_ABORT\"")
    );
}

#[tokio::test]
async fn a_deal_that_cannot_be_read_is_not_lost() {
    // one failed read of a deal skipped it for ever.
    let world = World::new().await;
    world.node.chain().failing.insert("viewDeal".to_owned());
    let deal = world.node.buy(1, 1);
    let task = TaskId::of(deal, 0);
    for _ in 0..3 {
        world.node.mine(&[]);
    }
    assert_eq!(world.get(&format!("/tasks/{task}")).await.status, 404);
    world.node.chain().failing.clear();
    world.task_becomes(task, "INITIALIZED").await;
}

#[tokio::test]
async fn a_restart_goes_on_where_everything_stood() {
    let mut world = World::new().await;
    let task = world.deal(1, 1).await[0];
    let worker = world.registered(1).await;
    worker.ask(&world).await;
    worker.report(&world, task, "STARTING", Value::Null).await;
    world.stop().await;
    // While nobody looks, another deal is made.
    let missed = TaskId::of(world.node.buy(1, 1), 0);
    world.start_again().await;
    world.task_becomes(missed, "INITIALIZED").await;
    let next = worker.report(&world, task, "STARTED", Value::Null).await;
    assert_eq!(
        (next.status.as_u16(), next.text.as_str()),
        (200, "\"PLEASE_DOWNLOAD_APP\"")
    );
    assert_eq!(
        worker.get(&world, "/workers/computing").await.json(),
        json!([task])
    );
    assert_eq!(
        world.node.chain().mined.len(),
        2,
        "each task is initialised once"
    );
}
