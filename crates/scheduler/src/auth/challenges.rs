//! Challenges that were posed and wait for a signature: one a wallet and purpose, the same text until it expires.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy_primitives::Address;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use poco::challenge::Challenge;
use poco::units::Timestamp;
use rand::RngCore;
use serde::{Deserialize, Serialize};
use store::{Batch, Collection, Columns, Select, Store, StoreError};

/// What a challenge is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A worker's login: 5 minutes.
    WorkerLogin,
    /// Reading a task's logs: 60 minutes.
    TaskLogs,
}

impl Purpose {
    const fn name(self) -> &'static str {
        match self {
            Self::WorkerLogin => "worker-login",
            Self::TaskLogs => "task-logs",
        }
    }

    const fn lifetime(self) -> Duration {
        match self {
            Self::WorkerLogin => Duration::from_secs(5 * 60),
            Self::TaskLogs => Duration::from_secs(60 * 60),
        }
    }
}

/// Challenges held at most for each purpose: anybody may ask for one (spec scheduler-api Q6).
const MOST: usize = 20_000;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Posed {
    wallet: Address,
    text: String,
    until: Timestamp,
}

/// The challenges of one purpose.
pub(super) struct Challenges {
    purpose: Purpose,
    /// How many are held at most.
    most: usize,
    store: Store,
    held: Mutex<Held>,
}

/// Challenges by wallet, and in the order in which they end: anybody may have one posed, so finding the first to end must stay cheap.
#[derive(Default)]
struct Held {
    by_wallet: BTreeMap<Address, Posed>,
    by_end: BTreeSet<(Timestamp, Address)>,
}

impl Held {
    fn put(&mut self, posed: Posed) {
        self.remove(posed.wallet);
        self.by_end.insert((posed.until, posed.wallet));
        self.by_wallet.insert(posed.wallet, posed);
    }

    fn remove(&mut self, wallet: Address) {
        if let Some(posed) = self.by_wallet.remove(&wallet) {
            self.by_end.remove(&(posed.until, wallet));
        }
    }

    fn present(&self, wallet: Address, now: Timestamp) -> Option<&Posed> {
        self.by_wallet
            .get(&wallet)
            .filter(|present| now < present.until)
    }

    fn first_to_end(&self) -> Option<Address> {
        self.by_end.first().map(|(_, wallet)| *wallet)
    }

    /// Forgets what has ended.
    fn sweep(&mut self, now: Timestamp) {
        while let Some((until, wallet)) = self.by_end.first().copied()
            && until <= now
        {
            self.remove(wallet);
        }
    }
}

impl Challenges {
    pub(super) async fn open(store: Store, purpose: Purpose) -> Result<Self, StoreError> {
        let mine = Select {
            owner: Some(purpose.name().to_owned()),
            ..Select::default()
        };
        let mut held = Held::default();
        for found in store.select::<Posed>(Collection::Challenges, mine).await? {
            held.put(found.body);
        }
        Ok(Self {
            purpose,
            most: MOST,
            store,
            held: Mutex::new(held),
        })
    }

    /// The wallet's challenge: the present one, or a new one, stored before it is told.
    pub(super) async fn of(&self, wallet: Address, now: Timestamp) -> Result<String, StoreError> {
        let (posed, dropped) = {
            let mut held = self.held();
            if let Some(present) = held.present(wallet, now) {
                return Ok(present.text.clone());
            }
            // The one that is replaced makes room by itself.
            held.remove(wallet);
            let dropped = if held.by_wallet.len() < self.most {
                None
            } else {
                held.first_to_end()
            };
            if let Some(other) = dropped {
                held.remove(other);
            }
            let until = now.saturating_add(self.purpose.lifetime());
            let posed = Posed {
                wallet,
                text: draw(),
                until,
            };
            held.put(posed.clone());
            (posed, dropped)
        };
        let columns = Columns::default()
            .owner(self.purpose.name())
            .at(posed.until);
        let mut batch =
            Batch::new().put_with(Collection::Challenges, self.key(wallet), columns, &posed);
        if let Some(other) = dropped {
            batch = batch.delete(Collection::Challenges, self.key(other));
        }
        self.store.commit(batch).await?;
        Ok(posed.text)
    }

    /// The wallet's challenge, if it was posed and has not expired.
    pub(super) fn present(&self, wallet: Address, now: Timestamp) -> Option<String> {
        self.held()
            .present(wallet, now)
            .map(|present| present.text.clone())
    }

    /// Uses the challenge up. False when it was used or replaced meanwhile.
    pub(super) async fn remove(&self, wallet: Address, text: &str) -> Result<bool, StoreError> {
        {
            let mut held = self.held();
            if held
                .by_wallet
                .get(&wallet)
                .is_none_or(|present| present.text != text)
            {
                return Ok(false);
            }
            held.remove(wallet);
        }
        self.store
            .commit(Batch::new().delete(Collection::Challenges, self.key(wallet)))
            .await?;
        Ok(true)
    }

    /// Forgets what has expired, in memory.
    pub(super) fn sweep(&self, now: Timestamp) {
        self.held().sweep(now);
    }

    fn key(&self, wallet: Address) -> String {
        format!("{}:{wallet:#x}", self.purpose.name())
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 32 random bytes as base64. A text that begins with `0x` is drawn again: peers disagree on what it means (spec
/// scheduler-api Q2).
fn draw() -> String {
    loop {
        let mut bytes = [0_u8; 32];
        rand::rng().fill_bytes(&mut bytes);
        let text = STANDARD.encode(bytes);
        if Challenge::is_unambiguous(&text) {
            return text;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::Identity;

    const ANN: Address = Address::repeat_byte(0xaa);
    const BOB: Address = Address::repeat_byte(0xbb);

    fn store(folder: &tempfile::TempDir) -> Store {
        let identity = Identity {
            role: "scheduler".into(),
            chain_id: 1,
            hub: Address::ZERO,
            pool: None,
        };
        Store::open(folder.path(), &identity).unwrap()
    }

    #[tokio::test]
    async fn a_challenge_stays_the_same_for_five_minutes_and_then_changes() {
        let folder = tempfile::tempdir().unwrap();
        let logins = Challenges::open(store(&folder), Purpose::WorkerLogin)
            .await
            .unwrap();
        let start = Timestamp::from_secs(1_000);
        let first = logins.of(ANN, start).await.unwrap();
        assert_eq!(first.len(), 44);
        assert_eq!(
            logins.of(ANN, Timestamp::from_secs(1_299)).await.unwrap(),
            first
        );
        assert_ne!(logins.of(BOB, start).await.unwrap(), first);
        assert_eq!(logins.present(ANN, Timestamp::from_secs(1_300)), None);
        assert_ne!(
            logins.of(ANN, Timestamp::from_secs(1_300)).await.unwrap(),
            first
        );
    }

    #[tokio::test]
    async fn a_challenge_is_used_once() {
        let folder = tempfile::tempdir().unwrap();
        let logins = Challenges::open(store(&folder), Purpose::WorkerLogin)
            .await
            .unwrap();
        let start = Timestamp::from_secs(1_000);
        let text = logins.of(ANN, start).await.unwrap();
        assert!(logins.remove(ANN, &text).await.unwrap());
        assert!(!logins.remove(ANN, &text).await.unwrap());
        assert_ne!(logins.of(ANN, start).await.unwrap(), text);
    }

    #[tokio::test]
    async fn a_flood_of_strangers_costs_bounded_memory_and_only_the_oldest_challenge() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        let logins = Challenges {
            most: 3,
            ..Challenges::open(store.clone(), Purpose::WorkerLogin)
                .await
                .unwrap()
        };
        let at = |seconds: u64| Timestamp::from_secs(1_000 + seconds);
        for seconds in 0..6_u8 {
            let stranger = Address::repeat_byte(seconds);
            logins.of(stranger, at(seconds.into())).await.unwrap();
        }
        let genuine = logins.of(ANN, at(6)).await.unwrap();
        assert_eq!(logins.present(ANN, at(7)), Some(genuine));
        assert_eq!(logins.present(Address::repeat_byte(3), at(7)), None);
        assert!(logins.present(Address::repeat_byte(4), at(7)).is_some());
        assert_eq!(logins.held().by_wallet.len(), 3);
        let stored = store
            .select::<Posed>(Collection::Challenges, Select::default())
            .await
            .unwrap();
        assert_eq!(stored.len(), 3, "the disk is bounded too");
        logins.sweep(at(305));
        let held = logins.held();
        assert_eq!((held.by_wallet.len(), held.by_end.len()), (1, 1));
    }

    #[tokio::test]
    async fn a_challenge_survives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let start = Timestamp::from_secs(1_000);
        let text = {
            let logins = Challenges::open(store(&folder), Purpose::WorkerLogin)
                .await
                .unwrap();
            logins.of(ANN, start).await.unwrap()
        };
        let again = store(&folder);
        let logins = Challenges::open(again.clone(), Purpose::WorkerLogin)
            .await
            .unwrap();
        assert_eq!(logins.present(ANN, start), Some(text));
        let logs = Challenges::open(again, Purpose::TaskLogs).await.unwrap();
        assert_eq!(logs.present(ANN, start), None, "each purpose has its own");
    }
}
