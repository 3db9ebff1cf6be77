//! Errors that are the framework's and not a service's, in the shape of the original's framework (spec scheduler-api §1.4):
//! unknown paths, wrong methods, what is missing or cannot be read in a request, and bugs.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use poco::units::Timestamp;
use serde::Serialize;

/// A framework error on its way to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameworkError {
    /// The status code.
    pub status: StatusCode,
    /// The path that was asked for, without query.
    pub path: String,
}

impl FrameworkError {
    /// An error with `status` for a request to `path`.
    pub fn new(status: StatusCode, path: impl Into<String>) -> Self {
        Self {
            status,
            path: path.into(),
        }
    }
}

impl IntoResponse for FrameworkError {
    fn into_response(self) -> Response {
        framework_error(self.status, &self.path)
    }
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(with = "wire::date")]
    timestamp: Timestamp,
    status: u16,
    error: &'a str,
    path: &'a str,
}

/// `{"timestamp":…,"status":400,"error":"Bad Request","path":"/workers/ping"}` with that status. Never with `Retry-After`.
pub fn framework_error(status: StatusCode, path: &str) -> Response {
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let body = Body {
        timestamp: Timestamp::default().saturating_add(since_1970),
        status: status.as_u16(),
        error: status.canonical_reason().unwrap_or("Unknown"),
        path,
    };
    (status, axum::Json(body)).into_response()
}

/// The answer for paths that nothing is at.
pub(crate) async fn not_found(request: Request) -> Response {
    framework_error(StatusCode::NOT_FOUND, request.uri().path())
}

/// The answer for methods that a path does not have; the router adds `Allow`.
pub(crate) async fn method_not_allowed(request: Request) -> Response {
    framework_error(StatusCode::METHOD_NOT_ALLOWED, request.uri().path())
}
