//! Resident memory of a scheduler and a worker that have nothing to do, half a minute after the worker registered: VmRSS as the kernel
//! tells it, pages shared with other processes included.

use std::time::Duration;

use anyhow::Context as _;

use super::Amount;
use crate::figure::{Aim, Figure};
use crate::sample::Sample;
use crate::stage::{Flow, Stage, Wanted};

pub(super) async fn measure(amount: Amount) -> anyhow::Result<Vec<Figure>> {
    let mut stage = Stage::start(Wanted {
        computes: true,
        ..Wanted::default()
    })
    .await?;
    let recipe = stage.scheduler_recipe("data", Flow::ContributeAndFinalize)?;
    stage.start_scheduler(&recipe).await?;
    stage.start_worker(2, Flow::ContributeAndFinalize).await?;
    tokio::time::sleep(Duration::from_secs(amount.of(30, 2))).await;
    let scheduler = stage.scheduler()?.id();
    let worker = stage.workers().first().context("there is no worker")?.id();
    let (mut of_scheduler, mut of_worker) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        of_scheduler.push(resident(scheduler)?);
        of_worker.push(resident(worker)?);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let (of_scheduler, of_worker) = (Sample::of(of_scheduler), Sample::of(of_worker));
    let method = |sample: &Sample| {
        format!(
            "VmRSS 30 s after a worker registered, nothing to do: median of 10 looks half a second apart ({} MB)",
            sample.range()
        )
    };
    Ok(vec![
        Figure::new(
            "idle_memory_scheduler",
            of_scheduler.median(),
            "MB",
            Aim::AtMost(30.0),
            method(&of_scheduler),
        ),
        Figure::new(
            "idle_memory_worker",
            of_worker.median(),
            "MB",
            Aim::AtMost(25.0),
            method(&of_worker),
        ),
    ])
}

/// Megabytes (10⁶) of memory that a process has resident.
pub(super) fn resident(process: u32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let kib: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .context("the kernel tells no VmRSS")?
        .trim()
        .parse()?;
    Ok(kib * 1024.0 / 1e6)
}
