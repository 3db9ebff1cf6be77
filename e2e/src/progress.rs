//! What happened to which task, in words, as it happens: told from the scheduler's public task API, as any dashboard would.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use alloy_primitives::B256;
use serde::Deserialize;

use crate::process::until;

/// A task as `GET /tasks/<id>` shows it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskView {
    current_status: String,
    #[serde(default)]
    date_status_list: Vec<Step>,
    #[serde(default)]
    replicates: Option<Vec<ReplicateView>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReplicateView {
    wallet_address: String,
    #[serde(default)]
    status_update_list: Vec<Step>,
}

#[derive(Debug, Clone, Deserialize)]
struct Step {
    status: String,
    #[serde(default)]
    date: Option<String>,
}

/// A task to follow.
#[derive(Debug, Clone)]
pub struct Followed {
    /// Its id.
    pub task: B256,
    /// What to call it.
    pub name: String,
}

/// How the tasks came along: for each, seconds from `since` to the first time each status was seen.
pub type Timeline = BTreeMap<B256, BTreeMap<String, f64>>;

/// Follows `tasks` at the scheduler `url` until each is COMPLETED or FAILED, and calls `tell` with a line for every step.
pub async fn follow(
    url: &str,
    tasks: &[Followed],
    since: std::time::Instant,
    patience: Duration,
    mut tell: impl FnMut(&str),
) -> anyhow::Result<Timeline> {
    let http = reqwest::Client::new();
    let mut told: BTreeSet<String> = BTreeSet::new();
    let mut timeline = Timeline::new();
    let mut open: Vec<Followed> = tasks.to_vec();
    let state = std::cell::RefCell::new((&mut told, &mut timeline, &mut open, &mut tell));
    until("the end of all tasks", patience, || async {
        let followed = state.borrow().2.clone();
        for one in followed {
            let answer = http.get(format!("{url}/tasks/{}", one.task)).send().await?;
            if answer.status() == reqwest::StatusCode::NOT_FOUND {
                continue;
            }
            let view: TaskView = answer.error_for_status()?.json().await?;
            let mut state = state.borrow_mut();
            let elapsed = since.elapsed().as_secs_f64();
            let replicates = view.replicates.clone().unwrap_or_default();
            let mut steps: Vec<(Option<&String>, String, Option<String>)> = view
                .date_status_list
                .iter()
                .map(|step| {
                    (
                        step.date.as_ref(),
                        format!("task {}", step.status),
                        task_words(&step.status).map(str::to_owned),
                    )
                })
                .chain(replicates.iter().flat_map(|replicate| {
                    let worker = short(&replicate.wallet_address);
                    replicate.status_update_list.iter().map(move |step| {
                        (
                            step.date.as_ref(),
                            format!("{worker} {}", step.status),
                            replicate_words(&step.status)
                                .map(|words| format!("worker {worker} {words}")),
                        )
                    })
                }))
                .collect();
            // As they happened, the task's own before those of its workers.
            steps.sort_by_key(|(date, ..)| *date);
            for (_, key, words) in steps {
                if state.0.insert(format!("{} {key}", one.task)) {
                    if let Some(status) = key.strip_prefix("task ") {
                        state
                            .1
                            .entry(one.task)
                            .or_default()
                            .insert(status.to_owned(), (elapsed * 1000.0).round() / 1000.0);
                    }
                    if let Some(words) = words {
                        (state.3)(&format!("{elapsed:6.1} s  {:<12} {words}", one.name));
                    }
                }
            }
            if matches!(view.current_status.as_str(), "COMPLETED" | "FAILED") {
                state.2.retain(|other| other.task != one.task);
            }
        }
        Ok(state.borrow().2.is_empty().then_some(()))
    })
    .await?;
    Ok(timeline)
}

fn short(address: &str) -> String {
    address.get(..6).unwrap_or(address).to_owned()
}

fn task_words(status: &str) -> Option<&'static str> {
    Some(match status {
        "RECEIVED" => "the deal is seen, the task is taken in",
        "INITIALIZING" => "the task is being opened on chain",
        "INITIALIZED" => "the task is open on chain and waits for workers",
        "RUNNING" => "the task runs",
        "CONSENSUS_REACHED" => "enough fingerprints agree: the chain calls for the reveal",
        "AT_LEAST_ONE_REVEALED" => "a worker has revealed",
        "RESULT_UPLOADING" => "one worker is asked to upload the result",
        "RESULT_UPLOADED" => "the result is at the result proxy",
        "FINALIZING" => "the task is being finalized on chain",
        "COMPLETED" => "finalized: the chain has paid",
        "FAILED" => "failed",
        _ => return None,
    })
}

fn replicate_words(status: &str) -> Option<&'static str> {
    Some(match status {
        "CREATED" => "is given the task",
        "APP_DOWNLOADED" => "has pulled the image",
        "COMPUTED" => "has computed in a container",
        "CONTRIBUTED" => "has contributed its fingerprint on chain",
        "REVEALED" => "has revealed",
        "RESULT_UPLOADED" => "has uploaded the result",
        "CONTRIBUTE_AND_FINALIZE_ONGOING" => {
            "hands the result over, to finish the task with one transaction"
        }
        "CONTRIBUTE_AND_FINALIZE_DONE" => {
            "has contributed, revealed and finalized with one transaction"
        }
        "COMPLETED" => "is done",
        "ABORTED" => "has stopped",
        "WORKER_LOST" => "is not heard of any more",
        "APP_DOWNLOAD_FAILED" => "could not pull the image",
        "COMPUTE_FAILED" => "could not compute",
        "START_FAILED" => "could not start",
        _ => return None,
    })
}
