//! What the chain says about a worker's wallet: whether it can pay for its transactions, and how much its word counts.
//!
//! Asked once and remembered for a while, so that an ask for work waits for no node. What cannot be read is not an answer: the
//! last known one counts, and with none the worker is not held back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alloy_primitives::Address;
use chain::Hub;
use poco::units::Wei;
use tokio_util::task::TaskTracker;

/// How long an answer counts as new: one that holds the worker back, and one that does not.
const FRESH: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(300));
/// How long an ask for work waits for a first answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Wallets remembered at most.
const MOST: usize = 100_000;
/// Gas of one transaction, for "can pay" (spec onchain C3).
pub(crate) const GAS_OF_ONE: u128 = 1_000_000;

/// What is known of a wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wallet {
    /// Whether it can pay; none when that was never read.
    pub(crate) can_pay: Option<bool>,
    /// Its weight; none when that was never read.
    pub(crate) weight: Option<u64>,
}

impl Wallet {
    fn fresh_for(self) -> Duration {
        match (self.can_pay, self.weight) {
            (Some(true), Some(_)) => FRESH.1,
            _ => FRESH.0,
        }
    }
}

/// Reads and remembers wallets.
pub(crate) struct Wallets {
    hub: Hub,
    /// Where gas costs nothing.
    sidechain: bool,
    /// Wei that one transaction may cost.
    needed: Wei,
    known: Mutex<HashMap<Address, (Wallet, Instant)>>,
    running: TaskTracker,
}

impl Wallets {
    pub(crate) fn new(
        hub: Hub,
        sidechain: bool,
        gas_price_cap: Wei,
        running: TaskTracker,
    ) -> Arc<Self> {
        let needed = Wei(gas_price_cap.0.saturating_mul(GAS_OF_ONE));
        Arc::new(Self {
            hub,
            sidechain,
            needed,
            known: Mutex::new(HashMap::new()),
            running,
        })
    }

    /// What is known of the wallet. Waits only the first time, and then not long.
    pub(crate) async fn of(self: &Arc<Self>, worker: Address) -> Wallet {
        let known = self.known().get(&worker).copied();
        match known {
            Some((wallet, at)) if at.elapsed() < wallet.fresh_for() => wallet,
            Some((wallet, _)) => {
                // Told now, read for the next time. Marked first, so that it is read once.
                self.remember(worker, wallet);
                let this = Arc::clone(self);
                self.running
                    .spawn(async move { tokio::time::timeout(PATIENCE, this.read(worker)).await });
                wallet
            }
            None => {
                if tokio::time::timeout(PATIENCE, self.read(worker))
                    .await
                    .is_err()
                {
                    tracing::debug!(worker = %worker, "the node is slow to tell about a worker's wallet");
                }
                self.known()
                    .get(&worker)
                    .map(|(wallet, _)| *wallet)
                    .unwrap_or_default()
            }
        }
    }

    async fn read(&self, worker: Address) {
        let before = self
            .known()
            .get(&worker)
            .map(|(wallet, _)| *wallet)
            .unwrap_or_default();
        let can_pay = if self.sidechain {
            Some(true)
        } else {
            self.can_pay(worker).await
        };
        let weight = match self.hub.score(worker).await {
            Ok(score) => Some(poco::consensus::weight(score)),
            Err(error) => {
                tracing::debug!(worker = %worker, %error, "a worker's score cannot be read");
                None
            }
        };
        let wallet = Wallet {
            can_pay: can_pay.or(before.can_pay),
            weight: weight.or(before.weight),
        };
        if wallet != Wallet::default() {
            self.remember(worker, wallet);
        }
    }

    async fn can_pay(&self, worker: Address) -> Option<bool> {
        match self.hub.node().balance(worker).await {
            Ok(balance) => Some(balance >= self.needed),
            Err(error) => {
                tracing::debug!(worker = %worker, %error, "a worker's balance cannot be read");
                None
            }
        }
    }

    fn remember(&self, worker: Address, wallet: Wallet) {
        let mut known = self.known();
        if known.len() >= MOST && !known.contains_key(&worker) {
            known.clear();
        }
        known.insert(worker, (wallet, Instant::now()));
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Address, (Wallet, Instant)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
