//! A machine whose clock is five minutes off: said with its mend, and over when the clock is set.

use std::time::Duration;

use e2e::skewed_clock::SkewedClock;
use e2e::world::{Plan, World};

use crate::turn;

const A_WHILE: Duration = Duration::from_secs(40);
const FIVE_MINUTES: i64 = 300;

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_whose_clock_is_wrong_says_so_and_works_once_it_is_set() {
    let _turn = turn().await;
    let clock = SkewedClock::new().unwrap();
    let world = World::start(Plan {
        pool_env: clock.settings(),
        ..Plan::with_faults(1)
    })
    .await
    .unwrap();
    let from = world.pool.said().len();
    let under_way = world.buy_one("sleep 2").await.unwrap();
    world
        .replicate_reaches(under_way, "COMPUTING", A_WHILE)
        .await
        .unwrap();

    // Ahead: every block looks old. No worker is taken for lost, and no new work is given.
    clock.set(FIVE_MINUTES).unwrap();
    let told = world
        .pool
        .says(from, &["out of service", "set the clock"], A_WHILE)
        .await
        .unwrap();
    assert!(told.contains("30"), "about 300 s are named: {told}");
    world.becomes_healthy(false, A_WHILE).await.unwrap();
    let meanwhile = world.buy_one("ok").await.unwrap();
    clock.set(0).unwrap();
    world.becomes_healthy(true, A_WHILE).await.unwrap();
    world.completes(under_way, A_WHILE).await.unwrap();
    world.completes(meanwhile, A_WHILE).await.unwrap();

    // Behind: work goes on, by the chain's clock, and the operator is told.
    clock.set(-FIVE_MINUTES).unwrap();
    world
        .pool
        .says(from, &["clock is behind the chain's", "set it"], A_WHILE)
        .await
        .unwrap();
    let behind = world.buy_one("ok").await.unwrap();
    world.completes(behind, A_WHILE).await.unwrap();
    clock.set(0).unwrap();
    let after = world.buy_one("ok").await.unwrap();
    world.completes(after, A_WHILE).await.unwrap();
    world.audit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_clock_is_wrong_still_does_its_tasks() {
    let _turn = turn().await;
    let clock = SkewedClock::new().unwrap();
    let world = World::start(Plan {
        worker_env: clock.settings(),
        ..Plan::with_faults(1)
    })
    .await
    .unwrap();
    for seconds in [FIVE_MINUTES, -FIVE_MINUTES, 0] {
        clock.set(seconds).unwrap();
        let task = world.buy_one("sleep 1").await.unwrap();
        world
            .completes(task, A_WHILE)
            .await
            .unwrap_or_else(|error| panic!("{seconds} s: {error:#}"));
    }
    world.audit().await.unwrap();
}
