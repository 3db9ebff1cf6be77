//! The PoCo protocol, pure: contract bindings, ids, hashes, signatures, deal parameters.
//!
//! Everything the chain, the workers and the services must agree on to the byte stands here once. Nothing in this crate
//! reads a clock, a file, the network or the environment, and nothing logs: values in, values out.
#![doc = include_str!("../COVERAGE.md")]

pub mod assets;
pub mod authorization;
pub mod challenge;
pub mod consensus;
pub mod contracts;
pub mod contribution;
pub mod deadlines;
pub mod deal_params;
pub mod digest;
pub mod gas_price;
pub mod hex;
pub mod ids;
pub mod lax_hex;
pub mod login;
pub mod orders;
pub mod result_link;
pub mod rewards;
pub mod secrets;
pub mod signing;
pub mod status;
pub mod tag;
pub mod units;
