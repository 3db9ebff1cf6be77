//! `GET /version` (spec scheduler-api §4.3).

use std::sync::Arc;

use axum::Router;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;

use super::{Api, text};
use crate::run::VERSION;

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/version", get(version))
}

async fn version(headers: HeaderMap) -> Response {
    text(&headers, VERSION)
}
