//! Registering and giving work (spec scheduler-api §3.3 to §3.7).
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at once on what cannot happen"
)]

mod support;

use alloy_primitives::Address;
use reqwest::Method;
use serde_json::{Value, json};
use support::{World, machine, shown};

#[tokio::test]
async fn the_public_configuration_and_its_hash() {
    let world = World::with(&[
        ("POOL_ADDRESS", "0x365E7BABAa85eC61Dffe5b520763062e6C29dA27"),
        ("IEXEC_RESULT_REPOSITORY_URL", "http://results:13200"),
        ("IEXEC_ASK_REPLICATE_PERIOD", "5000"),
        ("IEXEC_CORE_REQUIRED_WORKER_VERSION", "v9"),
    ])
    .await;
    let config = world.get("/workers/config").await;
    let owner = poco::hex::lower(&world.node.owner().address());
    let expected = format!(
        r#"{{"workerPoolAddress":"0x365E7BABAa85eC61Dffe5b520763062e6C29dA27","schedulerPublicAddress":"{owner}","configServerUrl":"{}","resultRepositoryURL":"http://results:13200","askForReplicatePeriod":5000,"requiredWorkerVersion":"v9"}}"#,
        world.node.url()
    );
    assert_eq!(
        config.text, expected,
        "addresses and URLs go out letter by letter as they were set"
    );
    let worker = world.worker(1).await;
    let ping = worker.post(&world, "/workers/ping", &Value::Null).await;
    let configuration: wire::message::PublicConfiguration =
        serde_json::from_str(&config.text).unwrap();
    assert_eq!(ping.text, format!("{:#x}", configuration.hash()));
}

#[tokio::test]
async fn a_registration_is_answered_with_the_worker_as_it_is_stored() {
    let world = World::new().await;
    let worker = world.worker(1).await;
    let answer = worker.post(&world, "/workers/register", &machine(3)).await;
    assert_eq!(answer.status, 200);
    insta::assert_snapshot!("registered", shown(&answer.text, &world.base));

    let mut with_gpu = machine(8);
    with_gpu["gpuEnabled"] = json!(true);
    with_gpu["teeEnabled"] = json!(true);
    // Java workers may tell absurd memory (spec scheduler-api Q29), and extra members are ignored.
    with_gpu["memorySize"] = json!(-3);
    with_gpu["extra"] = json!({"a": 1});
    let again = worker
        .post(&world, "/workers/register", &with_gpu)
        .await
        .json();
    assert_eq!(again["maxNbTasks"], 1);
    assert_eq!(again["memorySize"], -3);
    assert_eq!(again["excludedTags"], json!([]));
    assert_eq!(again["id"], answer.json()["id"]);
}

#[tokio::test]
async fn nobody_gets_work_before_the_chain_is_fresh() {
    let node = support::FakeNode::start().await;
    node.grow_stale();
    let world = World::not_in_service(node, &[]).await;
    let worker = world.registered(1).await;
    let asked = worker.ask(&world).await;
    assert_eq!((asked.status.as_u16(), asked.text.as_str()), (503, ""));
    assert_eq!(asked.header("retry-after"), None);
    assert_eq!(world.get("/actuator/health").await.status, 503);
    let health = world.get("/actuator/health/blockchainConnection").await;
    assert_eq!(health.json()["status"], "OUT_OF_SERVICE");
    // Everything else goes on.
    assert_eq!(
        worker
            .post(&world, "/workers/ping", &Value::Null)
            .await
            .status,
        200
    );
    assert_eq!(
        worker
            .get(&world, "/replicates/interrupted?blockNumber=0")
            .await
            .text,
        "[]"
    );

    world.node.mine(&[]);
    world.wait_for_service().await;
    assert_eq!(worker.ask(&world).await.status, 204);
}

#[tokio::test]
async fn asks_that_cannot_be_served_are_204() {
    let world = World::new().await;
    let task = world.deal(1, 1).await[0];
    let stranger = world.worker(1).await;
    assert_eq!(stranger.ask(&world).await.status, 204, "never registered");
    let worker = world.registered(2).await;
    assert_eq!(
        worker
            .get(&world, "/replicates/available?blockNumber=0")
            .await
            .status,
        204,
        "its node is not synchronised"
    );
    assert_eq!(
        worker
            .get(&world, "/replicates/available?blockNumber=-1")
            .await
            .status,
        204
    );
    let idle = world.registered(3).await;
    let none = idle.post(&world, "/workers/register", &machine(0)).await;
    assert_eq!(none.status, 200);
    assert_eq!(idle.ask(&world).await.status, 204, "it has no slot");

    assert_eq!(worker.ask(&world).await.status, 200);
    world.task_becomes(task, "INITIALIZED").await;
    let second = world.registered(4).await;
    assert_eq!(
        second.ask(&world).await.status,
        204,
        "one replicate is enough for trust 1"
    );
}

#[tokio::test]
async fn an_ask_without_a_block_number_is_400() {
    let world = World::new().await;
    let worker = world.registered(1).await;
    for path in [
        "/replicates/available",
        "/replicates/available?blockNumber=many",
        "/replicates/interrupted",
    ] {
        assert_eq!(worker.get(&world, path).await.status, 400, "{path}");
    }
}

#[tokio::test]
async fn an_ask_too_soon_after_the_last_one_is_204() {
    let world = World::with(&[("IEXEC_ASK_REPLICATE_PERIOD", "60000")]).await;
    let worker = world.registered(1).await;
    assert_eq!(worker.ask(&world).await.status, 204, "there is no task yet");
    world.deal(1, 1).await;
    assert_eq!(
        worker.ask(&world).await.status,
        204,
        "a minute has not passed"
    );
    let other = world.registered(2).await;
    assert_eq!(other.ask(&world).await.status, 200);
}

#[tokio::test]
async fn a_worker_that_cannot_pay_for_its_transactions_gets_no_work() {
    let world = World::new().await;
    world.deal(1, 1).await;
    world.node.chain().balance = 5;
    let poor = world.registered(1).await;
    assert_eq!(poor.ask(&world).await.status, 204);
    // An RPC error is not an answer: it holds nobody back.
    world
        .node
        .chain()
        .failing
        .insert("eth_getBalance".to_owned());
    let unknown = world.registered(2).await;
    assert_eq!(unknown.ask(&world).await.status, 200);
}

#[tokio::test]
async fn a_given_task_comes_with_an_authorization_of_the_pool_s_owner() {
    let world = World::new().await;
    let task = world.deal(1, 1).await[0];
    let worker = world.registered(1).await;
    let given = worker.ask(&world).await;
    assert_eq!(given.status, 200);
    insta::assert_snapshot!("given", shown(&given.text, &world.base));
    let body = given.json();
    let signature = body["workerpoolAuthorization"]["signature"]["value"]
        .as_str()
        .unwrap();
    let hash = poco::authorization::hash(worker.address(), task, Address::ZERO);
    assert!(poco::signing::is_valid_prefixed(
        hash,
        signature,
        world.node.owner().address()
    ));
    assert_eq!(
        worker.get(&world, "/workers/computing").await.json(),
        json!([task])
    );
}

#[tokio::test]
async fn an_ask_that_may_wait_is_held_until_there_is_work() {
    let world = World::new().await;
    let worker = world.registered(1).await;
    let (asked, tasks) = tokio::join!(worker.ask_and_wait(&world), world.deal(1, 1));
    assert_eq!(asked.status, 200);
    assert_eq!(asked.header("workerpool-features"), Some("wait"));
    assert_eq!(
        asked.json()["workerpoolAuthorization"]["chainTaskId"],
        json!(tasks[0])
    );
}

#[tokio::test]
async fn head_works_where_get_does_and_odd_paths_are_refused() {
    let world = World::new().await;
    assert_eq!(
        world.call(Method::HEAD, "/version", &[], None).await.status,
        200
    );
    assert_eq!(world.get("/version/").await.status, 404);
    assert_eq!(world.get("//version").await.status, 400);
    assert_eq!(world.get("/nothing").await.json()["error"], "Not Found");
    assert_eq!(
        world
            .call(Method::POST, "/version", &[], None)
            .await
            .header("allow"),
        Some("GET,HEAD")
    );
}

#[tokio::test]
async fn an_ask_is_weighed_in_the_document_s_order() {
    // Spec scheduler-api §3.7: each row is refused for its own reason, though what stands below would refuse it too.
    let world = World::with(&[("IEXEC_ASK_REPLICATE_PERIOD", "60000")]).await;
    let worker = world.registered(1).await;
    let ask = async |headers: &[(&str, &str)], block: &str| {
        let path = format!("/replicates/available?blockNumber={block}");
        world.call(Method::GET, &path, headers, None).await.status
    };
    let bearer = worker.bearer();
    let (good, bad) = (
        [("Authorization", bearer.as_str())],
        [("Authorization", "Bearer x")],
    );
    world.node.grow_stale();
    support::eventually("the pool is out of service", async || {
        (world.get("/actuator/health").await.status == 503).then_some(())
    })
    .await;
    assert_eq!(ask(&bad, "many").await, 400, "the question cannot be read");
    assert_eq!(ask(&bad, "1").await, 401, "the token, before the chain");
    assert_eq!(ask(&good, "0").await, 503, "the chain, before the block");
    world.node.mine(&[]);
    world.wait_for_service().await;
    world.deal(1, 1).await;
    // That was no ask; this one is, and is written down although it gets nothing.
    assert_eq!(ask(&good, "0").await, 204, "its node is not synchronised");
    let block = world.node.head().to_string();
    assert_eq!(ask(&good, &block).await, 204, "too soon after the last one");
    let other = world.registered(2).await;
    assert_eq!(other.ask(&world).await.status, 200, "the task was there");
}

#[tokio::test]
async fn what_a_worker_can_run_decides_which_tags_it_is_not_given() {
    let world = World::new().await;
    let (scone, gramine, tdx) = ("3", "5", "9");
    let rows: [(bool, bool, &[&str]); 4] = [
        (false, false, &[tdx, scone, gramine]),
        (false, true, &[scone, gramine]),
        (true, false, &[tdx]),
        (true, true, &[]),
    ];
    let worker = world.worker(1).await;
    for (sgx, with_tdx, excluded) in rows {
        let mut model = machine(2);
        model["teeEnabled"] = json!(sgx);
        model["tdxEnabled"] = json!(with_tdx);
        let answer = worker.post(&world, "/workers/register", &model).await;
        let excluded: Vec<_> = excluded.iter().map(|tag| format!("0x{tag:0>64}")).collect();
        assert_eq!(answer.json()["excludedTags"], json!(excluded));
    }
}

#[tokio::test]
async fn a_worker_is_who_its_token_says_and_not_who_it_says_it_is() {
    let world = World::new().await;
    let worker = world.worker(1).await;
    let mut model = machine(2);
    model["walletAddress"] = json!("0x1a69b2eb604db8eba185df03ea4f5288dcbbd248");
    let answer = worker
        .post(&world, "/workers/register", &model)
        .await
        .json();
    assert_eq!(answer["walletAddress"], worker.wallet());
}
