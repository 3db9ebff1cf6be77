//! Puts the proxy together: opens its data, looks who is at the node, listens, serves until the end is asked for.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chain::{Hub, Node, NodeError};
use chassis::actuator::{Actuator, Build};
use chassis::disk::DiskSpace;
use chassis::health::{Condition, Health};
use chassis::metrics::Metrics;
use chassis::serve::DRAIN;
use chassis::{ListenError, Shutdown, Slashes, Surface};
use store::{Batch, Collection, Identity, Store, StoreError};
use tokio::task::JoinHandle;
use url::Url;

use crate::api::{self, Proxy};
use crate::blocks::Blocks;
use crate::clock;
use crate::config::Settings;
use crate::fairness::Pools;
use crate::jwt::{KeyError, Tokens};
use crate::right_chain::{ChainError, RightChain};
use crate::upload::Results;

/// How often authorizations of ended tasks are forgotten.
const PURGE_EVERY: Duration = Duration::from_secs(3600);
/// First and longest wait between two tries to reach a node that was away at start.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// The name under which Java's programs are watched.
const APP: &str = "iexec-result-proxy";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Why a proxy does not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The data folder or its database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folders of the archives.
    #[error(
        "the archives in {folder} (WORKERPOOL_RESULT_PROXY_DATA_DIR) cannot be used: {source}; check the folder's owner and permissions"
    )]
    Blocks {
        /// The data folder.
        folder: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The key that signs tokens.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The node is not one of the configured chain.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The client of the node cannot be made.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The port, or the certificate to show there.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Serving ended by itself.
    #[error("the result proxy stopped serving: {0}")]
    Serving(io::Error),
}

/// A proxy that runs.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Where clients reach it: WORKERPOOL_RESULT_PROXY_PUBLIC_URL, if set.
    pub public_url: Option<Url>,
    ended: JoinHandle<io::Result<()>>,
}

impl Running {
    /// Waits until it has ended, requests under way included. Its data folder is free then.
    ///
    /// # Errors
    /// [`RunError::Serving`] when it ended by itself.
    pub async fn finished(self) -> Result<(), RunError> {
        let ended = self
            .ended
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)));
        ended.map_err(RunError::Serving)
    }
}

/// Starts a proxy and returns once it listens. It ends when `shutdown` is triggered.
///
/// # Errors
/// Whatever keeps it from starting. A node that does not answer does not: it is asked again.
pub async fn run(settings: Settings, shutdown: Shutdown) -> Result<Running, RunError> {
    let certificates = settings.front.certificates().await?;
    let hub = Hub::new(Node::new(settings.nodes.clone(), None)?, settings.hub);
    let chain = RightChain::new(hub, settings.chain_id);
    match chain.hub().await {
        Err(error) if error.is_wrong_setting() => return Err(error.into()),
        Err(error) => tracing::warn!(%error, "starting without a node; it is asked again"),
        Ok(_) => {}
    }
    let store = open_store(&settings)?;
    forget_ended_tasks(&store).await;
    let blocks = Blocks::open(&settings.data).map_err(|source| RunError::Blocks {
        folder: settings.data.clone(),
        source,
    })?;
    let tokens = Tokens::open(store.clone(), &settings.jwt_key, settings.token_age)?;
    let pools = Pools::new(settings.pools.clone());
    let results = Results::new(
        chain.clone(),
        store.clone(),
        blocks.clone(),
        pools.clone(),
        settings.max_upload,
        settings.limits,
    );
    let proxy = Proxy {
        chain: chain.clone(),
        pools,
        store: store.clone(),
        tokens,
        results,
        blocks,
    };

    let metrics = Metrics::new(APP, VERSION);
    let health = Health::new();
    health.register("chain", condition_of(chain.clone()));
    health.register("diskSpace", DiskSpace::under(&settings.data));
    let build = Build {
        artifact: APP,
        name: APP,
        version: VERSION,
        group: "com.iexec",
    };
    let actuator = Actuator {
        health,
        metrics: metrics.clone(),
        build,
        shown: settings.exposed.clone(),
    };
    let routes = metrics.timed(api::router(Arc::new(proxy)).merge(actuator.router()));

    let listener = chassis::listen(settings.listen, "IEXEC_RESULT_PROXY_PORT").await?;
    let addr = listener
        .local_addr()
        .map_err(|source| ListenError::Failed {
            addr: settings.listen,
            source,
        })?;
    let surface = Surface {
        slashes: Slashes::Collapse,
        ..Surface::default()
    };
    let scheme = settings.front.scheme();
    let door = settings.front.door(listener, certificates);
    tracing::info!(%addr, scheme, data = %settings.data.display(), chain = settings.chain_id, version = VERSION, "the result proxy listens");
    let ended = tokio::spawn(async move {
        let part = shutdown.part();
        let background = tokio::spawn(in_background(store, chain, part.clone()));
        let served = chassis::serve_with(door, routes, surface, DRAIN, shutdown).await;
        part.trigger();
        background.await.map_err(io::Error::other)?;
        served
    });
    Ok(Running {
        addr,
        public_url: settings.public_url,
        ended,
    })
}

fn open_store(settings: &Settings) -> Result<Store, StoreError> {
    let identity = Identity {
        role: "result-proxy".to_owned(),
        chain_id: settings.chain_id,
        hub: settings.hub,
        pool: None,
    };
    Store::open(&settings.data, &identity)
}

fn condition_of(chain: RightChain) -> impl Fn() -> Condition {
    move || match chain.is_known() {
        true => Condition::up(),
        false => Condition::down("the node has not said yet that it is on the right chain"),
    }
}

async fn in_background(store: Store, chain: RightChain, shutdown: Shutdown) {
    let work = async { tokio::join!(forget_ended_tasks_now_and_then(&store), reach_node(&chain)) };
    tokio::select! {
        _ = work => {}
        () = shutdown.triggered() => {}
    }
}

/// Asks a node that was away at start until it answers.
async fn reach_node(chain: &RightChain) {
    let (mut wait, longest) = ASK_AGAIN;
    while !chain.is_known() {
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(longest);
        match chain.hub().await {
            Ok(_) => tracing::info!("the node answers"),
            Err(error) => tracing::warn!(%error, "the chain cannot be asked"),
        }
    }
}

async fn forget_ended_tasks_now_and_then(store: &Store) {
    loop {
        tokio::time::sleep(PURGE_EVERY).await;
        forget_ended_tasks(store).await;
    }
}

/// Authorizations are of no use once their task's final deadline has passed; the original keeps them for ever.
async fn forget_ended_tasks(store: &Store) {
    let batch = Batch::new().expire(Collection::Authorizations, clock::now());
    if let Err(error) = store.commit(batch).await {
        tracing::error!(%error, "old authorizations could not be forgotten");
    }
}
