//! What a task gets before it computes: its dataset and its input files (spec `worker.md` §6.7). All of it comes from where strangers
//! say, so it is limited in size and time and never fetched from this machine's own network (S1, S2). A file lies in the input folder
//! under its final name only when it is whole: one half got when the worker was killed is thrown away.
//!
//! Which failures become a result is not decided here; what is told is whether the fault is this machine's ([`InputError::is_ours`]).

mod dataset;
mod download;
mod settings;

use std::path::{Path, PathBuf};
use std::time::Duration;

use poco::units::Timestamp;
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use wire::status::ReplicateStatusCause as Cause;

pub use self::download::{DownloadError, Downloader, Fetched};
pub use self::settings::DownloadSettings;
use crate::clock;
use crate::description::TaskDescription;
use crate::outputs::TaskFolder;
use crate::patience::Pauses;

/// Times that something which may pass is tried.
const ROUNDS: u32 = 3;

/// Why a task does not get what it needs.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The dataset does not come.
    #[error("the dataset {uri} does not come: {source}")]
    Dataset {
        /// Where it should be.
        uri: String,
        /// Why not.
        source: DownloadError,
    },
    /// The dataset is another than the chain names.
    #[error("the dataset {uri} has the checksum {found}, the chain says {expected}")]
    Checksum {
        /// Where it came from.
        uri: String,
        /// SHA-256 of what came.
        found: String,
        /// What the chain says.
        expected: String,
    },
    /// An input file does not come.
    #[error("the input file {url} does not come: {source}")]
    File {
        /// Where it should be.
        url: String,
        /// Why not.
        source: DownloadError,
    },
    /// The task's folder cannot be used.
    #[error("cannot {action} {path}: {source}")]
    Disk {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl InputError {
    /// What the protocol calls it.
    #[must_use]
    pub fn cause(&self) -> Cause {
        match self {
            Self::Checksum { .. } => Cause::DatasetFileBadChecksum,
            Self::Dataset { .. } => Cause::DatasetFileDownloadFailed,
            Self::File { .. } => Cause::InputFilesDownloadFailed,
            Self::Disk { .. } => Cause::PostComputeFailedUnknownIssue,
        }
    }

    /// True when this machine is at fault and not what was to be fetched: that must not become a result that somebody pays for.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        match self {
            Self::Disk { .. } => true,
            Self::Dataset { source, .. } | Self::File { source, .. } => source.is_ours(),
            Self::Checksum { .. } => false,
        }
    }

    fn disk(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Disk {
            action,
            path: path.to_path_buf(),
            source,
        }
    }
}

/// The name that an input file has in the input folder: the SHA-256 of its URL's text (spec `worker.md` §6.4).
#[must_use]
pub fn file_name(url: &str) -> String {
    poco::hex::encode(Sha256::digest(url))
}

/// True when the task needs anything at all.
#[must_use]
pub fn are_wanted(task: &TaskDescription) -> bool {
    task.dataset_source().is_some() || !task.params.input_files.is_empty()
}

/// Puts dataset and input files of `task` into its input folder. What an earlier life of this process has put there is kept: an input file
/// as it is, a dataset when its checksum is right.
///
/// # Errors
/// The first thing that does not come.
pub async fn fetch(
    downloader: &Downloader,
    settings: &DownloadSettings,
    task: &TaskDescription,
    folder: &TaskFolder,
) -> Result<(), InputError> {
    let incoming = Incoming::open(folder).await?;
    let mut budget = Budget {
        until: Instant::now() + time_for(task, settings.total, clock::now()),
        bytes: settings.bytes,
    };
    if let Some(source) = task.dataset_source() {
        let name = poco::hex::lower(&task.dataset);
        dataset::fetch(downloader, settings, &source, &name, &incoming, &mut budget).await?;
    }
    for url in &task.params.input_files {
        let name = file_name(url);
        if incoming.kept(&name).await {
            continue;
        }
        let part = incoming.part(&name);
        let mut tries = Tries::within(&budget);
        let fetched = loop {
            let answer = downloader.stranger(url, &part, &budget).await;
            if !tries.again(&answer).await {
                break answer;
            }
        };
        let fetched = fetched.map_err(|source| InputError::File {
            url: url.clone(),
            source,
        })?;
        budget.bytes = budget.bytes.saturating_sub(fetched.bytes);
        incoming.keep(&name).await?;
        tracing::info!(task = %task.task, url, bytes = fetched.bytes, "an input file is here");
    }
    incoming.close().await
}

/// How long the downloads may take: no longer than set, and so that the application could still run before contributions close.
fn time_for(task: &TaskDescription, longest: Duration, now: Timestamp) -> Duration {
    let left = task.contribution_deadline.since(now);
    let spare = left.saturating_sub(task.max_execution);
    // A task that is given late: half of what is left is better than nothing.
    longest.min(spare.max(left / 2))
}

/// What is left for the downloads of one task.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// When all must be here.
    pub until: Instant,
    /// Bytes that may still come.
    pub bytes: u64,
}

/// Counts tries, and pauses between them.
struct Tries {
    left: u32,
    pauses: Pauses,
    until: Instant,
}

impl Tries {
    const fn within(budget: &Budget) -> Self {
        Self {
            left: ROUNDS,
            pauses: Pauses::between(Duration::from_secs(1), Duration::from_secs(8)),
            until: budget.until,
        }
    }

    /// Whether to try again after this answer: it failed for a reason that may pass, and there are tries and time left. Pauses first.
    async fn again(&mut self, answer: &Result<Fetched, DownloadError>) -> bool {
        self.left = self.left.saturating_sub(1);
        match answer {
            Err(error) if error.may_pass() && self.left > 0 && Instant::now() < self.until => {
                tracing::info!(%error, "downloading again");
                self.pauses.rest(None).await;
                true
            }
            _ => false,
        }
    }
}

/// The folder for what is still coming, beside the input folder so that a whole file gets its place in one step.
struct Incoming {
    parts: PathBuf,
    input: PathBuf,
}

impl Incoming {
    /// An empty folder: what is left from before is half, or nobody knows.
    async fn open(folder: &TaskFolder) -> Result<Self, InputError> {
        folder
            .make()
            .map_err(|error| InputError::disk("make", folder.root(), error))?;
        let this = Self {
            parts: folder.root().join("incoming"),
            input: folder.input(),
        };
        this.clear().await?;
        tokio::fs::create_dir(&this.parts)
            .await
            .map_err(|error| InputError::disk("make", &this.parts, error))?;
        Ok(this)
    }

    async fn clear(&self) -> Result<(), InputError> {
        match tokio::fs::remove_dir_all(&self.parts).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(InputError::disk("remove", &self.parts, error))
            }
            _ => Ok(()),
        }
    }

    async fn close(self) -> Result<(), InputError> {
        self.clear().await
    }

    fn part(&self, name: &str) -> PathBuf {
        self.parts.join(name)
    }

    fn whole(&self, name: &str) -> PathBuf {
        self.input.join(name)
    }

    /// Whether the file lies in its place already.
    async fn kept(&self, name: &str) -> bool {
        let found = tokio::fs::symlink_metadata(self.whole(name)).await;
        found.is_ok_and(|found| found.is_file() && found.len() > 0)
    }

    /// Gives a whole file its place.
    async fn keep(&self, name: &str) -> Result<(), InputError> {
        let whole = self.whole(name);
        tokio::fs::rename(self.part(name), &whole)
            .await
            .map_err(|error| InputError::disk("make", &whole, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::tests::standard_task;

    #[test]
    fn downloads_leave_time_to_run_and_a_late_task_has_half_of_what_is_left() {
        // Contributions close at 2100 s, the application may run for 300 s.
        let task = standard_task();
        let hour = Duration::from_secs(3600);
        let at = |seconds| time_for(&task, hour, Timestamp::from_secs(seconds)).as_secs();
        assert_eq!(at(0), 1800);
        assert_eq!(at(1500), 300);
        assert_eq!(at(1900), 100);
        assert_eq!(at(5000), 0);
        let minute = Duration::from_secs(60);
        assert_eq!(time_for(&task, minute, Timestamp::from_secs(0)), minute);
    }

    #[test]
    fn only_a_fault_of_this_machine_is_ours() {
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        let disk = || DownloadError::Disk {
            path: PathBuf::new(),
            source: full(),
        };
        let file = |source| InputError::File {
            url: String::new(),
            source,
        };
        assert!(file(disk()).is_ours());
        assert!(InputError::disk("make", Path::new("/"), full()).is_ours());
        assert!(!file(DownloadError::TooManyRedirects).is_ours());
        assert_eq!(
            file(DownloadError::TooManyRedirects).cause(),
            Cause::InputFilesDownloadFailed
        );
    }
}
