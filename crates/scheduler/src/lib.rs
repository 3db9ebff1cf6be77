//! The scheduler: the I/O around the engine.
//!
//! It translates what comes from workers, requesters, the chain and the clock into inputs of [`engine::Engine`], stores what
//! changes because of them, and only then lets answers, notices and transactions leave. It has no rule of its own about deals,
//! tasks or workers.

mod api;
mod auth;
mod authorize;
mod clock;
mod commands;
mod config;
mod crash;
mod enclaves;
mod figures;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod head;
mod inbox;
mod notices;
mod persist;
mod preflight;
mod push;
mod run;
mod wallets;
mod watch;

pub use config::{
    AdapterSettings, ChainSettings, RegistrySettings, RemoteSettings, Settings, Threshold,
    WorkerSettings,
};
pub use crash::CRASH_POINTS;
pub use persist::batch;
pub use preflight::{PATIENCE, StartError};
pub use run::{RunError, Running, VERSION, run, run_with_patience};
