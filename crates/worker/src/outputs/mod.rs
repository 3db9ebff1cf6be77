//! What an application left behind: reading it, hashing it, packing it. The application is a stranger's code and had the folder to
//! itself, so nothing here follows a link out of the folder, opens what is not a regular file, or trusts a size (spec `worker.md` S3
//! to S5). It never decides whether a task goes on.

pub mod archive;
pub mod computed;
pub mod digest;
pub mod place;
pub mod size;
pub mod text;

use std::path::{Path, PathBuf};

/// The folders of one task on this machine (spec `worker.md` §6.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFolder {
    root: PathBuf,
}

impl TaskFolder {
    /// The folder of `task` in the worker's own folder.
    #[must_use]
    pub fn of(worker_folder: &Path, task: poco::ids::TaskId) -> Self {
        Self {
            root: worker_folder.join(task.to_string()),
        }
    }

    /// The whole folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Behind `/iexec_in`.
    #[must_use]
    pub fn input(&self) -> PathBuf {
        self.root.join("input")
    }

    /// The folder that holds the output folder and what is made from it.
    #[must_use]
    pub fn output(&self) -> PathBuf {
        self.root.join("output")
    }

    /// Behind `/iexec_out`: what the application writes.
    #[must_use]
    pub fn iexec_out(&self) -> PathBuf {
        self.output().join("iexec_out")
    }

    /// The archive that is uploaded.
    #[must_use]
    pub fn archive(&self) -> PathBuf {
        self.output().join("iexec_out.zip")
    }

    /// The application's `computed.json`, copied out of its reach.
    #[must_use]
    pub fn computed(&self) -> PathBuf {
        self.output().join("computed.json")
    }

    /// Makes the folders that a run needs. The output folder is open to whatever user the image runs as; no other user of this machine
    /// reaches it through the task's folder.
    ///
    /// # Errors
    /// A folder cannot be made.
    pub fn make(&self) -> std::io::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        for folder in [self.input(), self.iexec_out()] {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::set_permissions(&self.root, std::fs::Permissions::from_mode(0o700))?;
        std::fs::set_permissions(self.input(), std::fs::Permissions::from_mode(0o777))?;
        std::fs::set_permissions(self.iexec_out(), std::fs::Permissions::from_mode(0o777))
    }
}

/// Why a run gives no result. The cause is the one the original logs (spec `worker.md` §7.2); what the scheduler then reads is
/// `DETERMINISM_HASH_NOT_FOUND` at the contribution.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// A name is longer than 31 UTF-16 units.
    #[error(
        "POST_COMPUTE_TOO_LONG_RESULT_FILE_NAME: {name} has {length} characters, a result's file name has at most 31"
    )]
    LongName {
        /// The file's name.
        name: String,
        /// Its length in UTF-16 units.
        length: usize,
    },
    /// There is no `computed.json`, or it cannot be read as one.
    #[error(
        "POST_COMPUTE_COMPUTED_FILE_NOT_FOUND: {reason}; the application must write computed.json into its output folder"
    )]
    NoComputedFile {
        /// What was found.
        reason: String,
    },
    /// What `computed.json` points to gives no digest.
    #[error("POST_COMPUTE_RESULT_DIGEST_COMPUTATION_FAILED: {reason}")]
    NoDigest {
        /// Why not.
        reason: String,
    },
    /// The result is larger than this worker uploads.
    #[error(
        "POST_COMPUTE_OUT_FOLDER_ZIP_FAILED: the output folder holds more than {limit} bytes; raise WORKERPOOL_WORKER_RESULT_BYTES"
    )]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// A file cannot be read or written.
    #[error("POST_COMPUTE_FAILED_UNKNOWN_ISSUE: cannot {action} {path}: {source}")]
    Disk {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl OutputError {
    /// True when there was no room on this worker's disk, which says nothing about the application.
    #[must_use]
    pub fn is_full_disk(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::Disk { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
    }

    pub(crate) fn disk(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Disk {
            action,
            path: path.to_path_buf(),
            source,
        }
    }
}
