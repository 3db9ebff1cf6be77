//! The engine's owner: takes what happened from one queue, lets the engine decide, stores what changed, and only then answers,
//! notifies and acts.
//!
//! All inputs that wait are handled together and stored as one batch. While the store cannot write, nothing leaves. Nothing here
//! knows what an input means.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use engine::{Change, Command, Engine, Input, Notice, Outputs, Reply, Ticket, Topic};
use poco::units::Timestamp;
use store::{Batch, Store, StoreError};
use tokio::sync::{mpsc, oneshot};

use chassis::Shutdown;

use crate::clock::now;
use crate::commands::Commands;
use crate::figures::Figures;
use crate::notices::{Notices, Told};
use crate::{crash, persist};

/// Inputs handled before they are stored together.
const MOST_TOGETHER: usize = 512;
/// Changes after which no further input is handled with them: so many are stored within a fraction of a second.
const MOST_CHANGES: usize = 2000;
/// Inputs that may wait before those who bring them have to.
const QUEUE: usize = 8192;
/// Pause before a batch is tried again that the store could not write.
const STORE_PAUSE: Duration = Duration::from_secs(2);
/// Longest sleep without an input: the wall clock may have been set.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Something for the owner of the engine.
enum Entry {
    /// Something happened. Whoever brought it is told when what it changed is stored.
    Happened {
        input: Box<Input>,
        with: Batch,
        stored: Option<oneshot::Sender<()>>,
    },
    /// Somebody waits for an answer.
    Asked {
        input: Box<dyn FnOnce(Ticket) -> Input + Send>,
        answer: oneshot::Sender<Reply>,
    },
    /// Somebody who asked does not wait any more.
    HungUp(Ticket),
    /// Somebody wants to see the engine as it is.
    Look(Box<dyn FnOnce(&Engine) + Send>),
}

/// Where things are told to the engine. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Inbox {
    queue: mpsc::Sender<Entry>,
}

/// The owner has stopped: the process is ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the scheduler is ending")]
pub(crate) struct Ending;

impl Inbox {
    /// Tells what happened, without waiting for more than room in the queue.
    pub(crate) async fn tell(&self, input: Input) -> Result<(), Ending> {
        let entry = Entry::Happened {
            input: Box::new(input),
            with: Batch::new(),
            stored: None,
        };
        self.queue.send(entry).await.map_err(|_| Ending)
    }

    /// Tells what happened and returns when what it changed is stored, together with `with`.
    pub(crate) async fn tell_stored(&self, input: Input, with: Batch) -> Result<(), Ending> {
        let (stored, done) = oneshot::channel();
        let entry = Entry::Happened {
            input: Box::new(input),
            with,
            stored: Some(stored),
        };
        self.queue.send(entry).await.map_err(|_| Ending)?;
        done.await.map_err(|_| Ending)
    }

    /// Asks, and returns the answer when all that it speaks of is stored.
    pub(crate) async fn ask(
        &self,
        input: impl FnOnce(Ticket) -> Input + Send + 'static,
    ) -> Result<Reply, Ending> {
        let (answer, answered) = oneshot::channel();
        let mut line = Line {
            queue: self.queue.clone(),
            ticket: Arc::default(),
            open: true,
        };
        let ticket = Arc::clone(&line.ticket);
        let input = move |given| {
            // Set once: the owner calls this once.
            let _ = ticket.set(given);
            input(given)
        };
        self.queue
            .send(Entry::Asked {
                input: Box::new(input),
                answer,
            })
            .await
            .map_err(|_| Ending)?;
        let reply = answered.await.map_err(|_| Ending);
        line.open = false;
        reply
    }

    /// What `look` sees in the engine, between two inputs.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Engine) -> T + Send + 'static,
    ) -> Result<T, Ending> {
        let (answer, answered) = oneshot::channel();
        let look = Box::new(move |engine: &Engine| {
            let _ = answer.send(look(engine));
        });
        self.queue
            .send(Entry::Look(look))
            .await
            .map_err(|_| Ending)?;
        answered.await.map_err(|_| Ending)
    }
}

/// The line to somebody who waits for an answer. Dropped while it is open, it says that nobody waits any more.
struct Line {
    queue: mpsc::Sender<Entry>,
    ticket: Arc<OnceLock<Ticket>>,
    open: bool,
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.open
            && let Some(ticket) = self.ticket.get()
        {
            // A full queue or an ending process: then it is found out later, when the answer reaches nobody.
            let _ = self.queue.try_send(Entry::HungUp(*ticket));
        }
    }
}

/// An inbox, and the end that [`Owner`] reads.
pub(crate) fn open() -> (Inbox, Outlet) {
    let (queue, entries) = mpsc::channel(QUEUE);
    (Inbox { queue }, Outlet(entries))
}

/// The reading end of an inbox.
pub(crate) struct Outlet(mpsc::Receiver<Entry>);

/// Owns the engine.
pub(crate) struct Owner {
    engine: Engine,
    store: Store,
    entries: mpsc::Receiver<Entry>,
    notices: Notices,
    commands: Commands,
    figures: Figures,
    waiting: HashMap<Ticket, oneshot::Sender<Reply>>,
    tickets: u64,
}

/// What several inputs gave together.
#[derive(Default)]
struct Gathered {
    changes: Vec<Change>,
    replies: Vec<(Ticket, Reply)>,
    notices: Vec<Notice>,
    commands: Vec<Command>,
    with: Batch,
    stored: Vec<oneshot::Sender<()>>,
}

impl Gathered {
    fn add(&mut self, outputs: Outputs) {
        self.changes.extend(outputs.changes);
        self.replies.extend(outputs.replies);
        self.notices.extend(outputs.notices);
        self.commands.extend(outputs.commands);
    }

    fn must_be_stored(&self) -> bool {
        !(self.changes.is_empty() && self.notices.is_empty() && self.with.is_empty())
    }
}

impl Owner {
    pub(crate) fn new(
        engine: Engine,
        store: Store,
        outlet: Outlet,
        notices: Notices,
        commands: Commands,
        figures: Figures,
    ) -> Self {
        Self {
            engine,
            store,
            entries: outlet.0,
            notices,
            commands,
            figures,
            waiting: HashMap::new(),
            tickets: 0,
        }
    }

    /// Works until the end is asked for. First does what was left undone before the last stop.
    ///
    /// # Errors
    /// When the store can never write again; the process must end then, and start anew from what is stored.
    pub(crate) async fn run(mut self, left: Outputs, shutdown: Shutdown) -> Result<(), StoreError> {
        let mut gathered = Gathered::default();
        gathered.add(left);
        self.settle(gathered, &shutdown).await?;
        // Inputs handled since time was last looked at.
        let mut untimed = 0;
        loop {
            let first = tokio::select! {
                biased;
                () = shutdown.triggered() => return Ok(()),
                () = sleep_until(self.engine.next_wake()) => None,
                entry = self.entries.recv() => match entry {
                    Some(entry) => Some(entry),
                    None => return Ok(()),
                },
            };
            let mut gathered = Gathered::default();
            let mut next = first;
            let mut drained = false;
            for _ in 0..MOST_TOGETHER {
                let Some(entry) = next.take().or_else(|| self.entries.try_recv().ok()) else {
                    drained = true;
                    break;
                };
                self.take(entry, &mut gathered);
                untimed += 1;
                if gathered.changes.len() >= MOST_CHANGES {
                    break;
                }
            }
            // What waited may say that somebody lives whose time is up; but no flood of inputs stops the clock.
            if drained || untimed >= QUEUE {
                untimed = 0;
                if self.engine.next_wake().is_some_and(|due| due <= now()) {
                    gathered.add(self.engine.handle(now(), Input::Tick));
                }
            }
            self.settle(gathered, &shutdown).await?;
        }
    }

    fn take(&mut self, entry: Entry, gathered: &mut Gathered) {
        match entry {
            Entry::Happened {
                input,
                with,
                stored,
            } => {
                gathered.add(self.engine.handle(now(), *input));
                gathered.with = std::mem::take(&mut gathered.with).and(with);
                gathered.stored.extend(stored);
            }
            Entry::Asked { input, answer } => {
                self.tickets += 1;
                let ticket = Ticket(self.tickets);
                self.waiting.insert(ticket, answer);
                gathered.add(self.engine.handle(now(), input(ticket)));
            }
            Entry::HungUp(ticket) => {
                if self.waiting.remove(&ticket).is_some() {
                    gathered.add(self.engine.handle(now(), Input::HungUp { ticket }));
                }
            }
            Entry::Look(look) => look(&self.engine),
        }
    }

    /// Stores, then answers, then notifies, then acts.
    async fn settle(
        &mut self,
        mut gathered: Gathered,
        shutdown: &Shutdown,
    ) -> Result<(), StoreError> {
        self.figures.follow(&gathered.changes);
        let told = self.notices.prepare(&gathered.notices, &self.engine);
        let mut numbered = Vec::new();
        if gathered.must_be_stored() {
            let with = std::mem::take(&mut gathered.with);
            let batch = || told.record(persist::batch(&gathered.changes).and(with.clone()), now());
            chassis::crash::point(crash::BEFORE_COMMIT);
            // None: the end was asked for while nothing could be stored, so nothing may leave.
            let Some(sequences) = self.commit(batch, shutdown).await? else {
                return Ok(());
            };
            chassis::crash::point(crash::COMMITTED);
            numbered = told.numbered(&sequences);
        }
        log_capacity(&gathered.changes);
        self.release(gathered, numbered);
        Ok(())
    }

    fn release(&mut self, gathered: Gathered, told: Vec<Told>) {
        let answered = !gathered.replies.is_empty() || !gathered.stored.is_empty();
        for (ticket, reply) in gathered.replies {
            if let Some(waiting) = self.waiting.remove(&ticket) {
                // Who hung up meanwhile asks again; what was decided stands.
                let _ = waiting.send(reply);
            }
        }
        for stored in gathered.stored {
            let _ = stored.send(());
        }
        if answered {
            chassis::crash::point(crash::REPLIED);
        }
        if !told.is_empty() {
            self.notices.push(told);
            chassis::crash::point(crash::NOTIFIED);
        }
        self.commands.begin(gathered.commands);
    }

    /// Commits, again and again while the disk is full. None when the end was asked for meanwhile.
    async fn commit(
        &self,
        batch: impl Fn() -> Batch,
        shutdown: &Shutdown,
    ) -> Result<Option<Vec<u64>>, StoreError> {
        loop {
            match self.store.commit(batch()).await {
                Ok(committed) => return Ok(Some(committed.sequences)),
                Err(error) if error.kind() == store::Kind::Retryable => {
                    tracing::error!(%error, "nothing can be stored now; the pool waits");
                }
                Err(error) => return Err(error),
            }
            tokio::select! {
                () = shutdown.triggered() => return Ok(None),
                () = tokio::time::sleep(STORE_PAUSE) => {}
            }
        }
    }
}

/// Says in the log what the pool cannot do in time.
fn log_capacity(changes: &[Change]) {
    for change in changes {
        if let Change::Event(event) = change
            && event.topic == Topic::Capacity
        {
            let deal = event.deal.map(|deal| deal.to_string());
            tracing::warn!(deal, "{}", event.text);
        }
    }
}

/// Ends at `due` by the wall clock, or after a while: then the clock is looked at again.
async fn sleep_until(due: Option<Timestamp>) {
    let wait = due.map_or(LONGEST_SLEEP, |due| due.since(now()).min(LONGEST_SLEEP));
    tokio::time::sleep(wait).await;
}
