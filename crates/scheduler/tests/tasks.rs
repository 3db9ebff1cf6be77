//! What anybody may read about a task, and what only its requester may: the app's logs (spec scheduler-api §4.1, §4.2).
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at once on what cannot happen"
)]

mod support;

use alloy_signer_local::PrivateKeySigner;
use poco::challenge::{Challenge, Token};
use poco::ids::TaskId;
use reqwest::Method;
use serde_json::Value;
use support::{FakeNode, TestWorker, World, shown};

const UNKNOWN_TASK: &str = "0x65bc5e94ed1486b940bd6cc0013c418efad58a0a52a3d08cee89faaa21970426";

async fn computed(world: &World) -> (TaskId, TestWorker) {
    let task = world.deal(1, 1).await[0];
    let worker = world.registered(1).await;
    assert_eq!(worker.ask(world).await.status, 200);
    worker.compute(world, task).await;
    (task, worker)
}

#[tokio::test]
async fn a_task_is_shown_with_its_replicates() {
    let world = World::new().await;
    let (task, worker) = computed(&world).await;
    let answer = world.get(&format!("/tasks/{task}")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    insta::assert_snapshot!("task", shown(&answer.text, &world.base));
    let one = world
        .get(&format!("/tasks/{task}/replicates/{}", worker.wallet()))
        .await;
    assert_eq!(one.header("content-type"), Some("application/json"));
    assert!(
        answer
            .text
            .contains(&format!("\"replicates\":[{}]", one.text)),
        "the same bytes"
    );
}

#[tokio::test]
async fn a_completed_task_is_shown_with_its_result() {
    let world = World::new().await;
    let worker = world.registered(1).await;
    let task = support::brought_to(&world, &worker, "COMPLETED").await;
    let answer = world.get(&format!("/tasks/{task}")).await;
    insta::assert_snapshot!("completed", shown(&answer.text, &world.base));
}

#[tokio::test]
async fn a_failed_replicate_is_shown_with_its_cause() {
    let world = World::new().await;
    let task = world.deal(1, 1).await[0];
    let worker = world.registered(1).await;
    worker.ask(&world).await;
    worker.report(&world, task, "STARTING", Value::Null).await;
    let cause = serde_json::json!({"cause": "TEE_NOT_SUPPORTED"});
    worker.report(&world, task, "START_FAILED", cause).await;
    let path = format!("/tasks/{task}/replicates/{}", worker.wallet());
    let answer = world.get(&path).await;
    insta::assert_snapshot!("failed_replicate", shown(&answer.text, &world.base));
}

#[tokio::test]
async fn links_are_to_where_the_caller_called() {
    let world = World::new().await;
    let worker = world.registered(1).await;
    let task = support::brought_to(&world, &worker, "STARTING").await;
    let path = format!("/tasks/{task}/replicates/{}", worker.wallet());
    let host = [("Host", "pool.example:8443")];
    let answer = world.call(Method::GET, &path, &host, None).await;
    assert_eq!(
        answer.json()["self"],
        format!("http://pool.example:8443{path}")
    );
}

#[tokio::test]
async fn a_task_without_worker_has_an_empty_list_and_no_logs_link() {
    // Q21: the link was there although no logs were.
    let world = World::new().await;
    let task = world.deal(1, 1).await[0];
    assert_eq!(
        world.get(&format!("/tasks/{task}")).await.json()["replicates"],
        serde_json::json!([])
    );
    let worker = world.registered(1).await;
    worker.ask(&world).await;
    let one = world
        .get(&format!("/tasks/{task}/replicates/{}", worker.wallet()))
        .await
        .json();
    assert_eq!(one.get("appLogs"), None);
    assert_eq!(one.get("appExitCode"), None);
}

#[tokio::test]
async fn a_task_that_is_not_initialised_has_no_list_at_all() {
    let world = World::new().await;
    world
        .node
        .chain()
        .failing
        .insert("eth_estimateGas".to_owned());
    let task = TaskId::of(world.node.buy(1, 1), 0);
    let model = world.task_becomes(task, "INITIALIZING").await;
    assert_eq!(model["replicates"], Value::Null);
    assert_eq!(model["initializationBlockNumber"], 0);
}

#[tokio::test]
async fn what_is_not_here_is_404_with_an_empty_body() {
    let world = World::new().await;
    let task = world.deal(1, 1).await[0];
    let nobody = "0x1a69b2eb604db8eba185df03ea4f5288dcbbd248";
    for path in [
        format!("/tasks/{UNKNOWN_TASK}"),
        "/tasks/0x12".to_owned(),
        format!("/tasks/{task}/replicates/{nobody}"),
        format!("/tasks/{UNKNOWN_TASK}/replicates/{nobody}"),
    ] {
        let answer = world.get(&path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text.as_str()),
            (404, ""),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_browser_may_read_tasks() {
    let world = World::new().await;
    let preflight = [
        ("Origin", "http://page"),
        ("Access-Control-Request-Method", "GET"),
        ("Access-Control-Request-Headers", "authorization"),
    ];
    let path = format!("/tasks/{UNKNOWN_TASK}/logs");
    let answer = world.call(Method::OPTIONS, &path, &preflight, None).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(
        answer.header("access-control-allow-headers"),
        Some("authorization")
    );
}

#[tokio::test]
async fn the_logs_challenge_is_typed_data() {
    let world = World::new().await;
    let address = FakeNode::requester().address();
    let answer = world
        .get(&format!(
            "/tasks/logs/challenge?address={address}&chainId=134"
        ))
        .await;
    assert_eq!(answer.status, 200);
    let text = answer.json()["message"]["challenge"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(text.len(), 44);
    insta::assert_snapshot!(
        "logs_challenge",
        shown(&answer.text.replace(&text, "<challenge>"), &world.base)
    );
    let lower = world
        .get(&format!("/tasks/logs/challenge?address={address:#x}"))
        .await;
    assert_eq!(lower.json()["message"]["challenge"], text.as_str());
    // Q6: more than 64 characters gave 500.
    let long = format!("0x{}", "ab".repeat(40));
    assert_eq!(
        world
            .get(&format!("/tasks/logs/challenge?address={long}"))
            .await
            .status,
        400
    );
    assert_eq!(world.get("/tasks/logs/challenge").await.status, 400);
}

async fn challenge(world: &World, reader: &PrivateKeySigner) -> Challenge {
    let answer = world
        .get(&format!(
            "/tasks/logs/challenge?address={}",
            reader.address()
        ))
        .await;
    let text = answer.json()["message"]["challenge"]
        .as_str()
        .unwrap()
        .to_owned();
    Challenge::of_scheduler(support::node::CHAIN_ID, text)
}

async fn token(world: &World, reader: &PrivateKeySigner) -> String {
    let challenge = challenge(world, reader).await;
    let signature = poco::signing::sign_raw(reader, challenge.digest()).unwrap();
    Token::new(&challenge, &signature, reader.address()).to_string()
}

async fn read(world: &World, path: &str, token: &str) -> (u16, String) {
    let answer = world
        .call(Method::GET, path, &[("Authorization", token)], None)
        .await;
    (answer.status.as_u16(), answer.text)
}

#[tokio::test]
async fn the_requester_reads_what_the_app_wrote() {
    let world = World::new().await;
    let (task, worker) = computed(&world).await;
    let token = token(&world, &FakeNode::requester()).await;
    let wallet = worker.wallet();
    let own = format!(r#"{{"walletAddress":"{wallet}","stdout":"hello\n","stderr":"warn\n"}}"#);
    let all = format!(r#"{{"chainTaskId":"{task}","computeLogsList":[{own}]}}"#);
    assert_eq!(
        read(&world, &format!("/tasks/{task}/logs"), &token).await,
        (200, all.clone())
    );
    assert_eq!(
        read(
            &world,
            &format!("/tasks/{task}/replicates/{wallet}/logs"),
            &token
        )
        .await,
        (200, own)
    );
    // Q3, kept: a token is good for several calls.
    assert_eq!(
        read(&world, &format!("/tasks/{task}/logs"), &token).await,
        (200, all)
    );
}

#[tokio::test]
async fn nobody_else_reads_them() {
    let world = World::new().await;
    let (task, _) = computed(&world).await;
    let path = format!("/tasks/{task}/logs");
    let no_header = world.get(&path).await;
    assert_eq!(no_header.status, 400);

    for malformed in ["nothing", "a_b", "a_b_c_d"] {
        let (status, body) = read(&world, &path, malformed).await;
        assert_eq!(status, 401, "{malformed}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert!(body["error"].is_string(), "the SDK shows the member error");
    }
    let stranger = PrivateKeySigner::from_slice(&[9; 32]).unwrap();
    let of_stranger = token(&world, &stranger).await;
    assert_eq!(read(&world, &path, &of_stranger).await.0, 403);

    let requester = FakeNode::requester();
    let asked = challenge(&world, &requester).await;
    let forged = poco::signing::sign_raw(&stranger, asked.digest()).unwrap();
    let forged = Token::new(&asked, &forged, requester.address()).to_string();
    assert_eq!(read(&world, &path, &forged).await.0, 401);
    let hash = format!("{:#x}", asked.digest());
    for signature in [
        "0x",
        "0x1234",
        "zz",
        &format!("0x{}", "05".repeat(65)),
        &format!("0x{}", "ff".repeat(65)),
    ] {
        // Q7: some of these gave 500.
        let malformed = format!("{hash}_{signature}_{:#x}", requester.address());
        assert_eq!(read(&world, &path, &malformed).await.0, 401, "{signature}");
    }
    let unknown = format!("/tasks/{UNKNOWN_TASK}/logs");
    let good = token(&world, &requester).await;
    assert_eq!(
        read(&world, &unknown, &good).await.0,
        403,
        "nobody bought that task here"
    );
}

#[tokio::test]
async fn a_reader_of_logs_is_weighed_in_the_document_s_order() {
    // Spec scheduler-api §4.2: each row is refused for its own reason, though what stands below would refuse it too.
    let world = World::new().await;
    let task = world.deal(1, 1).await[0];
    let (requester, stranger) = (
        FakeNode::requester(),
        PrivateKeySigner::from_slice(&[9; 32]).unwrap(),
    );
    let unsigned = |who: &PrivateKeySigner| format!("0x12_0x34_{:#x}", who.address());
    let good = token(&world, &requester).await;
    let nobody = "0x1a69b2eb604db8eba185df03ea4f5288dcbbd248";
    for (known, unknown) in [
        (
            format!("/tasks/{task}/logs"),
            format!("/tasks/{UNKNOWN_TASK}/logs"),
        ),
        (
            format!("/tasks/{task}/replicates/{nobody}/logs"),
            format!("/tasks/{UNKNOWN_TASK}/replicates/{nobody}/logs"),
        ),
    ] {
        assert_eq!(world.get(&unknown).await.status, 400, "no header");
        let rows = [
            (&unknown, "a_b", 401, "three parts, before the task"),
            (
                &unknown,
                &unsigned(&requester),
                403,
                "the task, before the signature",
            ),
            (
                &known,
                &unsigned(&stranger),
                403,
                "the requester, before the signature",
            ),
            (
                &known,
                &unsigned(&requester),
                401,
                "the signature, before the logs",
            ),
            (&known, &good, 404, "the logs"),
        ];
        for (path, token, status, what) in rows {
            let headers = [("Authorization", token)];
            let answer = world.call(Method::GET, path, &headers, None).await;
            assert_eq!(answer.status.as_u16(), status, "{path}: {what}");
            // The SDK takes nothing but JSON, and shows this member to its user.
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert!(answer.json()["error"].is_string());
        }
    }
    // Its address is read in any letter case.
    let parts: Vec<_> = good.split('_').collect();
    let shouting = format!("{}_{}_{}", parts[0], parts[1], requester.address());
    let path = format!("/tasks/{task}/logs");
    assert_eq!(read(&world, &path, &shouting).await.0, 404);
}

#[tokio::test]
async fn logs_that_are_not_there_are_404() {
    let world = World::new().await;
    let task = world.deal(1, 3).await[0];
    let good = token(&world, &FakeNode::requester()).await;
    assert_eq!(
        read(&world, &format!("/tasks/{task}/logs"), &good).await.0,
        404
    );
    let worker = world.registered(1).await;
    worker.ask(&world).await;
    worker.compute(&world, task).await;
    let silent = world.registered(2).await;
    assert_eq!(silent.ask(&world).await.status, 200);
    // Q19: 500 in the original.
    let path = format!("/tasks/{task}/replicates/{}/logs", silent.wallet());
    assert_eq!(read(&world, &path, &good).await.0, 404);
}
