use axum::Router;
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};

use super::*;
use crate::http::tests::{breaking_service, client_of, service};

const TASK: TaskId = TaskId(alloy_primitives::B256::repeat_byte(0x11));

async fn adapter(routes: Router) -> AdapterClient {
    AdapterClient {
        peer: client_of(service(routes).await),
        ..AdapterClient::new("http://unused".parse().unwrap(), "admin", "whatever").unwrap()
    }
}

fn initialize() -> AdapterCommand {
    AdapterCommand::Initialize {
        deal: DealId([0x22; 32].into()),
        index: 5,
    }
}

#[tokio::test]
async fn an_initialization_is_asked_for_as_the_original_asks() {
    let routes = Router::new().route(
        "/v1/tasks/initialize",
        post(
            async |headers: HeaderMap, Query(query): Query<Vec<(String, String)>>| {
                assert_eq!(
                    headers["authorization"].to_str().unwrap(),
                    "Basic YWRtaW46d2hhdGV2ZXI="
                );
                let deal = format!("0x{}", "22".repeat(32));
                assert_eq!(
                    query,
                    [
                        ("chainDealId".to_owned(), deal),
                        ("taskIndex".to_owned(), "5".to_owned())
                    ]
                );
                // In another letter case it is the same task.
                format!("0x{}", "11".repeat(32))
                    .to_uppercase()
                    .replace("0X", "0x")
            },
        ),
    );
    let adapter = adapter(routes).await;
    assert!(adapter.request(TASK, &initialize()).await.unwrap());
    let other = TaskId([0x33; 32].into());
    assert!(!adapter.request(other, &initialize()).await.unwrap());
}

#[tokio::test]
async fn a_finalization_is_asked_for_as_the_original_asks() {
    let routes = Router::new().route(
        "/v1/tasks/finalize/{task}",
        post(async |Path(task): Path<String>, body: String| {
            assert_eq!(
                body,
                r#"{"resultLink":"{ \"storage\": \"ipfs\" }","callbackData":null}"#
            );
            task
        }),
    );
    let command = AdapterCommand::Finalize(FinalizeArgs {
        result_link: r#"{ "storage": "ipfs" }"#.to_owned(),
        callback_data: None,
    });
    assert!(adapter(routes).await.request(TASK, &command).await.unwrap());
}

#[tokio::test]
async fn a_refusal_is_an_answer_and_an_unknown_command_has_no_status() {
    let routes = Router::new()
        .route(
            "/v1/tasks/initialize",
            post(async || StatusCode::BAD_REQUEST),
        )
        .route(
            "/v1/tasks/initialize/{task}/status",
            get(async || StatusCode::NOT_FOUND),
        )
        .route(
            "/v1/tasks/finalize/{task}/status",
            get(async || "\"PROCESSING\""),
        );
    let adapter = adapter(routes).await;
    assert!(!adapter.request(TASK, &initialize()).await.unwrap());
    assert_eq!(adapter.status(TASK, &initialize()).await.unwrap(), None);
    let finalize = AdapterCommand::Finalize(FinalizeArgs {
        result_link: String::new(),
        callback_data: None,
    });
    assert_eq!(
        adapter.status(TASK, &finalize).await.unwrap(),
        Some(AdapterStatus::Processing)
    );
}

#[tokio::test]
async fn what_may_have_arrived_is_not_asked_for_twice() {
    let (base, asked) = breaking_service().await;
    let adapter = AdapterClient {
        peer: client_of(base),
        authorization: String::new(),
    };
    let error = adapter.request(TASK, &initialize()).await.unwrap_err();
    assert!(error.may_have_arrived());
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 1);
}
