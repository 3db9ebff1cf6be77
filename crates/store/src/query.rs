//! Reading. Each read runs on a connection of its own, apart from the writer, and sees everything that was acknowledged before it
//! began.

use std::fmt::Display;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use poco::units::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params_from_iter};
use serde::de::DeserializeOwned;

use crate::folder::database_file;
use crate::open::Store;
use crate::writer::millis;
use crate::{Collection, StoreError, Stream};

/// A stored document and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document<T> {
    /// The key under which it lies.
    pub key: String,
    /// What was stored.
    pub body: T,
}

/// Some documents of a longer list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The documents, ordered by key.
    pub documents: Vec<Document<T>>,
    /// Where the next page begins; `None` when this was the last one.
    pub next: Option<String>,
}

/// A record of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded<T> {
    /// Its number in the stream.
    pub seq: u64,
    /// What it is about.
    pub subject: String,
    /// When it happened.
    pub at: Timestamp,
    /// What was recorded.
    pub body: T,
}

/// Which documents of a collection are wanted. Every condition that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Select {
    /// Only those that belong to this.
    pub owner: Option<String>,
    /// Only those in one of these states; empty means any.
    pub states: Vec<String>,
    /// Only those whose time lies before this one.
    pub before: Option<Timestamp>,
    /// Only those after this key.
    pub after: Option<String>,
    /// At most so many; 0 means all.
    pub limit: usize,
}

/// Connections for reading that are not in use.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    idle: Mutex<Vec<Connection>>,
}

/// Connections kept open between reads.
const IDLE_READERS: usize = 4;

impl Readers {
    fn take(&self, folder: &Path) -> Result<Connection, rusqlite::Error> {
        if let Some(connection) = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
        {
            return Ok(connection);
        }
        // Not opened read-only by flag: a WAL database needs its shared memory file writable. `query_only` does the refusing.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(database_file(folder), flags)?;
        connection.execute_batch("PRAGMA query_only = 1; PRAGMA busy_timeout = 5000;")?;
        Ok(connection)
    }

    fn give_back(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_READERS {
            idle.push(connection);
        }
    }
}

impl Store {
    /// The document under a key.
    ///
    /// # Errors
    /// The database does not answer, or the document is not a `T`.
    pub async fn get<T>(
        &self,
        collection: Collection,
        key: impl Display,
    ) -> Result<Option<T>, StoreError>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let key = key.to_string();
        self.read(move |connection| {
            let sql = format!("SELECT body FROM {} WHERE key = ?1", collection.name());
            let body: Option<String> = connection
                .prepare_cached(&sql)?
                .query_row([&key], |row| row.get(0))
                .optional()?;
            Ok(body.map(|body| decode(collection.name(), key, &body)))
        })
        .await?
        .transpose()
        .map(|document| document.map(|document| document.body))
    }

    /// Every document of a collection, ordered by key.
    ///
    /// # Errors
    /// The database does not answer, or a document is not a `T`.
    pub async fn all<T>(&self, collection: Collection) -> Result<Vec<Document<T>>, StoreError>
    where
        T: DeserializeOwned + Send + 'static,
    {
        self.select(collection, Select::default()).await
    }

    /// The documents that fulfil every set condition, ordered by key.
    ///
    /// # Errors
    /// The database does not answer, or a document is not a `T`.
    pub async fn select<T>(
        &self,
        collection: Collection,
        wanted: Select,
    ) -> Result<Vec<Document<T>>, StoreError>
    where
        T: DeserializeOwned + Send + 'static,
    {
        self.read(move |connection| {
            let (condition, values) = wanted.condition();
            let sql = format!("SELECT key, body FROM {}{condition}", collection.name());
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params_from_iter(values), |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
            })?;
            rows.map(|row| row.map(|(key, body)| decode(collection.name(), key, &body)))
                .collect::<Result<Vec<_>, _>>()
        })
        .await?
        .into_iter()
        .collect()
    }

    /// At most `limit` documents after the key `after`, and where the next page begins.
    ///
    /// # Errors
    /// The database does not answer, or a document is not a `T`.
    pub async fn page<T>(
        &self,
        collection: Collection,
        after: Option<String>,
        limit: usize,
    ) -> Result<Page<T>, StoreError>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let wanted = Select {
            after,
            limit: limit.max(1),
            ..Select::default()
        };
        let documents: Vec<Document<T>> = self.select(collection, wanted).await?;
        let full = documents.len() >= limit.max(1);
        let next = documents
            .last()
            .filter(|_| full)
            .map(|last| last.key.clone());
        Ok(Page { documents, next })
    }

    /// How many documents are in each state, ordered by state; documents without one are not counted.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn count_by_state(
        &self,
        collection: Collection,
    ) -> Result<Vec<(String, u64)>, StoreError> {
        self.read(move |connection| {
            let sql = format!(
                "SELECT state, count(*) FROM {} WHERE state IS NOT NULL GROUP BY state ORDER BY state",
                collection.name()
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
            rows.map(|row| row.map(|(state, count)| (state, u64::try_from(count).unwrap_or(0)))).collect()
        })
        .await
    }

    /// At most `limit` records of a stream with numbers above `after`, in order.
    ///
    /// # Errors
    /// The database does not answer, or a record is not a `T`.
    pub async fn records_after<T>(
        &self,
        stream: Stream,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Recorded<T>>, StoreError>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let values = vec![number(after), number(limit as u64)];
        self.records(stream, "WHERE seq > ?1 ORDER BY seq LIMIT ?2", values)
            .await
    }

    /// Every record of a stream that is not older than `since`, in order.
    ///
    /// # Errors
    /// The database does not answer, or a record is not a `T`.
    pub async fn records_since<T>(
        &self,
        stream: Stream,
        since: Timestamp,
    ) -> Result<Vec<Recorded<T>>, StoreError>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let values = vec![Value::Integer(millis(since))];
        self.records(stream, "WHERE at >= ?1 ORDER BY seq", values)
            .await
    }

    /// Every record about `subject`, in order.
    ///
    /// # Errors
    /// The database does not answer, or a record is not a `T`.
    pub async fn records_about<T>(
        &self,
        stream: Stream,
        subject: impl Display,
    ) -> Result<Vec<Recorded<T>>, StoreError>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let values = vec![Value::Text(subject.to_string())];
        self.records(stream, "WHERE subject = ?1 ORDER BY seq", values)
            .await
    }

    /// The numbers of the oldest record that is still kept and of the newest that was ever written; `(1, 0)` before the first.
    /// A reader that has seen up to `n` misses nothing when the oldest is at most `n + 1`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn range(&self, stream: Stream) -> Result<(u64, u64), StoreError> {
        self.read(move |connection| {
            let newest: Option<i64> = connection
                .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = ?1")?
                .query_row([stream.name()], |row| row.get(0))
                .optional()?;
            let oldest: Option<i64> = connection
                .prepare_cached(&format!("SELECT min(seq) FROM {}", stream.name()))?
                .query_row([], |row| row.get(0))?;
            let newest = newest.and_then(|seq| u64::try_from(seq).ok()).unwrap_or(0);
            let oldest = oldest
                .and_then(|seq| u64::try_from(seq).ok())
                .unwrap_or(newest + 1);
            Ok((oldest, newest))
        })
        .await
    }

    async fn records<T>(
        &self,
        stream: Stream,
        condition: &'static str,
        values: Vec<Value>,
    ) -> Result<Vec<Recorded<T>>, StoreError>
    where
        T: DeserializeOwned + Send + 'static,
    {
        self.read(move |connection| {
            let sql = format!(
                "SELECT seq, subject, at, body FROM {} {condition}",
                stream.name()
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params_from_iter(values), |row| {
                let seq = u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0);
                let subject: String = row.get(1)?;
                let at = Timestamp(u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0));
                let body: String = row.get(3)?;
                Ok(
                    decode(stream.name(), seq.to_string(), &body).map(|found| Recorded {
                        seq,
                        subject,
                        at,
                        body: found.body,
                    }),
                )
            })?;
            rows.collect::<Result<Vec<_>, _>>()
        })
        .await?
        .into_iter()
        .collect()
    }

    /// Runs a read on a thread that may block.
    async fn read<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<R, rusqlite::Error> + Send + 'static,
    ) -> Result<R, StoreError> {
        let store = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let connection = store
                .readers()
                .take(store.folder())
                .map_err(|source| StoreError::of(store.folder(), source))?;
            let result = work(&connection).map_err(|source| StoreError::of(store.folder(), source));
            if result.is_ok() {
                store.readers().give_back(connection);
            }
            result
        })
        .await;
        // The task ends without a result only when the runtime is being torn down.
        done.unwrap_or_else(|_| {
            Err(StoreError::Closed {
                folder: self.folder().to_path_buf(),
            })
        })
    }
}

impl Select {
    fn condition(&self) -> (String, Vec<Value>) {
        let mut parts = Vec::new();
        let mut values = Vec::new();
        if let Some(owner) = &self.owner {
            parts.push("owner = ?".to_owned());
            values.push(Value::Text(owner.clone()));
        }
        if !self.states.is_empty() {
            parts.push(format!(
                "state IN ({})",
                vec!["?"; self.states.len()].join(",")
            ));
            values.extend(self.states.iter().cloned().map(Value::Text));
        }
        if let Some(before) = self.before {
            parts.push("at < ?".to_owned());
            values.push(Value::Integer(millis(before)));
        }
        if let Some(after) = &self.after {
            parts.push("key > ?".to_owned());
            values.push(Value::Text(after.clone()));
        }
        let mut sql = String::new();
        if !parts.is_empty() {
            sql.push_str(" WHERE ");
            sql.push_str(&parts.join(" AND "));
        }
        sql.push_str(" ORDER BY key");
        if self.limit > 0 {
            sql.push_str(" LIMIT ?");
            values.push(number(self.limit as u64));
        }
        (sql, values)
    }
}

fn number(value: u64) -> Value {
    Value::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

fn decode<T: DeserializeOwned>(
    collection: &'static str,
    key: String,
    body: &str,
) -> Result<Document<T>, StoreError> {
    match serde_json::from_str(body) {
        Ok(body) => Ok(Document { key, body }),
        Err(source) => Err(StoreError::Unreadable {
            collection,
            key,
            source,
        }),
    }
}
