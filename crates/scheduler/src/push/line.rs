//! One session: its client's subscriptions and what waits for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;
use wire::sockjs::session::{Next, Refused, Session, Transport};
use wire::sockjs::{Close, Escaped, Text};
use wire::stomp::broker::{self, Client, Effect};

use super::Topics;

/// A session, shared by the requests that take from it and those that send to it.
#[derive(Debug)]
pub(crate) struct Line {
    id: String,
    state: Mutex<State>,
    /// Something waits, or it is over.
    wake: Notify,
}

#[derive(Debug)]
struct State {
    session: Session,
    client: Client,
    /// Messages said to it.
    said: u64,
}

impl Line {
    pub(super) fn new(id: &str, transport: Transport) -> Self {
        Self {
            id: id.to_owned(),
            state: Mutex::new(State {
                session: Session::new(transport, Instant::now()),
                client: Client::default(),
                said: 0,
            }),
            wake: Notify::new(),
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(self: Arc<Self>, transport: Transport) -> Result<Receiving, Refused> {
        let taking = self.state().session.begin_taking(transport, Instant::now());
        taking.map(|()| Receiving { line: self })
    }

    /// Takes what the client sent, in order; which destinations it began to listen to.
    pub(super) fn hear(
        self: &Arc<Self>,
        text: &str,
        topics: &Topics,
        knows: impl Fn(&str) -> bool,
    ) -> Vec<String> {
        let mut listens = Vec::new();
        let mut state = self.state();
        if state.session.has_ended() {
            return listens;
        }
        state.session.hear();
        for effect in state.client.receive(text) {
            match effect {
                Effect::Send(frame) => state.session.send(frame.to_string()),
                Effect::Connects {
                    authorization,
                    answer,
                } => {
                    if authorization.is_none_or(|header| knows(&header)) {
                        state.session.send(answer.to_string());
                    } else {
                        let refusal = broker::error("The token is not valid.");
                        state.session.send(refusal.to_string());
                        state.session.end(Close::PROTOCOL_ERROR);
                        break;
                    }
                }
                Effect::Subscribes { id, destination } => {
                    topics.join(&destination, self, &id);
                    listens.push(destination);
                }
                Effect::Unsubscribes { id, destination } => {
                    topics.leave(&destination, &self.id, &id);
                }
                Effect::Ends => state.session.end(Close::PROTOCOL_ERROR),
            }
        }
        drop(state);
        self.wake.notify_one();
        listens
    }

    /// Puts a message of one subscription in the line: a body of `length` bytes, with the NUL after it.
    pub(super) fn say(&self, subscription: &str, destination: &str, length: usize, body: &Escaped) {
        let mut state = self.state();
        // It may have left since its name was read.
        if !state.client.is_connected()
            || state
                .client
                .subscriptions()
                .get(subscription)
                .map(String::as_str)
                != Some(destination)
        {
            return;
        }
        let number = state.said;
        state.said += 1;
        state.session.send(Text {
            own: broker::message_head(&self.id, number, subscription, destination, length),
            shared: body.clone(),
        });
        drop(state);
        self.wake.notify_one();
    }

    /// Ends the session once what waits is taken.
    pub(crate) fn end(&self, close: Close) {
        self.state().session.end(close);
        self.wake.notify_one();
    }

    /// Whether it may be forgotten. Sees to it that a quiet client hears a sign of life.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let mut state = self.state();
        let is_over = state.session.is_over(now);
        let has_news = state.session.has_ended() || state.session.is_quiet(now);
        drop(state);
        if has_news {
            self.wake.notify_one();
        }
        is_over
    }

    /// Takes it out of every topic, for good.
    pub(super) fn leave_all(&self, topics: &Topics) {
        let mut state = self.state();
        state.session.end(Close::GO_AWAY);
        for (id, destination) in state.client.subscriptions() {
            topics.leave(destination, &self.id, id);
        }
        drop(state);
        self.wake.notify_one();
    }
}

/// An open request for a session's messages. Over when dropped.
#[derive(Debug)]
pub(crate) struct Receiving {
    line: Arc<Line>,
}

impl Receiving {
    /// What is to be sent next, if anything.
    pub(crate) fn next(&self) -> Next {
        self.line.state().session.next(Instant::now())
    }

    /// Waits until there may be something.
    pub(crate) async fn something(&self) {
        self.line.wake.notified().await;
    }

    /// The session itself.
    pub(crate) const fn line(&self) -> &Arc<Line> {
        &self.line
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.line.state().session.end_taking(Instant::now());
    }
}
