//! The main job: bought, computed, agreed, finalized, paid, downloaded. Asserted with JSON-RPC and the SDK alone.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};
use e2e::money::{self, PaidTask};
use e2e::scenario::{self, APP_PRICE, POOL_PRICE};
use e2e::world::{Plan, World};
use e2e::{audit, image};

use crate::turn;

#[tokio::test(flavor = "multi_thread")]
async fn four_bought_tasks_are_computed_finalized_paid_and_downloaded() {
    let _turn = turn().await;
    let mut world = World::start(Plan::default()).await.unwrap();
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

    let wallets = audit::wallets(&rpc, &world.chain.pool_wallets(2).unwrap())
        .await
        .unwrap();
    assert!(
        wallets[&party("scheduler")].transactions >= 8,
        "4 initialize and 4 finalize"
    );
}
