//! Our own faster paths: what is asked for and granted in `Workerpool-Features`, and contribute-and-finalize over HTTP.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at once on what cannot happen"
)]

mod support;

use alloy_primitives::B256;
use alloy_sol_types::SolEvent;
use poco::contracts::Hub;
use poco::ids::TaskId;
use reqwest::Method;
use serde_json::{Value, json};
use support::{Answer, TestWorker, World, machine};

const LINK: &str = r#"{ "storage": "ipfs", "location": "/ipfs/QmResult" }"#;

/// Registers, and asks for these features.
async fn register(world: &World, worker: &TestWorker, features: &str) -> Answer {
    let bearer = worker.bearer();
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Workerpool-Features", features),
    ];
    let body = machine(2).to_string();
    let answer = world
        .call(Method::POST, "/workers/register", &headers, Some(&body))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer
}

/// A block in which a worker does everything in one transaction, as the contract tells of it.
fn finish_alone(world: &World, task: TaskId, worker: &TestWorker) -> u64 {
    let (taskid, worker) = (task.0, worker.address());
    let (hash, digest) = (B256::repeat_byte(1), B256::repeat_byte(2));
    world.node.mine(&[
        Hub::TaskContribute {
            taskid,
            worker,
            hash,
        }
        .encode_log_data(),
        Hub::TaskConsensus {
            taskid,
            consensus: hash,
        }
        .encode_log_data(),
        Hub::TaskReveal {
            taskid,
            worker,
            digest,
        }
        .encode_log_data(),
        Hub::TaskFinalize {
            taskid,
            results: LINK.as_bytes().into(),
        }
        .encode_log_data(),
    ])
}

#[tokio::test]
async fn what_is_asked_for_and_known_is_granted_unless_it_is_switched_off() {
    let mut world = World::new().await;
    let worker = world.worker(1).await;
    let granted = register(&world, &worker, "wait, caf, flying").await;
    assert_eq!(granted.header("workerpool-features"), Some("wait, caf"));
    let nothing = worker.post(&world, "/workers/register", &machine(2)).await;
    assert_eq!(nothing.header("workerpool-features"), None);
    world
        .restart_with(&[("WORKERPOOL_SCHEDULER_CAF", "false")])
        .await;
    let granted = register(&world, &worker, "wait, events, caf").await;
    assert_eq!(granted.header("workerpool-features"), Some("wait, events"));
}

#[tokio::test]
async fn a_task_is_finished_with_one_transaction_of_its_worker() {
    let world = World::new().await;
    let worker = world.worker(1).await;
    register(&world, &worker, "caf").await;
    let task = world.deal(1, 1).await[0];
    worker.ask(&world).await;
    worker.compute(&world, task).await;
    let ongoing = "CONTRIBUTE_AND_FINALIZE_ONGOING";
    let begun = worker.report(&world, task, ongoing, Value::Null).await;
    assert_eq!(
        (begun.status.as_u16(), begun.text.as_str()),
        (200, "\"PLEASE_CONTINUE\"")
    );
    world.node.chain().uploaded.insert(task);
    let block = finish_alone(&world, task, &worker);
    let details =
        json!({"chainReceipt": {"blockNumber": block, "txHash": null}, "resultLink": LINK});
    let done = worker
        .report(&world, task, "CONTRIBUTE_AND_FINALIZE_DONE", details)
        .await;
    assert_eq!(
        (done.status.as_u16(), done.text.as_str()),
        (200, "\"PLEASE_WAIT\"")
    );
    let completed = world.task_becomes(task, "COMPLETED").await;
    assert_eq!(completed["resultLink"], LINK);
    // R-12: what the worker's one transaction did is told as the three of the classic way are.
    let hash = B256::repeat_byte(1).to_string();
    assert_eq!(completed["consensus"], hash);
    assert!(completed["revealDeadline"].is_string());
    let replicate = &completed["replicates"][0];
    assert_eq!(replicate["resultLink"], LINK);
    assert_eq!(replicate["contributionHash"], hash);
    let statuses: Vec<_> = completed["dateStatusList"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["status"].as_str().unwrap())
        .collect();
    assert!(
        statuses.ends_with(&["RUNNING", "FINALIZED", "COMPLETED"]),
        "{statuses:?}"
    );
    assert_eq!(
        world.node.chain().mined.len(),
        1,
        "the pool initialised it, and sent nothing else"
    );
}

#[tokio::test]
async fn a_worker_that_it_was_not_granted_to_is_refused_and_may_contribute() {
    let world = World::new().await;
    let worker = world.registered(1).await;
    let task = world.deal(1, 1).await[0];
    worker.ask(&world).await;
    worker.compute(&world, task).await;
    let ongoing = "CONTRIBUTE_AND_FINALIZE_ONGOING";
    let refused = worker.report(&world, task, ongoing, Value::Null).await;
    assert_eq!(
        (refused.status.as_u16(), refused.text.as_str()),
        (202, "\"PLEASE_ABORT\"")
    );
    let contributing = worker
        .report(&world, task, "CONTRIBUTING", Value::Null)
        .await;
    assert_eq!(contributing.status, 200);
}
