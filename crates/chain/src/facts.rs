//! Facts: what the hub's logs say happened to deals and tasks (spec onchain A16).
//!
//! A log that is not one of ours, or cannot be read, is no fact; it never becomes another one. Most facts of tasks of other
//! pools are given too: only the caller knows which tasks are its own.

use alloy_primitives::{Address, B256, Bloom, BloomInput, Bytes};
use alloy_sol_types::SolEvent;
use poco::{
    contracts::Hub,
    ids::{DealId, TaskId},
    units::{BlockNumber, Timestamp},
};
use serde::{Deserialize, Serialize};

use crate::node::Log;

/// Something that happened on the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// A deal was made with a workerpool (`SchedulerNotice`).
    Deal {
        /// The deal.
        deal: DealId,
        /// The workerpool it was made with.
        pool: Address,
    },
    /// A task became active (`TaskInitialize`).
    Initialized {
        /// The task.
        task: TaskId,
    },
    /// A worker contributed (`TaskContribute`).
    Contributed {
        /// The task.
        task: TaskId,
        /// Who contributed.
        worker: Address,
        /// The result hash it contributed.
        hash: B256,
    },
    /// Enough weight agrees (`TaskConsensus`).
    Consensus {
        /// The task.
        task: TaskId,
        /// The result hash that won.
        hash: B256,
    },
    /// A worker revealed its digest (`TaskReveal`).
    Revealed {
        /// The task.
        task: TaskId,
        /// Who revealed.
        worker: Address,
        /// The digest it revealed.
        digest: B256,
    },
    /// Nobody revealed in time, contributions are open again (`TaskReopen`).
    Reopened {
        /// The task.
        task: TaskId,
    },
    /// The task is completed and paid (`TaskFinalize`).
    Finalized {
        /// The task.
        task: TaskId,
        /// The results as the finaliser wrote them.
        results: Bytes,
    },
    /// The task failed and stakes came free (`TaskClaimed`).
    Claimed {
        /// The task.
        task: TaskId,
    },
}

impl Fact {
    /// The task it is about, unless it is about a deal.
    pub const fn task(&self) -> Option<TaskId> {
        match self {
            Self::Deal { .. } => None,
            Self::Initialized { task }
            | Self::Contributed { task, .. }
            | Self::Consensus { task, .. }
            | Self::Revealed { task, .. }
            | Self::Reopened { task }
            | Self::Finalized { task, .. }
            | Self::Claimed { task } => Some(*task),
        }
    }

    /// Reads a log of the hub; `None` when it is not one of the eight.
    pub fn of_log(log: &Log) -> Option<Self> {
        let topic = log.topics().first()?;
        let data = &log.inner.data;
        Some(match *topic {
            Hub::SchedulerNotice::SIGNATURE_HASH => {
                let event = Hub::SchedulerNotice::decode_log_data(data).ok()?;
                Self::Deal {
                    deal: DealId(event.dealid),
                    pool: event.workerpool,
                }
            }
            Hub::TaskInitialize::SIGNATURE_HASH => Self::Initialized {
                task: TaskId(Hub::TaskInitialize::decode_log_data(data).ok()?.taskid),
            },
            Hub::TaskContribute::SIGNATURE_HASH => {
                let event = Hub::TaskContribute::decode_log_data(data).ok()?;
                Self::Contributed {
                    task: TaskId(event.taskid),
                    worker: event.worker,
                    hash: event.hash,
                }
            }
            Hub::TaskConsensus::SIGNATURE_HASH => {
                let event = Hub::TaskConsensus::decode_log_data(data).ok()?;
                Self::Consensus {
                    task: TaskId(event.taskid),
                    hash: event.consensus,
                }
            }
            Hub::TaskReveal::SIGNATURE_HASH => {
                let event = Hub::TaskReveal::decode_log_data(data).ok()?;
                Self::Revealed {
                    task: TaskId(event.taskid),
                    worker: event.worker,
                    digest: event.digest,
                }
            }
            Hub::TaskReopen::SIGNATURE_HASH => Self::Reopened {
                task: TaskId(Hub::TaskReopen::decode_log_data(data).ok()?.taskid),
            },
            Hub::TaskFinalize::SIGNATURE_HASH => {
                let event = Hub::TaskFinalize::decode_log_data(data).ok()?;
                Self::Finalized {
                    task: TaskId(event.taskid),
                    results: event.results,
                }
            }
            Hub::TaskClaimed::SIGNATURE_HASH => Self::Claimed {
                task: TaskId(Hub::TaskClaimed::decode_log_data(data).ok()?.taskid),
            },
            _ => return None,
        })
    }

    /// The facts in a receipt's logs that `hub` emitted, in order.
    pub fn of_receipt(receipt: &crate::Receipt, hub: Address) -> Vec<Self> {
        receipt
            .logs
            .iter()
            .filter(|log| log.address() == hub)
            .filter_map(Self::of_log)
            .collect()
    }
}

/// A thing that happened, and where on the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Located<T> {
    /// Height of the block.
    pub block: BlockNumber,
    /// Hash of the block.
    pub block_hash: B256,
    /// Time of the block.
    pub block_time: Timestamp,
    /// The transaction.
    pub tx: B256,
    /// Position among the block's logs.
    pub log_index: u64,
    /// What happened.
    pub fact: T,
}

/// Which facts a cursor reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FactFilter {
    /// The hub whose logs count.
    pub hub: Address,
    /// Give the deals made with this workerpool and the initialisations of its tasks; no deals and all initialisations when
    /// `None`. All other facts of tasks are given in either case.
    pub deals_of: Option<Address>,
}

impl FactFilter {
    /// The accepted first topics, as `eth_getLogs` takes them.
    pub(crate) fn topics(&self) -> Vec<Vec<B256>> {
        let mut first = vec![
            Hub::TaskInitialize::SIGNATURE_HASH,
            Hub::TaskContribute::SIGNATURE_HASH,
            Hub::TaskConsensus::SIGNATURE_HASH,
            Hub::TaskReveal::SIGNATURE_HASH,
            Hub::TaskReopen::SIGNATURE_HASH,
            Hub::TaskFinalize::SIGNATURE_HASH,
            Hub::TaskClaimed::SIGNATURE_HASH,
        ];
        if self.deals_of.is_some() {
            first.push(Hub::SchedulerNotice::SIGNATURE_HASH);
        }
        vec![first]
    }

    /// Whether a header's filter of logs shows what is wanted: "certainly not" or "perhaps".
    pub(crate) fn shows_in(&self, bloom: &Bloom) -> bool {
        let shows = |bytes: &[u8]| bloom.contains_input(BloomInput::Raw(bytes));
        shows(self.hub.as_slice())
            && self
                .topics()
                .iter()
                .flatten()
                .any(|topic| shows(topic.as_slice()))
    }

    /// The fact in `log`, when it is one and wanted. A node's own filtering is not relied on.
    pub(crate) fn accept(&self, log: &Log) -> Option<Fact> {
        if log.address() != self.hub {
            return None;
        }
        match Fact::of_log(log)? {
            Fact::Deal { pool, .. } if self.deals_of != Some(pool) => None,
            Fact::Initialized { .. } if self.is_of_another_pool(log) => None,
            fact => Some(fact),
        }
    }

    /// Only the first fact of a task names its pool. Dropping those of other pools here spares a scheduler the search for
    /// the deal of every task on the hub.
    fn is_of_another_pool(&self, log: &Log) -> bool {
        let Some(own) = self.deals_of else {
            return false;
        };
        Hub::TaskInitialize::decode_log_data(&log.inner.data)
            .is_ok_and(|event| event.workerpool != own)
    }
}
