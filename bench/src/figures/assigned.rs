//! From the receipt of a purchase, seen by an independent client, to the answer of an idle worker's ask. One deal of one task for each
//! block, sent at a random moment of it; the worker is the load generator's, on a funded wallet, with free slots and an ask held open all
//! the time, so that nothing but the scheduler and the chain is measured.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use alloy_primitives::B256;
use anyhow::Context as _;
use loadgen::Fleet;
use poco::units::BlockNumber;

use super::Amount;
use crate::buyer::{self, Buyer};
use crate::figure::{Aim, Figure};
use crate::observer::Observer;
use crate::sample::Sample;
use crate::stage::{Flow, Stage, Wanted};

/// When each task was given.
type Given = Arc<Mutex<BTreeMap<B256, Instant>>>;

pub(super) async fn measure(amount: Amount) -> anyhow::Result<Vec<Figure>> {
    let mut stage = Stage::start(Wanted::default()).await?;
    let recipe = stage.scheduler_recipe("data", Flow::Classic)?;
    stage.start_scheduler(&recipe).await?;
    let key = buyer::key(&stage.chain.party("worker1")?.key)?;
    let slots = 4 * i32::try_from(amount.of(100, 10))?;
    let fleet = Fleet::join(stage.scheduler_url.parse()?, [key], slots).await?;
    let observer = Observer::start(&stage.chain.rpc_url, stage.chain.hub).await?;
    let buyer = Buyer::new(&stage.chain, 0).await?;
    let given = Given::default();
    let measuring = buy_and_wait(&buyer, &observer, &given, amount.of(100, 5));
    let waits = tokio::select! {
        waits = measuring => waits,
        ended = work(&fleet, &observer, &given) => Err(ended.err().context("the worker ended")?),
        ended = fleet.live() => Err(ended.err().context("the pings ended")?.into()),
    };
    let waits = waits.with_context(|| stage.logs())?;
    let block_time = 1000.0;
    let aim = Aim::AtMost(block_time + 300.0);
    let method = format!(
        "{} deals of one task, one a block at random moments, 1 s blocks; from the receipt seen by an independent client to the answer of the ask that an idle worker holds open ({} ms)",
        waits.len(),
        waits.range()
    );
    Ok(vec![
        Figure::new("deal_to_assigned_p50", waits.median(), "ms", aim, &method),
        Figure::new("deal_to_assigned_p99", waits.share(0.99), "ms", aim, method),
    ])
}

/// Asks for ever, as an idle worker does.
async fn work(fleet: &Fleet, observer: &Observer, given: &Given) -> anyhow::Result<()> {
    let member = fleet.members().first().context("nobody joined")?;
    loop {
        let head = BlockNumber(observer.head().max(1));
        if let Some(work) = fleet.ask(member, head).await?.work {
            let task = work.workerpool_authorization.chain_task_id.0;
            let mut given = given.lock().unwrap_or_else(PoisonError::into_inner);
            given.entry(task).or_insert_with(Instant::now);
        }
    }
}

/// Milliseconds from receipt to assignment of each deal.
async fn buy_and_wait(
    buyer: &Buyer,
    observer: &Observer,
    given: &Given,
    deals: u64,
) -> anyhow::Result<Sample> {
    let mut bought = Vec::new();
    for _ in 0..deals {
        let moment = rand::random_range(0.0..0.8);
        tokio::time::sleep(Duration::from_secs_f64(moment)).await;
        let tx = buyer.buy(1).await?;
        bought.push(observer.deal(tx).await?);
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let given = given.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let waits: Vec<f64> = bought
            .iter()
            .filter_map(|(deal, seen)| {
                let task = *buyer::tasks(*deal, 1).first()?;
                let at = given.get(&task)?;
                Some(at.saturating_duration_since(seen.at).as_secs_f64() * 1000.0)
            })
            .collect();
        if waits.len() == bought.len() {
            return Ok(Sample::of(waits));
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "{} of {} tasks were not given within a minute",
            bought.len() - waits.len(),
            bought.len()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
