//! Putting the scheduler together, and taking it apart again: which task runs, what it is given, and in which order they end.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chain::{Cursor, CursorSettings, FactFilter, Outbox};
use chassis::actuator::{Actuator, Build};
use chassis::disk::DiskSpace;
use chassis::health::Health;
use chassis::metrics::Metrics;
use chassis::{Door, Shutdown};
use engine::Engine;
use store::{Identity, Store, StoreError};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::task::TaskTracker;
use wire::features::Features;

use crate::api::{self, Api};
use crate::auth::Auth;
use crate::authorize::Authorizer;
use crate::clock::now;
use crate::commands::{self, Commands, Inner};
use crate::config::Settings;
use crate::enclaves::Enclaves;
use crate::figures::Figures;
use crate::head::ChainHealth;
use crate::inbox::{self, Owner};
use crate::notices::Notices;
use crate::preflight::{self, Checked, PATIENCE, StartError};
use crate::push::Push;
use crate::wallets::Wallets;
use crate::watch::{self, Watch};
use crate::{api::exposition, persist};

/// The version of the original whose answers this scheduler gives, told by `GET /version` and in tokens.
pub const VERSION: &str = "9.3.0";
/// How often expired challenges are forgotten.
const SWEEP: Duration = Duration::from_secs(600);

/// A scheduler at work.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Where the actuator is, if not there.
    pub management: Option<SocketAddr>,
    ended: JoinHandle<Result<(), RunError>>,
}

impl Running {
    /// Waits for its end, asked for or not. The data folder is free then.
    ///
    /// # Errors
    /// What ended it before it was asked to end.
    pub async fn ended(self) -> Result<(), RunError> {
        self.ended.await.unwrap_or_else(|error| {
            Err(RunError {
                part: "scheduler",
                reason: error.to_string(),
            })
        })
    }
}

/// A part of the scheduler failed, so all of it ended.
#[derive(Debug, thiserror::Error)]
#[error("the scheduler ended because its {part} failed: {reason}")]
pub struct RunError {
    /// Which part.
    pub part: &'static str,
    /// Why.
    pub reason: String,
}

/// Starts a scheduler and returns when it listens. It ends with `shutdown`.
///
/// # Errors
/// Everything that is not as it must be: see [`StartError`].
pub async fn run(settings: Settings, shutdown: Shutdown) -> Result<Running, StartError> {
    run_with_patience(settings, PATIENCE, shutdown).await
}

/// As [`run`], asking peers that do not answer for `patience` before giving up.
///
/// # Errors
/// As [`run`].
pub async fn run_with_patience(
    settings: Settings,
    patience: Duration,
    shutdown: Shutdown,
) -> Result<Running, StartError> {
    let certificates = settings.front.certificates().await?;
    let checked = preflight::check(&settings, patience, &shutdown).await?;
    let listener = chassis::listen(settings.listen, "IEXEC_CORE_PORT").await?;
    let addr = listener.local_addr().map_err(unlisted)?;
    let apart = match settings.management {
        Some(addr) => Some(chassis::listen(addr, "WORKERPOOL_SCHEDULER_MANAGEMENT_PORT").await?),
        None => None,
    };
    let management = apart.as_ref().map(TcpListener::local_addr).transpose();
    let management = management.map_err(unlisted)?;
    let store = open_store(&settings, &checked).await?;
    let scheme = settings.front.scheme();
    // Its own end: a part that fails ends this scheduler, not the process around it.
    let own = shutdown.part();
    let door = settings.front.door(listener, certificates);
    let parts = assemble(settings, checked, store, addr, &own).await?;
    let mut tasks = JoinSet::new();
    let running = parts.begin(&mut tasks, (door, apart), &own);
    tracing::info!(%addr, scheme, ?management, "the scheduler listens");
    let ended = tokio::spawn(supervise(tasks, running, own));
    Ok(Running {
        addr,
        management,
        ended,
    })
}

/// A listener that does not know where it listens.
fn unlisted(error: std::io::Error) -> StartError {
    StartError::Other(error.to_string())
}

async fn open_store(settings: &Settings, checked: &Checked) -> Result<Store, StartError> {
    let identity = Identity {
        role: "scheduler".to_owned(),
        chain_id: checked.chain.chain_id,
        hub: checked.hub.address(),
        pool: Some(settings.chain.pool.value),
    };
    let folder = settings.data_dir.clone();
    tokio::task::spawn_blocking(move || Store::open(folder, &identity))
        .await
        .map_err(|error| StartError::Other(error.to_string()))?
        .map_err(StartError::from)
}

/// Everything that runs, before it runs.
struct Parts {
    owner: Owner,
    left: engine::Outputs,
    watch: Watch,
    outbox: Outbox,
    outbox_handle: chain::OutboxHandle,
    health: ChainHealth,
    figures: Figures,
    api: Arc<Api>,
    routes: axum::Router,
    /// The actuator's.
    watching: axum::Router,
    settings: Settings,
    running: TaskTracker,
}

async fn assemble(
    settings: Settings,
    checked: Checked,
    store: Store,
    addr: SocketAddr,
    shutdown: &Shutdown,
) -> Result<Parts, StartError> {
    let Checked { wallet, chain, hub } = checked;
    let block_time = chain.block_time;
    let running = TaskTracker::new();
    let records = persist::load(&store).await?;
    let figures = Figures::with(records.deals.iter().map(|deal| deal.details.id));
    let saw_a_deal = records.pool.latest_deal_block.0 > 0;
    let authorizer = Arc::new(Authorizer::new(
        wallet.clone(),
        settings.workers.allowed.clone(),
    ));
    let enclaves = Enclaves::open(
        &settings.remotes,
        Arc::clone(&authorizer),
        settings.result_repository.text.clone(),
    )
    .await?;
    let registry_health = enclaves.registry_health();
    let adapter = match &settings.remotes.adapter {
        Some(adapter) => Some(preflight::adapter(adapter).await?),
        None => None,
    };
    let engine_settings = engine::Settings {
        frameworks: enclaves.served().await,
        ..settings.of_engine(block_time)
    };
    let (engine, left) = Engine::load(engine_settings, records, now());

    let (outbox_handle, outbox) = Outbox::start(
        hub.node().clone(),
        wallet,
        Arc::new(store.clone()),
        settings.of_outbox(block_time),
    )
    .await
    .map_err(|error| StartError::Other(error.to_string()))?;
    let (inbox, outlet) = inbox::open();
    let notices = Notices::new(store.clone());
    let commands = Commands::new(Inner {
        outbox: outbox_handle.clone(),
        hub: hub.clone(),
        authorizer: Arc::clone(&authorizer),
        proxy: settings.result_repository.value.clone(),
        proxy_reach: wire::Reach::of(settings.private_proxies),
        adapter,
        adapter_turns: (
            Semaphore::new(commands::adapter::AT_ONCE),
            Semaphore::new(commands::adapter::AT_ONCE),
        ),
        enclaves,
        inbox: inbox.clone(),
        running: running.clone(),
        shutdown: shutdown.clone(),
        underway: Mutex::new(HashSet::new()),
    });
    let owner = Owner::new(
        engine,
        store.clone(),
        outlet,
        notices.clone(),
        commands,
        figures.clone(),
    );

    let filter = FactFilter {
        hub: hub.address(),
        deals_of: Some(settings.chain.pool.value),
    };
    let mut cursor_settings = CursorSettings::new(settings.chain.start_block, block_time);
    cursor_settings.max_range = settings.chain.max_logs_batch;
    let stored = store.cursor(watch::CURSOR).await?;
    let position = watch::begin(stored, saw_a_deal, settings.chain.start_block);
    let health = ChainHealth::new(
        block_time,
        settings.chain.out_of_service.with(block_time),
        position.as_ref().map(|position| position.number),
    );
    let cursor = Cursor::new(hub.node().clone(), filter, cursor_settings, position);
    let watch = Watch {
        hub: hub.clone(),
        cursor,
        start: settings.chain.start_block,
        store: store.clone(),
        health: health.clone(),
        inbox: inbox.clone(),
        ratios: None,
        wallet: authorizer.address(),
    };

    let auth = Auth::open(
        store.clone(),
        chain.chain_id,
        settings.workers.allowed.clone(),
        VERSION,
    )
    .await?;
    let configuration = settings.told_to_workers(authorizer.address());
    let metrics = Metrics::new("iexec-core", VERSION);
    metrics.register(|registry| exposition::register(registry, figures.clone()));
    let own_health = Health::new();
    own_health.register("blockchainConnection", health.clone());
    if let Some(registry) = registry_health {
        own_health.register("clientConfigServer", registry);
    }
    own_health.register("diskSpace", DiskSpace::under(&settings.data_dir));
    let public_url = settings.public_url.as_ref();
    let public_url = public_url.map(|url| url.as_str().trim_end_matches('/').to_owned());
    let api = Arc::new(Api {
        wallets: Wallets::new(
            hub,
            chain.sidechain,
            settings.chain.gas_price_cap,
            running.clone(),
        ),
        inbox,
        auth,
        store,
        notices,
        push: Arc::new(Push::new(settings.push_sessions)),
        push_websocket: settings.push_websocket,
        authorizer,
        figures: figures.clone(),
        configuration_hash: format!("{:#x}", configuration.hash()),
        configuration,
        chain_id: chain.chain_id,
        pool: settings.chain.pool.value,
        public_url,
        local_url: format!("{}://localhost:{}", settings.front.scheme(), addr.port()),
        logs_kept: settings.logs_kept,
        features: Features {
            caf: settings.caf,
            ..Features::ALL
        },
        running: running.clone(),
        shutdown: shutdown.clone(),
    });
    let actuator = Actuator {
        health: own_health,
        metrics: metrics.clone(),
        build: Build {
            artifact: "iexec-core",
            name: "iexec-core",
            version: VERSION,
            group: "com.iexec.core",
        },
        shown: settings.actuators.clone(),
    };
    let routes = metrics.timed(api::router(Arc::clone(&api)));
    let watching = metrics.timed(actuator.router());
    Ok(Parts {
        owner,
        left,
        watch,
        outbox,
        outbox_handle,
        health,
        figures,
        api,
        routes,
        watching,
        settings,
        running,
    })
}

type Ended = (&'static str, Result<(), String>);

impl Parts {
    /// Begins every part.
    fn begin(
        self,
        tasks: &mut JoinSet<Ended>,
        (door, apart): (Door, Option<TcpListener>),
        shutdown: &Shutdown,
    ) -> TaskTracker {
        let Self {
            owner,
            left,
            watch,
            outbox,
            outbox_handle,
            health,
            figures,
            api,
            routes,
            watching,
            settings,
            running,
        } = self;
        let inbox = api.inbox.clone();
        let end = || shutdown.clone();
        let waker = watch.cursor.waker();
        let node = watch.hub.node().clone();
        part(tasks, "inbox", owner.run(left, end()));
        part(tasks, "chain reader", watch.run(end()));
        part(
            tasks,
            "chain health",
            health.watch(
                node,
                inbox.clone(),
                figures.clone(),
                (waker, outbox_handle),
                end(),
            ),
        );
        part(
            tasks,
            "figures",
            figures.refresh(inbox, settings.metrics_period, end()),
        );
        let stop = end();
        part(tasks, "outbox", async move {
            tokio::select! {
                () = outbox.run() => {}
                () = stop.triggered() => {}
            }
            Ok::<(), String>(())
        });
        let (push, notices, stop) = (Arc::clone(&api.push), api.notices.clone(), end());
        part(tasks, "push channel", async move {
            push.serve(&notices, stop.triggered()).await
        });
        part(
            tasks,
            "housekeeping",
            keep_house(Arc::clone(&api), settings, end()),
        );
        let routes = match apart {
            Some(apart) => {
                let serving = chassis::serve(apart, watching, end());
                part(tasks, "management server", serving);
                routes
            }
            None => routes.merge(watching),
        };
        let serving = chassis::serve(door, routes, end());
        part(tasks, "HTTP server", serving);
        running
    }
}

fn part<E: std::fmt::Display + Send + 'static>(
    tasks: &mut JoinSet<Ended>,
    name: &'static str,
    work: impl Future<Output = Result<(), E>> + Send + 'static,
) {
    tasks.spawn(async move { (name, work.await.map_err(|error| error.to_string())) });
}

/// Waits for every part. The first that ends before it was asked to ends all.
async fn supervise(
    mut tasks: JoinSet<Ended>,
    running: TaskTracker,
    shutdown: Shutdown,
) -> Result<(), RunError> {
    let mut first = None;
    while let Some(ended) = tasks.join_next().await {
        let asked = shutdown.is_triggered();
        let failed = match ended {
            Ok((_, Ok(()))) if asked => None,
            Ok((part, Ok(()))) => Some(RunError {
                part,
                reason: "it ended by itself".to_owned(),
            }),
            // What fails while everything ends fails because of that.
            Ok((_, Err(_))) if asked => None,
            Ok((part, Err(reason))) => Some(RunError { part, reason }),
            Err(panic) => Some(RunError {
                part: "scheduler",
                reason: panic.to_string(),
            }),
        };
        if let Some(error) = failed {
            tracing::error!(%error, "ending");
            first.get_or_insert(error);
        }
        shutdown.trigger();
    }
    running.close();
    running.wait().await;
    first.map_or(Ok(()), Err)
}

/// Forgets what nobody needs any more.
async fn keep_house(api: Arc<Api>, settings: Settings, shutdown: Shutdown) -> Result<(), String> {
    let mut sweep = tokio::time::interval(SWEEP);
    let mut purge = tokio::time::interval(settings.logs_purge_period);
    loop {
        let done = tokio::select! {
            () = shutdown.triggered() => return Ok(()),
            _ = sweep.tick() => api.auth.sweep().await,
            _ = purge.tick() => {
                purge_old(&api.store, &settings).await
            }
        };
        if let Err(error) = done {
            tracing::warn!(%error, "housekeeping is put off");
        }
    }
}

/// Deletes what was kept long enough.
async fn purge_old(store: &Store, settings: &Settings) -> Result<(), StoreError> {
    let now = now();
    persist::purge_events(store, now.saturating_sub(settings.events_kept)).await?;
    let purged = persist::purge_logs(store, now.saturating_sub(settings.logs_kept)).await?;
    if purged > 0 {
        tracing::info!(purged, "logs of tasks that ended long ago are deleted");
    }
    Ok(())
}
