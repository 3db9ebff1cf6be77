use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, head, post};

use super::*;
use crate::error::Kind;
use crate::http::tests::{client_of, service};
use crate::message::ResultModel;

/// An archive file of `length` bytes, none like its neighbour.
fn archive(length: usize) -> (tempfile::NamedTempFile, Vec<u8>) {
    let bytes: Vec<u8> = (0..length).map(|at| (at * 31 % 251) as u8).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &bytes).unwrap();
    (file, bytes)
}

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
                assert_eq!(
                    headers["content-type"].to_str().unwrap(),
                    "application/json"
                );
                assert_eq!(body.zip, archive(3).1);
                assert_eq!(body.determinist_hash.as_deref(), Some("0x33"));
                "/ipfs/Qm"
            }),
        );
    let proxy = proxy(routes).await;
    let token = proxy
        .token(&WorkerpoolAuthorization::default(), &signature)
        .await
        .unwrap();
    let (file, _) = archive(3);
    let sent = proxy.upload(&token, TaskId::default(), file.path(), "0x33");
    assert_eq!(sent.await.unwrap(), "/ipfs/Qm");
}

#[tokio::test]
async fn an_archive_of_any_length_arrives_as_it_is_and_its_length_is_announced() {
    let routes = Router::new()
        .route(
            "/v1/results",
            post(async |headers: HeaderMap, body: axum::body::Bytes| {
                let announced = headers["content-length"].to_str().unwrap();
                assert_eq!(announced, body.len().to_string());
                let result: ResultModel = serde_json::from_slice(&body).unwrap();
                assert_eq!(result.zip, archive(result.zip.len()).1);
                result.zip.len().to_string()
            }),
        )
        .layer(axum::extract::DefaultBodyLimit::max(1 << 20));
    let proxy = proxy(routes).await;
    for length in [0, 1, 2, 48 * 1024 - 1, 48 * 1024, 48 * 1024 + 1, 200_000] {
        let (file, _) = archive(length);
        let task = TaskId::default();
        let answer = proxy.upload(&Token::new("t"), task, file.path(), "").await;
        assert_eq!(answer.unwrap(), length.to_string());
    }
    let gone = std::path::Path::new("/nowhere/iexec_out.zip");
    let token = Token::new("t");
    let sent = proxy.upload(&token, TaskId::default(), gone, "");
    let error = sent.await.unwrap_err();
    assert!(
        error.to_string().contains("/nowhere/iexec_out.zip"),
        "{error}"
    );
}

#[tokio::test]
async fn a_proxy_that_a_stranger_names_in_our_network_is_not_asked() {
    // worker S15
    let base = service(Router::new().route("/version", get(async || "9"))).await;
    let by_address = ResultProxyClient::of_stranger(base.clone(), &Reach::public());
    assert!(matches!(by_address, Err(ClientError::Refused { .. })));
    let port = base.port().unwrap();
    let by_name = Url::parse(&format!("http://localhost:{port}")).unwrap();
    let refused = ResultProxyClient::of_stranger(by_name.clone(), &Reach::public()).unwrap();
    let error = refused.version().await.unwrap_err();
    assert!(matches!(error, ClientError::Refused { .. }), "{error}");
    assert_eq!(error.kind(), Kind::Terminal);
    let allowed = ResultProxyClient::of_stranger(by_name, &Reach::anywhere()).unwrap();
    assert_eq!(allowed.version().await.unwrap(), "9");
}

#[tokio::test]
async fn an_answer_without_end_is_not_taken_whole() {
    let routes = Router::new().route(
        "/version",
        get(async || {
            let pieces =
                futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'9'; 1 << 20]));
            axum::body::Body::from_stream(pieces)
        }),
    );
    let error = proxy(routes).await.version().await.unwrap_err();
    assert!(error.to_string().contains("longer than"), "{error}");
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
    let (file, _) = archive(10);
    let error = proxy(routes)
        .await
        .upload(&Token::new("t"), TaskId::default(), file.path(), "")
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
