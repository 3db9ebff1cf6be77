//! The log cursor: no block is skipped, no fact of a lost branch stands.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod fake;

use std::time::Duration;

use alloy_primitives::{Address, B256, LogData, address};
use alloy_sol_types::SolEvent;
use chain::{Cursor, CursorPosition, CursorSettings, Fact, FactFilter, Node, NodeError, Progress};
use fake::{FakeNode, Fault, SharedWorld, World, hub};
use poco::{
    contracts::Hub as Abi,
    ids::{DealId, TaskId},
    units::BlockNumber,
};
use serde_json::json;

const POOL: Address = address!("9001000000000000000000000000000000000001");
const OTHER: Address = address!("9001000000000000000000000000000000000002");
const SOON: Duration = Duration::from_millis(5);

fn deal_notice(pool: Address, id: u8) -> LogData {
    Abi::SchedulerNotice {
        workerpool: pool,
        dealid: B256::with_last_byte(id),
    }
    .encode_log_data()
}

fn consensus(id: u8) -> LogData {
    Abi::TaskConsensus {
        taskid: B256::with_last_byte(id),
        consensus: B256::repeat_byte(7),
    }
    .encode_log_data()
}

fn deal(id: u8) -> Fact {
    Fact::Deal {
        deal: DealId(B256::with_last_byte(id)),
        pool: POOL,
    }
}

fn filter() -> FactFilter {
    FactFilter {
        hub: hub(),
        deals_of: Some(POOL),
    }
}

fn settings() -> CursorSettings {
    CursorSettings::new(BlockNumber(0), SOON)
}

async fn world() -> (SharedWorld, FakeNode, Node) {
    let world = World::new();
    let fake = FakeNode::start(&world).await;
    let node = Node::new(vec![fake.url.clone()], None).unwrap();
    (world, fake, node)
}

/// The facts of steps up to and including block `to`, and the position there.
async fn read_to(cursor: &mut Cursor, to: u64) -> (Vec<Fact>, CursorPosition) {
    let mut told = Vec::new();
    loop {
        match cursor.next().await.unwrap() {
            Progress::Advanced {
                to: at,
                facts,
                position,
                ..
            } => {
                told.extend(facts.into_iter().map(|located| located.fact));
                if at.number == BlockNumber(to) {
                    return (told, position);
                }
            }
            Progress::RolledBack { to, .. } => panic!("no rollback was due: {to:?}"),
        }
    }
}

#[tokio::test]
async fn facts_come_in_order_with_their_place_and_time() {
    let (world, _fake, node) = world().await;
    world
        .lock()
        .unwrap()
        .mine_with(vec![deal_notice(POOL, 1), consensus(2)]);
    let mut cursor = Cursor::new(node, filter(), settings(), None);
    let Progress::Advanced { to, facts, .. } = cursor.next().await.unwrap() else {
        panic!("the cursor advances")
    };
    assert_eq!(to.number, BlockNumber(1));
    assert_eq!(facts[0].fact, deal(1));
    assert_eq!(
        facts[1].fact,
        Fact::Consensus {
            task: TaskId(B256::with_last_byte(2)),
            hash: B256::repeat_byte(7)
        }
    );
    assert_eq!((facts[1].block, facts[1].log_index), (BlockNumber(1), 1));
    assert_eq!(facts[0].block_hash, to.hash);
    assert_eq!(facts[0].block_time, to.timestamp);
}

#[tokio::test]
async fn deals_of_other_pools_are_left_out() {
    let (world, _fake, node) = world().await;
    world
        .lock()
        .unwrap()
        .mine_with(vec![deal_notice(OTHER, 1), deal_notice(POOL, 2)]);
    let mut cursor = Cursor::new(node, filter(), settings(), None);
    assert_eq!(read_to(&mut cursor, 1).await.0, [deal(2)]);
}

#[tokio::test]
async fn block_times_are_asked_for_when_logs_lack_them() {
    let (world, _fake, node) = world().await;
    {
        let mut world = world.lock().unwrap();
        world.timed_logs = false;
        world.mine_with(vec![consensus(1)]);
        world.mine();
    }
    let mut cursor = Cursor::new(node.clone(), filter(), settings(), None);
    let Progress::Advanced { facts, .. } = cursor.next().await.unwrap() else {
        panic!("the cursor advances")
    };
    let block = node.block(BlockNumber(1)).await.unwrap().unwrap();
    assert_eq!(facts[0].block_time, block.timestamp);
}

// C5: a deal in the block where a range ended was read twice, one whose read failed never again.
#[tokio::test]
async fn every_block_is_read_exactly_once_across_ranges_and_restarts() {
    let (world, fake, node) = world().await;
    for id in 1..=30 {
        world.lock().unwrap().mine_with(vec![deal_notice(POOL, id)]);
    }
    let small = CursorSettings {
        max_range: 7,
        ..settings()
    };
    let mut cursor = Cursor::new(node.clone(), filter(), small, None);
    let Progress::Advanced {
        facts, position, ..
    } = cursor.next().await.unwrap()
    else {
        panic!("the cursor advances")
    };
    let mut told: Vec<Fact> = facts.into_iter().map(|located| located.fact).collect();
    // A restart with what was stored, and errors on the way.
    fake.once("eth_getLogs", Fault::Http(500));
    let mut cursor = Cursor::new(node, filter(), small, Some(position));
    assert!(cursor.next().await.is_err());
    told.extend(read_to(&mut cursor, 30).await.0);
    assert_eq!(told, (1..=30).map(deal).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_range_that_is_too_large_is_halved_until_it_fits_and_grows_again() {
    let (world, _fake, node) = world().await;
    world.lock().unwrap().range_limit = Some(10);
    for id in 1..=200 {
        world.lock().unwrap().mine_with(vec![deal_notice(POOL, id)]);
    }
    let mut cursor = Cursor::new(node, filter(), settings(), None);
    let (told, _) = read_to(&mut cursor, 200).await;
    assert_eq!(told, (1..=200).map(deal).collect::<Vec<_>>());
    assert!(cursor.range() < 20, "{}", cursor.range());
    {
        let mut world = world.lock().unwrap();
        world.range_limit = None;
        world.mine_many(2000);
    }
    let before = cursor.range();
    read_to(&mut cursor, 2200).await;
    assert!(cursor.range() > before * 4, "{}", cursor.range());
}

#[tokio::test]
async fn a_provider_that_refuses_even_one_block_is_an_error() {
    let (_world, fake, node) = world().await;
    fake.always(
        "eth_getLogs",
        Fault::Error(-32005, "query returned more than 10000 results"),
    );
    let mut cursor = Cursor::new(node, filter(), settings(), None);
    let error = cursor.next().await.unwrap_err();
    assert!(matches!(error, NodeError::TooMuch { .. }), "{error}");
    assert_eq!(cursor.position(), None);
}

// A node behind a balancer that does not have the range yet answers with an empty list.
#[tokio::test]
async fn an_empty_answer_of_a_node_that_is_behind_skips_nothing() {
    let world = World::new();
    let (ahead, behind) = (FakeNode::start(&world).await, FakeNode::start(&world).await);
    for id in 1..=5 {
        world.lock().unwrap().mine_with(vec![deal_notice(POOL, id)]);
    }
    behind.lag_at(Some(2));
    let node = Node::new(vec![ahead.url.clone(), behind.url.clone()], None).unwrap();
    // The head comes from the node ahead, the logs from the one behind.
    ahead.once("eth_getLogs", Fault::Http(500));
    let mut cursor = Cursor::new(node, filter(), settings(), None);
    let (told, _) = read_to(&mut cursor, 5).await;
    assert_eq!(told, (1..=5).map(deal).collect::<Vec<_>>());
    assert!(!behind.requests("eth_getLogs").is_empty());
}

#[tokio::test]
async fn a_head_that_is_only_lower_is_no_reorganisation() {
    let (world, fake, node) = world().await;
    world.lock().unwrap().mine_many(10);
    let mut cursor = Cursor::new(node, filter(), settings(), None);
    read_to(&mut cursor, 10).await;
    fake.lag_at(Some(4));
    let looks = fake.requests("eth_getBlockByNumber").len();
    let next = cursor.next();
    tokio::pin!(next);
    tokio::select! {
        progress = &mut next => panic!("nothing happened: {progress:?}"),
        _ = fake.asked("eth_getBlockByNumber", looks + 5) => {}
    }
    fake.lag_at(None);
    world.lock().unwrap().mine_with(vec![deal_notice(POOL, 1)]);
    let Progress::Advanced { to, facts, .. } = next.await.unwrap() else {
        panic!("the cursor advances")
    };
    assert_eq!((to.number, facts.len()), (BlockNumber(11), 1));
}

#[tokio::test]
async fn replaced_blocks_at_the_same_height_roll_back_to_the_last_common_one() {
    let (world, _fake, node) = world().await;
    let mut cursor = Cursor::new(node, filter(), settings(), None);
    for id in 1..=6 {
        let number = world.lock().unwrap().mine_with(vec![deal_notice(POOL, id)]);
        read_to(&mut cursor, number).await;
    }
    world.lock().unwrap().reorg(3);
    let Progress::RolledBack { to, position } = cursor.next().await.unwrap() else {
        panic!("the chain changed")
    };
    assert_eq!(to, BlockNumber(3));
    assert_eq!(position.as_ref().map(|at| at.number), Some(BlockNumber(3)));
    // The new branch is read from there.
    world.lock().unwrap().mine_with(vec![deal_notice(POOL, 9)]);
    assert_eq!(read_to(&mut cursor, 7).await.0, [deal(9)]);
}

#[tokio::test]
async fn a_reorganisation_while_the_process_was_down_is_noticed() {
    let (world, _fake, node) = world().await;
    let mut cursor = Cursor::new(node.clone(), filter(), settings(), None);
    for _ in 0..5 {
        let number = world.lock().unwrap().mine();
        read_to(&mut cursor, number).await;
    }
    let stored = serde_json::to_string(cursor.position().unwrap()).unwrap();
    {
        let mut world = world.lock().unwrap();
        world.roll_back(2);
        world.mine_with(vec![deal_notice(POOL, 1)]);
        world.mine_many(5);
    }
    let stored = serde_json::from_str(&stored).unwrap();
    let mut cursor = Cursor::new(node, filter(), settings(), Some(stored));
    let Progress::RolledBack { to, .. } = cursor.next().await.unwrap() else {
        panic!("the chain changed")
    };
    assert_eq!(to, BlockNumber(3));
    assert_eq!(read_to(&mut cursor, 9).await.0, [deal(1)]);
}

#[tokio::test]
async fn what_was_read_while_the_chain_changed_is_read_again() {
    let (world, fake, node) = world().await;
    world.lock().unwrap().mine_with(vec![deal_notice(POOL, 1)]);
    // The head that was seen is gone when the logs are read.
    let head = json!({"number": "0x1", "hash": B256::repeat_byte(3), "parentHash": B256::ZERO, "timestamp": "0x1"});
    fake.once("eth_getBlockByNumber", Fault::Answer(head));
    let mut cursor = Cursor::new(node.clone(), filter(), settings(), None);
    let Progress::Advanced { to, facts, .. } = cursor.next().await.unwrap() else {
        panic!("the cursor advances")
    };
    assert_eq!(to, node.head().await.unwrap());
    assert_eq!(facts[0].block_hash, to.hash);
    assert_eq!(fake.requests("eth_getLogs").len(), 2);
}

#[tokio::test]
async fn a_chain_without_any_known_block_is_read_from_the_start_again() {
    let (world, _fake, node) = world().await;
    world.lock().unwrap().mine_many(3);
    let from_two = CursorSettings::new(BlockNumber(2), SOON);
    let foreign = CursorPosition::at(BlockNumber(3), B256::repeat_byte(1));
    let mut cursor = Cursor::new(node, filter(), from_two, Some(foreign));
    assert_eq!(
        cursor.next().await.unwrap(),
        Progress::RolledBack {
            to: BlockNumber(1),
            position: None
        }
    );
    let Progress::Advanced { to, .. } = cursor.next().await.unwrap() else {
        panic!("the cursor advances")
    };
    assert_eq!(to.number, BlockNumber(3));
}

#[tokio::test]
async fn a_failed_read_while_walking_back_is_no_sign_of_a_deeper_reorganisation() {
    let (world, fake, node) = world().await;
    let mut cursor = Cursor::new(node, filter(), settings(), None);
    for _ in 0..4 {
        let number = world.lock().unwrap().mine();
        read_to(&mut cursor, number).await;
    }
    world.lock().unwrap().reorg(1);
    // The head is seen, the walk fails.
    let head = json!({"number": "0x4", "hash": B256::repeat_byte(3), "parentHash": B256::ZERO, "timestamp": "0x1"});
    fake.once("eth_getBlockByNumber", Fault::Answer(head));
    fake.once(
        "eth_getBlockByNumber",
        Fault::Error(-32603, "internal error"),
    );
    assert!(cursor.next().await.is_err());
    let Progress::RolledBack { to, .. } = cursor.next().await.unwrap() else {
        panic!("the chain changed")
    };
    assert_eq!(to, BlockNumber(3));
}

#[tokio::test]
async fn the_position_remembers_sixty_four_blocks_and_no_more() {
    let (world, _fake, node) = world().await;
    let mut cursor = Cursor::new(node, filter(), settings(), None);
    for _ in 0..80 {
        let number = world.lock().unwrap().mine();
        read_to(&mut cursor, number).await;
    }
    assert_eq!(cursor.position().unwrap().earlier.len(), 64);
    world.lock().unwrap().reorg(60);
    let Progress::RolledBack { to, .. } = cursor.next().await.unwrap() else {
        panic!("the chain changed")
    };
    assert_eq!(to, BlockNumber(20));
}

#[tokio::test]
async fn a_waker_ends_the_rest() {
    let (world, fake, node) = world().await;
    let sleepy = CursorSettings::new(BlockNumber(0), Duration::from_secs(3600));
    let mut cursor = Cursor::new(node, filter(), sleepy, None);
    read_to(&mut cursor, 0).await;
    let waker = cursor.waker();
    let looks = fake.requests("eth_getBlockByNumber").len();
    let next = cursor.next();
    tokio::pin!(next);
    tokio::select! {
        progress = &mut next => panic!("nothing happened: {progress:?}"),
        _ = fake.asked("eth_getBlockByNumber", looks + 1) => {}
    }
    world.lock().unwrap().mine();
    waker.wake();
    let Progress::Advanced { to, .. } = next.await.unwrap() else {
        panic!("the cursor advances")
    };
    assert_eq!(to.number, BlockNumber(1));
}

#[tokio::test]
async fn with_confirmations_the_youngest_blocks_are_left_alone() {
    let (world, _fake, node) = world().await;
    world.lock().unwrap().mine_many(10);
    let patient = CursorSettings {
        confirmations: 3,
        ..settings()
    };
    let mut cursor = Cursor::new(node, filter(), patient, None);
    let Progress::Advanced { to, head, .. } = cursor.next().await.unwrap() else {
        panic!("the cursor advances")
    };
    assert_eq!((to.number, head), (BlockNumber(7), BlockNumber(10)));
}

#[tokio::test]
async fn a_range_that_is_refused_with_an_http_status_is_asked_for_in_parts() {
    let (world, fake, node) = world().await;
    world.lock().unwrap().mine_many(5);
    world.lock().unwrap().mine_with(vec![deal_notice(POOL, 1)]);
    fake.once(
        "eth_getLogs",
        Fault::HttpError(400, -32000, "Query returned more than 10000 results"),
    );
    let mut cursor = Cursor::new(node, filter(), settings(), None);
    let (facts, _) = read_to(&mut cursor, 6).await;
    assert_eq!(facts, [deal(1)]);
    assert!(cursor.range() < settings().max_range);
}

#[tokio::test]
async fn initialisations_of_other_pools_are_left_out() {
    let (world, _fake, node) = world().await;
    let initialized = |pool, id| {
        Abi::TaskInitialize {
            taskid: B256::with_last_byte(id),
            workerpool: pool,
        }
        .encode_log_data()
    };
    let logs = vec![initialized(OTHER, 1), initialized(POOL, 2)];
    world.lock().unwrap().mine_with(logs);
    let fact = |id| Fact::Initialized {
        task: TaskId(B256::with_last_byte(id)),
    };
    let mut of_a_pool = Cursor::new(node.clone(), filter(), settings(), None);
    assert_eq!(read_to(&mut of_a_pool, 1).await.0, [fact(2)]);
    let every_pool = FactFilter {
        deals_of: None,
        ..filter()
    };
    let mut of_all = Cursor::new(node, every_pool, settings(), None);
    assert_eq!(read_to(&mut of_all, 1).await.0, [fact(1), fact(2)]);
}

#[tokio::test]
async fn a_cursor_that_goes_back_tells_again_and_can_still_be_woken() {
    let (world, _fake, node) = world().await;
    world.lock().unwrap().mine_with(vec![deal_notice(POOL, 1)]);
    let patient = CursorSettings::new(BlockNumber(0), Duration::from_secs(3600));
    let mut cursor = Cursor::new(node, filter(), patient, None);
    let waker = cursor.waker();
    assert_eq!(read_to(&mut cursor, 1).await.0, [deal(1)]);
    cursor.go_back_to(None);
    assert_eq!(read_to(&mut cursor, 1).await.0, [deal(1)]);
    world.lock().unwrap().mine();
    waker.wake();
    assert_eq!(read_to(&mut cursor, 2).await.0, []);
}

#[tokio::test]
async fn a_node_that_hides_the_logs_of_a_block_is_caught_by_the_blocks_header() {
    let (world, _fake, node) = world().await;
    let mut cursor = Cursor::new(node, filter(), settings(), None);
    let (_, before) = read_to(&mut cursor, 0).await;
    {
        let mut world = world.lock().unwrap();
        world.hidden_logs = true;
        world.mine_with(vec![deal_notice(POOL, 1)]);
    }
    let error = cursor.next().await.unwrap_err();
    assert_eq!(error, NodeError::LogsMissing { block: 1 });
    assert!(error.to_string().contains("use another node"));
    assert_eq!(cursor.position(), Some(&before));
    world.lock().unwrap().hidden_logs = false;
    assert_eq!(read_to(&mut cursor, 1).await.0, [deal(1)]);
}

#[tokio::test]
async fn logs_that_are_hidden_in_the_middle_of_a_short_range_are_missed() {
    let (world, _fake, node) = world().await;
    let mut cursor = Cursor::new(node, filter(), settings(), None);
    read_to(&mut cursor, 0).await;
    {
        let mut world = world.lock().unwrap();
        world.hidden_logs = true;
        world.mine_with(vec![deal_notice(POOL, 1)]);
        world.mine_many(3);
    }
    let error = cursor.next().await.unwrap_err();
    assert_eq!(error, NodeError::LogsMissing { block: 1 });
    world.lock().unwrap().hidden_logs = false;
    assert_eq!(read_to(&mut cursor, 4).await.0, [deal(1)]);
}

#[tokio::test]
async fn logs_that_were_hidden_in_a_long_range_are_found_later_and_told_once() {
    let (world, _fake, node) = world().await;
    let mut cursor = Cursor::new(node, filter(), settings(), None);
    read_to(&mut cursor, 0).await;
    {
        let mut world = world.lock().unwrap();
        world.hidden_logs = true;
        // The headers of the first block and of the last one show nothing, and so many are not looked at one by one.
        world.mine();
        world.mine_with(vec![deal_notice(POOL, 1)]);
        world.mine_many(20);
    }
    assert_eq!(read_to(&mut cursor, 22).await.0, []);
    {
        let mut world = world.lock().unwrap();
        world.hidden_logs = false;
        world.mine_with(vec![consensus(2)]);
    }
    let (told, _) = read_to(&mut cursor, 23).await;
    assert_eq!(told.first(), Some(&deal(1)));
    assert_eq!(told.len(), 2);
    world.lock().unwrap().mine();
    assert_eq!(read_to(&mut cursor, 24).await.0, []);
}

#[tokio::test]
async fn logs_that_are_known_to_be_hidden_are_not_passed_over_however_many_blocks_come() {
    let (world, _fake, node) = world().await;
    let mut cursor = Cursor::new(node, filter(), settings(), None);
    read_to(&mut cursor, 0).await;
    {
        let mut world = world.lock().unwrap();
        world.hidden_logs = true;
        world.mine();
        world.mine_with(vec![deal_notice(POOL, 1)]);
    }
    assert!(matches!(
        cursor.next().await,
        Err(NodeError::LogsMissing { block: 2 })
    ));
    world.lock().unwrap().mine_many(40);
    assert!(matches!(
        cursor.next().await,
        Err(NodeError::LogsMissing { block: 2 })
    ));
    world.lock().unwrap().hidden_logs = false;
    let (told, _) = read_to(&mut cursor, 42).await;
    assert_eq!(told, [deal(1)]);
}

#[tokio::test]
async fn a_node_that_lost_the_last_block_read_is_believed_by_the_block_on_top_of_it() {
    let (world, _fake, node) = world().await;
    let mut cursor = Cursor::new(node, filter(), settings(), None);
    world.lock().unwrap().mine_many(2);
    read_to(&mut cursor, 2).await;
    {
        let mut world = world.lock().unwrap();
        world.lost = Some(2);
        world.mine_with(vec![consensus(2)]);
    }
    assert_eq!(read_to(&mut cursor, 3).await.0.len(), 1);
    // Lost in a reorganisation, which the block on top shows.
    {
        let mut world = world.lock().unwrap();
        world.lost = Some(3);
        world.reorg(1);
        world.mine();
    }
    assert!(matches!(
        cursor.next().await.unwrap(),
        Progress::RolledBack {
            to: BlockNumber(2),
            ..
        }
    ));
}

#[tokio::test]
async fn a_log_that_a_reorganisation_moved_is_told_again() {
    let (world, _fake, node) = world().await;
    let mut cursor = Cursor::new(node, filter(), settings(), None);
    read_to(&mut cursor, 0).await;
    world.lock().unwrap().mine_with(vec![deal_notice(POOL, 1)]);
    assert_eq!(read_to(&mut cursor, 1).await.0, [deal(1)]);
    {
        let mut world = world.lock().unwrap();
        world.roll_back(1);
        world.mine_with(vec![deal_notice(POOL, 1)]);
    }
    assert!(matches!(
        cursor.next().await.unwrap(),
        Progress::RolledBack { .. }
    ));
    assert_eq!(read_to(&mut cursor, 1).await.0, [deal(1)]);
}
