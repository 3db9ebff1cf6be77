//! Between the engine's records and the store's documents: what is written where, and how it is read back.
//!
//! The store knows no record and the engine knows no store; the names of keys and columns are decided here alone.

use std::collections::BTreeMap;

use alloy_primitives::Address;
use engine::{
    Change, DealRecord, EventRecord, Logs, PoolRecord, Records, ReplicateRecord, TaskRecord, Topic,
    WorkerRecord,
};
use poco::ids::{DealId, TaskId};
use poco::units::Timestamp;
use serde::de::IgnoredAny;
use store::{Batch, Collection, Columns, Select, Store, StoreError, Stream};
use wire::message::ComputeLogs;
use wire::status::TaskStatus;

/// Logs looked at together when old ones are deleted.
const PAGE: usize = 200;
/// Where the pool's one record lies.
const POOL: &str = "pool";
/// State column of a task that the engine still holds.
const LIVE: &str = "live";
/// State column of a task that left the engine.
const RETIRED: &str = "retired";

/// The batch that stores `changes`. Of several versions of one record only the last is written.
pub fn batch(changes: &[Change]) -> Batch {
    let mut last: BTreeMap<(Collection, String), &Change> = BTreeMap::new();
    let mut batch = Batch::new();
    for change in changes {
        match change {
            Change::Deal(deal) => {
                last.insert((Collection::Deals, deal.details.id.to_string()), change)
            }
            Change::Task(task) => last.insert((Collection::Tasks, task.id.to_string()), change),
            Change::Replicate(one) => last.insert(
                (Collection::Replicates, replicate_key(one.task, one.worker)),
                change,
            ),
            Change::Worker(worker) => last.insert(
                (Collection::Workers, poco::hex::lower(&worker.worker)),
                change,
            ),
            Change::Pool(_) => last.insert((Collection::Meta, POOL.to_owned()), change),
            Change::Logs { task, worker, logs } => {
                let columns = Columns::default().owner(task);
                let logs = compute_logs(*worker, logs);
                batch = batch.put_with(
                    Collection::TaskLogs,
                    replicate_key(*task, *worker),
                    columns,
                    &logs,
                );
                None
            }
            Change::Event(event) => {
                batch = batch.append(Stream::Events, subject(event), event.at, event.as_ref());
                None
            }
        };
    }
    for ((collection, key), change) in last {
        batch = match change {
            Change::Deal(deal) => batch.put(collection, key, deal.as_ref()),
            Change::Task(task) => {
                let state = if task.retired { RETIRED } else { LIVE };
                let columns = Columns::default()
                    .owner(task.deal)
                    .state(state)
                    .at(task.final_deadline);
                batch.put_with(collection, key, columns, task.as_ref())
            }
            Change::Replicate(one) => batch.put_with(
                collection,
                key,
                Columns::default().owner(one.task),
                one.as_ref(),
            ),
            Change::Worker(worker) => batch.put(collection, key, worker.as_ref()),
            Change::Pool(pool) => batch.put(collection, key, pool.as_ref()),
            Change::Event(_) | Change::Logs { .. } => batch,
        };
    }
    batch
}

/// Everything that the engine has to know after a restart.
pub(crate) async fn load(store: &Store) -> Result<Records, StoreError> {
    let live = Select {
        states: vec![LIVE.to_owned()],
        ..Select::default()
    };
    let tasks: Vec<TaskRecord> = bodies(store.select(Collection::Tasks, live).await?);
    let mut replicates = Vec::new();
    // What was never initialised was never given to anybody: of a large bag that is nearly all.
    let begun = tasks
        .iter()
        .filter(|task| !(task.status == TaskStatus::Received && task.history.len() == 1));
    for task in begun {
        replicates.extend(replicates_of(store, task.id).await?);
    }
    Ok(Records {
        pool: store
            .get::<PoolRecord>(Collection::Meta, POOL)
            .await?
            .unwrap_or_default(),
        deals: bodies(store.all(Collection::Deals).await?),
        workers: bodies(store.all::<WorkerRecord>(Collection::Workers).await?),
        tasks,
        replicates,
    })
}

/// Whether this pool has ever received a deal.
pub(crate) async fn saw_a_deal(store: &Store) -> Result<bool, StoreError> {
    let pool: Option<PoolRecord> = store.get(Collection::Meta, POOL).await?;
    Ok(pool.is_some_and(|pool| pool.latest_deal_block.0 > 0))
}

/// A task, finished or not, ready to be shown.
pub(crate) async fn task(store: &Store, task: TaskId) -> Result<Option<TaskRecord>, StoreError> {
    let mut found: Option<TaskRecord> = store.get(Collection::Tasks, task).await?;
    if let Some(task) = &mut found {
        task.refold();
    }
    Ok(found)
}

/// A deal.
pub(crate) async fn deal(store: &Store, deal: DealId) -> Result<Option<DealRecord>, StoreError> {
    store.get(Collection::Deals, deal).await
}

/// Every worker's part in a task, in the order in which they were given.
pub(crate) async fn replicates_of(
    store: &Store,
    task: TaskId,
) -> Result<Vec<ReplicateRecord>, StoreError> {
    let of_task = Select {
        owner: Some(task.to_string()),
        ..Select::default()
    };
    let mut found: Vec<ReplicateRecord> =
        bodies(store.select(Collection::Replicates, of_task).await?);
    found.sort_by_key(|one| (one.created_at, one.worker));
    Ok(found)
}

/// One worker's part in a task.
pub(crate) async fn replicate(
    store: &Store,
    task: TaskId,
    worker: Address,
) -> Result<Option<ReplicateRecord>, StoreError> {
    store
        .get(Collection::Replicates, replicate_key(task, worker))
        .await
}

/// What the app wrote, one entry a worker that sent something.
pub(crate) async fn logs_of(store: &Store, task: TaskId) -> Result<Vec<ComputeLogs>, StoreError> {
    let of_task = Select {
        owner: Some(task.to_string()),
        ..Select::default()
    };
    Ok(bodies(store.select(Collection::TaskLogs, of_task).await?))
}

/// Removes the logs of every task whose final deadline lies before `before`, and says of how many workers' parts.
pub(crate) async fn purge_logs(store: &Store, before: Timestamp) -> Result<usize, StoreError> {
    let mut purged = 0;
    let mut after = None;
    loop {
        let page = store
            .page::<IgnoredAny>(Collection::TaskLogs, after, PAGE)
            .await?;
        let mut batch = Batch::new();
        for logs in &page.documents {
            let task = logs.key.split(':').next().unwrap_or_default();
            let of: Option<TaskRecord> = store.get(Collection::Tasks, task).await?;
            if of.is_none_or(|task| task.final_deadline < before) {
                batch = batch.delete(Collection::TaskLogs, &logs.key);
                purged += 1;
            }
        }
        if !batch.is_empty() {
            store.commit(batch).await?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(purged);
        }
    }
}

/// Forgets what happened before `before`.
pub(crate) async fn purge_events(store: &Store, before: Timestamp) -> Result<(), StoreError> {
    let batch = Batch::new().prune(Stream::Events, before);
    store.commit(batch).await.map(|_| ())
}

fn replicate_key(task: TaskId, worker: Address) -> String {
    format!("{task}:{worker:#x}")
}

fn subject(event: &EventRecord) -> String {
    match event.topic {
        Topic::Task | Topic::Replicate => event.task.map(|task| task.to_string()),
        Topic::Deal | Topic::Capacity => event.deal.map(|deal| deal.to_string()),
        Topic::Worker => event.worker.map(|worker| poco::hex::lower(&worker)),
        Topic::Chain | Topic::Pool => None,
    }
    .unwrap_or_else(|| POOL.to_owned())
}

fn compute_logs(worker: Address, logs: &Logs) -> ComputeLogs {
    ComputeLogs {
        wallet_address: Some(worker),
        stdout: logs.stdout.clone().unwrap_or_default(),
        stderr: logs.stderr.clone().unwrap_or_default(),
    }
}

fn bodies<T>(documents: Vec<store::Document<T>>) -> Vec<T> {
    documents
        .into_iter()
        .map(|document| document.body)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;
    use engine::{BlockRef, DealDetails, Engine, Fact, Input, Located, Settings};
    use poco::tag::Tag;
    use poco::units::BlockNumber;
    use std::time::Duration;
    use store::Identity;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
    const ANN: Address = Address::repeat_byte(0xaa);

    fn store(folder: &tempfile::TempDir) -> Store {
        let identity = Identity {
            role: "scheduler".into(),
            chain_id: 1,
            hub: Address::ZERO,
            pool: None,
        };
        Store::open(folder.path(), &identity).unwrap()
    }

    fn deal() -> DealDetails {
        DealDetails {
            id: DealId(B256::repeat_byte(1)),
            requester: ANN,
            beneficiary: ANN,
            app: ANN,
            app_image: "app".into(),
            dataset: None,
            callback: None,
            tag: Tag(B256::ZERO),
            trust: 1,
            category: 0,
            max_execution: Duration::from_secs(300),
            start_time: NOW,
            contribution_ratio: 7,
            final_ratio: 10,
            bot_first: 0,
            bot_size: 2,
            arguments: None,
            storage_provider: None,
            storage_proxy: None,
            refused: None,
        }
    }

    /// What an engine wants stored when it sees the deal.
    fn changes_of_a_deal() -> Vec<Change> {
        let at = BlockRef {
            number: BlockNumber(5),
            hash: B256::repeat_byte(5),
            time: NOW,
        };
        let fact = Located {
            block: at.number,
            time: NOW,
            tx: B256::ZERO,
            log_index: 0,
            fact: Fact::Deal(Box::new(deal())),
        };
        let input = Input::Advanced {
            to: at,
            head: at.number,
            facts: vec![fact],
        };
        Engine::new(Settings::default()).handle(NOW, input).changes
    }

    #[tokio::test]
    async fn what_the_engine_stores_is_what_it_is_loaded_from() {
        let folder = tempfile::tempdir().unwrap();
        let changes = changes_of_a_deal();
        {
            store(&folder).commit(batch(&changes)).await.unwrap();
        }
        let store = store(&folder);
        let records = load(&store).await.unwrap();
        assert_eq!(records.deals.len(), 1);
        assert_eq!(records.deals[0].details, deal());
        let ids: Vec<_> = records
            .tasks
            .iter()
            .map(|task| (task.index, task.deal))
            .collect();
        assert_eq!(ids.len(), 2);
        assert!(ids.iter().all(|(_, of)| *of == deal().id));
        assert_eq!(records.pool.latest_deal_block, BlockNumber(5));
        let events = changes
            .iter()
            .filter(|change| matches!(change, Change::Event(_)))
            .count() as u64;
        assert_eq!(store.range(Stream::Events).await.unwrap(), (1, events));
    }

    #[tokio::test]
    async fn logs_are_kept_until_some_time_after_the_final_deadline() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        let task = TaskId::of(deal().id, 0);
        let logs = Logs {
            stdout: Some("hello".into()),
            stderr: None,
        };
        let mut changes = changes_of_a_deal();
        changes.push(Change::Logs {
            task,
            worker: ANN,
            logs,
        });
        store.commit(batch(&changes)).await.unwrap();
        let over = deal().final_deadline();
        assert_eq!(purge_logs(&store, over).await.unwrap(), 0);
        assert_eq!(logs_of(&store, task).await.unwrap()[0].stdout, "hello");
        assert_eq!(purge_logs(&store, Timestamp(over.0 + 1)).await.unwrap(), 1);
        assert_eq!(logs_of(&store, task).await.unwrap(), []);
    }

    #[tokio::test]
    async fn old_logs_are_deleted_however_many_there_are_and_no_others_with_them() {
        // one query named all tasks that had ever ended, and grew until the database refused it.
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        let changes = changes_of_a_deal();
        let first = changes.iter().find_map(|change| match change {
            Change::Task(task) => Some(task.clone()),
            _ => None,
        });
        let first = first.unwrap();
        // Every third task is young, so that each page has of both.
        let count = 3 * PAGE as u64;
        let is_young = |index: u64| index.is_multiple_of(3);
        let changes = (0..count).flat_map(|index| {
            let mut task = first.clone();
            task.id = TaskId::of(task.deal, index);
            if is_young(index) {
                task.final_deadline = NOW.saturating_add(Duration::from_secs(86_400));
            }
            let logs = Change::Logs {
                task: task.id,
                worker: ANN,
                logs: Logs::default(),
            };
            [Change::Task(task), logs]
        });
        let changes: Vec<Change> = changes.collect();
        store.commit(batch(&changes)).await.unwrap();
        let before = Timestamp(deal().final_deadline().0 + 1);
        assert_eq!(purge_logs(&store, before).await.unwrap(), 2 * PAGE);
        for index in 0..count {
            let task = TaskId::of(first.deal, index);
            let left = logs_of(&store, task).await.unwrap().len();
            assert_eq!(left, usize::from(is_young(index)), "{index}");
        }
        assert_eq!(purge_logs(&store, before).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn what_happened_is_forgotten_after_some_time() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        store.commit(batch(&changes_of_a_deal())).await.unwrap();
        let all = store.range(Stream::Events).await.unwrap();
        purge_events(&store, NOW).await.unwrap();
        assert_eq!(store.range(Stream::Events).await.unwrap(), all);
        purge_events(&store, Timestamp(NOW.0 + 1)).await.unwrap();
        let left = store.range(Stream::Events).await.unwrap();
        assert!(left.0 > all.1, "{left:?}");
    }

    #[tokio::test]
    async fn a_pool_knows_whether_it_ever_received_a_deal() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        assert!(!saw_a_deal(&store).await.unwrap());
        store.commit(batch(&changes_of_a_deal())).await.unwrap();
        assert!(saw_a_deal(&store).await.unwrap());
    }
}
