//! What the outbox needs of a store, and a store in memory.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Mutex, PoisonError},
};

use alloy_primitives::Address;

use super::OutboxRecord;

/// What a store's function returns: boxed, so that the store can be handed around as one object.
pub type StoreFuture<'a, T> =
    Pin<Box<dyn Future<Output = Result<T, OutboxStoreError>> + Send + 'a>>;

/// The store could not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the outbox cannot be stored: {text}")]
pub struct OutboxStoreError {
    /// The store's own words.
    pub text: String,
}

impl OutboxStoreError {
    /// An error with the store's own words.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }
}

/// Where records outlive the process. Records are found by wallet and key.
pub trait OutboxStore: Send + Sync + 'static {
    /// Every record of `wallet` for which [`OutboxRecord::is_live`] holds, in any order.
    fn live(&self, wallet: Address) -> StoreFuture<'_, Vec<OutboxRecord>>;

    /// The record of one intent, live or not.
    fn find(&self, wallet: Address, key: String) -> StoreFuture<'_, Option<OutboxRecord>>;

    /// Writes the records, all or none. When it returns they survive a crash of the machine.
    fn put(&self, wallet: Address, records: Vec<OutboxRecord>) -> StoreFuture<'_, ()>;

    /// Deletes records; unknown keys are no error.
    fn remove(&self, wallet: Address, keys: Vec<String>) -> StoreFuture<'_, ()>;
}

/// A store that lives as long as the process: for tests and tools that send a few transactions.
#[derive(Debug, Default)]
pub struct MemoryOutboxStore {
    records: Mutex<BTreeMap<(Address, String), OutboxRecord>>,
}

impl MemoryOutboxStore {
    /// How many records it has, of all wallets.
    pub fn count(&self) -> usize {
        self.records
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    fn with<T>(
        &self,
        act: impl FnOnce(&mut BTreeMap<(Address, String), OutboxRecord>) -> T,
    ) -> StoreFuture<'_, T>
    where
        T: Send + 'static,
    {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let done = act(&mut records);
        Box::pin(std::future::ready(Ok(done)))
    }
}

impl OutboxStore for MemoryOutboxStore {
    fn live(&self, wallet: Address) -> StoreFuture<'_, Vec<OutboxRecord>> {
        self.with(|records| {
            records
                .iter()
                .filter(|((owner, _), record)| *owner == wallet && record.is_live())
                .map(|(_, record)| record.clone())
                .collect()
        })
    }

    fn find(&self, wallet: Address, key: String) -> StoreFuture<'_, Option<OutboxRecord>> {
        self.with(|records| records.get(&(wallet, key)).cloned())
    }

    fn put(&self, wallet: Address, new: Vec<OutboxRecord>) -> StoreFuture<'_, ()> {
        self.with(|records| {
            for record in new {
                records.insert((wallet, record.intent.key.clone()), record);
            }
        })
    }

    fn remove(&self, wallet: Address, keys: Vec<String>) -> StoreFuture<'_, ()> {
        self.with(|records| {
            for key in keys {
                records.remove(&(wallet, key));
            }
        })
    }
}
