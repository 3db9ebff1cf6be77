//! A scheduler that serves one task: it answers as the protocol says and keeps what it was told. Config server and result proxy too.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use alloy_primitives::Bytes;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use devnet::{Role, TestChain};
use poco::contracts::Hub;
use poco::ids::TaskId;
use serde_json::{Value, json};
use tokio::sync::watch;
use wire::message::{ReplicateStatusDetails, ReplicateStatusUpdate, WorkerpoolAuthorization};
use wire::status::{ReplicateStatus as Is, ReplicateStatusCause as Cause};

use crate::world::send;

/// What the scheduler was told, and what it tells.
pub(crate) struct Scheduler {
    pub(crate) chain: Arc<TestChain>,
    /// Where workers reach the chain.
    pub(crate) node: String,
    pub(crate) task: TaskId,
    /// Goes with what was interrupted.
    pub(crate) authorization: Mutex<WorkerpoolAuthorization>,
    pub(crate) base: Mutex<String>,
    /// What is given to those who ask, one at a time.
    pub(crate) work: Mutex<VecDeque<WorkerpoolAuthorization>>,
    /// How often somebody asked when there was no work.
    pub(crate) in_vain: watch::Sender<u32>,
    pub(crate) told: watch::Sender<Vec<ReplicateStatusUpdate>>,
    pub(crate) notices: watch::Sender<Vec<Value>>,
    pub(crate) archive: Mutex<Option<Vec<u8>>>,
    pub(crate) caf: Mutex<Caf>,
    /// Uploads are answered once this is true.
    pub(crate) uploads: watch::Sender<bool>,
    /// A reveal is asked for once this is true.
    pub(crate) reveals: watch::Sender<bool>,
}

/// How scheduler and result proxy stand to contribute-and-finalize.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caf {
    /// As an original: the scheduler never heard of it.
    Unknown,
    /// Granted, and every early result is taken.
    Granted,
    /// Granted when the worker registered, and refused when it comes to it.
    Refused,
    /// Granted, with a result proxy of the original, which takes revealed results only.
    LateProxy,
}

impl Scheduler {
    pub(crate) fn statuses(&self) -> Vec<Is> {
        self.told
            .borrow()
            .iter()
            .filter_map(|update| update.status)
            .collect()
    }

    /// What it was told with that status.
    pub(crate) fn details(&self, status: Is) -> ReplicateStatusDetails {
        let told = self.told.borrow();
        let update = told.iter().find(|update| update.status == Some(status));
        update.unwrap().details.clone().unwrap_or_default()
    }

    /// The task as the chain has it.
    pub(crate) async fn chain_task(&self) -> poco::contracts::Task {
        let url = self.chain.rpc_url().parse().unwrap();
        let hub = chain::Hub::new(
            chain::Node::new(vec![url], None).unwrap(),
            self.chain.addresses().contracts.hub,
        );
        hub.task(self.task).await.unwrap().unwrap()
    }

    pub(crate) fn notify(&self, kind: &str, block: u64) {
        let notification = json!({
            "chainTaskId": self.task, "workersAddress": [], "taskNotificationType": kind,
            "taskNotificationExtra": {"blockNumber": block}
        });
        self.notices.send_modify(|notices| {
            notices.push(json!({"seq": notices.len() + 1, "notification": notification}))
        });
    }

    /// Records a report and answers as spec scheduler-api §6.3.
    pub(crate) async fn report(&self, update: ReplicateStatusUpdate) -> Response {
        let status = update.status.unwrap();
        if self.statuses().contains(&status) {
            return (StatusCode::ALREADY_REPORTED, Json("PLEASE_WAIT")).into_response();
        }
        if status == Is::ContributeAndFinalizeOngoing && *self.caf.lock().unwrap() == Caf::Refused {
            return (StatusCode::ACCEPTED, Json("PLEASE_ABORT")).into_response();
        }
        let details = update.details.clone().unwrap_or_default();
        self.told.send_modify(|told| told.push(update));
        let block = details
            .chain_receipt
            .map(|receipt| receipt.block_number)
            .unwrap_or_default();
        let answer = match status {
            Is::Started => "PLEASE_DOWNLOAD_APP",
            Is::AppDownloaded => "PLEASE_DOWNLOAD_DATA",
            Is::DataDownloaded => "PLEASE_COMPUTE",
            Is::Computed => "PLEASE_CONTRIBUTE",
            Is::Contributed => {
                let mut open = self.reveals.subscribe();
                drop(open.wait_for(|open| *open).await.unwrap());
                self.notify("PLEASE_REVEAL", block);
                "PLEASE_WAIT"
            }
            Is::Revealed => {
                self.notify("PLEASE_UPLOAD", 0);
                "PLEASE_WAIT"
            }
            Is::ResultUploaded => {
                let results = details.result_link.unwrap().into_bytes().into();
                let call = Hub::finalizeCall {
                    taskid: self.task.0,
                    results,
                    resultsCallback: Bytes::new(),
                };
                send(&self.chain, Role::Scheduler, &call).await;
                self.notify("PLEASE_COMPLETE", 0);
                "PLEASE_WAIT"
            }
            Is::ContributeAndFinalizeDone => {
                self.notify("PLEASE_COMPLETE", 0);
                "PLEASE_WAIT"
            }
            Is::AppDownloadFailed if details.cause == Some(Cause::AppImageDownloadFailed) => {
                "PLEASE_CONTRIBUTE"
            }
            Is::Completed => "PLEASE_WAIT",
            Is::Aborted => return StatusCode::OK.into_response(),
            Is::StartFailed
            | Is::ContributeFailed
            | Is::RevealFailed
            | Is::ContributeAndFinalizeFailed => "PLEASE_ABORT",
            _ => "PLEASE_CONTINUE",
        };
        Json(answer).into_response()
    }
}

pub(crate) fn routes(scheduler: Arc<Scheduler>) -> Router {
    type Of = State<Arc<Scheduler>>;
    let config = |State(scheduler): Of| async move {
        let base = scheduler.base.lock().unwrap().clone();
        Json(json!({
            "workerPoolAddress": poco::hex::lower(&scheduler.chain.addresses().workerpool), "schedulerPublicAddress": null,
            "configServerUrl": base, "resultRepositoryURL": base, "askForReplicatePeriod": 200, "requiredWorkerVersion": ""
        }))
    };
    let chain = |State(scheduler): Of| async move {
        Json(json!({
            "chainId": scheduler.chain.devnet().settings().chain_id, "sidechain": false, "chainNodeUrl": scheduler.node,
            "iexecHubContractAddress": scheduler.chain.addresses().contracts.hub, "blockTime": "PT1S"
        }))
    };
    let available = |State(scheduler): Of| async move {
        let work = scheduler.work.lock().unwrap().pop_front();
        let Some(authorization) = work else {
            scheduler.in_vain.send_modify(|times| *times += 1);
            return StatusCode::NO_CONTENT.into_response();
        };
        Json(json!({"workerpoolAuthorization": authorization, "smsUrl": null})).into_response()
    };
    let interrupted = |State(scheduler): Of| async move {
        let statuses = scheduler.statuses();
        let over = statuses.contains(&Is::Completed)
            || statuses.contains(&Is::Contributing)
            || statuses.is_empty();
        let authorization = scheduler.authorization.lock().unwrap().clone();
        let extra = json!({"workerpoolAuthorization": authorization, "blockNumber": 0});
        let notification = json!({
            "chainTaskId": scheduler.task, "workersAddress": [], "taskNotificationType": "PLEASE_CONTRIBUTE",
            "taskNotificationExtra": extra, "taskAbortCause": "UNKNOWN"
        });
        Json(if over {
            json!([])
        } else {
            json!([notification])
        })
    };
    let update = |State(scheduler): Of,
                  Path(_): Path<String>,
                  Json(update): Json<ReplicateStatusUpdate>| async move {
        scheduler.report(update).await
    };
    // Closes the link after every notice, so that each one needs a link that begins where the last one ended.
    let events = |State(scheduler): Of,
                  Query(query): Query<HashMap<String, usize>>,
                  upgrade: WebSocketUpgrade| async move {
        upgrade.on_upgrade(move |mut socket| async move {
            let mut notices = scheduler.notices.subscribe();
            let after = query["after"];
            let Ok(ready) = notices
                .wait_for(|notices| notices.len() > after)
                .await
                .map(|notices| notices[after].to_string())
            else {
                return;
            };
            let _ = socket.send(Message::Text(ready.into())).await;
            let _ = socket.send(Message::Close(None)).await;
        })
    };
    let upload = |State(scheduler): Of, Json(result): Json<wire::message::ResultModel>| async move {
        let mut open = scheduler.uploads.subscribe();
        drop(open.wait_for(|open| *open).await.unwrap());
        let late = *scheduler.caf.lock().unwrap() == Caf::LateProxy;
        if late && scheduler.chain_task().await.status != 2 {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        *scheduler.archive.lock().unwrap() = Some(result.zip);
        "/ipfs/QmTest".into_response()
    };
    let register = |State(scheduler): Of| async move {
        let features = match *scheduler.caf.lock().unwrap() {
            Caf::Unknown => "events",
            _ => "events, caf",
        };
        ([("workerpool-features", features)], Json(json!({})))
    };
    let hash = |State(scheduler): Of, Path(_): Path<String>| async move {
        let there = scheduler.archive.lock().unwrap().is_some();
        if there {
            "QmTest".into_response()
        } else {
            StatusCode::NOT_FOUND.into_response()
        }
    };
    Router::new()
        .route("/workers/config", get(config))
        .route("/config/chain", get(chain))
        .route(
            "/workers/challenge",
            get(|| async { "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" }),
        )
        .route("/workers/login", post(|| async { "a.jwt" }))
        .route("/workers/ping", post(|| async { "0xhash" }))
        .route("/workers/register", post(register))
        .route("/workers/events", get(events))
        .route("/replicates/available", get(available))
        .route("/replicates/interrupted", get(interrupted))
        .route("/replicates/{task}/updateStatus", post(update))
        .route("/v1/results/token", post(|| async { "a.proxy.jwt" }))
        .route("/v1/results", post(upload))
        .route("/v1/results/{task}/ipfshash", get(hash))
        .with_state(scheduler)
}
