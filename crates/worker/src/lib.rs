//! The worker: takes replicates, runs them in containers, contributes, reveals and uploads.
//!
//! [`run::run`] is the door. One actor a replicate ([`pipeline`]) goes through the table of steps ([`pipeline::table`]), journaled
//! ([`journal`]) so that a killed worker carries on at its step ([`recovery`]). Work comes in through [`demand`], notices through
//! [`push`]; everything said to the scheduler goes through one [`session`].

mod abort;
pub mod authorization;
mod checkup;
pub mod clock;
mod complete;
pub mod config;
mod contribute;
mod contribute_and_finalize;
pub mod demand;
pub mod description;
pub mod docker;
pub mod durations;
pub mod error_result;
pub mod guards;
pub mod http;
pub mod inputs;
pub mod journal;
pub mod metrics;
pub mod newest;
pub mod outputs;
pub mod patience;
pub mod pipeline;
mod prefetch;
pub mod preflight;
pub mod push;
pub mod recovery;
mod resume;
mod reveal;
pub mod run;
pub mod session;
pub mod slots;
pub mod stake;
pub mod tasks;
mod upload;
pub mod vitals;

pub use abort::Source;
pub use config::Settings;
pub use run::{RunError, Running, run};

/// Work was given, and is not written down yet.
pub const ASSIGNED_POINT: &str = "worker:assigned";

/// Every instant at which a test may kill this process, in the order of a task's life: for each step once it is written down, once it is
/// done but not written down, and once the scheduler was told but that is not written down; where a step has two parts, also between them.
/// A task passes contribute, reveal and upload, or contribute-and-finalize. Then those of the outbox, passed by each transaction of a task.
pub const CRASH_POINTS: &[&str] = &[
    ASSIGNED_POINT,
    "worker:start:begun",
    "worker:start:acted",
    "worker:start:told",
    "worker:download-app:begun",
    "worker:download-app:acted",
    "worker:download-app:told",
    "worker:download-data:begun",
    "worker:download-data:acted",
    "worker:download-data:told",
    "worker:compute:begun",
    "worker:compute:acted",
    "worker:compute:told",
    "worker:contribute:begun",
    "worker:contribute:acted",
    "worker:contribute:told",
    "worker:reveal:begun",
    "worker:reveal:acted",
    "worker:reveal:told",
    "worker:upload:begun",
    "worker:upload:acted",
    "worker:upload:told",
    "worker:contribute-and-finalize:begun",
    contribute_and_finalize::UPLOADED_POINT,
    "worker:contribute-and-finalize:acted",
    "worker:contribute-and-finalize:told",
    "worker:complete:begun",
    "worker:complete:acted",
    "worker:complete:told",
    "worker:abort:begun",
    "worker:abort:acted",
    "worker:abort:told",
    "outbox.intent_persisted",
    "outbox.tx_persisted",
    "outbox.broadcast",
    "outbox.receipt_seen",
];
