use std::sync::atomic::Ordering;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use tokio::net::TcpListener;

use super::*;
use crate::error::Kind;
use crate::http::tests::{breaking_service, client_of, service};
use crate::status::ReplicateStatus;

const WALLET: Address = Address::repeat_byte(0xAB);

async fn scheduler(routes: Router) -> SchedulerClient {
    SchedulerClient {
        peer: client_of(service(routes).await),
    }
}

fn token() -> Token {
    Token::new("a.b.c")
}

#[tokio::test]
async fn a_login_names_the_wallet_in_lower_case_and_later_calls_carry_the_token() {
    let routes = Router::new()
        .route(
            "/workers/challenge",
            get(async |uri: Uri| uri.query().unwrap().to_owned()),
        )
        .route(
            "/workers/login",
            post(async |uri: Uri, body: String| {
                assert_eq!(
                    uri.query().unwrap(),
                    format!("walletAddress=0x{}", "ab".repeat(20))
                );
                assert_eq!(body, r#"{"value":"0x1234"}"#);
                "a.b.c"
            }),
        )
        .route(
            "/workers/ping",
            post(async |headers: HeaderMap| headers["authorization"].to_str().unwrap().to_owned()),
        );
    let scheduler = scheduler(routes).await;
    let challenge = scheduler.challenge(WALLET).await.unwrap();
    assert_eq!(challenge, format!("walletAddress=0x{}", "ab".repeat(20)));
    let token = scheduler
        .login(
            WALLET,
            &Signature {
                value: "0x1234".to_owned(),
            },
        )
        .await
        .unwrap();
    assert_eq!(token.reveal(), "a.b.c");
    assert_eq!(format!("{token:?}"), "Token(…)");
    assert_eq!(scheduler.ping(&token).await.unwrap(), "Bearer a.b.c");
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let routes = Router::new()
        .route("/workers/ping", post(async || StatusCode::UNAUTHORIZED))
        .route(
            "/replicates/available",
            get(async || StatusCode::SERVICE_UNAVAILABLE),
        )
        .route(
            "/workers/computing",
            get(async || (StatusCode::BAD_REQUEST, "no")),
        )
        .route("/version", get(async || ""));
    let scheduler = scheduler(routes).await;
    let error = scheduler.ping(&token()).await.unwrap_err();
    assert!(matches!(error, ClientError::Unauthorized { .. }) && error.wants_login());
    let error = scheduler
        .available(&token(), BlockNumber(1), Features::NONE)
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Unavailable { .. }));
    assert_eq!(error.kind(), Kind::Retryable);
    let error = scheduler.computing(&token()).await.unwrap_err();
    assert!(matches!(error, ClientError::Status { status: 400, .. }));
    assert_eq!(error.kind(), Kind::Terminal);
    let error = scheduler.version().await.unwrap_err();
    assert!(
        matches!(error, ClientError::NotUnderstood { .. }),
        "an empty text is no version: {error}"
    );
}

#[tokio::test]
async fn no_work_is_204_and_work_comes_with_what_was_granted() {
    const WORK: &str = r#"{"workerpoolAuthorization":{"taskIndex":3},"smsUrl":null}"#;
    let routes = Router::new().route(
        "/replicates/available",
        get(
            async |uri: Uri, headers: HeaderMap| match uri.query().unwrap() {
                "blockNumber=1" => {
                    assert!(!headers.contains_key(Features::HEADER));
                    StatusCode::NO_CONTENT.into_response()
                }
                _ => {
                    assert_eq!(
                        headers[Features::HEADER].to_str().unwrap(),
                        "wait, events, caf"
                    );
                    ([(Features::HEADER, "wait")], WORK).into_response()
                }
            },
        ),
    );
    let scheduler = scheduler(routes).await;
    let nothing = scheduler
        .available(&token(), BlockNumber(1), Features::NONE)
        .await
        .unwrap();
    assert_eq!(
        nothing,
        Supply {
            work: None,
            granted: Features::NONE
        }
    );
    let supply = scheduler
        .available(&token(), BlockNumber(2), Features::ALL)
        .await
        .unwrap();
    assert_eq!(
        supply.granted,
        Features {
            wait: true,
            ..Features::NONE
        }
    );
    assert_eq!(supply.work.unwrap().workerpool_authorization.task_index, 3);
}

#[tokio::test]
async fn every_answer_to_a_report_is_a_value() {
    let routes = Router::new().route(
        "/replicates/{task}/updateStatus",
        post(async |body: String| {
            let (status, next) = match body.split('"').nth(3).unwrap() {
                "STARTING" => (200, r#""PLEASE_CONTINUE""#),
                "ABORTED" => (200, ""),
                "STARTED" => (208, r#""PLEASE_WAIT""#),
                _ => (202, r#""PLEASE_ABORT""#),
            };
            (StatusCode::from_u16(status).unwrap(), next)
        }),
    );
    let scheduler = scheduler(routes).await;
    let mut answers = Vec::new();
    use ReplicateStatus::*;
    for status in [Starting, Aborted, Started, Computed] {
        let update = ReplicateStatusUpdate::new(status);
        answers.push(
            scheduler
                .update_status(&token(), TaskId::default(), &update)
                .await
                .unwrap(),
        );
    }
    assert_eq!(
        answers,
        [
            StatusAnswer::Accepted(Some(TaskNotificationType::PleaseContinue)),
            StatusAnswer::Accepted(None),
            StatusAnswer::AlreadyKnown(Some(TaskNotificationType::PleaseWait)),
            StatusAnswer::Refused(Some(TaskNotificationType::PleaseAbort)),
        ]
    );
}

#[tokio::test]
async fn what_may_have_arrived_is_repeated_only_where_that_is_safe() {
    let (base, asked) = breaking_service().await;
    let scheduler = SchedulerClient {
        peer: client_of(base),
    };
    let error = scheduler.version().await.unwrap_err();
    assert!(
        matches!(error, ClientError::Broken { .. }) && error.may_have_arrived(),
        "{error}"
    );
    assert_eq!(asked.load(Ordering::SeqCst), 5);

    let update = ReplicateStatusUpdate::new(ReplicateStatus::Contributed);
    let error = scheduler
        .update_status(&token(), TaskId::default(), &update)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Retryable);
    assert_eq!(asked.load(Ordering::SeqCst), 6);
}

#[tokio::test]
async fn a_scheduler_that_is_not_there_is_told_with_its_url_and_why() {
    let gone = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let base = Url::parse(&format!("http://{gone}")).unwrap();
    let error = SchedulerClient {
        peer: client_of(base),
    }
    .version()
    .await
    .unwrap_err();
    assert!(
        matches!(error, ClientError::Unreachable { .. }),
        "{error:?}"
    );
    assert!(!error.may_have_arrived());
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("http://{gone}/version cannot be reached: ")),
        "{text}"
    );
    assert!(text.contains("refused"), "{text}");
}

#[test]
fn the_path_of_the_base_is_kept() {
    let url_at = |base: &str| {
        SchedulerClient::new(Url::parse(base).unwrap())
            .unwrap()
            .events_url(7)
            .unwrap()
            .to_string()
    };
    assert_eq!(
        url_at("http://pool:13000"),
        "ws://pool:13000/workers/events?after=7"
    );
    assert_eq!(
        url_at("https://pool/core/"),
        "wss://pool/core/workers/events?after=7"
    );
}
