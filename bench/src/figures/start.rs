//! From the start of the scheduler's process until it is in service, that is until its health says UP: the port is open and the first
//! fresh block was read. On a chain of a few dozen blocks, config server and node on the same machine. Opening the wallet (a deliberate
//! expense of its format) is told apart, as the scheduler dates it, and taken off.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use e2e::process::Recipe;
use engine::BlockRef;
use loadgen::Connection;
use poco::units::{BlockNumber, Timestamp};
use serde::Deserialize;
use serde_json::json;
use store::Identity;

use super::Amount;
use crate::figure::{Aim, Figure};
use crate::finished;
use crate::sample::Sample;
use crate::stage::{Flow, Stage, Wanted};

/// What the scheduler says when its wallet is open.
const WALLET_OPEN: &str = "the wallet is open";

/// One start, in milliseconds.
struct Start {
    /// From the process's start until it is in service, less the opening of the wallet.
    serving: f64,
    /// The opening of the wallet.
    wallet: f64,
}

pub(super) async fn measure(amount: Amount) -> anyhow::Result<Vec<Figure>> {
    let stage = Stage::start(Wanted::default()).await?;
    let mut empty = Vec::new();
    for time in 0..amount.of(11, 3) {
        let recipe = stage.scheduler_recipe(&format!("empty-{time}"), Flow::Classic)?;
        empty.push(start(&stage, &recipe).await?);
    }
    let tasks = amount.of(100_000, 2_000);
    let full = stage.scheduler_recipe("full", Flow::Classic)?;
    let completed = fill(&stage, tasks).await?;
    ensure!(
        completed == tasks,
        "the store holds {completed} completed tasks instead of {tasks}"
    );
    let mut filled = Vec::new();
    for _ in 0..amount.of(5, 2) {
        filled.push(start(&stage, &full).await?);
    }
    let wallets = Sample::of(empty.iter().chain(&filled).map(|start| start.wallet));
    let (empty, filled) = (serving(&empty), serving(&filled));

    let method = |starts: &Sample, what: &str| {
        format!(
            "median of {} starts of `workerpool scheduler` {what} ({} ms): process start to health UP, less the opening of the wallet as the scheduler dates it; 1 s blocks, short chain",
            starts.len(),
            starts.range()
        )
    };
    Ok(vec![
        Figure::new(
            "start_empty_store",
            empty.median(),
            "ms",
            Aim::AtMost(200.0),
            method(&empty, "with a new data folder"),
        ),
        Figure::new(
            "start_100k_finished_tasks",
            filled.median(),
            "ms",
            Aim::AtMost(1000.0),
            method(
                &filled,
                &format!("with {tasks} finished tasks, their replicates and events in the store"),
            ),
        ),
        Figure::new(
            "wallet_opening",
            wallets.median(),
            "ms",
            Aim::None,
            format!(
                "median of {} openings as the scheduler dates them ({} ms); scrypt n = 8192, an SDK-made wallet takes sixteen times that",
                wallets.len(),
                wallets.range()
            ),
        ),
    ])
}

fn serving(starts: &[Start]) -> Sample {
    Sample::of(starts.iter().map(|start| start.serving))
}

/// Starts the scheduler, waits until it is in service, and stops it in order.
async fn start(stage: &Stage, recipe: &Recipe) -> anyhow::Result<Start> {
    let address = stage
        .scheduler_url
        .trim_start_matches("http://")
        .parse()
        .context("the scheduler's address")?;
    let request = format!("GET /actuator/health HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let began = Instant::now();
    let mut process = recipe.start()?;
    let took = loop {
        if let Ok(mut connection) = Connection::open(address).await
            && connection.exchange(request.as_bytes()).await.ok() == Some(200)
        {
            break began.elapsed();
        }
        process.must_live()?;
        ensure!(
            began.elapsed() < Duration::from_secs(60),
            "the scheduler is not in service after a minute\n{}",
            process.tail()
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    process.terminate(Duration::from_secs(30))?;
    let said = process.said();
    let wallet: f64 = said
        .lines()
        .rev()
        .find(|line| line.contains(WALLET_OPEN))
        .and_then(|line| line.split("elapsed_ms=").nth(1))
        .and_then(|rest| rest.split_whitespace().next())
        .context("the scheduler does not say how long its wallet took")?
        .parse()?;
    Ok(Start {
        serving: took.as_secs_f64() * 1000.0 - wallet,
        wallet,
    })
}

/// Puts a store with so many finished tasks where the recipe of `full` looks for it.
async fn fill(stage: &Stage, tasks: u64) -> anyhow::Result<u64> {
    #[derive(Deserialize)]
    struct Head {
        number: alloy_primitives::U64,
        hash: alloy_primitives::B256,
        timestamp: alloy_primitives::U64,
    }
    let rpc = stage.rpc();
    let chain_id: alloy_primitives::U64 = rpc.request("eth_chainId", json!([])).await?;
    let head: Head = rpc
        .request("eth_getBlockByNumber", json!(["latest", false]))
        .await?;
    let identity = Identity {
        role: "scheduler".to_owned(),
        chain_id: chain_id.to(),
        hub: stage.chain.hub,
        pool: Some(stage.chain.workerpool),
    };
    let block = BlockRef {
        number: BlockNumber(head.number.to()),
        hash: head.hash,
        // So long ago that all of it has left the engine by now.
        time: Timestamp::from_secs(head.timestamp.to::<u64>().saturating_sub(3600)),
    };
    finished::make(&stage.dir().join("full"), &identity, block, tasks).await
}
