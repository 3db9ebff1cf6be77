//! What is to be written together. A batch is kept whole or not at all.

use std::fmt::Display;

use poco::units::Timestamp;
use serde::Serialize;

use crate::{Collection, Stream};

/// By what a document can be found, besides its key. What is `None` cannot be searched for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns {
    /// What it belongs to, such as the deal of a task.
    pub owner: Option<String>,
    /// The word for its present state, such as a task's status.
    pub state: Option<String>,
    /// A time that matters for it, such as when it expires.
    pub at: Option<Timestamp>,
}

impl Columns {
    /// Found by what it belongs to.
    #[must_use]
    pub fn owner(mut self, owner: impl Display) -> Self {
        self.owner = Some(owner.to_string());
        self
    }

    /// Found by its state.
    #[must_use]
    pub fn state(mut self, state: impl Display) -> Self {
        self.state = Some(state.to_string());
        self
    }

    /// Found by a time.
    #[must_use]
    pub const fn at(mut self, at: Timestamp) -> Self {
        self.at = Some(at);
        self
    }
}

/// One change of the database.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Put {
        collection: Collection,
        key: String,
        columns: Columns,
        body: String,
    },
    Delete {
        collection: Collection,
        key: String,
    },
    Append {
        stream: Stream,
        subject: String,
        at: Timestamp,
        body: String,
    },
    Prune {
        stream: Stream,
        before: Timestamp,
    },
    Expire {
        collection: Collection,
        before: Timestamp,
    },
}

/// A document that could not be written as JSON.
#[derive(Debug, Clone)]
pub(crate) struct Unwritable {
    pub(crate) collection: &'static str,
    pub(crate) key: String,
    pub(crate) problem: String,
}

/// Changes that become durable together.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    pub(crate) changes: Vec<Change>,
    /// The first document that could not be written as JSON; told by the commit, so that building a batch reads well.
    pub(crate) failed: Option<Unwritable>,
}

impl Batch {
    /// A batch that changes nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// True when committing would change nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.failed.is_none()
    }

    /// Stores a document under a key, in place of what was there.
    #[must_use]
    pub fn put(self, collection: Collection, key: impl Display, document: &impl Serialize) -> Self {
        self.put_with(collection, key, Columns::default(), document)
    }

    /// Stores a document that can also be found by columns.
    #[must_use]
    pub fn put_with(
        mut self,
        collection: Collection,
        key: impl Display,
        columns: Columns,
        document: &impl Serialize,
    ) -> Self {
        let key = key.to_string();
        if let Some(body) = self.encode(collection.name(), &key, document) {
            self.changes.push(Change::Put {
                collection,
                key,
                columns,
                body,
            });
        }
        self
    }

    /// Removes a document; one that is not there is no error.
    #[must_use]
    pub fn delete(mut self, collection: Collection, key: impl Display) -> Self {
        self.changes.push(Change::Delete {
            collection,
            key: key.to_string(),
        });
        self
    }

    /// Removes every document of a collection whose time column lies before `before`.
    #[must_use]
    pub fn expire(mut self, collection: Collection, before: Timestamp) -> Self {
        self.changes.push(Change::Expire { collection, before });
        self
    }

    /// Appends a record about `subject` to a stream. The commit tells its number.
    #[must_use]
    pub fn append(
        mut self,
        stream: Stream,
        subject: impl Display,
        at: Timestamp,
        record: &impl Serialize,
    ) -> Self {
        let subject = subject.to_string();
        if let Some(body) = self.encode(stream.name(), &subject, record) {
            self.changes.push(Change::Append {
                stream,
                subject,
                at,
                body,
            });
        }
        self
    }

    /// Forgets every record of a stream that is older than `before`. Numbers go on where they were.
    #[must_use]
    pub fn prune(mut self, stream: Stream, before: Timestamp) -> Self {
        self.changes.push(Change::Prune { stream, before });
        self
    }

    /// Adds all changes of another batch, after those of this one.
    #[must_use]
    pub fn and(mut self, mut other: Self) -> Self {
        self.changes.append(&mut other.changes);
        self.failed = self.failed.or(other.failed);
        self
    }

    fn encode(
        &mut self,
        collection: &'static str,
        key: &str,
        document: &impl Serialize,
    ) -> Option<String> {
        match serde_json::to_string(document) {
            Ok(body) => Some(body),
            Err(error) => {
                self.failed.get_or_insert(Unwritable {
                    collection,
                    key: key.to_owned(),
                    problem: error.to_string(),
                });
                None
            }
        }
    }
}
