//! How long a bag of 1,000 tasks takes until the last one is initialised on the chain, and in how many transactions: 5 s blocks with room
//! for 6.7 million gas, as tight as the public chain was. A worker that offers 1,000 slots is there, so that all tasks are wanted at
//! once; it takes none.

use std::collections::BTreeSet;
use std::time::Duration;

use alloy_primitives::B256;
use anyhow::Context as _;
use loadgen::Fleet;

use super::Amount;
use crate::buyer::{self, Buyer};
use crate::figure::{Aim, Figure};
use crate::observer::Observer;
use crate::stage::{Flow, Stage, Wanted};

pub(super) async fn measure(amount: Amount) -> anyhow::Result<Vec<Figure>> {
    let volume = amount.of(1000, 40);
    let mut stage = Stage::start(Wanted {
        block_time: 5,
        block_gas: Some(6_700_000),
        ..Wanted::default()
    })
    .await?;
    let recipe = stage.scheduler_recipe("data", Flow::Classic)?;
    stage.start_scheduler(&recipe).await?;
    let key = buyer::key(&stage.chain.party("worker1")?.key)?;
    let fleet = Fleet::join(stage.scheduler_url.parse()?, [key], 1000).await?;
    let observer = Observer::start(&stage.chain.rpc_url, stage.chain.hub).await?;
    let buyer = Buyer::new(&stage.chain, 0).await?;
    let measuring = initialised(&buyer, &observer, volume);
    let (took, transactions) = tokio::select! {
        measured = measuring => measured.with_context(|| stage.logs())?,
        ended = fleet.live() => Err(ended.err().context("the pings ended")?)?,
    };
    let method = format!(
        "deal of {volume} tasks, from the purchase's receipt to the receipt of the last TaskInitialize, 5 s blocks of 6.7 Mgas, in {} transactions",
        transactions
    );
    Ok(vec![
        Figure::new(
            "bag_1000_initialized",
            took.as_secs_f64(),
            "s",
            Aim::AtMost(200.0),
            &method,
        ),
        Figure::new(
            "bag_1000_transactions",
            transactions as f64,
            "1",
            Aim::None,
            method,
        ),
    ])
}

async fn initialised(
    buyer: &Buyer,
    observer: &Observer,
    volume: u64,
) -> anyhow::Result<(Duration, usize)> {
    let tx = buyer.buy(volume).await?;
    let (deal, bought) = observer.deal(tx).await?;
    let tasks = buyer::tasks(deal, volume);
    let ends = observer
        .until(
            "the initialisation of all tasks",
            Duration::from_secs(500),
            |sight| {
                let ends = tasks
                    .iter()
                    .map(|task| sight.initialized.get(task).copied());
                ends.collect::<Option<Vec<_>>>()
            },
        )
        .await?;
    let last = ends
        .iter()
        .map(|seen| seen.at)
        .max()
        .context("an empty bag")?;
    let transactions: BTreeSet<B256> = ends.iter().map(|seen| seen.tx).collect();
    Ok((last.duration_since(bought.at), transactions.len()))
}
