//! A chain for one test: a free port, files in a temporary folder, the prepared state that all tests share. Gone when dropped.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::running::Devnet;
use crate::settings::{AnvilSettings, NodeChoice, Settings};
use crate::{Accounts, Addresses, DevnetError};

/// A chain for one test.
#[derive(Debug)]
pub struct TestChain {
    devnet: Devnet,
    dir: TempDir,
}

impl TestChain {
    /// A chain that mines at once and produces a block each second when idle.
    ///
    /// # Errors
    /// As [`Devnet::start`].
    pub async fn start() -> Result<Self, DevnetError> {
        Self::with_block_time(Duration::from_secs(1)).await
    }

    /// A chain that mines at once and produces a block in this rhythm when idle.
    ///
    /// # Errors
    /// As [`Devnet::start`].
    pub async fn with_block_time(block_time: Duration) -> Result<Self, DevnetError> {
        let node = NodeChoice::Own(AnvilSettings {
            block_time: Some(block_time),
            ..AnvilSettings::default()
        });
        Self::with(Settings {
            node,
            ..Settings::default()
        })
        .await
    }

    /// A chain as the settings say, but for the port, the log and the folder of files, which are the test's own.
    ///
    /// # Errors
    /// As [`Devnet::start`].
    pub async fn with(mut settings: Settings) -> Result<Self, DevnetError> {
        let dir = tempfile::Builder::new().prefix("test-chain-").tempdir();
        let dir = dir.map_err(DevnetError::file(
            "create a folder in",
            std::env::temp_dir(),
        ))?;
        if let NodeChoice::Own(anvil) = &mut settings.node {
            anvil.port = 0;
            anvil.log = Some(dir.path().join("anvil.log"));
        }
        settings.dir = Some(dir.path().to_owned());
        Ok(Self {
            devnet: Devnet::start(settings).await?,
            dir,
        })
    }

    /// The chain itself.
    #[must_use]
    pub const fn devnet(&self) -> &Devnet {
        &self.devnet
    }

    /// Where the node answers, as text.
    #[must_use]
    pub fn rpc_url(&self) -> &str {
        self.devnet.rpc_url().as_str().trim_end_matches('/')
    }

    /// Where everything is on the chain.
    #[must_use]
    pub const fn addresses(&self) -> &Addresses {
        self.devnet.addresses()
    }

    /// Who has which key.
    #[must_use]
    pub const fn accounts(&self) -> &Accounts {
        self.devnet.accounts()
    }

    /// The folder with the written files ([`crate::files`]).
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Mines this many blocks now.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn mine(&self, blocks: u64) -> Result<(), DevnetError> {
        self.devnet
            .ask::<serde_json::Value>("anvil_mine", json!([format!("0x{blocks:x}")]))
            .await
            .map(drop)
    }

    /// Moves the chain's clock forward and mines a block with the new time.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn pass(&self, time: Duration) -> Result<(), DevnetError> {
        self.devnet
            .ask::<serde_json::Value>("evm_increaseTime", json!([time.as_secs()]))
            .await?;
        self.mine(1).await
    }

    /// Replaces the last `depth` blocks by empty ones: their transactions vanish (spec devnet.md §12).
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn reorganise(&self, depth: u64) -> Result<(), DevnetError> {
        self.devnet
            .ask::<serde_json::Value>("anvil_reorg", json!([depth, []]))
            .await
            .map(drop)
    }

    /// Stops the node and keeps the folder until the end of the test.
    ///
    /// # Errors
    /// As [`Devnet::stop`].
    pub async fn stop(self) -> Result<TempDir, DevnetError> {
        self.devnet.stop().await?;
        Ok(self.dir)
    }
}
