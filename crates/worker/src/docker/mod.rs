//! Containers, through the engine's own API: connecting, pulling, running, waiting by event, reading logs, removing. It never decides
//! what a result means; it says how a container ended and what it left on the disk.

pub mod args;
pub mod cache;
pub mod client;
mod disk;
pub mod env;
pub mod image;
pub mod network;
pub mod profile;
pub mod pull;
pub mod registries;
pub mod removal;
pub mod run;
pub mod sandbox;
mod spool;

pub use client::{DockerError, Engine};
pub use profile::{Limits, Profile};
