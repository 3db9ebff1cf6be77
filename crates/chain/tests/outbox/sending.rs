//! From the submission to the first broadcast.

use std::time::Duration;

use alloy_primitives::{Bytes, U256};
use chain::{GasPolicy, Heads, Node, OutboxError, OutboxSettings, Outcome, Revert, outbox::Holdup};
use poco::units::Wei;

use crate::{bench::*, fake::Fault};

#[tokio::test]
async fn an_intent_is_sent_mined_and_told() {
    let bench = Bench::instant(settings()).await;
    bench.handle.submit(intent("a")).await.unwrap();
    let Outcome::Mined { receipt } = bench.outcome("a").await else {
        panic!("it is mined")
    };
    assert_eq!(receipt.block.0, 1);
    let tx = bench.world().mined()[0].clone();
    assert_eq!((tx.nonce, tx.legacy, tx.gas), (0, false, 120_000));
    // Twice the base fee plus the tip.
    assert_eq!(tx.max_fee, 2_100_000_000);
}

#[tokio::test]
async fn a_chain_without_base_fee_gets_legacy_transactions() {
    let bench = Bench::instant(settings()).await;
    bench.world().base_fee = None;
    bench.handle.submit(intent("a")).await.unwrap();
    assert!(is_mined(&bench.outcome("a").await));
    let tx = bench.world().mined()[0].clone();
    assert_eq!((tx.legacy, tx.max_fee), (true, 2_000_000_000));
}

#[tokio::test]
async fn the_gas_limit_is_estimate_and_margin_with_a_floor_and_an_extra() {
    let bench = Bench::instant(settings()).await;
    let mut low = intent("low");
    low.gas = GasPolicy::estimated().at_least(500_000).plus(7);
    let mut high = intent("high");
    high.gas = GasPolicy {
        floor: 1000,
        extra: 200_000,
        margin: 1500,
    };
    bench.handle.submit_all(vec![low, high]).await.unwrap();
    bench.outcome("low").await;
    bench.outcome("high").await;
    let mut limits: Vec<_> = bench.world().mined().iter().map(|tx| tx.gas).collect();
    limits.sort_unstable();
    assert_eq!(limits, [350_000, 500_007]);
}

#[tokio::test]
async fn several_fly_at_a_time_with_contiguous_nonces_in_order_of_arrival() {
    let bench = Bench::new(settings()).await;
    let names = ["a", "b", "c", "d", "e"];
    for name in names {
        bench.handle.submit(intent(name)).await.unwrap();
    }
    bench.pooled(5).await;
    let nonces: Vec<u64> = bench.world().pool.keys().copied().collect();
    assert_eq!(nonces, [0, 1, 2, 3, 4]);
    bench.world().mine();
    for name in names {
        assert!(is_mined(&bench.outcome(name).await));
    }
    assert_eq!(bench.mined(), names);
}

#[tokio::test]
async fn while_all_goes_well_a_transaction_costs_four_questions() {
    // It looks when it is told of a block, and not before.
    let bench = Bench::new(OutboxSettings {
        block_time: Duration::from_secs(60),
        ..settings()
    })
    .await;
    let node = Node::new(vec![bench.node.url.clone()], None).unwrap();
    let mut heads = Heads::new(node, Duration::from_millis(5));
    let all = [
        "eth_getTransactionCount",
        "eth_estimateGas",
        SEND,
        "eth_getTransactionReceipt",
        "eth_maxPriorityFeePerGas",
        "eth_getBalance",
    ];
    let mut asked = [0; 6];
    // A first block follows nothing known, which looks like a reorganisation.
    heads.next().await.unwrap();
    for name in ["first", "second", "third"] {
        bench.handle.submit(intent(name)).await.unwrap();
        bench.pooled(1).await;
        let mined = bench.world().mine();
        let head = loop {
            let head = heads.next().await.unwrap();
            if head.block.number.0 == mined {
                break head;
            }
        };
        bench.handle.tell(&head);
        assert!(is_mined(&bench.outcome(name).await));
        let now = all.map(|method| bench.node.requests(method).len());
        let spent: [usize; 6] = std::array::from_fn(|at| now[at] - asked[at]);
        if name == "third" {
            assert_eq!(spent, [1, 1, 1, 1, 0, 0], "{all:?}");
        }
        asked = now;
    }
}

#[tokio::test]
async fn no_more_fly_than_the_setting_allows() {
    let few = OutboxSettings {
        max_in_flight: 2,
        ..settings()
    };
    let bench = Bench::new(few).await;
    let all = ["a", "b", "c"].map(intent).to_vec();
    bench.handle.submit_all(all).await.unwrap();
    bench.pooled(2).await;
    let mut status = bench.handle.status();
    within(status.wait_for(|status| (status.waiting, status.in_flight) == (1, 2)))
        .await
        .unwrap();
    bench.world().mine();
    bench.node.asked(SEND, 3).await;
    bench.world().mine();
    assert!(is_mined(&bench.outcome("c").await));
}

#[tokio::test]
async fn one_key_is_one_transaction_however_often_it_is_submitted() {
    let bench = Bench::instant(settings()).await;
    for _ in 0..3 {
        bench.handle.submit(intent("a")).await.unwrap();
    }
    bench
        .handle
        .submit_all(vec![intent("a"), intent("a")])
        .await
        .unwrap();
    assert!(is_mined(&bench.outcome("a").await));
    bench.handle.submit(intent("a")).await.unwrap();
    assert!(is_mined(&bench.outcome("a").await));
    bench.handle.submit(intent("b")).await.unwrap();
    bench.outcome("b").await;
    assert_eq!(bench.mined(), ["a", "b"]);
}

#[tokio::test]
async fn another_payload_under_a_known_key_is_an_error_and_nothing_of_that_submission_is_taken() {
    let bench = Bench::instant(settings()).await;
    bench.handle.submit(intent("a")).await.unwrap();
    let mut other = intent("a");
    other.calldata = Bytes::from_static(b"else");
    let refused = bench.handle.submit_all(vec![intent("b"), other]).await;
    assert_eq!(refused, Err(OutboxError::OtherPayload { key: "a".into() }));
    assert_eq!(bench.handle.find("b").await, Ok(None));
    let unknown = bench.handle.outcome("b").await;
    assert_eq!(unknown, Err(OutboxError::Unknown { key: "b".into() }));
}

#[tokio::test]
async fn what_the_contract_refuses_is_told_with_the_reason_and_uses_no_nonce() {
    let bench = Bench::instant(settings()).await;
    let data = "0x08c379a00000000000000000000000000000000000000000000000000000000000000020000000000000000000000000000000000000000000000000000000000000000c7461736b2d70656e64696e670000000000000000000000000000000000000000";
    let fault = Fault::ErrorData(3, "execution reverted", data.into());
    bench.node.once("eth_estimateGas", fault);
    bench.handle.submit(intent("a")).await.unwrap();
    let reason = Revert::Message("task-pending".into());
    assert_eq!(bench.outcome("a").await, Outcome::Refused { reason });
    assert!(bench.node.requests(SEND).is_empty());
    bench.handle.submit(intent("b")).await.unwrap();
    assert!(is_mined(&bench.outcome("b").await));
    assert_eq!(bench.world().mined()[0].nonce, 0);
    // Submitted again it is tried again.
    bench.handle.submit(intent("a")).await.unwrap();
    assert!(is_mined(&bench.outcome("a").await));
}

#[tokio::test]
async fn an_estimation_that_fails_for_another_reason_is_no_refusal() {
    let bench = Bench::instant(settings()).await;
    bench
        .node
        .always("eth_estimateGas", Fault::Error(-32000, "header not found"));
    bench.handle.submit(intent("a")).await.unwrap();
    let status = bench
        .holdup(|holdup| matches!(holdup, Holdup::Node(_)))
        .await;
    assert_eq!(status.waiting, 1);
    bench.node.heal();
    assert!(is_mined(&bench.outcome("a").await));
}

// C4: an RPC error became nonce 0.
#[tokio::test]
async fn an_unreadable_nonce_is_waited_for_and_never_guessed() {
    let bench = Bench::instant(settings()).await;
    bench.handle.submit(intent("a")).await.unwrap();
    bench.outcome("a").await;
    bench.node.always(
        "eth_getTransactionCount",
        Fault::Error(-32603, "internal error"),
    );
    bench.handle.submit(intent("b")).await.unwrap();
    bench
        .holdup(|holdup| matches!(holdup, Holdup::Node(_)))
        .await;
    assert_eq!(bench.node.requests(SEND).len(), 1);
    bench.node.heal();
    bench.outcome("b").await;
    assert_eq!(bench.world().mined()[1].nonce, 1);
}

#[tokio::test]
async fn while_the_cap_is_below_the_base_fee_nothing_is_sent_and_the_wait_is_reported() {
    let bench = Bench::instant(OutboxSettings {
        cap: Wei(5_000_000_000),
        ..settings()
    })
    .await;
    bench.world().base_fee = Some(6_000_000_000);
    bench.handle.submit(intent("a")).await.unwrap();
    let status = bench
        .holdup(|holdup| matches!(holdup, Holdup::FeeCap { .. }))
        .await;
    assert_eq!(
        status.holdup,
        Some(Holdup::FeeCap {
            cap: 5_000_000_000,
            base: 6_000_000_000
        })
    );
    assert!(bench.node.requests(SEND).is_empty());
    bench.world().base_fee = Some(4_000_000_000);
    assert!(is_mined(&bench.outcome("a").await));
    assert_eq!(bench.world().mined()[0].max_fee, 5_000_000_000);
}

#[tokio::test]
async fn an_intent_that_was_never_sent_expires_at_its_deadline() {
    let bench = Bench::new(OutboxSettings {
        cap: Wei(1),
        ..settings()
    })
    .await;
    let mut late = intent("a");
    late.deadline = Some(now().saturating_add(Duration::from_millis(300)));
    bench.handle.submit(late).await.unwrap();
    bench
        .holdup(|holdup| matches!(holdup, Holdup::FeeCap { .. }))
        .await;
    assert_eq!(bench.outcome("a").await, Outcome::Expired);
    assert!(bench.node.requests(SEND).is_empty());
}

#[tokio::test]
async fn an_intent_expires_even_when_no_node_answers() {
    let bench = Bench::new(settings()).await;
    bench.node.always("eth_getBlockByNumber", Fault::Http(500));
    let mut late = intent("a");
    late.deadline = Some(now().saturating_add(Duration::from_millis(200)));
    bench.handle.submit(late).await.unwrap();
    assert_eq!(bench.outcome("a").await, Outcome::Expired);
}

#[tokio::test]
async fn an_intent_that_was_sent_never_expires() {
    let bench = Bench::new(settings()).await;
    let mut short = intent("a");
    short.deadline = Some(now().saturating_add(Duration::from_secs(2)));
    let deadline = short.deadline.unwrap();
    bench.handle.submit(short).await.unwrap();
    bench.pooled(1).await;
    let looks = bench.node.requests("eth_getTransactionCount").len();
    // Look on until the deadline has certainly passed.
    let mut count = looks;
    while now() <= deadline {
        count += 2;
        bench.node.asked("eth_getTransactionCount", count).await;
    }
    bench.node.asked("eth_getTransactionCount", count + 4).await;
    bench.world().mine();
    assert!(is_mined(&bench.outcome("a").await));
}

#[tokio::test]
async fn a_wallet_without_money_waits_and_uses_no_nonce() {
    let bench = Bench::instant(settings()).await;
    bench.world().balance = U256::ZERO;
    bench.handle.submit(intent("a")).await.unwrap();
    let status = bench
        .holdup(|holdup| matches!(holdup, Holdup::Funds { .. }))
        .await;
    assert_eq!((status.waiting, status.in_flight), (1, 0));
    bench.world().balance = U256::from(10u128.pow(18));
    assert!(is_mined(&bench.outcome("a").await));
}
