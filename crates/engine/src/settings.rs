//! What an operator may set about the pool's behaviour. Plain values, checked where they were read; never an environment
//! variable or a file here.

use std::collections::BTreeSet;
use std::time::Duration;

use alloy_primitives::Address;
use poco::tag::TeeFramework;

/// How the engine behaves. Every duration is wall-clock time unless said otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Wallets that may work here; empty lets everybody in (`workers.whitelist`, spec scheduler-logic §8.1).
    pub allowed_workers: BTreeSet<Address>,
    /// Least time between two asks of one worker (`workers.ask-for-replicate-period`, spec scheduler-api §3.7). Asks that
    /// came with the granted `wait` feature are outside this limit.
    pub ask_period: Duration,
    /// How long an ask with `wait` is held before it is answered with nothing.
    pub ask_patience: Duration,
    /// How long a report whose claim the chain does not show yet is held (spec scheduler-api Q18).
    pub report_patience: Duration,
    /// Silence after which a worker counts as lost (spec scheduler-logic §8.3).
    pub worker_silence: Duration,
    /// Time an uploader has before another worker that revealed is asked (spec scheduler-logic §3.12, its upload-timeout job).
    pub upload_patience: Duration,
    /// How long after a fact on the chain the worker's own report of it is waited for, before the history is filled in for it.
    pub report_grace: Duration,
    /// Least time between two pushes of one notification to one worker (spec scheduler-api Q35).
    pub tell_again: Duration,
    /// How long a worker that came back may stay silent about a replicate before the replicate stops counting as work in
    /// progress (spec scheduler-logic Q-24).
    pub recovery_patience: Duration,
    /// How far this machine's clock and the chain's may differ before a deadline of the chain is judged by asking the chain.
    pub clock_skew: Duration,
    /// Usual time between two blocks; only for telling an absurd block number from a near one.
    pub block_time: Duration,
    /// Share of the longest execution time, in percent, that must be left before contributions close when a replicate is
    /// given.
    pub window_reserve_percent: u32,
    /// How many tasks may be initialised, or on the way to it, while no worker has taken them, at most. More wait as
    /// RECEIVED. Fewer are where there are few workers; deals that come while others have it all may have as many again.
    pub initialize_ahead: usize,
    /// How many tasks of a deal are made in one input.
    pub expand_at_once: u64,
    /// First wait before a transaction that did not go through is tried again; doubles up to `retry_most`.
    pub retry_first: Duration,
    /// Longest wait between two tries of a transaction.
    pub retry_most: Duration,
    /// How long after its end a task stays in memory, for late reports.
    pub keep_ended: Duration,
    /// Whether failed tasks are claimed after their final deadline, so that stakes come free.
    pub claim: bool,
    /// Enclave technologies that the pool has an SMS for. Deals that demand another are refused.
    pub frameworks: BTreeSet<TeeFramework>,
    /// Whether a worker that knows it may finish a standard task of trust 1 with one transaction (design §7).
    pub caf: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allowed_workers: BTreeSet::new(),
            ask_period: Duration::from_secs(5),
            ask_patience: Duration::from_secs(25),
            report_patience: Duration::from_secs(50),
            worker_silence: Duration::from_secs(60),
            upload_patience: Duration::from_secs(120),
            report_grace: Duration::from_secs(5),
            tell_again: Duration::from_secs(30),
            recovery_patience: Duration::from_secs(120),
            clock_skew: Duration::from_secs(15),
            block_time: Duration::from_secs(5),
            window_reserve_percent: 100,
            initialize_ahead: 1000,
            expand_at_once: 500,
            retry_first: Duration::from_secs(2),
            retry_most: Duration::from_secs(60),
            keep_ended: Duration::from_secs(600),
            claim: true,
            frameworks: BTreeSet::new(),
            caf: true,
        }
    }
}

impl Settings {
    /// Blocks in one hour: a receipt further ahead of the head than this is not waited for (spec scheduler-api Q18).
    pub(crate) fn blocks_in_an_hour(&self) -> u64 {
        let block = self.block_time.as_millis().max(1);
        u64::try_from(3_600_000 / block).unwrap_or(u64::MAX).max(1)
    }
}
