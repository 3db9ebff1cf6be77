//! A contribution that is on chain although this worker's own transaction for it came to nothing: the operator runs the wallet in a second
//! place, or what was sent was lost sight of.

use alloy_primitives::B256;
use devnet::Role;
use serde_json::json;
use sha2::{Digest, Sha256};
use wire::status::ReplicateStatus as Is;

use crate::counter::Instead;
use crate::world::{World, hand_over, send};
use crate::{WAITS, said, script};

/// What the application's result will be.
fn digest() -> B256 {
    B256::from_slice(&Sha256::digest("once\n"))
}

/// The task is contributed by another's transaction, and carried on from there as by one's own.
async fn carries_on(world: &World, before: u64, mined: u64) {
    world.until_told(Is::Completed).await;
    assert!(!world.scheduler.statuses().contains(&Is::ContributeFailed));
    let task = world.task.to_string();
    assert_eq!(
        said::with(&[&task, "the contribution was not taken"]),
        [""; 0]
    );
    let receipt = world.scheduler.details(Is::Contributed).chain_receipt;
    let receipt = receipt.unwrap();
    assert_eq!(receipt.tx_hash, None, "none of its own brought it about");
    assert!(receipt.block_number > 0);
    assert_eq!(world.transactions().await - before, mined);
    assert_eq!(world.chain_status().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contribution_that_is_refused_because_it_is_on_chain_already_is_carried_on_from() {
    let world = World::new("refused-twice", &script(WAITS)).await;
    let before = world.transactions().await;
    let (running, shutdown) = world.start().await;
    world.until_told(Is::Computing).await;
    let contribution = world.contribution(Role::Worker(1), digest());
    send(&world.chain, Role::Worker(1), &contribution).await;
    world.let_go().await;
    carries_on(&world, before, 2).await;
    world.end(running, shutdown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contribution_that_fails_in_its_block_because_another_of_its_kind_came_before_it_is_carried_on_from()
 {
    let world = World::new("reverted", &script(WAITS)).await;
    let before = world.transactions().await;
    let (running, shutdown) = world.start().await;
    world.until_told(Is::Computing).await;
    world.mine(false).await;
    // The estimate sees what waits for a block; those of other nodes do not.
    world
        .asked
        .answer("eth_estimateGas", Some(Instead::Gives(json!("0x7a120"))));
    let contribution = world.contribution(Role::Worker(1), digest());
    hand_over(&world.chain, Role::Worker(1), &contribution).await;
    world.let_go().await;
    while world.pending().await < before + 2 {
        tokio::task::yield_now().await;
    }
    world.asked.answer("eth_estimateGas", None);
    world.mine(true).await;
    carries_on(&world, before, 3).await;
    world.end(running, shutdown).await;
}
