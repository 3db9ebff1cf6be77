use axum::Router;
use axum::routing::get;

use super::*;
use crate::http::tests::{client_of, service};

async fn answered(body: &'static str) -> Result<PublicChainConfig, ClientError> {
    let base = service(Router::new().route("/config/chain", get(async move || body))).await;
    let client = ConfigClient {
        peer: client_of(base),
    };
    client.chain().await
}

#[tokio::test]
async fn the_chain_is_read() {
    let config = answered(
        r#"{"chainId":65535,"sidechain":false,"chainNodeUrl":"http://127.0.0.1:1","iexecHubContractAddress":"0x5FC8d32690cc91D4c39d9d3abcBD16989F875707","blockTime":"PT1S"}"#,
    );
    assert_eq!(config.await.unwrap().chain_id, 65_535);
}

#[tokio::test]
async fn a_platform_registry_is_not_taken_for_a_config_server() {
    // spec blockchain-adapter B3: both have the same port and the registry answers this path too.
    let error =
        answered(r#"{"name":"config","profiles":["chain"],"label":null,"propertySources":[]}"#)
            .await;
    let text = error.unwrap_err().to_string();
    assert!(
        text.contains("a platform registry is not a config server"),
        "{text}"
    );
}
