//! A wallet that is found empty when its owner owes a reveal (Q21: the original ends, and loses the stake).

use std::time::Duration;

use devnet::Role;
use wire::status::{ReplicateStatus as Is, ReplicateStatusCause as Cause};

use crate::world::{World, address};
use crate::{said, script};

const A_COIN: u64 = 1_000_000_000_000_000_000;

/// Lets the worker contribute, and empties its wallet before it is asked to reveal.
async fn empty_after_contributing(world: &World) {
    world.until_told(Is::Contributed).await;
    world.fill_wallet(0).await;
    world.scheduler.reveals.send_replace(true);
    world.until_told(Is::Revealing).await;
}

/// Waits until the operator is told which wallet needs money for the task.
async fn until_money_is_asked_for(world: &World) {
    let (task, wallet) = (
        world.task.to_string(),
        poco::hex::lower(&address(&world.chain, Role::Worker(1))),
    );
    let asked = async {
        while said::with(&["ERROR", "no gas left", &task, &wallet]).is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let asked = tokio::time::timeout(Duration::from_secs(30), asked).await;
    asked.expect("the operator is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_found_empty_when_it_should_reveal_reveals_once_it_is_filled() {
    let world = World::new("owed", &script("")).await;
    world.scheduler.reveals.send_replace(false);
    let before = world.transactions().await;
    let (running, shutdown) = world.start().await;
    empty_after_contributing(&world).await;
    until_money_is_asked_for(&world).await;
    assert_eq!(world.transactions().await - before, 1);
    assert_eq!(world.chain_status().await, 2);
    world.fill_wallet(A_COIN).await;
    world.until_told(Is::Completed).await;
    assert!(!world.scheduler.statuses().contains(&Is::RevealFailed));
    assert_eq!(world.transactions().await - before, 2);
    assert_eq!(world.chain_status().await, 3);
    world.end(running, shutdown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reveal_for_which_no_money_came_in_time_is_told_as_that_and_the_worker_lives_on() {
    let world = World::brief("unpaid", &script(""), 8).await;
    world.scheduler.reveals.send_replace(false);
    let before = world.transactions().await;
    let (running, shutdown) = world.start().await;
    empty_after_contributing(&world).await;
    until_money_is_asked_for(&world).await;
    let asked_when_poor = *world.scheduler.in_vain.borrow();
    world.until_told(Is::RevealFailed).await;
    let failed = world.scheduler.details(Is::RevealFailed);
    assert_eq!(failed.cause, Some(Cause::OutOfGas));
    assert_eq!(world.transactions().await - before, 1);
    // Work that it could not pay for is not asked for, but for a question that was under way; then it is again.
    let asked = *world.scheduler.in_vain.borrow();
    assert!(asked <= asked_when_poor + 1);
    world.fill_wallet(A_COIN).await;
    world.until_asked(asked).await;
    world.end(running, shutdown).await;
}
