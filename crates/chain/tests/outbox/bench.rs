//! One wallet with its outbox, its store and its chain.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use alloy_primitives::Bytes;
use alloy_signer_local::PrivateKeySigner;
use chain::{
    GasPolicy, Intent, MemoryOutboxStore, Node, Outbox, OutboxHandle, OutboxSettings, OutboxStore,
    Outcome,
    outbox::{Holdup, OutboxStatus},
};
use poco::units::Timestamp;
use tokio::task::JoinHandle;

use crate::fake::{FakeNode, SharedWorld, World, hub};

pub(crate) const SEND: &str = "eth_sendRawTransaction";

pub(crate) fn intent(name: &str) -> Intent {
    Intent {
        key: name.into(),
        to: hub(),
        calldata: Bytes::copy_from_slice(name.as_bytes()),
        gas: GasPolicy::estimated(),
        deadline: None,
        joins: None,
    }
}

/// Quick looks; nothing is taken for stuck or due by the clock alone.
pub(crate) fn settings() -> OutboxSettings {
    OutboxSettings {
        stuck_after: Duration::from_secs(3600),
        rebroadcast_every: Duration::from_secs(3600),
        ..OutboxSettings::new(Duration::from_millis(20))
    }
}

pub(crate) fn often() -> OutboxSettings {
    OutboxSettings {
        rebroadcast_every: Duration::from_millis(20),
        ..settings()
    }
}

pub(crate) fn hasty() -> OutboxSettings {
    OutboxSettings {
        stuck_after: Duration::from_millis(50),
        ..settings()
    }
}

/// One wallet with its outbox, its store and its chain.
pub(crate) struct Bench {
    pub(crate) world: SharedWorld,
    pub(crate) node: FakeNode,
    pub(crate) store: Arc<MemoryOutboxStore>,
    pub(crate) signer: PrivateKeySigner,
    pub(crate) handle: OutboxHandle,
    pub(crate) task: JoinHandle<()>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Bench {
    pub(crate) async fn new(settings: OutboxSettings) -> Self {
        let world = World::new();
        let node = FakeNode::start(&world).await;
        let store = Arc::new(MemoryOutboxStore::default());
        let signer = PrivateKeySigner::random();
        let (handle, task) = start(&node, &signer, store.clone(), settings).await;
        Self {
            world,
            node,
            store,
            signer,
            handle,
            task,
        }
    }

    /// A bench whose chain mines at once.
    pub(crate) async fn instant(settings: OutboxSettings) -> Self {
        let bench = Self::new(settings).await;
        bench.world().instant = true;
        bench
    }

    pub(crate) fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Kills the outbox and starts another on the same store.
    pub(crate) async fn restart(&mut self, settings: OutboxSettings) {
        self.task.abort();
        let (handle, task) = start(&self.node, &self.signer, self.store.clone(), settings).await;
        (self.handle, self.task) = (handle, task);
    }

    pub(crate) async fn outcome(&self, key: &str) -> Outcome {
        within(self.handle.outcome(key)).await.unwrap()
    }

    /// Waits until the outbox says what holds it up.
    pub(crate) async fn holdup(&self, wanted: impl Fn(&Holdup) -> bool) -> OutboxStatus {
        let mut status = self.handle.status();
        let found = within(status.wait_for(|status| status.holdup.as_ref().is_some_and(&wanted)))
            .await
            .unwrap();
        found.clone()
    }

    pub(crate) async fn pooled(&self, count: usize) {
        within(async {
            while self.world().pool.len() < count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// The payloads in blocks.
    pub(crate) fn mined(&self) -> Vec<String> {
        let mined = self.world().mined();
        mined
            .iter()
            .map(|tx| String::from_utf8_lossy(&tx.input).into_owned())
            .collect()
    }
}

pub(crate) async fn start(
    node: &FakeNode,
    signer: &PrivateKeySigner,
    store: Arc<dyn OutboxStore>,
    settings: OutboxSettings,
) -> (OutboxHandle, JoinHandle<()>) {
    let node = Node::new(vec![node.url.clone()], None).unwrap();
    let (handle, outbox) = Outbox::start(node, signer.clone(), store, settings)
        .await
        .unwrap();
    (handle, tokio::spawn(outbox.run()))
}

/// Twenty seconds are far more than any of these needs.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("this takes too long")
}

pub(crate) fn is_mined(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Mined { .. })
}

pub(crate) fn now() -> Timestamp {
    Timestamp(0).saturating_add(SystemTime::now().duration_since(UNIX_EPOCH).unwrap())
}
