//! New blocks as they come, and the cursor that is told of them: what is quiet costs no question.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod fake;

use std::time::Duration;

use alloy_primitives::{Address, B256, LogData, address};
use alloy_sol_types::SolEvent;
use chain::{Cursor, CursorSettings, Fact, FactFilter, Head, Heads, Node, NodeError, Progress};
use devnet::TestChain;
use fake::{FakeNode, SharedWorld, World, hub};
use poco::contracts::Hub as Abi;
use poco::units::BlockNumber;
use serde_json::json;

const POOL: Address = address!("9001000000000000000000000000000000000001");
const SOON: Duration = Duration::from_millis(5);
const LATE: Duration = Duration::from_secs(3600);

fn consensus(id: u8) -> LogData {
    Abi::TaskConsensus {
        taskid: B256::with_last_byte(id),
        consensus: B256::repeat_byte(7),
    }
    .encode_log_data()
}

async fn world() -> (SharedWorld, FakeNode, Node) {
    let world = World::new();
    let fake = FakeNode::start(&world).await;
    let node = Node::new(vec![fake.url.clone()], None).unwrap();
    (world, fake, node)
}

/// A cursor that has read up to the head, a block with a fact of ours among it.
async fn followed() -> (SharedWorld, FakeNode, Heads, Cursor) {
    let (world, fake, node) = world().await;
    world.lock().unwrap().mine_with(vec![consensus(1)]);
    let heads = Heads::new(node.clone(), SOON);
    let filter = FactFilter {
        hub: hub(),
        deals_of: Some(POOL),
    };
    let mut cursor = Cursor::new(
        node,
        filter,
        CursorSettings::new(BlockNumber(0), SOON),
        None,
    );
    let (to, facts) = step(&mut cursor).await;
    assert_eq!((to, facts.len()), (1, 1));
    (world, fake, heads, cursor)
}

async fn step(cursor: &mut Cursor) -> (u64, Vec<Fact>) {
    match cursor.next().await.unwrap() {
        Progress::Advanced { to, facts, .. } => {
            let facts = facts.into_iter().map(|located| located.fact).collect();
            (to.number.0, facts)
        }
        rolled_back => panic!("{rolled_back:?}"),
    }
}

/// The header of the block that was just mined.
async fn newest(heads: &mut Heads, number: u64) -> Head {
    loop {
        let head = heads.next().await.unwrap();
        if head.block.number == BlockNumber(number) {
            return head;
        }
    }
}

#[tokio::test]
async fn a_node_that_pushes_is_not_asked() {
    let chain = TestChain::with_block_time(Duration::from_millis(200))
        .await
        .unwrap();
    let node = Node::new(vec![chain.rpc_url().parse().unwrap()], None).unwrap();
    // It would ask once an hour.
    let mut heads = Heads::new(node, LATE);
    let first = heads.next().await.unwrap().block;
    let mut last = heads.next().await.unwrap().block;
    assert!(last.number > first.number);
    for _ in 0..3 {
        let next = heads.next().await.unwrap().block;
        assert_eq!((next.number.0, next.parent), (last.number.0 + 1, last.hash));
        last = next;
    }
}

#[tokio::test]
async fn a_node_that_does_not_push_is_asked_in_the_rhythm_of_its_blocks() {
    let (world, fake, node) = world().await;
    let mut heads = Heads::new(node, SOON);
    assert_eq!(heads.next().await.unwrap().block.number, BlockNumber(0));
    world.lock().unwrap().mine_many(2);
    newest(&mut heads, 2).await;
    assert!(fake.requests("eth_getBlockByNumber").len() >= 2);
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_an_error_and_is_asked_again() {
    let (_world, fake, node) = world().await;
    let mut heads = Heads::new(node, SOON);
    fake.once("eth_getBlockByNumber", fake::Fault::Http(500));
    assert!(heads.next().await.is_err());
    assert_eq!(heads.next().await.unwrap().block.number, BlockNumber(0));
}

#[tokio::test]
async fn a_quiet_block_that_the_cursor_is_told_of_costs_no_question() {
    let (world, fake, mut heads, mut cursor) = followed().await;
    for number in 2..5 {
        world.lock().unwrap().mine();
        let head = newest(&mut heads, number).await;
        let (logs, blocks) = (
            fake.requests("eth_getLogs").len(),
            fake.requests("eth_getBlockByNumber").len(),
        );
        cursor.waker().tell(head);
        assert_eq!(step(&mut cursor).await, (number, Vec::new()));
        assert_eq!(fake.requests("eth_getLogs").len(), logs);
        assert_eq!(fake.requests("eth_getBlockByNumber").len(), blocks);
    }
    let position = cursor.position().unwrap();
    assert_eq!(position.hash, world.lock().unwrap().head().hash);
}

#[tokio::test]
async fn a_block_whose_header_shows_something_of_ours_costs_the_question_for_its_logs() {
    let (world, fake, mut heads, mut cursor) = followed().await;
    let asked = |method| fake.requests(method).len();
    world.lock().unwrap().mine_with(vec![consensus(2)]);
    let head = newest(&mut heads, 2).await;
    let (logs, blocks) = (asked("eth_getLogs"), asked("eth_getBlockByNumber"));
    cursor.waker().tell(head);
    let (to, facts) = step(&mut cursor).await;
    assert_eq!((to, facts.len()), (2, 1));
    assert_eq!(asked("eth_getLogs"), logs + 1);
    assert_eq!(asked("eth_getBlockByNumber"), blocks);
}

#[tokio::test]
async fn logs_that_a_told_header_shows_and_the_node_leaves_out_are_missed() {
    let (world, fake, mut heads, mut cursor) = followed().await;
    world.lock().unwrap().mine_with(vec![consensus(2)]);
    let head = newest(&mut heads, 2).await;
    fake.always("eth_getLogs", fake::Fault::Answer(json!([])));
    cursor.waker().tell(head);
    assert!(matches!(
        cursor.next().await,
        Err(NodeError::LogsMissing { block: 2 })
    ));
    fake.heal();
    let (to, facts) = step(&mut cursor).await;
    assert_eq!((to, facts.len()), (2, 1));
}

#[tokio::test]
async fn logs_of_another_block_than_the_told_one_are_not_taken_for_its_own() {
    let (world, _fake, mut heads, mut cursor) = followed().await;
    world.lock().unwrap().mine_with(vec![consensus(2)]);
    let head = newest(&mut heads, 2).await;
    world.lock().unwrap().roll_back(1);
    world.lock().unwrap().mine_with(vec![consensus(3)]);
    let there = world.lock().unwrap().head().hash;
    cursor.waker().tell(head);
    let (to, facts) = step(&mut cursor).await;
    assert_eq!((to, facts.len()), (2, 1));
    assert_eq!(cursor.position().unwrap().hash, there);
}

#[tokio::test]
async fn a_block_that_does_not_follow_the_last_one_read_is_no_reason_to_skip_those_between() {
    let (world, _fake, mut heads, mut cursor) = followed().await;
    world.lock().unwrap().mine_with(vec![consensus(2)]);
    world.lock().unwrap().mine();
    let head = newest(&mut heads, 3).await;
    cursor.waker().tell(head);
    let (to, facts) = step(&mut cursor).await;
    assert_eq!((to, facts.len()), (3, 1));
}

#[tokio::test]
async fn a_told_block_of_another_branch_takes_the_old_ones_back() {
    let (world, _fake, mut heads, mut cursor) = followed().await;
    world.lock().unwrap().mine();
    let head = newest(&mut heads, 2).await;
    cursor.waker().tell(head);
    step(&mut cursor).await;
    let before = world.lock().unwrap().head().hash;
    world.lock().unwrap().reorg(1);
    world.lock().unwrap().mine();
    let head = newest(&mut heads, 3).await;
    assert_ne!(head.block.parent, before);
    cursor.waker().tell(head);
    assert!(matches!(
        cursor.next().await.unwrap(),
        Progress::RolledBack {
            to: BlockNumber(1),
            ..
        }
    ));
}

#[tokio::test]
async fn headers_are_not_believed_before_one_was_seen_to_tell_the_truth() {
    let (world, fake, node) = world().await;
    let mut heads = Heads::new(node.clone(), SOON);
    let filter = FactFilter {
        hub: hub(),
        deals_of: Some(POOL),
    };
    let mut cursor = Cursor::new(
        node,
        filter,
        CursorSettings::new(BlockNumber(0), SOON),
        None,
    );
    step(&mut cursor).await;
    world.lock().unwrap().mine();
    let head = newest(&mut heads, 1).await;
    let before = fake.requests("eth_getLogs").len();
    cursor.waker().tell(head);
    step(&mut cursor).await;
    assert_eq!(fake.requests("eth_getLogs").len(), before + 1);
}
