//! What a commit promises: whole batches, numbered records, and everything that was acknowledged is there after reopening.

use std::sync::Arc;

use alloy_primitives::{Address, address};
use poco::units::Timestamp;
use serde::{Deserialize, Serialize};
use store::{
    Batch, Collection, Columns, Document, Identity, Kind, Recorded, Select, Store, StoreError,
    Stream,
};

const HUB: Address = address!("3eca1b216a7df1c7689aeb259ffb83adfb894e7f");
const POOL: Address = address!("365e7babaa85ec61dffe5b520763062e6c29da27");

fn scheduler() -> Identity {
    Identity {
        role: "scheduler".into(),
        chain_id: 134,
        hub: HUB,
        pool: Some(POOL),
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    text: String,
    number: u64,
}

fn note(number: u64) -> Note {
    Note {
        text: format!("note {number}"),
        number,
    }
}

/// A document that cannot be written as JSON: its keys are not texts.
fn unwritable() -> std::collections::BTreeMap<Vec<u8>, u8> {
    [(vec![1], 1)].into()
}

#[tokio::test]
async fn reopening_shows_everything_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), &scheduler()).unwrap();
    for number in 0..50 {
        let batch = Batch::new()
            .put(
                Collection::Tasks,
                format!("task-{number:02}"),
                &note(number),
            )
            .append(Stream::Events, "deal", Timestamp(number), &note(number));
        store.commit(batch).await.unwrap();
    }
    store
        .commit(Batch::new().delete(Collection::Tasks, "task-07"))
        .await
        .unwrap();
    drop(store);

    let store = Store::open(folder.path(), &scheduler()).unwrap();
    let tasks: Vec<Document<Note>> = store.all(Collection::Tasks).await.unwrap();
    assert_eq!(tasks.len(), 49);
    assert_eq!(
        store
            .get::<Note>(Collection::Tasks, "task-07")
            .await
            .unwrap(),
        None
    );
    assert_eq!(
        store
            .get::<Note>(Collection::Tasks, "task-49")
            .await
            .unwrap(),
        Some(note(49))
    );
    assert_eq!(store.range(Stream::Events).await.unwrap(), (1, 50));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_that_share_a_sync_stay_atomic_each() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(folder.path(), &scheduler()).unwrap());
    let mut waiting = Vec::new();
    for number in 0..400_u64 {
        let store = Arc::clone(&store);
        waiting.push(tokio::spawn(async move {
            let mut batch = Batch::new()
                .put(Collection::Tasks, format!("{number:03}"), &note(number))
                .put(Collection::Workers, format!("{number:03}"), &note(number))
                .append(Stream::Events, number, Timestamp(number), &note(number));
            if number % 5 == 0 {
                batch = batch.put(Collection::Tasks, "bad", &unwritable());
            }
            (number, store.commit(batch).await)
        }));
    }
    let mut sequences = Vec::new();
    for outcome in waiting {
        let (number, result) = outcome.await.unwrap();
        if number % 5 == 0 {
            let refused = result.unwrap_err();
            assert!(
                matches!(refused, StoreError::Unwritable { .. }),
                "{refused}"
            );
            assert_eq!(refused.kind(), Kind::Bug);
        } else {
            sequences.extend(result.unwrap().sequences);
        }
    }
    let tasks: Vec<Document<Note>> = store.all(Collection::Tasks).await.unwrap();
    let workers: Vec<Document<Note>> = store.all(Collection::Workers).await.unwrap();
    assert_eq!(tasks, workers, "one half of a batch without the other");
    assert_eq!(tasks.len(), 320);
    assert!(tasks.iter().all(|task| task.body.number % 5 != 0));
    sequences.sort_unstable();
    assert_eq!(
        sequences,
        (1..=320).collect::<Vec<u64>>(),
        "numbers have no gap and none is given twice"
    );
}

#[tokio::test]
async fn a_second_opener_of_a_folder_is_refused_until_the_first_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let first = Store::open(folder.path(), &scheduler()).unwrap();
    let refused = Store::open(folder.path(), &scheduler()).unwrap_err();
    assert!(matches!(refused, StoreError::InUse { .. }), "{refused}");
    drop(first);
    Store::open(folder.path(), &scheduler()).unwrap();
}

#[tokio::test]
async fn a_folder_of_another_pool_or_chain_is_refused_naming_both() {
    let folder = tempfile::tempdir().unwrap();
    drop(Store::open(folder.path(), &scheduler()).unwrap());

    let other_pool = Identity {
        pool: Some(Address::repeat_byte(0xab)),
        ..scheduler()
    };
    let said = Store::open(folder.path(), &other_pool)
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("0x365e7babaa85ec61dffe5b520763062e6c29da27"),
        "{said}"
    );
    assert!(
        said.contains("0xabababababababababababababababababababab"),
        "{said}"
    );
    assert!(said.contains("another workerpool"), "{said}");

    let other_chain = Identity {
        chain_id: 42161,
        ..scheduler()
    };
    let said = Store::open(folder.path(), &other_chain)
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("134") && said.contains("42161") && said.contains("another chain"),
        "{said}"
    );

    let other_role = Identity {
        role: "worker".into(),
        pool: None,
        ..scheduler()
    };
    let said = Store::open(folder.path(), &other_role)
        .unwrap_err()
        .to_string();
    assert!(said.contains("another role"), "{said}");

    Store::open(folder.path(), &scheduler()).expect("a refusal leaves the folder as it was");
}

#[tokio::test]
async fn events_resume_after_the_number_that_was_seen_last() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), &scheduler()).unwrap();
    assert_eq!(store.range(Stream::Events).await.unwrap(), (1, 0));
    let mut batch = Batch::new();
    for number in 1..=10 {
        batch = batch.append(
            Stream::Events,
            if number % 2 == 0 { "even" } else { "odd" },
            Timestamp(number * 100),
            &note(number),
        );
    }
    assert_eq!(
        store.commit(batch).await.unwrap().sequences,
        (1..=10).collect::<Vec<u64>>()
    );

    let seen: Vec<Recorded<Note>> = store.records_after(Stream::Events, 4, 3).await.unwrap();
    assert_eq!(
        seen.iter().map(|record| record.seq).collect::<Vec<_>>(),
        [5, 6, 7]
    );
    assert_eq!(
        seen[0],
        Recorded {
            seq: 5,
            subject: "odd".into(),
            at: Timestamp(500),
            body: note(5)
        }
    );
    let late: Vec<Recorded<Note>> = store
        .records_since(Stream::Events, Timestamp(900))
        .await
        .unwrap();
    assert_eq!(
        late.iter().map(|record| record.seq).collect::<Vec<_>>(),
        [9, 10]
    );
    let even: Vec<Recorded<Note>> = store.records_about(Stream::Events, "even").await.unwrap();
    assert_eq!(
        even.iter().map(|record| record.seq).collect::<Vec<_>>(),
        [2, 4, 6, 8, 10]
    );
}

#[tokio::test]
async fn a_pruned_stream_says_from_where_it_can_be_resumed_and_never_reuses_a_number() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), &scheduler()).unwrap();
    for number in 1..=5 {
        store
            .commit(Batch::new().append(Stream::Notices, "w", Timestamp(number), &note(number)))
            .await
            .unwrap();
    }
    store
        .commit(Batch::new().prune(Stream::Notices, Timestamp(4)))
        .await
        .unwrap();
    assert_eq!(store.range(Stream::Notices).await.unwrap(), (4, 5));
    store
        .commit(Batch::new().prune(Stream::Notices, Timestamp(100)))
        .await
        .unwrap();
    assert_eq!(store.range(Stream::Notices).await.unwrap(), (6, 5));
    drop(store);
    let store = Store::open(folder.path(), &scheduler()).unwrap();
    let next = store
        .commit(Batch::new().append(Stream::Notices, "w", Timestamp(9), &note(9)))
        .await
        .unwrap();
    assert_eq!(next.sequences, [6]);
}

#[tokio::test]
async fn documents_are_found_by_owner_state_and_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), &scheduler()).unwrap();
    let mut batch = Batch::new();
    for number in 0..6_u64 {
        let columns = Columns::default()
            .owner(if number < 4 { "deal-a" } else { "deal-b" })
            .state(if number % 2 == 0 {
                "RUNNING"
            } else {
                "COMPLETED"
            })
            .at(Timestamp(number * 10));
        batch = batch.put_with(Collection::Tasks, number, columns, &note(number));
    }
    store.commit(batch).await.unwrap();
    let keys = |wanted: Select| {
        let store = store.clone();
        async move {
            let found: Vec<Document<Note>> = store.select(Collection::Tasks, wanted).await.unwrap();
            found
                .into_iter()
                .map(|document| document.key)
                .collect::<Vec<_>>()
                .join(" ")
        }
    };
    assert_eq!(
        keys(Select {
            owner: Some("deal-a".into()),
            ..Select::default()
        })
        .await,
        "0 1 2 3"
    );
    assert_eq!(
        keys(Select {
            states: vec!["RUNNING".into()],
            ..Select::default()
        })
        .await,
        "0 2 4"
    );
    assert_eq!(
        keys(Select {
            owner: Some("deal-a".into()),
            states: vec!["COMPLETED".into()],
            ..Select::default()
        })
        .await,
        "1 3"
    );
    assert_eq!(
        keys(Select {
            before: Some(Timestamp(20)),
            ..Select::default()
        })
        .await,
        "0 1"
    );
    assert_eq!(
        store.count_by_state(Collection::Tasks).await.unwrap(),
        [("COMPLETED".to_owned(), 3), ("RUNNING".to_owned(), 3)]
    );

    // Storing again replaces the columns too.
    store
        .commit(Batch::new().put(Collection::Tasks, 0, &note(0)))
        .await
        .unwrap();
    assert_eq!(
        keys(Select {
            owner: Some("deal-a".into()),
            ..Select::default()
        })
        .await,
        "1 2 3"
    );
    store
        .commit(Batch::new().expire(Collection::Tasks, Timestamp(40)))
        .await
        .unwrap();
    assert_eq!(
        keys(Select::default()).await,
        "0 4 5",
        "a document without a time never expires"
    );
}

#[tokio::test]
async fn pages_cover_a_collection_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), &scheduler()).unwrap();
    let mut batch = Batch::new();
    for number in 0..25_u64 {
        batch = batch.put(Collection::Workers, format!("{number:02}"), &note(number));
    }
    store.commit(batch).await.unwrap();
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = store
            .page::<Note>(Collection::Workers, after, 10)
            .await
            .unwrap();
        seen.extend(
            page.documents
                .into_iter()
                .map(|document| document.body.number),
        );
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, (0..25).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_document_of_another_shape_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), &scheduler()).unwrap();
    store
        .commit(Batch::new().put(Collection::Workers, "ann", &"not a note"))
        .await
        .unwrap();
    let said = store
        .get::<Note>(Collection::Workers, "ann")
        .await
        .unwrap_err()
        .to_string();
    assert!(said.contains("ann") && said.contains("workers"), "{said}");
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_what_is_stored() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), &scheduler()).unwrap();
    store
        .commit(Batch::new().put(Collection::Keys, "key", &"secret"))
        .await
        .unwrap();
    let mut files = 0;
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        if file
            .file_name()
            .to_string_lossy()
            .starts_with("store.sqlite")
        {
            files += 1;
            let mode = file.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{:?}", file.file_name());
        }
    }
    assert!(files >= 2, "the database and its log");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_with_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("store.sqlite"), [7; 4096]).unwrap();
    let refused = Store::open(folder.path(), &scheduler()).unwrap_err();
    assert_eq!(refused.kind(), Kind::Terminal);
    let text = refused.to_string();
    assert!(
        text.contains("not a database") && text.contains("backup"),
        "{text}"
    );
}
