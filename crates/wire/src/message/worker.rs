//! What a worker says about itself (spec scheduler-api §5.2, §3.4).

use alloy_primitives::{Address, B256};
use poco::ids::TaskId;
use poco::units::Timestamp;
use serde::{Deserialize, Serialize};

use crate::lenient;

/// Body of `POST /workers/register`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerModel {
    /// The name its operator gave it.
    #[serde(default)]
    pub name: Option<String>,
    /// Its wallet; the scheduler believes the token instead.
    #[serde(default)]
    pub wallet_address: Option<String>,
    /// Operating system.
    #[serde(default)]
    pub os: Option<String>,
    /// Processor architecture.
    #[serde(default)]
    pub cpu: Option<String>,
    /// Tasks it can compute at a time; less than 1 means none (Q29).
    #[serde(default, deserialize_with = "lenient::number")]
    pub cpu_nb: i32,
    /// Memory in GB; Java workers may send 0 or less.
    #[serde(default, deserialize_with = "lenient::number")]
    pub memory_size: i32,
    /// Whether it has a GPU, and therefore one slot.
    #[serde(default, deserialize_with = "lenient::boolean")]
    pub gpu_enabled: bool,
    /// Whether it can run SGX enclaves.
    #[serde(default, deserialize_with = "lenient::boolean")]
    pub tee_enabled: bool,
    /// Whether it can run TDX guests. Workers before 9.2.1 do not send it.
    #[serde(default, deserialize_with = "lenient::boolean")]
    pub tdx_enabled: bool,
}

/// Answer of `POST /workers/register`; nulls are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegisteredWorker {
    /// 24 hex digits, kept over registrations.
    pub id: String,
    /// As registered.
    #[serde(default)]
    pub name: Option<String>,
    /// The subject of the token.
    #[serde(with = "poco::hex::lower_address")]
    pub wallet_address: Address,
    /// As registered.
    #[serde(default)]
    pub os: Option<String>,
    /// As registered.
    #[serde(default)]
    pub cpu: Option<String>,
    /// As registered.
    pub cpu_nb: i32,
    /// Slots: 1 with a GPU, else `cpuNb`.
    pub max_nb_tasks: i32,
    /// As registered.
    pub memory_size: i32,
    /// As registered.
    pub gpu_enabled: bool,
    /// As registered.
    pub tee_enabled: bool,
    /// As registered.
    pub tdx_enabled: bool,
    /// Tasks it takes part in.
    pub participating_chain_task_ids: Vec<TaskId>,
    /// Those that occupy a slot.
    pub computing_chain_task_ids: Vec<TaskId>,
    /// When it was last heard of.
    #[serde(default, with = "crate::date::optional")]
    pub last_alive_date: Option<Timestamp>,
    /// When it last asked for work.
    #[serde(default, with = "crate::date::optional")]
    pub last_replicate_demand_date: Option<Timestamp>,
    /// Tags it is not given.
    pub excluded_tags: Vec<B256>,
}
