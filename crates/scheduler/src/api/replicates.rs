//! `/replicates/…`: work for workers, and how far they are with it (spec scheduler-api §3.7 to §3.9).

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chassis::extract::{Json, Path, Query};
use engine::{Ask, Input, Logs, MissedTask, Reply, Report, ReportDetails};
use poco::ids::TaskId;
use poco::units::BlockNumber;
use serde::Deserialize;
use wire::message::{
    ReplicateStatusDetails, ReplicateStatusUpdate, ReplicateTaskSummary, TaskNotification,
    TaskNotificationExtra,
};
use wire::status::TaskNotificationType;

use super::generation::Generation;
use super::{Api, ApiError, Worker, features, granting};

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/replicates/available", get(available))
        .route("/replicates/interrupted", get(interrupted))
        .route("/replicates/{task}/updateStatus", post(update_status))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Seen {
    block_number: i64,
}

impl Seen {
    /// The worker's newest block; 0 says that its node is not synchronised.
    pub(super) fn block(&self) -> BlockNumber {
        BlockNumber(u64::try_from(self.block_number).unwrap_or(0))
    }
}

/// 200 with a task, 204 without one, 503 while the chain cannot be read.
async fn available(
    State(api): State<Arc<Api>>,
    Query(seen): Query<Seen>,
    Worker(worker): Worker,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let features = features(&api, &headers);
    let wallet = api.wallets.of(worker).await;
    let ask = move |ticket| {
        Input::Ask(Ask {
            ticket,
            worker,
            block: seen.block(),
            wait: features.wait,
            // What cannot be read holds nobody back.
            gas: wallet.can_pay.unwrap_or(true),
            weight: wallet.weight,
        })
    };
    let response = match api.inbox.ask(ask).await? {
        Reply::Given(given) => {
            let workerpool_authorization = api.authorizer.authorize(&given)?;
            tracing::info!(task = %given.task, worker = %worker, "a task is given");
            Generation::of(&headers).json(&ReplicateTaskSummary {
                workerpool_authorization,
                sms_url: given.enclave.map(|enclave| enclave.sms_url),
            })?
        }
        Reply::OutOfService => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        other => {
            tracing::trace!(worker = %worker, answer = ?other, "nothing to give");
            StatusCode::NO_CONTENT.into_response()
        }
    };
    Ok(granting(features, response))
}

/// 200 with what an interrupted worker should go on with.
async fn interrupted(
    State(api): State<Arc<Api>>,
    Query(seen): Query<Seen>,
    Worker(worker): Worker,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let block = seen.block();
    let reply = api
        .inbox
        .ask(move |ticket| Input::Interrupted {
            ticket,
            worker,
            block,
        })
        .await?;
    let missed = match reply {
        Reply::Missed(missed) => missed,
        Reply::Later { waited_for } => {
            tracing::debug!(worker = %worker, waited_for, "an interrupted worker has to ask again");
            return Ok(StatusCode::SERVICE_UNAVAILABLE.into_response());
        }
        _ => Vec::new(),
    };
    let notifications: Result<Vec<_>, _> =
        missed.iter().map(|one| notification(&api, one)).collect();
    Generation::of(&headers).json(&notifications?)
}

/// Without `taskAbortCause` at the top: it makes Java workers drop the whole list (spec scheduler-api Q13).
fn notification(api: &Api, missed: &MissedTask) -> Result<TaskNotification, ApiError> {
    let given = &missed.assignment;
    Ok(TaskNotification {
        chain_task_id: given.task,
        workers_address: Some(vec![given.worker]),
        task_notification_type: missed.kind,
        task_notification_extra: Some(TaskNotificationExtra {
            workerpool_authorization: Some(api.authorizer.authorize(given)?),
            sms_url: given
                .enclave
                .as_ref()
                .map(|enclave| enclave.sms_url.clone()),
            block_number: missed.block.map_or(0, |block| block.0),
            task_abort_cause: missed.abort_cause,
        }),
    })
}

/// 200 accepted, 208 known before, 202 refused, each with what to do next; 503 to be repeated.
async fn update_status(
    State(api): State<Arc<Api>>,
    Worker(worker): Worker,
    Path(task): Path<String>,
    Json(update): Json<ReplicateStatusUpdate>,
) -> Result<Response, ApiError> {
    let (Ok(task), Some(status)) = (task.parse::<TaskId>(), update.status) else {
        return Ok(told(
            StatusCode::ACCEPTED,
            TaskNotificationType::PleaseAbort,
        ));
    };
    let details = details(update.details.unwrap_or_default());
    let report = move |ticket| {
        Input::Report(Box::new(Report {
            ticket,
            worker,
            task,
            status,
            details,
        }))
    };
    Ok(match api.inbox.ask(report).await? {
        Reply::Accepted(next) => told(StatusCode::OK, next),
        Reply::AlreadyKnown(next) => told(StatusCode::ALREADY_REPORTED, next),
        Reply::Refused(reason) => {
            tracing::info!(%task, worker = %worker, %status, %reason, "a report is refused");
            told(StatusCode::ACCEPTED, TaskNotificationType::PleaseAbort)
        }
        Reply::OutOfService => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Reply::Later { waited_for } => {
            tracing::debug!(%task, worker = %worker, %status, waited_for, "a report has to be repeated");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
        other => {
            tracing::error!(%task, worker = %worker, answer = ?other, "a bug: this answers no report");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    })
}

fn told(status: StatusCode, next: TaskNotificationType) -> Response {
    (status, axum::Json(next)).into_response()
}

fn details(told: ReplicateStatusDetails) -> ReportDetails {
    let receipt = told.chain_receipt.unwrap_or_default();
    let text = |text: String| Some(text).filter(|text| !text.is_empty());
    ReportDetails {
        block: Some(BlockNumber(receipt.block_number)).filter(|block| block.0 > 0),
        tx: receipt.tx_hash,
        result_link: told.result_link,
        callback_data: told.chain_callback_data,
        cause: told.cause,
        exit_code: told.exit_code,
        logs: told.compute_logs.map(|logs| {
            let logs = logs.bounded();
            Logs {
                stdout: text(logs.stdout),
                stderr: text(logs.stderr),
            }
        }),
    }
}
