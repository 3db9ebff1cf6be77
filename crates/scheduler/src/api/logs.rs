//! What apps wrote, for the requester alone, who proves with a signed challenge who it is (spec scheduler-api §4.2).

use std::sync::Arc;

use alloy_primitives::Address;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use chassis::extract::{Path, Query};
use poco::ids::TaskId;
use serde::Deserialize;
use serde_json::json;
use wire::message::{ComputeLogs, TaskLogsModel};

use super::{Api, ApiError, address, required_authorization};
use crate::auth::LogsDenied;
use crate::persist;

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/tasks/logs/challenge", get(challenge))
        .route("/tasks/{task}/logs", get(of_task))
        .route("/tasks/{task}/replicates/{worker}/logs", get(of_worker))
        // The same by the names of version 8.
        .route("/tasks/{task}/stdout", get(of_task))
        .route("/tasks/{task}/replicates/{worker}/stdout", get(of_worker))
}

#[derive(Deserialize)]
pub(super) struct Reader {
    pub(super) address: String,
}

/// 200 with typed data to sign.
async fn challenge(
    State(api): State<Arc<Api>>,
    uri: Uri,
    Query(query): Query<Reader>,
) -> Result<Response, ApiError> {
    let reader = address(&query.address, &uri)?;
    let challenge = api.auth.logs_challenge(reader).await?;
    Ok(Json(challenge.typed_data()).into_response())
}

async fn of_task(
    State(api): State<Arc<Api>>,
    uri: Uri,
    headers: HeaderMap,
    Path(task): Path<String>,
) -> Result<Response, ApiError> {
    let (task, logs) = match read(&api, &uri, &headers, &task).await? {
        Ok(found) => found,
        Err(denied) => return Ok(denied),
    };
    Ok(Json(TaskLogsModel {
        chain_task_id: task,
        compute_logs_list: logs,
    })
    .into_response())
}

async fn of_worker(
    State(api): State<Arc<Api>>,
    uri: Uri,
    headers: HeaderMap,
    Path((task, worker)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let (_, logs) = match read(&api, &uri, &headers, &task).await? {
        Ok(found) => found,
        Err(denied) => return Ok(denied),
    };
    let worker = poco::hex::address(&worker).ok();
    let own = logs
        .into_iter()
        .find(|logs| worker.is_some() && logs.wallet_address == worker);
    Ok(own.map_or_else(
        // Q19: the original answers 500.
        || {
            refusal(
                StatusCode::NOT_FOUND,
                "this worker sent no logs of this task",
            )
        },
        |logs| Json(logs).into_response(),
    ))
}

/// The task's logs for who may read them, or the refusal, checked in the order of the specification.
async fn read(
    api: &Api,
    uri: &Uri,
    headers: &HeaderMap,
    task: &str,
) -> Result<Result<(TaskId, Vec<ComputeLogs>), Response>, ApiError> {
    let header = required_authorization(headers, uri.path())?;
    let task: Option<TaskId> = task.parse().ok();
    let requester = requester(api, task).await?;
    match api.auth.may_read_logs(header, requester) {
        Err(LogsDenied::NotProven) => {
            return Ok(Err(refusal(
                StatusCode::UNAUTHORIZED,
                "the token does not prove who is asking",
            )));
        }
        Err(LogsDenied::NotTheRequester) => {
            return Ok(Err(refusal(
                StatusCode::FORBIDDEN,
                "only the task's requester may read its logs",
            )));
        }
        Ok(()) => {}
    }
    let logs = match task {
        Some(task) => persist::logs_of(&api.store, task).await?,
        None => Vec::new(),
    };
    Ok(match task {
        Some(task) if !logs.is_empty() => Ok((task, logs)),
        _ => Err(refusal(
            StatusCode::NOT_FOUND,
            "no logs of this task are stored",
        )),
    })
}

async fn requester(api: &Api, task: Option<TaskId>) -> Result<Option<Address>, ApiError> {
    let Some(task) = task else { return Ok(None) };
    let Some(task) = persist::task(&api.store, task).await? else {
        return Ok(None);
    };
    let deal = persist::deal(&api.store, task.deal).await?;
    Ok(deal.map(|deal| deal.details.requester))
}

/// With a JSON body: the SDK shows its `error` to the user.
fn refusal(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({ "error": error }))).into_response()
}
