//! The main job: bought, computed, agreed, finalized, paid, downloaded. Asserted with JSON-RPC and the SDK alone.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, U256, keccak256};
use e2e::money::{self, PaidTask};
use e2e::rpc::Log;
use e2e::scenario::{self, APP_PRICE, Outcome, POOL_PRICE};
use e2e::world::{Plan, World};
use e2e::{audit, image};

use crate::turn;

#[tokio::test(flavor = "multi_thread")]
async fn four_bought_tasks_are_computed_finalized_paid_and_downloaded() {
    let _turn = turn().await;
    let (world, outcome) = is_done(Plan::default()).await;
    let (rpc, hub) = (world.rpc(), world.chain.hub);

    // A task of trust 1 is contributed, revealed and finalized by its worker in one transaction; the one of trust 3 in steps.
    let mut alone: BTreeMap<Address, u64> = BTreeMap::new();
    for task in &outcome.tasks {
        let mut by = BTreeSet::new();
        for event in TASK_EVENTS {
            let logs = rpc.logs(hub, event, task.task).await.unwrap();
            assert!(!logs.is_empty(), "{event} of {}", task.task);
            by.extend(logs.iter().map(|log| log.transaction_hash));
        }
        if task.trust == 1 {
            assert_eq!(by.len(), 1, "task {}", task.task);
            *alone.entry(task.workers[0]).or_default() += 1;
        } else {
            assert!(by.len() > 2, "task {}", task.task);
        }
    }
    let pool = world.chain.pool_wallets(2).unwrap();
    let wallets = audit::wallets(&rpc, &pool).await.unwrap();
    for worker in &pool[1..] {
        // Beside it a contribution and a reveal of the task of trust 3, which alone locks stake.
        let alone = alone.get(worker).copied().unwrap_or_default();
        assert_eq!(wallets[worker].transactions, alone + 2, "worker {worker}");
        let locks = locks_of(&world, *worker).await;
        assert_eq!(locks, 1, "what worker {worker} had to lock");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_main_job_is_done_in_steps_where_that_is_not_granted() {
    let _turn = turn().await;
    let (world, outcome) = is_done(Plan::default().classic()).await;
    let (rpc, hub) = (world.rpc(), world.chain.hub);
    let pool = world.chain.pool_wallets(2).unwrap();
    let wallets = audit::wallets(&rpc, &pool).await.unwrap();
    let mut steps = 0;
    for task in &outcome.tasks {
        let mut by = BTreeSet::new();
        for event in TASK_EVENTS {
            let logs = rpc.logs(hub, event, task.task).await.unwrap();
            by.extend(logs.iter().map(|log| log.transaction_hash));
        }
        assert_eq!(by.len(), 2 * task.workers.len() + 1, "task {}", task.task);
        steps += 2 * task.workers.len() as u64;
    }
    let sent: u64 = pool[1..].iter().map(|one| wallets[one].transactions).sum();
    assert_eq!(sent, steps, "each contribution and each reveal");
    assert!(
        wallets[&pool[0]].transactions > 4,
        "4 finalize, and initialize"
    );
}

/// What is left on the chain of a task that was completed.
const TASK_EVENTS: [&str; 4] = [
    "TaskContribute(bytes32,address,bytes32)",
    "TaskConsensus(bytes32,bytes32)",
    "TaskReveal(bytes32,address,bytes32)",
    "TaskFinalize(bytes32,bytes)",
];

/// How often stake of an account was locked.
async fn locks_of(world: &World, owner: Address) -> usize {
    let topic = keccak256("Lock(address,uint256)");
    let filter = serde_json::json!([{
        "fromBlock": "0x0", "toBlock": "latest", "address": world.chain.hub, "topics": [topic]
    }]);
    let logs: Vec<Log> = world.rpc().request("eth_getLogs", filter).await.unwrap();
    let of_owner = logs.iter().filter(|log| log.data[12..32] == owner[..]);
    of_owner.count()
}

/// Does the main job in a world of this plan, and asserts all that must have come of it.
pub(crate) async fn is_done(plan: Plan) -> (World, Outcome) {
    let mut world = World::start(plan).await.unwrap();
    assert!(
        !image::is_here(&world.image).unwrap(),
        "the image must be pulled, so it must not be here"
    );
    let out = world.dir().join("results");
    let outcome = scenario::run(&mut world, &out, |_| {}).await.unwrap();
    let rpc = world.rpc();

    assert_eq!(outcome.tasks.len(), 4);
    for task in &outcome.tasks {
        assert_eq!(task.chain_status, 3, "task {}", task.task);
        assert_eq!(task.text, scenario::expected_text(&task.args, task.task));
        let on_chain = audit::results(&rpc, world.chain.hub, task.task)
            .await
            .unwrap();
        assert_eq!(
            on_chain,
            format!(
                r#"{{ "storage": "ipfs", "location": "{}" }}"#,
                task.location
            )
        );
        let expected_workers = if task.trust == 3 { 2 } else { 1 };
        assert_eq!(task.workers.len(), expected_workers, "task {}", task.task);
    }

    // Money: what A13 of the protocol says, computed here from who contributed.
    let party = |role: &str| world.chain.party(role).unwrap().address;
    let pool = world.chain.workerpool;
    let ratio: U256 = rpc
        .view(pool, "m_schedulerRewardRatioPolicy()", &[])
        .await
        .unwrap()
        .word(0)
        .unwrap();
    let paid: Vec<PaidTask> = outcome
        .tasks
        .iter()
        .map(|task| PaidTask {
            requester: party("requester"),
            app_owner: party("app-provider"),
            pool_owner: party("scheduler"),
            app_price: APP_PRICE,
            pool_price: POOL_PRICE,
            scheduler_ratio: ratio.to(),
            workers: task.workers.clone(),
        })
        .collect();
    let expected: BTreeMap<Address, i128> = money::stake_changes(&paid);
    let total: u64 = outcome.tasks.len() as u64 * (APP_PRICE + POOL_PRICE);
    for (role, before) in &outcome.before {
        let after = outcome.after[role];
        assert_eq!(
            after.locked, before.locked,
            "nothing of {role} stays locked"
        );
        let mut change = i128::from(after.stake) - i128::from(before.stake);
        if role == "requester" {
            // What the purchase took from the tokens outside the hub was deposited first.
            change -= i128::from(before.balance) - i128::from(after.balance);
            assert_eq!(change, -i128::from(total));
        }
        assert_eq!(
            change,
            expected.get(&party(role)).copied().unwrap_or_default(),
            "the stake of {role}"
        );
    }

    audit::wallets(&rpc, &world.chain.pool_wallets(2).unwrap())
        .await
        .unwrap();
    (world, outcome)
}
