//! A task as its buyer sees it (spec scheduler-api §5.8).

use alloy_primitives::{Address, B256};
use poco::ids::TaskId;
use poco::units::Timestamp;
use serde::{Deserialize, Serialize};

use super::ChainReceipt;
use crate::lenient;
use crate::status::{DappType, ReplicateStatus, ReplicateStatusCause, TaskStatus};

/// Answer of `GET /tasks/{chainTaskId}`; nulls are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskModel {
    /// The task.
    pub chain_task_id: TaskId,
    /// Its replicates, or none before the first one.
    #[serde(default)]
    pub replicates: Option<Vec<ReplicateModel>>,
    /// Longest execution of its category, in milliseconds.
    #[serde(default, deserialize_with = "lenient::number")]
    pub max_execution_time: u64,
    /// What it demands of a worker, 32 bytes.
    pub tag: B256,
    /// Always `DOCKER`.
    pub dapp_type: DappType,
    /// The image.
    #[serde(default)]
    pub dapp_name: Option<String>,
    /// `iexec_args` of the deal's parameters.
    #[serde(default)]
    pub command_line: Option<String>,
    /// The block of its initialization, 0 before.
    #[serde(default, deserialize_with = "lenient::number")]
    pub initialization_block_number: u64,
    /// How far it is.
    pub current_status: TaskStatus,
    /// The trust that its deal demands.
    #[serde(default, deserialize_with = "lenient::number")]
    pub trust: u64,
    /// Who uploads the result.
    #[serde(
        default,
        serialize_with = "poco::hex::lower_address_opt::serialize",
        deserialize_with = "lenient::optional_address"
    )]
    pub uploading_worker_wallet_address: Option<Address>,
    /// The hash that was agreed on.
    #[serde(default, deserialize_with = "lenient::optional_parsed")]
    pub consensus: Option<B256>,
    /// Until when workers may contribute.
    #[serde(default, with = "crate::date::optional")]
    pub contribution_deadline: Option<Timestamp>,
    /// Until when they may reveal.
    #[serde(default, with = "crate::date::optional")]
    pub reveal_deadline: Option<Timestamp>,
    /// When it can be claimed.
    #[serde(default, with = "crate::date::optional")]
    pub final_deadline: Option<Timestamp>,
    /// Where the result is.
    #[serde(default)]
    pub result_link: Option<String>,
    /// The callback's data.
    #[serde(default)]
    pub chain_callback_data: Option<String>,
    /// What it was and when.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub date_status_list: Vec<TaskStatusChange>,
}

/// One step of a task; absent members are not written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskStatusChange {
    /// When.
    #[serde(
        default,
        with = "crate::date::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub date: Option<Timestamp>,
    /// What it became.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<TaskStatus>,
    /// By which transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain_receipt: Option<ChainReceipt>,
}

/// Answer of `GET /tasks/{chainTaskId}/replicates/{walletAddress}`; absent or empty members are not written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicateModel {
    /// Absolute link to this replicate.
    #[serde(rename = "self", default, skip_serializing_if = "empty")]
    pub self_link: Option<String>,
    /// The task.
    pub chain_task_id: TaskId,
    /// The worker.
    #[serde(with = "poco::hex::lower_address")]
    pub wallet_address: Address,
    /// How far it is, `RECOVERING` and `WORKER_LOST` included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_status: Option<ReplicateStatus>,
    /// What it was and when.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub status_update_list: Vec<ReplicateStatusUpdateModel>,
    /// Where the result is.
    #[serde(default, skip_serializing_if = "empty")]
    pub result_link: Option<String>,
    /// The callback's data.
    #[serde(default, skip_serializing_if = "empty")]
    pub chain_callback_data: Option<String>,
    /// What it contributed.
    #[serde(
        default,
        deserialize_with = "lenient::optional_parsed",
        skip_serializing_if = "Option::is_none"
    )]
    pub contribution_hash: Option<B256>,
    /// Absolute link to the logs, if any are stored.
    #[serde(default, skip_serializing_if = "empty")]
    pub app_logs: Option<String>,
    /// The app's exit code; 0 is written.
    #[serde(
        default,
        deserialize_with = "lenient::optional_number",
        skip_serializing_if = "Option::is_none"
    )]
    pub app_exit_code: Option<i32>,
    /// Not used by current workers.
    #[serde(default, skip_serializing_if = "empty")]
    pub tee_session_generation_error: Option<String>,
}

/// One step of a replicate; absent members are not written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicateStatusUpdateModel {
    /// What it became.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ReplicateStatus>,
    /// When.
    #[serde(
        default,
        with = "crate::date::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub date: Option<Timestamp>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<ReplicateStatusCause>,
}

fn empty(text: &Option<String>) -> bool {
    text.as_ref().is_none_or(String::is_empty)
}
