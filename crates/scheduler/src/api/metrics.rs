//! `GET /metrics`: the pool in numbers, as JSON (spec scheduler-api §4.3).

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use wire::message::PlatformMetric;

use super::{Api, ApiError};
use crate::clock::now;

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/metrics", get(metrics))
}

async fn metrics(State(api): State<Arc<Api>>) -> Result<Json<PlatformMetric>, ApiError> {
    let figures = api.inbox.look(|engine| engine.figures(now())).await?;
    Ok(Json(api.figures.platform(&figures)))
}
