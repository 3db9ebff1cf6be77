use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, head, post};

use super::*;
use crate::error::Kind;
use crate::http::tests::{client_of, service};

async fn proxy(routes: Router) -> ResultProxyClient {
    ResultProxyClient {
        peer: client_of(service(routes).await),
    }
}

#[tokio::test]
async fn the_token_is_asked_for_with_the_bare_signature_and_sent_bare() {
    let signature = Sig([7; 65]);
    let expected = signature.to_string();
    let routes = Router::new()
        .route(
            "/v1/results/token",
            post(
                async move |headers: HeaderMap, body: axum::Json<WorkerpoolAuthorization>| {
                    assert_eq!(headers["authorization"].to_str().unwrap(), expected);
                    assert_eq!(body.0, WorkerpoolAuthorization::default());
                    "a.b.c"
                },
            ),
        )
        .route(
            "/v1/results",
            post(async |headers: HeaderMap, body: axum::Json<ResultModel>| {
                assert_eq!(headers["authorization"].to_str().unwrap(), "a.b.c");
                assert_eq!(body.zip, b"PK");
                "/ipfs/Qm"
            }),
        );
    let proxy = proxy(routes).await;
    let token = proxy
        .token(&WorkerpoolAuthorization::default(), &signature)
        .await
        .unwrap();
    let result = ResultModel::standard(TaskId::default(), b"PK".to_vec(), "0x33".to_owned());
    assert_eq!(proxy.upload(&token, &result).await.unwrap(), "/ipfs/Qm");
}

#[tokio::test]
async fn no_result_is_an_answer_and_a_refused_token_is_an_error() {
    let there = TaskId([1; 32].into());
    let (head_path, hash_path) = (
        format!("/v1/results/{there}"),
        format!("/v1/results/{there}/ipfshash"),
    );
    let routes = Router::new()
        .route(
            &head_path,
            head(
                async |headers: HeaderMap| match headers["authorization"].to_str().unwrap() {
                    "good" => StatusCode::NO_CONTENT,
                    _ => StatusCode::UNAUTHORIZED,
                },
            ),
        )
        .route(&hash_path, get(async || "Qm"));
    let proxy = proxy(routes).await;
    let (good, bad, elsewhere) = (Token::new("good"), Token::new("bad"), TaskId::default());
    assert!(proxy.has_result(&good, there).await.unwrap());
    assert!(!proxy.has_result(&good, elsewhere).await.unwrap());
    assert!(
        proxy
            .has_result(&bad, there)
            .await
            .unwrap_err()
            .wants_login()
    );
    assert_eq!(proxy.ipfs_hash(there).await.unwrap().as_deref(), Some("Qm"));
    assert_eq!(proxy.ipfs_hash(elsewhere).await.unwrap(), None);
}

#[tokio::test]
async fn an_upload_that_is_too_long_is_not_tried_again() {
    let routes = Router::new().route(
        "/v1/results",
        post(async || (StatusCode::PAYLOAD_TOO_LARGE, "too long")),
    );
    let result = ResultModel::standard(TaskId::default(), vec![0; 10], String::new());
    let error = proxy(routes)
        .await
        .upload(&Token::new("t"), &result)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Terminal);
    assert!(
        error.to_string().ends_with("answered 413: too long"),
        "{error}"
    );
}

#[tokio::test]
async fn an_answer_that_points_elsewhere_is_not_followed() {
    let elsewhere = service(Router::new().route("/v1/results/token", post(async || "a.b.c"))).await;
    let location = elsewhere.join("v1/results/token").unwrap().to_string();
    let routes = Router::new().route(
        "/v1/results/token",
        post(async move || (StatusCode::TEMPORARY_REDIRECT, [("location", location)])),
    );
    let answer = proxy(routes)
        .await
        .token(&WorkerpoolAuthorization::default(), &Sig([7; 65]))
        .await;
    let error = answer.unwrap_err();
    assert!(error.to_string().contains("307"), "{error}");
}
