//! The outbox: one per wallet, sends its transactions and owns its nonce.
//!
//! An intent is stored before its submission is answered; a signed transaction with its nonce is stored before it is
//! broadcast. So the process may die at any instant: after a restart the same bytes go out again, and one payload per
//! key is mined. Several transactions fly at a time; one that sticks is replaced at its own nonce for a higher fee, one
//! that a node forgot or a reorganisation undid is broadcast again as it is.
//!
//! A nonce is given out only after a successful estimation, right before signing, lowest free one first, so no gap is
//! made. The outbox never decides whether a transaction is still wanted: that check is its caller's. It never takes a
//! failed read for an answer and never sends anything but what it was given.

mod book;
mod bulk;
mod fees;
mod intake;
mod intent;
mod join;
mod look;
mod outgoing;
mod resend;
mod round;
mod settle;
mod signing;
mod store;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use alloy_primitives::Address;
use alloy_signer_local::PrivateKeySigner;
use poco::units::{Timestamp, Wei};
use tokio::sync::{Notify, mpsc, oneshot, watch};

pub use fees::Offer;
pub use intent::{Attempt, GasPolicy, Intent, OutboxRecord, Outcome, Stage, Watched};
pub use join::{ArrayCall, Joinable};
pub use store::{MemoryOutboxStore, OutboxStore, OutboxStoreError, StoreFuture};

use crate::{Block, Kind, Node};
use book::Book;
use fees::Pricing;
use intake::Command;

/// Called with the name of the point that was just passed; see [`PROBES`].
pub type Probe = Arc<dyn Fn(&'static str) + Send + Sync>;

const INTENT_PERSISTED: &str = "outbox.intent_persisted";
const TX_PERSISTED: &str = "outbox.tx_persisted";
const BROADCAST: &str = "outbox.broadcast";
const RECEIPT_SEEN: &str = "outbox.receipt_seen";

/// Every point at which [`OutboxSettings::probe`] is called, in the order an intent passes them.
pub const PROBES: &[&str] = &[INTENT_PERSISTED, TX_PERSISTED, BROADCAST, RECEIPT_SEEN];

/// How an outbox sends.
#[derive(Clone)]
pub struct OutboxSettings {
    /// Thousandths of the network's gas price that are offered.
    pub multiplier: u64,
    /// The most that is offered, in wei per gas. Below the base fee nothing is sent until the base fee falls.
    pub cap: Wei,
    /// Send legacy transactions even where EIP-1559 is known.
    pub legacy: bool,
    /// How often blocks come: the rhythm of looking.
    pub block_time: Duration,
    /// How long the next transaction in line may stay out of a block, while blocks are made, before it is replaced. Also
    /// how long a used-up nonce without a receipt of ours is put down to a slow node.
    pub stuck_after: Duration,
    /// How often a transaction that is not mined is handed to the nodes again.
    pub rebroadcast_every: Duration,
    /// The most transactions in flight.
    pub max_in_flight: usize,
    /// Blocks on top of a transaction's own before its outcome is told.
    pub confirmations: u64,
    /// Blocks for which a told outcome is still watched: if it vanishes in a reorganisation the same transaction is
    /// broadcast again.
    pub watch_depth: u64,
    /// Called as an intent passes each of [`PROBES`]: for crash tests.
    pub probe: Option<Probe>,
}

impl OutboxSettings {
    /// The defaults for a chain with this block time: price as suggested, cap 22 gwei (spec onchain C3), told as soon as
    /// mined.
    pub fn new(block_time: Duration) -> Self {
        Self {
            multiplier: 1000,
            cap: Wei(22_000_000_000),
            legacy: false,
            block_time,
            stuck_after: (block_time * 6).max(Duration::from_secs(10)),
            rebroadcast_every: (block_time * 3).max(Duration::from_secs(2)),
            max_in_flight: 16,
            confirmations: 0,
            watch_depth: 64,
            probe: None,
        }
    }

    fn pass(&self, point: &'static str) {
        if let Some(probe) = &self.probe {
            probe(point);
        }
    }

    fn pricing(&self) -> Pricing {
        Pricing {
            multiplier: self.multiplier,
            // Stored as JSON numbers, which end at 64 bits: that is 18 whole coins per gas.
            cap: self.cap.0.min(u128::from(u64::MAX)),
            legacy: self.legacy,
        }
    }
}

impl std::fmt::Debug for OutboxSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutboxSettings")
            .field("multiplier", &self.multiplier)
            .field("cap", &self.cap)
            .field("legacy", &self.legacy)
            .field("block_time", &self.block_time)
            .field("stuck_after", &self.stuck_after)
            .field("rebroadcast_every", &self.rebroadcast_every)
            .field("max_in_flight", &self.max_in_flight)
            .field("confirmations", &self.confirmations)
            .field("watch_depth", &self.watch_depth)
            .field("probe", &self.probe.is_some())
            .finish()
    }
}

/// Why the outbox cannot answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutboxError {
    /// Its task has ended.
    #[error("the outbox has stopped")]
    Stopped,
    /// The store failed; nothing was accepted.
    #[error(transparent)]
    Store(#[from] OutboxStoreError),
    /// The key belongs to another payload.
    #[error(
        "the outbox already has another transaction under the key {key}; use one key per payload"
    )]
    OtherPayload {
        /// The key.
        key: String,
    },
    /// Nothing was ever submitted under that key.
    #[error("the outbox has nothing under the key {key}; submit it first")]
    Unknown {
        /// The key.
        key: String,
    },
}

impl OutboxError {
    /// What a caller may do about it.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Stopped => Kind::Terminal,
            Self::Store(_) => Kind::Retryable,
            Self::OtherPayload { .. } | Self::Unknown { .. } => Kind::Bug,
        }
    }
}

/// What keeps transactions from going out or being mined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holdup {
    /// No node answers.
    Node(String),
    /// The store does not take what must be durable first.
    Store(String),
    /// The wallet's key does not sign.
    Signer(String),
    /// The base fee is above the cap (wei per gas).
    FeeCap {
        /// The setting.
        cap: u128,
        /// The chain's base fee.
        base: u128,
    },
    /// A transaction sticks and the cap does not allow a replacement.
    StuckAtCap {
        /// Its nonce.
        nonce: u64,
    },
    /// The wallet cannot pay for the next transaction (wei).
    Funds {
        /// What it has.
        have: u128,
        /// What the transactions in flight and the next one may cost.
        need: u128,
    },
    /// Transactions fly above a nonce that nobody holds; the next one sent fills it.
    NonceGap {
        /// The missing nonce.
        nonce: u64,
    },
    /// A node declines a transaction for a reason that may pass.
    Declined(String),
}

impl std::fmt::Display for Holdup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Node(text) | Self::Store(text) | Self::Signer(text) => f.write_str(text),
            Self::FeeCap { cap, base } => write!(
                f,
                "the base fee is {base} wei per gas, above the cap of {cap}; raise IEXEC_GAS_PRICE_CAP or wait until it falls"
            ),
            Self::StuckAtCap { nonce } => write!(
                f,
                "transaction {nonce} is not mined and a higher fee would pass the cap; raise IEXEC_GAS_PRICE_CAP or wait until fees fall"
            ),
            Self::Funds { have, need } => write!(
                f,
                "the wallet has {have} wei and may need {need}; send gas money to it"
            ),
            Self::NonceGap { nonce } => write!(
                f,
                "nonce {nonce} is missing below the transactions in flight; another program uses this wallet"
            ),
            Self::Declined(text) => write!(f, "a node declines a transaction: {text}"),
        }
    }
}

/// How the outbox is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutboxStatus {
    /// Intents with nothing signed.
    pub waiting: usize,
    /// Transactions signed and not settled.
    pub in_flight: usize,
    /// What holds them up, if anything does.
    pub holdup: Option<Holdup>,
    /// Transactions broadcast for the first time, replacements included, since the start.
    pub broadcasts: u64,
    /// Replacements among them.
    pub replacements: u64,
    /// Intents settled since the start.
    pub settled: u64,
}

/// What handles and the task share.
struct Shared {
    wallet: Address,
    store: Arc<dyn OutboxStore>,
    settings: OutboxSettings,
    book: Mutex<Book>,
    wake: Notify,
    /// The chain may have taken blocks back: what was settled is to be looked at.
    moved: AtomicBool,
    /// The newest block that was told, and when.
    told: Mutex<Option<(Instant, Block)>>,
    status: watch::Sender<OutboxStatus>,
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_told(&self) -> MutexGuard<'_, Option<(Instant, Block)>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest block that was told within `age`.
    fn told(&self, age: Duration) -> Option<Block> {
        let (at, block) = (*self.lock_told())?;
        (at.elapsed() < age).then_some(block)
    }
}

/// The sending half: give [`Outbox::run`] a task of its own.
pub struct Outbox {
    shared: Arc<Shared>,
    node: Node,
    signer: PrivateKeySigner,
    commands: mpsc::Receiver<Command>,
}

/// The submitting half. Cheap to clone.
#[derive(Clone)]
pub struct OutboxHandle {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
}

impl Outbox {
    /// Loads what an earlier run left. The node is not contacted, so it may be down. Sending begins when
    /// [`Outbox::run`] is polled. There must be one outbox per wallet, in all processes together.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn start(
        node: Node,
        signer: PrivateKeySigner,
        store: Arc<dyn OutboxStore>,
        settings: OutboxSettings,
    ) -> Result<(OutboxHandle, Self), OutboxError> {
        let wallet = signer.address();
        let records = store.live(wallet).await?;
        if !records.is_empty() {
            tracing::info!(
                wallet = poco::hex::lower(&wallet),
                transactions = records.len(),
                "taking up the transactions of an earlier run"
            );
        }
        let shared = Arc::new(Shared {
            wallet,
            store,
            settings,
            book: Mutex::new(Book::load(records)),
            wake: Notify::new(),
            moved: AtomicBool::new(false),
            told: Mutex::default(),
            status: watch::Sender::default(),
        });
        let (sender, receiver) = mpsc::channel(256);
        let handle = OutboxHandle {
            shared: shared.clone(),
            commands: sender,
        };
        let outbox = Self {
            shared,
            node,
            signer,
            commands: receiver,
        };
        Ok((handle, outbox))
    }

    /// Sends until every handle is gone. Dropping the future at any moment loses nothing.
    pub async fn run(self) {
        let Self {
            shared,
            node,
            signer,
            commands,
        } = self;
        let mut sender = round::Sender::new(shared.clone(), node, signer);
        tokio::select! {
            () = intake::run(shared, commands) => {}
            () = sender.run() => {}
        }
    }
}

impl OutboxHandle {
    /// The wallet it sends from.
    pub fn wallet(&self) -> Address {
        self.shared.wallet
    }

    /// Takes an intent. Once this returns it is durable and will be sent; a key that is known already changes nothing,
    /// except that an intent which was refused or expired is tried again.
    ///
    /// # Errors
    /// See [`OutboxError`]. Nothing was accepted then, unless the outbox was stopped in the middle.
    pub async fn submit(&self, intent: Intent) -> Result<(), OutboxError> {
        self.submit_all(vec![intent]).await
    }

    /// Takes several intents in one write to the store: all or none.
    ///
    /// # Errors
    /// As [`OutboxHandle::submit`].
    pub async fn submit_all(&self, intents: Vec<Intent>) -> Result<(), OutboxError> {
        self.ask(|reply| Command::Submit { intents, reply }).await?
    }

    /// How the intent ended, as soon as it has. While a reorganisation has taken its transaction off the chain it is under
    /// way again, and its end is waited for anew.
    ///
    /// # Errors
    /// When nothing was submitted under `key`, or the outbox stopped.
    pub async fn outcome(&self, key: &str) -> Result<Outcome, OutboxError> {
        let key = key.to_owned();
        let answer = self.ask(|reply| Command::Outcome { key, reply }).await??;
        answer.await.map_err(|_| OutboxError::Stopped)
    }

    /// How far the intent got; `None` when nothing was submitted under `key`.
    ///
    /// # Errors
    /// When the store cannot be read, or the outbox stopped.
    pub async fn find(&self, key: &str) -> Result<Option<OutboxRecord>, OutboxError> {
        let key = key.to_owned();
        self.ask(|reply| Command::Find { key, reply }).await?
    }

    /// Deletes the records of settled intents that nobody will submit again. Those still in use are kept; those whose
    /// block is young are deleted once it is deep, unless the process ends before.
    ///
    /// # Errors
    /// When the store cannot delete, or the outbox stopped.
    pub async fn forget(&self, keys: Vec<String>) -> Result<(), OutboxError> {
        self.ask(|reply| Command::Forget { keys, reply }).await?
    }

    /// There may be a new block: look now.
    pub fn wake(&self) {
        self.shared.wake.notify_one();
    }

    /// There is this block: look now, also at what was settled if blocks may have been taken back.
    pub fn tell(&self, head: &crate::Head) {
        if !head.follows {
            self.shared.moved.store(true, Ordering::Relaxed);
        }
        *self.shared.lock_told() = Some((Instant::now(), head.block));
        self.wake();
    }

    /// How the outbox is doing, now and whenever it changes.
    pub fn status(&self) -> watch::Receiver<OutboxStatus> {
        self.shared.status.subscribe()
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, OutboxError> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(command(reply))
            .await
            .map_err(|_| OutboxError::Stopped)?;
        answer.await.map_err(|_| OutboxError::Stopped)
    }
}

fn wall_clock() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(0).saturating_add(since)
}
