//! Everything that must be true before the scheduler works, each with an error that says what to mend.
//!
//! A peer that does not answer is asked again for a while; an answer that contradicts the settings ends the start at once.

use std::path::PathBuf;
use std::time::Duration;

use alloy_primitives::{Address, Bytes};
use alloy_signer_local::PrivateKeySigner;
use chain::{Hub, Node, NodeError, WalletError};
use chassis::{ListenError, Shutdown};
use poco::units::Wei;
use store::StoreError;
use tokio::time::Instant;
use url::Url;
use wire::adapter::AdapterClient;
use wire::config::ConfigClient;
use wire::error::ClientError;
use wire::message::PublicChainConfig;

use crate::config::{AdapterSettings, Settings};
use crate::wallets::GAS_OF_ONE;

/// Pause between two asks of a peer that does not answer.
const PAUSE: Duration = Duration::from_secs(5);
/// How long a peer is asked before the start fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Why the scheduler did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The wallet cannot be opened.
    #[error("{error}\n  set by   IEXEC_CORE_WALLET_PATH and IEXEC_CORE_WALLET_PASSWORD")]
    Wallet {
        /// Why.
        error: WalletError,
    },
    /// The config server does not answer.
    #[error(
        "the config server does not answer: {error}\n  mend     start it, or set IEXEC_CONFIG_SERVER_URL (now {url})"
    )]
    ConfigServer {
        /// Its URL.
        url: Url,
        /// What went wrong last.
        error: ClientError,
    },
    /// The config server tells what cannot be.
    #[error("the config server {url} tells a {what} of {value}, which {must}")]
    ChainConfig {
        /// Its URL.
        url: Url,
        /// Which member.
        what: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        must: &'static str,
    },
    /// The node does not answer.
    #[error(
        "the blockchain node does not answer: {error}\n  mend     start it, or set IEXEC_BLOCKCHAIN_NODE_ADDRESS"
    )]
    Node {
        /// What went wrong last.
        error: NodeError,
    },
    /// Node and config server are on different chains.
    #[error(
        "the blockchain node is on another chain\n  node            chain {node}  (IEXEC_BLOCKCHAIN_NODE_ADDRESS)\n  config server   chain {config}  ({url})\n  mend            point both at one chain"
    )]
    OtherChain {
        /// The node's chain id.
        node: u64,
        /// The config server's.
        config: u64,
        /// The config server.
        url: Url,
    },
    /// Nothing is where the hub should be.
    #[error(
        "there is no contract at the hub's address {hub:#x} on chain {chain_id}\n  told by   the config server {url}\n  mend      correct its hub address, or point IEXEC_BLOCKCHAIN_NODE_ADDRESS at the chain that has it"
    )]
    NoHub {
        /// The address.
        hub: Address,
        /// The chain.
        chain_id: u64,
        /// The config server.
        url: Url,
    },
    /// Nothing is where the workerpool should be.
    #[error(
        "there is no workerpool contract at {pool:#x} on chain {chain_id}\n  mend     set POOL_ADDRESS to the pool's contract on this chain"
    )]
    NoPool {
        /// The address.
        pool: Address,
        /// The chain.
        chain_id: u64,
    },
    /// The pool belongs to somebody else.
    #[error(
        "this wallet does not own the workerpool\n  wallet       {wallet:#x}  (IEXEC_CORE_WALLET_PATH={path})\n  workerpool   {pool:#x}  is owned by {owner:#x}\n  mend         use the owner's wallet, or set POOL_ADDRESS to a pool of this wallet"
    )]
    NotTheOwner {
        /// The wallet.
        wallet: Address,
        /// Its file.
        path: PathBuf,
        /// The workerpool.
        pool: Address,
        /// Who owns it.
        owner: Address,
    },
    /// The wallet cannot pay for a transaction.
    #[error(
        "the wallet {wallet:#x} cannot pay for a transaction: it has {balance} wei, and {needed} may be needed\n  mend     send it gas money, or lower IEXEC_GAS_PRICE_CAP"
    )]
    NoGas {
        /// The wallet.
        wallet: Address,
        /// What it has.
        balance: Wei,
        /// What one transaction may cost.
        needed: Wei,
    },
    /// The platform registry tells what cannot be.
    #[error(
        "the platform registry {url} tells {name} = {value:?}, which is no http:// or https:// URL\n  mend     correct it there, or set SMS_SCONE, SMS_GRAMINE and SMS_TDX here"
    )]
    Registry {
        /// Its URL.
        url: String,
        /// The property.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// The blockchain adapter does not let us in.
    #[error(
        "the blockchain adapter {url} refuses the credentials\n  mend     set IEXEC_CORE_CHAIN_ADAPTER_USERNAME and IEXEC_CORE_CHAIN_ADAPTER_PASSWORD to what it was started with"
    )]
    AdapterCredentials {
        /// Its URL.
        url: String,
    },
    /// The data folder cannot be used.
    #[error("{error}\n  set by    WORKERPOOL_SCHEDULER_DATA_DIR")]
    Store {
        /// Why.
        #[from]
        error: StoreError,
    },
    /// The address to listen at cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A bug, or a broken system.
    #[error("the scheduler cannot start: {0}")]
    Other(String),
    /// The end was asked for before the start was complete.
    #[error("the start was interrupted")]
    Interrupted,
}

impl StartError {
    /// The process's exit code: 64 for settings, 69 for a service that does not answer, 1 for the rest.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::ConfigServer { .. } | Self::Node { .. } => 69,
            Self::Wallet { .. }
            | Self::ChainConfig { .. }
            | Self::OtherChain { .. }
            | Self::NoHub { .. }
            | Self::NoPool { .. }
            | Self::NotTheOwner { .. }
            | Self::Registry { .. }
            | Self::AdapterCredentials { .. }
            | Self::Store { .. }
            | Self::Listen(_) => 64,
            Self::NoGas { .. } | Self::Other(_) | Self::Interrupted => 1,
        }
    }
}

/// What the checks found out.
pub(crate) struct Checked {
    pub(crate) wallet: PrivateKeySigner,
    pub(crate) chain: PublicChainConfig,
    pub(crate) hub: Hub,
}

/// Checks wallet, config server, node, hub and pool, in this order.
pub(crate) async fn check(
    settings: &Settings,
    patience: Duration,
    shutdown: &Shutdown,
) -> Result<Checked, StartError> {
    let opening = Instant::now();
    let wallet = open_wallet(settings).await?;
    tracing::info!(
        wallet = %wallet.address(),
        elapsed_ms = opening.elapsed().as_millis() as u64,
        "the wallet is open"
    );
    let until = Instant::now() + patience;
    let chain = chain_config(settings, until, shutdown).await?;
    let url = &settings.config_server.value;
    let node = Node::new(settings.chain.nodes.clone(), Some(wallet.address()))
        .map_err(|error| StartError::Node { error })?;
    let asked = Asked {
        until: Instant::now() + patience,
        shutdown,
    };

    let chain_id = asked.node(|| node.chain_id()).await?;
    if chain_id != chain.chain_id {
        return Err(StartError::OtherChain {
            node: chain_id,
            config: chain.chain_id,
            url: url.clone(),
        });
    }
    let hub = chain.iexec_hub_contract_address;
    let code: Bytes = asked.node(|| code_at(&node, hub)).await?;
    if code.is_empty() {
        return Err(StartError::NoHub {
            hub,
            chain_id,
            url: url.clone(),
        });
    }
    let hub = Hub::new(node.clone(), hub);
    let pool = settings.chain.pool.value;
    let code: Bytes = asked.node(|| code_at(&node, pool)).await?;
    if code.is_empty() {
        return Err(StartError::NoPool { pool, chain_id });
    }
    let owner = asked.node(|| hub.pool_owner(pool)).await?;
    if owner != wallet.address() {
        let path = settings.wallet_path.clone();
        return Err(StartError::NotTheOwner {
            wallet: wallet.address(),
            path,
            pool,
            owner,
        });
    }
    if !chain.sidechain {
        let balance = asked.node(|| node.balance(wallet.address())).await?;
        let needed = Wei(settings.chain.gas_price_cap.0.saturating_mul(GAS_OF_ONE));
        if balance < needed {
            return Err(StartError::NoGas {
                wallet: wallet.address(),
                balance,
                needed,
            });
        }
    }
    tracing::info!(
        chain = chain_id,
        hub = %hub.address(),
        workerpool = %pool,
        wallet = %wallet.address(),
        "wallet, chain and workerpool fit together"
    );
    Ok(Checked { wallet, chain, hub })
}

async fn open_wallet(settings: &Settings) -> Result<PrivateKeySigner, StartError> {
    let (path, password) = (
        settings.wallet_path.clone(),
        settings.wallet_password.clone(),
    );
    // Deriving the key takes up to seconds of pure computing.
    tokio::task::spawn_blocking(move || chain::open_keystore(&path, password.reveal()))
        .await
        .map_err(|error| StartError::Other(error.to_string()))?
        .map_err(|error| StartError::Wallet { error })
}

async fn chain_config(
    settings: &Settings,
    until: Instant,
    shutdown: &Shutdown,
) -> Result<PublicChainConfig, StartError> {
    let url = settings.config_server.value.clone();
    let failed = |error| StartError::ConfigServer {
        url: url.clone(),
        error,
    };
    let client = ConfigClient::new(url.clone()).map_err(failed)?;
    let config = loop {
        let error = match client.chain().await {
            Ok(config) => break config,
            Err(error) => error,
        };
        if Instant::now() + PAUSE > until || error.kind() == wire::error::Kind::Terminal {
            return Err(failed(error));
        }
        tracing::warn!(%error, "waiting for the config server");
        wait(shutdown).await?;
    };
    let hub = config.iexec_hub_contract_address;
    let limits = Duration::from_millis(100)..=Duration::from_secs(20);
    let wrong = if hub.is_zero() {
        Some((
            "iexecHubContractAddress",
            hub.to_string(),
            "must not be zero",
        ))
    } else if !limits.contains(&config.block_time) {
        let value = format!("{:?}", config.block_time);
        Some(("blockTime", value, "must be between 100 ms and 20 s"))
    } else {
        None
    };
    if let Some((what, value, must)) = wrong {
        return Err(StartError::ChainConfig {
            url,
            what,
            value,
            must,
        });
    }
    Ok(config)
}

/// A client of the blockchain adapter. That it is away now is no reason not to start: it is asked when it is needed.
pub(crate) async fn adapter(settings: &AdapterSettings) -> Result<AdapterClient, StartError> {
    let AdapterSettings {
        url,
        username,
        password,
    } = settings;
    let client = AdapterClient::new(url.clone(), username, password.reveal())
        .map_err(|error| StartError::Other(error.to_string()))?;
    match client.version().await {
        Ok(version) => {
            tracing::info!(
                url = wire::shown(url),
                version,
                "a blockchain adapter sends initialize and finalize"
            );
        }
        Err(ClientError::Unauthorized { .. }) => {
            let url = wire::shown(url);
            return Err(StartError::AdapterCredentials { url });
        }
        Err(error) => {
            tracing::warn!(%error, "the blockchain adapter does not answer; it is asked when it is needed");
        }
    }
    Ok(client)
}

async fn code_at(node: &Node, address: Address) -> Result<Bytes, NodeError> {
    node.request("eth_getCode", serde_json::json!([address, "latest"]))
        .await
}

/// Asks a node until it answers or time is up.
struct Asked<'a> {
    until: Instant,
    shutdown: &'a Shutdown,
}

impl Asked<'_> {
    async fn node<T, F>(&self, ask: impl Fn() -> F) -> Result<T, StartError>
    where
        F: Future<Output = Result<T, NodeError>>,
    {
        loop {
            let error = match ask().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let worth_repeating = matches!(
                error.kind(),
                chain::Kind::Retryable | chain::Kind::UntilDeadline
            );
            if !worth_repeating || Instant::now() + PAUSE > self.until {
                return Err(StartError::Node { error });
            }
            tracing::warn!(%error, "waiting for the blockchain node");
            wait(self.shutdown).await?;
        }
    }
}

async fn wait(shutdown: &Shutdown) -> Result<(), StartError> {
    tokio::select! {
        () = shutdown.triggered() => Err(StartError::Interrupted),
        () = tokio::time::sleep(PAUSE) => Ok(()),
    }
}
