//! How a failed request is answered. Java clients do not look at bodies of errors, so these are for people: refusals are
//! empty as the original's are, everything else is JSON.

use alloy_primitives::Address;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use crate::upload::{FailedUpload, UploadError};
use crate::upload_body::BodyError;

/// The answer to a request that fails.
pub(super) struct ApiError {
    status: StatusCode,
    /// The path to tell in a JSON body; without one the body is empty.
    path: Option<String>,
}

impl ApiError {
    /// 401: a check said no. Which one is only logged (spec result-proxy §4.1).
    pub(super) const fn unauthorized() -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            path: None,
        }
    }

    /// 404 with an empty body.
    pub(super) const fn not_found() -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            path: None,
        }
    }

    /// 400: a header is missing, or the body cannot be read.
    pub(super) fn bad_request(uri: &Uri) -> Self {
        Self::told(StatusCode::BAD_REQUEST, uri)
    }

    /// 503: this may work later. There is no `Retry-After`, which would send Java clients into a loop.
    pub(super) fn unavailable(uri: &Uri) -> Self {
        Self::told(StatusCode::SERVICE_UNAVAILABLE, uri)
    }

    /// 503 for a failure of the proxy's own disk or database, logged here.
    pub(super) fn failed(uri: &Uri, error: &dyn std::error::Error) -> Self {
        tracing::error!(path = uri.path(), %error, "a request failed");
        Self::unavailable(uri)
    }

    /// The answer to an upload that came to nothing, logged here.
    pub(super) fn of_upload(uri: &Uri, wallet: Address, failed: &FailedUpload) -> Self {
        let FailedUpload { task, error } = failed;
        let task = task.map(tracing::field::display);
        let wallet = poco::hex::lower(&wallet);
        let status = match error {
            UploadError::Refused(_) => StatusCode::UNAUTHORIZED,
            UploadError::Body(BodyError::TooLarge { .. }) | UploadError::TooLarge(_) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            UploadError::Body(_) | UploadError::Interrupted(_) => StatusCode::BAD_REQUEST,
            UploadError::TooMany
            | UploadError::Chain(_)
            | UploadError::Disk(_)
            | UploadError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        if status.is_server_error() {
            tracing::error!(task, wallet, %error, "an upload failed");
        } else {
            tracing::warn!(task, wallet, %error, "an upload is not taken");
        }
        match status {
            StatusCode::UNAUTHORIZED => Self::unauthorized(),
            status => Self::told(status, uri),
        }
    }

    fn told(status: StatusCode, uri: &Uri) -> Self {
        Self {
            status,
            path: Some(uri.path().to_owned()),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self.path {
            Some(path) => chassis::error::framework_error(self.status, &path),
            None => self.status.into_response(),
        }
    }
}
