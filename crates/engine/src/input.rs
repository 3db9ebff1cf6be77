//! Everything the engine can learn. The I/O around it reads sockets, nodes and clocks, and says here what it found.
//!
//! Nothing here is a guess: an RPC error is not an input, except where one is named (`Unreachable`, `DealUnreadable`).

use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes};
use poco::ids::{DealId, TaskId};
use poco::status::ChainTaskStatus;
use poco::tag::Tag;
use poco::units::{BlockNumber, Timestamp};
use serde::{Deserialize, Serialize};
use wire::status::{ReplicateStatus, ReplicateStatusCause};

use crate::output::CommandKey;
use crate::records::Enclave;

/// Names a caller who waits for an answer. The I/O layer makes them up; the engine answers each exactly once, or never
/// when it was loaded again in between (the caller's connection is gone then too).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The log cursor passed blocks. The I/O layer reads a deal whole before it passes the deal's block: while one cannot
    /// be read it says [`Input::DealUnreadable`] and reads the same range again.
    Advanced {
        /// The last block whose facts are all known now.
        to: BlockRef,
        /// The newest block the node has; `to.number` when not known. While it is ahead, deadlines are judged by chain time only.
        head: BlockNumber,
        /// What happened on the chain since the last input, in order of block and log index.
        facts: Vec<Located>,
    },
    /// The chain dropped every block above `to`.
    RolledBack {
        /// The last block that still stands.
        to: BlockNumber,
    },
    /// A deal's details could not be read. Only recorded: the I/O layer tries again and does not move its cursor (spec
    /// scheduler-logic Q-01).
    DealUnreadable {
        /// The deal.
        deal: DealId,
        /// What the node said.
        reason: String,
    },
    /// The chain can be read and is fresh, or it is not (the health indicator of spec scheduler-api §4.4).
    ChainHealth {
        /// Whether it is up.
        up: bool,
    },
    /// A worker proved who it is.
    LoggedIn {
        /// Its wallet.
        worker: Address,
    },
    /// A worker said what machine it is. Answered with [`crate::Reply::Registered`].
    Registered {
        /// Who waits.
        ticket: Ticket,
        /// Its wallet, from its token.
        worker: Address,
        /// What it said about itself.
        profile: WorkerProfile,
    },
    /// A sign of life.
    Pinged {
        /// Its wallet.
        worker: Address,
    },
    /// A worker asks for a replicate.
    Ask(Ask),
    /// A worker reports a status.
    Report(Box<Report>),
    /// A worker that started anew asks what it left unfinished (spec scheduler-api §3.8). Answered with
    /// [`crate::Reply::Missed`].
    Interrupted {
        /// Who waits.
        ticket: Ticket,
        /// Its wallet.
        worker: Address,
        /// The newest block the worker's node has; the answer waits for the cursor to pass it. Zero when not known.
        block: BlockNumber,
    },
    /// Who waited for an answer does not any more: the connection is gone. What is not decided yet need not be.
    HungUp {
        /// Who waited.
        ticket: Ticket,
    },
    /// A worker asks which of its tasks hold a slot (spec scheduler-api §3.6). Answered with [`crate::Reply::Computing`].
    Computing {
        /// Who waits.
        ticket: Ticket,
        /// Its wallet.
        worker: Address,
    },
    /// Somebody began to listen for a task's notifications; what was provably not begun is told again (spec scheduler-api Q35).
    ListensTo {
        /// The task.
        task: TaskId,
    },
    /// A worker's event stream begins without its missed events; its current needs are told again.
    Listens {
        /// Its wallet.
        worker: Address,
    },
    /// What came of a command.
    Done {
        /// Which command.
        key: CommandKey,
        /// What came of it.
        outcome: Outcome,
    },
    /// An operator's order. Answered with [`crate::Reply::Obeyed`].
    Operator {
        /// Who waits.
        ticket: Ticket,
        /// What is wanted.
        order: Order,
    },
    /// Nothing but the time: whatever else happened by now was said before. Silence is judged by this input alone.
    Tick,
}

/// A block the cursor has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRef {
    /// Its number.
    pub number: BlockNumber,
    /// Its hash.
    pub hash: B256,
    /// Its timestamp.
    pub time: Timestamp,
}

/// A fact and where on the chain it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The block.
    pub block: BlockNumber,
    /// The block's timestamp.
    pub time: Timestamp,
    /// The transaction.
    pub tx: B256,
    /// The log's index in its block.
    pub log_index: u64,
    /// What happened.
    pub fact: Fact,
}

/// Something that happened on the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A deal for this pool, read whole.
    Deal(Box<DealDetails>),
    /// A deal for this pool that provably can never be read, for example because it names no existing category.
    DealInvalid {
        /// The deal.
        deal: DealId,
        /// Why.
        reason: String,
    },
    /// Something about a task, of this pool or another: facts of tasks that are not ours are ignored.
    Task {
        /// The task.
        task: TaskId,
        /// What happened to it.
        what: TaskFact,
    },
}

/// What happens to a task on the chain (spec onchain A11, A16).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskFact {
    /// `TaskInitialize`.
    Initialized,
    /// `TaskContribute`.
    Contributed {
        /// Who.
        worker: Address,
        /// The result hash.
        hash: B256,
        /// The worker's weight, `max(score / 3, 3) - 1` (spec onchain A12); read by the I/O layer, 2 at least.
        weight: u64,
    },
    /// `TaskConsensus`.
    Consensus {
        /// The result hash agreed on.
        hash: B256,
    },
    /// `TaskReveal`.
    Revealed {
        /// Who.
        worker: Address,
        /// The result digest.
        digest: B256,
    },
    /// `TaskReopen`.
    Reopened,
    /// `TaskFinalize`.
    Finalized {
        /// The bytes stored on the chain.
        results: Bytes,
    },
    /// `TaskClaimed`.
    Claimed,
}

/// A deal with everything about it that the pool needs, read from the chain by the I/O layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DealDetails {
    /// The deal.
    pub id: DealId,
    /// Who pays and asks.
    pub requester: Address,
    /// Whom the result is for.
    pub beneficiary: Address,
    /// The app's contract.
    pub app: Address,
    /// The app's image as in its contract's multiaddress.
    pub app_image: String,
    /// The dataset's contract, if any.
    pub dataset: Option<Address>,
    /// The contract called with the result, if any.
    pub callback: Option<Address>,
    /// What is demanded of workers.
    pub tag: Tag,
    /// How sure the result must be; 1 at least.
    pub trust: u64,
    /// The category's number.
    pub category: u64,
    /// The category's longest execution time, T.
    pub max_execution: Duration,
    /// When the match happened, by the chain's clock. All deadlines count from here (spec onchain A14).
    pub start_time: Timestamp,
    /// Contributions close this many T after the start (7 in current contracts), read from the chain.
    pub contribution_ratio: u32,
    /// Everything ends this many T after the start (10 in current contracts).
    pub final_ratio: u32,
    /// Index of the first task.
    pub bot_first: u64,
    /// Number of tasks.
    pub bot_size: u64,
    /// `iexec_args` of the parameters (spec onchain A9).
    pub arguments: Option<String>,
    /// `iexec_result_storage_provider` of the parameters.
    pub storage_provider: Option<String>,
    /// `iexec_result_storage_proxy` of the parameters.
    pub storage_proxy: Option<String>,
    /// Why this pool cannot serve the deal, where the I/O layer found that out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

impl DealDetails {
    /// When contributions close.
    pub fn contribution_deadline(&self) -> Timestamp {
        self.start_time
            .saturating_add(self.max_execution.saturating_mul(self.contribution_ratio))
    }

    /// When everything ends.
    pub fn final_deadline(&self) -> Timestamp {
        self.start_time
            .saturating_add(self.max_execution.saturating_mul(self.final_ratio))
    }
}

/// What a worker says about itself when it registers (spec scheduler-api §5.2).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WorkerProfile {
    /// Its name, for people.
    pub name: Option<String>,
    /// Operating system.
    pub os: Option<String>,
    /// Processor architecture.
    pub cpu: Option<String>,
    /// Processors it offers. Less than one offers none (spec scheduler-api Q29).
    pub cpu_nb: i64,
    /// Memory in GB, as told; may be absurd.
    pub memory_gb: i64,
    /// Offers a graphics processor, and then one slot.
    pub gpu: bool,
    /// Says it can do SGX.
    pub sgx: bool,
    /// Says it can do TDX; every current Java worker does.
    pub tdx: bool,
    /// Asked for our own feature `caf` (contribute-and-finalize), and was granted it.
    #[serde(default)]
    pub caf: bool,
}

impl WorkerProfile {
    /// How many replicates it may hold at once (`maxNbTasks`, spec scheduler-logic §8.2).
    pub fn slots(&self) -> u32 {
        if self.gpu {
            1
        } else {
            u32::try_from(self.cpu_nb).unwrap_or(0)
        }
    }
}

/// A worker asks for a replicate (spec scheduler-api §3.7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Who waits.
    pub ticket: Ticket,
    /// The worker.
    pub worker: Address,
    /// The newest block the worker's node has; zero says that it is not synchronised.
    pub block: BlockNumber,
    /// The worker may be kept waiting, and asks as often as it likes.
    pub wait: bool,
    /// Whether its wallet can pay for its transactions.
    pub gas: bool,
    /// Its weight by its score on the chain; none when it could not be read, and then the least weight counts.
    pub weight: Option<u64>,
}

/// A worker says where it is with a task (spec scheduler-api §3.9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Who waits.
    pub ticket: Ticket,
    /// The worker.
    pub worker: Address,
    /// The task.
    pub task: TaskId,
    /// The status it claims.
    pub status: ReplicateStatus,
    /// What it says about it.
    pub details: ReportDetails,
}

/// What a worker adds to a status (spec scheduler-api §5.5).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReportDetails {
    /// Block of its transaction's receipt; none when it gave none, or zero.
    pub block: Option<BlockNumber>,
    /// Hash of its transaction, as given.
    pub tx: Option<String>,
    /// Where the result is.
    pub result_link: Option<String>,
    /// What the callback gets, as hex text.
    pub callback_data: Option<String>,
    /// Why it failed.
    pub cause: Option<ReplicateStatusCause>,
    /// The app's exit code.
    pub exit_code: Option<i32>,
    /// What the app wrote.
    pub logs: Option<Logs>,
}

/// What an app wrote to its output.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Logs {
    /// Standard output.
    pub stdout: Option<String>,
    /// Standard error.
    pub stderr: Option<String>,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The transaction is in a block.
    Mined {
        /// Which.
        block: BlockNumber,
    },
    /// The transaction is in a block and was refused by the contract.
    Reverted {
        /// What the contract said.
        reason: String,
    },
    /// Nothing was sent: the transaction could only fail, or may not be sent.
    Refused {
        /// Why.
        reason: String,
    },
    /// It was not mined before its deadline and never will be.
    Expired,
    /// Answer to `CheckUploaded`.
    Uploaded(bool),
    /// Answer to `EnclaveChallenge`.
    Challenged(Enclave),
    /// Answer to `ReadTask`.
    Read(TaskView),
    /// Who was asked does not answer. Not an answer: a transaction is commanded again under the same key.
    Unreachable {
        /// What went wrong.
        reason: String,
    },
}

/// A task as the chain shows it at its head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskView {
    /// The block it was read at.
    pub at: BlockNumber,
    /// Its status.
    pub status: ChainTaskStatus,
    /// How many winners revealed.
    pub reveals: u64,
    /// The stored result bytes; empty before it is finalised.
    pub results: Bytes,
}

/// What an operator may order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Give nobody new work; what runs goes on.
    Drain,
    /// Give work again.
    Resume,
    /// Give this worker no new work.
    Cordon(Address),
    /// Give this worker work again.
    Uncordon(Address),
}
