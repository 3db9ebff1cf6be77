//! How many asks the scheduler answers a second when it has nothing to give: on one processor of its own, the load generator on another.
//! 1,000 registered workers with gas money, each on a connection of its own with one ask under way; the ask period is set so low that no
//! ask is answered without being weighed.

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use loadgen::Weather;
use serde_json::{Value, json};

use super::Amount;
use crate::figure::{Aim, Figure};
use crate::stage::{Flow, Stage, Wanted};

const WORKERS: u64 = 1000;

pub(super) async fn measure(amount: Amount) -> anyhow::Result<Vec<Figure>> {
    let mut stage = Stage::start(Wanted::default()).await?;
    let rpc = stage.rpc();
    for number in 0..WORKERS {
        let wallet = loadgen::key(number)?.address();
        rpc.request::<Value>("anvil_setBalance", json!([wallet, "0xde0b6b3a7640000"]))
            .await?;
    }
    let recipe = stage
        .scheduler_recipe("data", Flow::Classic)?
        .with("IEXEC_ASK_REPLICATE_PERIOD", "1");
    let recipe = pinned(recipe, 0);
    stage.start_scheduler(&recipe).await?;
    let before = processor_time(stage.scheduler()?.id())?;
    let seconds = amount.of(15, 2);
    let weather = storm(&stage.scheduler_url, seconds).await?;
    let used = processor_time(stage.scheduler()?.id())? - before;
    ensure!(
        weather.nothing == weather.answers && weather.answers > 0,
        "of {} answers {} were \"nothing to give\"",
        weather.answers,
        weather.nothing
    );
    let told = format!(
        "{WORKERS} workers on connections of their own, one ask under way on each, scheduler and load generator on one processor each, {seconds} s after 2 s; p50 {:.1} ms, p99 {:.1} ms; the scheduler used {used:.1} s of processor time, joining included",
        weather.p50_ms, weather.p99_ms
    );
    Ok(vec![Figure::new(
        "asks_per_second",
        weather.rate,
        "1/s",
        Aim::AtLeast(10_000.0),
        told,
    )])
}

/// Keeps a process on one processor.
fn pinned(mut recipe: e2e::process::Recipe, processor: u32) -> e2e::process::Recipe {
    let program = std::mem::replace(&mut recipe.program, "taskset".into());
    let mut args = vec!["--cpu-list".to_owned(), processor.to_string()];
    args.push(program.display().to_string());
    args.append(&mut recipe.args);
    recipe.args = args;
    recipe
}

async fn storm(scheduler: &str, seconds: u64) -> anyhow::Result<Weather> {
    let program = std::env::current_exe()?.with_file_name("loadgen");
    let output = tokio::process::Command::new("taskset")
        .args(["--cpu-list", "1"])
        .arg(program)
        .args(["--scheduler", scheduler, "--workers", &WORKERS.to_string()])
        .args(["--seconds", &seconds.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .context("the load generator does not start: it is built with this program, and taskset is needed")?;
    ensure!(output.status.success(), "the load generator failed");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Seconds of processor time that a process has used.
fn processor_time(process: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // Fields 14 and 15, in hundredths of a second; the name before them may hold blanks.
    let (_, rest) = stat.rsplit_once(')').context("a process without a name")?;
    let ticks: u64 = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Ok(ticks as f64 / 100.0)
}
