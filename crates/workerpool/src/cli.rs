//! The command line: a role per subcommand. Settings of the roles come from the environment; only `devnet`, which is for people at a
//! terminal, takes options.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use url::Url;

/// Everything a workerpool manager and a worker operator of the iExec network run.
#[derive(Debug, Parser)]
#[command(
    version,
    propagate_version = true,
    after_help = "Settings come from the environment; the README lists them by role, and `config check` says what becomes of each."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) role: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run scheduler, config server and result proxy in one process, from one data folder
    Up,
    /// Watch deals and hand out their tasks
    Scheduler,
    /// Compute tasks in containers
    Worker,
    /// Tell schedulers and workers which chain they are on
    ConfigServer,
    /// Take results, keep them by content id, serve them
    ResultProxy,
    /// Run a local chain with the real PoCo contracts and funded accounts
    Devnet(Box<DevnetArgs>),
    /// Look at settings without running anything
    Config {
        #[command(subcommand)]
        what: Config,
    },
    /// What a worker runs in a container beside applications, to close their network
    #[command(hide = true, name = worker::preflight::SANDBOX_WORD)]
    Sandbox {
        /// What to do; workers say it, nobody else
        words: Vec<String>,
    },
    /// List the places where a test can kill a role (only in builds for tests)
    #[cfg(feature = "crash-points")]
    #[command(hide = true)]
    CrashPoints {
        /// Whose places
        role: CrashPointsOf,
    },
}

#[cfg(feature = "crash-points")]
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum CrashPointsOf {
    Scheduler,
    Worker,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Say of every name in a .env or compose file what becomes of it: used, renamed, without effect, wrong; names of the Java services too
    Check {
        /// The files; a compose file takes what it lacks from the .env beside it [default: the one in this folder]
        files: Vec<PathBuf>,
        /// Whose settings they are, where that cannot be seen in them
        #[arg(long, value_enum)]
        role: Vec<RoleName>,
    },
}

/// The roles that have settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum RoleName {
    Scheduler,
    Worker,
    ResultProxy,
    ConfigServer,
}

#[derive(Debug, Args)]
pub(crate) struct DevnetArgs {
    /// Folder for wallets, chain.json of the SDK, devnet.env for all roles, and devnet.json
    #[arg(long, default_value = "devnet")]
    pub(crate) dir: PathBuf,
    /// Port of the node; 0 picks a free one
    #[arg(long, default_value_t = 8545)]
    pub(crate) port: u16,
    /// Use a node that runs already instead of starting one
    #[arg(long, value_name = "URL", conflicts_with_all = ["port", "block_time", "profile", "state"])]
    pub(crate) node: Option<Url>,
    /// Rhythm and limits of the node
    #[arg(long, value_enum, default_value_t = Profile::Functional)]
    pub(crate) profile: Profile,
    /// Seconds between blocks, fractions too [default: the profile's]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) block_time: Option<std::time::Duration>,
    /// Keep the chain in this file from one run to the next
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// Image of the application to register
    #[arg(long, value_name = "IMAGE")]
    pub(crate) app_image: Option<String>,
    /// Longest execution time of the category TEST; its tasks are over after ten times that
    #[arg(long, value_name = "SECONDS", default_value_t = 1)]
    pub(crate) test_category_seconds: u64,
    /// How many accounts exist; from the eleventh on each is one more worker
    #[arg(long, default_value_t = 10)]
    pub(crate) accounts: u32,
    /// Pay stakes with the chain's own coin instead of the RLC token, and nothing for gas, as on Bellecour
    #[arg(long)]
    pub(crate) native: bool,
    /// Where the scheduler will listen: goes into the written files
    #[arg(long, value_name = "URL")]
    pub(crate) scheduler_url: Option<String>,
    /// Where the config server will listen
    #[arg(long, value_name = "URL")]
    pub(crate) config_server_url: Option<String>,
    /// Where the result proxy will listen
    #[arg(long, value_name = "URL")]
    pub(crate) result_proxy_url: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Profile {
    /// A transaction is mined at once, and idle time still produces blocks
    Functional,
    /// One block a second, without gas limit and without past states
    Load,
}

fn seconds(text: &str) -> Result<std::time::Duration, String> {
    let number: f64 = text
        .parse()
        .map_err(|_| "must be a number of seconds, such as 2 or 0.25".to_owned())?;
    if number > 0.0 && number <= 86_400.0 {
        Ok(std::time::Duration::from_secs_f64(number))
    } else {
        Err("must be more than 0 and at most a day".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_block_time_of_nothing_is_refused() {
        assert!(seconds("0").is_err());
        assert!(seconds("soon").is_err());
        assert_eq!(seconds("0.25"), Ok(std::time::Duration::from_millis(250)));
    }
}
