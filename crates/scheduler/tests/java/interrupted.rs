//! What a worker is told when it comes back, row by row (spec scheduler-api §3.8).

use alloy_primitives::B256;
use serde_json::{Value, json};

use crate::jackson::Bodies;
use crate::support::{self, TestWorker, World};
use crate::worker::{JavaWorker, Variant};

/// What the same worker is told that was started anew.
async fn back(world: &World, worker: &TestWorker, bodies: &mut Bodies) -> Vec<Value> {
    let java = JavaWorker::again(world, Variant::Nine, worker).await;
    java.interrupted(world, bodies).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_state_of_task_and_replicate_has_its_answer() {
    let mut world = World::new().await;
    let mut bodies = Bodies::default();
    // Where the replicate is, what has happened on the chain since, and what the worker is told.
    let rows = [
        ("CREATED", "", "PLEASE_CONTRIBUTE"),
        ("STARTING", "", "PLEASE_CONTRIBUTE"),
        ("STARTED", "", "PLEASE_CONTRIBUTE"),
        ("APP_DOWNLOADING", "", "PLEASE_CONTRIBUTE"),
        ("APP_DOWNLOADED", "", "PLEASE_CONTRIBUTE"),
        ("DATA_DOWNLOADING", "", "PLEASE_CONTRIBUTE"),
        ("DATA_DOWNLOADED", "", "PLEASE_CONTRIBUTE"),
        ("COMPUTING", "", "PLEASE_CONTRIBUTE"),
        ("COMPUTED", "", "PLEASE_CONTRIBUTE"),
        ("CONTRIBUTING", "", "PLEASE_CONTRIBUTE"),
        ("CONTRIBUTING", "contribution", "PLEASE_WAIT"),
        ("CONTRIBUTED", "", "PLEASE_WAIT"),
        ("CONTRIBUTED", "consensus", "PLEASE_REVEAL"),
        ("REVEALING", "", "PLEASE_REVEAL"),
        // The original says PLEASE_WAIT to these two, and asks for the upload later. Ours knows already.
        ("REVEALING", "reveal", "PLEASE_UPLOAD"),
        ("RESULT_UPLOADING", "upload", "PLEASE_UPLOAD"),
        ("RESULT_UPLOAD_REQUESTED", "", "PLEASE_UPLOAD"),
        ("RESULT_UPLOADING", "", "PLEASE_UPLOAD"),
        ("RESULT_UPLOADED", "completion", "PLEASE_COMPLETE"),
        ("COMPLETED", "", ""),
        ("FAILED", "", ""),
        ("ABORTED", "", ""),
    ];
    for (seed, (status, since, told)) in (1u8..).zip(rows) {
        let worker = world.registered(seed).await;
        let task = support::brought_to(&world, &worker, status).await;
        let (result, address) = (B256::repeat_byte(1), worker.address());
        let consensus = match since {
            "contribution" => {
                world.node.contribute(task, address, result);
                None
            }
            "consensus" => Some(world.node.consensus(task, result)),
            "reveal" => {
                world.node.reveal(task, address, B256::repeat_byte(2));
                None
            }
            "upload" => {
                world.node.chain().uploaded.insert(task);
                None
            }
            "completion" => {
                world.task_becomes(task, "COMPLETED").await;
                None
            }
            _ => None,
        };
        let missed = back(&world, &worker, &mut bodies).await;
        let row = format!("{status}, then {since:?}");
        if told.is_empty() {
            assert_eq!(missed, Vec::<Value>::new(), "{row}");
            if status != "COMPLETED" {
                // So that the next worker is not given this task.
                world.node.consensus(task, B256::repeat_byte(9));
            }
            continue;
        }
        assert_eq!(missed.len(), 1, "{row}: {missed:?}");
        let one = &missed[0];
        assert_eq!(one["taskNotificationType"], told, "{row}");
        assert_eq!(one["chainTaskId"], task.to_string(), "{row}");
        assert_eq!(one["workersAddress"], json!([worker.wallet()]), "{row}");
        let extra = &one["taskNotificationExtra"];
        assert_eq!(extra["taskAbortCause"], Value::Null, "{row}");
        let block = extra["blockNumber"].as_u64().unwrap();
        match consensus {
            Some(consensus) => assert_eq!(block, consensus, "{row}"),
            None => assert_eq!(block > 0, told == "PLEASE_REVEAL", "{row}"),
        }
        recovering(&world, &worker, task, since).await;
    }
    world.stop().await;
    bodies.decode();
}

/// It was told, so its replicate is recovering; what the chain had shown meanwhile stands before that.
async fn recovering(world: &World, worker: &TestWorker, task: poco::ids::TaskId, since: &str) {
    let path = format!("/tasks/{task}/replicates/{}", worker.wallet());
    let model = world.get(&path).await.json();
    let history: Vec<&str> = model["statusUpdateList"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["status"].as_str().unwrap())
        .collect();
    let filled = match since {
        "contribution" => Some("CONTRIBUTED"),
        "reveal" => Some("REVEALED"),
        _ => None,
    };
    if let Some(filled) = filled {
        assert!(history.contains(&filled), "{history:?}");
    }
    // A completed task's records are closed.
    assert_eq!(
        history.contains(&"RECOVERING"),
        since != "completion",
        "{history:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_revealed_and_is_not_to_upload_waits_until_the_end() {
    let (world, mut bodies) = (World::new().await, Bodies::default());
    let task = world.deal(1, 3).await[0];
    let result = B256::repeat_byte(1);
    let at = |block: u64| json!({"chainReceipt": {"blockNumber": block, "txHash": null}});
    let mut workers = Vec::new();
    for seed in [1, 2] {
        let worker = world.registered(seed).await;
        assert_eq!(worker.ask(&world).await.status, 200);
        support::bring(&world, &worker, task, "CONTRIBUTED").await;
        workers.push(worker);
    }
    world.node.consensus(task, result);
    world.task_becomes(task, "CONSENSUS_REACHED").await;
    for worker in &workers {
        worker.report(&world, task, "REVEALING", Value::Null).await;
        let block = world
            .node
            .reveal(task, worker.address(), B256::repeat_byte(2));
        let revealed = worker.report(&world, task, "REVEALED", at(block)).await;
        assert_eq!(revealed.status, 200);
    }
    // The first to reveal is asked.
    let missed = back(&world, &workers[1], &mut bodies).await;
    assert_eq!(missed[0]["taskNotificationType"], "PLEASE_WAIT");
    // The pool cannot send its transaction, so the task stays where it is.
    world
        .node
        .chain()
        .failing
        .insert("eth_estimateGas".to_owned());
    workers[0]
        .report(&world, task, "RESULT_UPLOADING", Value::Null)
        .await;
    world.node.chain().uploaded.insert(task);
    let link = json!({"resultLink": "/ipfs/Qm"});
    let uploaded = workers[0]
        .report(&world, task, "RESULT_UPLOADED", link)
        .await;
    assert_eq!(uploaded.status, 200, "{}", uploaded.text);
    world.task_becomes(task, "FINALIZING").await;
    for worker in &workers {
        let missed = back(&world, worker, &mut bodies).await;
        assert_eq!(missed[0]["taskNotificationType"], "PLEASE_WAIT");
    }
    bodies.decode();
}

#[tokio::test]
async fn a_question_without_a_block_or_a_token_is_refused() {
    let world = World::new().await;
    let worker = world.registered(1).await;
    for path in ["/replicates/interrupted", "/replicates/available"] {
        let bad = [("Authorization", "Bearer x.y.z")];
        let get = reqwest::Method::GET;
        // The parameter is read before the token is weighed.
        for headers in [&[][..], &bad] {
            let answer = world.call(get.clone(), path, headers, None).await;
            assert_eq!(answer.status, 400, "{path}");
        }
        assert_eq!(worker.get(&world, path).await.status, 400);
        let path = format!("{path}?blockNumber=1");
        assert_eq!(world.call(get, &path, &bad, None).await.status, 401);
    }
}
