//! Gas that costs too much, wallets that are empty, stakes that are missing: said with the mend, and over when it is mended.

use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use e2e::money;
use e2e::rpc::word_of;
use e2e::sdk::Wish;
use e2e::world::{Plan, World};
use serde_json::{Value, json};

use crate::turn;

const A_WHILE: Duration = Duration::from_secs(40);

async fn world(workers: usize) -> World {
    World::start(
        Plan {
            // What gas and stakes cost is the matter here.
            native: false,
            ..Plan::with_faults(workers)
        }
        .classic(),
    )
    .await
    .unwrap()
}

fn address(world: &World, role: &str) -> Address {
    world.chain.party(role).unwrap().address
}

async fn set_balance(world: &World, owner: Address, wei: U256) {
    world
        .rpc()
        .request::<Value>("anvil_setBalance", json!([owner, wei]))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn gas_above_the_cap_is_waited_out() {
    let _turn = turn().await;
    let world = world(1).await;
    let worker = world.workers[0].said().len();
    let task = world.buy_one("sleep 1").await.unwrap();
    world
        .replicate_reaches(task, "COMPUTING", A_WHILE)
        .await
        .unwrap();
    // It falls by an eighth a block from here: below the cap of 22 gwei after some ten blocks.
    let high = "0x12a05f2000";
    world
        .rpc()
        .request::<Value>("anvil_setNextBlockBaseFeePerGas", json!([high]))
        .await
        .unwrap();
    let words = ["base fee is", "raise IEXEC_GAS_PRICE_CAP"];
    world.workers[0]
        .says(worker, &words, A_WHILE)
        .await
        .unwrap();
    world.workers[0]
        .says(worker, &["transactions go out again"], A_WHILE)
        .await
        .unwrap();
    world.completes(task, A_WHILE).await.unwrap();

    // The pool's. It is stopped while the deal is made, which the buyer finds too dear as well.
    world.pool.signal_family("STOP").unwrap();
    let task = world.buy_one("ok").await.unwrap();
    world
        .rpc()
        .request::<Value>("anvil_setNextBlockBaseFeePerGas", json!([high]))
        .await
        .unwrap();
    world.rpc().mine(1).await.unwrap();
    let pool = world.pool.said().len();
    world.pool.signal_family("CONT").unwrap();
    world.pool.says(pool, &words, A_WHILE).await.unwrap();
    world.completes(task, A_WHILE).await.unwrap();
    world.audit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_wallets_are_named_and_work_goes_on_once_they_are_filled() {
    let _turn = turn().await;
    let world = world(1).await;
    let (scheduler, worker) = (address(&world, "scheduler"), address(&world, "worker1"));
    let enough = U256::from(10_u64).pow(U256::from(18));

    // The worker's, while it computes.
    let from = world.workers[0].said().len();
    let task = world.buy_one("sleep 1").await.unwrap();
    world
        .replicate_reaches(task, "COMPUTING", A_WHILE)
        .await
        .unwrap();
    set_balance(&world, worker, U256::ZERO).await;
    let told = world.workers[0]
        .says(
            from,
            &["the wallet has no gas left", "send it some"],
            A_WHILE,
        )
        .await
        .unwrap();
    assert!(
        told.to_lowercase()
            .contains(&worker.to_string().to_lowercase()),
        "the wallet is named: {told}"
    );
    set_balance(&world, worker, enough).await;
    world.completes(task, A_WHILE).await.unwrap();

    // The pool's, before it can open the task.
    let from = world.pool.said().len();
    set_balance(&world, scheduler, U256::ZERO).await;
    let task = world.buy_one("ok").await.unwrap();
    let told = world
        .pool
        .says(
            from,
            &["transactions are held up", "send gas money to it"],
            A_WHILE,
        )
        .await
        .unwrap();
    assert!(
        told.to_lowercase()
            .contains(&scheduler.to_string().to_lowercase()),
        "the wallet is named: {told}"
    );
    set_balance(&world, scheduler, enough).await;
    world.completes(task, A_WHILE).await.unwrap();
    world.audit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_stake_takes_no_work_until_it_has_some() {
    let _turn = turn().await;
    let mut world = world(2).await;
    let rpc = world.rpc();
    let (hub, token) = (world.chain.hub, world.chain.rlc);
    let poor = address(&world, "worker1");
    let account = money::account(&rpc, hub, token, poor).await.unwrap();
    let all = B256::from(U256::from(account.stake));
    rpc.send_as(poor, hub, "withdraw(uint256)", &[all])
        .await
        .unwrap();

    // Two slots of each worker, so that both are asked. The one with a stake does what the other cannot.
    let from = world.workers[0].said().len();
    let tasks = world
        .buy(Wish {
            volume: 4,
            ..Wish::one("sleep 1", 0)
        })
        .await
        .unwrap();
    let told = world.workers[0]
        .says(from, &["stake", "nRLC", "deposit"], A_WHILE)
        .await
        .unwrap();
    assert!(
        told.to_lowercase()
            .contains(&poor.to_string().to_lowercase()),
        "the wallet is named: {told}"
    );
    for task in &tasks {
        world.completes(*task, A_WHILE).await.unwrap();
    }

    // Somebody pays in for it; the other worker ends, so that only this one is left.
    let requester = address(&world, "requester");
    rpc.send_as(
        requester,
        token,
        "approve(address,uint256)",
        &[word_of(hub), all],
    )
    .await
    .unwrap();
    rpc.send_as(
        requester,
        hub,
        "depositFor(uint256,address)",
        &[all, word_of(poor)],
    )
    .await
    .unwrap();
    world.workers[1].kill().unwrap();
    world.workers[0]
        .says(from, &["enough stake again"], A_WHILE)
        .await
        .unwrap();
    let task = world.buy_one("ok").await.unwrap();
    world.completes(task, A_WHILE).await.unwrap();
    let contributors = e2e::audit::contributors(&rpc, hub, task).await.unwrap();
    assert_eq!(contributors, [poor]);
    world.audit().await.unwrap();
}
