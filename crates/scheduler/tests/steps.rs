//! Every step that a worker may and may not report, over HTTP (spec scheduler-api §6.1, §6.2), and in which order its report is weighed (§3.9).
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at once on what cannot happen"
)]

mod support;

use engine::replicate_may_become;
use poco::ids::TaskId;
use serde_json::{Value, json};
use support::{Answer, TestWorker, World, bring, brought_to, machine};
use wire::status::ReplicateStatus::{self, *};

/// Where a worker at trust 1 can be. REVEALED becomes RESULT_UPLOAD_REQUESTED at once, and nobody is lost before a minute.
const FROM: [ReplicateStatus; 26] = [
    Created,
    Starting,
    StartFailed,
    Started,
    AppDownloading,
    AppDownloadFailed,
    AppDownloaded,
    DataDownloading,
    DataDownloadFailed,
    DataDownloaded,
    Computing,
    ComputeFailed,
    Computed,
    Contributing,
    Contributed,
    Revealing,
    ResultUploadRequested,
    ResultUploading,
    ResultUploadFailed,
    ResultUploaded,
    Completing,
    CompleteFailed,
    Completed,
    Recovering,
    Failed,
    Aborted,
];

/// What the scheduler alone may write. The original takes these from workers too; none sends them.
const NOT_THE_WORKERS: [ReplicateStatus; 4] =
    [Created, WorkerLost, Recovering, ResultUploadRequested];

/// A report with everything that any status needs, and a block that was read and shows nothing of it.
async fn report(world: &World, worker: &TestWorker, task: TaskId, to: ReplicateStatus) -> Answer {
    let block = world.node.head();
    let details =
        json!({"chainReceipt": {"blockNumber": block, "txHash": null}, "resultLink": "/ipfs/Qm"});
    worker.report(world, task, to.name(), details).await
}

async fn history(world: &World, worker: &TestWorker, task: TaskId) -> Vec<String> {
    let path = format!("/tasks/{task}/replicates/{}", worker.wallet());
    let model = world.get(&path).await.json();
    let steps = model["statusUpdateList"].as_array().unwrap();
    let names = steps.iter().map(|step| step["status"].as_str().unwrap());
    names.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_pair_of_statuses_is_answered_as_the_table_says() {
    let world = World::new().await;
    let mut pairs = 0;
    for (seed, from) in (1u8..).zip(FROM) {
        let worker = world.registered(seed).await;
        let task = brought_to(&world, &worker, from.name()).await;
        let before = history(&world, &worker, task).await;
        for to in ReplicateStatus::ALL {
            let is_known = before.iter().any(|one| one == to.name());
            let is_legal = replicate_may_become(from, *to) && !NOT_THE_WORKERS.contains(to);
            // These are legal by the table, and the world contradicts them (§6.2).
            let is_false = match to {
                ContributeFailed | RevealFailed | Contributed | Revealed => true,
                // Nothing was uploaded, or there is a result already.
                ResultUploaded => from != ResultUploadFailed,
                ContributeAndFinalizeOngoing | ContributeAndFinalizeDone => true,
                _ => false,
            };
            let answer = match (is_known, is_legal && !is_false) {
                (true, _) if !NOT_THE_WORKERS.contains(to) => (208, None),
                (_, false) => (202, Some("\"PLEASE_ABORT\"")),
                // What would be accepted is tried below.
                _ => continue,
            };
            pairs += 1;
            let said = report(&world, &worker, task, *to).await;
            assert_eq!(said.status.as_u16(), answer.0, "{from} -> {to}");
            assert!(
                answer.1.is_none_or(|text| text == said.text),
                "{from} -> {to}"
            );
        }
        let after = history(&world, &worker, task).await;
        assert_eq!(before, after, "a refusal changes nothing at {from}");
        let last = if replicate_may_become(from, Aborted) {
            let aborted = report(&world, &worker, task, Aborted).await;
            assert_eq!(
                (aborted.status.as_u16(), &*aborted.text),
                (200, "\"PLEASE_WAIT\"")
            );
            "ABORTED"
        } else {
            before.last().unwrap()
        };
        assert_eq!(history(&world, &worker, task).await.last().unwrap(), last);
        // So that the next worker is not given this task again.
        world
            .node
            .consensus(task, alloy_primitives::B256::repeat_byte(9));
    }
    assert!(pairs > 700, "{pairs} of {} pairs", 26 * 33);
}

#[tokio::test]
async fn whatever_a_recovering_worker_reports_next_is_taken() {
    let world = World::new().await;
    for (seed, to) in (1u8..).zip([Started, AppDownloaded, ComputeFailed, Computed, Failed]) {
        let worker = world.registered(seed).await;
        let task = brought_to(&world, &worker, "RECOVERING").await;
        let known = history(&world, &worker, task).await;
        let answer = report(&world, &worker, task, to).await;
        let expected = if known.iter().any(|one| one == to.name()) {
            208
        } else {
            200
        };
        assert_eq!(answer.status.as_u16(), expected, "{to}");
        world
            .node
            .consensus(task, alloy_primitives::B256::repeat_byte(9));
    }
}

#[tokio::test]
async fn each_failure_is_answered_by_its_cause() {
    let world = World::new().await;
    let rows = [
        (
            "APP_DOWNLOADING",
            "APP_DOWNLOAD_FAILED",
            "APP_IMAGE_DOWNLOAD_FAILED",
            "PLEASE_CONTRIBUTE",
        ),
        (
            "APP_DOWNLOADING",
            "APP_DOWNLOAD_FAILED",
            "CHAIN_UNREACHABLE",
            "PLEASE_ABORT",
        ),
        (
            "DATA_DOWNLOADING",
            "DATA_DOWNLOAD_FAILED",
            "DATASET_FILE_DOWNLOAD_FAILED",
            "PLEASE_CONTRIBUTE",
        ),
        (
            "DATA_DOWNLOADING",
            "DATA_DOWNLOAD_FAILED",
            "DATASET_FILE_BAD_CHECKSUM",
            "PLEASE_CONTRIBUTE",
        ),
        (
            "DATA_DOWNLOADING",
            "DATA_DOWNLOAD_FAILED",
            "INPUT_FILES_DOWNLOAD_FAILED",
            "PLEASE_CONTRIBUTE",
        ),
        (
            "DATA_DOWNLOADING",
            "DATA_DOWNLOAD_FAILED",
            "UNKNOWN",
            "PLEASE_ABORT",
        ),
        (
            "STARTING",
            "START_FAILED",
            "TEE_NOT_SUPPORTED",
            "PLEASE_ABORT",
        ),
        (
            "COMPUTING",
            "COMPUTE_FAILED",
            "APP_NOT_FOUND_LOCALLY",
            "PLEASE_ABORT",
        ),
        (
            "RESULT_UPLOADING",
            "RESULT_UPLOAD_FAILED",
            "RESULT_LINK_MISSING",
            "PLEASE_ABORT",
        ),
    ];
    for (seed, (from, to, cause, next)) in (1u8..).zip(rows) {
        let worker = world.registered(seed).await;
        let task = brought_to(&world, &worker, from).await;
        let answer = worker
            .report(&world, task, to, json!({"cause": cause}))
            .await;
        assert_eq!(
            (answer.status.as_u16(), answer.text),
            (200, format!("\"{next}\"")),
            "{to} because of {cause}"
        );
        world
            .node
            .consensus(task, alloy_primitives::B256::repeat_byte(9));
    }
}

#[tokio::test]
async fn the_token_is_weighed_before_the_task_and_the_history_before_the_step() {
    let world = World::new().await;
    let worker = world.registered(1).await;
    let task = brought_to(&world, &worker, "STARTED").await;
    let path = format!("/replicates/{task}/updateStatus");
    let post = async |headers: &[(&str, &str)], path: &str, body: &str| {
        let answer = world
            .call(reqwest::Method::POST, path, headers, Some(body))
            .await;
        answer.status.as_u16()
    };
    let bearer = worker.bearer();
    let good = [("Authorization", bearer.as_str())];
    let bad = [("Authorization", "Bearer x")];
    let started = json!({"status": "STARTED"}).to_string();
    let dreaming = json!({"status": "DREAMING"}).to_string();
    assert_eq!(post(&[], &path, &started).await, 400);
    assert_eq!(post(&bad, &path, &started).await, 401);
    assert_eq!(
        post(&bad, "/replicates/0x12/updateStatus", &started).await,
        401
    );
    assert_eq!(post(&good, &path, &dreaming).await, 400);
    assert_eq!(
        post(&good, "/replicates/0x12/updateStatus", &started).await,
        202
    );
    // STARTED -> STARTING is no step, and is known.
    let starting = json!({"status": "STARTING"}).to_string();
    assert_eq!(post(&good, &path, &starting).await, 208);
    // Whoever writes the report, the token says who it is, and the server when.
    let forged = json!({"status": "APP_DOWNLOADING", "modifier": "POOL_MANAGER", "date": 0,
                        "details": {"computeLogs": {"walletAddress": "0x1a69b2eb604db8eba185df03ea4f5288dcbbd248"}}});
    assert_eq!(post(&good, &path, &forged.to_string()).await, 200);
    let model = format!("/tasks/{task}/replicates/{}", worker.wallet());
    let model = world.get(&model).await.json();
    let last = model["statusUpdateList"]
        .as_array()
        .unwrap()
        .last()
        .unwrap();
    assert!(
        !last["date"].as_str().unwrap().starts_with("1970"),
        "{last}"
    );
    assert_eq!(last.get("modifier"), None);
}

#[tokio::test]
async fn a_worker_with_room_for_one_gets_the_next_task_when_it_gave_one_up() {
    let world = World::new().await;
    let worker = world.worker(1).await;
    worker.post(&world, "/workers/register", &machine(1)).await;
    let tasks = world.deal(2, 1).await;
    assert_eq!(worker.ask(&world).await.status, 200);
    assert_eq!(worker.ask(&world).await.status, 204, "its slot is taken");
    bring(&world, &worker, tasks[0], "ABORTED").await;
    let next = worker.ask(&world).await;
    assert_eq!(next.status, 200);
    let given = next.json();
    assert_eq!(
        given["workerpoolAuthorization"]["chainTaskId"],
        tasks[1].to_string()
    );
    assert_eq!(given["smsUrl"], Value::Null);
}
