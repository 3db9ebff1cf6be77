//! A bag at the scheduler as a whole: the tasks that one turn of the engine wants initialised are initialised together.
#![allow(
    clippy::unwrap_used,
    reason = "a test stops at once on what cannot happen"
)]

mod support;

use alloy_sol_types::SolCall;
use poco::contracts::Hub;
use support::World;

#[tokio::test]
async fn the_tasks_of_a_bag_are_initialised_in_one_transaction() {
    let world = World::new().await;
    let tasks = world.deal(12, 1).await;
    assert_eq!(tasks.len(), 12);
    assert_eq!(
        world.node.chain().mined,
        [Hub::initializeArrayCall::SELECTOR]
    );
}

#[tokio::test]
async fn a_deal_of_one_task_is_initialised_as_ever() {
    let world = World::new().await;
    world.deal(1, 1).await;
    assert_eq!(world.node.chain().mined, [Hub::initializeCall::SELECTOR]);
}
