//! `target/demo/report.json`: what the demo did, for programs to read.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256};
use serde::Serialize;

use crate::money::Account;

/// The whole report.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Every task that was bought.
    pub tasks: Vec<TaskReport>,
    /// Every party, by its role.
    pub accounts: BTreeMap<String, AccountReport>,
}

/// One task.
#[derive(Debug, Serialize)]
pub struct TaskReport {
    /// Its id.
    pub task: B256,
    /// Its deal.
    pub deal: B256,
    /// Its index in the deal.
    pub index: u64,
    /// How many workers' agreement was bought.
    pub trust: u64,
    /// The chain's status: 3 is completed.
    pub chain_status: u8,
    /// Who contributed.
    pub workers: Vec<Address>,
    /// Where the result lies: the content id at the gateway.
    pub cid: Option<String>,
    /// Seconds from the purchase to each step, in the scheduler's words.
    pub seconds: BTreeMap<String, f64>,
}

/// One party.
#[derive(Debug, Serialize)]
pub struct AccountReport {
    /// Its address.
    pub address: Address,
    /// Before the purchase.
    pub before: Account,
    /// After the last task.
    pub after: Account,
}
