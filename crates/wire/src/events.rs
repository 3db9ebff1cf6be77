//! Notifications over a WebSocket, for workers of ours: `GET /workers/events?after=<seq>` with `Authorization: Bearer`.
//!
//! Every text frame is one [`Event`]. A worker that comes back names the last one it has seen; the scheduler sends what is
//! newer, or, when it no longer has it, what that worker needs to know now. So an event may come twice, and may be skipped
//! only when a later one says more.

use serde::{Deserialize, Serialize};

use crate::message::TaskNotification;

/// The path of the WebSocket.
pub const PATH: &str = "/workers/events";

/// One notification and its place in the worker's sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Rising number, from 1.
    pub seq: u64,
    /// What the worker is told.
    pub notification: TaskNotification,
}
