//! A local chain from start to stop: the node, the contracts on it, the accounts, the files for everything else.

use alloy_primitives::Address;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::accounts::{Accounts, Role};
use crate::anvil::{Anvil, Launch, Mining};
use crate::deploy::Contracts;
use crate::market::{self, Market};
use crate::package::Package;
use crate::rpc::Rpc;
use crate::search::Search;
use crate::sender::Sender;
use crate::settings::{AnvilSettings, App, NodeChoice, Settings};
use crate::snapshot::{self, Snapshot};
use crate::{DevnetError, check, files, funding};

/// Where everything is on the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// The contracts.
    pub contracts: Contracts,
    /// The registered application, if one was asked for.
    pub app: Option<Address>,
    /// The registered workerpool.
    pub workerpool: Address,
    /// Number of the short category `TEST`, if it was asked for.
    pub test_category: Option<u64>,
}

/// A local chain in use. Its own node is killed when this is dropped; [`Devnet::stop`] ends it in order.
#[derive(Debug)]
pub struct Devnet {
    node: Option<Anvil>,
    rpc: Rpc,
    accounts: Accounts,
    addresses: Addresses,
    settings: Settings,
}

impl Devnet {
    /// Starts (or reaches) the node and brings the contracts, the roles' money, the application and the pool in place.
    ///
    /// # Errors
    /// A port that is taken, a missing program or contracts package, a node of another chain, contracts that are not as they must be, …
    pub async fn start(settings: Settings) -> Result<Self, DevnetError> {
        Self::start_with(settings, &Search::of_this_process()).await
    }

    /// [`Devnet::start`] with the places to look for program and contracts given by the caller.
    ///
    /// # Errors
    /// As [`Devnet::start`].
    pub async fn start_with(settings: Settings, search: &Search) -> Result<Self, DevnetError> {
        settings.check()?;
        if let Some(dir) = &settings.dir {
            files::withdraw(dir)?;
        }
        let start = std::time::Instant::now();
        let accounts = Accounts::derive(settings.accounts)?;
        let (node, rpc) = match &settings.node {
            NodeChoice::Own(anvil) => {
                let node = start_own(&settings, anvil, search, &accounts).await?;
                let rpc = node.rpc.clone();
                (Some(node), rpc)
            }
            NodeChoice::Running(url) => (None, reach(url, settings.chain_id).await?),
        };
        let contracts = contracts_on(&rpc, &settings, search, &accounts).await?;
        funding::fund(
            &rpc,
            &contracts,
            &accounts,
            settings.chain_id,
            settings.token,
        )
        .await?;
        let Market {
            app,
            workerpool,
            test_category,
        } = market::open(&rpc, &contracts, &accounts, &settings).await?;
        let addresses = Addresses {
            contracts,
            app,
            workerpool,
            test_category,
        };
        let devnet = Self {
            node,
            rpc,
            accounts,
            addresses,
            settings,
        };
        if let Some(dir) = &devnet.settings.dir {
            files::write(&devnet, dir).await?;
        }
        tracing::info!(node = %devnet.rpc_url(), hub = %contracts.hub, elapsed_ms = start.elapsed().as_millis() as u64, "the chain is ready");
        Ok(devnet)
    }

    /// Where the node answers, HTTP and WebSocket.
    #[must_use]
    pub const fn rpc_url(&self) -> &Url {
        self.rpc.url()
    }

    /// Where everything is on the chain.
    #[must_use]
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Who has which key.
    #[must_use]
    pub const fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// What was asked for.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Registers one more application, owned by [`Role::AppProvider`], or finds it.
    ///
    /// # Errors
    /// When the node does not answer or the creation fails.
    pub async fn register_app(&self, app: &App) -> Result<Address, DevnetError> {
        let mut sender = Sender::new(
            &self.rpc,
            &self.accounts.admin().key,
            self.settings.chain_id,
        )
        .await?;
        let owner = self
            .accounts
            .find(Role::AppProvider)
            .unwrap_or(self.accounts.admin())
            .address();
        let address = market::register_app(
            &self.rpc,
            &mut sender,
            &self.addresses.contracts,
            owner,
            app,
        )
        .await?;
        sender.settle().await?;
        Ok(address)
    }

    /// Asks the node by JSON-RPC: `params` is the array of parameters.
    ///
    /// # Errors
    /// When the node does not answer, answers with an error, or with another shape than `T`.
    pub async fn ask<T>(&self, method: &str, params: Value) -> Result<T, DevnetError>
    where
        T: DeserializeOwned + std::fmt::Debug + Send + Sync + Unpin + 'static,
    {
        self.rpc.ask_any(method.to_owned(), params).await
    }

    /// Fails when our node has ended by itself; a running node of somebody else is not watched.
    ///
    /// # Errors
    /// [`DevnetError::AnvilEnded`] with its last words.
    pub fn check_alive(&mut self) -> Result<(), DevnetError> {
        match self
            .node
            .as_mut()
            .and_then(|node| node.ended().map(|status| node.end(&status)))
        {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Stops our node in order and waits until its state, if it keeps one, is written. A node of somebody else is left alone.
    ///
    /// # Errors
    /// When the node had ended already or does not end.
    pub async fn stop(self) -> Result<(), DevnetError> {
        match self.node {
            Some(node) => node.stop().await,
            None => Ok(()),
        }
    }
}

async fn start_own(
    settings: &Settings,
    anvil: &AnvilSettings,
    search: &Search,
    accounts: &Accounts,
) -> Result<Anvil, DevnetError> {
    let program = search.anvil(anvil.program.as_deref())?;
    let launch = Launch {
        program: &program,
        settings: anvil,
        mode: settings.token,
        chain_id: settings.chain_id,
        accounts: settings.accounts,
        mining: Mining::Profile(
            anvil.profile,
            anvil
                .block_time
                .unwrap_or_else(|| anvil.profile.block_time()),
        ),
        load: None,
        dump: anvil.state.as_deref(),
    };
    if let Some(kept) = anvil.state.as_deref().filter(|path| path.is_file()) {
        return Launch {
            load: Some(kept),
            ..launch
        }
        .start()
        .await;
    }
    let prepared = Snapshot::find_or_make(settings, &program, search, accounts).await?;
    let first = Launch {
        load: Some(&prepared.path),
        ..launch
    };
    match first.start().await {
        Err(DevnetError::AnvilEnded { last_words, .. }) => {
            tracing::warn!(file = %prepared.path.display(), %last_words, "the prepared chain cannot be loaded and is made anew");
            std::fs::remove_file(&prepared.path)
                .map_err(DevnetError::file("remove", &prepared.path))?;
            let again = Snapshot::find_or_make(settings, &program, search, accounts).await?;
            Launch {
                load: Some(&again.path),
                ..first
            }
            .start()
            .await
        }
        other => other,
    }
}

async fn reach(url: &Url, chain_id: u64) -> Result<Rpc, DevnetError> {
    let rpc = Rpc::new(url.clone());
    let found = rpc.chain_id().await?;
    if found != chain_id {
        return Err(DevnetError::OtherChain {
            url: url.clone(),
            found,
            expected: chain_id,
        });
    }
    Ok(rpc)
}

async fn contracts_on(
    rpc: &Rpc,
    settings: &Settings,
    search: &Search,
    accounts: &Accounts,
) -> Result<Contracts, DevnetError> {
    let admin = accounts.admin().address();
    let wanted = settings.token;
    let elsewhere = Contracts::of_first_deployment(admin, wanted.other());
    if rpc.has_code(elsewhere.workerpool_registry).await? {
        return Err(DevnetError::OtherMode {
            url: rpc.url().clone(),
            found: wanted.other(),
            wanted,
        });
    }
    let there = Contracts::of_first_deployment(admin, wanted);
    if rpc.has_code(there.hub).await? {
        check::check(rpc, &there, admin, settings.chain_id).await?;
        return Ok(there);
    }
    let package = Package::open(search.contracts(settings.contracts.as_deref())?)?;
    snapshot::fill(rpc, settings, &package, accounts).await
}
