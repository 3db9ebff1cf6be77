//! What others do to a pool without meaning to, or meaning to: deals of categories that did not exist when it started, a pool that was
//! sold, tasks that a stranger opened, parameters that are none, nobody as the requester, one wallet for two workers.

use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use e2e::process::until;
use e2e::rpc::word_of;
use e2e::sdk::{self, Deal, Wish};
use e2e::world::{Plan, World};
use e2e::{audit, ports};
use serde_json::{Value, json};

use crate::turn;

const A_WHILE: Duration = Duration::from_secs(40);

fn address(world: &World, role: &str) -> Address {
    world.chain.party(role).unwrap().address
}

fn number(value: u64) -> B256 {
    B256::from(U256::from(value))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_category_that_is_younger_than_the_pool_is_read_when_a_deal_names_it() {
    let _turn = turn().await;
    let world = World::start(Plan::with_faults(1)).await.unwrap();
    let (rpc, hub) = (world.rpc(), world.chain.hub);
    let count = rpc
        .view(hub, "countCategory()", &[])
        .await
        .unwrap()
        .word(0)
        .unwrap();
    // Two empty texts, and five minutes of work.
    let words = [number(96), number(128), number(300), number(0), number(0)];
    rpc.send_as(
        address(&world, "admin"),
        hub,
        "createCategory(string,string,uint256)",
        &words,
    )
    .await
    .unwrap();
    let tasks = world.buy(Wish::one("ok", count.to())).await.unwrap();
    world.completes(tasks[0], A_WHILE).await.unwrap();
    world.audit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deal_made_after_the_pool_was_sold_is_refused_with_both_owners() {
    let _turn = turn().await;
    let world = World::start(Plan::with_faults(1)).await.unwrap();
    let (rpc, hub) = (world.rpc(), world.chain.hub);
    let (old, new) = (address(&world, "scheduler"), address(&world, "beneficiary"));
    let before = world.buy_one("sleep 2").await.unwrap();
    world
        .replicate_reaches(before, "COMPUTING", A_WHILE)
        .await
        .unwrap();

    let registry = rpc
        .view(hub, "workerpoolregistry()", &[])
        .await
        .unwrap()
        .address(0)
        .unwrap();
    let pool = world.chain.workerpool;
    rpc.send_as(
        old,
        registry,
        "transferFrom(address,address,uint256)",
        &[word_of(old), word_of(new), word_of(pool)],
    )
    .await
    .unwrap();
    let from = world.pool.said().len();
    // The new owner sells: its stake backs the deal.
    let chain_dir = world.dir().join("chain");
    let key: Value = serde_json::from_slice(
        &std::fs::read(&world.chain.party("beneficiary").unwrap().key).unwrap(),
    )
    .unwrap();
    let requester: Value = serde_json::from_slice(
        &std::fs::read(&world.chain.party("requester").unwrap().key).unwrap(),
    )
    .unwrap();
    let spec = json!({
        "devnet": chain_dir, "appPrice": "0", "poolPrice": "0",
        "keys": {"poolOwner": key["privateKey"], "requester": requester["privateKey"]},
        "deals": [{"volume": 1, "trust": 1, "category": world.chain.test_category, "args": "ok"}],
    });
    let deals: Vec<Deal> = sdk::script("buy.mjs", &spec).await.unwrap();
    let told = world
        .pool
        .says(from, &["deal", "owner"], A_WHILE)
        .await
        .unwrap()
        .to_lowercase();
    for owner in [old, new] {
        assert!(told.contains(&owner.to_string().to_lowercase()), "{told}");
    }
    let view = world
        .reaches(deals[0].tasks[0], &["FAILED"], A_WHILE)
        .await
        .unwrap();
    assert!(
        view["replicates"].as_array().is_none_or(Vec::is_empty),
        "{view:#}"
    );
    // What was bought before the sale is still this owner's to finish.
    world.completes(before, A_WHILE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_a_stranger_opened_is_not_opened_again_and_runs() {
    let _turn = turn().await;
    let world = World::start(Plan::with_faults(1)).await.unwrap();
    let (rpc, hub) = (world.rpc(), world.chain.hub);
    world.pool.signal_family("STOP").unwrap();
    let chain_dir = world.dir().join("chain");
    let wish = Wish {
        volume: 3,
        ..Wish::one("ok", 0)
    };
    let deals = sdk::buy(&chain_dir, "1 RLC", "2 RLC", &[wish]).await;
    let deal = deals.unwrap().remove(0);
    let initialize = "initialize(bytes32,uint256)";
    rpc.send_as(
        address(&world, "poor"),
        hub,
        initialize,
        &[deal.dealid, number(deal.first + 1)],
    )
    .await
    .unwrap();
    world.pool.signal_family("CONT").unwrap();
    for task in &deal.tasks {
        world.completes(*task, A_WHILE).await.unwrap();
    }
    world.audit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_with_one_wallet_are_told_apart_and_the_second_is_refused() {
    let _turn = turn().await;
    let world = World::start(Plan::with_faults(1)).await.unwrap();
    let under_way = world.buy_one("sleep 3").await.unwrap();
    world
        .replicate_reaches(under_way, "COMPUTING", A_WHILE)
        .await
        .unwrap();
    let first = world.workers[0].recipe().clone();
    let second = e2e::process::Recipe {
        name: "worker1-again".into(),
        ..first
    }
    .with("IEXEC_WORKER_NAME", format!("{}-again", world.name()))
    .with("IEXEC_WORKER_PORT", ports::free().unwrap().to_string())
    .start()
    .unwrap();
    let told = second
        .says(0, &["wallet", "own"], A_WHILE)
        .await
        .unwrap()
        .to_lowercase();
    let wallet = address(&world, "worker1").to_string().to_lowercase();
    assert!(told.contains(&wallet), "{told}");
    // The first one is none the worse.
    world.completes(under_way, A_WHILE).await.unwrap();
    drop(second);
    let task = world.buy_one("ok").await.unwrap();
    world.completes(task, A_WHILE).await.unwrap();
    world.audit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_uploaded_twice_because_of_a_kill_is_one_result() {
    let _turn = turn().await;
    let mut world = World::start(Plan::with_faults(1).classic()).await.unwrap();
    let clean = world.workers[0].recipe().clone();
    let mark = world.dir().join("mark");
    let armed = clean
        .clone()
        .with("WORKERPOOL_CRASH_AT", "worker:upload:acted")
        .with("WORKERPOOL_CRASH_MARK", mark.display().to_string());
    world.workers[0].restart_as(armed).unwrap();
    let task = world.buy_one("ok").await.unwrap();
    until("the kill after the upload", A_WHILE, || async {
        Ok(mark.exists().then_some(()))
    })
    .await
    .unwrap_or_else(|error| panic!("{error:#}\n{}", world.logs()));
    world.workers[0].restart_as(clean).unwrap();
    world.completes(task, A_WHILE).await.unwrap();
    let stored = world.pool.said();
    let stored: Vec<&str> = stored
        .lines()
        .filter(|line| line.contains("stored a result") && line.contains(&task.to_string()))
        .collect();
    assert_eq!(stored.len(), 1, "{stored:?}");
    let out = world.dir().join("results");
    let downloads = sdk::fetch(&world.dir().join("chain"), &out, &[(task, true)])
        .await
        .unwrap();
    let text = sdk::text_in(&downloads[0].file, "result.txt").unwrap();
    assert_eq!(text, format!("mode ok task {task}\n"));
    assert_eq!(
        audit::contributors(&world.rpc(), world.chain.hub, task)
            .await
            .unwrap()
            .len(),
        1
    );
    world.audit().await.unwrap();
}
