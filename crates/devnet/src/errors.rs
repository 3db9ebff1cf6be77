//! What can go wrong while a local chain is brought up, in words that say how to mend it.
//!
//! Never wraps an error as bare text where its source is at hand, and never prints a key or a password.

use std::io;
use std::path::PathBuf;

use alloy_primitives::B256;
use alloy_transport::TransportError;
use url::Url;

use crate::settings::TokenMode;

/// Why a local chain could not be brought up, used or stopped.
#[derive(Debug, thiserror::Error)]
pub enum DevnetError {
    /// No `anvil` program where it was looked for.
    #[error(
        "anvil, the local chain node, is not here; looked for {}. Run `make setup` in the repository (it installs the pinned npm packages), \
         or name the program by WORKERPOOL_ANVIL", searched.join(", ")
    )]
    AnvilMissing {
        /// The places, in the order of the search.
        searched: Vec<String>,
    },
    /// No PoCo contracts package where it was looked for.
    #[error(
        "the PoCo contracts (npm package @iexec/poco) are not here; looked for {}. Run `make setup` in the repository (it installs the pinned \
         npm packages), or name the package's folder by WORKERPOOL_POCO_PACKAGE", searched.join(", ")
    )]
    ContractsMissing {
        /// The places, in the order of the search.
        searched: Vec<String>,
    },
    /// The contracts package is there but not what is needed.
    #[error("the PoCo contracts package cannot be used: {path}: {why}. Run `make setup` again, or unpack @iexec/poco {needed} anew", needed = crate::CONTRACTS_VERSION)]
    ContractsUnusable {
        /// The file that is wrong.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Another program listens where the node should.
    #[error(
        "port {port} of {host} is taken by another program. Stop it, or choose another port (0 picks a free one)"
    )]
    PortTaken {
        /// Address to listen on.
        host: String,
        /// The port asked for.
        port: u16,
    },
    /// The node's program could not be run at all.
    #[error("anvil ({program}) cannot be started")]
    AnvilUnstartable {
        /// The program.
        program: PathBuf,
        /// Why the system refused.
        #[source]
        source: io::Error,
    },
    /// The node's program ended while it should run.
    #[error("anvil ended by itself ({status}); its last words: {last_words}; all of them: {log}")]
    AnvilEnded {
        /// How it ended.
        status: String,
        /// The end of its output.
        last_words: String,
        /// The file with its output.
        log: PathBuf,
    },
    /// The node runs but does not answer.
    #[error("anvil does not answer at {url} after {waited_s} s; its output is in {log}")]
    AnvilSilent {
        /// Where it was asked.
        url: Url,
        /// How long it was given.
        waited_s: u64,
        /// The file with its output.
        log: PathBuf,
    },
    /// The node cannot be reached, or answers with an error.
    #[error("the chain node {url} failed at {method}")]
    Node {
        /// Where it was asked.
        url: Url,
        /// The JSON-RPC method.
        method: String,
        /// What the transport or the node said.
        #[source]
        source: Box<TransportError>,
    },
    /// A view answered bytes that its interface does not allow.
    #[error("{what} answered bytes that its interface does not allow: {why}")]
    Undecodable {
        /// The function.
        what: &'static str,
        /// What the decoder said.
        why: String,
    },
    /// The node serves another chain.
    #[error(
        "the node {url} serves chain {found}, not {expected}. Name another node, or the chain id {found}"
    )]
    OtherChain {
        /// Where it was asked.
        url: Url,
        /// What it serves.
        found: u64,
        /// What was asked for.
        expected: u64,
    },
    /// The chain has the contracts of the other mode.
    #[error(
        "the chain of the node {url} has the contracts in {found} mode, not in {wanted} mode. Ask for {found} mode, or use another node or state file"
    )]
    OtherMode {
        /// Where it was asked.
        url: Url,
        /// What is there.
        found: TokenMode,
        /// What was asked for.
        wanted: TokenMode,
    },
    /// A transaction of the deployment was mined and failed.
    #[error("the transaction \"{step}\" ({tx}) was mined and reverted")]
    Reverted {
        /// What it was for.
        step: String,
        /// Its hash.
        tx: B256,
    },
    /// A transaction of the deployment was not mined in time.
    #[error(
        "the transaction \"{step}\" ({tx}) is not mined after {waited_s} s: does the node mine?"
    )]
    NotMined {
        /// What it was for.
        step: String,
        /// Its hash.
        tx: B256,
        /// How long it was given.
        waited_s: u64,
    },
    /// The contracts are not configured as they must be (spec devnet.md §3 and §5).
    #[error("the contracts are not as they must be: {}", mismatches.join("; "))]
    NotAsExpected {
        /// Each thing that differs, with what was expected and what was found.
        mismatches: Vec<String>,
    },
    /// A setting that cannot be.
    #[error("{setting} is {given}: {why}")]
    BadSetting {
        /// Its name.
        setting: &'static str,
        /// Its value.
        given: String,
        /// What is expected.
        why: &'static str,
    },
    /// Signing failed, or a key could not be derived.
    #[error("a key of the test accounts cannot be used: {why}")]
    Key {
        /// What the signer said.
        why: String,
    },
    /// A wallet file could not be written.
    #[error(transparent)]
    Wallet(#[from] chain::wallet::WalletError),
    /// A file or folder could not be used.
    #[error("cannot {what} {path}")]
    File {
        /// What was tried: `read`, `write`, `create`, …
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why the system refused.
        #[source]
        source: io::Error,
    },
}

impl DevnetError {
    pub(crate) fn file(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }
}
