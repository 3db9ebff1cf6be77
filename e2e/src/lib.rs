//! End to end: real chain, real containers, the real SDK.
//!
//! This crate plays everybody around the product: the buyer with the iExec SDK, the registry with its image, the operator who starts and
//! kills processes, and the auditor who reads blocks and receipts. It uses the programs as they are run, never their insides: what it knows
//! of the chain it reads by JSON-RPC, with code that shares nothing with the scheduler.

#![allow(
    clippy::missing_errors_doc,
    reason = "every function here ends a test or the demo with its error's text"
)]

pub mod audit;
pub mod files;
pub mod flaky;
pub mod image;
pub mod local_chain;
pub mod money;
pub mod observe;
pub mod ports;
pub mod process;
pub mod progress;
pub mod random;
pub mod registry;
pub mod reorg;
pub mod report;
pub mod rpc;
pub mod scenario;
pub mod sdk;
pub mod skewed_clock;
pub mod small_disk;
pub mod world;
