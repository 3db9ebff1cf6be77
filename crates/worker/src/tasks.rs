//! The replicates that are alive: one actor each, found by task. What is told about a task goes into its mailbox; a task that is not
//! here is told nothing.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use chassis::crash;
use poco::ids::TaskId;
use store::StoreError;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::message::WorkerpoolAuthorization;

use crate::journal::{self, Journal};
use crate::patience::Pauses;
use crate::pipeline::work::{Shared, Work};
use crate::pipeline::{Notice, Replicate};
use crate::slots::Held;
use crate::{authorization, clock};

/// How many notices wait for one task at most.
const MAILBOX: usize = 32;

/// The replicates of one worker. Cheap to clone.
#[derive(Clone)]
pub struct Tasks {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    stop: CancellationToken,
    alive: Mutex<HashMap<TaskId, mpsc::Sender<Notice>>>,
    /// Those whose journal is being written.
    begun: Mutex<HashSet<TaskId>>,
    tracker: TaskTracker,
    broken: mpsc::Sender<StoreError>,
}

impl Tasks {
    /// None yet. What a journal's write failed with goes to `broken`.
    #[must_use]
    pub fn new(
        shared: Arc<Shared>,
        stop: CancellationToken,
        broken: mpsc::Sender<StoreError>,
    ) -> Self {
        let inner = Inner {
            shared,
            stop,
            alive: Mutex::default(),
            begun: Mutex::default(),
            tracker: TaskTracker::new(),
            broken,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The worker's shared parts.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.alive().is_empty()
    }

    /// True when this task is alive.
    #[must_use]
    pub fn knows(&self, task: TaskId) -> bool {
        self.alive().contains_key(&task)
    }

    fn alive(&self) -> std::sync::MutexGuard<'_, HashMap<TaskId, mpsc::Sender<Notice>>> {
        self.inner
            .alive
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells a task something; false when there is no such task.
    pub fn tell(&self, task: TaskId, notice: Notice) -> bool {
        let mailbox = self.alive().get(&task).cloned();
        let Some(mailbox) = mailbox else { return false };
        if let Err(error) = mailbox.try_send(notice) {
            // The watch over the chain finds what was lost.
            tracing::warn!(%task, %error, "a notice is dropped: the task does not take any more");
        }
        true
    }

    /// Takes work that was given, in a task of its own: its authorization is checked first.
    pub fn take(&self, authorization: WorkerpoolAuthorization, slot: Held, resumed: bool) {
        let tasks = self.clone();
        let stop = self.inner.stop.clone();
        self.inner.tracker.spawn(async move {
            tokio::select! {
                () = tasks.check_and_begin(authorization, slot, resumed) => {}
                () = stop.cancelled() => {}
            }
        });
    }

    async fn check_and_begin(
        &self,
        authorization: WorkerpoolAuthorization,
        slot: Held,
        resumed: bool,
    ) {
        let task = authorization.chain_task_id;
        if self.knows(task) {
            tracing::warn!(%task, "the task is given again while it is being worked on");
            return;
        }
        let until = clock::now().saturating_add(std::time::Duration::from_secs(600));
        let mut pauses = Pauses::new();
        loop {
            match authorization::check(self.shared(), &authorization).await {
                Ok(()) => break,
                Err(authorization::Unfit::Unknown) if pauses.rest(Some(until)).await => {}
                Err(reason) => {
                    tracing::error!(%task, %reason, "the authorization of a task is of no use; the task is not begun");
                    return;
                }
            }
        }
        // Asked again: the check took its time, and two actors of one task would write one journal.
        if !self
            .inner
            .begun
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(task)
        {
            tracing::warn!(%task, "the task is given again while it is being begun");
            return;
        }
        self.begin(authorization, slot, resumed).await;
        self.inner
            .begun
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&task);
    }

    async fn begin(&self, authorization: WorkerpoolAuthorization, slot: Held, resumed: bool) {
        let task = authorization.chain_task_id;
        if self.knows(task) {
            return;
        }
        crash::point(crate::ASSIGNED_POINT);
        let journal = Journal {
            resumed,
            ..Journal::new(authorization, Some(slot.number()))
        };
        tracing::info!(%task, deal = %journal.authorization.deal_id, slot = slot.number(), resumed, "a task is begun");
        match journal::save(&self.shared().store, &journal).await {
            Ok(()) => self.live(journal, Some(slot)),
            Err(error) => self.give_out(error).await,
        }
    }

    /// Starts the actor of a task whose journal is written down.
    pub fn live(&self, journal: Journal, slot: Option<Held>) {
        let task = journal.task;
        let (sender, mailbox) = mpsc::channel(MAILBOX);
        self.alive().insert(task, sender);
        let replicate = Replicate {
            work: Arc::new(Work::new(
                Arc::clone(self.shared()),
                task,
                journal.final_deadline,
            )),
            journal,
            slot,
            mailbox,
            stop: self.inner.stop.clone(),
            later: VecDeque::new(),
            unannounced: None,
        };
        let tasks = self.clone();
        self.inner.tracker.spawn(async move {
            let lived = replicate.live().await;
            tasks.alive().remove(&task);
            if let Err(error) = lived {
                tasks.give_out(error).await;
            }
        });
    }

    async fn give_out(&self, error: StoreError) {
        tracing::error!(%error, "a journal cannot be written; the worker stops");
        let _ = self.inner.broken.send(error).await;
    }

    /// Waits until every actor has ended, once they were told to stop.
    pub async fn ended(&self) {
        self.inner.tracker.close();
        self.inner.tracker.wait().await;
    }
}
