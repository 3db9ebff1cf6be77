//! `/tasks/…`: what anybody may read about a task (spec scheduler-api §4.1).

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use chassis::Origin;
use chassis::extract::Path;
use poco::ids::TaskId;

use super::task_model::{self, Links};
use super::{Api, ApiError};
use crate::clock::now;
use crate::persist;

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/tasks/{task}", get(task))
        .route("/tasks/{task}/replicates/{worker}", get(replicate))
}

/// 200 with the task and its replicates, 404 for a task that is not of this pool.
async fn task(
    State(api): State<Arc<Api>>,
    origin: Origin,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let Some(task) = find(&api, &id).await? else {
        return Ok(StatusCode::NOT_FOUND.into_response());
    };
    let Some(deal) = persist::deal(&api.store, task.deal).await? else {
        return Ok(StatusCode::NOT_FOUND.into_response());
    };
    let replicates = persist::replicates_of(&api.store, task.id).await?;
    let links = links(&api, origin);
    Ok(Json(task_model::task(&task, &deal, &replicates, &links)).into_response())
}

/// 200 with one worker's part, 404 when it has none.
async fn replicate(
    State(api): State<Arc<Api>>,
    origin: Origin,
    Path((id, worker)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let Some(task) = find(&api, &id).await? else {
        return Ok(StatusCode::NOT_FOUND.into_response());
    };
    let Ok(worker) = poco::hex::address(&worker) else {
        return Ok(StatusCode::NOT_FOUND.into_response());
    };
    Ok(
        match persist::replicate(&api.store, task.id, worker).await? {
            Some(found) => {
                Json(task_model::replicate(&task, &found, &links(&api, origin))).into_response()
            }
            None => StatusCode::NOT_FOUND.into_response(),
        },
    )
}

async fn find(api: &Api, id: &str) -> Result<Option<engine::TaskRecord>, ApiError> {
    match id.parse::<TaskId>() {
        Ok(id) => Ok(persist::task(&api.store, id).await?),
        Err(_) => Ok(None),
    }
}

/// Links are absolute, by the name that the caller used.
fn links(api: &Api, origin: Origin) -> Links {
    Links {
        base: origin.base,
        logs_since: now().saturating_sub(api.logs_kept),
    }
}
