//! The result proxy: takes the result archives of tasks, keeps them by their CID, and serves them.
//!
//! A worker shows an authorization of its scheduler and gets a token ([`authorization`], [`jwt`]); with it, it uploads an
//! archive ([`upload`]) that must be the one it revealed on the chain ([`archive`]), or is about to put there ([`early`]). Archives lie on the disk by the very CID
//! that an IPFS node would give them ([`cid`], [`blocks`]), and anybody can download them. The proxy reads the chain and
//! never writes to it.
#![allow(rustdoc::private_intra_doc_links)]

mod api;
mod archive;
mod authorization;
mod blocks;
mod cid;
mod clock;
mod config;
mod early;
mod fairness;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod jwt;
mod right_chain;
mod run;
mod upload;
mod upload_body;

pub use archive::Limits;
pub use config::Settings;
pub use jwt::KeyError;
pub use right_chain::ChainError;
pub use run::{RunError, Running, run};
