//! `/connect`: the SockJS endpoint of the push channel (spec scheduler-api §7.2 to §7.5).

mod frames;
mod websocket;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, ORIGIN, UPGRADE};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use chassis::error::framework_error;
use engine::Input;
use wire::sockjs::session::{Refused, Transport};
use wire::sockjs::{self, Purpose};

use self::frames::Form;
use super::Api;
use crate::push::{Line, NotServed};

/// What a client sends at once: some frames of 64 KiB each.
const LONGEST_BODY: usize = 256 * 1024;

const NO_CACHE: (HeaderName, &str) = (
    CACHE_CONTROL,
    "no-store, no-cache, must-revalidate, max-age=0",
);

const TEXT: (HeaderName, &str) = (CONTENT_TYPE, "text/plain;charset=UTF-8");

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/connect", get(welcome))
        .route("/connect/", get(welcome))
        .route("/connect/info", any(info))
        // Raw WebSockets are no transport of ours; the original says so in this way.
        .route("/connect/websocket", get(async || StatusCode::OK))
        .route("/connect/{server}/{session}/{transport}", any(transport))
        .layer(from_fn(no_other_pages))
}

async fn welcome(headers: HeaderMap) -> Response {
    if headers.contains_key(UPGRADE) && is_websocket(&headers) {
        return StatusCode::BAD_REQUEST.into_response();
    }
    ([TEXT], "Welcome to SockJS!\n").into_response()
}

/// What a client reads first: which transports there are.
async fn info(State(api): State<Arc<Api>>, method: Method, uri: Uri) -> Response {
    match method {
        Method::GET | Method::HEAD => {
            let entropy = rand::random::<i32>();
            let json = (CONTENT_TYPE, "application/json;charset=UTF-8");
            let websocket = api.push_websocket;
            let body = format!(
                r#"{{"entropy":{entropy},"origins":["*:*"],"cookie_needed":true,"websocket":{websocket}}}"#
            );
            ([json, NO_CACHE], body).into_response()
        }
        Method::OPTIONS => ([NO_CACHE], StatusCode::NO_CONTENT).into_response(),
        _ => not_allowed("GET,OPTIONS", &uri),
    }
}

fn not_allowed(allowed: &'static str, uri: &Uri) -> Response {
    let mut response = framework_error(StatusCode::METHOD_NOT_ALLOWED, uri.path());
    let value = axum::http::HeaderValue::from_static(allowed);
    response.headers_mut().insert(ALLOW, value);
    response
}

async fn transport(
    State(api): State<Arc<Api>>,
    Path((server, session, name)): Path<(String, String, String)>,
    request: Request,
) -> Response {
    let purpose = match sockjs::purpose(&server, &session, &name) {
        Some(Purpose::Takes(Transport::WebSocket)) if !api.push_websocket => None,
        purpose => purpose,
    };
    let Some(purpose) = purpose else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let wanted = match purpose {
        Purpose::Takes(Transport::EventSource | Transport::WebSocket) => Method::GET,
        Purpose::Takes(Transport::Streaming | Transport::Polling) | Purpose::Says => Method::POST,
    };
    if request.method() != wanted {
        let allowed = if wanted == Method::GET { "GET" } else { "POST" };
        return not_allowed(allowed, request.uri());
    }
    match purpose {
        Purpose::Says => send(&api, &session, request).await,
        Purpose::Takes(Transport::WebSocket) => websocket::serve(api, session, request).await,
        Purpose::Takes(Transport::Polling) => {
            receive(&api, &session, Transport::Polling, Form::POLLING)
        }
        Purpose::Takes(Transport::EventSource) => {
            receive(&api, &session, Transport::EventSource, Form::EVENTS)
        }
        Purpose::Takes(Transport::Streaming) => {
            receive(&api, &session, Transport::Streaming, Form::STREAMING)
        }
    }
}

/// A request for messages.
fn receive(api: &Api, session: &str, transport: Transport, form: Form) -> Response {
    let headers = [(CONTENT_TYPE, form.content_type), NO_CACHE];
    match api.push.take(session, transport) {
        Ok(receiving) => (headers, Body::from_stream(form.stream(receiving))).into_response(),
        Err(NotServed::Session(Refused::Told(close))) => {
            (headers, form.alone(&close.frame())).into_response()
        }
        Err(NotServed::Session(Refused::OtherTransport)) => StatusCode::NOT_FOUND.into_response(),
        Err(NotServed::Full) => {
            tracing::warn!(
                "a push session is refused: there are as many as WORKERPOOL_SCHEDULER_PUSH_SESSIONS allows"
            );
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

/// What a client says, as an array of texts.
async fn send(api: &Api, session: &str, request: Request) -> Response {
    let broken =
        |words: &'static str| (StatusCode::INTERNAL_SERVER_ERROR, [TEXT], words).into_response();
    let Some(line) = api.push.find(session) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let body: Bytes = match axum::body::to_bytes(request.into_body(), LONGEST_BODY).await {
        Ok(body) => body,
        Err(_) => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
    };
    if body.is_empty() {
        return broken("Payload expected.");
    }
    let Some(texts) = std::str::from_utf8(&body)
        .ok()
        .and_then(|body| sockjs::received(body).ok())
    else {
        return broken("Broken JSON encoding.");
    };
    hear(api, &line, &texts).await;
    ([TEXT, NO_CACHE], StatusCode::NO_CONTENT).into_response()
}

/// Takes what a client said, and has it told what it may have missed of the tasks that it listens to from now on.
async fn hear(api: &Api, line: &Arc<Line>, texts: &[String]) {
    let mut tasks = Vec::new();
    for text in texts {
        tasks.extend(
            api.push
                .hear(line, text, |header| api.auth.worker(header).is_ok()),
        );
    }
    for task in tasks {
        // At the end of the process nobody is told anything more; the client finds the next one.
        let _ = api.inbox.tell(Input::ListensTo { task }).await;
    }
}

fn is_websocket(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

/// Programs connect here, not pages of other sites (spec scheduler-api §1.3).
async fn no_other_pages(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let is_own = match (text(ORIGIN), text(HOST)) {
        (None, _) => !headers.contains_key(ORIGIN),
        (Some(origin), Some(host)) => {
            let of = origin.split_once("://").map(|(_, of)| of);
            of.is_some_and(|of| of.eq_ignore_ascii_case(host))
        }
        (Some(_), None) => false,
    };
    if is_own {
        next.run(request).await
    } else {
        StatusCode::FORBIDDEN.into_response()
    }
}
