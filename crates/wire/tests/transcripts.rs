//! Bodies that the original programs really exchanged, as recorded on a devnet, read into our types; what we also write is
//! written again to the letter. One of each kind, with every report of a task from start to end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops at once on what cannot happen"
)]

use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::message::*;
use wire::status::TaskNotificationType;

const RECORDED: &str = include_str!("recorded.jsonl");

#[derive(serde::Deserialize)]
struct Exchange {
    method: String,
    path: String,
    request: String,
    status: u16,
    response: String,
}

fn exchanges() -> Vec<Exchange> {
    RECORDED
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn those(part: &str) -> Vec<Exchange> {
    let those: Vec<_> = exchanges()
        .into_iter()
        .filter(|exchange| exchange.path.contains(part))
        .collect();
    assert!(!those.is_empty(), "nothing was recorded of {part}");
    those
}

fn same<T: DeserializeOwned + Serialize>(text: &str) -> T {
    let value: T = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(serde_json::to_string(&value).unwrap(), text);
    value
}

#[test]
fn every_report_of_a_java_worker_is_written_again_as_it_came() {
    let reports = those("/updateStatus");
    for report in &reports {
        assert_eq!(report.method, "POST");
        same::<ReplicateStatusUpdate>(&report.request);
        assert!(
            matches!(report.status, 200 | 202 | 208),
            "{}",
            report.status
        );
        if !report.response.is_empty() {
            same::<TaskNotificationType>(&report.response);
        }
    }
    let last = reports
        .iter()
        .find(|report| report.request.contains("\"COMPLETED\""))
        .unwrap();
    assert_eq!(last.response, "\"PLEASE_WAIT\"");
}

#[test]
fn what_a_java_scheduler_answers_is_written_again_as_it_came() {
    for config in those("/workers/config") {
        same::<PublicConfiguration>(&config.response);
    }
    for supply in those("/replicates/available") {
        if supply.status == 200 {
            same::<ReplicateTaskSummary>(&supply.response);
        }
    }
    for registration in those("/workers/register") {
        serde_json::from_str::<WorkerModel>(&registration.request).unwrap();
        same::<RegisteredWorker>(&registration.response);
    }
    for config in those("/config/chain") {
        same::<PublicChainConfig>(&config.response);
    }
}

#[test]
fn the_configuration_hash_is_what_a_java_scheduler_answers_to_a_ping() {
    let config: PublicConfiguration = same(&those("/workers/config")[0].response);
    let pings = those("/workers/ping");
    let ping = pings.iter().find(|ping| ping.status == 200).unwrap();
    assert_eq!(format!("{:#x}", config.hash()), ping.response);
}

#[test]
fn interrupted_work_is_read_although_a_java_worker_cannot() {
    for exchange in those("/replicates/interrupted") {
        let list: Vec<TaskNotification> = serde_json::from_str(&exchange.response).unwrap();
        for notification in list {
            assert!(
                !serde_json::to_string(&notification)
                    .unwrap()
                    .ends_with("\"taskAbortCause\":\"UNKNOWN\"}")
            );
        }
    }
}

#[test]
fn logins_and_uploads_are_written_again_as_they_came() {
    for login in those("/workers/login") {
        same::<Signature>(&login.request);
    }
    for token in those("/v1/results/token") {
        same::<WorkerpoolAuthorization>(&token.request);
    }
    let uploads: Vec<_> = those("/v1/results")
        .into_iter()
        .filter(|exchange| exchange.path == "/v1/results")
        .collect();
    assert!(!uploads.is_empty());
    for upload in uploads {
        let result: ResultModel = same(&upload.request);
        assert!(result.zip.starts_with(b"PK"));
    }
}
