//! From the receipt of a purchase to the receipt of the finalization, both seen by the same independent client: deals of one task of an
//! application that does nothing, computed in real containers by one worker with two slots. One deal every other block, at random
//! moments, so that tasks seldom meet.

use std::time::Duration;

use anyhow::Context as _;

use super::Amount;
use crate::buyer::{self, Buyer};
use crate::figure::{Aim, Figure};
use crate::observer::Observer;
use crate::sample::Sample;
use crate::stage::{Flow, Stage, Wanted};

pub(super) async fn measure(amount: Amount) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for flow in Flow::ALL {
        let waits = waits(flow, amount).await?;
        let blocks = match flow {
            Flow::Classic => 4.0,
            Flow::ContributeAndFinalize => 2.0,
        };
        let aim = Aim::AtMost(blocks * 1000.0 + 750.0);
        let method = format!(
            "{} deals of one task, one every other block at random moments, 1 s blocks, one worker, containers that do nothing; receipt of the purchase to receipt of the finalization, both seen by one independent client ({} ms)",
            waits.len(),
            waits.range()
        );
        let name = |share: &str| format!("deal_to_finalized_{}_{share}", flow.name());
        figures.extend([
            Figure::new(name("p50"), waits.median(), "ms", aim, &method),
            Figure::new(name("p99"), waits.share(0.99), "ms", aim, method),
        ]);
    }
    Ok(figures)
}

/// Milliseconds of each deal.
async fn waits(flow: Flow, amount: Amount) -> anyhow::Result<Sample> {
    let mut stage = Stage::start(Wanted {
        computes: true,
        ..Wanted::default()
    })
    .await?;
    let recipe = stage.scheduler_recipe("data", flow)?;
    stage.start_scheduler(&recipe).await?;
    stage.start_worker(2, flow).await?;
    let observer = Observer::start(&stage.chain.rpc_url, stage.chain.hub).await?;
    let buyer = Buyer::new(&stage.chain, 0).await?;
    // The first task pulls the image and makes the network.
    let measured = async {
        finish(&buyer, &observer, 2).await?;
        let mut bought = Vec::new();
        for _ in 0..amount.of(100, 3) {
            let moment = rand::random_range(1.0..1.8);
            tokio::time::sleep(Duration::from_secs_f64(moment)).await;
            let tx = buyer.buy(1).await?;
            bought.push(observer.deal(tx).await?);
        }
        let mut waits = Vec::new();
        for (deal, bought) in bought {
            let task = *buyer::tasks(deal, 1).first().context("a deal of nothing")?;
            let patience = Duration::from_secs(60);
            let what = format!("the finalization of task {task}");
            let ended = observer
                .until(&what, patience, |sight| sight.finalized.get(&task).copied())
                .await?;
            waits.push(ended.at.duration_since(bought.at).as_secs_f64() * 1000.0);
        }
        anyhow::Ok(Sample::of(waits))
    };
    measured.await.with_context(|| stage.logs())
}

/// Buys one deal and waits until all its tasks are finalized. Returns its tasks, and when the purchase and the last finalization were seen.
pub(super) async fn finish(
    buyer: &Buyer,
    observer: &Observer,
    volume: u64,
) -> anyhow::Result<Finished> {
    let tx = buyer.buy(volume).await?;
    let (deal, bought) = observer.deal(tx).await?;
    let tasks = buyer::tasks(deal, volume);
    let patience = Duration::from_secs(120 + 5 * volume);
    let what = format!("the finalization of {volume} tasks of deal {deal}");
    let last = observer
        .until(&what, patience, |sight| {
            let ends = tasks.iter().map(|task| sight.finalized.get(task).copied());
            let ends = ends.collect::<Option<Vec<_>>>()?;
            ends.into_iter().max_by_key(|seen| seen.at)
        })
        .await?;
    Ok(Finished {
        tasks,
        from_block: bought.block,
        to_block: last.block,
        took: last.at.duration_since(bought.at),
    })
}

/// A deal whose tasks are all finalized.
#[derive(Debug)]
pub(super) struct Finished {
    /// Its tasks.
    pub(super) tasks: Vec<alloy_primitives::B256>,
    /// The block of the purchase.
    pub(super) from_block: u64,
    /// The block of the last finalization.
    pub(super) to_block: u64,
    /// From the one receipt to the other.
    pub(super) took: Duration,
}
