//! Bodies, queries and paths of requests, refused as the original's framework refuses them: 400, or 415 for a body that is
//! not JSON, or 413 for one that is too long.

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::error::FrameworkError;

/// A JSON body.
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(
    /// What was sent.
    pub T,
);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = FrameworkError;

    async fn from_request(request: Request, state: &S) -> Result<Self, FrameworkError> {
        let path = request.uri().path().to_owned();
        match axum::Json::<T>::from_request(request, state).await {
            Ok(axum::Json(body)) => Ok(Self(body)),
            Err(rejection) => {
                let status = match &rejection {
                    JsonRejection::MissingJsonContentType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    rejection if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                        StatusCode::PAYLOAD_TOO_LARGE
                    }
                    _ => StatusCode::BAD_REQUEST,
                };
                tracing::debug!(path, status = status.as_u16(), reason = %rejection.body_text(), "a body is refused");
                Err(FrameworkError { status, path })
            }
        }
    }
}

/// The query, `?name=value`.
#[derive(Debug, Clone, Copy)]
pub struct Query<T>(
    /// What was sent.
    pub T,
);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = FrameworkError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, FrameworkError> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(rejection) => {
                let rejection: QueryRejection = rejection;
                Err(bad_request(parts, &rejection.body_text()))
            }
        }
    }
}

/// The named parts of the path.
#[derive(Debug, Clone, Copy)]
pub struct Path<T>(
    /// What was sent.
    pub T,
);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = FrameworkError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, FrameworkError> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(path)) => Ok(Self(path)),
            Err(rejection) => {
                let rejection: PathRejection = rejection;
                Err(bad_request(parts, &rejection.body_text()))
            }
        }
    }
}

fn bad_request(parts: &Parts, reason: &str) -> FrameworkError {
    let path = parts.uri.path();
    tracing::debug!(path, reason, "a request is refused");
    FrameworkError::new(StatusCode::BAD_REQUEST, path)
}
