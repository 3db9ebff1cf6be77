//! Thousands of workers over real HTTP, for benchmarks.
//!
//! They log in, register, ping and ask as any worker does, with wallets of their own, and never compute: what they are given stays
//! where it is. Nothing here is part of the product.

mod connection;
mod fleet;
mod storm;

pub use connection::{Connection, ConnectionError};
pub use fleet::{Fleet, FleetError, Member, key};
pub use storm::{Storm, Weather, storm};
