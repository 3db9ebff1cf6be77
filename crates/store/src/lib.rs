//! Persistence: named collections of documents, and one way to write, an atomic batch.
//!
//! One SQLite file a role, in a folder of its own. [`Store::commit`] returns when the batch is on the disk (`fsync` done), so
//! whatever is said after it speaks of something durable; batches that wait at the same moment share one `fsync`. Readers never
//! wait for the writer. The store knows no document's meaning: who writes a document chooses its shape and the few columns that
//! it wants to find it by.

mod batch;
mod chain_stores;
mod collection;
mod error;
mod folder;
mod identity;
mod open;
mod query;
mod schema;
mod writer;

pub use batch::{Batch, Columns};
pub use collection::{Collection, Stream};
pub use error::{Kind, StoreError};
pub use identity::Identity;
pub use open::Store;
pub use query::{Document, Page, Recorded, Select};
pub use writer::Committed;
