//! What does not change once it is there, remembered: the tasks of a bag share their deal, its category and its application, and many who
//! want to know the same at once ask once. A reorganisation can move a deal to another block and its start time with it, and a pool can be
//! sold: who cannot live with an answer that is ten minutes old asks the chain. That a deal is there is shown by a task that names it. What
//! was not there is never remembered, and neither is an error: it is told to those who waited for it, and to nobody else.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use alloy_primitives::Address;
use poco::{
    contracts::{AppInfo, Category, DatasetInfo, Deal},
    ids::DealId,
};
use tokio::sync::OnceCell;

use super::Hub;
use crate::NodeError;

/// For how long what a reorganisation or a sale may change is remembered.
const LONG: Duration = Duration::from_secs(600);
/// For how long what never changes is remembered.
const LONGEST: Duration = Duration::from_secs(3600);
/// Answers of one kind that are remembered.
const MOST: usize = 256;

/// An answer, when it came, and for how long it is good.
#[derive(Debug)]
struct Answer<V> {
    value: V,
    at: Instant,
    good_for: Duration,
}

impl<V> Answer<V> {
    fn new(value: V, good_for: Duration) -> Self {
        Self {
            value,
            at: Instant::now(),
            good_for,
        }
    }

    fn is_good(&self) -> bool {
        self.at.elapsed() < self.good_for
    }
}

/// Empty until somebody's question is answered or fails; others wait for that, and have the same. Should who asked go away, or find nothing,
/// the next of them asks.
type Place<V> = Arc<OnceCell<Result<Answer<V>, NodeError>>>;

/// The answer at a place, while it is good.
fn good<V>(place: &Place<V>) -> Option<&Answer<V>> {
    let answer = place.get()?.as_ref().ok()?;
    answer.is_good().then_some(answer)
}

/// Answers of one kind.
#[derive(Debug)]
struct Answers<K, V>(Mutex<HashMap<K, Place<V>>>);

impl<K, V> Default for Answers<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Answers<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Some(good(known.get(key)?)?.value.clone())
    }

    fn keep(&self, key: K, value: &V, good_for: Duration) {
        let answer = Answer::new(value.clone(), good_for);
        let place = OnceCell::new_with(Some(Ok(answer)));
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut known);
        known.insert(key, Arc::new(place));
    }

    /// Where the answer is, or will be.
    fn place(&self, key: K) -> Place<V> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let usable = |place: &&Place<V>| !place.initialized() || good(place).is_some();
        if let Some(place) = known.get(&key).filter(usable) {
            return Arc::clone(place);
        }
        let place = Place::default();
        make_room(&mut known);
        known.insert(key, Arc::clone(&place));
        place
    }

    /// The remembered answer, or the one of `ask`, which is good for so long.
    async fn or_ask(
        &self,
        key: K,
        ask: impl Future<Output = Result<Option<V>, NodeError>>,
        good_for: Duration,
    ) -> Result<Option<V>, NodeError> {
        let place = self.place(key);
        let asked = async {
            let outcome = ask.await.transpose().ok_or(())?;
            Ok(outcome.map(|value| Answer::new(value, good_for)))
        };
        match place.get_or_try_init(|| asked).await {
            Ok(Ok(answer)) => Ok(Some(answer.value.clone())),
            Ok(Err(error)) => Err(error.clone()),
            Err(()) => Ok(None),
        }
    }
}

/// Makes room for one more by forgetting what is not good any more, or everything. Who waits at a place that is forgotten is answered there.
fn make_room<K: Eq + Hash, V>(known: &mut HashMap<K, Place<V>>) {
    if known.len() >= MOST {
        known.retain(|_, place| good(place).is_some());
    }
    if known.len() >= MOST {
        known.clear();
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

/// As the functions without `recent_`, with answers that may be old. The owner of an asset may be another by now; what it is, is not.
#[allow(
    clippy::missing_errors_doc,
    reason = "those of the functions without `recent_`"
)]
impl Hub {
    /// A deal.
    pub async fn recent_deal(&self, deal: DealId) -> Result<Option<Deal>, NodeError> {
        let asked = self.deal(deal);
        self.recent.deals.or_ask(deal, asked, LONG).await
    }

    /// A category.
    pub async fn recent_category(&self, category: u64) -> Result<Option<Category>, NodeError> {
        let asked = self.category(category);
        self.recent
            .categories
            .or_ask(category, asked, LONGEST)
            .await
    }

    /// An application.
    pub async fn recent_app(&self, app: Address) -> Result<Option<AppInfo>, NodeError> {
        self.recent.apps.or_ask(app, self.app(app), LONGEST).await
    }

    /// A dataset.
    pub async fn recent_dataset(&self, dataset: Address) -> Result<Option<DatasetInfo>, NodeError> {
        let asked = self.dataset(dataset);
        self.recent.datasets.or_ask(dataset, asked, LONGEST).await
    }

    /// Who owned a workerpool contract when that was last asked through [`Hub::owner_of_late`], if it was of late.
    pub fn remembered_owner(&self, pool: Address) -> Option<Address> {
        self.recent.owners.get(&pool)
    }

    /// Who owns a workerpool contract, asked and remembered.
    pub async fn owner_of_late(&self, pool: Address) -> Result<Address, NodeError> {
        let owner = self.pool_owner(pool).await?;
        self.recent.owners.keep(pool, &owner, LONG);
        Ok(owner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn many_who_want_to_know_at_once_ask_once() {
        let (answers, asked) = (Answers::<u32, u32>::default(), AtomicU32::new(0));
        let ask = || async {
            tokio::task::yield_now().await;
            Ok(Some(asked.fetch_add(1, Ordering::Relaxed)))
        };
        let one = || answers.or_ask(7, ask(), LONGEST);
        let (a, b, c) = tokio::join!(one(), one(), one());
        assert_eq!(
            (a.unwrap(), b.unwrap(), c.unwrap()),
            (Some(0), Some(0), Some(0))
        );
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn many_who_wait_for_a_question_that_fails_fail_with_it_and_the_next_asks_anew() {
        // Each asked by itself when the one before had failed, so that the last of them waited for as many time-outs as there were.
        let (answers, asked) = (Answers::<u32, u32>::default(), AtomicU32::new(0));
        let fails = || async {
            tokio::task::yield_now().await;
            asked.fetch_add(1, Ordering::Relaxed);
            Err(NodeError::NoUrl)
        };
        let one = || answers.or_ask(7, fails(), LONGEST);
        let all: [_; 3] = tokio::join!(one(), one(), one()).into();
        assert_eq!(all, [const { Err(NodeError::NoUrl) }; 3]);
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        let next = answers.or_ask(7, async { Ok(Some(5)) }, LONGEST).await;
        assert_eq!((next, answers.get(&7)), (Ok(Some(5)), Some(5)));
    }

    #[tokio::test]
    async fn who_asked_and_went_away_leaves_the_question_to_those_who_wait() {
        let answers = Answers::<u32, u32>::default();
        let first = answers.or_ask(7, std::future::pending(), LONGEST);
        let second = answers.or_ask(7, async { Ok(Some(1)) }, LONGEST);
        tokio::pin!(second);
        {
            tokio::pin!(first);
            tokio::select! {
                biased;
                _ = &mut first => unreachable!("nobody answers"),
                _ = &mut second => unreachable!("the first has asked already"),
                () = tokio::task::yield_now() => {}
            }
        }
        assert_eq!(second.await, Ok(Some(1)));
    }

    #[tokio::test]
    async fn who_waits_for_a_question_that_finds_nothing_asks_too() {
        // It may have come to be there since that was asked.
        let answers = Answers::<u32, u32>::default();
        let nothing = async {
            tokio::task::yield_now().await;
            Ok(None)
        };
        let first = answers.or_ask(7, nothing, LONGEST);
        let second = answers.or_ask(7, async { Ok(Some(1)) }, LONGEST);
        assert_eq!(tokio::join!(first, second), (Ok(None), Ok(Some(1))));
    }

    #[tokio::test]
    async fn what_was_not_there_is_asked_for_again_and_so_is_what_is_too_old() {
        let answers = Answers::<u32, u32>::default();
        let says = |value| async move { Ok(value) };
        assert_eq!(answers.or_ask(7, says(None), LONGEST).await.unwrap(), None);
        assert_eq!(answers.get(&7), None);
        let brief = answers.or_ask(7, says(Some(1)), Duration::ZERO).await;
        assert_eq!(brief.unwrap(), Some(1));
        assert_eq!(answers.get(&7), None);
        let longer = answers.or_ask(7, says(Some(2)), LONGEST).await;
        assert_eq!((longer.unwrap(), answers.get(&7)), (Some(2), Some(2)));
        let known = answers.or_ask(7, says(Some(3)), LONGEST).await;
        assert_eq!(known.unwrap(), Some(2));
    }

    #[tokio::test]
    async fn a_full_memory_begins_anew() {
        let answers = Answers::<usize, usize>::default();
        for key in 0..=MOST {
            let answer = answers.or_ask(key, async move { Ok(Some(key)) }, LONGEST);
            assert_eq!(answer.await.unwrap(), Some(key));
        }
        assert_eq!(answers.get(&0), None);
        assert_eq!(answers.get(&MOST), Some(MOST));
    }
}
