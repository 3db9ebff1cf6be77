//! A node that answers badly for a while, in the ways in which nodes do: nothing is lost, nothing is believed that is not so, and the
//! operator is told.

use std::time::Duration;

use e2e::flaky::{Fault, FlakyNode};
use e2e::world::{Plan, World};

use crate::turn;

const A_WHILE: Duration = Duration::from_secs(40);

async fn world() -> World {
    World::start(Plan {
        flaky_node: true,
        ..Plan::with_faults(1)
    })
    .await
    .unwrap()
}

fn node(world: &World) -> &FlakyNode {
    world.flaky.as_ref().unwrap()
}

/// Waits until the chain is `blocks` further.
async fn blocks_pass(world: &World, blocks: u64) {
    let rpc = world.rpc();
    let from = rpc.head().await.unwrap();
    let patience = Duration::from_secs(30 + 2 * blocks);
    e2e::process::until("new blocks", patience, || async {
        Ok((rpc.head().await? >= from + blocks).then_some(()))
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_answers_errors_delays_tasks_and_loses_none() {
    let _turn = turn().await;
    let world = world().await;
    let (pool, worker) = (world.pool.said().len(), world.workers[0].said().len());
    let under_way = world.buy_one("sleep 2").await.unwrap();
    world
        .replicate_reaches(under_way, "COMPUTING", A_WHILE)
        .await
        .unwrap();

    node(&world).goes_wrong(Fault::Refuses(Vec::new()));
    // Bought while nobody of the pool can read the chain.
    let meanwhile = world.buy_one("ok").await.unwrap();
    world.becomes_healthy(false, A_WHILE).await.unwrap();
    let told = world
        .pool
        .says(
            pool,
            &["the chain cannot be read", "the node is being restored"],
            A_WHILE,
        )
        .await
        .unwrap();
    assert!(told.contains("eth_"), "the method is named: {told}");
    world.workers[0]
        .says(
            worker,
            &["the chain does not answer", "the node is being restored"],
            A_WHILE,
        )
        .await
        .unwrap();
    blocks_pass(&world, 60).await;

    node(&world).goes_right();
    world.becomes_healthy(true, A_WHILE).await.unwrap();
    // After so long a time the worker asks every half minute only.
    world.completes(under_way, 3 * A_WHILE).await.unwrap();
    world.completes(meanwhile, 3 * A_WHILE).await.unwrap();
    world.audit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_down_and_one_that_is_slow_only_cost_time() {
    let _turn = turn().await;
    let world = world().await;
    let slow = vec!["eth_getLogs", "eth_call", "eth_sendRawTransaction"];
    for fault in [Fault::Down, Fault::Slow(slow, Duration::from_secs(3))] {
        let under_way = world.buy_one("sleep 2").await.unwrap();
        world
            .replicate_reaches(under_way, "COMPUTING", A_WHILE)
            .await
            .unwrap();
        node(&world).goes_wrong(fault);
        let meanwhile = world.buy_one("ok").await.unwrap();
        blocks_pass(&world, 20).await;
        node(&world).goes_right();
        world.completes(under_way, A_WHILE).await.unwrap();
        world.completes(meanwhile, A_WHILE).await.unwrap();
    }
    world.audit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stays_behind_is_noticed_and_its_old_view_is_not_believed() {
    let _turn = turn().await;
    let world = world().await;
    let pool = world.pool.said().len();
    let under_way = world.buy_one("sleep 2").await.unwrap();
    world
        .replicate_reaches(under_way, "COMPUTING", A_WHILE)
        .await
        .unwrap();

    let head = world.rpc().head().await.unwrap();
    node(&world).goes_wrong(Fault::Stale(head));
    let meanwhile = world.buy_one("ok").await.unwrap();
    world.becomes_healthy(false, A_WHILE).await.unwrap();
    world
        .pool
        .says(pool, &["newest block", "too old"], A_WHILE)
        .await
        .unwrap();
    // A stale head that then jumps back and forth, as behind a balancer with one node that is stuck.
    node(&world).goes_right();
    blocks_pass(&world, 1).await;
    node(&world).goes_wrong(Fault::Stale(head));
    blocks_pass(&world, 2).await;

    node(&world).goes_right();
    world.completes(under_way, A_WHILE).await.unwrap();
    world.completes(meanwhile, A_WHILE).await.unwrap();
    assert!(
        !world.pool.said().contains("reorganised"),
        "a node that is behind is no reorganisation\n{}",
        world.logs()
    );
    world.audit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_hides_logs_for_a_while_loses_no_deal_and_no_report() {
    let _turn = turn().await;
    let world = world().await;
    let under_way = world.buy_one("sleep 2").await.unwrap();
    world
        .replicate_reaches(under_way, "COMPUTING", A_WHILE)
        .await
        .unwrap();

    node(&world).goes_wrong(Fault::NoLogs);
    let meanwhile = world.buy_one("ok").await.unwrap();
    // Long enough for a contribution whose log nobody sees, and for whoever waits for it to lose patience.
    blocks_pass(&world, 60).await;
    node(&world).goes_right();
    world.completes(under_way, 3 * A_WHILE).await.unwrap();
    world.completes(meanwhile, 3 * A_WHILE).await.unwrap();
    // Caught by a block's header, or found when the newest blocks were read again.
    let said = world.pool.said();
    assert!(
        said.contains("logs are missing in its answers to eth_getLogs")
            || said.contains("the node gave a log only now that it had left out before"),
        "{}",
        world.logs()
    );
    world.audit().await.unwrap();
}
