//! The config server: tells schedulers and workers which chain they are on (spec blockchain-adapter B).
//!
//! It knows nothing but its own settings, asks nobody and stores nothing.

pub mod config;
pub mod run;

mod api;

pub use config::Settings;
pub use run::{Error, Running, run, serve};
