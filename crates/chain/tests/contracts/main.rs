//! The outbox against the real contracts: bags are initialised and claimed in few transactions, each task once.
//!
//! Needs the packages that the repository's setup puts into `node_modules`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod world;

use std::{sync::Arc, time::Duration};

use alloy_primitives::U256;
use alloy_sol_types::SolCall;
use chain::{ArrayCall, OutboxSettings, Outcome, outbox::PROBES};
use devnet::Role;
use poco::{contracts::Hub as Abi, status::ChainTaskStatus};
use serde_json::{Value, json};

use world::{Sent, World, settings, within};

fn is_mined(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Mined { .. })
}

/// How many tasks a payload of `initializeArray` or `initialize` has.
fn initialises(sent: &Sent) -> usize {
    Abi::initializeArrayCall::abi_decode(&sent.input).map_or(1, |call| call.idxs.len())
}

#[tokio::test]
async fn a_bag_is_initialised_in_few_transactions_that_leave_room_in_a_block() {
    let world = World::new(settings()).await;
    let _: Value = world
        .ask("evm_setBlockGasLimit", json!([format!("{:#x}", 6_700_000)]))
        .await;
    let deal = world.buy(60).await;
    let before = world.head().await + 1;
    let bag = world.bag(ArrayCall::Initialize, deal, 0..60);
    world.handle.submit_all(bag).await.unwrap();
    for index in 0..60 {
        assert!(is_mined(
            &world.outcome(ArrayCall::Initialize, deal, index).await
        ));
        assert_eq!(world.status(deal, index).await, ChainTaskStatus::Active);
    }
    let sent = world.sent_since(before).await;
    assert!(sent.iter().all(|tx| tx.succeeded));
    assert_eq!(sent.iter().map(initialises).sum::<usize>(), 60);
    assert!(sent.len() <= 5, "{} transactions", sent.len());
    assert!(sent.iter().all(|tx| tx.gas_used <= 3_015_000), "{sent:?}");
    let gas: u64 = sent.iter().map(|tx| tx.gas_used).sum();
    // Alone it is 243,000; 25 must fit into each block of 6.7 million for 1000 tasks in 200 s.
    assert!(gas / 60 < 215_000, "{} gas for each task", gas / 60);
}

#[tokio::test]
async fn a_task_that_a_stranger_initialised_before_is_left_out() {
    let world = World::new(settings()).await;
    let deal = world.buy(10).await;
    let stranger = Abi::initializeCall {
        dealid: deal.0,
        idx: U256::from(4),
    };
    world.send(Role::Poor, &stranger).await;
    within(async {
        while world.status(deal, 4).await != ChainTaskStatus::Active {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let before = world.head().await + 1;
    let bag = world.bag(ArrayCall::Initialize, deal, 0..10);
    world.handle.submit_all(bag).await.unwrap();
    for index in 0..10 {
        let outcome = world.outcome(ArrayCall::Initialize, deal, index).await;
        let refused = matches!(outcome, Outcome::Refused { .. });
        assert_eq!(refused, index == 4, "{index}: {outcome:?}");
        assert_eq!(world.status(deal, index).await, ChainTaskStatus::Active);
    }
    let sent = world.sent_since(before).await;
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(sent[0].succeeded);
}

#[tokio::test]
async fn a_stranger_who_is_quicker_in_the_same_block_costs_one_try() {
    let world = World::new(settings()).await;
    let deal = world.buy(8).await;
    world.mine_by_hand().await;
    let before = world.head().await + 1;
    let bag = world.bag(ArrayCall::Initialize, deal, 0..8);
    world.handle.submit_all(bag).await.unwrap();
    world.pooled(1).await;
    let stranger = Abi::initializeCall {
        dealid: deal.0,
        idx: U256::from(2),
    };
    // It pays more, so it comes first.
    world.send(Role::Poor, &stranger).await;
    world.chain.mine(1).await.unwrap();
    let all = async {
        for index in 0..8 {
            let outcome = world.outcome(ArrayCall::Initialize, deal, index).await;
            let refused = matches!(outcome, Outcome::Refused { .. });
            assert_eq!(refused, index == 2, "{index}: {outcome:?}");
        }
    };
    let mining = async {
        loop {
            world.pooled(1).await;
            world.chain.mine(1).await.unwrap();
        }
    };
    tokio::select! {
        () = all => {}
        () = mining => {}
    }
    for index in 0..8 {
        assert_eq!(world.status(deal, index).await, ChainTaskStatus::Active);
    }
    let sent = world.sent_since(before).await;
    let failed = sent.iter().filter(|tx| !tx.succeeded).count();
    assert_eq!(failed, 1, "{sent:?}");
    for (at, one) in sent.iter().enumerate() {
        assert!(sent[..at].iter().all(|other| other.input != one.input));
    }
}

#[tokio::test]
async fn a_kill_at_any_point_loses_no_task_of_a_bag_and_initialises_none_twice() {
    for point in PROBES {
        let crashing = OutboxSettings {
            probe: Some(Arc::new(move |passed| {
                assert!(passed != *point, "the process dies at {point}");
            })),
            ..settings()
        };
        let mut world = World::new(crashing).await;
        let deal = world.buy(6).await;
        let before = world.head().await + 1;
        let bag = world.bag(ArrayCall::Initialize, deal, 0..6);
        // Its answer may die with the process.
        let _ = world.handle.submit_all(bag).await;
        let died = within(&mut world.task).await;
        assert!(died.is_err_and(|error| error.is_panic()), "{point}");
        world.restart().await;
        for index in 0..6 {
            let outcome = world.outcome(ArrayCall::Initialize, deal, index).await;
            assert!(is_mined(&outcome), "{point}: {outcome:?}");
        }
        let sent = world.sent_since(before).await;
        assert_eq!(sent.len(), 1, "{point}: {sent:?}");
        assert_eq!(initialises(&sent[0]), 6, "{point}");
        assert!(sent[0].succeeded, "{point}");
    }
}

#[tokio::test]
async fn what_was_not_run_is_claimed_in_few_transactions() {
    let world = World::new(settings()).await;
    let deal = world.buy(20).await;
    let initialised = world.bag(ArrayCall::Initialize, deal, 0..10);
    world.handle.submit_all(initialised).await.unwrap();
    for index in 0..10 {
        assert!(is_mined(
            &world.outcome(ArrayCall::Initialize, deal, index).await
        ));
    }
    let category = world.hub.category(0).await.unwrap().unwrap();
    let period = Duration::from_secs(category.workClockTimeRef.to());
    world.chain.pass(period * 10).await.unwrap();
    let before = world.head().await + 1;
    let mut claims = world.bag(ArrayCall::Claim, deal, 0..10);
    claims.extend(world.bag(ArrayCall::InitializeAndClaim, deal, 10..20));
    world.handle.submit_all(claims).await.unwrap();
    for index in 0..20 {
        let call = if index < 10 {
            ArrayCall::Claim
        } else {
            ArrayCall::InitializeAndClaim
        };
        assert!(is_mined(&world.outcome(call, deal, index).await));
        assert_eq!(world.status(deal, index).await, ChainTaskStatus::Failed);
    }
    let sent = world.sent_since(before).await;
    assert_eq!(sent.len(), 2, "{sent:?}");
    let nonces: Vec<u64> = sent.iter().map(|tx| tx.nonce).collect();
    assert_eq!(nonces[1], nonces[0] + 1);
}
