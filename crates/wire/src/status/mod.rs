//! Statuses of replicates and tasks, and what a scheduler tells a worker to do next (spec scheduler-api §5.4, §5.7).
//!
//! Names and order are those of the original: the name crosses the wire, the order decides comparisons. Which status may
//! follow which is not here: that is the engine's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

mod cause;

pub use cause::ReplicateStatusCause;

/// A name that is not one of an enumeration's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a {kind}")]
pub struct UnknownName {
    /// What was being read.
    pub kind: &'static str,
    /// The text given.
    pub name: String,
}

macro_rules! named {
    ($(#[$doc:meta])* $kind:ident { $($variant:ident = $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $kind {
            $(#[doc = concat!("`", $name, "`.")] $variant,)+
        }

        impl $kind {
            /// All of them, in the order of the original.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name on the wire.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl FromStr for $kind {
            type Err = UnknownName;

            fn from_str(name: &str) -> Result<Self, UnknownName> {
                match name {
                    $($name => Ok(Self::$variant),)+
                    other => Err(UnknownName { kind: stringify!($kind), name: other.to_owned() }),
                }
            }
        }

        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let name = String::deserialize(deserializer)?;
                name.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

named! {
    /// How far one worker is with one task.
    ReplicateStatus {
        Created = "CREATED",
        Starting = "STARTING",
        StartFailed = "START_FAILED",
        Started = "STARTED",
        AppDownloading = "APP_DOWNLOADING",
        AppDownloadFailed = "APP_DOWNLOAD_FAILED",
        AppDownloaded = "APP_DOWNLOADED",
        DataDownloading = "DATA_DOWNLOADING",
        DataDownloadFailed = "DATA_DOWNLOAD_FAILED",
        DataDownloaded = "DATA_DOWNLOADED",
        Computing = "COMPUTING",
        ComputeFailed = "COMPUTE_FAILED",
        Computed = "COMPUTED",
        Contributing = "CONTRIBUTING",
        ContributeFailed = "CONTRIBUTE_FAILED",
        Contributed = "CONTRIBUTED",
        Revealing = "REVEALING",
        RevealFailed = "REVEAL_FAILED",
        Revealed = "REVEALED",
        ResultUploadRequested = "RESULT_UPLOAD_REQUESTED",
        ResultUploading = "RESULT_UPLOADING",
        ResultUploadFailed = "RESULT_UPLOAD_FAILED",
        ResultUploaded = "RESULT_UPLOADED",
        ContributeAndFinalizeOngoing = "CONTRIBUTE_AND_FINALIZE_ONGOING",
        ContributeAndFinalizeFailed = "CONTRIBUTE_AND_FINALIZE_FAILED",
        ContributeAndFinalizeDone = "CONTRIBUTE_AND_FINALIZE_DONE",
        Completing = "COMPLETING",
        CompleteFailed = "COMPLETE_FAILED",
        Completed = "COMPLETED",
        Failed = "FAILED",
        Aborted = "ABORTED",
        Recovering = "RECOVERING",
        WorkerLost = "WORKER_LOST",
    }
}

named! {
    /// How far a task is.
    TaskStatus {
        Received = "RECEIVED",
        Initializing = "INITIALIZING",
        Initialized = "INITIALIZED",
        InitializeFailed = "INITIALIZE_FAILED",
        Running = "RUNNING",
        RunningFailed = "RUNNING_FAILED",
        ContributionTimeout = "CONTRIBUTION_TIMEOUT",
        ConsensusReached = "CONSENSUS_REACHED",
        Reopening = "REOPENING",
        Reopened = "REOPENED",
        ReopenFailed = "REOPEN_FAILED",
        AtLeastOneRevealed = "AT_LEAST_ONE_REVEALED",
        ResultUploading = "RESULT_UPLOADING",
        ResultUploaded = "RESULT_UPLOADED",
        ResultUploadTimeout = "RESULT_UPLOAD_TIMEOUT",
        Finalizing = "FINALIZING",
        Finalized = "FINALIZED",
        FinalizeFailed = "FINALIZE_FAILED",
        FinalDeadlineReached = "FINAL_DEADLINE_REACHED",
        Completed = "COMPLETED",
        Failed = "FAILED",
    }
}

named! {
    /// What a worker is told to do (spec scheduler-api §5.4).
    TaskNotificationType {
        PleaseContinue = "PLEASE_CONTINUE",
        PleaseWait = "PLEASE_WAIT",
        PleaseStart = "PLEASE_START",
        PleaseDownloadApp = "PLEASE_DOWNLOAD_APP",
        PleaseDownloadData = "PLEASE_DOWNLOAD_DATA",
        PleaseCompute = "PLEASE_COMPUTE",
        PleaseContribute = "PLEASE_CONTRIBUTE",
        PleaseReveal = "PLEASE_REVEAL",
        PleaseUpload = "PLEASE_UPLOAD",
        PleaseContributeAndFinalize = "PLEASE_CONTRIBUTE_AND_FINALIZE",
        PleaseComplete = "PLEASE_COMPLETE",
        PleaseAbort = "PLEASE_ABORT",
    }
}

named! {
    /// Why a worker is told to abort.
    TaskAbortCause {
        ContributionTimeout = "CONTRIBUTION_TIMEOUT",
        ConsensusReached = "CONSENSUS_REACHED",
        Unknown = "UNKNOWN",
    }
}

named! {
    /// Who wrote a status.
    StatusModifier {
        Worker = "WORKER",
        PoolManager = "POOL_MANAGER",
    }
}

named! {
    /// What kind of program an app is. Deals carry nothing but `DOCKER`.
    DappType {
        Docker = "DOCKER",
        Binary = "BINARY",
    }
}

impl ReplicateStatus {
    /// The statuses of a replicate that goes well, in order. The upload is not among them (spec scheduler-api §5.7).
    pub const SUCCESS: &[Self] = &[
        Self::Created,
        Self::Starting,
        Self::Started,
        Self::AppDownloading,
        Self::AppDownloaded,
        Self::DataDownloading,
        Self::DataDownloaded,
        Self::Computing,
        Self::Computed,
        Self::Contributing,
        Self::Contributed,
        Self::Revealing,
        Self::Revealed,
        Self::ContributeAndFinalizeOngoing,
        Self::ContributeAndFinalizeDone,
        Self::Completing,
        Self::Completed,
    ];

    /// The statuses that say that something went wrong.
    pub const FAILURE: &[Self] = &[
        Self::StartFailed,
        Self::AppDownloadFailed,
        Self::DataDownloadFailed,
        Self::ComputeFailed,
        Self::ContributeFailed,
        Self::RevealFailed,
        Self::ResultUploadFailed,
        Self::ContributeAndFinalizeFailed,
        Self::CompleteFailed,
        Self::Failed,
    ];

    /// What `success` of a status update says.
    pub fn is_success(self) -> bool {
        Self::SUCCESS.contains(&self)
    }

    /// Whether something went wrong.
    pub fn is_failure(self) -> bool {
        Self::FAILURE.contains(&self)
    }

    /// Whether it went wrong before there was a result: the worker's slot is free again.
    pub fn is_failed_before_computed(self) -> bool {
        self.is_failure() && self < Self::Computed
    }

    /// Whether nothing may follow. `ABORTED` is not final (spec scheduler-logic §4.1).
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }

    /// The successes after `from` up to and including `to`: what a worker must have passed unseen (spec scheduler-logic
    /// §4.1). Empty when one of them is no success, or `to` does not come after `from`.
    pub fn missing(from: Self, to: Self) -> &'static [Self] {
        let place = |status| Self::SUCCESS.iter().position(|success| *success == status);
        match (place(from), place(to)) {
            (Some(from), Some(to)) => Self::SUCCESS.get(from + 1..=to).unwrap_or_default(),
            _ => &[],
        }
    }
}

impl TaskStatus {
    /// Whether nothing may follow.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }

    /// Whether workers may still contribute.
    pub const fn is_waiting_contribution(self) -> bool {
        matches!(self, Self::Initialized | Self::Running)
    }

    /// Whether those who agreed may still reveal.
    pub const fn is_waiting_reveal(self) -> bool {
        matches!(
            self,
            Self::ConsensusReached
                | Self::AtLeastOneRevealed
                | Self::ResultUploading
                | Self::ResultUploaded
        )
    }

    /// Whether the task is being finalized or was.
    pub const fn is_in_completion(self) -> bool {
        matches!(self, Self::Finalizing | Self::Finalized | Self::Completed)
    }
}

#[cfg(test)]
mod tests;
