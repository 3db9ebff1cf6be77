//! `/ipfs/<cid>`, and the small things that every service has.

use reqwest::Method;
use serde_json::Value;

use crate::world::{RESULT, World};
use crate::zips;

#[tokio::test]
async fn anybody_downloads_exactly_what_was_uploaded() {
    let world = World::new().await;
    let link = world.uploaded().await;
    for accept in ["application/zip", "*/*", "text/html"] {
        let request = world.request(Method::GET, &link).header("Accept", accept);
        let answer = request
            .header("Origin", "https://explorer.example")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "application/zip");
        assert_eq!(answer.headers()["access-control-allow-origin"], "*");
        assert_eq!(answer.bytes().await.unwrap(), zips::result(RESULT));
    }
}

#[tokio::test]
async fn a_head_says_how_large_the_archive_is() {
    let world = World::new().await;
    let link = world.uploaded().await;
    let answer = world.request(Method::HEAD, &link).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/zip");
    let size = answer.headers()["content-length"]
        .to_str()
        .unwrap()
        .parse::<usize>()
        .unwrap();
    assert_eq!(size, zips::result(RESULT).len());
}

#[tokio::test]
async fn an_unknown_cid_is_not_found_and_said_so_in_json() {
    let world = World::new().await;
    for cid in [
        "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o",
        "nonsense",
        "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy",
    ] {
        let answer = world.get(&format!("/ipfs/{cid}")).await;
        assert_eq!(answer.status(), 404, "{cid}");
        let error: Value = answer.json().await.unwrap();
        assert!(error["error"].is_string(), "{error}");
        let answer = world
            .request(Method::HEAD, &format!("/ipfs/{cid}"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 404, "{cid}");
    }
}

#[tokio::test]
async fn a_browser_may_ask_before_it_downloads() {
    let world = World::new().await;
    let answer = world
        .request(
            Method::OPTIONS,
            "/ipfs/QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o",
        )
        .header("Origin", "https://explorer.example")
        .header("Access-Control-Request-Method", "GET")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    assert_eq!(answer.headers()["access-control-max-age"], "1800");
}

#[tokio::test]
async fn it_tells_its_version_health_and_metrics() {
    let world = World::with(|settings| settings.exposed = vec!["*".into()]).await;
    let version = world.get("/version").await;
    assert_eq!(version.status(), 200);
    assert_eq!(version.text().await.unwrap(), env!("CARGO_PKG_VERSION"));
    let health: Value = world.get("/actuator/health").await.json().await.unwrap();
    assert_eq!(health["status"], "UP");
    assert_eq!(world.get("/actuator/prometheus").await.status(), 200);
    assert_eq!(world.get("/nowhere").await.status(), 404);
}
