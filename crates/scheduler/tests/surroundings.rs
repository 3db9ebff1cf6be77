//! What operators and other services see: figures, health, version, compass; and notices over a WebSocket.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at once on what cannot happen"
)]

mod support;

use alloy_primitives::B256;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use support::node::{CHAIN_ID, POOL};
use support::{TestWorker, World, eventually, shown};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

#[tokio::test]
async fn the_figures_have_every_member_in_the_original_s_order() {
    let world = World::new().await;
    let worker = world.registered(1).await;
    let task = world.deal(2, 1).await[0];
    worker.ask(&world).await;
    worker.ask(&world).await;
    let answer = world.get("/metrics").await;
    let metrics = answer.json();
    let block = metrics["latestBlockMetric"].clone();
    let mut text = answer.text.clone();
    for member in ["blockNumber", "blockHash", "blockTimestamp"] {
        text = text.replace(
            &format!("\"{member}\":{}", block[member]),
            &format!("\"{member}\":<{member}>"),
        );
    }
    insta::assert_snapshot!("metrics", shown(&text, &world.base));
    assert!(world.get(&format!("/tasks/{task}")).await.status == 200);
}

#[tokio::test]
async fn prometheus_gets_the_original_s_names() {
    let world = World::with(&[("CRON_METRICS_REFRESH_PERIOD", "100")]).await;
    world.registered(1).await;
    let task = world.deal(1, 1).await[0];
    let text = eventually("the figures are counted", async || {
        let text = world.get("/actuator/prometheus").await.text;
        (text.contains("iexec_core_workers 1\n") && text.contains("status=\"INITIALIZED\"} 1\n"))
            .then_some(text)
    })
    .await;
    // Spec scheduler-api §8, name by name: type, and samples where they are known.
    let by_status =
        |status: &str, count: u8| format!("{{period=\"current\",status=\"{status}\"}} {count}");
    let mut tasks: Vec<String> = wire::status::TaskStatus::ALL
        .iter()
        .map(|status| by_status(status.name(), u8::from(status.name() == "INITIALIZED")))
        .collect();
    assert_eq!(tasks.len(), 21);
    let version = "{iexecAppName=\"iexec-core\",iexecAppVersion=\"9.3.0\"} 1".to_owned();
    let table: [(&str, &str, &[String]); 12] = [
        ("iexec_version_info", "gauge", &[version]),
        ("iexec_core_workers", "gauge", &[" 1".into()]),
        ("iexec_core_cpu_computing", "gauge", &[" 0".into()]),
        ("iexec_core_cpu_registered", "gauge", &[" 2".into()]),
        ("iexec_core_gpu_computing", "gauge", &[" 0".into()]),
        ("iexec_core_gpu_registered", "gauge", &[" 0".into()]),
        (
            "iexec_core_tasks_count",
            "gauge",
            &std::mem::take(&mut tasks),
        ),
        ("iexec_core_deals_events_total", "counter", &[" 1".into()]),
        ("iexec_core_deals_total", "counter", &[" 1".into()]),
        ("iexec_core_deals_replay_total", "counter", &[" 0".into()]),
        ("iexec_core_deals_last_block_total", "counter", &[]),
        ("iexec_chain_block_latest", "gauge", &[]),
    ];
    for (name, kind, samples) in table {
        let typed = format!("# TYPE {name} {kind}");
        let lines = samples.iter().map(|sample| format!("{name}{sample}"));
        for line in lines.chain([typed]) {
            assert!(
                text.lines().any(|one| one == line),
                "{line} is missing in\n{text}"
            );
        }
    }
    assert!(
        !text.contains(&task.to_string()),
        "no task is a label\n{text}"
    );
    for name in [
        "iexec_core_deals_last_block_total ",
        "iexec_chain_block_latest ",
    ] {
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        assert!(value.parse::<u64>().unwrap() > 0, "{name}{value}");
    }
}

#[tokio::test]
async fn version_health_and_info() {
    let world = World::new().await;
    let version = world.get("/version").await;
    assert_eq!(version.text, "9.3.0");
    assert_eq!(
        version.header("content-type"),
        Some("text/plain;charset=UTF-8")
    );
    let answer = world.get("/actuator/health").await;
    assert_eq!(
        answer.header("content-type"),
        Some("application/vnd.spring-boot.actuator.v3+json")
    );
    let health = answer.json();
    assert_eq!(health["status"], "UP");
    let components: Vec<_> = health["components"].as_object().unwrap().iter().collect();
    let components: Vec<_> = components
        .iter()
        .map(|(name, one)| (name.as_str(), one["status"].as_str().unwrap()))
        .collect();
    assert_eq!(
        components,
        [
            ("blockchainConnection", "UP"),
            ("diskSpace", "UP"),
            ("ping", "UP")
        ]
    );
    let details = &health["components"]["blockchainConnection"]["details"];
    assert_eq!(details["consecutiveFailures"], 0);
    assert_eq!(details["pollingInterval"], "PT0.1S");
    let info = world.get("/actuator/info").await;
    assert_eq!(
        info.text,
        r#"{"build":{"artifact":"iexec-core","name":"iexec-core","version":"9.3.0","group":"com.iexec.core"}}"#
    );
    let links = world.get("/actuator").await;
    insta::assert_snapshot!("actuator", shown(&links.text, &world.base));
    for (name, status) in [("ping", 200), ("blockchainConnection", 200), ("mongo", 404)] {
        let one = world.get(&format!("/actuator/health/{name}")).await;
        assert_eq!(one.status.as_u16(), status, "{name}");
        if status == 200 {
            let whole = format!("\"{name}\":{}", one.text);
            let without_figures = whole.split("\"details\"").next().unwrap();
            assert!(answer.text.contains(without_figures), "{whole}");
        }
    }
    let figures = [
        "latestBlockAgeMs",
        "latestBlockRead",
        "total",
        "free",
        "path",
    ];
    let health = figures.iter().fold(answer.text, |text, member| {
        let (before, after) = text.split_once(&format!("\"{member}\":")).unwrap();
        let end = after.find([',', '}']).unwrap();
        format!("{before}\"{member}\":<{member}>{}", &after[end..])
    });
    insta::assert_snapshot!("health", shown(&health, &world.base));
}

#[tokio::test]
async fn a_pool_that_cannot_read_what_happens_is_out_of_service() {
    let threshold = [("WORKERPOOL_SCHEDULER_OUT_OF_SERVICE_THRESHOLD", "PT2S")];
    let world = World::with(&threshold).await;
    let worker = world.registered(1).await;
    world.deal(1, 1).await;
    world.node.chain().failing.insert("eth_getLogs".to_owned());
    eventually("it is out of service", async || {
        // Fresh blocks, one after the other.
        world.node.mine(&[]);
        (world.get("/actuator/health").await.status == 503).then_some(())
    })
    .await;
    assert_eq!(worker.ask(&world).await.status, 503);
    world.node.chain().failing.clear();
    eventually("it is in service again", async || {
        // It reads again after a pause, and by then a chain has newer blocks.
        world.node.mine(&[]);
        (world.get("/actuator/health").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_pool_that_is_out_of_service_says_since_when() {
    let world = World::not_in_service(support::FakeNode::start().await, &[]).await;
    let first = world.get("/actuator/health").await.json();
    let connection = &first["components"]["blockchainConnection"];
    if connection["status"] == "OUT_OF_SERVICE" {
        assert!(
            connection["details"].get("firstFailure").is_none(),
            "it was never well: {connection}"
        );
    }
    world.wait_for_service().await;
    world.node.grow_stale();
    let health = eventually("it is out of service", async || {
        let answer = world.get("/actuator/health").await;
        (answer.status == 503).then(|| answer.json())
    })
    .await;
    assert_eq!(health["status"], "OUT_OF_SERVICE");
    let details = &health["components"]["blockchainConnection"]["details"];
    assert!(details["consecutiveFailures"].as_u64() >= Some(1));
    let since = details["firstFailure"].as_str().unwrap();
    assert_eq!(since.len(), "2026-01-02T03:04:05.123".len(), "{since}");
    world.node.mine(&[]);
    world.wait_for_service().await;
}

#[tokio::test]
async fn the_compass_knows_its_own_pool_only() {
    let world = World::with(&[("WORKERPOOL_SCHEDULER_PUBLIC_URL", "https://pool.example/")]).await;
    let answer = world
        .get(&format!(
            "/{CHAIN_ID}/workerpools/{}",
            POOL.to_checksum(None)
        ))
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.text.as_str()),
        (200, r#"{"apiUrl":"https://pool.example"}"#)
    );
    let other_chain = world.get(&format!("/134/workerpools/{POOL:#x}")).await;
    assert_eq!(other_chain.status, 404);
    assert!(other_chain.json()["error"].is_string());
    let other_pool = world
        .get(&format!("/{CHAIN_ID}/workerpools/0x{}", "ab".repeat(20)))
        .await;
    assert_eq!(other_pool.status, 404);
}

#[tokio::test]
async fn without_a_public_url_the_compass_names_this_machine() {
    let world = World::new().await;
    let answer = world
        .get(&format!("/{CHAIN_ID}/workerpools/{POOL:#x}"))
        .await;
    let port = world.base.rsplit(':').next().unwrap();
    assert_eq!(answer.json()["apiUrl"], format!("http://localhost:{port}"));
}

type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn listen(world: &World, worker: &TestWorker, after: u64) -> Socket {
    let url = format!(
        "{}/workers/events?after={after}",
        world.base.replace("http", "ws")
    );
    let mut request = url.into_client_request().unwrap();
    request
        .headers_mut()
        .insert("authorization", worker.bearer().parse().unwrap());
    tokio_tungstenite::connect_async(request).await.unwrap().0
}

async fn next_event(socket: &mut Socket) -> Value {
    let next = async {
        loop {
            let message = socket.next().await.unwrap().unwrap();
            if message.is_text() {
                return serde_json::from_str(message.to_text().unwrap()).unwrap();
            }
        }
    };
    tokio::time::timeout(support::PATIENCE, next).await.unwrap()
}

#[tokio::test]
async fn a_worker_that_listens_is_told_to_reveal() {
    let world = World::new().await;
    let worker = world.registered(1).await;
    let task = support::contributed(&world, &worker).await;
    let mut socket = listen(&world, &worker, 0).await;
    let block = world.node.consensus(task, B256::repeat_byte(1));
    let event = next_event(&mut socket).await;
    let expected = json!({
        "chainTaskId": task, "workersAddress": [worker.wallet()], "taskNotificationType": "PLEASE_REVEAL",
        "taskNotificationExtra": {"workerpoolAuthorization": null, "smsUrl": null, "blockNumber": block, "taskAbortCause": null},
    });
    assert_eq!(event["notification"], expected);
    assert!(event["seq"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn a_worker_that_comes_back_is_sent_what_it_missed_and_nothing_twice() {
    let mut world = World::new().await;
    let worker = world.registered(1).await;
    let first = support::contributed(&world, &worker).await;
    let mut socket = listen(&world, &worker, 0).await;
    world.node.consensus(first, B256::repeat_byte(1));
    let seen = next_event(&mut socket).await["seq"].as_u64().unwrap();
    drop(socket);

    let second = support::contributed(&world, &worker).await;
    world.node.consensus(second, B256::repeat_byte(1));
    world.task_becomes(second, "CONSENSUS_REACHED").await;
    // Not even a restart loses it.
    world.restart().await;
    let mut socket = listen(&world, &worker, seen).await;
    let event = next_event(&mut socket).await;
    assert_eq!(event["notification"]["chainTaskId"], json!(second));
    assert_eq!(
        event["notification"]["taskNotificationType"],
        "PLEASE_REVEAL"
    );
    assert!(event["seq"].as_u64().unwrap() > seen);
}

#[tokio::test]
async fn a_worker_that_never_listened_is_told_what_it_needs_to_know_now() {
    let world = World::new().await;
    let worker = world.registered(1).await;
    let task = support::contributed(&world, &worker).await;
    world.node.consensus(task, B256::repeat_byte(1));
    world.task_becomes(task, "CONSENSUS_REACHED").await;
    let other = world.registered(2).await;
    let mut foreign = listen(&world, &other, 0).await;
    // A number that this database never gave.
    let mut socket = listen(&world, &worker, 1_000_000).await;
    let told = next_event(&mut socket).await;
    assert_eq!(
        told["notification"]["taskNotificationType"],
        "PLEASE_REVEAL"
    );
    let nothing = tokio::time::timeout(support::node::BLOCK_TIME * 3, foreign.next()).await;
    assert!(nothing.is_err(), "others are not told");
}

#[tokio::test]
async fn nobody_listens_without_a_token() {
    let world = World::new().await;
    assert_eq!(world.get("/workers/events").await.status, 400);
    let answer = world
        .call(
            reqwest::Method::GET,
            "/workers/events",
            &[("Authorization", "Bearer x")],
            None,
        )
        .await;
    assert_eq!(answer.status, 401);
}
