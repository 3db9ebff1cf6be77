//! A bag far larger than the pool: it is taken in whole, opened on chain as workers come free, and nobody else waits for it.

use std::time::Duration;

use alloy_primitives::B256;
use e2e::sdk::{self, Deal, Wish};
use e2e::world::{Plan, World};
use serde_json::{Value, json};

use crate::turn;

const A_WHILE: Duration = Duration::from_secs(60);
const TASKS: u64 = 10_000;

/// The block in which the task was opened on chain.
async fn opened_in(world: &World, task: B256) -> u64 {
    let view = world.task(task).await.unwrap().unwrap();
    view["initializationBlockNumber"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_tasks_are_taken_in_and_hold_up_no_other_deal() {
    let _turn = turn().await;
    let world = World::start(Plan::with_faults(1)).await.unwrap();
    // For nothing: the pool's stake is a share of the price, and that of so many would be more than it has.
    let spec = json!({
        "devnet": world.dir().join("chain"),
        "deals": [{"volume": TASKS, "category": 0, "args": "sleep 1"}],
    });
    let deals: Vec<Deal> = sdk::script("buy.mjs", &spec).await.unwrap();
    let bag = &deals[0].tasks;
    assert_eq!(bag.len() as u64, TASKS);
    // Others are served in between, at once.
    let chain_dir = world.dir().join("chain");
    for _ in 0..3 {
        let wish = Wish::one("ok", 0);
        let deals = sdk::buy(&chain_dir, "1 RLC", "2 RLC", &[wish])
            .await
            .unwrap();
        let (deal, task) = (&deals[0], deals[0].tasks[0]);
        world.completes(task, A_WHILE).await.unwrap();
        let bought = world.rpc().receipt(deal.tx_hash).await.unwrap();
        let (from, to) = (
            bought.block_number.to::<u64>(),
            opened_in(&world, task).await,
        );
        assert!(
            to <= from + 2,
            "bought in block {from}, opened in block {to}\n{}",
            world.logs()
        );
    }
    // The bag goes on meanwhile, and nothing of it is opened far ahead of those who could compute it.
    let (opened, completed) = how_far(&world, bag).await;
    assert!(
        completed > 0 && opened < 200,
        "{completed} done, {opened} opened for two slots"
    );
    let said = world.pool.said();
    assert!(
        said.lines()
            .any(|line| line.contains("WARN") && line.contains("can be begun before")),
        "what cannot be done in time is reported\n{said}"
    );
    world.audit().await.unwrap();
}

/// How many of the tasks were opened on chain, and how many are done.
async fn how_far(world: &World, bag: &[B256]) -> (usize, usize) {
    let (mut opened, mut completed) = (0, 0);
    for task in bag {
        let view: Value = world.task(*task).await.unwrap().unwrap();
        opened += usize::from(view["initializationBlockNumber"].as_u64() > Some(0));
        completed += usize::from(view["currentStatus"] == "COMPLETED");
    }
    (opened, completed)
}
