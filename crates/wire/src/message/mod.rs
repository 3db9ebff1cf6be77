//! The JSON bodies that services exchange, one type a shape (spec scheduler-api §5, result-proxy §3).
//!
//! Fields stand in the order in which they are written. Nulls are written where Java writes them and left out where it
//! leaves them out; unknown members are ignored. Java workers refuse unknown members of most of these shapes, so none may
//! ever get a field that the original does not have.

mod authorization;
mod chain_config;
mod configuration;
mod logs;
mod metric;
mod notification;
mod result;
mod task;
mod update;
mod worker;

pub use authorization::{Signature, WorkerpoolAuthorization};
pub use chain_config::PublicChainConfig;
pub use configuration::PublicConfiguration;
pub use logs::{ComputeLogs, ExitMessage, TaskLogsModel};
pub use metric::{LatestBlockMetric, PlatformMetric};
pub use notification::{ReplicateTaskSummary, TaskNotification, TaskNotificationExtra};
pub use result::{ResultModel, zip_bytes};
pub use task::{ReplicateModel, ReplicateStatusUpdateModel, TaskModel, TaskStatusChange};
pub use update::{ChainReceipt, ReplicateStatusDetails, ReplicateStatusUpdate};
pub use worker::{RegisteredWorker, WorkerModel};
