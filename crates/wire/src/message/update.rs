//! A worker's report of how far it is with a task (spec scheduler-api §5.5).

use poco::units::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

use super::ComputeLogs;
use crate::lenient;
use crate::status::{ReplicateStatus, ReplicateStatusCause, StatusModifier};

/// Body of `POST /replicates/{chainTaskId}/updateStatus`.
///
/// Written with a last member `success`, derived from the status, as Java workers write it; the member is ignored when read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct ReplicateStatusUpdate {
    /// The status reached. None is an illegal transition, not a bad request (spec scheduler-api §5.5).
    #[serde(default)]
    pub status: Option<ReplicateStatus>,
    /// Who writes it; the scheduler overwrites it.
    #[serde(default)]
    pub modifier: Option<StatusModifier>,
    /// When; the scheduler overwrites it.
    #[serde(default, deserialize_with = "crate::date::optional::deserialize")]
    pub date: Option<Timestamp>,
    /// What there is to say about it.
    #[serde(default)]
    pub details: Option<ReplicateStatusDetails>,
}

impl ReplicateStatusUpdate {
    /// `status` was reached, and there is nothing more to say.
    pub fn new(status: ReplicateStatus) -> Self {
        Self {
            status: Some(status),
            ..Self::default()
        }
    }

    /// `status` was reached, with details.
    pub fn with_details(status: ReplicateStatus, details: ReplicateStatusDetails) -> Self {
        Self {
            details: Some(details),
            ..Self::new(status)
        }
    }

    /// `status` was reached because of `cause`.
    pub fn because(status: ReplicateStatus, cause: ReplicateStatusCause) -> Self {
        let details = ReplicateStatusDetails {
            cause: Some(cause),
            ..Default::default()
        };
        Self::with_details(status, details)
    }
}

impl Serialize for ReplicateStatusUpdate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Written<'a> {
            status: Option<ReplicateStatus>,
            modifier: Option<StatusModifier>,
            #[serde(serialize_with = "crate::date::optional::serialize")]
            date: Option<Timestamp>,
            details: Option<&'a ReplicateStatusDetails>,
            success: bool,
        }
        Written {
            status: self.status,
            modifier: self.modifier,
            date: self.date,
            details: self.details.as_ref(),
            success: self.status.is_some_and(ReplicateStatus::is_success),
        }
        .serialize(serializer)
    }
}

/// What there is to say about a status; nulls are written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicateStatusDetails {
    /// The transaction that brought the replicate here.
    #[serde(default)]
    pub chain_receipt: Option<ChainReceipt>,
    /// Where the result is, exactly as it will stand on chain.
    #[serde(default)]
    pub result_link: Option<String>,
    /// The callback's data, for tasks with a callback.
    #[serde(default)]
    pub chain_callback_data: Option<String>,
    /// Not used by any version.
    #[serde(default)]
    pub error_message: Option<String>,
    /// Why it failed.
    #[serde(default)]
    pub cause: Option<ReplicateStatusCause>,
    /// What the app printed.
    #[serde(default)]
    pub compute_logs: Option<ComputeLogs>,
    /// The app's exit code.
    #[serde(default, deserialize_with = "lenient::optional_number")]
    pub exit_code: Option<i32>,
    /// Not used by current workers.
    #[serde(default)]
    pub tee_session_generation_error: Option<String>,
}

/// Where on chain something happened.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChainReceipt {
    /// The block.
    #[serde(default, deserialize_with = "lenient::number")]
    pub block_number: u64,
    /// The transaction, as it came: it is shown, never used.
    #[serde(default)]
    pub tx_hash: Option<String>,
}
