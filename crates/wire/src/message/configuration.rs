//! What a scheduler tells every worker about itself, and the hash by which workers notice that it changed (spec
//! scheduler-api §5.3).

use std::fmt;

use alloy_primitives::{B256, keccak256};
use serde::{Deserialize, Serialize};

use crate::lenient;

/// Answer of `GET /workers/config`. All texts are kept letter by letter, because [`Self::hash`] is over them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublicConfiguration {
    /// The workerpool, as configured.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub worker_pool_address: String,
    /// The scheduler's wallet, lower-case.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub scheduler_public_address: String,
    /// Where workers find the config server.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub config_server_url: String,
    /// Where workers find the result proxy.
    #[serde(
        rename = "resultRepositoryURL",
        default,
        deserialize_with = "lenient::or_default"
    )]
    pub result_repository_url: String,
    /// Milliseconds between two asks of a worker without work.
    #[serde(default, deserialize_with = "lenient::number")]
    pub ask_for_replicate_period: u64,
    /// The only worker version allowed; empty for any. Never null: a Java worker would crash.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub required_worker_version: String,
}

impl PublicConfiguration {
    /// What a ping answers: a worker restarts itself when it changes.
    pub fn hash(&self) -> B256 {
        keccak256(self.to_string())
    }
}

/// The text that is hashed.
impl fmt::Display for PublicConfiguration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "PublicConfiguration(workerPoolAddress={}, schedulerPublicAddress={}, configServerUrl={}, \
             resultRepositoryURL={}, askForReplicatePeriod={}, requiredWorkerVersion={})",
            self.worker_pool_address,
            self.scheduler_public_address,
            self.config_server_url,
            self.result_repository_url,
            self.ask_for_replicate_period,
            self.required_worker_version
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash_of(texts: [&str; 5]) -> String {
        let [pool, scheduler, config, results, version] = texts.map(str::to_owned);
        let configuration = PublicConfiguration {
            worker_pool_address: pool,
            scheduler_public_address: scheduler,
            config_server_url: config,
            result_repository_url: results,
            ask_for_replicate_period: 5000,
            required_worker_version: version,
        };
        format!("{:#x}", configuration.hash())
    }

    #[test]
    fn the_hash_is_the_one_of_the_original() {
        // spec scheduler-api §13
        assert_eq!(
            hash_of([
                "0x365E7BABAa85eC61Dffe5b520763062e6C29dA27",
                "0x90f8bf6a479f320ead074411a4b0e7944ea8c9c1",
                "http://localhost:8888",
                "http://localhost:13200",
                "",
            ]),
            "0xdc49e765933c8cfcc554e08418affe61cd325b04765fcfabeba996535c983f85"
        );
        // spec worker §16.3
        assert_eq!(
            hash_of(["0x1", "0x2", "http://c", "http://r", ""]),
            "0x8bfaf302487c852f453b022851cf0563c903ba3ee6f2470e05e5b97ee2432ad6"
        );
    }
}
