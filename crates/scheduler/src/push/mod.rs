//! The push channel of the original: SockJS sessions whose clients listen to the topics of their tasks (spec scheduler-api §7). Our own
//! workers listen to [`events`](crate::api) instead.
//!
//! Who listens is not known, since Java workers cannot say it, so nothing secret is sent here and nothing that comes in is passed on. A
//! notice that nobody hears is not kept here either: the engine tells it again to whoever begins to listen.

mod line;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use poco::ids::TaskId;
use store::StoreError;
use tokio::sync::broadcast::error::RecvError;
use wire::message::TaskNotification;
use wire::sockjs::session::{Refused, Transport};
use wire::sockjs::{Close, Escaped};

pub(crate) use self::line::{Line, Receiving};
use crate::notices::Notices;

/// What all topics begin with; a task's id follows.
const TOPIC: &str = "/topic/task/";
/// How often sessions are looked at: whether their clients are gone, or have heard nothing for a while.
const SWEEP: Duration = Duration::from_secs(1);
/// Workers named in one message: a frame of 64 KiB has room for about 1,400 (Q36).
const NAMED_AT_ONCE: usize = 1_000;

/// Every session, and what its client listens to.
#[derive(Debug)]
pub(crate) struct Push {
    lines: Mutex<Lines>,
    topics: Topics,
    /// Sessions at one time.
    most: usize,
}

/// Sessions by their ids.
#[derive(Debug, Default)]
struct Lines {
    by_id: HashMap<String, Arc<Line>>,
    /// The server ends: whoever comes now is told so.
    ended: bool,
}

/// Who listens to a destination: sessions, by their ids and their own names for the subscription.
type Listeners = HashMap<(String, String), Arc<Line>>;

/// Who listens to what.
#[derive(Debug, Default)]
pub(crate) struct Topics(Mutex<HashMap<String, Listeners>>);

/// Why a request for messages is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotServed {
    /// As the session says.
    Session(Refused),
    /// There are as many sessions as there may be.
    Full,
}

impl Topics {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Listeners>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(&self, destination: &str, line: &Arc<Line>, subscription: &str) {
        let mut all = self.all();
        let listeners = all.entry(destination.to_owned()).or_default();
        let key = (line.id().to_owned(), subscription.to_owned());
        listeners.insert(key, Arc::clone(line));
    }

    fn leave(&self, destination: &str, session: &str, subscription: &str) {
        let mut all = self.all();
        if let Some(listeners) = all.get_mut(destination) {
            listeners.remove(&(session.to_owned(), subscription.to_owned()));
            if listeners.is_empty() {
                all.remove(destination);
            }
        }
    }

    /// The lines, with their names for the subscription.
    fn listeners(&self, destination: &str) -> Vec<(Arc<Line>, String)> {
        let all = self.all();
        let listeners = all.get(destination).into_iter().flatten();
        listeners
            .map(|((_, subscription), line)| (Arc::clone(line), subscription.clone()))
            .collect()
    }
}

impl Push {
    /// No session yet, and never more than `most`.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            lines: Mutex::default(),
            topics: Topics::default(),
            most,
        }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session, if there is one.
    pub(crate) fn find(&self, id: &str) -> Option<Arc<Line>> {
        self.lines().by_id.get(id).cloned()
    }

    /// A request for a session's messages; it begins the session if there is none.
    pub(crate) fn take(&self, id: &str, transport: Transport) -> Result<Receiving, NotServed> {
        let mut lines = self.lines();
        let line = match lines.by_id.get(id) {
            Some(line) => Arc::clone(line),
            None if lines.by_id.len() >= self.most => return Err(NotServed::Full),
            None => {
                let line = Arc::new(Line::new(id, transport));
                lines.by_id.insert(id.to_owned(), Arc::clone(&line));
                line
            }
        };
        if lines.ended {
            line.end(Close::GOING_AWAY);
        }
        line.take(transport).map_err(NotServed::Session)
    }

    /// Takes what a client sent. `knows` says whether an `Authorization` header is one of ours. Which tasks it began to listen to.
    pub(crate) fn hear(
        &self,
        line: &Arc<Line>,
        text: &str,
        knows: impl Fn(&str) -> bool,
    ) -> Vec<TaskId> {
        let destinations = line.hear(text, &self.topics, knows);
        let task = |destination: String| destination.strip_prefix(TOPIC)?.parse().ok();
        destinations.into_iter().filter_map(task).collect()
    }

    /// Says something to everybody who listens to the task's topic.
    pub(crate) fn publish(&self, notification: &TaskNotification) {
        let destination = format!("{TOPIC}{}", notification.chain_task_id);
        let listeners = self.topics.listeners(&destination);
        if listeners.is_empty() {
            return;
        }
        for part in parts(notification) {
            let json = match serde_json::to_string(&part) {
                Ok(json) => json,
                Err(error) => {
                    tracing::error!(%error, task = %notification.chain_task_id, "a notification cannot be written");
                    return;
                }
            };
            let (length, body) = (json.len(), Escaped::of(&(json + "\0")));
            for (line, subscription) in &listeners {
                line.say(subscription, &destination, length, &body);
            }
        }
    }

    /// Forgets sessions whose clients are gone, and has the others told from time to time that the server is there.
    pub(crate) fn sweep(&self, now: Instant) {
        let all: Vec<Arc<Line>> = self.lines().by_id.values().cloned().collect();
        for line in all.iter().filter(|line| line.is_over(now)) {
            self.lines().by_id.remove(line.id());
            line.leave_all(&self.topics);
        }
    }

    /// Whether nobody has a session or listens to anything.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn is_empty(&self) -> bool {
        self.lines().by_id.is_empty() && self.topics.all().is_empty()
    }

    /// Tells every client that the server ends.
    fn end(&self) {
        let mut lines = self.lines();
        lines.ended = true;
        for line in lines.by_id.values() {
            line.end(Close::GOING_AWAY);
        }
    }

    /// Passes on what is told to workers from now on, and forgets who is gone, until `end`.
    ///
    /// # Errors
    /// The store does not say what was told last.
    pub(crate) async fn serve(
        &self,
        notices: &Notices,
        end: impl Future<Output = ()>,
    ) -> Result<(), StoreError> {
        // What was told before is never pushed again: a Java worker acts on every copy.
        let mut passed_on = notices.newest().await?;
        let mut told = notices.listen();
        let mut sweep = tokio::time::interval(SWEEP);
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => break,
                _ = sweep.tick() => self.sweep(Instant::now()),
                one = told.recv() => match one {
                    Ok(one) => {
                        if one.event.seq > passed_on {
                            self.publish(&one.event.notification);
                            passed_on = one.event.seq;
                        }
                    }
                    Err(RecvError::Lagged(missed)) => {
                        tracing::warn!(missed, "notices came faster than they could be pushed; they are read again");
                        passed_on = self.catch_up(notices, passed_on).await;
                    }
                    Err(RecvError::Closed) => break,
                },
            }
        }
        self.end();
        Ok(())
    }

    /// Passes on what is stored after `seq`; up to which number.
    async fn catch_up(&self, notices: &Notices, seq: u64) -> u64 {
        match notices.stored_after(seq).await {
            Ok(stored) => {
                for one in &stored {
                    self.publish(&one.event.notification);
                }
                stored.last().map_or(seq, |one| one.event.seq)
            }
            Err(error) => {
                tracing::error!(%error, "notices cannot be read; workers are told again when they listen");
                seq
            }
        }
    }
}

/// The notification with at most so many workers in each part that a frame has room for it.
fn parts(notification: &TaskNotification) -> Vec<TaskNotification> {
    let named = notification.workers_address.as_deref().unwrap_or_default();
    if named.len() <= NAMED_AT_ONCE {
        return vec![notification.clone()];
    }
    named
        .chunks(NAMED_AT_ONCE)
        .map(|workers| TaskNotification {
            workers_address: Some(workers.to_vec()),
            ..notification.clone()
        })
        .collect()
}

#[cfg(test)]
mod tests;
