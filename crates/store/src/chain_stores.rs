//! The store as the outbox and the log cursor of crate `chain` want it.

use alloy_primitives::Address;
use chain::outbox::StoreFuture;
use chain::{CursorPosition, OutboxRecord, OutboxStore, OutboxStoreError};

use crate::{Batch, Collection, Columns, Select, Store, StoreError};

/// State column of records that the outbox must load at start.
const LIVE: &str = "live";
/// State column of records that are kept only to be found by their key.
const SETTLED: &str = "settled";

impl Batch {
    /// Stores where the cursor called `name` stands; none makes it start over. Belongs into the batch of what its facts changed.
    #[must_use]
    pub fn cursor(self, name: &str, position: Option<&CursorPosition>) -> Self {
        match position {
            Some(position) => self.put(Collection::Cursors, name, position),
            None => self.delete(Collection::Cursors, name),
        }
    }
}

impl Store {
    /// Where the cursor called `name` stood after the last committed batch.
    ///
    /// # Errors
    /// The database does not answer, or the position cannot be read.
    pub async fn cursor(&self, name: &str) -> Result<Option<CursorPosition>, StoreError> {
        self.get(Collection::Cursors, name).await
    }
}

impl OutboxStore for Store {
    fn live(&self, wallet: Address) -> StoreFuture<'_, Vec<OutboxRecord>> {
        Box::pin(async move {
            let wanted = Select {
                owner: Some(owner(wallet)),
                states: vec![LIVE.to_owned()],
                ..Select::default()
            };
            let found = self
                .select(Collection::Outbox, wanted)
                .await
                .map_err(told)?;
            Ok(found.into_iter().map(|document| document.body).collect())
        })
    }

    fn find(&self, wallet: Address, key: String) -> StoreFuture<'_, Option<OutboxRecord>> {
        Box::pin(async move {
            self.get(Collection::Outbox, place(wallet, &key))
                .await
                .map_err(told)
        })
    }

    fn put(&self, wallet: Address, records: Vec<OutboxRecord>) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let mut batch = Batch::new();
            for record in &records {
                let state = if record.is_live() { LIVE } else { SETTLED };
                let columns = Columns::default()
                    .owner(owner(wallet))
                    .state(state)
                    .at(record.accepted);
                batch = batch.put_with(
                    Collection::Outbox,
                    place(wallet, &record.intent.key),
                    columns,
                    record,
                );
            }
            self.commit(batch).await.map(|_| ()).map_err(told)
        })
    }

    fn remove(&self, wallet: Address, keys: Vec<String>) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let batch = keys.iter().fold(Batch::new(), |batch, key| {
                batch.delete(Collection::Outbox, place(wallet, key))
            });
            self.commit(batch).await.map(|_| ()).map_err(told)
        })
    }
}

fn owner(wallet: Address) -> String {
    poco::hex::lower(&wallet)
}

fn place(wallet: Address, key: &str) -> String {
    format!("{wallet:#x}/{key}")
}

fn told(error: StoreError) -> OutboxStoreError {
    OutboxStoreError::new(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Identity;
    use alloy_primitives::{B256, Bytes};
    use chain::outbox::{GasPolicy, Intent, Outcome, Stage};
    use poco::units::{BlockNumber, Timestamp};

    const ANN: Address = Address::repeat_byte(0xaa);
    const BOB: Address = Address::repeat_byte(0xbb);

    fn open(folder: &tempfile::TempDir) -> Store {
        let identity = Identity {
            role: "scheduler".into(),
            chain_id: 1,
            hub: Address::ZERO,
            pool: None,
        };
        Store::open(folder.path(), &identity).unwrap()
    }

    fn record(key: &str, stage: Stage) -> OutboxRecord {
        let intent = Intent {
            key: key.to_owned(),
            to: Address::ZERO,
            calldata: Bytes::from_static(&[1, 2, 3]),
            gas: GasPolicy::estimated(),
            deadline: Some(Timestamp(9)),
            joins: None,
        };
        OutboxRecord {
            stage,
            ..OutboxRecord::new(intent, Timestamp(5))
        }
    }

    fn settled() -> Stage {
        Stage::Settled {
            outcome: Outcome::Expired,
            watched: None,
        }
    }

    #[tokio::test]
    async fn an_outbox_finds_its_own_live_records_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        {
            let store = open(&folder);
            let records = vec![record("a", Stage::Waiting), record("b", settled())];
            store.put(ANN, records).await.unwrap();
            store
                .put(BOB, vec![record("a", Stage::Waiting)])
                .await
                .unwrap();
        }
        let store = open(&folder);
        assert_eq!(
            store.live(ANN).await.unwrap(),
            [record("a", Stage::Waiting)]
        );
        assert_eq!(
            store.find(ANN, "b".into()).await.unwrap(),
            Some(record("b", settled()))
        );
        store.put(ANN, vec![record("a", settled())]).await.unwrap();
        assert_eq!(store.live(ANN).await.unwrap(), []);
        store
            .remove(ANN, vec!["a".into(), "never".into()])
            .await
            .unwrap();
        assert_eq!(store.find(ANN, "a".into()).await.unwrap(), None);
        assert_eq!(store.live(BOB).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_cursor_stands_where_its_last_batch_left_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder);
        assert_eq!(store.cursor("hub").await.unwrap(), None);
        let at = CursorPosition::at(BlockNumber(7), B256::repeat_byte(7));
        store
            .commit(Batch::new().cursor("hub", Some(&at)))
            .await
            .unwrap();
        assert_eq!(store.cursor("hub").await.unwrap(), Some(at));
        store
            .commit(Batch::new().cursor("hub", None))
            .await
            .unwrap();
        assert_eq!(store.cursor("hub").await.unwrap(), None);
    }
}
