//! The load generator as a program of its own, so that it can be kept on a processor of its own: workers join a scheduler and ask for
//! work as fast as they are answered, or listen to the push channel; what came of it is printed as one line of JSON.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use loadgen::{Audience, Fleet, Storm};
use poco::ids::TaskId;
use url::Url;

/// Workers that join a scheduler and ask for work as fast as they are answered.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// The scheduler
    #[arg(long, value_name = "URL")]
    scheduler: Url,
    /// How many workers; each has a connection of its own
    #[arg(long, default_value_t = 1000)]
    workers: u64,
    /// Slots of each
    #[arg(long, default_value_t = 1)]
    slots: i32,
    /// The newest block that they say they know
    #[arg(long, default_value_t = 1)]
    head: u64,
    /// Seconds that are asked before anything is counted
    #[arg(long, value_name = "SECONDS", default_value_t = 2)]
    warm_up: u64,
    /// Seconds that are counted
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    seconds: u64,
    /// Instead of all that, so many sessions of the push channel listen to these tasks, each to one of them in turn: the line `ready` says
    /// that they do, the next one what they heard
    #[arg(long, value_name = "TASK,…", value_delimiter = ',')]
    listen_to: Vec<TaskId>,
}

// One thread: a load generator that takes part of the scheduler's processor measures itself.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    if !cli.listen_to.is_empty() {
        let count = usize::try_from(cli.workers)?;
        let address = address(&cli.scheduler)?;
        let audience = Audience::gather(&cli.scheduler, address, &cli.listen_to, count).await?;
        println!("ready");
        println!("{}", serde_json::to_string(&audience.hear().await)?);
        return Ok(());
    }
    let keys: Vec<_> = (0..cli.workers)
        .map(loadgen::key)
        .collect::<Result<_, _>>()?;
    let fleet = Fleet::join(cli.scheduler.clone(), keys, cli.slots).await?;
    let storm = Storm {
        address: address(&cli.scheduler)?,
        head: cli.head,
        warm_up: Duration::from_secs(cli.warm_up),
        duration: Duration::from_secs(cli.seconds),
    };
    let weather = loadgen::storm(fleet.members(), storm).await?;
    println!("{}", serde_json::to_string(&weather)?);
    Ok(())
}

fn address(url: &Url) -> anyhow::Result<SocketAddr> {
    let host = url.host_str().context("the URL has no host")?;
    let port = url.port_or_known_default().context("the URL has no port")?;
    (host, port)
        .to_socket_addrs()?
        .next()
        .with_context(|| format!("{host} has no address"))
}
