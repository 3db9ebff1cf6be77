//! Settings from the environment: read through a trait so that tests bring their own, with every name an operator may still
//! use, and with all that is wrong told at once.
//!
//! A service asks a [`Reader`] for one variable after the other and builds its settings in [`Reader::finish`], which runs
//! only when nothing was wrong:
//!
//! ```
//! use chassis::env::{ConfigErrors, Env, MapEnv, Reader, Role};
//!
//! struct Settings { port: u16, node: url::Url }
//!
//! fn from_env(env: &dyn Env) -> Result<Settings, ConfigErrors> {
//!     let mut read = Reader::new(env, Role::Scheduler);
//!     let port = read.var("IEXEC_CORE_PORT").property("server.port").port().or(13000);
//!     let node = read.var("IEXEC_BLOCKCHAIN_NODE_ADDRESS").was("IEXEC_PRIVATE_CHAIN_ADDRESS").url().required();
//!     read.finish(|| Ok(Settings { port, node: node? }))
//! }
//!
//! let env = MapEnv::from([("WORKERPOOL_SCHEDULER_PORT", "0"), ("IEXEC_PRIVATE_CHAIN_ADDRESS", "http://node:8545")]);
//! let settings = from_env(&env).unwrap();
//! assert_eq!((settings.port, settings.node.as_str()), (0, "http://node:8545/"));
//! ```
//!
//! Which of several names wins: `WORKERPOOL_<ROLE>_<NAME>`, which sets one role of several in a process; then the generic
//! form of the original's property (`SERVER_PORT`); then the name itself; then older names, with a warning that tells the new
//! one. Only the first that is set is read. Set to nothing is the same as not set, but for secrets.

use std::collections::BTreeMap;
use std::fmt;

mod errors;
mod parse;
mod reader;
mod setting;
mod watched;

#[cfg(test)]
mod tests;

pub use errors::{ConfigError, ConfigErrors, Noted, Warning};
pub use parse::url;
pub use reader::{Reader, Var};
pub use setting::{Kept, Setting};
pub use watched::{Seen, Watched};

/// Where settings come from.
pub trait Env: Send + Sync {
    /// The value of a variable, if it is set.
    fn get(&self, name: &str) -> Option<String>;

    /// What is in a file that a setting names.
    ///
    /// # Errors
    /// When it cannot be read.
    fn file(&self, path: &str) -> std::io::Result<String> {
        std::fs::read_to_string(path)
    }

    /// Takes what an operator should know of settings while they are read. The log has most of it too.
    fn told(&self, _warning: &Warning) {}
}

/// Those of `names`, each with a remark, that are set to something.
pub fn set_among<'a>(
    env: &'a dyn Env,
    names: &'a [(&'static str, &'static str)],
) -> impl Iterator<Item = (&'static str, &'static str)> + 'a {
    let is_set = |name: &str| env.get(name).is_some_and(|value| !value.trim().is_empty());
    names.iter().copied().filter(move |(name, _)| is_set(name))
}

/// The environment of this process. A value that is not UTF-8 is not there.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnv;

impl Env for ProcessEnv {
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// An environment made by hand.
#[derive(Debug, Clone, Default)]
pub struct MapEnv(BTreeMap<String, String>);

impl MapEnv {
    /// The same with one more variable.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for MapEnv {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        Self(
            variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

impl<K: Into<String>, V: Into<String>, const N: usize> From<[(K, V); N]> for MapEnv {
    fn from(variables: [(K, V); N]) -> Self {
        variables.into_iter().collect()
    }
}

impl Env for MapEnv {
    fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }
}

/// Whose settings are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The scheduler.
    Scheduler,
    /// A worker.
    Worker,
    /// The result proxy.
    ResultProxy,
    /// The config server.
    ConfigServer,
    /// What belongs to no service: the binary itself, the devnet.
    Workerpool,
}

impl Role {
    /// The name that an operator types.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scheduler => "scheduler",
            Self::Worker => "worker",
            Self::ResultProxy => "result-proxy",
            Self::ConfigServer => "config-server",
            Self::Workerpool => "workerpool",
        }
    }

    /// What this role's own variables begin with.
    const fn own_prefix(self) -> &'static str {
        match self {
            Self::Scheduler => "WORKERPOOL_SCHEDULER_",
            Self::Worker => "WORKERPOOL_WORKER_",
            Self::ResultProxy => "WORKERPOOL_RESULT_PROXY_",
            Self::ConfigServer => "WORKERPOOL_CONFIG_SERVER_",
            Self::Workerpool => "WORKERPOOL_",
        }
    }

    /// What the original's names for this role have after `IEXEC_`.
    const fn java_prefix(self) -> &'static str {
        match self {
            Self::Scheduler => "CORE_",
            Self::Worker => "WORKER_",
            Self::ResultProxy => "RESULT_PROXY_",
            Self::ConfigServer => "CONFIG_SERVER_",
            Self::Workerpool => "",
        }
    }

    /// The form of `name` that sets this role alone: `IEXEC_CORE_PORT` and the scheduler give `WORKERPOOL_SCHEDULER_PORT`,
    /// `MONGO_PORT` gives `WORKERPOOL_SCHEDULER_MONGO_PORT`. A name that is ours already is its own.
    pub fn own_name(self, name: &str) -> String {
        if name.starts_with("WORKERPOOL_") {
            return name.to_owned();
        }
        let short = match name.strip_prefix("IEXEC_") {
            Some(short) => short.strip_prefix(self.java_prefix()).unwrap_or(short),
            None => name,
        };
        format!("{}{short}", self.own_prefix())
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A value that is never printed: passwords, keys.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, to use it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
