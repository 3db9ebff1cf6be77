//! Bodies, queries and paths of requests. The input is any of them, and is read as each. What was read must read the same after it was
//! written.

use std::fmt::Debug;

use poco::ids::{DealId, TaskId};
use poco::units::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::events::Event;
use wire::message::{
    ComputeLogs, PublicChainConfig, PublicConfiguration, RegisteredWorker, ReplicateModel,
    ReplicateStatusUpdate, ReplicateTaskSummary, ResultModel, Signature, TaskLogsModel, TaskModel,
    TaskNotification, WorkerModel, WorkerpoolAuthorization,
};
use wire::{date, duration};

/// The last moment that is written as it is: dates have four digits for the year.
const LAST_DATE: Timestamp = Timestamp(253_402_300_799_999);

pub fn run(data: &[u8]) {
    an_update_comes_back(data);
    // What strangers send to the scheduler.
    comes_back::<WorkerModel>(data);
    comes_back::<Option<Signature>>(data);
    // To the result proxy.
    comes_back::<WorkerpoolAuthorization>(data);
    comes_back::<ResultModel>(data);
    // What a worker is answered, by whoever it takes for its scheduler or config server.
    comes_back::<ReplicateTaskSummary>(data);
    comes_back::<Vec<TaskNotification>>(data);
    comes_back::<Event>(data);
    comes_back::<PublicConfiguration>(data);
    comes_back::<PublicChainConfig>(data);
    comes_back::<TaskLogsModel>(data);
    comes_back_once_written::<RegisteredWorker>(data);
    comes_back_once_written::<TaskModel>(data);
    comes_back_once_written::<ReplicateModel>(data);
    let text = String::from_utf8_lossy(data);
    texts_come_back(&text);
    a_query_says_what_it_says(&text);
}

fn read<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    serde_json::from_slice(json).ok()
}

fn written<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("what was read can be written")
}

fn again<T: Serialize + DeserializeOwned>(value: &T) -> T {
    let json = written(value);
    let again = read(&json);
    again.unwrap_or_else(|| panic!("not read: {}", String::from_utf8_lossy(&json)))
}

fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(data: &[u8]) {
    if let Some(value) = read::<T>(data) {
        assert_eq!(again(&value), value);
    }
}

/// For what has dates, of which those after the year 9999 are written as its last moment.
fn comes_back_once_written<T: Serialize + DeserializeOwned + PartialEq + Debug>(data: &[u8]) {
    if let Some(value) = read::<T>(data) {
        let value = again(&value);
        assert_eq!(again(&value), value);
    }
}

fn an_update_comes_back(data: &[u8]) {
    let Some(update) = read::<ReplicateStatusUpdate>(data) else {
        return;
    };
    let date = update.date.map(|date| date.min(LAST_DATE));
    let told = ReplicateStatusUpdate {
        date,
        ..update.clone()
    };
    assert_eq!(again(&update), told);
    if let Some(logs) = update.details.and_then(|details| details.compute_logs) {
        let bounded = logs.clone().bounded();
        for (all, kept) in [
            (&logs.stdout, &bounded.stdout),
            (&logs.stderr, &bounded.stderr),
        ] {
            let units = kept.encode_utf16().count();
            assert!(units <= ComputeLogs::MAX_UNITS && all.ends_with(kept.as_str()));
            assert!(kept.len() == all.len() || units >= ComputeLogs::MAX_UNITS - 1);
        }
    }
}

fn texts_come_back(text: &str) {
    if let Ok(task) = text.parse::<TaskId>() {
        assert_eq!(task.to_string().parse(), Ok(task));
    }
    if let Ok(deal) = text.parse::<DealId>() {
        assert_eq!(deal.to_string().parse(), Ok(deal));
    }
    if let Ok(moment) = date::parse(text) {
        assert!(moment <= LAST_DATE);
        assert_eq!(date::parse(&date::text(moment)), Ok(moment));
    }
    if let Ok(length) = duration::parse(text) {
        assert_eq!(duration::parse(&duration::text(length)), Ok(length));
    }
}

fn a_query_says_what_it_says(text: &str) {
    let Some([wallet, reader, block, after]) = scheduler::fuzzing::queries(text) else {
        return;
    };
    for address in [wallet, reader].into_iter().flatten() {
        assert_eq!(address.len(), 42);
        let letters = text.to_ascii_lowercase();
        assert!(letters.contains('%') || letters.contains(&address));
    }
    for number in [block, after].into_iter().flatten() {
        assert!(number.parse::<u64>().is_ok());
    }
}
