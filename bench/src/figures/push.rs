//! 10,000 SockJS sessions, as Java workers hold them, on one scheduler: what each costs in memory, and how long after a task's end those who
//! listen to it know; also when that is everybody. Scheduler and clients are processes of their own, on the same processors.

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use loadgen::Heard;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Iso8601;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use super::Amount;
use super::memory::resident;
use crate::buyer::{self, Buyer};
use crate::figure::{Aim, Figure};
use crate::observer::Observer;
use crate::sample::Sample;
use crate::stage::{Flow, Stage, Wanted};

/// As much of a task as is read here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Task {
    date_status_list: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    status: String,
    date: String,
}

/// What was measured with so many listeners of so many tasks.
struct Measured {
    /// From a task's end until one of its listeners had heard of it, for each listener.
    waits: Sample,
    /// Memory of one session, in kB.
    each: f64,
}

pub(super) async fn measure(amount: Amount) -> anyhow::Result<Vec<Figure>> {
    let sessions = amount.of(10_000, 200);
    let tasks = amount.of(100, 4);
    let apart = listen(sessions, tasks).await?;
    let together = listen(sessions, 1).await?;
    let from = "from a task's last status, as its history has it, until a session had heard of it; clients in a process of their own on the same two processors";
    let method = format!(
        "{sessions} sessions over xhr_streaming, each listening to one of {tasks} tasks that a worker computes meanwhile; {from} ({} ms)",
        apart.waits.range()
    );
    let at_once = format!(
        "{sessions} sessions over xhr_streaming that all listen to one task; {from} ({} ms)",
        together.waits.range()
    );
    let within = Aim::AtMost(100.0);
    Ok(vec![
        Figure::new(
            "push_delivered_p50",
            apart.waits.median(),
            "ms",
            Aim::None,
            &method,
        ),
        Figure::new(
            "push_delivered_p99",
            apart.waits.share(0.99),
            "ms",
            within,
            method,
        ),
        Figure::new(
            "push_to_all_p50",
            together.waits.median(),
            "ms",
            Aim::None,
            &at_once,
        ),
        Figure::new(
            "push_to_all_p99",
            together.waits.share(0.99),
            "ms",
            within,
            at_once,
        ),
        Figure::new(
            "push_memory",
            apart.each,
            "kB",
            Aim::AtMost(40.0),
            format!(
                "what {sessions} sessions add to the scheduler's VmRSS, over the sessions, each with its connection"
            ),
        ),
    ])
}

async fn listen(sessions: u64, volume: u64) -> anyhow::Result<Measured> {
    let mut stage = Stage::start(Wanted {
        computes: true,
        ..Wanted::default()
    })
    .await?;
    let recipe = stage.scheduler_recipe("data", Flow::ContributeAndFinalize)?;
    stage.start_scheduler(&recipe).await?;
    let observer = Observer::start(&stage.chain.rpc_url, stage.chain.hub).await?;
    let tx = Buyer::new(&stage.chain, 0).await?.buy(volume).await?;
    let (deal, _) = observer.deal(tx).await?;
    let tasks: Vec<String> = buyer::tasks(deal, volume)
        .iter()
        .map(ToString::to_string)
        .collect();
    let scheduler = stage.scheduler()?.id();
    let before = resident(scheduler)?;
    let (mut program, mut said) = audience(&stage.scheduler_url, &tasks.join(","), sessions)?;
    let ready = said.next_line().await?;
    ensure!(
        ready.as_deref() == Some("ready"),
        "the listeners did not all come: {ready:?}"
    );
    let each = (resident(scheduler)? - before) * 1000.0 / sessions as f64;
    // Nobody could compute them before: now they end, and everybody is told.
    stage.start_worker(2, Flow::ContributeAndFinalize).await?;
    let heard = said.next_line().await?.context("the listeners ended")?;
    let heard: Heard = serde_json::from_str(&heard).with_context(|| stage.logs())?;
    program.wait().await?;
    ensure!(heard.broken == 0, "{} sessions broke", heard.broken);
    let mut waits = Vec::new();
    for (task, at_ms) in tasks.iter().zip(&heard.at_ms) {
        let ended = ended_at(&stage.scheduler_url, task).await?;
        waits.extend(at_ms.iter().map(|at| *at as f64 - ended));
    }
    Ok(Measured {
        waits: Sample::of(waits),
        each,
    })
}

/// Starts the listeners, and gives what they say.
fn audience(
    scheduler: &str,
    tasks: &str,
    count: u64,
) -> anyhow::Result<(Child, Lines<BufReader<ChildStdout>>)> {
    let program = std::env::current_exe()?.with_file_name("loadgen");
    let mut child = tokio::process::Command::new(program)
        .args([
            "--scheduler",
            scheduler,
            "--listen-to",
            tasks,
            "--workers",
            &count.to_string(),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .context("the load generator does not start: it is built with this program")?;
    let said = child
        .stdout
        .take()
        .context("the load generator says nothing")?;
    Ok((child, BufReader::new(said).lines()))
}

/// When the task ended, in milliseconds since 1970.
async fn ended_at(scheduler: &str, task: &str) -> anyhow::Result<f64> {
    let answer = reqwest::get(format!("{scheduler}/tasks/{task}")).await?;
    let task: Task = answer.error_for_status()?.json().await?;
    let step = task
        .date_status_list
        .iter()
        .find(|step| step.status == "COMPLETED");
    let date = &step.context("the task did not end")?.date;
    let at = OffsetDateTime::parse(date, &Iso8601::DEFAULT)?;
    Ok(at.unix_timestamp_nanos() as f64 / 1e6)
}
