//! Everything the engine wants done. The I/O around it stores all changes of one [`Outputs`] as one batch, and only then
//! lets replies, notices and commands leave.

use std::fmt;

use alloy_primitives::Address;
use poco::ids::{DealId, TaskId};
use poco::tag::TeeFramework;
use poco::units::{BlockNumber, Timestamp};
use serde::{Deserialize, Serialize};
use wire::status::{TaskAbortCause, TaskNotificationType};

use crate::input::{Logs, Ticket};
use crate::matching::Unfit;
use crate::records::{
    DealRecord, Enclave, EventRecord, PoolRecord, ReplicateRecord, TaskRecord, WorkerRecord,
};

/// What must happen because of one input.
#[derive(Debug, Clone, Default, PartialEq)]
#[must_use = "changes must be stored and answers sent"]
pub struct Outputs {
    /// To be stored, all or nothing, before anything below leaves.
    pub changes: Vec<Change>,
    /// Answers to callers.
    pub replies: Vec<(Ticket, Reply)>,
    /// To be pushed to workers. May be lost: what matters is told again.
    pub notices: Vec<Notice>,
    /// To be done; each comes back as [`crate::Input::Done`].
    pub commands: Vec<Command>,
}

/// One record to be stored. Records replace what is stored under their key; events and logs are only ever added.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Key: the deal.
    Deal(Box<DealRecord>),
    /// Key: the task.
    Task(Box<TaskRecord>),
    /// Key: the task and the worker.
    Replicate(Box<ReplicateRecord>),
    /// Key: the worker.
    Worker(Box<WorkerRecord>),
    /// One for the whole pool.
    Pool(Box<PoolRecord>),
    /// Key: its sequence number. Append only.
    Event(Box<EventRecord>),
    /// What an app wrote. Key: the task and the worker; the first one stays (spec scheduler-api §5.6).
    Logs {
        /// The task.
        task: TaskId,
        /// Who ran it.
        worker: Address,
        /// Cut to their last 100 000 UTF-16 units each.
        logs: Logs,
    },
}

/// The answer to a caller.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// 200: the worker got a replicate. The I/O layer signs the authorization from this.
    Given(Box<Assignment>),
    /// 204: nothing for this worker now, and why.
    NothingNow {
        /// The reason about the worker, or the one about the task that came nearest; none when there is simply no task.
        because: Option<Unfit>,
    },
    /// 204: it asked too soon.
    RateLimited {
        /// When it may ask again.
        until: Timestamp,
    },
    /// 503: the chain cannot be read now.
    OutOfService,
    /// 200 with the next action.
    Accepted(TaskNotificationType),
    /// 208 with the next action.
    AlreadyKnown(TaskNotificationType),
    /// 202 with `PLEASE_ABORT`.
    Refused(Refusal),
    /// 503: neither yes nor no within the client's patience; it repeats the call.
    Later {
        /// What was waited for.
        waited_for: &'static str,
    },
    /// 200: what an interrupted worker should go on with.
    Missed(Vec<MissedTask>),
    /// 200: the tasks that hold a slot of the worker.
    Computing(Vec<TaskId>),
    /// 200: registered, as stored.
    Registered(Box<WorkerRecord>),
    /// The wallet is another worker's, which is alive: two of them would take each other's work and transactions for their own.
    WalletInUse {
        /// The name that the other one registered with.
        by: String,
        /// When it was last heard of.
        seen: Timestamp,
    },
    /// The operator's order is in force.
    Obeyed,
    /// The operator named a worker that never registered.
    UnknownWorker,
}

/// A replicate given to a worker: what its authorization is made of (spec scheduler-api §5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The task.
    pub task: TaskId,
    /// Its deal.
    pub deal: DealId,
    /// Its absolute index in the deal.
    pub index: u64,
    /// The worker.
    pub worker: Address,
    /// The enclave that must compute it; none for standard tasks.
    pub enclave: Option<Enclave>,
}

impl Assignment {
    /// The enclave's address as it is signed: zero for standard tasks.
    pub fn enclave_challenge(&self) -> Address {
        self.enclave
            .as_ref()
            .map_or(Address::ZERO, |enclave| enclave.challenge)
    }
}

/// Why a report was answered with `PLEASE_ABORT`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The worker was never given this task, or the task ended long ago.
    #[error("this worker has no replicate of this task")]
    UnknownReplicate,
    /// The status is the scheduler's to give (spec scheduler-logic Q-51).
    #[error("only the scheduler sets this status")]
    NotTheWorkersToSay,
    /// The table of statuses has no such step.
    #[error("a replicate in {from} cannot become {to}")]
    IllegalStep {
        /// Where it is.
        from: &'static str,
        /// What was claimed.
        to: &'static str,
    },
    /// Never stored; the worker aborts and says so (spec scheduler-api Q17).
    #[error("the worker could not send its transaction")]
    TransactionFailed,
    /// The chain was read past the claimed block and does not show it.
    #[error("the chain does not show it, though it was read up to block {read_to}")]
    NotOnChain {
        /// How far the chain was read.
        read_to: BlockNumber,
    },
    /// The claimed block is too far ahead to be true.
    #[error("block {claimed} is more than an hour ahead of block {head}")]
    AbsurdBlock {
        /// What was claimed.
        claimed: BlockNumber,
        /// The head.
        head: BlockNumber,
    },
    /// A result without a link, or a callback task without callback data.
    #[error("the report lacks {what}")]
    Incomplete {
        /// What is missing.
        what: &'static str,
    },
    /// A result link that is no link: it would be stored on the chain at the pool's expense.
    #[error("the result link has {bytes} bytes, and at most {most} are taken")]
    LinkTooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// Callback data whose hash is not the digest that was revealed: the contract would refuse to finalise with it.
    #[error("the callback data is not the result that was agreed on")]
    OtherResult,
    /// The result proxy does not have the result.
    #[error("the result is not there")]
    NotUploaded,
    /// The result is there, or is taken to be: the upload did not fail.
    #[error("the result is there")]
    Uploaded,
    /// The task ended, or went on without this worker.
    #[error("the task is {status}")]
    TaskOver {
        /// Its status.
        status: &'static str,
    },
    /// The worker was silent, its slot was given away, and no other is free.
    #[error("the worker's slot was given away while it was silent")]
    SlotGone,
    /// One transaction for everything was not agreed on with this worker, or this task does not allow it.
    #[error("contribute-and-finalize is not offered for this task")]
    NotOffered,
}

/// What an interrupted worker should go on with (spec scheduler-api §3.8). The I/O layer adds the authorization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissedTask {
    /// The task, its deal and index, and the worker: what the authorization is made of.
    pub assignment: Assignment,
    /// What to do.
    pub kind: TaskNotificationType,
    /// The consensus block, for `PLEASE_REVEAL`; never zero.
    pub block: Option<BlockNumber>,
    /// Why, for `PLEASE_ABORT`.
    pub abort_cause: Option<TaskAbortCause>,
}

/// To whom a notice goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipients {
    /// Everybody who listens to the task (`workersAddress` empty).
    Everyone,
    /// These workers.
    Workers(Vec<Address>),
}

/// Something to be pushed to workers (spec scheduler-api §7.7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The task.
    pub task: TaskId,
    /// To whom.
    pub to: Recipients,
    /// What to do.
    pub kind: TaskNotificationType,
    /// The consensus block, for `PLEASE_REVEAL`; never zero.
    pub block: Option<BlockNumber>,
    /// Why, for `PLEASE_ABORT`.
    pub abort_cause: Option<TaskAbortCause>,
}

/// What a command is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Initialise on the chain.
    Initialize,
    /// Finalise on the chain.
    Finalize,
    /// Reopen on the chain.
    Reopen,
    /// Claim on the chain.
    Claim,
    /// Ask the SMS for the enclave challenge.
    EnclaveChallenge,
    /// Ask the result proxy whether the result is there.
    CheckUploaded,
    /// Read the task from the chain.
    ReadTask,
}

impl Purpose {
    /// Its name in keys and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Initialize => "initialize",
            Self::Finalize => "finalize",
            Self::Reopen => "reopen",
            Self::Claim => "claim",
            Self::EnclaveChallenge => "enclave-challenge",
            Self::CheckUploaded => "check-uploaded",
            Self::ReadTask => "read-task",
        }
    }
}

/// Names a command. The same key always means the same deed: doing it twice is doing it once. A new try after a failure has
/// the next attempt's number and so another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CommandKey {
    /// What for.
    pub purpose: Purpose,
    /// Which task.
    pub task: TaskId,
    /// Which try, from 1.
    pub attempt: u32,
}

impl fmt::Display for CommandKey {
    /// `initialize:0x…#1`: the text to use where a key must be text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}#{}", self.purpose.name(), self.task, self.attempt)
    }
}

/// Something to be done outside. After a restart unfinished ones are given out again under the same key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Its name.
    pub key: CommandKey,
    /// What to do.
    pub action: Action,
}

/// What a command does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `initialize(deal, index)`; useless after `until`.
    Initialize {
        /// The deal.
        deal: DealId,
        /// The absolute index.
        index: u64,
        /// When contributions close.
        until: Timestamp,
        /// The enclave technology that the task demands: without an SMS for it nothing is to be sent.
        framework: Option<TeeFramework>,
    },
    /// `finalize(task, results, callback)`; useless after `until`.
    Finalize {
        /// The result link's exact text; empty gives empty bytes.
        link: String,
        /// The callback data as hex text; none gives empty bytes.
        callback_data: Option<String>,
        /// Whether the contract will call back, and gas for that is needed.
        calls_back: bool,
        /// The final deadline.
        until: Timestamp,
    },
    /// `reopen(task)`; useless after `until`.
    Reopen {
        /// When contributions close.
        until: Timestamp,
    },
    /// `claim(task)`, or `initializeAndClaimArray` where the task was never initialised.
    Claim {
        /// The deal.
        deal: DealId,
        /// The absolute index.
        index: u64,
        /// Whether it must be initialised in the same transaction.
        initialize_first: bool,
    },
    /// Ask the result proxy whether it has the task's result.
    CheckUploaded {
        /// The deal's own proxy, else the pool's.
        proxy: Option<String>,
        /// The enclave that computed it; zero for standard tasks.
        enclave_challenge: Address,
    },
    /// Ask the SMS of this technology for the task's enclave challenge (spec sms §6.4).
    EnclaveChallenge {
        /// The technology.
        framework: TeeFramework,
    },
    /// Read the task's status from the chain's head.
    ReadTask,
}
