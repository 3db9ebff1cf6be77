//! How workers join: challenge, login, token, and what is answered to those that have none (spec scheduler-api §2, §3.1, §3.2).
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at once on what cannot happen"
)]

mod support;

use reqwest::Method;
use serde_json::json;
use support::World;

const ANN: &str = "0x90f8bf6a479f320ead074411a4b0e7944ea8c9c1";
const ANN_CHECKSUMMED: &str = "0x90F8bf6A479f320ead074411a4B0e7944Ea8c9C1";

#[tokio::test]
async fn a_challenge_is_44_characters_of_text_and_stays_the_same() {
    let world = World::new().await;
    let first = world
        .get(&format!("/workers/challenge?walletAddress={ANN}"))
        .await;
    assert_eq!(first.status, 200);
    assert_eq!(first.text.len(), 44);
    assert!(!first.text.starts_with("0x"));
    assert_eq!(
        first.header("content-type"),
        Some("text/plain;charset=UTF-8")
    );
    // Q5: another letter case is the same wallet.
    let again = world
        .get(&format!(
            "/workers/challenge?walletAddress={ANN_CHECKSUMMED}"
        ))
        .await;
    assert_eq!(again.text, first.text);
}

#[tokio::test]
async fn a_wallet_that_is_no_address_is_400() {
    // Q6
    let world = World::new().await;
    for query in [
        "",
        "?walletAddress=",
        "?walletAddress=ann",
        "?walletAddress=0x12",
        "?wallet=0x12",
    ] {
        let answer = world.get(&format!("/workers/challenge{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
        assert_eq!(answer.json()["path"], "/workers/challenge");
    }
}

#[tokio::test]
async fn only_wallets_on_the_list_may_join() {
    // Q4: the list is read in any letter case.
    let world = World::with(&[("IEXEC_WORKERS_WHITELIST", ANN_CHECKSUMMED)]).await;
    assert_eq!(
        world
            .get(&format!("/workers/challenge?walletAddress={ANN}"))
            .await
            .status,
        200
    );
    let other = "0x1a69b2eb604db8eba185df03ea4f5288dcbbd248";
    let refused = world
        .get(&format!("/workers/challenge?walletAddress={other}"))
        .await;
    assert_eq!((refused.status.as_u16(), refused.text.as_str()), (401, ""));
    let body = json!({"value": "0x12"}).to_string();
    let path = format!("/workers/login?walletAddress={other}");
    let refused = world.call(Method::POST, &path, &[], Some(&body)).await;
    assert_eq!((refused.status.as_u16(), refused.text.as_str()), (401, ""));
}

#[tokio::test]
async fn a_login_gives_a_token_that_works_and_may_be_sent_again() {
    let world = World::new().await;
    let worker = world.worker(1).await;
    assert_eq!(worker.get(&world, "/workers/computing").await.text, "[]");

    let path = format!("/workers/challenge?walletAddress={}", worker.wallet());
    let challenge = world.get(&path).await.text;
    let body = json!({"value": worker.sign(&challenge)}).to_string();
    let path = format!("/workers/login?walletAddress={}", worker.wallet());
    assert_eq!(
        world
            .call(Method::POST, &path, &[], Some(&body))
            .await
            .status,
        200
    );
    // As Feign does when the answer was lost.
    assert_eq!(
        world
            .call(Method::POST, &path, &[], Some(&body))
            .await
            .status,
        200
    );
    let other = json!({"value": worker.sign("another challenge")}).to_string();
    let refused = world.call(Method::POST, &path, &[], Some(&other)).await;
    assert_eq!(refused.status, 401);
}

#[tokio::test]
async fn malformed_signatures_are_401() {
    // Q7: some of these gave 500 (spec scheduler-api §13).
    let world = World::new().await;
    world
        .get(&format!("/workers/challenge?walletAddress={ANN}"))
        .await;
    let path = format!("/workers/login?walletAddress={ANN}");
    let values = [
        json!(""),
        json!("0x"),
        json!("0x1234"),
        json!(null),
        json!("zz"),
        json!(format!("0x{}", "05".repeat(65))),
        json!(format!("0x{}", "ff".repeat(65))),
    ];
    for value in values {
        let answer = world
            .call(
                Method::POST,
                &path,
                &[],
                Some(&json!({"value": value}).to_string()),
            )
            .await;
        assert_eq!(
            (answer.status.as_u16(), answer.text.as_str()),
            (401, ""),
            "{value}"
        );
    }
    let answer = world.call(Method::POST, &path, &[], Some("null")).await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_400_and_one_that_is_not_json_415() {
    let world = World::new().await;
    let path = format!("/workers/login?walletAddress={ANN}");
    assert_eq!(
        world.call(Method::POST, &path, &[], Some("{")).await.status,
        400
    );
    assert_eq!(world.call(Method::POST, &path, &[], None).await.status, 415);
    assert_eq!(world.call(Method::GET, &path, &[], None).await.status, 405);
}

/// Every route that wants a worker's token.
const PROTECTED: [(&str, &str); 6] = [
    ("POST", "/workers/ping"),
    ("POST", "/workers/register"),
    ("GET", "/workers/computing"),
    ("GET", "/replicates/available?blockNumber=1"),
    ("GET", "/replicates/interrupted?blockNumber=1"),
    (
        "POST",
        "/replicates/0x65bc5e94ed1486b940bd6cc0013c418efad58a0a52a3d08cee89faaa21970426/updateStatus",
    ),
];

#[tokio::test]
async fn without_a_token_every_protected_route_answers_400() {
    // Q8, kept: a fresh Java worker asks before it has a token, and must not begin a second login because of it.
    let world = World::new().await;
    for (method, path) in PROTECTED {
        for headers in [&[][..], &[("Authorization", "")][..]] {
            let answer = world
                .call(method.parse().unwrap(), path, headers, Some("{}"))
                .await;
            assert_eq!(answer.status, 400, "{method} {path}");
            let body = answer.json();
            assert_eq!(body["status"], 400);
            assert_eq!(body["error"], "Bad Request");
            assert_eq!(body["path"], path.split('?').next().unwrap());
        }
    }
}

#[tokio::test]
async fn with_a_bad_token_every_protected_route_answers_401_and_nothing_else() {
    let world = World::new().await;
    let other = World::new().await;
    let stranger = other.worker(1).await.bearer();
    let wrong_scheme = world.worker(1).await.token;
    for (method, path) in PROTECTED {
        for header in [
            "Bearer",
            "Bearer ",
            "Bearer x.y.z",
            "bearer x",
            &stranger,
            &wrong_scheme,
        ] {
            let answer = world
                .call(
                    method.parse().unwrap(),
                    path,
                    &[("Authorization", header)],
                    Some("{}"),
                )
                .await;
            assert_eq!(
                (answer.status.as_u16(), answer.text.as_str()),
                (401, ""),
                "{method} {path} {header}"
            );
            assert_eq!(answer.header("www-authenticate"), None);
            assert_eq!(answer.header("retry-after"), None);
        }
    }
}

#[tokio::test]
async fn a_restart_logs_nobody_out_and_keeps_challenges() {
    let mut world = World::new().await;
    let worker = world.worker(1).await;
    let path = format!("/workers/challenge?walletAddress={ANN}");
    let challenge = world.get(&path).await.text;
    world.restart().await;
    assert_eq!(
        worker
            .post(&world, "/workers/ping", &json!(null))
            .await
            .status,
        200
    );
    assert_eq!(world.get(&path).await.text, challenge);
}
