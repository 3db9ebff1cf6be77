//! Thousands of workers over real HTTP, for benchmarks.
//!
//! They log in, register, ping and ask as any worker does, with wallets of their own, and never compute: what they are given stays
//! where it is. Nothing here is part of the product.

mod audience;
mod connection;
mod fleet;
mod listener;
mod storm;

pub use audience::{Audience, Heard};
pub use connection::{Connection, ConnectionError};
pub use fleet::{Fleet, FleetError, Member, key};
pub use listener::{ListenError, Listener};
pub use storm::{Storm, Weather, storm};
