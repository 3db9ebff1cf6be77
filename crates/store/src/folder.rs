//! The folder that holds a store, and the lock that lets only one process at a time work in it.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use crate::StoreError;

/// Holds the folder until dropped. The lock belongs to the open file, so a killed process leaves none behind.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Makes the folder where it is missing, and takes it.
    pub(crate) fn take(folder: &Path) -> Result<Self, StoreError> {
        let fail = |source| StoreError::Folder {
            folder: folder.to_path_buf(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(fail)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join("lock"))
            .map_err(fail)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse {
                folder: folder.to_path_buf(),
            }),
            Err(TryLockError::Error(source)) => Err(fail(source)),
        }
    }
}

/// Makes the database file where it is missing, for its owner's eyes only: it holds keys. SQLite gives the files beside it the
/// same permissions.
pub(crate) fn make_private(folder: &Path) -> Result<(), StoreError> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(database_file(folder))
        .map(|_| ())
        .map_err(|source| StoreError::Folder {
            folder: folder.to_path_buf(),
            source,
        })
}

/// The database file inside the folder.
pub(crate) fn database_file(folder: &Path) -> PathBuf {
    folder.join("store.sqlite")
}
