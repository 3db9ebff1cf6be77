//! Tasks that a worker is told to give up, from the notice to the free slot.

use std::time::Duration;

use alloy_primitives::B256;
use poco::ids::TaskId;
use serde_json::{Value, json};

use crate::channel::Channel;
use crate::jackson::Bodies;
use crate::support::World;
use crate::worker::{BOTH, JavaWorker, TO_COMPUTING, Variant, receipt};

/// Longer than contributions are open.
const TOO_LONG: Duration = Duration::from_secs(40 * 60);

/// The notice that §7.7 has for an abort.
fn notice(task: TaskId, to: &[&JavaWorker], cause: &str) -> String {
    let wallets: Vec<_> = to.iter().map(|worker| worker.wallet()).collect();
    let wallets = json!(wallets);
    format!(
        r#"{{"chainTaskId":"{task}","workersAddress":{wallets},"taskNotificationType":"PLEASE_ABORT","taskNotificationExtra":{{"workerpoolAuthorization":null,"smsUrl":null,"blockNumber":0,"taskAbortCause":"{cause}"}}}}"#
    )
}

/// It has cleaned up and says so; then it has room for another task.
async fn gives_up(world: &World, worker: &JavaWorker, task: TaskId, cause: &str) -> Bodies {
    let mut bodies = Bodies::default();
    let details = json!({"cause": cause});
    let aborted = worker
        .report(world, task, "ABORTED", details.clone(), &mut bodies)
        .await;
    assert_eq!(aborted, (200, "PLEASE_WAIT".to_owned()));
    // To the original's empty answer it would do so twice (Q15).
    let again = worker
        .report(world, task, "ABORTED", details, &mut bodies)
        .await;
    assert_eq!(again, (208, "PLEASE_WAIT".to_owned()));
    let path = format!("/tasks/{task}/replicates/{}", worker.wallet());
    let replicate = world.get(&path).await.json();
    let last = replicate["statusUpdateList"]
        .as_array()
        .unwrap()
        .last()
        .unwrap();
    assert_eq!(
        (&last["status"], &last["cause"]),
        (&json!("ABORTED"), &json!(cause))
    );
    assert_eq!(
        worker.interrupted(world, &mut bodies).await,
        Vec::<Value>::new()
    );
    assert_eq!(worker.get(world, "/workers/computing").await.text, "[]");
    let next = world.deal(1, 1).await[0];
    worker.is_given(world, next, &mut bodies).await;
    bodies
}

/// A worker with one slot that computes a task and listens to it.
async fn at_work(
    world: &World,
    variant: Variant,
    seed: u8,
    task: TaskId,
    bodies: &mut Bodies,
) -> (JavaWorker, Channel) {
    let worker = JavaWorker::start(world, variant, seed, 1, bodies).await;
    worker.is_given(world, task, bodies).await;
    let session = format!("c6e8987433794c659fc31ec439b4ec{seed:02}");
    let channel = worker.listens(world, &session, task).await;
    worker.reports(world, task, &TO_COMPUTING, bodies).await;
    (worker, channel)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_contributions_closed_is_aborted() {
    let mut bodies = Bodies::default();
    for variant in BOTH {
        let world = World::new().await;
        let task = world.deal(1, 1).await[0];
        let (worker, channel) = at_work(&world, variant, 1, task, &mut bodies).await;
        world.node.mine_ahead(TOO_LONG);
        let told = channel.is_told("PLEASE_ABORT").await;
        assert_eq!(told, notice(task, &[&worker], "CONTRIBUTION_TIMEOUT"));
        bodies.add_push(&told);
        let model = world.task_becomes(task, "FAILED").await;
        let history: Vec<_> = model["dateStatusList"].as_array().unwrap().iter().collect();
        assert!(
            history
                .iter()
                .any(|step| step["status"] == "CONTRIBUTION_TIMEOUT")
        );
        // A worker that was away is told the same when it asks.
        let missed = worker.interrupted(&world, &mut bodies).await;
        assert_eq!(missed[0]["taskNotificationType"], "PLEASE_ABORT");
        let extra = &missed[0]["taskNotificationExtra"];
        assert_eq!(extra["taskAbortCause"], "CONTRIBUTION_TIMEOUT");
        bodies.extend(gives_up(&world, &worker, task, "CONTRIBUTION_TIMEOUT").await);
    }
    bodies.decode();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_not_contributed_at_consensus_is_to_abort() {
    let mut bodies = Bodies::default();
    for variant in BOTH {
        let world = World::new().await;
        let task = world.deal(1, 3).await[0];
        let (winner, of_winner) = at_work(&world, variant, 1, task, &mut bodies).await;
        let (loser, of_loser) = at_work(&world, variant, 2, task, &mut bodies).await;
        let result = B256::repeat_byte(1);
        let (status, details) = variant.ended(0);
        winner
            .report(&world, task, status, details, &mut bodies)
            .await;
        let steps = [("CONTRIBUTING", "PLEASE_CONTINUE")];
        winner.reports(&world, task, &steps, &mut bodies).await;
        let block = world.node.contribute(task, winner.key.address(), result);
        winner
            .report(&world, task, "CONTRIBUTED", receipt(block), &mut bodies)
            .await;
        world.node.consensus(task, result);
        // Both hear both, and each is meant by one.
        for channel in [&of_winner, &of_loser] {
            let told = channel.is_told("PLEASE_ABORT").await;
            assert_eq!(told, notice(task, &[&loser], "CONSENSUS_REACHED"));
            let told = channel.is_told("PLEASE_REVEAL").await;
            assert!(told.contains(&format!("\"workersAddress\":[\"{}\"]", winner.wallet())));
        }
        let missed = loser.interrupted(&world, &mut bodies).await;
        assert_eq!(missed[0]["taskNotificationType"], "PLEASE_ABORT");
        let extra = &missed[0]["taskNotificationExtra"];
        assert_eq!(extra["taskAbortCause"], "CONSENSUS_REACHED");
        bodies.extend(gives_up(&world, &loser, task, "CONSENSUS_REACHED").await);
    }
    bodies.decode();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_contributed_another_result_is_to_abort() {
    let (world, mut bodies) = (World::new().await, Bodies::default());
    let task = world.deal(1, 3).await[0];
    let mut workers = Vec::new();
    for seed in [1, 2] {
        let worker = JavaWorker::start(&world, Variant::Nine, seed, 1, &mut bodies).await;
        worker.is_given(&world, task, &mut bodies).await;
        worker
            .contributes(&world, task, B256::repeat_byte(seed), &mut bodies)
            .await;
        workers.push(worker);
    }
    let session = "c6e8987433794c659fc31ec439b4ec99";
    let channel = workers[1].listens(&world, session, task).await;
    world.node.consensus(task, B256::repeat_byte(1));
    let told = channel.is_told("PLEASE_ABORT").await;
    assert_eq!(told, notice(task, &[&workers[1]], "CONSENSUS_REACHED"));
    bodies.extend(gives_up(&world, &workers[1], task, "CONSENSUS_REACHED").await);
    bodies.decode();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_is_refused_ends_in_an_abort_too() {
    let (world, mut bodies) = (World::new().await, Bodies::default());
    let task = world.deal(1, 1).await[0];
    let (worker, _channel) = at_work(&world, Variant::Nine, 1, task, &mut bodies).await;
    let (status, details) = Variant::Nine.ended(0);
    worker
        .report(&world, task, status, details, &mut bodies)
        .await;
    let steps = [("CONTRIBUTING", "PLEASE_CONTINUE")];
    worker.reports(&world, task, &steps, &mut bodies).await;
    // Q17: never stored, and the worker is told to abort.
    let details = json!({"cause": "CHAIN_RECEIPT_NOT_VALID"});
    let refused = worker
        .report(&world, task, "CONTRIBUTE_FAILED", details, &mut bodies)
        .await;
    assert_eq!(refused, (202, "PLEASE_ABORT".to_owned()));
    let details = json!({"cause": "UNKNOWN"});
    let aborted = worker
        .report(&world, task, "ABORTED", details, &mut bodies)
        .await;
    assert_eq!(aborted, (200, "PLEASE_WAIT".to_owned()));
    bodies.decode();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_fails_otherwise_is_aborted_by_whoever_listens() {
    let (world, mut bodies) = (World::new().await, Bodies::default());
    let worker = JavaWorker::start(&world, Variant::Nine, 1, 1, &mut bodies).await;
    let task = world.deal(1, 1).await[0];
    worker.is_given(&world, task, &mut bodies).await;
    let session = "c6e8987433794c659fc31ec439b4ec99";
    let channel = worker.listens(&world, session, task).await;
    worker
        .contributes(&world, task, B256::repeat_byte(1), &mut bodies)
        .await;
    world.node.consensus(task, B256::repeat_byte(1));
    channel.is_told("PLEASE_REVEAL").await;
    // Nobody reveals, and the final deadline passes.
    world.node.mine_ahead(Duration::from_secs(2 * 3600));
    let told = channel.is_told("PLEASE_ABORT").await;
    assert_eq!(
        told,
        format!(
            r#"{{"chainTaskId":"{task}","workersAddress":[],"taskNotificationType":"PLEASE_ABORT","taskNotificationExtra":null}}"#
        )
    );
    bodies.add_push(&told);
    world.task_becomes(task, "FAILED").await;
    bodies.extend(gives_up(&world, &worker, task, "UNKNOWN").await);
    bodies.decode();
}
