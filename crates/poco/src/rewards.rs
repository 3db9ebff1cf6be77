//! Money: what each step of a task moves between accounts (spec onchain A13), in nRLC.
//!
//! A model of the contracts to check them against: it returns differences of free and locked stake by account and knows
//! no balance. Whether a step may be taken at all (stakes, deadlines, reveals) is the chain's to say.

use std::collections::BTreeMap;

use alloy_primitives::{Address, address};

use crate::units::NanoRlc;

/// Where the stakes of failed pools are frozen (spec onchain A2): the *first* 20 bytes of keccak256("iExecKitty"), less
/// one. Its locked stake is the kitty.
pub const KITTY_ADDRESS: Address = address!("99c2268479b93fDe36232351229815DF80837e23");
/// The share of the kitty that a success pays, in percent.
pub const KITTY_RATIO: u64 = 10;
/// What a success pays of the kitty at least, as long as it holds so much.
pub const KITTY_MINIMUM: NanoRlc = NanoRlc(1_000_000_000);
/// What a pool's owner stakes per task, in percent of the pool's price.
pub const POOL_STAKE_RATIO: u64 = 30;

/// The terms of a deal that money depends on; prices are per task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Who pays: the requester, or whoever sponsored the match.
    pub sponsor: Address,
    /// The app's owner at the match, and price.
    pub app: Payee,
    /// The dataset's owner at the match, and price. `None` without a dataset.
    pub dataset: Option<Payee>,
    /// The pool's owner at the match, and price.
    pub pool: Payee,
    /// What each worker stakes per contribution.
    pub worker_stake: NanoRlc,
    /// What the pool's owner keeps, in percent (0 to 100).
    pub scheduler_ratio: u64,
}

/// Somebody to pay, and how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payee {
    /// Who.
    pub owner: Address,
    /// The price of one task.
    pub price: NanoRlc,
}

impl Terms {
    /// What the sponsor pays for one task.
    pub fn cost(&self) -> NanoRlc {
        let dataset = self.dataset.map_or(NanoRlc(0), |dataset| dataset.price);
        self.app
            .price
            .saturating_plus(dataset)
            .saturating_plus(self.pool.price)
    }

    /// What the pool's owner stakes for one task.
    pub fn pool_stake(&self) -> NanoRlc {
        pool_stake(self.pool.price)
    }
}

/// What the owner of a pool with this price stakes for one task.
pub const fn pool_stake(price: NanoRlc) -> NanoRlc {
    fraction(price, POOL_STAKE_RATIO, 100)
}

/// What a worker stakes for one task of a pool with this price and this stake ratio (percent, may exceed 100).
pub const fn worker_stake(price: NanoRlc, ratio: u64) -> NanoRlc {
    fraction(price, ratio, 100)
}

/// What a success pays the pool's owner out of this kitty.
pub fn kitty_share(kitty: NanoRlc) -> NanoRlc {
    fraction(kitty, KITTY_RATIO, 100)
        .max(KITTY_MINIMUM)
        .min(kitty)
}

/// One contribution as the final sharing sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// The worker.
    pub worker: Address,
    /// Whether it revealed on the consensus value.
    pub proved: bool,
    /// Its stored weight ([`crate::consensus::stored_weight`]).
    pub weight: u32,
}

/// How one account changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Change {
    /// Free stake gained (or lost) in nRLC.
    pub stake: i128,
    /// Locked stake gained (or lost) in nRLC.
    pub locked: i128,
}

/// How every account changed; accounts that did not are absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes(BTreeMap<Address, Change>);

impl Changes {
    /// How `account` changed.
    pub fn of(&self, account: Address) -> Change {
        self.0.get(&account).copied().unwrap_or_default()
    }

    /// Every account that changed.
    pub fn iter(&self) -> impl Iterator<Item = (Address, Change)> {
        self.0.iter().map(|(account, change)| (*account, *change))
    }

    /// These changes followed by `later` ones.
    #[must_use]
    pub fn then(mut self, later: &Self) -> Self {
        for (account, change) in later.iter() {
            self.add(account, change.stake, change.locked);
        }
        self
    }

    fn add(&mut self, account: Address, stake: i128, locked: i128) {
        let change = self.0.entry(account).or_default();
        change.stake += stake;
        change.locked += locked;
        if *change == Change::default() {
            self.0.remove(&account);
        }
    }

    fn lock(&mut self, account: Address, amount: NanoRlc) {
        self.add(account, -signed(amount), signed(amount));
    }

    fn unlock(&mut self, account: Address, amount: NanoRlc) {
        self.add(account, signed(amount), -signed(amount));
    }

    fn seize(&mut self, account: Address, amount: NanoRlc) {
        self.add(account, 0, -signed(amount));
    }

    fn reward(&mut self, account: Address, amount: NanoRlc) {
        self.add(account, signed(amount), 0);
    }
}

/// A match of `volume` tasks: the sponsor locks their cost, the pool's owner its stakes (rounded per task, then
/// multiplied).
pub fn matched(terms: &Terms, volume: u64) -> Changes {
    let mut changes = Changes::default();
    changes.lock(terms.sponsor, times(terms.cost(), volume));
    changes.lock(terms.pool.owner, times(terms.pool_stake(), volume));
    changes
}

/// A contribution: the worker locks its stake.
pub fn contributed(terms: &Terms, worker: Address) -> Changes {
    let mut changes = Changes::default();
    changes.lock(worker, terms.worker_stake);
    changes
}

/// `finalize`: the classic sharing among `shares`, all contributions of the task. The stakes of those that did not prove
/// go to those that did; what the rounding leaves goes to the pool's owner. `kitty` is what the kitty holds before.
pub fn finalized(terms: &Terms, shares: &[Share], kitty: NanoRlc) -> Changes {
    let mut changes = paid_by_sponsor(terms, kitty);
    let losers = shares.iter().filter(|share| !share.proved).count();
    let weights: u64 = shares
        .iter()
        .filter(|share| share.proved)
        .map(|share| u64::from(share.weight))
        .sum();
    let pot = terms.pool.price.saturating_plus(times(
        terms.worker_stake,
        u64::try_from(losers).unwrap_or(u64::MAX),
    ));
    let for_workers = workers_part(pot, terms.scheduler_ratio);
    let mut left = pot;
    for share in shares {
        if share.proved {
            let reward = fraction(for_workers, u64::from(share.weight), weights);
            left = left.saturating_minus(reward);
            changes.unlock(share.worker, terms.worker_stake);
            changes.reward(share.worker, reward);
        } else {
            changes.seize(share.worker, terms.worker_stake);
        }
    }
    changes.reward(terms.pool.owner, left);
    changes
}

/// `contributeAndFinalize`: the fast sharing. The worker staked nothing.
pub fn contributed_and_finalized(terms: &Terms, worker: Address, kitty: NanoRlc) -> Changes {
    let mut changes = paid_by_sponsor(terms, kitty);
    let reward = workers_part(terms.pool.price, terms.scheduler_ratio);
    changes.reward(worker, reward);
    changes.reward(terms.pool.owner, terms.pool.price.saturating_minus(reward));
    changes
}

/// `claim`: the sponsor gets its money back, every contributor its stake, and the pool's stake goes to the kitty.
pub fn claimed(terms: &Terms, contributors: &[Address]) -> Changes {
    let mut changes = Changes::default();
    changes.unlock(terms.sponsor, terms.cost());
    changes.seize(terms.pool.owner, terms.pool_stake());
    changes.add(KITTY_ADDRESS, 0, signed(terms.pool_stake()));
    for contributor in contributors {
        changes.unlock(*contributor, terms.worker_stake);
    }
    changes
}

/// What every success has in common: the sponsor pays, app and dataset are paid, the pool's stake comes free, and the
/// pool's owner gets its share of the kitty.
fn paid_by_sponsor(terms: &Terms, kitty: NanoRlc) -> Changes {
    let mut changes = Changes::default();
    changes.seize(terms.sponsor, terms.cost());
    changes.reward(terms.app.owner, terms.app.price);
    if let Some(dataset) = terms.dataset {
        changes.reward(dataset.owner, dataset.price);
    }
    changes.unlock(terms.pool.owner, terms.pool_stake());
    let share = kitty_share(kitty);
    changes.seize(KITTY_ADDRESS, share);
    changes.reward(terms.pool.owner, share);
    changes
}

fn workers_part(pot: NanoRlc, scheduler_ratio: u64) -> NanoRlc {
    fraction(pot, 100_u64.saturating_sub(scheduler_ratio), 100)
}

/// `amount × part / whole`, rounded down; nothing of a whole of zero.
const fn fraction(amount: NanoRlc, part: u64, whole: u64) -> NanoRlc {
    if whole == 0 {
        return NanoRlc(0);
    }
    let product = amount.0 as u128 * part as u128 / whole as u128;
    NanoRlc(if product > u64::MAX as u128 {
        u64::MAX
    } else {
        product as u64
    })
}

const fn times(amount: NanoRlc, count: u64) -> NanoRlc {
    NanoRlc(amount.0.saturating_mul(count))
}

const fn signed(amount: NanoRlc) -> i128 {
    amount.0 as i128
}
