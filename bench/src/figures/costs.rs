//! What a task costs on the chain and at the node: gas of all transactions of scheduler and worker, from receipts, and JSON-RPC calls of
//! all services together, counted by a proxy between them and the node. For tasks of deals of one, bought one after the other, and for a
//! bag of 100; in both flows. Price and stakes are not zero.

use std::collections::BTreeSet;

use alloy_primitives::Address;
use anyhow::{Context as _, ensure};
use e2e::rpc::Rpc;

use super::Amount;
use super::finalized::{Finished, finish};
use crate::buyer::Buyer;
use crate::counter::{self, Counts};
use crate::figure::{Aim, Figure};
use crate::observer::Observer;
use crate::stage::{Flow, Stage, Wanted};

/// What was spent, on how many tasks.
struct Spent {
    gas: u64,
    transactions: u64,
    calls: Counts,
    tasks: f64,
}

pub(super) async fn measure(amount: Amount) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for flow in Flow::ALL {
        let mut stage = Stage::start(Wanted {
            counted: true,
            computes: true,
            ..Wanted::default()
        })
        .await?;
        let recipe = stage.scheduler_recipe("data", flow)?;
        stage.start_scheduler(&recipe).await?;
        stage.start_worker(2, flow).await?;
        let observer = Observer::start(&stage.chain.rpc_url, stage.chain.hub).await?;
        let buyer = Buyer::new(&stage.chain, 0).await?;
        let (singles, volume) = (amount.of(10, 2), amount.of(100, 5));
        let measured = async {
            finish(&buyer, &observer, 2).await?;
            let mut deals = Vec::new();
            let single = spent(&stage, async {
                for _ in 0..singles {
                    deals.push(finish(&buyer, &observer, 1).await?);
                }
                anyhow::Ok(deals)
            })
            .await?;
            let bag = spent(&stage, async {
                Ok(vec![finish(&buyer, &observer, volume).await?])
            })
            .await?;
            anyhow::Ok((single, bag))
        };
        let (single, bag) = measured.await.with_context(|| stage.logs())?;
        let of_one = format!("{singles} deals of one task, one after the other");
        figures.extend(told(flow, "single", &of_one, &single));
        figures.extend(told(flow, "bag", &format!("a bag of {volume}"), &bag));
    }
    Ok(figures)
}

fn told(flow: Flow, name: &str, what: &str, spent: &Spent) -> [Figure; 2] {
    let aim = match flow {
        Flow::Classic => Aim::None,
        Flow::ContributeAndFinalize => Aim::AtMost(700_000.0),
    };
    let flow = flow.name();
    [
        Figure::new(
            format!("gas_per_task_{flow}_{name}"),
            spent.gas as f64 / spent.tasks,
            "gas",
            aim,
            format!(
                "{what}: gas used by all transactions of scheduler and worker, from receipts, over the tasks; {:.2} transactions a task",
                spent.transactions as f64 / spent.tasks
            ),
        ),
        Figure::new(
            format!("rpc_per_task_{flow}_{name}"),
            counter::total(&spent.calls) as f64 / spent.tasks,
            "calls",
            Aim::AtMost(12.0),
            format!(
                "{what}, 2 slots, 1 s blocks: JSON-RPC calls of all services from before the purchase until the last finalization, members of a batch counted each, over the tasks; {}",
                counter::told(&spent.calls, spent.tasks)
            ),
        ),
    ]
}

async fn spent(
    stage: &Stage,
    deals: impl Future<Output = anyhow::Result<Vec<Finished>>>,
) -> anyhow::Result<Spent> {
    let counter = stage.counter.as_ref().context("nothing is counted")?;
    let before = counter.counts();
    let deals = deals.await?;
    let calls = counter::since(&before, &counter.counts());
    let first = deals.first().context("nothing was bought")?.from_block;
    let last = deals.last().context("nothing was bought")?.to_block;
    let senders: BTreeSet<Address> = stage.chain.pool_wallets(1)?.into_iter().collect();
    let (gas, transactions) = gas(&stage.rpc(), first, last, &senders).await?;
    let tasks = deals.iter().map(|deal| deal.tasks.len()).sum::<usize>() as f64;
    Ok(Spent {
        gas,
        transactions,
        calls,
        tasks,
    })
}

/// Gas and number of the transactions of these senders.
async fn gas(
    rpc: &Rpc,
    first: u64,
    last: u64,
    senders: &BTreeSet<Address>,
) -> anyhow::Result<(u64, u64)> {
    let (mut gas, mut transactions) = (0, 0);
    for number in first..=last {
        for transaction in rpc.block(number).await?.transactions {
            if senders.contains(&transaction.from) {
                let receipt = rpc.receipt(transaction.hash).await?;
                ensure!(
                    receipt.status == alloy_primitives::U256::ONE,
                    "{} reverted",
                    transaction.hash
                );
                gas += receipt.gas_used.to::<u64>();
                transactions += 1;
            }
        }
    }
    Ok((gas, transactions))
}
