//! A config server over real connections.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops at once on what cannot happen"
)]

use chassis::Shutdown;
use chassis::env::MapEnv;
use config_server::{Running, Settings, run};
use url::Url;
use wire::config::ConfigClient;

fn settings() -> Settings {
    Settings::from_env(&env()).unwrap()
}

fn env() -> MapEnv {
    MapEnv::from([
        ("IEXEC_CHAIN_ID", "65535"),
        ("IEXEC_IS_SIDECHAIN", "false"),
        ("IEXEC_BLOCKCHAIN_NODE_ADDRESS", "http://127.0.0.1:8545"),
        (
            "IEXEC_HUB_ADDRESS",
            "0x5FC8d32690cc91D4c39d9d3abcBD16989F875707",
        ),
        ("IEXEC_BLOCK_TIME", "PT1S"),
        ("IEXEC_CONFIG_SERVER_PORT", "0"),
        ("WORKERPOOL_CONFIG_SERVER_HOST", "127.0.0.1"),
    ])
}

async fn started(shutdown: &Shutdown) -> (Running, String) {
    let running = run(settings(), shutdown.clone()).await.unwrap();
    let base = format!("http://{}", running.addr);
    (running, base)
}

async fn get(url: String) -> (u16, String) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = client.get(url).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn the_chain_is_told_in_exactly_five_keys() {
    let shutdown = Shutdown::new();
    let (running, base) = started(&shutdown).await;
    let (status, body) = get(format!("{base}/config/chain")).await;
    assert_eq!(status, 200);
    // As recorded between the original's programs.
    assert_eq!(
        body,
        r#"{"chainId":65535,"sidechain":false,"chainNodeUrl":"http://127.0.0.1:8545","iexecHubContractAddress":"0x5FC8d32690cc91D4c39d9d3abcBD16989F875707","blockTime":"PT1S"}"#
    );
    let client = ConfigClient::new(Url::parse(&base).unwrap()).unwrap();
    assert_eq!(client.chain().await.unwrap(), settings().chain);
    shutdown.trigger();
    running.ended().await.unwrap();
}

#[tokio::test]
async fn version_and_health_are_told_and_nothing_else_is_there() {
    let (_running, base) = started(&Shutdown::new()).await;
    assert_eq!(
        get(format!("{base}/version")).await,
        (200, env!("CARGO_PKG_VERSION").to_owned())
    );
    let (status, health) = get(format!("{base}/actuator/health")).await;
    assert_eq!(
        (status, health.as_str()),
        (
            200,
            r#"{"status":"UP","components":{"ping":{"status":"UP"}}}"#
        )
    );
    assert_eq!(get(format!("{base}/config/other")).await.0, 404);
}

#[tokio::test]
async fn with_a_certificate_it_serves_tls() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(path("chain.pem"), made.cert.pem()).unwrap();
    std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let env = env()
        .with(
            "WORKERPOOL_CONFIG_SERVER_TLS_CERTIFICATE",
            path("chain.pem"),
        )
        .with("WORKERPOOL_CONFIG_SERVER_TLS_KEY", path("key.pem"));
    let settings = Settings::from_env(&env).unwrap();
    let shutdown = Shutdown::new();
    let running = run(settings.clone(), shutdown.clone()).await.unwrap();
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_der(made.cert.der()).unwrap()])
        .resolve("localhost", running.addr)
        .build()
        .unwrap();
    let url = format!("https://localhost:{}/version", running.addr.port());
    assert_eq!(client.get(url).send().await.unwrap().status(), 200);
    shutdown.trigger();
    running.ended().await.unwrap();

    std::fs::remove_file(path("chain.pem")).unwrap();
    let error = run(settings, Shutdown::new())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("(WORKERPOOL_CONFIG_SERVER_TLS_CERTIFICATE) cannot be read"),
        "{error}"
    );
}

#[tokio::test]
async fn a_second_one_on_the_same_port_says_so() {
    let (running, _) = started(&Shutdown::new()).await;
    let second = Settings {
        listen: running.addr,
        ..settings()
    };
    let error = run(second, Shutdown::new()).await.unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("port {} is already taken", running.addr.port())),
        "{error}"
    );
    assert!(error.contains("set IEXEC_CONFIG_SERVER_PORT"), "{error}");
}
