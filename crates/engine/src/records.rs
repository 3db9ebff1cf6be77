//! What is stored: the engine's whole memory as serialisable records. Loading them gives the engine back.
//!
//! Histories are only ever appended to. What can be derived (the chain's state of a task, free slots, what is offered) is
//! not stored.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes};
use poco::ids::{DealId, TaskId};
use poco::tag::Tag;
use poco::units::{BlockNumber, Timestamp};
use serde::{Deserialize, Serialize};
use wire::status::{
    ReplicateStatus, ReplicateStatusCause, StatusModifier, TaskNotificationType, TaskStatus,
};

use crate::chain_state::ChainState;
use crate::input::{BlockRef, DealDetails, TaskFact, WorkerProfile};

/// A deal and how far its tasks are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DealRecord {
    /// What the chain says.
    pub details: DealDetails,
    /// The block of its match.
    pub block: BlockNumber,
    /// The transaction of its match.
    pub tx: B256,
    /// When the engine first learned of it.
    pub seen_at: Timestamp,
    /// Why its tasks are not run, if they are not.
    pub refused: Option<String>,
    /// The next task to be made; `bot_first + bot_size` when all are.
    pub next_index: u64,
    /// A reorganisation took its block away and it has not come back yet.
    pub vanished: bool,
}

impl DealRecord {
    /// One past the last index.
    pub fn end_index(&self) -> u64 {
        self.details.bot_first.saturating_add(self.details.bot_size)
    }

    /// Whether every task is made.
    pub fn is_expanded(&self) -> bool {
        self.next_index >= self.end_index()
    }
}

/// A task's status and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskStep {
    /// The status.
    pub status: TaskStatus,
    /// When.
    pub at: Timestamp,
}

/// A fact about one task and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainFact {
    /// The block.
    pub block: BlockNumber,
    /// The block's timestamp.
    pub time: Timestamp,
    /// The transaction.
    pub tx: B256,
    /// The log's index in its block.
    pub log_index: u64,
    /// When the engine learned of it, by the wall clock.
    pub seen_at: Timestamp,
    /// What happened.
    pub what: TaskFact,
}

/// How far a transaction for a task is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Deed {
    /// Tries so far; the running one is `attempt`.
    pub attempt: u32,
    /// Where the running try is.
    pub phase: DeedPhase,
    /// What the last failed try ended with.
    pub last_failure: Option<String>,
    /// How often in a row the running try had no answer: it is begun again as it is, each time after a longer wait.
    #[serde(default)]
    pub unanswered: u32,
}

/// Where one try of a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum DeedPhase {
    /// Not wanted yet.
    #[default]
    Idle,
    /// Commanded; no outcome yet.
    Asked {
        /// When.
        at: Timestamp,
    },
    /// Mined; its fact will follow.
    Mined {
        /// In which block.
        block: BlockNumber,
    },
    /// Did not go through; next try at `retry_at`.
    Failed {
        /// When to try again.
        retry_at: Timestamp,
    },
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// The task.
    pub id: TaskId,
    /// Its deal.
    pub deal: DealId,
    /// Its absolute index in the deal.
    pub index: u64,
    /// What is demanded of workers.
    pub tag: Tag,
    /// How sure the result must be; 1 at least.
    pub trust: u64,
    /// Longest execution time T, in milliseconds.
    pub max_execution_ms: u64,
    /// When the engine made it.
    pub created_at: Timestamp,
    /// When contributions close.
    pub contribution_deadline: Timestamp,
    /// When everything ends.
    pub final_deadline: Timestamp,
    /// Whether the deal has a callback.
    pub calls_back: bool,
    /// Where it stands.
    pub status: TaskStatus,
    /// How it got there.
    pub history: Vec<TaskStep>,
    /// What happened to it on the chain, in order.
    pub facts: Vec<ChainFact>,
    /// Who was asked to upload, and when.
    pub uploader: Option<Uploader>,
    /// The uploaded result's link.
    pub result_link: Option<String>,
    /// What the callback gets, as hex text.
    pub callback_data: Option<String>,
    /// Why it failed, in words.
    pub failure: Option<String>,
    /// When it became final.
    pub ended_at: Option<Timestamp>,
    /// The `initialize` transaction.
    pub initialize: Deed,
    /// The `finalize` transaction.
    pub finalize: Deed,
    /// The `reopen` transaction.
    pub reopen: Deed,
    /// The `claim` transaction.
    pub claim: Deed,
    /// Asking the SMS for the enclave challenge.
    #[serde(default)]
    pub challenge: Deed,
    /// The enclave that must compute it; none for standard tasks, and before the SMS told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enclave: Option<Enclave>,
    /// It left the engine's memory: nothing about it changes any more, and it is not to be loaded.
    pub retired: bool,
    /// Its facts folded; derived, never stored.
    #[serde(skip)]
    pub(crate) chain: ChainState,
}

/// The enclave that must compute a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enclave {
    /// The address that it proves to hold the key of; never zero.
    pub challenge: Address,
    /// Where the SMS is that made the key, as workers are told.
    pub sms_url: String,
}

/// The worker asked to upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uploader {
    /// Who.
    pub worker: Address,
    /// When.
    pub asked_at: Timestamp,
}

/// One status of a replicate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicateStep {
    /// The status.
    pub status: ReplicateStatus,
    /// Who said so.
    pub by: StatusModifier,
    /// When.
    pub at: Timestamp,
    /// Why, for failures.
    pub cause: Option<ReplicateStatusCause>,
    /// Block of the worker's receipt.
    pub block: Option<BlockNumber>,
    /// The app's exit code.
    pub exit_code: Option<i32>,
}

/// The last push of a notification to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// What it was told.
    pub kind: TaskNotificationType,
    /// When.
    pub at: Timestamp,
    /// How often, in a row.
    pub times: u32,
}

/// One worker's part in one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicateRecord {
    /// The task.
    pub task: TaskId,
    /// The worker.
    pub worker: Address,
    /// The worker's weight when it was given, 2 at least.
    pub weight: u64,
    /// When it was given.
    pub created_at: Timestamp,
    /// How it went; never empty.
    pub history: Vec<ReplicateStep>,
    /// Whether it takes one of the worker's slots.
    pub holds_slot: bool,
    /// Since when the worker, come back, has not said anything about it.
    pub recovering_since: Option<Timestamp>,
    /// The link the worker reported.
    pub result_link: Option<String>,
    /// The callback data the worker reported, as hex text.
    pub callback_data: Option<String>,
    /// Whether what the app wrote was stored.
    pub has_logs: bool,
    /// The last push to this worker about this task.
    pub told: Option<Told>,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerRecord {
    /// Its wallet.
    pub worker: Address,
    /// What it said about itself.
    pub profile: WorkerProfile,
    /// When it first registered.
    pub registered_at: Timestamp,
    /// Its last sign of life that was worth storing; pings alone are not stored.
    pub last_alive: Timestamp,
    /// An operator keeps work from it since then.
    pub cordoned_since: Option<Timestamp>,
}

/// What there is once for the whole pool.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PoolRecord {
    /// The last block whose facts are all in the records.
    pub head: Option<BlockRef>,
    /// An operator keeps work from everybody since then.
    pub draining_since: Option<Timestamp>,
    /// Number of the next event.
    pub next_event: u64,
    /// How many tasks there are by status, finished ones included.
    pub tasks_by_status: BTreeMap<TaskStatus, u64>,
    /// The newest block with a deal for this pool.
    pub latest_deal_block: BlockNumber,
}

/// What an event is mainly about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// A deal.
    Deal,
    /// A task.
    Task,
    /// A worker's part in a task.
    Replicate,
    /// A worker.
    Worker,
    /// The chain.
    Chain,
    /// What the pool cannot do in time.
    Capacity,
    /// The pool as a whole.
    Pool,
}

/// What happened, in words, for people. Append only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRecord {
    /// Its number; without gaps.
    pub seq: u64,
    /// When the engine learned of it.
    pub at: Timestamp,
    /// The last block read by then.
    pub block: Option<BlockNumber>,
    /// What it is mainly about.
    pub topic: Topic,
    /// The deal, if it is about one.
    pub deal: Option<DealId>,
    /// The task, if it is about one.
    pub task: Option<TaskId>,
    /// The worker, if it is about one.
    pub worker: Option<Address>,
    /// In words.
    pub text: String,
}

/// All that was stored and is not retired.
#[derive(Debug, Clone, Default)]
pub struct Records {
    /// The pool's record; the default when none was ever stored.
    pub pool: PoolRecord,
    /// Deals.
    pub deals: Vec<DealRecord>,
    /// Tasks; retired ones are skipped.
    pub tasks: Vec<TaskRecord>,
    /// Replicates; those of tasks that are not here are skipped.
    pub replicates: Vec<ReplicateRecord>,
    /// Workers.
    pub workers: Vec<WorkerRecord>,
}

impl TaskRecord {
    /// The block it was initialised in.
    pub fn initialization_block(&self) -> Option<BlockNumber> {
        self.chain.initialized
    }

    /// The result hash agreed on.
    pub fn consensus(&self) -> Option<B256> {
        self.chain.consensus.map(|consensus| consensus.hash)
    }

    /// The block of the consensus.
    pub fn consensus_block(&self) -> Option<BlockNumber> {
        self.chain.consensus.map(|consensus| consensus.block)
    }

    /// Until when winners may reveal (spec onchain A14).
    pub fn reveal_deadline(&self) -> Option<Timestamp> {
        self.chain
            .consensus
            .map(|consensus| consensus.time.saturating_add(self.max_execution() * 2))
    }

    /// Whether callback data, as hex text, is the result agreed on; none while nobody has revealed what that is. The
    /// contract finalises with nothing else (spec onchain A11, `finalize`).
    pub(crate) fn is_agreed(&self, callback_data: Option<&str>) -> Option<bool> {
        let digest = self.chain.digest()?;
        let bytes = poco::digest::callback_bytes(callback_data.unwrap_or_default());
        Some(poco::digest::callback(&bytes) == digest)
    }

    /// The hash this worker contributed.
    pub fn contribution_of(&self, worker: Address) -> Option<B256> {
        self.chain
            .contributions
            .get(&worker)
            .map(|contribution| contribution.hash)
    }

    /// The result bytes on the chain.
    pub fn results(&self) -> Option<&Bytes> {
        self.chain.finalized.as_ref()
    }

    /// Longest execution time T.
    pub fn max_execution(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.max_execution_ms)
    }

    /// Whether nothing can happen to it any more off chain.
    pub fn is_final(&self) -> bool {
        matches!(self.status, TaskStatus::Completed | TaskStatus::Failed)
    }

    /// Whether it is initialised on the chain, and the enclave that it demands is not known yet.
    pub(crate) fn lacks_enclave(&self) -> bool {
        self.tag.tee_framework().is_some()
            && self.enclave.is_none()
            && self.chain.initialized.is_some()
    }

    /// Folds the facts again after they changed, or after it was read from a store. Records read for display need this
    /// once before the methods above tell anything.
    pub fn refold(&mut self) {
        self.chain = ChainState::fold(&self.facts);
    }
}
