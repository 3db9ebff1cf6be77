//! `make bench`: measures what docs/benchmarks.md lists, prints a table and writes `target/bench.json`.

mod buyer;
mod counter;
mod figure;
mod figures;
mod finished;
mod noop;
mod observer;
mod pool;
mod sample;
mod stage;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use clap::Parser;

use crate::figure::Figure;
use crate::figures::{ALL, Amount, Benchmark};

/// Measures the figures of docs/benchmarks.md and writes them down.
#[derive(Debug, Parser)]
struct Cli {
    /// Only these benchmarks, with commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// Only so much that every benchmark is seen to work; the figures are of no use
    #[arg(long)]
    quick: bool,
    /// Where the figures are written; `target/bench.json` unless said
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// List the benchmarks
    #[arg(long)]
    list: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    if cli.list {
        for benchmark in &ALL {
            println!("{:<12} {}", benchmark.name, benchmark.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = chosen(&cli.only)?;
    let file = cli.out.map_or_else(usual_file, Ok)?;
    tokio::select! {
        measured = measure(&chosen, Amount { quick: cli.quick }, &file) => measured,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            anyhow::bail!("interrupted; everything that ran is stopped")
        }
    }
}

fn chosen(only: &[String]) -> anyhow::Result<Vec<&'static Benchmark>> {
    let only: Vec<&String> = only.iter().filter(|name| !name.is_empty()).collect();
    if only.is_empty() {
        return Ok(ALL.iter().collect());
    }
    only.into_iter()
        .map(|name| {
            ALL.iter()
                .find(|benchmark| benchmark.name == name)
                .with_context(|| {
                    let names: Vec<_> = ALL.iter().map(|benchmark| benchmark.name).collect();
                    format!(
                        "there is no benchmark {name:?}: there are {}",
                        names.join(", ")
                    )
                })
        })
        .collect()
}

async fn measure(chosen: &[&Benchmark], amount: Amount, file: &Path) -> anyhow::Result<ExitCode> {
    if cfg!(debug_assertions) {
        eprintln!("bench: this is a development build; its figures are of no use");
    }
    let start = Instant::now();
    let (mut figures, mut failed) = (Vec::new(), false);
    for benchmark in chosen {
        eprintln!(
            "bench: {:6.1} s  {:<12} {}",
            start.elapsed().as_secs_f64(),
            benchmark.name,
            benchmark.about
        );
        match (benchmark.run)(amount).await {
            Ok(measured) => {
                for figure in &measured {
                    eprintln!("                 {}", figure.line());
                }
                figures.extend(measured);
            }
            Err(error) => {
                failed = true;
                eprintln!("bench: {} could not be measured: {error:#}", benchmark.name);
                let why = error.root_cause().to_string();
                figures.push(Figure::failed(benchmark.name, &why));
            }
        }
    }
    eprintln!("bench: {:6.1} s  done\n", start.elapsed().as_secs_f64());
    for figure in &figures {
        println!("{}", figure.line());
    }
    std::fs::write(file, serde_json::to_string_pretty(&figures)? + "\n")
        .with_context(|| format!("the figures cannot be written to {}", file.display()))?;
    println!("\nhow each was measured: {}", file.display());
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// `bench.json` in the build's folder: this program lies in `<target>/<profile>/`.
fn usual_file() -> anyhow::Result<PathBuf> {
    let me = std::env::current_exe()?;
    me.ancestors()
        .nth(2)
        .map(|target| target.join("bench.json"))
        .context("this program lies in no build folder: say --out FILE")
}
