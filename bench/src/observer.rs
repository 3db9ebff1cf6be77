//! An independent client that follows the chain: it is told of each new block by the node itself, reads what the hub said in it, and
//! notes when. A purchase, a finalization, have happened when their receipts can be seen here.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, keccak256};
use anyhow::Context as _;
use e2e::rpc::Rpc;
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

/// What the hub said, once.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Log {
    topics: Vec<B256>,
    data: alloy_primitives::Bytes,
    transaction_hash: B256,
}

/// Something that can be seen in receipts, and when and where it was.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// By this program's clock.
    pub(crate) at: Instant,
    /// In which block.
    pub(crate) block: u64,
    /// In which transaction.
    pub(crate) tx: B256,
}

/// All that was seen so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sight {
    /// The newest block whose logs were read.
    pub(crate) head: u64,
    /// Deals, by the transaction of their purchase.
    pub(crate) deals: BTreeMap<B256, (B256, Seen)>,
    /// Tasks that were initialised.
    pub(crate) initialized: BTreeMap<B256, Seen>,
    /// Tasks that were finalized.
    pub(crate) finalized: BTreeMap<B256, Seen>,
}

/// A running observer. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Observer {
    sight: watch::Receiver<Sight>,
    following: JoinHandle<()>,
}

impl Observer {
    /// Begins with the next block.
    pub(crate) async fn start(node: &str, hub: Address) -> anyhow::Result<Self> {
        let (sender, sight) = watch::channel(Sight::default());
        let (mut heads, _) =
            tokio_tungstenite::connect_async(node.replacen("http", "ws", 1)).await?;
        let subscribe =
            json!({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]});
        heads.send(Message::text(subscribe.to_string())).await?;
        let rpc = Rpc::new(node);
        let mut next = rpc.head().await? + 1;
        sender.send_modify(|sight| sight.head = next - 1);
        let following = tokio::spawn(async move {
            while let Some(Ok(message)) = heads.next().await {
                if !is_head(&message) {
                    continue;
                }
                match read(&rpc, hub, next, &sender).await {
                    Ok(read) => next = read + 1,
                    Err(error) => eprintln!("the observer cannot read a block: {error:#}"),
                }
            }
            eprintln!("the observer is told of no more blocks");
        });
        Ok(Self { sight, following })
    }

    /// The newest block.
    #[must_use]
    pub(crate) fn head(&self) -> u64 {
        self.sight.borrow().head
    }

    /// Waits until `found` finds something in what was seen.
    pub(crate) async fn until<T>(
        &self,
        what: &str,
        patience: Duration,
        mut found: impl FnMut(&Sight) -> Option<T>,
    ) -> anyhow::Result<T> {
        let mut sight = self.sight.clone();
        let waiting = async {
            loop {
                if let Some(found) = found(&sight.borrow_and_update()) {
                    return Ok(found);
                }
                sight.changed().await.context("the observer ended")?;
            }
        };
        tokio::time::timeout(patience, waiting)
            .await
            .with_context(|| format!("{what} was not seen within {} s", patience.as_secs()))?
    }

    /// Waits for the deal of a purchase.
    pub(crate) async fn deal(&self, tx: B256) -> anyhow::Result<(B256, Seen)> {
        self.until("a purchase", Duration::from_secs(60), |sight| {
            sight.deals.get(&tx).copied()
        })
        .await
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.following.abort();
    }
}

fn is_head(message: &Message) -> bool {
    let Message::Text(text) = message else {
        return false;
    };
    serde_json::from_str(text)
        .is_ok_and(|told: Value| told.get("method") == Some(&json!("eth_subscription")))
}

/// Reads from `next` to the head and tells what is there. Returns the last block read.
async fn read(
    rpc: &Rpc,
    hub: Address,
    next: u64,
    sight: &watch::Sender<Sight>,
) -> anyhow::Result<u64> {
    let head = rpc.head().await?;
    for block in next..=head {
        let number = format!("{block:#x}");
        let filter = json!([{"fromBlock": number, "toBlock": number, "address": hub}]);
        let logs: Vec<Log> = rpc.request("eth_getLogs", filter).await?;
        let at = Instant::now();
        sight.send_modify(|sight| {
            for log in logs {
                sight.note(&log, block, at);
            }
            sight.head = block;
        });
    }
    Ok(head.max(next - 1))
}

impl Sight {
    fn note(&mut self, log: &Log, block: u64, at: Instant) {
        let seen = Seen {
            at,
            block,
            tx: log.transaction_hash,
        };
        let event = |signature: &str| log.topics.first() == Some(&keccak256(signature));
        let first = log.topics.get(1).copied().unwrap_or_default();
        if event("SchedulerNotice(address,bytes32)") {
            if let Some(deal) = log.data.get(..32).map(B256::from_slice) {
                self.deals.entry(seen.tx).or_insert((deal, seen));
            }
        } else if event("TaskInitialize(bytes32,address)") {
            self.initialized.entry(first).or_insert(seen);
        } else if event("TaskFinalize(bytes32,bytes)") {
            self.finalized.entry(first).or_insert(seen);
        }
    }
}
