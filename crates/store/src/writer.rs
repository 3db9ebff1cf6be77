//! The one thread that writes. All batches that wait when it is free go into one SQLite transaction and share its `fsync`; each
//! waiter is told only after that, and a batch that fails takes nothing of its neighbours with it.

use std::path::PathBuf;

use poco::units::Timestamp;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use crate::batch::{Batch, Change, Unwritable};
use crate::folder::FolderLock;
use crate::{Columns, StoreError};

/// Changes of one transaction at most, so that the first waiter of a long queue is not kept for the last one.
const CHANGES_OF_A_GROUP: usize = 20_000;

/// What a commit gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Committed {
    /// The numbers of the appended records, in the order of the batch.
    pub sequences: Vec<u64>,
}

/// A batch and who waits for it.
pub(crate) struct Waiting {
    pub(crate) batch: Batch,
    pub(crate) answer: oneshot::Sender<Result<Committed, StoreError>>,
}

/// Owns the writing connection and, with it, the folder.
pub(crate) struct Writer {
    pub(crate) connection: Connection,
    pub(crate) folder: PathBuf,
    /// Let go last, when the connection is closed.
    pub(crate) lock: FolderLock,
}

impl Writer {
    /// Writes until every handle is gone.
    pub(crate) fn run(mut self, mut queue: mpsc::UnboundedReceiver<Waiting>) {
        while let Some(first) = queue.blocking_recv() {
            let mut changes = first.batch.changes.len();
            let mut group = vec![first];
            while changes < CHANGES_OF_A_GROUP {
                let Ok(next) = queue.try_recv() else { break };
                changes += next.batch.changes.len();
                group.push(next);
            }
            self.commit(group);
        }
        let Self {
            connection,
            folder,
            lock,
        } = self;
        if let Err((_, error)) = connection.close() {
            tracing::warn!(folder = %folder.display(), %error, "the database did not close cleanly");
        }
        drop(lock);
    }

    fn commit(&mut self, group: Vec<Waiting>) {
        let mut answers = Vec::with_capacity(group.len());
        let committed = self.write(group, &mut answers);
        for (answer, result) in answers {
            let told = match &committed {
                Ok(()) => result,
                // Nothing of the group is on the disk. The error is not `Clone`, so each waiter gets one of its own.
                Err(error) => result.and_then(|_| Err(self.same(error))),
            };
            // A waiter that went away meanwhile lost interest in the answer, not in the change.
            let _ = answer.send(told);
        }
    }

    fn write(
        &mut self,
        group: Vec<Waiting>,
        answers: &mut Vec<Answer>,
    ) -> Result<(), rusqlite::Error> {
        // The waiters are moved out first, so that each is answered whatever fails below.
        let mut batches = Vec::with_capacity(group.len());
        for Waiting { batch, answer } in group {
            let Batch { changes, failed } = batch;
            batches.push(changes);
            let writable = failed.map_or_else(
                || Ok(Committed::default()),
                |Unwritable {
                     collection,
                     key,
                     problem,
                 }| {
                    Err(StoreError::Unwritable {
                        collection,
                        key,
                        problem,
                    })
                },
            );
            answers.push((answer, writable));
        }
        let mut transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        for (changes, (_, result)) in batches.into_iter().zip(answers.iter_mut()) {
            if result.is_err() {
                continue;
            }
            let savepoint = transaction.savepoint()?;
            match apply(&savepoint, changes) {
                Ok(done) => {
                    savepoint.commit()?;
                    *result = Ok(done);
                }
                Err(error) if fatal(&error) => return Err(error),
                // Dropping the savepoint rolls this batch back, and it alone.
                Err(error) => *result = Err(StoreError::of(&self.folder, error)),
            }
        }
        transaction.commit()
    }

    fn same(&self, error: &rusqlite::Error) -> StoreError {
        let source = match error {
            rusqlite::Error::SqliteFailure(code, text) => {
                rusqlite::Error::SqliteFailure(*code, text.clone())
            }
            other => rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ERROR),
                Some(other.to_string()),
            ),
        };
        StoreError::of(&self.folder, source)
    }
}

type Answer = (
    oneshot::Sender<Result<Committed, StoreError>>,
    Result<Committed, StoreError>,
);

/// True for errors after which SQLite may have rolled back the whole transaction by itself.
fn fatal(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{
        DatabaseBusy, DatabaseCorrupt, DiskFull, OperationInterrupted, OutOfMemory, SystemIoFailure,
    };
    matches!(
        error.sqlite_error_code(),
        Some(
            DiskFull
                | SystemIoFailure
                | OutOfMemory
                | DatabaseBusy
                | OperationInterrupted
                | DatabaseCorrupt
        )
    )
}

fn apply(transaction: &Connection, changes: Vec<Change>) -> Result<Committed, rusqlite::Error> {
    let mut done = Committed::default();
    for change in changes {
        match change {
            Change::Put {
                collection,
                key,
                columns: Columns { owner, state, at },
                body,
            } => {
                let sql = format!(
                    "INSERT OR REPLACE INTO {} (key, owner, state, at, body) VALUES (?1, ?2, ?3, ?4, ?5)",
                    collection.name()
                );
                transaction.prepare_cached(&sql)?.execute((
                    key,
                    owner,
                    state,
                    at.map(millis),
                    body,
                ))?;
            }
            Change::Delete { collection, key } => {
                transaction
                    .prepare_cached(&format!("DELETE FROM {} WHERE key = ?1", collection.name()))?
                    .execute([key])?;
            }
            Change::Expire { collection, before } => {
                transaction
                    .prepare_cached(&format!("DELETE FROM {} WHERE at < ?1", collection.name()))?
                    .execute([millis(before)])?;
            }
            Change::Append {
                stream,
                subject,
                at,
                body,
            } => {
                transaction
                    .prepare_cached(&format!(
                        "INSERT INTO {} (subject, at, body) VALUES (?1, ?2, ?3)",
                        stream.name()
                    ))?
                    .execute((subject, millis(at), body))?;
                done.sequences
                    .push(u64::try_from(transaction.last_insert_rowid()).unwrap_or(0));
            }
            Change::Prune { stream, before } => {
                transaction
                    .prepare_cached(&format!("DELETE FROM {} WHERE at < ?1", stream.name()))?
                    .execute([millis(before)])?;
            }
        }
    }
    Ok(done)
}

/// SQLite's integers are signed; a time that far ahead means "never".
pub(crate) fn millis(at: Timestamp) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}
