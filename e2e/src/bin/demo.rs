//! `make demo`: a real task bought on chain, computed in a container, finalized, its result shown.
//!
//! Starts everything, buys, follows, downloads, tells who was paid what, and ends by itself. With `KEEP=1` everything is left running.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use e2e::money;
use e2e::scenario::{self, Outcome};
use e2e::world::{Plan, World};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tokio::select! {
        shown = show() => shown,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            anyhow::bail!("interrupted; everything that ran is stopped")
        }
    }
}

async fn show() -> anyhow::Result<()> {
    let target = target_folder()?.join("demo");
    if target.exists() {
        std::fs::remove_dir_all(&target)?;
    }
    let keep = std::env::var("KEEP").is_ok_and(|value| !value.is_empty() && value != "0");
    // Natively when the environment's NATIVE says so: a plan's own default.
    let plan = Plan {
        usual_ports: keep,
        name: format!("demo-{}", std::process::id()),
        ..Plan::default()
    };

    let native = plan.native;
    heading(if native {
        "Starting, natively: stakes are the chain's own coin, gas costs nothing"
    } else {
        "Starting"
    });
    let start = Instant::now();
    let mut world = World::start_in(&target, plan, |what| {
        println!("{:6.1} s  {what}", start.elapsed().as_secs_f64())
    })
    .await?;

    heading("Buying and computing (seconds since the purchase)");
    let outcome = scenario::run(&mut world, &target.join("results"), |line| {
        println!("{line}")
    })
    .await?;

    heading("Results, downloaded through the gateway");
    for task in &outcome.tasks {
        println!(
            "task {} (trust {}, {} of {})",
            task.task,
            task.trust,
            task.location,
            workers(task.workers.len())
        );
        for line in task.text.lines() {
            println!("    {line}");
        }
    }

    let outside = if native { "coins" } else { "tokens" };
    heading(&format!("Who was paid what ({outside} and stake together)"));
    show_money(&outcome);

    let report = target.join("report.json");
    std::fs::write(
        &report,
        serde_json::to_string_pretty(&outcome.report(&world)?)?,
    )?;
    heading("Where to look next");
    println!("report      {}", report.display());
    println!("results     {}", target.join("results").display());
    println!("logs        {}/*.log", target.display());
    if keep {
        leave_running(world);
    } else {
        println!("keep it     make demo KEEP=1");
    }
    Ok(())
}

fn heading(text: &str) {
    println!("\n{text}");
}

fn workers(count: usize) -> String {
    if count == 1 {
        "1 worker".into()
    } else {
        format!("{count} workers")
    }
}

fn show_money(outcome: &Outcome) {
    println!(
        "{:<14} {:>20} {:>20} {:>12}",
        "", "before", "after", "change"
    );
    for (role, before) in &outcome.before {
        let after = outcome.after.get(role).copied().unwrap_or_default();
        let (before, after) = (before.total(), after.total());
        println!(
            "{role:<14} {:>20} {:>20} {:>12}",
            money::rlc(before),
            money::rlc(after),
            money::rlc(after - before)
        );
    }
}

/// Leaves the processes to themselves and says how to reach and stop them.
fn leave_running(world: World) {
    println!("scheduler   {}", world.scheduler_url);
    println!("gateway     {}", world.gateway_url);
    println!("node        {}", world.chain.rpc_url);
    println!(
        "buy more    node e2e/sdk/buy.mjs '{{\"devnet\":\"{}\",\"deals\":[{{\"args\":\"again\"}}]}}'",
        world.dir().join("chain").display()
    );
    let ids: Vec<String> = world.process_ids().iter().map(u32::to_string).collect();
    println!("stop        kill {}", ids.join(" "));
    println!(
        "            docker network ls --quiet --filter name=workerpool-{}- | xargs docker network rm",
        world.name()
    );
    std::mem::forget(world);
}

/// The build's folder: this program lies in `<target>/<profile>/`.
fn target_folder() -> anyhow::Result<PathBuf> {
    let me = std::env::current_exe()?;
    me.parent()
        .and_then(Path::parent)
        .map(Path::to_owned)
        .context("this program lies in no build folder")
}
