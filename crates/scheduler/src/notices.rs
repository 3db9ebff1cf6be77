//! What workers are told without asking: numbered, stored with what caused it, then pushed to those who listen.
//!
//! A worker that comes back names the last number it has seen and is sent what is newer (spec: our own `events` feature, named
//! in a request header). Nothing here decides who is told what.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::Address;
use engine::{Engine, Notice, Recipients};
use poco::ids::TaskId;
use poco::units::Timestamp;
use serde::{Deserialize, Serialize};
use store::{Batch, Recorded, Store, StoreError, Stream};
use tokio::sync::broadcast;
use wire::events::Event;
use wire::message::{TaskNotification, TaskNotificationExtra};

use crate::clock::now;

/// Notices that a slow listener may be behind before it is sent them from the store.
const BEHIND: usize = 1024;
/// How long notices are kept for those who come back. Whoever was away longer is told what matters now.
const KEPT: Duration = Duration::from_secs(3600);
/// The engine does not repeat a notice within 30 seconds, so to those who begin to listen younger ones are sent from the store.
const RECENT: Duration = Duration::from_secs(40);
/// Notices read from the store at once.
const PAGE: usize = 500;

/// A notice with its number.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// Who is meant.
    to: Arc<BTreeSet<Address>>,
    /// What is sent.
    pub(crate) event: Arc<Event>,
}

impl Told {
    /// Whether this worker is meant.
    pub(crate) fn concerns(&self, worker: Address) -> bool {
        self.to.contains(&worker)
    }
}

/// A notice as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stored {
    to: BTreeSet<Address>,
    notification: TaskNotification,
}

/// Notices that wait to be stored and numbered.
pub(crate) struct Prepared(Vec<(TaskId, Stored)>);

impl Prepared {
    /// Adds them to the batch, and forgets those that are too old.
    pub(crate) fn record(&self, mut batch: Batch, now: Timestamp) -> Batch {
        if self.0.is_empty() {
            return batch;
        }
        for (task, stored) in &self.0 {
            batch = batch.append(Stream::Notices, task, now, stored);
        }
        batch.prune(Stream::Notices, now.saturating_sub(KEPT))
    }

    /// The notices with the numbers of their commit. They are the last records that the batch appended.
    pub(crate) fn numbered(self, sequences: &[u64]) -> Vec<Told> {
        let own = sequences.len().saturating_sub(self.0.len());
        let numbers = sequences.iter().skip(own);
        self.0
            .into_iter()
            .zip(numbers)
            .map(|((_, stored), seq)| Told::new(*seq, stored))
            .collect()
    }
}

impl Told {
    fn new(seq: u64, stored: Stored) -> Self {
        let event = Event {
            seq,
            notification: stored.notification,
        };
        Self {
            to: Arc::new(stored.to),
            event: Arc::new(event),
        }
    }
}

/// Pushes notices to whoever listens. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Notices {
    store: Store,
    sender: broadcast::Sender<Told>,
}

/// What a listener has to be sent before it is up to date.
pub(crate) struct Missed {
    /// These, perhaps none.
    pub(crate) told: Vec<Told>,
    /// The number up to which they were looked for.
    pub(crate) up_to: u64,
    /// Whether that is all. If not, the engine has to tell again what was not begun.
    pub(crate) complete: bool,
}

impl Notices {
    pub(crate) fn new(store: Store) -> Self {
        let (sender, _) = broadcast::channel(BEHIND);
        Self { store, sender }
    }

    /// Makes the messages of these notices. "Everybody" means everybody with a part in the task.
    pub(crate) fn prepare(&self, notices: &[Notice], engine: &Engine) -> Prepared {
        Prepared(
            notices
                .iter()
                .map(|notice| {
                    let to = match &notice.to {
                        Recipients::Workers(workers) => workers.iter().copied().collect(),
                        Recipients::Everyone => engine
                            .replicates(notice.task)
                            .map(|one| one.worker)
                            .collect(),
                    };
                    (
                        notice.task,
                        Stored {
                            to,
                            notification: message(notice),
                        },
                    )
                })
                .collect(),
        )
    }

    /// Sends them to whoever listens now.
    pub(crate) fn push(&self, told: Vec<Told>) {
        for one in told {
            // Nobody listening is no error.
            let _ = self.sender.send(one);
        }
    }

    /// Everything that is pushed from now on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<Told> {
        self.sender.subscribe()
    }

    #[cfg(test)]
    pub(crate) fn listeners(&self) -> usize {
        self.sender.receiver_count()
    }

    /// The number of what was told last.
    pub(crate) async fn newest(&self) -> Result<u64, StoreError> {
        let (_, newest) = self.store.range(Stream::Notices).await?;
        Ok(newest)
    }

    /// Everything that was told after number `after` and is still kept.
    pub(crate) async fn stored_after(&self, mut after: u64) -> Result<Vec<Told>, StoreError> {
        let mut told = Vec::new();
        loop {
            let page: Vec<Recorded<Stored>> = self
                .store
                .records_after(Stream::Notices, after, PAGE)
                .await?;
            let Some(last) = page.last() else {
                return Ok(told);
            };
            after = last.seq;
            told.extend(page.into_iter().map(|one| Told::new(one.seq, one.body)));
        }
    }

    /// What `worker` was told after number `after`; 0 for one that has seen nothing.
    pub(crate) async fn missed(&self, worker: Address, after: u64) -> Result<Missed, StoreError> {
        let (oldest, newest) = self.store.range(Stream::Notices).await?;
        // A number from the future is of another database.
        if after == 0 || after > newest || after.saturating_add(1) < oldest {
            let since = now().saturating_sub(RECENT);
            let recent = self.store.records_since(Stream::Notices, since).await?;
            return Ok(Missed {
                told: meant_for(worker, recent),
                up_to: newest,
                complete: false,
            });
        }
        let mut told = Vec::new();
        let mut up_to = after;
        while up_to < newest {
            let page = self
                .store
                .records_after(Stream::Notices, up_to, PAGE)
                .await?;
            let Some(last) = page.last() else { break };
            up_to = last.seq;
            told.extend(meant_for(worker, page));
        }
        Ok(Missed {
            told,
            up_to: up_to.max(newest),
            complete: true,
        })
    }
}

fn meant_for(worker: Address, records: Vec<Recorded<Stored>>) -> Vec<Told> {
    records
        .into_iter()
        .map(|record| Told::new(record.seq, record.body))
        .filter(|told| told.concerns(worker))
        .collect()
}

/// The message of a notice (spec scheduler-api §7.7).
fn message(notice: &Notice) -> TaskNotification {
    let says_more = notice.block.is_some() || notice.abort_cause.is_some();
    TaskNotification {
        chain_task_id: notice.task,
        workers_address: Some(match &notice.to {
            Recipients::Everyone => Vec::new(),
            Recipients::Workers(workers) => workers.clone(),
        }),
        task_notification_type: notice.kind,
        task_notification_extra: says_more.then(|| TaskNotificationExtra {
            block_number: notice.block.map_or(0, |block| block.0),
            task_abort_cause: notice.abort_cause,
            ..TaskNotificationExtra::default()
        }),
    }
}
