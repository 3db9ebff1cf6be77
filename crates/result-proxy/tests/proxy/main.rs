//! The result proxy over real sockets, with a real database in a folder of its own and a chain that plays along.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what a test's world cannot do ends the test"
)]

mod early;
mod fake_chain;
mod gateway;
mod results;
mod start;
mod token;
mod wire_client;
mod world;
mod zips;
