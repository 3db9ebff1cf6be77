//! From the first broadcast to the outcome, and what a reorganisation does to both.

use std::{sync::Arc, time::Duration};

use alloy_primitives::Bytes;
use alloy_signer_local::PrivateKeySigner;
use chain::{
    MemoryOutboxStore, Node, Outbox, OutboxSettings, Outcome, Revert,
    outbox::{Holdup, Stage},
};
use poco::units::Wei;
use serde_json::{Value, json};

use crate::{
    bench::*,
    fake::{FakeNode, Fault, World},
};

const HEAD: &str = "eth_getBlockByNumber";
const COUNT: &str = "eth_getTransactionCount";
const RECEIPT: &str = "eth_getTransactionReceipt";
const BY_HASH: &str = "eth_getTransactionByHash";

#[tokio::test]
async fn a_lost_answer_after_the_broadcast_does_not_send_twice() {
    let bench = Bench::new(often()).await;
    bench.node.once(SEND, Fault::LostAnswer);
    bench.handle.submit(intent("a")).await.unwrap();
    let sent = bench.node.asked(SEND, 2).await;
    assert_eq!(sent[0], sent[1]);
    bench.world().mine();
    assert!(is_mined(&bench.outcome("a").await));
    assert_eq!(bench.mined(), ["a"]);
}

#[tokio::test]
async fn nonce_too_low_for_what_was_mined_unseen_is_success() {
    let bench = Bench::instant(often()).await;
    // Mined at once, but the answer is lost and the count stays behind for a while.
    bench.node.once(SEND, Fault::LostAnswer);
    bench.node.always(COUNT, Fault::Answer(json!("0x0")));
    bench.handle.submit(intent("a")).await.unwrap();
    bench.node.asked(SEND, 2).await;
    bench.node.heal();
    assert!(is_mined(&bench.outcome("a").await));
    assert_eq!(bench.mined(), ["a"]);
}

#[tokio::test]
async fn a_nonce_that_another_program_took_is_given_up_for_a_new_one() {
    let bench = Bench::new(hasty()).await;
    bench.handle.submit(intent("a")).await.unwrap();
    bench.pooled(1).await;
    bench.world().foreign_tx();
    let sent = bench.node.asked(SEND, 2).await;
    assert_ne!(sent[0], sent[1]);
    bench.pooled(1).await;
    bench.world().mine();
    assert!(is_mined(&bench.outcome("a").await));
    assert_eq!(bench.mined(), ["foreign", "a"]);
}

#[tokio::test]
async fn a_waiting_transaction_of_another_program_is_not_replaced() {
    let bench = Bench::new(settings()).await;
    bench.node.always(COUNT, Fault::Answer(json!("0x1")));
    bench.handle.submit(intent("a")).await.unwrap();
    bench.pooled(1).await;
    assert!(bench.world().pool.contains_key(&1));
}

#[tokio::test]
async fn a_slow_node_without_the_receipt_is_waited_for() {
    let bench = Bench::instant(hasty()).await;
    bench
        .node
        .always("eth_getTransactionReceipt", Fault::Answer(Value::Null));
    bench.handle.submit(intent("a")).await.unwrap();
    bench.node.asked("eth_getTransactionByHash", 2).await;
    bench.node.heal();
    assert!(is_mined(&bench.outcome("a").await));
    assert_eq!(bench.mined(), ["a"]);
}

#[tokio::test]
async fn a_dropped_transaction_is_broadcast_again_as_it_is() {
    let bench = Bench::new(often()).await;
    bench.handle.submit(intent("a")).await.unwrap();
    bench.pooled(1).await;
    let dropped = bench.world().pool.remove(&0).unwrap();
    bench.pooled(1).await;
    assert_eq!(bench.world().pool[&0].raw, dropped.raw);
    bench.world().mine();
    assert!(is_mined(&bench.outcome("a").await));
}

#[tokio::test]
async fn a_stuck_transaction_is_replaced_at_its_nonce_for_an_eighth_more() {
    let bench = Bench::new(hasty()).await;
    bench.world().ignoring = true;
    bench.handle.submit(intent("a")).await.unwrap();
    for sent in 1..3 {
        bench.node.asked(SEND, sent).await;
        bench.world().mine_many(2);
    }
    bench.node.asked(SEND, 3).await;
    bench.world().ignoring = false;
    let mut fees: Vec<(u64, u128)> = {
        let world = bench.world();
        let seen = world.seen.values();
        seen.map(|tx| (tx.nonce, tx.max_fee)).collect()
    };
    fees.sort_unstable();
    assert!(fees.len() >= 2);
    for pair in fees.windows(2) {
        assert_eq!(pair[0].0, pair[1].0);
        assert!(pair[1].1 * 8 >= pair[0].1 * 9, "{pair:?}");
    }
    bench.world().mine();
    assert!(is_mined(&bench.outcome("a").await));
    assert_eq!(bench.mined(), ["a"]);
}

#[tokio::test]
async fn a_chain_that_makes_no_blocks_is_not_outbid() {
    let bench = Bench::new(OutboxSettings {
        stuck_after: Duration::ZERO,
        ..settings()
    })
    .await;
    bench.handle.submit(intent("a")).await.unwrap();
    bench.pooled(1).await;
    let looks = bench.node.requests("eth_getTransactionCount").len();
    bench
        .node
        .asked("eth_getTransactionCount", looks + 10)
        .await;
    assert_eq!(bench.node.requests(SEND).len(), 1);
}

#[tokio::test]
async fn no_replacement_passes_the_cap_and_that_is_reported() {
    let bench = Bench::new(OutboxSettings {
        cap: Wei(2_500_000_000),
        ..hasty()
    })
    .await;
    bench.world().ignoring = true;
    bench.handle.submit(intent("a")).await.unwrap();
    let mut sent = 0;
    let status = loop {
        sent += 1;
        bench.node.asked(SEND, sent).await;
        bench.world().mine_many(2);
        let at_cap = bench.holdup(|holdup| matches!(holdup, Holdup::StuckAtCap { nonce: 0 }));
        tokio::select! {
            status = at_cap => break status,
            _ = bench.node.asked(SEND, sent + 1) => {}
        }
    };
    assert_eq!(status.in_flight, 1);
    let world = bench.world();
    assert!(world.seen.values().all(|tx| tx.max_fee <= 2_500_000_000));
}

#[tokio::test]
async fn an_older_attempt_that_is_mined_after_all_counts() {
    let bench = Bench::new(hasty()).await;
    bench.world().ignoring = true;
    bench.handle.submit(intent("a")).await.unwrap();
    bench.node.asked(SEND, 1).await;
    bench.world().mine_many(2);
    let sent = bench.node.asked(SEND, 2).await;
    {
        let mut world = bench.world();
        world.ignoring = false;
        let first = world.seen.values().find(|tx| json!([tx.raw]) == sent[0]);
        let first = first.cloned().unwrap();
        world.pool.insert(0, first);
        world.mine();
    }
    let Outcome::Mined { receipt } = bench.outcome("a").await else {
        panic!("it is mined")
    };
    assert_eq!(receipt.tx, bench.world().mined()[0].hash);
    assert_eq!(bench.mined(), ["a"]);
}

#[tokio::test]
async fn a_transaction_that_is_too_cheap_is_replaced_without_waiting() {
    let bench = Bench::instant(settings()).await;
    bench
        .node
        .once(SEND, Fault::Error(-32000, "transaction underpriced"));
    bench.handle.submit(intent("a")).await.unwrap();
    assert!(is_mined(&bench.outcome("a").await));
    assert_eq!(bench.node.requests(SEND).len(), 2);
    assert_eq!(bench.world().mined()[0].nonce, 0);
}

#[tokio::test]
async fn what_no_node_will_ever_take_is_refused_and_its_nonce_used_by_the_next() {
    let bench = Bench::instant(settings()).await;
    bench
        .node
        .once(SEND, Fault::Error(-32000, "exceeds block gas limit"));
    bench.handle.submit(intent("a")).await.unwrap();
    let reason = Revert::Other("exceeds block gas limit".into());
    assert_eq!(bench.outcome("a").await, Outcome::Refused { reason });
    bench.handle.submit(intent("b")).await.unwrap();
    assert!(is_mined(&bench.outcome("b").await));
    assert_eq!(bench.world().mined()[0].nonce, 0);
}

/// Two intents, of which no node takes the first: the second is pending behind a nonce that nobody holds.
async fn behind_a_gap(settings: OutboxSettings) -> Bench {
    let bench = Bench::new(settings).await;
    bench
        .node
        .once(SEND, Fault::Error(-32000, "exceeds block gas limit"));
    let both = ["a", "b"].map(intent).to_vec();
    bench.handle.submit_all(both).await.unwrap();
    let reason = Revert::Other("exceeds block gas limit".into());
    assert_eq!(bench.outcome("a").await, Outcome::Refused { reason });
    bench.pooled(1).await;
    assert!(bench.world().pool.contains_key(&1));
    bench
}

#[tokio::test]
async fn a_gap_below_what_has_just_been_taken_is_filled_by_the_next_that_comes() {
    // It looks every half second, and more closely once after a refusal: then all that flies is young and was taken, and little is asked.
    let bench = behind_a_gap(OutboxSettings {
        block_time: Duration::from_secs(1),
        ..settings()
    })
    .await;
    bench.node.asked(COUNT, 4).await;
    bench.handle.submit(intent("c")).await.unwrap();
    bench.pooled(2).await;
    bench.world().mine();
    for name in ["b", "c"] {
        assert!(is_mined(&bench.outcome(name).await));
    }
    assert_eq!(bench.mined(), ["c", "b"]);
}

#[tokio::test]
async fn a_gap_that_nobody_fills_is_reported_until_somebody_does() {
    let bench = behind_a_gap(hasty()).await;
    let status = bench
        .holdup(|holdup| matches!(holdup, Holdup::NonceGap { nonce: 0 }))
        .await;
    assert_eq!(status.in_flight, 1);
    bench.handle.submit(intent("c")).await.unwrap();
    bench.pooled(2).await;
    bench.world().mine();
    assert!(is_mined(&bench.outcome("b").await));
    let mut status = bench.handle.status();
    within(status.wait_for(|status| status.holdup.is_none()))
        .await
        .unwrap();
    assert_eq!(bench.mined(), ["c", "b"]);
}

#[tokio::test]
async fn what_is_not_taken_above_a_gap_follows_when_the_gap_is_filled() {
    let bench = Bench::new(often()).await;
    bench.world().takes_no_gaps = true;
    bench
        .node
        .once(SEND, Fault::Error(-32000, "exceeds block gas limit"));
    let both = ["a", "b"].map(intent).to_vec();
    bench.handle.submit_all(both).await.unwrap();
    bench
        .holdup(|holdup| matches!(holdup, Holdup::Declined(_)))
        .await;
    bench.node.asked(SEND, 4).await;
    assert!(bench.world().pool.is_empty());
    bench.handle.submit(intent("c")).await.unwrap();
    bench.pooled(2).await;
    bench.world().mine();
    for name in ["b", "c"] {
        assert!(is_mined(&bench.outcome(name).await));
    }
    assert_eq!(bench.mined(), ["c", "b"]);
}

#[tokio::test]
async fn a_failure_in_the_block_is_told_with_its_reason_and_is_not_sent_again() {
    let bench = Bench::instant(settings()).await;
    bench.world().fails.push(Bytes::from_static(b"a"));
    bench.node.always(
        "eth_call",
        Fault::ErrorData(3, "execution reverted", "0x".into()),
    );
    bench.handle.submit(intent("a")).await.unwrap();
    let Outcome::Reverted { reason, receipt } = bench.outcome("a").await else {
        panic!("it failed in the block")
    };
    assert_eq!((reason, receipt.succeeded), (Revert::Empty, false));
    bench.handle.submit(intent("a")).await.unwrap();
    assert!(matches!(bench.outcome("a").await, Outcome::Reverted { .. }));
    assert_eq!(bench.node.requests(SEND).len(), 1);
}

#[tokio::test]
async fn an_outcome_is_told_only_with_the_wanted_confirmations() {
    let bench = Bench::new(OutboxSettings {
        confirmations: 2,
        ..often()
    })
    .await;
    bench.handle.submit(intent("a")).await.unwrap();
    bench.pooled(1).await;
    bench.world().mine();
    bench.node.asked("eth_getTransactionReceipt", 3).await;
    let record = bench.handle.find("a").await.unwrap().unwrap();
    assert!(matches!(record.stage, Stage::Sending { .. }));
    bench.world().mine_many(2);
    assert!(is_mined(&bench.outcome("a").await));
}

#[tokio::test]
async fn a_receipt_that_vanishes_puts_the_same_transaction_back_in_flight() {
    let bench = Bench::new(OutboxSettings {
        confirmations: 3,
        ..often()
    })
    .await;
    bench.handle.submit(intent("a")).await.unwrap();
    bench.pooled(1).await;
    let first = bench.world().pool[&0].hash;
    bench.world().mine();
    bench.node.asked("eth_getTransactionReceipt", 1).await;
    bench.world().reorg(1);
    bench.pooled(1).await;
    bench.world().mine_many(4);
    let Outcome::Mined { receipt } = bench.outcome("a").await else {
        panic!("it is mined")
    };
    assert_eq!((receipt.tx, receipt.block.0), (first, 2));
}

#[tokio::test]
async fn a_settled_transaction_that_a_reorganisation_takes_back_is_broadcast_again() {
    let bench = Bench::new(often()).await;
    bench.handle.submit(intent("a")).await.unwrap();
    bench.pooled(1).await;
    bench.world().mine();
    assert!(is_mined(&bench.outcome("a").await));
    bench.world().reorg(1);
    bench.pooled(1).await;
    bench.world().mine();
    assert_eq!(bench.mined(), ["a"]);
    // The next one keeps the line contiguous.
    bench.handle.submit(intent("b")).await.unwrap();
    bench.pooled(1).await;
    assert!(bench.world().pool.contains_key(&1));
}

#[tokio::test]
async fn what_left_the_chain_waits_for_what_it_stands_on_before_it_is_sent_again() {
    let bench = Bench::new(often()).await;
    bench.handle.submit(intent("a")).await.unwrap();
    bench.pooled(1).await;
    bench.world().mine();
    assert!(is_mined(&bench.outcome("a").await));
    // What another wallet had sent before it is gone as well.
    let reverts = Fault::Error(3, "execution reverted: nothing to stand on");
    bench.node.always("eth_estimateGas", reverts);
    let estimates = bench.node.requests("eth_estimateGas").len();
    bench.world().reorg(1);
    bench.node.asked("eth_estimateGas", estimates + 3).await;
    assert!(bench.world().pool.is_empty(), "it could only fail");
    bench.node.heal();
    bench.pooled(1).await;
    bench.world().mine();
    assert_eq!(bench.mined(), ["a"]);
}

#[tokio::test]
async fn what_is_mined_again_after_a_reorganisation_ends_as_it_ended_then() {
    let bench = Bench::new(often()).await;
    bench.handle.submit(intent("a")).await.unwrap();
    bench.pooled(1).await;
    bench.world().mine();
    assert!(is_mined(&bench.outcome("a").await));
    bench.world().reorg(1);
    bench.pooled(1).await;
    {
        let mut world = bench.world();
        let payload = world.pool[&0].input.clone();
        world.fails.push(payload);
        world.mine();
    }
    within(async {
        while !matches!(bench.outcome("a").await, Outcome::Reverted { .. }) {
            bench
                .node
                .asked(HEAD, bench.node.requests(HEAD).len() + 1)
                .await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_settled_transaction_that_a_reorganisation_made_too_cheap_is_replaced_and_holds_up_nobody()
 {
    let bench = Bench::new(OutboxSettings {
        stuck_after: Duration::from_millis(50),
        ..often()
    })
    .await;
    bench.handle.submit(intent("a")).await.unwrap();
    bench.pooled(1).await;
    bench.world().mine();
    assert!(is_mined(&bench.outcome("a").await));
    {
        let mut world = bench.world();
        world.reorg(1);
        world.base_fee = Some(5_000_000_000);
    }
    bench.handle.submit(intent("b")).await.unwrap();
    let mut looks = bench.node.requests(HEAD).len();
    within(async {
        while bench.mined().len() < 2 {
            bench.world().mine();
            looks += 2;
            bench.node.asked(HEAD, looks).await;
        }
    })
    .await;
    assert_eq!(bench.mined(), ["a", "b"]);
    let Outcome::Mined { receipt } = bench.outcome("a").await else {
        panic!("it is mined")
    };
    assert!(receipt.block.0 > 1, "the outcome is that of the new block");
}

#[tokio::test]
async fn two_nodes_that_disagree_do_not_make_it_send_twice() {
    let world = World::new();
    world.lock().unwrap().instant = true;
    let (knows, behind) = (FakeNode::start(&world).await, FakeNode::start(&world).await);
    let urls = vec![knows.url.clone(), behind.url.clone()];
    let node = Node::new(urls, None).unwrap();
    // One node has the count and is too busy for the rest; the other has not seen the transaction and does not count.
    for method in [RECEIPT, BY_HASH] {
        knows.always(method, Fault::Http(503));
        behind.always(method, Fault::Answer(Value::Null));
    }
    for method in ["eth_getTransactionCount", HEAD] {
        behind.always(method, Fault::Http(503));
    }
    let store = Arc::new(MemoryOutboxStore::default());
    let (handle, outbox) = Outbox::start(node, PrivateKeySigner::random(), store, hasty())
        .await
        .unwrap();
    let running = tokio::spawn(outbox.run());
    handle.submit(intent("a")).await.unwrap();
    knows.asked(BY_HASH, 5).await;
    knows.heal();
    behind.heal();
    assert!(is_mined(&within(handle.outcome("a")).await.unwrap()));
    assert_eq!(world.lock().unwrap().mined().len(), 1);
    running.abort();
}
