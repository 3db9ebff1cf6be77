//! A push channel that breaks in the middle of a task (spec scheduler-api §7.3, Q35).

use std::time::Duration;

use alloy_primitives::B256;
use reqwest::Method;

use crate::channel::Channel;
use crate::jackson::Bodies;
use crate::support::{World, eventually};
use crate::worker::{JavaWorker, Variant};

const FIRST: &str = "00000000000000000000000000000001";
const SECOND: &str = "00000000000000000000000000000002";

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_killed_is_forgotten_and_the_next_one_hears_what_follows() {
    let (mut all, nine) = tokio::join!(killed(Variant::Eight), killed(Variant::Nine));
    all.extend(nine);
    all.decode();
}

async fn killed(variant: Variant) -> Bodies {
    let mut bodies = Bodies::default();
    let world = World::new().await;
    let worker = JavaWorker::start(&world, variant, 1, 1, &mut bodies).await;
    let task = world.deal(1, 1).await[0];
    worker.is_given(&world, task, &mut bodies).await;
    let first = worker.listens(&world, FIRST, task).await;
    worker
        .contributes(&world, task, B256::repeat_byte(1), &mut bodies)
        .await;
    drop(first);
    // A new session at once; the server has not even noticed that the old one is gone.
    let second = worker.listens(&world, SECOND, task).await;
    world.node.consensus(task, B256::repeat_byte(1));
    second.is_told("PLEASE_REVEAL").await;
    let steps = [("REVEALING", "PLEASE_CONTINUE")];
    worker.reports(&world, task, &steps, &mut bodies).await;
    // What it has begun is not told again, wherever it listens.
    let third = worker.listens(&world, "3", task).await;
    third.waits(Duration::from_millis(500)).await;
    assert_eq!(third.told(), Vec::<String>::new());
    assert_eq!(second.times_told("PLEASE_REVEAL"), 1);
    eventually("the first session is forgotten", async || {
        let path = format!("/connect/379/{FIRST}/xhr_send");
        let sent = world
            .call(Method::POST, &path, &[], Some("[\"\\n\"]"))
            .await;
        (sent.status == 404).then_some(())
    })
    .await;
    bodies
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_and_their_end_are_taken_however_often_they_are_said() {
    let (world, mut bodies) = (World::new().await, Bodies::default());
    let worker = JavaWorker::start(&world, Variant::Nine, 1, 1, &mut bodies).await;
    let task = world.deal(1, 1).await[0];
    worker.is_given(&world, task, &mut bodies).await;
    let channel = worker.listens(&world, FIRST, task).await;
    // The same frame again, by a client that never saw the answer.
    channel.subscribe(task, 0).await;
    let gone = Channel::open(&world, Variant::Nine, SECOND).await;
    gone.subscribe(task, 7).await;
    gone.say("UNSUBSCRIBE\nid:7\n\n\0").await;
    gone.say("UNSUBSCRIBE\nid:7\n\n\0").await;
    worker
        .contributes(&world, task, B256::repeat_byte(1), &mut bodies)
        .await;
    world.node.consensus(task, B256::repeat_byte(1));
    channel.is_told("PLEASE_REVEAL").await;
    channel.waits(Duration::from_millis(300)).await;
    assert_eq!(channel.times_told("PLEASE_REVEAL"), 1);
    assert_eq!(gone.told(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_speaks_for_the_pool_and_nobody_hears_everything() {
    // Q33: the original passes on what any client sends, and takes patterns.
    let (world, mut bodies) = (World::new().await, Bodies::default());
    let worker = JavaWorker::start(&world, Variant::Nine, 1, 1, &mut bodies).await;
    let task = world.deal(1, 1).await[0];
    worker.is_given(&world, task, &mut bodies).await;
    let channel = worker.listens(&world, FIRST, task).await;
    let other = Channel::open(&world, Variant::Nine, SECOND).await;
    let forged = format!(
        "SEND\ndestination:/topic/task/{task}\n\n{{\"chainTaskId\":\"{task}\",\"workersAddress\":[],\"taskNotificationType\":\"PLEASE_ABORT\"}}\0"
    );
    other.say(&forged).await;
    for pattern in ["/topic/**", "/topic/task/*", "/topic/task/{id}"] {
        other
            .say(&format!("SUBSCRIBE\ndestination:{pattern}\nid:9\n\n\0"))
            .await;
    }
    worker
        .contributes(&world, task, B256::repeat_byte(1), &mut bodies)
        .await;
    world.node.consensus(task, B256::repeat_byte(1));
    channel.is_told("PLEASE_REVEAL").await;
    assert_eq!(channel.times_told("PLEASE_ABORT"), 0);
    other.waits(Duration::from_millis(300)).await;
    assert_eq!(other.told(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_may_come_in_pieces() {
    let (world, mut bodies) = (World::new().await, Bodies::default());
    let worker = JavaWorker::start(&world, Variant::Nine, 1, 1, &mut bodies).await;
    let task = world.deal(1, 1).await[0];
    worker.is_given(&world, task, &mut bodies).await;
    let channel = Channel::open(&world, Variant::Nine, FIRST).await;
    let id = task.to_string();
    let (first, second) = id.split_at(20);
    channel
        .say(&format!("\nSUBSCRIBE\r\ndestination:/topic/task/{first}"))
        .await;
    channel.say(&format!("{second}\r\nid:4\r\n\r\n\0\n")).await;
    worker
        .contributes(&world, task, B256::repeat_byte(1), &mut bodies)
        .await;
    world.node.consensus(task, B256::repeat_byte(1));
    channel.is_told("PLEASE_REVEAL").await;
    let named = channel
        .hears(|heard| heard.messages.first().map(|(id, _)| id.clone()))
        .await;
    assert_eq!(named, "4");
}
