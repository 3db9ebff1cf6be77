//! Links and addresses in answers, behind a proxy and with TLS (spec scheduler-api §4.1, Q44).
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at once on what cannot happen"
)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;

use chassis::Shutdown;
use futures_util::StreamExt as _;
use poco::ids::TaskId;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use reqwest::Method;
use serde_json::Value;
use support::node::{CHAIN_ID, POOL};
use support::{FakeNode, World, settings};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::{Connector, client_async_tls_with_config};

const BEHIND_A_PROXY: [(&str, &str); 1] = [("SERVER_FORWARDHEADERSSTRATEGY", "framework")];
const BY_PROXY: [(&str, &str); 3] = [
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "pool.example:8443"),
    ("x-forwarded-for", "192.0.2.1"),
];

async fn given(world: &World) -> TaskId {
    let task = world.deal(1, 1).await[0];
    let worker = world.registered(1).await;
    assert_eq!(worker.ask(world).await.status, 200);
    task
}

async fn get(world: &World, path: &str, headers: &[(&str, &str)]) -> Value {
    let answer = world.call(Method::GET, path, headers, None).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

fn self_link(task: &Value) -> String {
    task["replicates"][0]["self"].as_str().unwrap().to_owned()
}

/// What the push channel says first over a WebSocket with TLS.
async fn first_frame(addr: SocketAddr, root: &CertificateDer<'static>) -> String {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let url = "wss://localhost/connect/000/abcdefgh/websocket";
    let connection = TcpStream::connect(addr).await.unwrap();
    let connector = Some(Connector::Rustls(Arc::new(config)));
    let opening = client_async_tls_with_config(url, connection, None, connector);
    let (mut socket, _) = opening.await.unwrap();
    socket
        .next()
        .await
        .unwrap()
        .unwrap()
        .into_text()
        .unwrap()
        .to_string()
}

#[tokio::test]
async fn behind_a_proxy_links_lead_through_it() {
    let world = World::with(&BEHIND_A_PROXY).await;
    let task = given(&world).await;
    let path = format!("/tasks/{task}");
    let link = |headers: &'static [(&'static str, &'static str)]| {
        let (world, path) = (&world, path.as_str());
        async move { self_link(&get(world, path, headers).await) }
    };
    let through = link(&BY_PROXY).await;
    let begins = format!("https://pool.example:8443/tasks/{task}/replicates/0x");
    assert!(through.starts_with(&begins), "{through}");
    let by_rfc = link(&[("forwarded", "proto=https;host=\"pool.example\"")]).await;
    assert!(
        by_rfc.starts_with("https://pool.example/tasks/"),
        "{by_rfc}"
    );
    // What is malformed is as if it were not there.
    let straight = link(&[]).await;
    assert!(straight.starts_with(&world.base), "{straight}");
    let malformed = [("x-forwarded-host", "a b/"), ("x-forwarded-proto", "://")];
    let answer = get(&world, &path, &malformed).await;
    assert_eq!(self_link(&answer), straight);

    let actuator = get(&world, "/actuator", &BY_PROXY).await;
    let health = &actuator["_links"]["health"]["href"];
    assert_eq!(health, "https://pool.example:8443/actuator/health");
    let compass = format!("/{CHAIN_ID}/workerpools/{POOL:#x}");
    let found = get(&world, &compass, &BY_PROXY).await;
    assert_eq!(found["apiUrl"], "https://pool.example:8443");
}

#[tokio::test]
async fn a_public_url_that_is_set_is_not_changed_by_a_proxy() {
    let set = [
        BEHIND_A_PROXY[0],
        ("WORKERPOOL_SCHEDULER_PUBLIC_URL", "https://set.example/"),
    ];
    let world = World::with(&set).await;
    let compass = format!("/{CHAIN_ID}/workerpools/{POOL:#x}");
    let found = get(&world, &compass, &BY_PROXY).await;
    assert_eq!(found["apiUrl"], "https://set.example");
}

#[tokio::test]
async fn without_the_setting_answers_are_the_same_byte_for_byte() {
    // Q44: the original passes over these headers.
    let world = World::new().await;
    let task = given(&world).await;
    for path in [
        format!("/tasks/{task}"),
        format!("/{CHAIN_ID}/workerpools/{POOL:#x}"),
        "/actuator".to_owned(),
    ] {
        let plain = world.get(&path).await.text;
        let told = world.call(Method::GET, &path, &BY_PROXY, None).await.text;
        assert_eq!(told, plain);
        assert!(plain.contains("http://"), "{plain}");
    }
}

#[tokio::test]
async fn with_a_certificate_everything_is_https_and_says_so() {
    let node = FakeNode::start().await;
    let folder = tempfile::tempdir().unwrap();
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("chain.pem"), cert.pem()).unwrap();
    std::fs::write(path("key.pem"), signing_key.serialize_pem()).unwrap();
    let (chain, key) = (path("chain.pem"), path("key.pem"));
    let tls = [
        ("WORKERPOOL_SCHEDULER_TLS_CERTIFICATE", chain.as_str()),
        ("WORKERPOOL_SCHEDULER_TLS_KEY", key.as_str()),
        ("MANAGEMENT_SERVER_PORT", "0"),
        ("WORKERPOOL_SCHEDULER_PUSH_WEBSOCKET", "true"),
    ];
    let shutdown = Shutdown::new();
    let running = scheduler::run(settings(&node, &folder, &tls), shutdown.clone())
        .await
        .unwrap();
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_der(cert.der()).unwrap()])
        .resolve("localhost", running.addr)
        .build()
        .unwrap();
    let base = format!("https://localhost:{}", running.addr.port());
    let compass = format!("{base}/{CHAIN_ID}/workerpools/{POOL:#x}");
    let found: Value = client
        .get(compass)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(found["apiUrl"], base);
    // The actuator's own port is for operators and stays plain.
    let actuator = format!("http://{}/actuator", running.management.unwrap());
    let links: Value = reqwest::get(&actuator).await.unwrap().json().await.unwrap();
    assert_eq!(links["_links"]["self"]["href"], actuator);
    assert_eq!(first_frame(running.addr, cert.der()).await, "o");
    shutdown.trigger();
    running.ended().await.unwrap();

    std::fs::write(&key, "nothing").unwrap();
    let refused = scheduler::run(settings(&node, &folder, &tls), Shutdown::new()).await;
    let error = refused.unwrap_err();
    assert_eq!(error.exit_code(), 64);
    assert!(
        error.to_string().contains("(WORKERPOOL_SCHEDULER_TLS_KEY)"),
        "{error}"
    );
}
