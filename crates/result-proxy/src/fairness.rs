//! What keeps strangers from using the proxy up (spec result-proxy §13): anybody may own a workerpool, sell himself a deal, and so have a
//! token. The operator may name the workerpools that are served, and no wallet has more than a few uploads under way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_primitives::Address;

/// Uploads that a wallet may have under way at the same time: more than a worker has results, and little of a disk.
pub(crate) const UPLOADS_EACH: u32 = 16;

/// The workerpools whose tasks are served; all of them when none is named.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pools(Arc<BTreeSet<Address>>);

impl Pools {
    /// These, or all when there are none.
    pub(crate) fn new(named: BTreeSet<Address>) -> Self {
        Self(Arc::new(named))
    }

    /// Whether tasks of this workerpool are served.
    pub(crate) fn serve(&self, pool: Address) -> bool {
        self.0.is_empty() || self.0.contains(&pool)
    }
}

/// The uploads that are under way, by wallet. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Underway(Arc<Mutex<BTreeMap<Address, u32>>>);

impl Underway {
    /// Counts one more upload of `wallet` until what is returned is dropped; `None` when it has enough of them.
    pub(crate) fn begin(&self, wallet: Address) -> Option<Upload> {
        let mut counts = self.counts();
        let count = counts.entry(wallet).or_default();
        if *count >= UPLOADS_EACH {
            return None;
        }
        *count += 1;
        Some(Upload {
            of: self.clone(),
            wallet,
        })
    }

    fn end(&self, wallet: Address) {
        let mut counts = self.counts();
        if let Some(count) = counts.get_mut(&wallet) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&wallet);
            }
        }
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<Address, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One upload that is under way.
pub(crate) struct Upload {
    of: Underway,
    wallet: Address,
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.of.end(self.wallet);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: Address = Address::repeat_byte(1);
    const BOB: Address = Address::repeat_byte(2);

    #[test]
    fn a_wallet_has_a_few_uploads_at_a_time_and_takes_nothing_from_others() {
        let underway = Underway::default();
        let mut anns: Vec<_> = (0..UPLOADS_EACH).map(|_| underway.begin(ANN)).collect();
        assert!(anns.iter().all(Option::is_some));
        assert!(underway.begin(ANN).is_none());
        assert!(underway.begin(BOB).is_some());
        anns.pop();
        assert!(underway.begin(ANN).is_some());
        drop(anns);
        assert!(underway.counts().is_empty(), "nothing is left behind");
    }

    #[test]
    fn without_a_list_every_pool_is_served() {
        assert!(Pools::default().serve(ANN));
        let some = Pools::new(BTreeSet::from([ANN]));
        assert!(some.serve(ANN) && !some.serve(BOB));
    }
}
