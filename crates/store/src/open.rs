//! Opening and closing: the folder's lock, the schema, the identity, then the writer's thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::folder::{FolderLock, database_file, make_private};
use crate::query::Readers;
use crate::writer::{Committed, Waiting, Writer};
use crate::{Batch, Identity, StoreError, schema};

/// A handle on one folder's data. Handles are cheap to clone; the folder is let go when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    queue: Option<mpsc::UnboundedSender<Waiting>>,
    writer: Option<JoinHandle<()>>,
    readers: Readers,
}

impl Store {
    /// Opens the data folder for one role on one chain, making it where it is missing. Blocks for some milliseconds.
    ///
    /// # Errors
    /// The folder is in use, belongs to another owner ([`StoreError::OtherOwner`] names both), was written by a newer program, or
    /// cannot be read and written.
    pub fn open(folder: impl AsRef<Path>, identity: &Identity) -> Result<Self, StoreError> {
        Self::open_with(folder.as_ref(), identity, "")
    }

    /// As [`Store::open`], with statements of the tests' for the writing connection.
    fn open_with(folder: &Path, identity: &Identity, extra: &str) -> Result<Self, StoreError> {
        let lock = FolderLock::take(folder)?;
        make_private(folder)?;
        let fail = |source| StoreError::of(folder, source);
        let mut connection = Connection::open(database_file(folder)).map_err(fail)?;
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000;",
            )
            .map_err(fail)?;
        connection.set_prepared_statement_cache_capacity(128);
        schema::migrate(&mut connection, folder, schema::STEPS)?;
        identity.claim(&connection, folder)?;
        connection.execute_batch(extra).map_err(fail)?;
        let (queue, waiting) = mpsc::unbounded_channel();
        let writer = Writer {
            connection,
            folder: folder.to_path_buf(),
            lock,
        };
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(waiting))
            .map_err(|source| StoreError::Folder {
                folder: folder.to_path_buf(),
                source,
            })?;
        Ok(Self {
            inner: Arc::new(Inner {
                folder: folder.to_path_buf(),
                queue: Some(queue),
                writer: Some(writer),
                readers: Readers::default(),
            }),
        })
    }

    /// Stores a batch whole, and returns when it is on the disk. After an error nothing of the batch is kept.
    /// A caller that stops waiting does not stop the commit.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] when there is no space; [`StoreError::Unwritable`] when a document is not JSON; a database error.
    pub async fn commit(&self, batch: Batch) -> Result<Committed, StoreError> {
        let closed = || StoreError::Closed {
            folder: self.inner.folder.clone(),
        };
        let (answer, answered) = oneshot::channel();
        let queue = self.inner.queue.as_ref().ok_or_else(closed)?;
        queue
            .send(Waiting { batch, answer })
            .map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    /// The folder that holds the data.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.inner.folder
    }

    pub(crate) fn readers(&self) -> &Readers {
        &self.inner.readers
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The folder must be free when the last handle is gone: an opener right after would otherwise be told that it is in use.
        // What is waited for is at most one `fsync`.
        self.queue.take();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!(folder = %self.folder.display(), "the store's writer ended in a panic");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Collection;

    fn identity() -> Identity {
        Identity {
            role: "scheduler".into(),
            chain_id: 65535,
            hub: alloy_primitives::Address::ZERO,
            pool: None,
        }
    }

    #[tokio::test]
    async fn a_full_disk_is_its_own_error_and_keeps_nothing_of_the_batch() {
        let folder = tempfile::tempdir().unwrap();
        let store =
            Store::open_with(folder.path(), &identity(), "PRAGMA max_page_count = 120").unwrap();
        let large = "x".repeat(2_000_000);
        let batch = Batch::new().put(Collection::Tasks, "small", &1).put(
            Collection::Tasks,
            "large",
            &large,
        );
        let refused = store.commit(batch).await.unwrap_err();
        assert!(matches!(refused, StoreError::DiskFull { .. }), "{refused}");
        assert_eq!(refused.kind(), crate::Kind::Retryable);
        assert_eq!(
            store.get::<u32>(Collection::Tasks, "small").await.unwrap(),
            None
        );

        // The store works on once there is room for what is asked.
        store
            .commit(Batch::new().put(Collection::Tasks, "small", &1))
            .await
            .unwrap();
        assert_eq!(
            store.get::<u32>(Collection::Tasks, "small").await.unwrap(),
            Some(1)
        );
    }
}
