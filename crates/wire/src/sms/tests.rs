use std::sync::{Arc, Mutex};

use alloy_primitives::address;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{any, get, post};

use super::*;
use crate::error::Kind;
use crate::http::tests::{client_of, service};

async fn sms(routes: Router) -> SmsClient {
    SmsClient {
        peer: client_of(service(routes).await),
    }
}

#[tokio::test]
async fn a_service_says_which_technology_it_serves() {
    for (text, framework) in [
        ("\"SCONE\"", TeeFramework::Scone),
        ("\"GRAMINE\"", TeeFramework::Gramine),
        ("\"TDX\"", TeeFramework::Tdx),
    ] {
        let sms = sms(Router::new().route("/tee/framework", get(async move || text))).await;
        assert_eq!(sms.framework().await.unwrap(), framework);
    }
    let other = sms(Router::new().route("/tee/framework", get(async || "\"SGX\""))).await;
    let error = other.framework().await.unwrap_err();
    assert_eq!(error.kind(), Kind::UntilDeadline);
}

#[tokio::test]
async fn a_challenge_is_asked_for_with_the_bare_signature_and_no_body() {
    let task = TaskId([0x11; 32].into());
    let signature = Sig([7; 65]);
    let expected = signature.to_string();
    let routes = Router::new().route(
        "/tee/challenges/{task}",
        post(
            async move |axum::extract::Path(path): axum::extract::Path<String>,
                        headers: HeaderMap,
                        body: Bytes| {
                assert_eq!(path, task.to_string());
                assert_eq!(headers["authorization"].to_str().unwrap(), expected);
                assert_eq!(headers["content-length"].to_str().unwrap(), "0");
                assert!(body.is_empty());
                "0x14dc79964da2c08b23698b3d3cc7ca32193d9955"
            },
        ),
    );
    let challenge = sms(routes).await.enclave_challenge(task, &signature).await;
    assert_eq!(
        challenge.unwrap(),
        address!("14dc79964da2c08b23698b3d3cc7ca32193d9955")
    );
}

#[tokio::test]
async fn what_is_no_address_is_no_challenge() {
    for text in [
        "",
        "0x",
        "null",
        "0x0000000000000000000000000000000000000000",
    ] {
        let routes = Router::new().route("/tee/challenges/{task}", post(async move || text));
        let sms = sms(routes).await;
        let answer = sms
            .enclave_challenge(TaskId::default(), &Sig([7; 65]))
            .await;
        assert!(
            matches!(answer, Err(ClientError::NotUnderstood { .. })),
            "{text:?}"
        );
    }
}

/// What was asked, and whether the secret is there.
type Kept = Arc<Mutex<(Vec<String>, Option<String>)>>;

async fn secrets(
    State(kept): State<Kept>,
    Query(query): Query<Vec<(String, String)>>,
    request: Request,
) -> impl IntoResponse {
    assert_eq!(
        query,
        [
            (
                "ownerAddress".to_owned(),
                "0x00000000000000000000000000000000000000aa".to_owned()
            ),
            ("secretName".to_owned(), "a name".to_owned())
        ]
    );
    let method = request.method().clone();
    let signed = request.headers().get("authorization").is_some();
    let body = axum::body::to_bytes(request.into_body(), 1000)
        .await
        .unwrap();
    let mut kept = kept.lock().unwrap();
    kept.0.push(method.to_string());
    let value = String::from_utf8(body.to_vec()).unwrap();
    let there = kept.1.is_some();
    match method.as_str() {
        "HEAD" if there => StatusCode::NO_CONTENT,
        "HEAD" => StatusCode::NOT_FOUND,
        "POST" if there => StatusCode::CONFLICT,
        "PUT" if !there => StatusCode::NOT_FOUND,
        _ if !signed => StatusCode::UNAUTHORIZED,
        _ => {
            kept.1 = Some(value);
            StatusCode::NO_CONTENT
        }
    }
}

#[tokio::test]
async fn a_secret_is_posted_once_and_put_after_that() {
    let kept = Kept::default();
    let routes = Router::new()
        .route("/secrets/web2", any(secrets))
        .with_state(kept.clone());
    let sms = sms(routes).await;
    for value in ["http://one", "http://two"] {
        let secret = NamedSecret {
            owner: address!("00000000000000000000000000000000000000aa"),
            name: "a name",
            value,
        };
        sms.put_secret(secret, &Sig([7; 65])).await.unwrap();
        assert_eq!(kept.lock().unwrap().1.as_deref(), Some(value));
    }
    assert_eq!(kept.lock().unwrap().0, ["HEAD", "POST", "HEAD", "PUT"]);
}
