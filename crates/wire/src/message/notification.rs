//! Work given to a worker, and what it is told about work it has (spec scheduler-api §5.4).

use alloy_primitives::Address;
use poco::ids::TaskId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::WorkerpoolAuthorization;
use crate::lenient;
use crate::status::{TaskAbortCause, TaskNotificationType};

/// Answer of `GET /replicates/available`: a task to compute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicateTaskSummary {
    /// The task and the permission to contribute to it.
    pub workerpool_authorization: WorkerpoolAuthorization,
    /// The SMS, for TEE tasks.
    #[serde(default)]
    pub sms_url: Option<String>,
}

/// Something that workers are told about a task.
///
/// The original adds a member `taskAbortCause` on this level, which makes its own worker refuse a whole list of interrupted
/// work (spec scheduler-api Q13). It is ignored when read and never written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskNotification {
    /// The task.
    pub chain_task_id: TaskId,
    /// Whom it concerns: everybody when empty, nobody when none. Written in lower case, because Java compares text.
    #[serde(
        default,
        serialize_with = "addresses",
        deserialize_with = "optional_addresses"
    )]
    pub workers_address: Option<Vec<Address>>,
    /// What to do.
    pub task_notification_type: TaskNotificationType,
    /// What is needed to do it.
    #[serde(default)]
    pub task_notification_extra: Option<TaskNotificationExtra>,
}

impl TaskNotification {
    /// Whether `worker` is meant.
    pub fn concerns(&self, worker: Address) -> bool {
        match &self.workers_address {
            Some(addresses) => addresses.is_empty() || addresses.contains(&worker),
            None => false,
        }
    }

    /// Why to abort; unknown unless said.
    pub fn abort_cause(&self) -> TaskAbortCause {
        self.task_notification_extra
            .as_ref()
            .and_then(|extra| extra.task_abort_cause)
            .unwrap_or(TaskAbortCause::Unknown)
    }
}

/// What a worker needs to act on a [`TaskNotification`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskNotificationExtra {
    /// If there is one, the worker verifies and keeps it before it acts.
    #[serde(default)]
    pub workerpool_authorization: Option<WorkerpoolAuthorization>,
    /// The SMS, for TEE tasks.
    #[serde(default)]
    pub sms_url: Option<String>,
    /// The block of consensus for `PLEASE_REVEAL`; 0 means unset.
    #[serde(default, deserialize_with = "lenient::number")]
    pub block_number: u64,
    /// For `PLEASE_ABORT`.
    #[serde(default)]
    pub task_abort_cause: Option<TaskAbortCause>,
}

fn addresses<S: Serializer>(list: &Option<Vec<Address>>, serializer: S) -> Result<S::Ok, S::Error> {
    match list {
        Some(list) => poco::hex::lower_addresses::serialize(list, serializer),
        None => serializer.serialize_none(),
    }
}

fn optional_addresses<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Address>>, D::Error> {
    Option::<Vec<String>>::deserialize(deserializer)?
        .map(|list| list.iter().map(|text| poco::hex::address(text)).collect())
        .transpose()
        .map_err(serde::de::Error::custom)
}
