//! What is written down about each replicate before and after every step, so that a worker that was killed carries on where it was. One
//! document a task; it is removed when the scheduler has been told the end. It holds no secret: the authorization is useless to others.

use std::time::Duration;

use alloy_primitives::B256;
use poco::ids::TaskId;
use poco::units::Timestamp;
use serde::{Deserialize, Serialize};
use store::{Batch, Collection, Store, StoreError};
use wire::message::{ReplicateStatusDetails, WorkerpoolAuthorization};
use wire::status::{ReplicateStatus, ReplicateStatusCause, TaskNotificationType};

use crate::patience::Pauses;

/// One thing a worker does for a task. The order is the order of a task's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Step {
    /// Check that the task can be worked on.
    Start,
    /// Get the application's image.
    DownloadApp,
    /// Get dataset and input files.
    DownloadData,
    /// Run the application and take its result.
    Compute,
    /// Send the contribution.
    Contribute,
    /// Send the reveal.
    Reveal,
    /// Hand the result to the result proxy.
    Upload,
    /// Hand the result over, and send one transaction for contribution, reveal and finalisation.
    ContributeAndFinalize,
    /// Forget a task that is done.
    Complete,
    /// Give a task up.
    Abort,
}

/// How far a step is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// It is to be done, or was being done.
    Begun,
    /// It was done; the scheduler may not know it.
    Acted(Box<Outcome>),
    /// The scheduler knows, and answered this.
    Told(TaskNotificationType),
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The status to report.
    pub status: ReplicateStatus,
    /// What to report with it.
    pub details: Option<ReplicateStatusDetails>,
}

impl Outcome {
    /// A status with nothing to add.
    #[must_use]
    pub const fn plain(status: ReplicateStatus) -> Self {
        Self {
            status,
            details: None,
        }
    }

    /// A status with what there is to say about it.
    #[must_use]
    pub const fn with(status: ReplicateStatus, details: ReplicateStatusDetails) -> Self {
        Self {
            status,
            details: Some(details),
        }
    }

    /// A failure and its cause.
    #[must_use]
    pub fn because(status: ReplicateStatus, cause: ReplicateStatusCause) -> Self {
        Self::with(
            status,
            ReplicateStatusDetails {
                cause: Some(cause),
                ..ReplicateStatusDetails::default()
            },
        )
    }

    /// The cause, where it is a failure.
    #[must_use]
    pub fn cause(&self) -> Option<&ReplicateStatusCause> {
        self.details.as_ref()?.cause.as_ref()
    }
}

/// What is known about one replicate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// The task.
    pub task: TaskId,
    /// What allows this worker to contribute.
    pub authorization: WorkerpoolAuthorization,
    /// The step it is at.
    pub step: Step,
    /// How far that step is.
    pub phase: Phase,
    /// The last status that the scheduler took.
    pub reported: Option<ReplicateStatus>,
    /// The slot on whose network it computes, until it is computed.
    pub slot: Option<u32>,
    /// The application's container, from just before it is created until it is removed.
    pub container: Option<String>,
    /// The application's image, once it is known.
    pub image: Option<String>,
    /// The result's digest, once computed.
    pub digest: Option<B256>,
    /// The callback's data, for deals with a callback.
    pub callback_data: Option<String>,
    /// The outbox's key of the last transaction that was asked for.
    pub transaction: Option<String>,
    /// The block of consensus, once told.
    pub consensus_block: Option<u64>,
    /// Why it is given up, once it is.
    pub abort_cause: Option<ReplicateStatusCause>,
    /// When the chain forgets the task.
    pub final_deadline: Option<Timestamp>,
    /// It goes the classic way: finishing it with one transaction was not granted, or did not go.
    #[serde(default)]
    pub classic: bool,
    /// This journal was read back after a restart, and its step not yet finished since.
    #[serde(skip)]
    pub resumed: bool,
}

impl Journal {
    /// The journal of a task that was just given.
    #[must_use]
    pub fn new(authorization: WorkerpoolAuthorization, slot: Option<u32>) -> Self {
        Self {
            task: authorization.chain_task_id,
            authorization,
            step: Step::Start,
            phase: Phase::Begun,
            reported: None,
            slot,
            container: None,
            image: None,
            digest: None,
            callback_data: None,
            transaction: None,
            consensus_block: None,
            abort_cause: None,
            final_deadline: None,
            classic: false,
            resumed: false,
        }
    }

    /// True until the application's run is over and its result taken: the task still needs a slot.
    #[must_use]
    pub fn needs_slot(&self) -> bool {
        self.step < Step::Compute || (self.step == Step::Compute && self.phase == Phase::Begun)
    }

    /// Puts the journal at the beginning of `step`.
    pub fn begin(&mut self, step: Step) {
        self.step = step;
        self.phase = Phase::Begun;
        self.resumed = false;
    }
}

/// Writes the journal down; it is on the disk when this returns. While the disk is full it waits for room: what is not written down must
/// not be done, and what was done so far stands in the last journal.
///
/// # Errors
/// The store cannot write, and waiting does not help.
pub async fn save(store: &Store, journal: &Journal) -> Result<(), StoreError> {
    let write = || store.commit(Batch::new().put(Collection::Journal, journal.task, journal));
    waiting_for_room(journal.task, write).await
}

async fn waiting_for_room<T, F>(task: TaskId, write: impl Fn() -> F) -> Result<(), StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut pauses = Pauses::between(Duration::from_secs(1), Duration::from_secs(10));
    loop {
        match write().await {
            Err(error) if error.kind() == store::Kind::Retryable => {
                tracing::error!(%task, %error, "a journal cannot be written; its task waits");
                pauses.rest(None).await;
            }
            other => return other.map(drop),
        }
    }
}

/// Removes the journal of a task that is over; waits for room as [`save`] does.
///
/// # Errors
/// The store cannot write, and waiting does not help.
pub async fn forget(store: &Store, task: TaskId) -> Result<(), StoreError> {
    waiting_for_room(task, || {
        store.commit(Batch::new().delete(Collection::Journal, task))
    })
    .await
}

/// Every journal that was left.
///
/// # Errors
/// The store cannot read, or a document is not a journal.
pub async fn all(store: &Store) -> Result<Vec<Journal>, StoreError> {
    let documents = store.all::<Journal>(Collection::Journal).await?;
    Ok(documents
        .into_iter()
        .map(|document| Journal {
            resumed: true,
            ..document.body
        })
        .collect())
}
