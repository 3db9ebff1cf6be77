//! Blocks that are taken back, on the real node: whatever a task was at, it is finalized in the end, and every wallet has sent everything
//! once and in order.

use std::time::Duration;

use alloy_primitives::B256;
use e2e::process::until;
use e2e::random::Random;
use e2e::sdk::{self, Deal, Wish};
use e2e::world::{Plan, World};

use crate::turn;

const A_WHILE: Duration = Duration::from_secs(60);

async fn buy(world: &World, wish: Wish) -> Deal {
    let chain_dir = world.dir().join("chain");
    let mut deals = sdk::buy(&chain_dir, "1 RLC", "2 RLC", &[wish])
        .await
        .unwrap();
    deals.remove(0)
}

/// Waits until the chain has an event of the task.
async fn event(world: &World, name: &str, task: B256) {
    let rpc = world.rpc();
    until(name, A_WHILE, || async {
        let found = rpc.logs(world.chain.hub, name, task).await?;
        Ok((!found.is_empty()).then_some(()))
    })
    .await
    .unwrap_or_else(|error| panic!("{error:#}\n{}", world.logs()));
}

/// Waits for the end of a task on the chain: the scheduler may have seen one that was taken back.
async fn ends_on_chain(world: &World, task: B256, what: &str) {
    let rpc = world.rpc();
    until("the task's end on the chain", A_WHILE, || async {
        let status = e2e::audit::task_status(&rpc, world.chain.hub, task).await?;
        Ok((status == 3).then_some(()))
    })
    .await
    .unwrap_or_else(|error| panic!("{what}, {task}: {error:#}\n{}", world.logs()));
}

/// Has the requester stake enough for all that a test buys, long before: a deposit that vanished would take its purchase with it.
async fn pay_in(world: &World) {
    let spec = serde_json::json!({
        "devnet": world.dir().join("chain"), "appPrice": "1 RLC", "poolPrice": "2 RLC", "deposit": "100 RLC",
        "deals": [{"volume": 1, "trust": 1, "category": 0, "args": "ok"}],
    });
    let deals: Vec<Deal> = sdk::script("buy.mjs", &spec).await.unwrap();
    world.completes(deals[0].tasks[0], A_WHILE).await.unwrap();
    world.rpc().mine(12).await.unwrap();
}

/// What a task is at when the blocks go.
#[derive(Debug, Clone, Copy)]
enum Phase {
    Initialized,
    Computing,
    Contributed,
    Revealed,
    Uploaded,
    Completed,
}

impl Phase {
    async fn reached(self, world: &World, task: B256) {
        let done = match self {
            Self::Initialized => {
                event(world, "TaskInitialize(bytes32,address)", task).await;
                Ok(())
            }
            Self::Computing => world.replicate_reaches(task, "COMPUTING", A_WHILE).await,
            Self::Contributed => {
                event(world, "TaskContribute(bytes32,address,bytes32)", task).await;
                Ok(())
            }
            Self::Revealed => {
                event(world, "TaskReveal(bytes32,address,bytes32)", task).await;
                Ok(())
            }
            Self::Uploaded => {
                world
                    .replicate_reaches(task, "RESULT_UPLOADED", A_WHILE)
                    .await
            }
            Self::Completed => world.reaches(task, &["COMPLETED"], A_WHILE).await.map(drop),
        };
        done.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_survives_a_reorganisation_in_each_of_its_phases() {
    let _turn = turn().await;
    let world = World::start(Plan::with_faults(1).classic()).await.unwrap();
    let rpc = world.rpc();
    let phases = [
        Phase::Initialized,
        Phase::Computing,
        Phase::Contributed,
        Phase::Revealed,
        Phase::Uploaded,
        Phase::Completed,
    ];
    pay_in(&world).await;
    for depth in [1, 2, 6, 12] {
        for phase in phases {
            let deal = buy(&world, Wish::one("sleep 1", 0)).await;
            phase.reached(&world, deal.tasks[0]).await;
            // Of what vanishes only the purchase is sent again by its sender.
            rpc.reorganise(depth, &[deal.tx_hash]).await.unwrap();
            ends_on_chain(&world, deal.tasks[0], &format!("{phase:?}, {depth} deep")).await;
            world.completes(deal.tasks[0], A_WHILE).await.unwrap();
            rpc.mine(12).await.unwrap();
        }
    }
    assert!(world.pool.said().contains("reorganised"));
    // One that comes back before what it stands on costs its gas, no more.
    let reverted = world.audit_after_reorganisations().await.unwrap();
    assert!(
        reverted <= 3,
        "{reverted} of some hundred transactions failed on the chain"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bag_under_a_storm_of_reorganisations_of_all_depths_is_finalized_whole() {
    let _turn = turn().await;
    // Tasks at trust 1 go with one transaction, those at trust 3 with three.
    let world = World::start(Plan::with_faults(2)).await.unwrap();
    let rpc = world.rpc();
    let seed = std::process::id().into();
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let deal = buy(
        &world,
        Wish {
            volume: 10,
            trust: 1,
            category: 0,
            args: "sleep 1".into(),
        },
    )
    .await;
    let sure = buy(
        &world,
        Wish {
            trust: 3,
            ..Wish::one("sleep 1", 0)
        },
    )
    .await;
    // The purchases are too deep to vanish; everything else is not.
    rpc.mine(12).await.unwrap();
    let mut depths: Vec<u64> = (1..=12).collect();
    while !depths.is_empty() {
        let depth = depths.swap_remove(random.below(depths.len() as u64) as usize);
        rpc.reorganise(depth, &[]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300 + random.below(900))).await;
    }
    for task in deal.tasks.iter().chain(&sure.tasks) {
        ends_on_chain(&world, *task, &format!("seed {seed}")).await;
        world.completes(*task, A_WHILE).await.unwrap();
    }
    let reverted = world.audit_after_reorganisations().await.unwrap();
    assert!(
        reverted <= 3,
        "{reverted} of some thirty transactions failed on the chain"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deal_that_vanishes_is_not_worked_on_and_one_that_comes_back_is() {
    let _turn = turn().await;
    let world = World::start(Plan::with_faults(1).classic()).await.unwrap();
    let rpc = world.rpc();
    let back = buy(&world, Wish::one("sleep 2", 0)).await;
    let raw = rpc.raw(back.tx_hash).await.unwrap();
    world
        .replicate_reaches(back.tasks[0], "COMPUTING", A_WHILE)
        .await
        .unwrap();
    let lost = buy(&world, Wish::one("sleep 2", world.chain.test_category)).await;
    world
        .reaches(lost.tasks[0], &["INITIALIZED", "RUNNING"], A_WHILE)
        .await
        .unwrap();
    let from = world.pool.said().len();
    let block = rpc.receipt(back.tx_hash).await.unwrap().block_number;
    let depth = rpc.head().await.unwrap() - block.to::<u64>() + 1;
    rpc.reorganise(depth, &[]).await.unwrap();
    world
        .pool
        .says(from, &["the chain was reorganised"], A_WHILE)
        .await
        .unwrap();
    // The buyer's node still has the first one and sends it again.
    rpc.request::<B256>("eth_sendRawTransaction", serde_json::json!([raw]))
        .await
        .unwrap();
    world.completes(back.tasks[0], A_WHILE).await.unwrap();
    // The other one never comes back: it ends when it would have, and nothing was sent for it.
    let view = world
        .reaches(lost.tasks[0], &["FAILED"], A_WHILE)
        .await
        .unwrap();
    assert_eq!(view["currentStatus"], "FAILED", "{view:#}");
    // Its opening could not succeed any more, and yet held a nonce that the wallet had to use up: that alone failed on the chain.
    assert_eq!(world.audit_after_reorganisations().await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_nodes_forget_are_sent_again_and_a_lower_head_is_caught_up_with() {
    let _turn = turn().await;
    let world = World::start(Plan::with_faults(1).classic()).await.unwrap();
    let rpc = world.rpc();
    let scheduler = world.chain.party("scheduler").unwrap().address;
    let worker = world.chain.party("worker1").unwrap().address;

    let deal = buy(&world, Wish::one("sleep 1", 0)).await;
    world
        .replicate_reaches(deal.tasks[0], "COMPUTING", A_WHILE)
        .await
        .unwrap();
    rpc.mine(12).await.unwrap();
    // The contribution and, after it, the finalisation: dropped from the node's pool before they are mined.
    for wallet in [worker, scheduler] {
        rpc.stop_mining().await.unwrap();
        let tx = until("a waiting transaction", A_WHILE, || async {
            let waiting = rpc.waiting_of(wallet).await?.pop();
            if waiting.is_none() && wallet == scheduler {
                // What it waits for must be mined first.
                rpc.mine(1).await?;
            }
            Ok(waiting)
        })
        .await
        .unwrap_or_else(|error| panic!("{error:#}\n{}", world.logs()));
        rpc.drop_transaction(tx).await.unwrap();
        until("the same transaction, sent again", A_WHILE, || async {
            Ok(rpc.waiting_of(wallet).await?.contains(&tx).then_some(()))
        })
        .await
        .unwrap_or_else(|error| panic!("{error:#}\n{}", world.logs()));
        rpc.resume_mining().await.unwrap();
    }
    world.completes(deal.tasks[0], A_WHILE).await.unwrap();

    let deal = buy(&world, Wish::one("sleep 1", 0)).await;
    rpc.mine(6).await.unwrap();
    world
        .replicate_reaches(deal.tasks[0], "COMPUTING", A_WHILE)
        .await
        .unwrap();
    rpc.lower_head(5).await.unwrap();
    world.completes(deal.tasks[0], A_WHILE).await.unwrap();
    world.audit().await.unwrap();
}
