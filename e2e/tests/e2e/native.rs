//! The main job where stakes are the chain's own coin and gas costs nothing, as on Bellecour.

use alloy_primitives::{Address, U256};
use e2e::money::WEI_OF_ONE;
use e2e::world::Plan;

use crate::{main_job, turn};

#[tokio::test(flavor = "multi_thread")]
async fn the_main_job_is_done_on_a_chain_with_native_stakes() {
    let _turn = turn().await;
    let plan = Plan {
        native: true,
        ..Plan::default()
    };
    let (world, outcome) = main_job::is_done(plan).await;
    let (rpc, hub) = (world.rpc(), world.chain.hub);
    let word = async |function: &str| {
        let words = rpc.view(hub, function, &[]).await.unwrap();
        words.word(0).unwrap()
    };
    assert_eq!(word("token()").await, U256::ZERO);
    assert_eq!(world.chain.rlc, Address::ZERO);

    // Nobody paid for gas: outside the hub only the requester has less, by what it deposited.
    for (role, before) in &outcome.before {
        let after = outcome.after[role];
        if role == "requester" {
            assert!(after.balance < before.balance);
        } else {
            assert_eq!(after.balance, before.balance, "coins of {role}");
        }
    }
    let total = |accounts: &std::collections::BTreeMap<String, e2e::money::Account>| -> i128 {
        accounts.values().map(|account| account.total()).sum()
    };
    assert_eq!(
        total(&outcome.before),
        total(&outcome.after),
        "nothing is lost"
    );

    // The hub holds in coins what it owes in stakes, free and locked.
    let owed = word("totalSupply()").await * U256::from(WEI_OF_ONE);
    assert_eq!(rpc.balance(hub).await.unwrap(), owed);

    // The transactions were taken at a price of nothing.
    let pool = world.chain.pool_wallets(2).unwrap();
    let mut sent = 0;
    for number in 0..=rpc.head().await.unwrap() {
        for transaction in rpc.block(number).await.unwrap().transactions {
            if pool.contains(&transaction.from) {
                sent += 1;
                let price = transaction.gas_price.unwrap();
                assert_eq!(price, U256::ZERO, "{}", transaction.hash);
            }
        }
    }
    // Initialisations, the finalisation at trust 3, three tasks that a worker finished alone, and two contributions with their reveals.
    assert!(sent >= 9, "{sent} transactions of scheduler and workers");
}
