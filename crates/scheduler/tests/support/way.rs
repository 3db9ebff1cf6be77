//! The way of a replicate from CREATED to wherever a test wants it.

use alloy_primitives::B256;
use poco::ids::TaskId;
use serde_json::{Value, json};

use super::{TestWorker, World};

/// Brings a worker's own new task of trust 1 to this status of a replicate, by the way that the document describes.
pub async fn brought_to(world: &World, worker: &TestWorker, status: &str) -> TaskId {
    let task = world.deal(1, 1).await[0];
    let given = worker.ask(world).await;
    assert_eq!(given.status, 200, "{status}");
    let given = given.json();
    assert_eq!(
        given["workerpoolAuthorization"]["chainTaskId"],
        task.to_string()
    );
    bring(world, worker, task, status).await;
    task
}

/// The statuses of a task that goes well, in order.
const WAY: [&str; 16] = [
    "STARTING",
    "STARTED",
    "APP_DOWNLOADING",
    "APP_DOWNLOADED",
    "DATA_DOWNLOADING",
    "DATA_DOWNLOADED",
    "COMPUTING",
    "COMPUTED",
    "CONTRIBUTING",
    "CONTRIBUTED",
    "REVEALING",
    "RESULT_UPLOAD_REQUESTED",
    "RESULT_UPLOADING",
    "RESULT_UPLOADED",
    "COMPLETING",
    "COMPLETED",
];

/// Brings a given task to this status.
pub async fn bring(world: &World, worker: &TestWorker, task: TaskId, status: &str) {
    let before = match status {
        "CREATED" => return,
        "START_FAILED" => Some("STARTING"),
        "APP_DOWNLOAD_FAILED" => Some("APP_DOWNLOADING"),
        "DATA_DOWNLOAD_FAILED" => Some("DATA_DOWNLOADING"),
        "COMPUTE_FAILED" | "ABORTED" | "FAILED" | "RECOVERING" => Some("COMPUTING"),
        "RESULT_UPLOAD_FAILED" => Some("RESULT_UPLOADING"),
        "COMPLETE_FAILED" => Some("COMPLETING"),
        _ => None,
    };
    if let Some(before) = before {
        Box::pin(bring(world, worker, task, before)).await;
        if status == "RECOVERING" {
            let path = format!("/replicates/interrupted?blockNumber={}", world.node.head());
            assert_eq!(worker.get(world, &path).await.status, 200);
        } else {
            step(world, worker, task, status).await;
        }
        return;
    }
    let last = WAY.iter().position(|one| *one == status).unwrap();
    for status in &WAY[..=last] {
        step(world, worker, task, status).await;
    }
}

/// Lets happen what comes before this status, and reports it.
async fn step(world: &World, worker: &TestWorker, task: TaskId, status: &str) {
    let (address, hash) = (worker.address(), B256::repeat_byte(1));
    let at = |block: u64| json!({"chainReceipt": {"blockNumber": block, "txHash": null}});
    let details = match status {
        "CONTRIBUTED" => at(world.node.contribute(task, address, hash)),
        "REVEALING" => {
            world.node.consensus(task, hash);
            world.task_becomes(task, "CONSENSUS_REACHED").await;
            Value::Null
        }
        // The reveal is reported, and then the pool asks for the upload.
        "RESULT_UPLOAD_REQUESTED" => {
            let block = world.node.reveal(task, address, B256::repeat_byte(2));
            let revealed = worker.report(world, task, "REVEALED", at(block)).await;
            assert_eq!(revealed.status, 200);
            world.task_becomes(task, "RESULT_UPLOADING").await;
            return;
        }
        "RESULT_UPLOADED" => {
            world.node.chain().uploaded.insert(task);
            json!({"resultLink": "/ipfs/Qm"})
        }
        "COMPLETING" => {
            world.task_becomes(task, "COMPLETED").await;
            Value::Null
        }
        _ => Value::Null,
    };
    let answer = worker.report(world, task, status, details).await;
    assert_eq!(answer.status, 200, "{status}: {}", answer.text);
}
