//! What strangers reach inside, for the fuzz targets in `fuzz/` and the test of their corpus. Nothing else uses it, and no release has it.

use std::time::Instant;

use alloy_primitives::Address;
use axum::http::Uri;
use poco::ids::TaskId;
use poco::units::Timestamp;
use wire::message::TaskNotification;
use wire::sockjs::session::{Next, Transport};

use crate::api;
use crate::auth;
use crate::push::{Push, Receiving};

/// Workers' tokens, of a key and a version.
pub struct Tokens(auth::Tokens);

impl Tokens {
    /// With this key.
    pub fn new(key: &[u8], version: &str) -> Self {
        Self(auth::Tokens::with(key, version))
    }

    /// A fresh token.
    pub fn issue(&self, wallet: Address, now: Timestamp) -> Option<String> {
        self.0.issue(wallet, now)
    }

    /// The wallet that an `Authorization` header speaks for.
    pub fn wallet(&self, header: &str, now: Timestamp) -> Option<Address> {
        self.0.wallet(header, now).ok()
    }
}

/// What the query of this path says: a worker's wallet, a reader's address, a block, and the number of an event.
pub fn queries(path: &str) -> Option<[Option<String>; 4]> {
    let uri: Uri = path.parse().ok()?;
    Some(api::queries(&uri))
}

/// The push channel.
pub struct Channel(Push);

/// An open request for messages.
pub struct Taking(Receiving);

impl Channel {
    /// For so many sessions at a time.
    pub fn new(most: usize) -> Self {
        Self(Push::new(most))
    }

    /// Begins a request for messages, if it is served.
    pub fn take(&self, session: &str, transport: Transport) -> Option<Taking> {
        self.0.take(session, transport).ok().map(Taking)
    }

    /// Takes what the session's client says; the tasks that it began to listen to. No token is known.
    pub fn hear(&self, session: &str, text: &str) -> Vec<TaskId> {
        let line = self.0.find(session);
        line.map(|line| self.0.hear(&line, text, |_| false))
            .unwrap_or_default()
    }

    /// Tells everybody who listens.
    pub fn publish(&self, notification: &TaskNotification) {
        self.0.publish(notification);
    }

    /// Forgets who is gone.
    pub fn sweep(&self, now: Instant) {
        self.0.sweep(now);
    }

    /// Whether nobody is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Taking {
    /// What is to be sent next.
    pub fn next(&self) -> Next {
        self.0.next()
    }
}
