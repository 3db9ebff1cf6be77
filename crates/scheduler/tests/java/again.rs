//! What was pushed and perhaps not heard is pushed again, to whoever listens anew (spec scheduler-api Q35). This takes half a minute, so it is
//! apart, where it begins early.

use std::time::{Duration, Instant};

use alloy_primitives::B256;

use crate::channel::Channel;
use crate::jackson::Bodies;
use crate::support::World;
use crate::worker::{JavaWorker, Variant};

const FIRST: &str = "00000000000000000000000000000001";
const SECOND: &str = "00000000000000000000000000000002";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_has_provably_not_begun_is_told_again_and_never_within_30_seconds() {
    let (world, mut bodies) = (World::new().await, Bodies::default());
    let worker = JavaWorker::start(&world, Variant::Nine, 1, 1, &mut bodies).await;
    let task = world.deal(1, 1).await[0];
    worker.is_given(&world, task, &mut bodies).await;
    let first = worker.listens(&world, FIRST, task).await;
    worker
        .contributes(&world, task, B256::repeat_byte(1), &mut bodies)
        .await;
    world.node.consensus(task, B256::repeat_byte(1));
    let told = first.is_told("PLEASE_REVEAL").await;
    let at = Instant::now();
    // It never gets to act on it: the connection is gone.
    drop(first);
    let second = worker.listens(&world, SECOND, task).await;
    second.waits(Duration::from_secs(26)).await;
    // Somebody must keep worker and chain alive.
    worker.post(&world, "/workers/ping", "").await;
    world.node.mine(&[]);
    second.subscribe(task, 1).await;
    assert_eq!(second.told(), Vec::<String>::new());
    // One after each five seconds without anything else.
    let heartbeats = second.hears(|heard| Some(heard.heartbeats)).await;
    assert!((4..=6).contains(&heartbeats), "{heartbeats}");
    tokio::time::sleep(Duration::from_millis(30_500).saturating_sub(at.elapsed())).await;
    let third = Channel::open(&world, Variant::Nine, "3").await;
    third.subscribe(task, 0).await;
    assert_eq!(third.is_told("PLEASE_REVEAL").await, told);
    let steps = [("REVEALING", "PLEASE_CONTINUE")];
    worker.reports(&world, task, &steps, &mut bodies).await;
}
