//! How often the services of a pool with one worker and nothing to do ask the node, counted by a proxy in between, on 1 s blocks: after
//! the pool did one task, and let go of its transactions, 64 blocks later. What the node pushes by itself is no call.

use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::Amount;
use super::finalized::finish;
use crate::buyer::Buyer;
use crate::counter;
use crate::figure::{Aim, Figure};
use crate::observer::Observer;
use crate::stage::{Flow, Stage, Wanted};

pub(super) async fn measure(amount: Amount) -> anyhow::Result<Vec<Figure>> {
    let mut stage = Stage::start(Wanted {
        counted: true,
        computes: true,
        ..Wanted::default()
    })
    .await?;
    let flow = Flow::ContributeAndFinalize;
    let recipe = stage.scheduler_recipe("data", flow)?;
    stage.start_scheduler(&recipe).await?;
    stage.start_worker(1, flow).await?;
    let observer = Observer::start(&stage.chain.rpc_url, stage.chain.hub).await?;
    let buyer = Buyer::new(&stage.chain, 0).await?;
    let finished = finish(&buyer, &observer, 1).await;
    finished.with_context(|| stage.logs())?;
    tokio::time::sleep(Duration::from_secs(75)).await;
    let counter = stage.counter.as_ref().context("nothing is counted")?;
    let (before, start) = (counter.counts(), Instant::now());
    tokio::time::sleep(Duration::from_secs(amount.of(150, 10))).await;
    let calls = counter::since(&before, &counter.counts());
    let hours = start.elapsed().as_secs_f64() / 3600.0;
    Ok(vec![Figure::new(
        "rpc_per_idle_hour",
        counter::total(&calls) as f64 / hours,
        "calls/h",
        Aim::AtMost(400.0),
        format!(
            "JSON-RPC calls of all services of a pool with one idle worker in {:.0} s, times {:.0}, from 75 s after its only task; 1 s blocks; per hour: {}",
            hours * 3600.0,
            1.0 / hours,
            counter::told(&calls, hours)
        ),
    )])
}
