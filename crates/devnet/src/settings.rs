//! What a local chain can be asked to be. Values only: nothing here reads the environment or a file.

use std::path::PathBuf;
use std::time::Duration;

use alloy_primitives::B256;
use url::Url;

use crate::DevnetError;

/// Chain id of every local chain of ours: unknown to the SDK, so that it never falls back to production services (spec devnet.md §1).
pub const CHAIN_ID: u64 = 65535;

/// Everything that can be chosen about a local chain. [`Settings::default`] is `workerpool devnet` without options.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The node: ours, or one that runs already.
    pub node: NodeChoice,
    /// Chain id that the node must serve.
    pub chain_id: u64,
    /// How stakes are paid.
    pub token: TokenMode,
    /// How many accounts of the test mnemonic exist, 10 or more; from the eleventh on each is one more worker.
    pub accounts: u32,
    /// Folder of the package `@iexec/poco`; `None` searches for it.
    pub contracts: Option<PathBuf>,
    /// Where prepared chain states are kept from one start to the next; `None` is the user's cache folder.
    pub cache: Option<PathBuf>,
    /// The application to register, `None` for none.
    pub app: Option<App>,
    /// Description of the workerpool to register; it decides the pool's address.
    pub workerpool: String,
    /// Reference time of the additional category `TEST` in seconds, `None` for none. Deadlines are multiples of it: with 1 s a task is over after 10 s.
    pub test_category_s: Option<u64>,
    /// Folder that gets the files for everything else ([`crate::files`]); `None` writes none.
    pub dir: Option<PathBuf>,
    /// Where the other services will listen: goes into the written files only.
    pub services: Services,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            node: NodeChoice::Own(AnvilSettings::default()),
            chain_id: CHAIN_ID,
            token: TokenMode::Token,
            accounts: 10,
            contracts: None,
            cache: None,
            app: Some(App::default()),
            workerpool: "devnet-pool".to_owned(),
            test_category_s: Some(1),
            dir: None,
            services: Services::default(),
        }
    }
}

impl Settings {
    /// Refuses what cannot be before anything starts.
    pub(crate) fn check(&self) -> Result<(), DevnetError> {
        if !(10..=1000).contains(&self.accounts) {
            let given = self.accounts.to_string();
            return Err(DevnetError::BadSetting {
                setting: "the number of accounts",
                given,
                why: "10 to 1000 are possible",
            });
        }
        if let NodeChoice::Own(anvil) = &self.node
            && anvil.block_time.is_some_and(|time| time.is_zero())
        {
            return Err(DevnetError::BadSetting {
                setting: "the block time",
                given: "0".to_owned(),
                why: "it must be longer than zero",
            });
        }
        Ok(())
    }
}

/// Which node serves the chain.
#[derive(Debug, Clone)]
pub enum NodeChoice {
    /// An anvil of ours, stopped with us.
    Own(AnvilSettings),
    /// A node that runs already and stays. Contracts are deployed on it when they are missing.
    Running(Url),
}

/// How our anvil runs.
#[derive(Debug, Clone)]
pub struct AnvilSettings {
    /// The program; `None` searches for it.
    pub program: Option<PathBuf>,
    /// Address to listen on.
    pub host: String,
    /// Port to listen on; 0 picks a free one.
    pub port: u16,
    /// Rhythm and limits.
    pub profile: Profile,
    /// Time between blocks; `None` is the profile's own.
    pub block_time: Option<Duration>,
    /// File that carries the whole chain from one run to the next: read when it exists, written when the chain is stopped.
    pub state: Option<PathBuf>,
    /// File that gets the program's output; `None` is a file in the system's temporary folder.
    pub log: Option<PathBuf>,
}

impl Default for AnvilSettings {
    fn default() -> Self {
        Self {
            program: None,
            host: "127.0.0.1".to_owned(),
            port: 8545,
            profile: Profile::Functional,
            block_time: None,
            state: None,
            log: None,
        }
    }
}

/// Rhythm and limits of our anvil (spec devnet.md §10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// A transaction is mined at once, and idle time still produces a block every 2 s.
    Functional,
    /// One block a second, without gas limit and without past states: for thousands of tasks.
    Load,
}

impl Profile {
    /// Time between blocks when nothing else is asked for.
    #[must_use]
    pub const fn block_time(self) -> Duration {
        match self {
            Self::Functional => Duration::from_secs(2),
            Self::Load => Duration::from_secs(1),
        }
    }
}

/// How stakes are paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenMode {
    /// With an ERC-20 token, as on Arbitrum.
    Token,
    /// With the chain's own coin, as on Bellecour: 1 nRLC is 10⁹ wei, and gas costs nothing (spec devnet.md §4, onchain.md 0.3).
    Native,
}

impl TokenMode {
    /// The mode that is not this one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Token => Self::Native,
            Self::Native => Self::Token,
        }
    }
}

impl std::fmt::Display for TokenMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Token => "token",
            Self::Native => "native",
        })
    }
}

/// An application to register, owned by the account [`crate::Role::AppProvider`].
#[derive(Debug, Clone)]
pub struct App {
    /// Its name.
    pub name: String,
    /// Its container image, as the worker pulls it.
    pub image: String,
    /// Checksum of the image as registered; workers do not check it.
    pub checksum: B256,
}

impl Default for App {
    fn default() -> Self {
        Self {
            name: "devnet-app".to_owned(),
            image: "127.0.0.1:5000/workerpool/hello:1".to_owned(),
            checksum: B256::ZERO,
        }
    }
}

/// Where the services of a pool listen.
#[derive(Debug, Clone)]
pub struct Services {
    /// The scheduler, which is compass too.
    pub scheduler: String,
    /// The config server.
    pub config_server: String,
    /// The result proxy, which is the IPFS gateway too.
    pub result_proxy: String,
}

impl Default for Services {
    fn default() -> Self {
        Self {
            scheduler: "http://127.0.0.1:13000".to_owned(),
            config_server: "http://127.0.0.1:8888".to_owned(),
            result_proxy: "http://127.0.0.1:13200".to_owned(),
        }
    }
}
