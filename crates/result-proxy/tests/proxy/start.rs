//! What the proxy does with a world that is not as configured.

use alloy_primitives::Address;
use chassis::Shutdown;
use chassis::env::MapEnv;
use result_proxy::{ChainError, RunError, Settings};
use serde_json::Value;

use crate::world::World;

#[tokio::test]
async fn a_node_of_another_chain_is_told_apart_at_start() {
    let world = World::new().await;
    let mut settings = world.elsewhere();
    settings.chain_id = 134;
    let error = result_proxy::run(settings, Shutdown::new())
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        RunError::Chain(ChainError::OtherChain {
            wanted: 134,
            found: 65535
        })
    ));
    let text = error.to_string();
    assert!(
        text.contains("chain 65535") && text.contains("IEXEC_CHAIN_ID"),
        "{text}"
    );
}

#[tokio::test]
async fn an_address_that_is_no_hub_is_told_apart_at_start() {
    let world = World::new().await;
    world.chain.set_no_hub(true);
    let error = result_proxy::run(world.elsewhere(), Shutdown::new())
        .await
        .unwrap_err();
    assert!(
        matches!(error, RunError::Chain(ChainError::NoHub { .. })),
        "{error}"
    );
    let text = error.to_string();
    assert!(
        text.contains(&format!("{:#x}", world.settings.hub)) && text.contains("IEXEC_HUB_ADDRESS"),
        "{text}"
    );
}

#[tokio::test]
async fn a_node_that_is_away_at_start_is_asked_again() {
    let mut world = World::new().await;
    world.chain.set_broken(true);
    world.restart().await;
    let health = world.get("/actuator/health").await;
    assert_eq!(health.status(), 503);
    let health: Value = health.json().await.unwrap();
    assert_eq!(health["components"]["chain"]["status"], "DOWN");
    assert_eq!(world.login(&world.ann).await.status(), 503);

    world.chain.set_broken(false);
    assert_eq!(world.login(&world.ann).await.status(), 200);
    assert_eq!(world.get("/actuator/health").await.status(), 200);
}

#[tokio::test]
async fn with_a_certificate_it_serves_tls() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let env = MapEnv::from([
        (
            "WORKERPOOL_RESULT_PROXY_TLS_CERTIFICATE",
            file("chain.pem", made.cert.pem()),
        ),
        (
            "WORKERPOOL_RESULT_PROXY_TLS_KEY",
            file("key.pem", made.signing_key.serialize_pem()),
        ),
    ]);
    let mut settings = world.elsewhere();
    settings.front = Settings::from_env(&env).unwrap().front;
    let shutdown = Shutdown::new();
    let running = result_proxy::run(settings.clone(), shutdown.clone())
        .await
        .unwrap();
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_der(made.cert.der()).unwrap()])
        .resolve("localhost", running.addr)
        .build()
        .unwrap();
    let url = format!("https://localhost:{}/actuator/health", running.addr.port());
    assert_eq!(client.get(url).send().await.unwrap().status(), 200);
    shutdown.trigger();
    running.finished().await.unwrap();

    file("key.pem", String::new());
    let error = result_proxy::run(settings, Shutdown::new())
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("(WORKERPOOL_RESULT_PROXY_TLS_KEY) is not a PEM file"),
        "{error}"
    );
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let world = World::new().await;
    let mut settings = world.elsewhere();
    settings.listen = world.addr();
    let error = result_proxy::run(settings, Shutdown::new())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(&world.addr().port().to_string())
            && error.contains("IEXEC_RESULT_PROXY_PORT"),
        "{error}"
    );
}

#[tokio::test]
async fn a_data_folder_of_another_hub_is_refused() {
    let mut world = World::new().await;
    world.stop().await;
    let mut settings = world.settings.clone();
    settings.hub = Address::repeat_byte(0x77);
    let error = result_proxy::run(settings, Shutdown::new())
        .await
        .unwrap_err();
    assert!(matches!(error, RunError::Store(_)), "{error}");
    assert!(error.to_string().contains("another hub"), "{error}");
}

#[tokio::test]
async fn a_data_folder_in_use_is_refused() {
    let world = World::new().await;
    let error = result_proxy::run(world.settings.clone(), Shutdown::new())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("in use"), "{error}");
    // Nothing of the proxy that runs there was touched.
    world.uploaded().await;
}
