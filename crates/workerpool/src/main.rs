//! The workerpool binary: a role per subcommand.

mod cli;
mod devnet;
mod exit;
mod roles;
mod up;

use std::process::ExitCode;

use anyhow::Context as _;
use chassis::Shutdown;
use chassis::env::ProcessEnv;
use clap::Parser as _;

use crate::cli::{Cli, Command};
use crate::exit::Failure;

fn main() -> ExitCode {
    match start(Cli::parse().role) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}

fn start(role: Command) -> Result<(), Failure> {
    let env = ProcessEnv;
    chassis::logs::init(&env)?;
    let runtime = tokio::runtime::Runtime::new().context("no threads to run in")?;
    runtime.block_on(async {
        let shutdown = Shutdown::on_signals().context("signals cannot be listened to")?;
        match role {
            Command::Up => up::run(&env, shutdown).await,
            Command::Scheduler => roles::scheduler(&env, shutdown).await,
            Command::Worker => roles::worker(&env, shutdown).await,
            Command::ConfigServer => roles::config_server(&env, shutdown).await,
            Command::ResultProxy => roles::result_proxy(&env, shutdown).await,
            Command::Sandbox { words } => roles::sandbox(&words),
            Command::Devnet(args) => devnet::run(*args, shutdown).await.map_err(Failure::Failed),
            #[cfg(feature = "crash-points")]
            Command::CrashPoints { role } => {
                let points = match role {
                    cli::CrashPointsOf::Scheduler => scheduler::CRASH_POINTS,
                    cli::CrashPointsOf::Worker => worker::CRASH_POINTS,
                };
                points.iter().for_each(|point| println!("{point}"));
                Ok(())
            }
        }
    })
}
