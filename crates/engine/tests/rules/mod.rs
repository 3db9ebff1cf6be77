//! The rules, by what they are about.

mod alone;
mod apart;
mod bags;
mod callback;
mod chain;
mod deals;
mod enclaves;
mod ending;
mod explain;
mod reports;
mod restart;
mod supply;
mod tables;
mod upload;
mod workers;
