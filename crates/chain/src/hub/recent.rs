//! What does not change once it is there, remembered for a minute: the tasks of a bag share their deal, its category and its application.
//! A reorganisation can move a deal to another block and its start time with it, and a pool can be sold: who cannot live with an answer
//! that is a minute old asks the chain. What was not there is never remembered, and neither is an error.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use alloy_primitives::Address;
use poco::{
    contracts::{AppInfo, Category, DatasetInfo, Deal},
    ids::DealId,
};

use super::Hub;
use crate::NodeError;

/// How long an answer is remembered.
const LONG: Duration = Duration::from_secs(60);
/// Answers of one kind that are remembered.
const MOST: usize = 256;

/// Answers of one kind.
#[derive(Debug)]
struct Answers<K, V>(Mutex<HashMap<K, (Instant, V)>>);

impl<K, V> Default for Answers<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Answers<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(key)
            .filter(|(at, _)| at.elapsed() < LONG)
            .map(|(_, value)| value.clone())
    }

    fn keep(&self, key: K, value: &V) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, (at, _)| at.elapsed() < LONG);
        }
        if known.len() < MOST {
            known.insert(key, (Instant::now(), value.clone()));
        }
    }

    /// The remembered answer, or the one of `ask`.
    async fn or_ask(
        &self,
        key: K,
        ask: impl Future<Output = Result<Option<V>, NodeError>>,
    ) -> Result<Option<V>, NodeError> {
        if let Some(known) = self.get(&key) {
            return Ok(Some(known));
        }
        let answer = ask.await?;
        if let Some(value) = &answer {
            self.keep(key, value);
        }
        Ok(answer)
    }
}

/// What a hub was found to hold of late.
#[derive(Debug, Default)]
pub(super) struct Recent {
    deals: Answers<DealId, Deal>,
    categories: Answers<u64, Category>,
    apps: Answers<Address, AppInfo>,
    datasets: Answers<Address, DatasetInfo>,
    owners: Answers<Address, Address>,
}

/// As the functions without `recent_`, with answers that may be a minute old.
#[allow(clippy::missing_errors_doc)]
impl Hub {
    /// A deal.
    pub async fn recent_deal(&self, deal: DealId) -> Result<Option<Deal>, NodeError> {
        self.recent.deals.or_ask(deal, self.deal(deal)).await
    }

    /// A category.
    pub async fn recent_category(&self, category: u64) -> Result<Option<Category>, NodeError> {
        let asked = self.category(category);
        self.recent.categories.or_ask(category, asked).await
    }

    /// An application.
    pub async fn recent_app(&self, app: Address) -> Result<Option<AppInfo>, NodeError> {
        self.recent.apps.or_ask(app, self.app(app)).await
    }

    /// A dataset.
    pub async fn recent_dataset(&self, dataset: Address) -> Result<Option<DatasetInfo>, NodeError> {
        let asked = self.dataset(dataset);
        self.recent.datasets.or_ask(dataset, asked).await
    }

    /// Who owned a workerpool contract when that was last asked through [`Hub::owner_of_late`], if it was of late.
    pub fn remembered_owner(&self, pool: Address) -> Option<Address> {
        self.recent.owners.get(&pool)
    }

    /// Who owns a workerpool contract, asked and remembered.
    pub async fn owner_of_late(&self, pool: Address) -> Result<Address, NodeError> {
        let owner = self.pool_owner(pool).await?;
        self.recent.owners.keep(pool, &owner);
        Ok(owner)
    }
}
