//! Money is neither made nor lost, and gas is offered exactly.

use alloy_primitives::{Address, address};
use poco::gas_price::{Multiplier, ZeroPrice, offer};
use poco::rewards::{self, Changes, KITTY_ADDRESS, Payee, Share, Terms};
use poco::units::{NanoRlc, Wei};
use proptest::prelude::*;

const SPONSOR: Address = address!("00000000000000000000000000000000000000a1");
const APP: Address = address!("00000000000000000000000000000000000000a2");
const DATASET: Address = address!("00000000000000000000000000000000000000a3");
const POOL: Address = address!("00000000000000000000000000000000000000a4");

fn worker(number: u8) -> Address {
    Address::with_last_byte(number)
}

fn terms(app: u64, dataset: u64, pool: u64, stake_ratio: u64, scheduler_ratio: u64) -> Terms {
    Terms {
        sponsor: SPONSOR,
        app: Payee {
            owner: APP,
            price: NanoRlc(app),
        },
        dataset: Some(Payee {
            owner: DATASET,
            price: NanoRlc(dataset),
        }),
        pool: Payee {
            owner: POOL,
            price: NanoRlc(pool),
        },
        worker_stake: rewards::worker_stake(NanoRlc(pool), stake_ratio),
        scheduler_ratio,
    }
}

/// All free and locked stake together.
fn sum(changes: &Changes) -> i128 {
    changes
        .iter()
        .map(|(_, change)| change.stake + change.locked)
        .sum()
}

#[test]
fn a_match_locks_the_cost_and_the_pools_stake_rounded_per_task() {
    let changes = rewards::matched(&terms(1000, 500, 2001, 35, 5), 3);
    assert_eq!(changes.of(SPONSOR).locked, 3 * 3501);
    assert_eq!(changes.of(SPONSOR).stake, -3 * 3501);
    // 30 % of 2001 is 600.3, of which each task locks 600.
    assert_eq!(changes.of(POOL).locked, 1800);
}

#[test]
fn a_successful_task_leaves_nothing_locked() {
    let terms = terms(1000, 500, 2000, 35, 5);
    let shares = [
        Share {
            worker: worker(1),
            proved: true,
            weight: 1,
        },
        Share {
            worker: worker(2),
            proved: false,
            weight: 1,
        },
    ];
    let changes = rewards::matched(&terms, 1)
        .then(&rewards::contributed(&terms, worker(1)))
        .then(&rewards::contributed(&terms, worker(2)))
        .then(&rewards::finalized(&terms, &shares, NanoRlc(0)));
    assert!(changes.iter().all(|(_, change)| change.locked == 0));
    // The loser's 700 are in the pot: 2700, of which workers have 95 %.
    assert_eq!(changes.of(worker(1)).stake, 2565);
    assert_eq!(changes.of(worker(2)).stake, -700);
    assert_eq!(changes.of(POOL).stake, 135);
    assert_eq!(changes.of(SPONSOR).stake, -3500);
}

#[test]
fn a_claim_refunds_the_sponsor_and_feeds_the_kitty_with_the_pools_stake() {
    let terms = terms(1000, 500, 2000, 35, 5);
    let changes = rewards::matched(&terms, 1)
        .then(&rewards::contributed(&terms, worker(1)))
        .then(&rewards::claimed(&terms, &[worker(1)]));
    assert_eq!(changes.of(SPONSOR), Default::default());
    assert_eq!(changes.of(worker(1)), Default::default());
    assert_eq!(changes.of(POOL).stake, -600);
    assert_eq!(changes.of(KITTY_ADDRESS).locked, 600);
}

#[test]
fn the_next_success_takes_a_small_kitty_whole() {
    let terms = terms(0, 0, 2000, 35, 5);
    let shares = [Share {
        worker: worker(1),
        proved: true,
        weight: 1,
    }];
    let changes = rewards::finalized(&terms, &shares, NanoRlc(1800));
    assert_eq!(changes.of(KITTY_ADDRESS).locked, -1800);
    assert_eq!(changes.of(POOL).stake, 600 + 100 + 1800);
}

#[test]
fn a_task_finalised_in_one_call_pays_without_a_stake() {
    let terms = terms(1000, 500, 2000, 35, 5);
    let changes = rewards::contributed_and_finalized(&terms, worker(1), NanoRlc(0));
    assert_eq!(changes.of(worker(1)).stake, 1900);
    assert_eq!(changes.of(worker(1)).locked, 0);
    assert_eq!(changes.of(POOL).stake, 600 + 100);
    assert_eq!(changes.of(POOL).locked, -600);
}

#[test]
fn heavier_workers_earn_more() {
    let terms = terms(0, 0, 1000, 30, 0);
    let shares = [
        Share {
            worker: worker(1),
            proved: true,
            weight: 1,
        },
        Share {
            worker: worker(2),
            proved: true,
            weight: 3,
        },
    ];
    let changes = rewards::finalized(&terms, &shares, NanoRlc(0));
    assert_eq!(changes.of(worker(1)).stake, 300 + 250);
    assert_eq!(changes.of(worker(2)).stake, 300 + 750);
}

prop_compose! {
    fn any_terms()(
        app in 0_u64..10_000_000_000, dataset in 0_u64..10_000_000_000, pool in 0_u64..10_000_000_000,
        stake_ratio in 0_u64..300, scheduler_ratio in 0_u64..=100,
    ) -> Terms {
        terms(app, dataset, pool, stake_ratio, scheduler_ratio)
    }
}

proptest! {
    #[test]
    fn no_step_makes_or_loses_money(
        terms in any_terms(),
        proved in prop::collection::vec((any::<bool>(), 1_u32..7), 0..6),
        kitty in 0_u64..100_000_000_000,
    ) {
        let mut shares = vec![Share { worker: worker(0), proved: true, weight: 1 }];
        shares.extend(proved.into_iter().enumerate().map(|(index, (proved, weight))| Share {
            worker: worker(index as u8 + 1),
            proved,
            weight,
        }));
        let contributors: Vec<Address> = shares.iter().map(|share| share.worker).collect();
        let started = contributors.iter().fold(rewards::matched(&terms, 1), |changes, contributor| {
            changes.then(&rewards::contributed(&terms, *contributor))
        });
        prop_assert_eq!(sum(&started), 0);

        let finalized = started.clone().then(&rewards::finalized(&terms, &shares, NanoRlc(kitty)));
        prop_assert_eq!(sum(&finalized), 0);
        // Nobody but the kitty has anything locked any more.
        prop_assert!(finalized.iter().all(|(account, change)| account == KITTY_ADDRESS || change.locked == 0));

        let claimed = started.then(&rewards::claimed(&terms, &contributors));
        prop_assert_eq!(sum(&claimed), 0);
        prop_assert!(claimed.iter().all(|(account, change)| account == KITTY_ADDRESS || change.locked == 0));

        let at_once = rewards::matched(&terms, 1)
            .then(&rewards::contributed_and_finalized(&terms, worker(0), NanoRlc(kitty)));
        prop_assert_eq!(sum(&at_once), 0);
    }

    #[test]
    fn an_offer_is_never_below_the_network_nor_above_the_cap(
        network in 1_u128..1_000_000_000_000_000,
        thousandths in 1000_u32..5000,
        cap in 0_u128..1_000_000_000_000_000,
    ) {
        let multiplier: Multiplier = format!("{}.{:03}", thousandths / 1000, thousandths % 1000).parse().unwrap();
        let price = offer(Wei(network), multiplier, Wei(cap), ZeroPrice::Unknown);
        prop_assert_eq!(price.0, (network * u128::from(thousandths) / 1000).min(cap));
        prop_assert!(price.0 >= network.min(cap));
    }
}

#[test]
fn a_price_of_100000001_is_not_rounded_below_itself() {
    // onchain C3: single precision offers 100000000, which the network refuses.
    let price = offer(
        Wei(100_000_001),
        Multiplier::ONE,
        Wei(22_000_000_000),
        ZeroPrice::Unknown,
    );
    assert_eq!(price, Wei(100_000_001));
}

#[test]
fn a_chain_whose_gas_is_free_is_not_paid_the_cap() {
    // worker Q58
    let cap = Wei(22_000_000_000);
    assert_eq!(offer(Wei(0), Multiplier::ONE, cap, ZeroPrice::Free), Wei(0));
    assert_eq!(offer(Wei(0), Multiplier::ONE, cap, ZeroPrice::Unknown), cap);
    assert_eq!(
        offer(Wei(5), Multiplier::ZERO, Wei(0), ZeroPrice::Free),
        Wei(0)
    );
}

#[test]
fn no_price_a_node_can_name_overflows() {
    let price = offer(
        Wei(u128::MAX),
        "1000000".parse().unwrap(),
        Wei(u128::MAX),
        ZeroPrice::Unknown,
    );
    assert_eq!(price, Wei(u128::MAX));
}

#[test]
fn multipliers_are_decimal_numbers() {
    for (text, shown) in [
        ("1", "1"),
        ("1.30", "1.3"),
        ("0.0", "0"),
        ("0.000000001", "0.000000001"),
        ("1000000", "1000000"),
    ] {
        assert_eq!(text.parse::<Multiplier>().unwrap().to_string(), shown);
    }
    for text in [
        "",
        "-1",
        "1,3",
        "1.",
        ".5",
        "1e3",
        "nan",
        "+1",
        "1.0000000001",
        "1000001",
        "99999999999999999999",
    ] {
        assert!(text.parse::<Multiplier>().is_err(), "{text}");
    }
}
