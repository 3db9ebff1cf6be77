//! Many small intents in few transactions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{B256, Bytes, U256};
use alloy_sol_types::SolCall;
use chain::{
    ArrayCall, GasPolicy, Intent, Joinable, OutboxSettings, OutboxStore, Outcome, Revert,
    outbox::{PROBES, Stage},
};
use poco::{contracts::Hub, ids::DealId, units::Timestamp};

use crate::{
    bench::*,
    fake::{Fault, World, hub},
};

fn deal(number: u8) -> DealId {
    DealId(B256::repeat_byte(number))
}

fn key(deal: u8, index: u64) -> String {
    format!("initialize:{deal}-{index}")
}

fn initialize(number: u8, index: u64) -> Intent {
    let deal = deal(number);
    let call = Hub::initializeCall {
        dealid: deal.0,
        idx: U256::from(index),
    };
    Intent {
        key: key(number, index),
        to: hub(),
        calldata: call.abi_encode().into(),
        gas: GasPolicy::estimated(),
        deadline: None,
        joins: Some(Joinable {
            call: ArrayCall::Initialize,
            deal,
            index,
        }),
    }
}

fn bag(number: u8, size: u64) -> Vec<Intent> {
    (0..size).map(|index| initialize(number, index)).collect()
}

/// Which tasks a payload initialises.
fn tasks(input: &Bytes) -> Vec<(u8, u64)> {
    if let Ok(many) = Hub::initializeArrayCall::abi_decode(input) {
        let indexes = many.idxs.iter().map(|index| index.to::<u64>());
        return many
            .dealids
            .iter()
            .map(|deal| deal[0])
            .zip(indexes)
            .collect();
    }
    let one = Hub::initializeCall::abi_decode(input).unwrap();
    vec![(one.dealid[0], one.idx.to())]
}

/// The tasks of each transaction in a block.
fn mined(world: &World) -> Vec<Vec<(u8, u64)>> {
    world.mined().iter().map(|tx| tasks(&tx.input)).collect()
}

/// Looks often enough for these tests; what is sent stays in the pool until it is mined by hand.
async fn bench() -> Bench {
    Bench::new(settings()).await
}

#[tokio::test]
async fn what_waits_together_goes_out_as_one_transaction() {
    let bench = bench().await;
    bench.handle.submit_all(bag(1, 10)).await.unwrap();
    bench.pooled(1).await;
    bench.world().mine();
    for index in 0..10 {
        assert!(is_mined(&bench.outcome(&key(1, index)).await));
    }
    let all: Vec<_> = (0..10).map(|index| (1, index)).collect();
    assert_eq!(mined(&bench.world()), [all]);
    assert_eq!(bench.node.requests("eth_estimateGas").len(), 1);
}

#[tokio::test]
async fn one_alone_goes_out_as_it_was_asked_for() {
    let bench = bench().await;
    let alone = initialize(1, 0);
    bench.handle.submit(alone.clone()).await.unwrap();
    bench.pooled(1).await;
    bench.world().mine();
    assert!(is_mined(&bench.outcome(&key(1, 0)).await));
    assert_eq!(bench.world().mined()[0].input, alone.calldata);
}

#[tokio::test]
async fn a_member_s_receipt_speaks_of_its_own_task_alone() {
    let bench = bench().await;
    bench.handle.submit_all(bag(1, 3)).await.unwrap();
    bench.pooled(1).await;
    let log = |index| {
        let task = initialize(1, index).joins.unwrap().task();
        serde_json::json!({
            "address": hub(), "topics": [B256::repeat_byte(7), task], "data": "0x", "removed": false,
            "blockNumber": "0x1", "blockHash": B256::ZERO, "transactionHash": B256::ZERO, "transactionIndex": "0x0",
            "logIndex": "0x0",
        })
    };
    bench.world().receipt_logs = vec![log(0), log(1), log(2)];
    bench.world().mine();
    let Outcome::Mined { receipt } = bench.outcome(&key(1, 1)).await else {
        panic!("it is mined")
    };
    let topics: Vec<B256> = receipt.logs.iter().map(|log| log.topics()[1]).collect();
    assert_eq!(topics, [initialize(1, 1).joins.unwrap().task().0]);
}

#[tokio::test]
async fn a_block_is_never_filled_and_what_goes_alone_goes_first() {
    let bench = bench().await;
    {
        let mut world = bench.world();
        world.gas_limit = 6_700_000;
        world.estimate = 21_000;
        // Two words for each task.
        world.estimate_per_word = 100_000;
    }
    let mut all = bag(1, 200);
    all.push(intent("finalize"));
    bench.handle.submit_all(all).await.unwrap();
    bench.pooled(3).await;
    let pool: Vec<_> = bench.world().pool.values().cloned().collect();
    assert_eq!(pool[0].input, Bytes::from_static(b"finalize"));
    let gas: Vec<u64> = pool.iter().map(|tx| tx.gas).collect();
    assert!(gas[1..].iter().all(|gas| *gas <= 3_015_000), "{gas:?}");
    assert!(gas.iter().sum::<u64>() <= 6_030_000, "{gas:?}");
    assert!(gas[1] + gas[2] > 5_000_000, "{gas:?}");
    // While they wait, nothing more of the bag goes out.
    let mut status = bench.handle.status();
    within(status.wait_for(|status| status.in_flight == 3))
        .await
        .unwrap();
    bench.world().mine();
    bench.pooled(2).await;
    assert_eq!(bench.world().mined().len(), 3);
}

#[tokio::test]
async fn a_deal_that_comes_after_a_bag_is_in_the_next_transaction() {
    let bench = bench().await;
    {
        let mut world = bench.world();
        world.gas_limit = 2_000_000;
        world.estimate = 21_000;
        world.estimate_per_word = 100_000;
    }
    bench.handle.submit_all(bag(1, 60)).await.unwrap();
    bench.pooled(1).await;
    bench.handle.submit(initialize(2, 0)).await.unwrap();
    bench.world().mine();
    within(async {
        while !mined(&bench.world()).concat().contains(&(2, 0)) {
            bench.pooled(1).await;
            bench.world().mine();
        }
    })
    .await;
    let before = mined(&bench.world()).iter().flatten().count();
    assert!(before <= 16, "{before} tasks were initialised before it");
}

#[tokio::test]
async fn a_task_that_a_stranger_initialised_is_left_out_and_the_others_go_on() {
    let bench = bench().await;
    // Index 7: no other word of the payload is 7.
    bench.world().refuses = vec![B256::from(U256::from(7))];
    bench.handle.submit_all(bag(1, 12)).await.unwrap();
    bench.pooled(1).await;
    bench.world().mine();
    let refused = Outcome::Refused {
        reason: Revert::Empty,
    };
    assert_eq!(bench.outcome(&key(1, 7)).await, refused);
    for index in (0..12).filter(|index| *index != 7) {
        assert!(is_mined(&bench.outcome(&key(1, index)).await), "{index}");
    }
    let sent = mined(&bench.world());
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!(sent[0].len(), 11);
}

#[tokio::test]
async fn what_fails_in_its_block_is_tried_again_in_halves_and_no_payload_twice() {
    let bench = bench().await;
    bench.handle.submit_all(bag(1, 8)).await.unwrap();
    bench.pooled(1).await;
    {
        // A stranger was quicker with index 5: every payload with it fails, also when it is asked about.
        let mut world = bench.world();
        let input = world.pool[&0].input.clone();
        world.fails.push(input);
        world.mine();
        world.refuses = vec![B256::from(U256::from(5))];
    }
    within(async {
        while bench
            .world()
            .mined()
            .iter()
            .map(|tx| tasks(&tx.input).len())
            .sum::<usize>()
            < 8 + 7
        {
            bench.pooled(1).await;
            bench.world().mine();
        }
    })
    .await;
    assert!(matches!(
        bench.outcome(&key(1, 5)).await,
        Outcome::Refused { .. }
    ));
    for index in (0..8).filter(|index| *index != 5) {
        assert!(is_mined(&bench.outcome(&key(1, index)).await), "{index}");
    }
    let payloads: Vec<Bytes> = bench
        .world()
        .mined()
        .into_iter()
        .map(|tx| tx.input)
        .collect();
    let different: BTreeSet<&Bytes> = payloads.iter().collect();
    assert_eq!(different.len(), payloads.len());
    assert!(
        payloads[1..]
            .iter()
            .all(|payload| tasks(payload).len() <= 4)
    );
}

#[tokio::test]
async fn halves_are_remembered_over_a_restart() {
    let mut bench = bench().await;
    bench.handle.submit_all(bag(1, 4)).await.unwrap();
    bench.pooled(1).await;
    {
        let mut world = bench.world();
        let input = world.pool[&0].input.clone();
        world.fails.push(input);
        // Nothing further can be estimated, so nothing goes out before the restart.
        bench.node.always("eth_estimateGas", Fault::Http(500));
        world.mine();
    }
    let wallet = bench.signer.address();
    within(async {
        while bench
            .store
            .live(wallet)
            .await
            .unwrap()
            .iter()
            .any(|record| matches!(record.stage, Stage::Joined { .. } | Stage::Sending { .. }))
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    bench.restart(settings()).await;
    bench.node.heal();
    bench.pooled(2).await;
    bench.world().mine();
    for index in 0..4 {
        assert!(is_mined(&bench.outcome(&key(1, index)).await), "{index}");
    }
    let sizes: Vec<usize> = mined(&bench.world()).iter().map(Vec::len).collect();
    assert_eq!(sizes, [4, 2, 2]);
}

#[tokio::test]
async fn a_crash_at_any_point_loses_no_member_and_sends_none_twice() {
    for point in PROBES {
        let crashing = OutboxSettings {
            probe: Some(Arc::new(move |passed| {
                assert!(passed != *point, "the process dies at {point}");
            })),
            ..settings()
        };
        let mut bench = Bench::instant(crashing).await;
        let _ = bench.handle.submit_all(bag(1, 5)).await;
        let died = within(&mut bench.task).await;
        assert!(died.is_err_and(|error| error.is_panic()), "{point}");
        bench.restart(settings()).await;
        for index in 0..5 {
            assert!(is_mined(&bench.outcome(&key(1, index)).await), "{point}");
        }
        let all: Vec<_> = (0..5).map(|index| (1, index)).collect();
        assert_eq!(mined(&bench.world()), [all], "{point}");
        assert_eq!(bench.world().mined()[0].nonce, 0);
    }
}

#[tokio::test]
async fn a_member_whose_transaction_left_the_chain_is_waited_for_again() {
    let bench = Bench::new(often()).await;
    bench.handle.submit_all(bag(1, 3)).await.unwrap();
    bench.pooled(1).await;
    bench.world().mine();
    assert!(is_mined(&bench.outcome(&key(1, 0)).await));
    bench.world().reorg(1);
    // The same bytes come back.
    bench.pooled(1).await;
    // Put under way again once that lasts, and then waited for.
    within(async {
        while bench.handle.status().borrow().in_flight == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let third = key(1, 2);
    let waiting = bench.handle.outcome(&third);
    tokio::pin!(waiting);
    let early = tokio::time::timeout(Duration::from_millis(50), &mut waiting).await;
    assert!(early.is_err(), "nothing of it is on the chain: {early:?}");
    bench.world().mine();
    assert!(is_mined(&within(waiting).await.unwrap()));
    assert_eq!(bench.world().seen.len(), 1);
}

#[tokio::test]
async fn an_expired_member_is_not_joined() {
    let bench = bench().await;
    bench.node.always("eth_getBlockByNumber", Fault::Http(500));
    let mut all = bag(1, 3);
    all[1].deadline = Some(Timestamp(1));
    bench.handle.submit_all(all).await.unwrap();
    assert_eq!(bench.outcome(&key(1, 1)).await, Outcome::Expired);
    bench.node.heal();
    bench.pooled(1).await;
    bench.world().mine();
    assert!(is_mined(&bench.outcome(&key(1, 2)).await));
    assert_eq!(mined(&bench.world()), [[(1, 0), (1, 2)]]);
}

#[tokio::test]
async fn a_poor_wallet_sends_as_many_as_it_can_pay_for() {
    let bench = bench().await;
    {
        let mut world = bench.world();
        world.estimate = 21_000;
        world.estimate_per_word = 100_000;
        // 2.1 gwei per gas at most: enough for a million gas.
        world.balance = U256::from(2_100_000_000_000_000u128);
    }
    bench.handle.submit_all(bag(1, 40)).await.unwrap();
    bench.pooled(1).await;
    let first = bench.world().pool[&0].clone();
    let count = tasks(&first.input).len();
    assert!((2..=4).contains(&count), "{count}");
    assert!(first.gas <= 1_000_000);
}

#[tokio::test]
async fn deep_members_are_settled_one_by_one_and_their_carrier_is_gone() {
    let mut bench = bench().await;
    bench.handle.submit_all(bag(1, 3)).await.unwrap();
    bench.pooled(1).await;
    bench.world().mine();
    assert!(is_mined(&bench.outcome(&key(1, 0)).await));
    bench.handle.forget(vec![key(1, 0)]).await.unwrap();
    bench.world().mine_many(70);
    let wallet = bench.signer.address();
    within(async {
        while !bench.store.live(wallet).await.unwrap().is_empty()
            || bench.store.find(wallet, key(1, 0)).await.unwrap().is_some()
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    bench.restart(settings()).await;
    assert!(is_mined(&bench.outcome(&key(1, 1)).await));
    bench.handle.submit(initialize(1, 2)).await.unwrap();
    assert!(is_mined(&bench.outcome(&key(1, 2)).await));
    assert_eq!(bench.store.count(), 2, "two members, no carrier");
    assert_eq!(bench.node.requests(SEND).len(), 1);
}

#[tokio::test]
async fn a_carrier_whose_nonce_somebody_took_goes_out_again_under_another() {
    let bench = Bench::new(hasty()).await;
    bench.world().ignoring = true;
    bench.handle.submit_all(bag(1, 3)).await.unwrap();
    bench.pooled(1).await;
    {
        let mut world = bench.world();
        world.ignoring = false;
        world.foreign_tx();
        world.mine_many(10);
    }
    bench.pooled(1).await;
    bench.world().mine();
    for index in 0..3 {
        assert!(is_mined(&bench.outcome(&key(1, index)).await), "{index}");
    }
    let nonces: Vec<u64> = bench.world().mined().iter().map(|tx| tx.nonce).collect();
    assert_eq!(nonces, [0, 1]);
}

#[test]
fn records_of_before_joining_can_still_be_read() {
    let old = r#"{"intent":{"key":"a","to":"0x0000000000000000000000000000000000000001","calldata":"0x01",
        "gas":{"floor":0,"extra":0,"margin":1200},"deadline":null},"accepted":5,"stage":"waiting"}"#;
    let record: chain::OutboxRecord = serde_json::from_str(old).unwrap();
    assert_eq!((record.intent.joins, record.together), (None, None));
    let again = serde_json::to_value(&record).unwrap();
    assert_eq!(
        again.get("together"),
        None,
        "nothing is added to what is as before"
    );
}
