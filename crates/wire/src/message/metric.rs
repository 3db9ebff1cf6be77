//! The figures of a workerpool (spec scheduler-api §4.3).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::status::TaskStatus;

/// Answer of `GET /metrics`, all members always there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PlatformMetric {
    /// Registered workers heard of in the last 60 s.
    pub alive_workers: u64,
    /// Tasks being computed by workers without GPU.
    pub alive_computing_cpu: u64,
    /// Cores of workers without GPU.
    pub alive_registered_cpu: u64,
    /// GPU workers that compute.
    pub alive_computing_gpu: u64,
    /// GPU workers.
    pub alive_registered_gpu: u64,
    /// Tasks in each status, in the order of statuses.
    pub current_task_statuses_count: BTreeMap<TaskStatus, u64>,
    /// The head of the chain, once seen.
    pub latest_block_metric: Option<LatestBlockMetric>,
    /// Events of deals since the start.
    pub deal_events_count: u64,
    /// Deals since the start.
    pub deals_count: u64,
    /// Always 0.
    pub replay_deals_count: u64,
    /// The block of the latest deal since the start.
    pub latest_block_number_with_deal: u64,
    /// Deprecated: registered less computing. Dashboards read it (Q27).
    pub alive_available_cpu: u64,
    /// Deprecated: registered.
    pub alive_total_cpu: u64,
    /// Deprecated: registered less computing.
    pub alive_available_gpu: u64,
    /// Deprecated: registered.
    pub alive_total_gpu: u64,
}

/// The head of the chain as a scheduler sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LatestBlockMetric {
    /// Its number.
    pub block_number: u64,
    /// Its hash, `0x` and 64 digits.
    pub block_hash: String,
    /// Its time, in seconds since 1970.
    pub block_timestamp: u64,
}
