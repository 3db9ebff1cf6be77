//! What can go wrong with the store, said for the operator who has to mend it.

use std::path::PathBuf;

/// What a caller may do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Trying the same again later may work, and nothing was lost.
    Retryable,
    /// Somebody has to mend something first.
    Terminal,
    /// The program is wrong.
    Bug,
}

/// Why the store could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process, or another part of this one, has the folder open.
    #[error(
        "the data folder {folder} is in use by another process; stop that process, or give this one a folder of its own"
    )]
    InUse {
        /// The data folder.
        folder: PathBuf,
    },
    /// The folder was filled for another role, chain, hub or pool.
    #[error(
        "the data folder {folder} belongs to another {what}\n  there     {found}\n  wanted    {wanted}\n  mend      use another data folder, or correct the setting of the {what}"
    )]
    OtherOwner {
        /// The data folder.
        folder: PathBuf,
        /// Which part differs: `role`, `chain`, `hub` or `workerpool`.
        what: &'static str,
        /// The value for which the folder was made.
        found: String,
        /// The value of the program that wanted to open it.
        wanted: String,
    },
    /// A newer program wrote this folder.
    #[error(
        "the data folder {folder} has schema version {found}, and this program knows versions up to {known}; use the newer program that wrote it"
    )]
    NewerSchema {
        /// The data folder.
        folder: PathBuf,
        /// The version in the file.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// The folder cannot be made or its lock file not be written.
    #[error("the data folder {folder} cannot be used: {source}; check its owner and permissions")]
    Folder {
        /// The data folder.
        folder: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// No space is left where the folder lies. Nothing of the batch was kept.
    #[error(
        "no space is left on the disk that holds {folder}; free some, what was asked for was not stored"
    )]
    DiskFull {
        /// The data folder.
        folder: PathBuf,
    },
    /// The database answered with an error.
    #[error(
        "the database in {folder} does not work: {source}; check the disk and the permissions of the folder's files, or put a backup of the folder in its place"
    )]
    Database {
        /// The data folder.
        folder: PathBuf,
        /// What the database said.
        source: rusqlite::Error,
    },
    /// A document could not be written as JSON.
    #[error("the document {key} of {collection} cannot be written as JSON: {problem}")]
    Unwritable {
        /// The collection or stream.
        collection: &'static str,
        /// The document's key, or the record's subject.
        key: String,
        /// What the serialiser said.
        problem: String,
    },
    /// A stored document is not of the shape that the reader expects.
    #[error(
        "the stored document {key} of {collection} cannot be read: {source}; it was written by another version, or damaged"
    )]
    Unreadable {
        /// The collection or stream.
        collection: &'static str,
        /// The document's key, or the record's number.
        key: String,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// The writer has stopped, so nothing can be stored any more.
    #[error(
        "the store of {folder} is closed, because the program is ending or the store failed; see the log and start it again"
    )]
    Closed {
        /// The data folder.
        folder: PathBuf,
    },
}

impl StoreError {
    /// What the caller may do about it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::DiskFull { .. } => Kind::Retryable,
            Self::Database { source, .. } => match source.sqlite_error_code() {
                Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
                    Kind::Retryable
                }
                _ => Kind::Terminal,
            },
            Self::InUse { .. }
            | Self::OtherOwner { .. }
            | Self::NewerSchema { .. }
            | Self::Folder { .. }
            | Self::Unreadable { .. }
            | Self::Closed { .. } => Kind::Terminal,
            Self::Unwritable { .. } => Kind::Bug,
        }
    }

    /// Names a database error, with the full disk apart.
    pub(crate) fn of(folder: &std::path::Path, source: rusqlite::Error) -> Self {
        let folder = folder.to_path_buf();
        match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::DiskFull { folder },
            _ => Self::Database { folder, source },
        }
    }
}
