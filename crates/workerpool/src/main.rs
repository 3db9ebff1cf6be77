//! The workerpool binary: a role per subcommand.

mod cli;
mod config;
mod devnet;
mod exit;
mod roles;
mod up;

use std::process::ExitCode;

use anyhow::Context as _;
use chassis::Shutdown;
use chassis::env::ProcessEnv;
use clap::Parser as _;
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::cli::{Cli, Command};
use crate::exit::Failure;

fn main() -> ExitCode {
    match start(Cli::parse().role) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}

/// Lets this process have as many open files as the system allows: the session of each Java worker is one, and many systems begin with 1,024.
fn allow_many_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

fn start(role: Command) -> Result<(), Failure> {
    // What it has to say is all that is printed.
    if let Command::Config {
        what: cli::Config::Check { files, role },
    } = &role
    {
        return config::check(files, role);
    }
    let env = ProcessEnv;
    chassis::logs::init(&env)?;
    allow_many_files();
    let runtime = tokio::runtime::Runtime::new().context("no threads to run in")?;
    runtime.block_on(async {
        let shutdown = Shutdown::on_signals().context("signals cannot be listened to")?;
        match role {
            Command::Up => up::run(&env, shutdown).await,
            Command::Scheduler => roles::scheduler(&env, shutdown).await,
            Command::Worker => roles::worker(&env, shutdown).await,
            Command::ConfigServer => roles::config_server(&env, shutdown).await,
            Command::ResultProxy => roles::result_proxy(&env, shutdown).await,
            // Done above, without a log.
            Command::Config { .. } => Ok(()),
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
