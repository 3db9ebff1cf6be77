//! The HTTP routes: bytes into inputs, answers into bytes. No rule about tasks or workers is here.

mod compass;
mod connect;
mod docs;
mod events;
pub(crate) mod exposition;
mod generation;
mod logs;
mod metrics;
mod replicates;
mod task_model;
mod tasks;
mod version;
mod workers;

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::Address;
use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use chassis::Shutdown;
use chassis::error::FrameworkError;
use store::{Store, StoreError};
use tokio_util::task::TaskTracker;
use wire::features::Features;
use wire::message::PublicConfiguration;

use crate::auth::Auth;
use crate::authorize::{Authorizer, NotAuthorized};
use crate::figures::Figures;
use crate::inbox::{Ending, Inbox};
use crate::notices::Notices;
use crate::push::Push;
use crate::wallets::Wallets;

/// What the routes need.
pub(crate) struct Api {
    pub(crate) inbox: Inbox,
    pub(crate) auth: Arc<Auth>,
    pub(crate) store: Store,
    pub(crate) notices: Notices,
    pub(crate) push: Arc<Push>,
    /// Whether the push channel has the WebSocket transport.
    pub(crate) push_websocket: bool,
    pub(crate) authorizer: Arc<Authorizer>,
    pub(crate) wallets: Arc<Wallets>,
    pub(crate) figures: Figures,
    pub(crate) configuration: PublicConfiguration,
    pub(crate) configuration_hash: String,
    pub(crate) chain_id: u64,
    pub(crate) pool: Address,
    /// How others reach this scheduler, if the operator said so.
    pub(crate) public_url: Option<String>,
    /// How it is reached on this machine.
    pub(crate) local_url: String,
    /// How long after its final deadline a task's logs are kept.
    pub(crate) logs_kept: Duration,
    /// The faster paths that are granted to whoever knows them.
    pub(crate) features: Features,
    /// Counts what runs apart from requests, so that the end waits for it.
    pub(crate) running: TaskTracker,
    pub(crate) shutdown: Shutdown,
}

/// Every route of the scheduler's own.
pub(crate) fn router(api: Arc<Api>) -> Router {
    Router::new()
        .merge(workers::routes())
        .merge(replicates::routes())
        .merge(tasks::routes())
        .merge(logs::routes())
        .merge(metrics::routes())
        .merge(version::routes())
        .merge(compass::routes())
        .merge(events::routes())
        .merge(connect::routes())
        .merge(docs::routes())
        .with_state(api)
}

/// Something went wrong that is no answer of the route's.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// As the framework of the original says it.
    Framework(FrameworkError),
    /// A status and no body: 401 (spec scheduler-api §2.5).
    Empty(StatusCode),
}

impl ApiError {
    /// A bug or a broken disk: 500.
    fn internal(error: &dyn std::fmt::Display, path: &str) -> Self {
        tracing::error!(%error, path, "a request cannot be answered");
        Self::Framework(FrameworkError::new(StatusCode::INTERNAL_SERVER_ERROR, path))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self {
            Self::Framework(error) => error.into_response(),
            Self::Empty(status) => status.into_response(),
        }
    }
}

impl From<FrameworkError> for ApiError {
    fn from(error: FrameworkError) -> Self {
        Self::Framework(error)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::internal(&error, "")
    }
}

impl From<NotAuthorized> for ApiError {
    fn from(error: NotAuthorized) -> Self {
        match error {
            // It was on the list when it logged in, and the list was changed since.
            NotAuthorized::NotAllowed(worker) => {
                tracing::info!(worker = %worker, "a worker that is not allowed any more is refused");
                Self::Empty(StatusCode::UNAUTHORIZED)
            }
            error => Self::internal(&error, ""),
        }
    }
}

impl From<Ending> for ApiError {
    fn from(_: Ending) -> Self {
        // The client repeats the call, and finds the next process.
        Self::Empty(StatusCode::SERVICE_UNAVAILABLE)
    }
}

/// The worker whose token came with the request. No header is 400, a bad one 401 (spec scheduler-api §2.5): a worker that has just
/// started asks before it has a token, and must not take that for a reason to log in.
pub(crate) struct Worker(pub(crate) Address);

impl FromRequestParts<Arc<Api>> for Worker {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, ApiError> {
        let header = required_authorization(&parts.headers, parts.uri.path())?;
        match api.auth.worker(header) {
            Ok(worker) => Ok(Self(worker)),
            Err(error) => {
                tracing::debug!(%error, path = parts.uri.path(), "a worker's token is refused");
                Err(ApiError::Empty(StatusCode::UNAUTHORIZED))
            }
        }
    }
}

/// The `Authorization` header; without one, or with an empty one, the framework's 400.
pub(crate) fn required_authorization<'h>(
    headers: &'h HeaderMap,
    path: &str,
) -> Result<&'h str, ApiError> {
    headers
        .get(AUTHORIZATION)
        .filter(|header| !header.is_empty())
        .map(|header| header.to_str().unwrap_or("?"))
        .ok_or_else(|| FrameworkError::new(StatusCode::BAD_REQUEST, path).into())
}

/// An address in a query: 400 unless it is 20 bytes of hex, in any letter case (spec scheduler-api Q5, Q6).
pub(crate) fn address(text: &str, uri: &Uri) -> Result<Address, ApiError> {
    poco::hex::address(text)
        .ok()
        .filter(|_| text.starts_with("0x"))
        .ok_or_else(|| FrameworkError::new(StatusCode::BAD_REQUEST, uri.path()).into())
}

/// The faster paths that the caller knows and that are granted.
pub(crate) fn features(api: &Api, headers: &HeaderMap) -> Features {
    headers
        .get(Features::HEADER)
        .and_then(|header| header.to_str().ok())
        .map_or(Features::NONE, Features::parse)
        .and(api.features)
}

/// The answer with the header that says what is granted, where something was asked for.
pub(crate) fn granting(features: Features, mut response: Response) -> Response {
    if !features.is_none()
        && let Ok(value) = features.to_string().parse()
    {
        response.headers_mut().insert(Features::HEADER, value);
    }
    response
}

/// Bare text. To whoever accepts nothing but JSON it is labelled so, as in the original (spec scheduler-api §1.3).
pub(crate) fn text(headers: &HeaderMap, text: impl Into<String>) -> Response {
    let mut response = chassis::text(text);
    let json = HeaderValue::from_static("application/json");
    if headers.get(ACCEPT) == Some(&json) {
        response.headers_mut().insert(CONTENT_TYPE, json);
    }
    response
}

/// What each kind of query says, read as the routes read it.
#[cfg(feature = "fuzzing")]
pub(crate) fn queries(uri: &Uri) -> [Option<String>; 4] {
    use axum::extract::Query;
    let wallet = Query::<workers::Wallet>::try_from_uri(uri).ok();
    let reader = Query::<logs::Reader>::try_from_uri(uri).ok();
    let seen = Query::<replicates::Seen>::try_from_uri(uri).ok();
    let after = Query::<events::After>::try_from_uri(uri).ok();
    let lower = |text: &str| Some(poco::hex::lower(&address(text, uri).ok()?));
    [
        wallet.and_then(|query| lower(&query.wallet_address)),
        reader.and_then(|query| lower(&query.address)),
        seen.map(|query| query.block().to_string()),
        after.map(|query| query.after.to_string()),
    ]
}
