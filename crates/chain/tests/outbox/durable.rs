//! What outlives the process.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use alloy_primitives::{Address, Bytes};
use alloy_signer_local::PrivateKeySigner;
use chain::{
    MemoryOutboxStore, OutboxError, OutboxRecord, OutboxSettings, OutboxStore, OutboxStoreError,
    Outcome,
    outbox::{Holdup, PROBES, Stage, StoreFuture},
};
use poco::units::Timestamp;
use serde_json::json;

use crate::{
    bench::*,
    fake::{FakeNode, Fault, World},
};

/// A store that can be told to fail, and that notes when it is written.
#[derive(Default)]
struct Brittle {
    inner: MemoryOutboxStore,
    broken: AtomicBool,
    written: Mutex<Vec<Stage>>,
}

impl OutboxStore for Brittle {
    fn live(&self, wallet: Address) -> StoreFuture<'_, Vec<OutboxRecord>> {
        self.inner.live(wallet)
    }

    fn find(&self, wallet: Address, key: String) -> StoreFuture<'_, Option<OutboxRecord>> {
        self.inner.find(wallet, key)
    }

    fn put(&self, wallet: Address, records: Vec<OutboxRecord>) -> StoreFuture<'_, ()> {
        if self.broken.load(Ordering::SeqCst) {
            let error = OutboxStoreError::new("the disk is full");
            return Box::pin(std::future::ready(Err(error)));
        }
        let stages = records.iter().map(|record| record.stage.clone());
        self.written.lock().unwrap().extend(stages);
        self.inner.put(wallet, records)
    }

    fn remove(&self, wallet: Address, keys: Vec<String>) -> StoreFuture<'_, ()> {
        self.inner.remove(wallet, keys)
    }
}

#[tokio::test]
async fn nothing_is_broadcast_that_is_not_stored() {
    let world = World::new();
    let node = FakeNode::start(&world).await;
    let store = Arc::new(Brittle::default());
    let signer = PrivateKeySigner::random();
    let (handle, task) = start(&node, &signer, store.clone(), settings()).await;
    // Accepted while the store works, but not signed: the node is down.
    node.always("eth_estimateGas", Fault::Http(500));
    handle.submit(intent("a")).await.unwrap();
    node.asked("eth_estimateGas", 1).await;
    store.broken.store(true, Ordering::SeqCst);
    node.heal();
    let mut status = handle.status();
    within(status.wait_for(|status| matches!(status.holdup, Some(Holdup::Store(_)))))
        .await
        .unwrap();
    assert!(node.requests(SEND).is_empty());
    assert!(matches!(
        handle.submit(intent("b")).await,
        Err(OutboxError::Store(_))
    ));
    store.broken.store(false, Ordering::SeqCst);
    let sent = node.asked(SEND, 1).await;
    let written = store.written.lock().unwrap().clone();
    let stored = written.iter().any(|stage| {
        matches!(stage, Stage::Sending { attempts, .. } if json!([attempts[0].raw]) == sent[0])
    });
    assert!(stored);
    task.abort();
}

#[tokio::test]
async fn a_crash_at_any_point_loses_nothing_and_sends_nothing_twice() {
    for point in PROBES {
        let crashing = OutboxSettings {
            probe: Some(Arc::new(move |passed| {
                assert!(passed != *point, "the process dies at {point}");
            })),
            ..settings()
        };
        let mut bench = Bench::instant(crashing).await;
        let all = ["a", "b", "c"].map(intent).to_vec();
        // Its answer may die with the process.
        let _ = bench.handle.submit_all(all).await;
        let died = within(&mut bench.task).await;
        assert!(died.is_err_and(|error| error.is_panic()), "{point}");
        let signed = bench.store.live(bench.signer.address()).await.unwrap();
        assert_eq!(signed.len(), 3, "{point}");
        bench.restart(settings()).await;
        for name in ["a", "b", "c"] {
            assert!(is_mined(&bench.outcome(name).await), "{point}");
        }
        assert_eq!(bench.mined(), ["a", "b", "c"], "{point}");
        let nonces: Vec<u64> = bench.world().mined().iter().map(|tx| tx.nonce).collect();
        assert_eq!(nonces, [0, 1, 2], "{point}");
        // What was signed before the crash is what was mined.
        for record in signed {
            if let Stage::Sending { attempts, .. } = record.stage {
                let known = &bench.world().seen;
                assert!(known.contains_key(&attempts[0].hash), "{point}");
            }
        }
    }
}

#[tokio::test]
async fn the_outbox_starts_while_no_node_answers() {
    let bench = Bench::new(settings()).await;
    bench.node.always("eth_getBlockByNumber", Fault::Http(500));
    bench.handle.submit(intent("a")).await.unwrap();
    bench
        .holdup(|holdup| matches!(holdup, Holdup::Node(_)))
        .await;
    bench.node.heal();
    bench.pooled(1).await;
}

#[tokio::test]
async fn questions_to_a_stopped_outbox_are_answered_with_that() {
    let bench = Bench::new(settings()).await;
    bench.handle.submit(intent("a")).await.unwrap();
    bench.task.abort();
    within(async {
        while !bench.task.is_finished() {
            tokio::task::yield_now().await
        }
    })
    .await;
    assert_eq!(bench.handle.outcome("a").await, Err(OutboxError::Stopped));
    assert_eq!(
        bench.handle.submit(intent("b")).await,
        Err(OutboxError::Stopped)
    );
}

#[test]
fn a_record_survives_the_store_as_json() {
    let receipt: chain::Receipt = serde_json::from_value(json!({
        "tx": alloy_primitives::B256::repeat_byte(1), "block": 7, "block_hash": alloy_primitives::B256::repeat_byte(2),
        "succeeded": true, "gas_used": 21000, "gas_price": 1_000_000_000u64, "logs": [],
    }))
    .unwrap();
    let attempts = vec![chain::outbox::Attempt {
        hash: receipt.tx,
        raw: Bytes::from_static(b"raw"),
        offer: chain::outbox::Offer::Dynamic {
            max_fee: u64::MAX.into(),
            tip: 1,
        },
    }];
    let watched = Some(chain::outbox::Watched {
        nonce: 3,
        gas: 21_000,
        block: receipt.block,
        attempts,
    });
    let record = OutboxRecord {
        stage: Stage::Settled {
            outcome: Outcome::Mined { receipt },
            watched,
        },
        ..OutboxRecord::new(intent("a"), Timestamp(5))
    };
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<OutboxRecord>(&text).unwrap(), record);
}
#[tokio::test]
async fn deep_records_are_no_longer_loaded_but_still_answered() {
    let mut bench = Bench::new(settings()).await;
    bench.handle.submit(intent("a")).await.unwrap();
    bench.pooled(1).await;
    bench.world().mine_many(70);
    assert!(is_mined(&bench.outcome("a").await));
    let wallet = bench.signer.address();
    within(async {
        while !bench.store.live(wallet).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    bench.restart(settings()).await;
    bench.handle.submit(intent("a")).await.unwrap();
    assert!(is_mined(&bench.outcome("a").await));
    assert_eq!(bench.node.requests(SEND).len(), 1);
    bench.handle.forget(vec!["a".into()]).await.unwrap();
    assert_eq!(bench.handle.find("a").await, Ok(None));
}

#[tokio::test]
async fn records_in_use_are_not_forgotten() {
    let bench = Bench::new(settings()).await;
    bench.handle.submit(intent("a")).await.unwrap();
    bench.pooled(1).await;
    bench.handle.forget(vec!["a".into()]).await.unwrap();
    assert!(bench.handle.find("a").await.unwrap().is_some());
}

#[tokio::test]
async fn what_is_forgotten_while_its_block_is_young_is_deleted_when_it_is_deep() {
    let bench = Bench::new(settings()).await;
    for key in ["a", "b"] {
        bench.handle.submit(intent(key)).await.unwrap();
    }
    bench.pooled(2).await;
    bench.world().mine();
    for key in ["a", "b"] {
        assert!(is_mined(&bench.outcome(key).await));
        bench.handle.forget(vec![key.into()]).await.unwrap();
    }
    // Whoever submits it again needs it again.
    bench.handle.submit(intent("b")).await.unwrap();
    bench.world().mine_many(70);
    let wallet = bench.signer.address();
    within(async {
        while !bench.store.live(wallet).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(bench.store.find(wallet, "a".into()).await, Ok(None));
    assert!(is_mined(&bench.outcome("b").await));
    assert_eq!(bench.mined(), ["a", "b"]);
}
