//! The API's own document: it names every route that there is, and no other.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at once on what cannot happen"
)]

mod support;

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;
use support::World;

/// A path with something in the place of its names.
fn filled(path: &str) -> String {
    let mut path = path.to_owned();
    for (name, value) in [
        ("{chainTaskId}", format!("0x{}", "11".repeat(32))),
        ("{walletAddress}", format!("0x{}", "22".repeat(20))),
        ("{address}", format!("0x{}", "33".repeat(20))),
        ("{chainId}", "1".to_owned()),
    ] {
        path = path.replace(name, &value);
    }
    path
}

#[tokio::test]
async fn every_route_that_the_document_names_is_there_with_its_methods_and_no_other() {
    let world = World::new().await;
    let document = world.get("/v3/api-docs").await.json();
    assert_eq!(document["info"]["title"], "iExec Core Scheduler");
    assert_eq!(
        document["info"]["version"],
        world.get("/version").await.text
    );
    let nothing = world.get("/nothing/is/here").await.json()["error"].clone();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in [Method::GET, Method::POST] {
            let documented = methods.get(method.as_str().to_lowercase()).is_some();
            let answer = world.call(method.clone(), &filled(path), &[], None).await;
            let framework: Option<Value> = serde_json::from_str(&answer.text).ok();
            let unmapped = answer.status == 404
                && framework
                    .is_some_and(|body| body["error"] == nothing && body["path"].is_string());
            let there = answer.status != 405 && !unmapped;
            assert_eq!(there, documented, "{method} {path}: {}", answer.status);
        }
    }
}

#[tokio::test]
async fn every_shape_that_the_document_names_is_described_in_it() {
    let world = World::new().await;
    let answer = world.get("/v3/api-docs").await;
    let document = answer.json();
    let described: BTreeSet<&String> = document["components"]["schemas"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    let mut named = BTreeSet::new();
    for part in answer.text.split("#/components/schemas/").skip(1) {
        named.insert(part.split('"').next().unwrap().to_owned());
    }
    assert!(
        named.iter().all(|name| described.contains(name)),
        "{named:?}"
    );
}

#[tokio::test]
async fn the_document_and_its_page_are_where_they_were() {
    let world = World::new().await;
    let json = world.get("/v3/api-docs").await;
    assert_eq!(json.header("content-type"), Some("application/json"));
    let yaml = world.get("/v3/api-docs.yaml").await;
    assert_eq!(
        yaml.header("content-type"),
        Some("application/vnd.oai.openapi;charset=UTF-8")
    );
    assert_eq!(yaml.text, json.text);
    let config = world.get("/v3/api-docs/swagger-config").await.json();
    assert_eq!(config["url"], "/v3/api-docs");
    let page = world.get("/swagger-ui.html").await;
    assert_eq!(page.status, 200, "reqwest follows the way to the page");
    assert!(page.text.contains("<title>iExec Core Scheduler"));
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let url = format!("{}/swagger-ui.html", world.base);
    let moved = client.get(url).send().await.unwrap();
    assert_eq!(moved.status(), 302);
    assert_eq!(moved.headers()["location"], "/swagger-ui/index.html");
    // Nothing is fetched from elsewhere.
    assert!(!page.text.contains("https://") && !page.text.contains("http://"));
}

#[tokio::test]
async fn what_operators_watch_can_have_a_port_of_its_own() {
    let settings = [
        ("MANAGEMENT_SERVER_PORT", "0"),
        ("MANAGEMENT_SERVER_ADDRESS", "127.0.0.1"),
    ];
    let world = World::apart(&settings).await;
    assert_eq!(world.get("/actuator/health").await.status, 404);
    assert_eq!(world.get("/version").await.status, 200);
    let management = world.management().unwrap();
    let get = async |path: &str| {
        reqwest::get(format!("http://{management}{path}"))
            .await
            .unwrap()
    };
    assert_eq!(get("/actuator/health").await.status(), 200);
    assert_eq!(get("/version").await.status(), 404);
}
