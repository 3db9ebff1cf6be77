//! Putting the worker together and keeping it going: HTTP first, then what a person may have to mend, then one shift after the other. A
//! shift ends when the worker is told to stop, or when the scheduler's configuration changed and nothing is being worked on; then
//! everything but the HTTP port is made anew (spec `worker.md` §1.5). Results and containers are left as they are.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use alloy_signer_local::PrivateKeySigner;
use chain::{Outbox, OutboxSettings};
use chassis::Shutdown;
use chassis::disk::DiskSpace;
use chassis::health::Health;
use chassis::listen::{ListenError, listen};
use store::{Identity, Store, StoreError};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use wire::error::ClientError;
use wire::features::Features;
use wire::message::WorkerModel;
use wire::scheduler::SchedulerClient;

use crate::config::{Machine, Settings};
use crate::docker::Engine;
use crate::docker::cache::ImageCache;
use crate::docker::sandbox::Sandbox;
use crate::http::Surface;
use crate::metrics::Metrics;
use crate::newest::{self, Newest};
use crate::patience::Pauses;
use crate::pipeline::work::Shared;
use crate::preflight::{self, PreflightError, Ready};
use crate::session::Session;
use crate::slots::Slots;
use crate::stake::{Seen, StakeWanted};
use crate::tasks::Tasks;
use crate::upload::EarlyRefusals;
use crate::vitals::Vitals;
use crate::{checkup, demand, prefetch, push, resume};

/// How often the scheduler hears that we are alive (spec `worker.md` §3.3).
const PING: Duration = Duration::from_secs(10);
/// How long actors have to come to a stop.
const FAREWELL: Duration = Duration::from_secs(20);

/// Why the worker ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The HTTP port cannot be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Something must be mended first.
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    /// The worker's data cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The outbox cannot be started.
    #[error(transparent)]
    Outbox(#[from] chain::OutboxError),
    /// A part that runs as long as the worker does is gone.
    #[error(
        "a part of the worker is gone by a bug: {0}; the worker ends, and carries on from its journals when it is started again"
    )]
    Part(String),
    /// The HTTP port failed.
    #[error("the worker's HTTP port failed: {0}")]
    Http(#[from] std::io::Error),
}

/// A worker that runs.
#[derive(Debug)]
pub struct Running {
    /// Where its HTTP port is.
    pub addr: SocketAddr,
    /// Its wallet.
    pub wallet: alloy_primitives::Address,
    end: JoinHandle<Result<(), RunError>>,
}

impl Running {
    /// Waits until the worker has ended.
    ///
    /// # Errors
    /// Why it ended, unless it was told to.
    pub async fn wait(self) -> Result<(), RunError> {
        self.end
            .await
            .unwrap_or_else(|error| Err(RunError::Http(std::io::Error::other(error))))
    }
}

/// Starts a worker. What can be wrong on this machine is an error here; scheduler and chain are waited for once it runs.
///
/// # Errors
/// The port is taken, the wallet does not open, or the container engine does not answer.
pub async fn run(settings: Settings, shutdown: Shutdown) -> Result<Running, RunError> {
    let listener = listen(
        SocketAddr::new(settings.bind, settings.port),
        "IEXEC_WORKER_PORT",
    )
    .await?;
    let addr = listener.local_addr()?;
    let signer = preflight::wallet(&settings).await?;
    let (engine, sandbox) = preflight::machine(&settings).await?;
    let wallet = signer.address();
    let (health, vitals) = (Health::new(), Vitals::new());
    vitals.register(&health);
    health.register("diskSpace", DiskSpace::under(settings.folder()));
    vitals.docker.well();
    let registry = chassis::metrics::Metrics::new("iexec-worker", &settings.version);
    let metrics = Metrics::new(
        &registry,
        &poco::hex::lower(&wallet),
        settings.metrics_window,
    );
    let surface = Surface {
        version: settings.version.clone(),
        shown: settings.actuators.clone(),
        health,
        registry,
        metrics: metrics.clone(),
        chain: vitals.chain.clone(),
    };
    let routes = surface.routes();
    tracing::info!(
        worker = poco::hex::lower(&wallet), name = settings.name, %addr, scheduler = %settings.scheduler,
        docker = engine.host(), slots = settings.slots, profile = ?settings.containers.profile,
        network = sandbox.form(), "the worker starts"
    );
    let parts = Parts {
        settings,
        signer,
        engine,
        sandbox,
        metrics,
        vitals,
    };
    let end = tokio::spawn(async move {
        let serving = chassis::serve::serve(listener, routes, shutdown.clone());
        let working = work(parts, &shutdown);
        let (served, worked) = tokio::join!(serving, working);
        worked.and(served.map_err(RunError::Http))
    });
    Ok(Running { addr, wallet, end })
}

/// What one shift leaves to the next.
#[derive(Clone)]
struct Parts {
    settings: Settings,
    signer: PrivateKeySigner,
    engine: Engine,
    sandbox: Sandbox,
    metrics: Metrics,
    vitals: Vitals,
}

/// One shift after the other. When it fails everything ends.
async fn work(parts: Parts, shutdown: &Shutdown) -> Result<(), RunError> {
    let sandbox = parts.sandbox.clone();
    let mut ended = Ok(());
    while !shutdown.is_triggered() {
        match shift(parts.clone(), shutdown).await {
            Ok(()) => {}
            Err(RunError::Preflight(PreflightError::Stopped)) => break,
            Err(error) => {
                shutdown.trigger();
                ended = Err(error);
            }
        }
    }
    sandbox.leave().await;
    if ended.is_ok() {
        tracing::info!("the worker has stopped; results and running containers are kept");
    }
    ended
}

async fn shift(parts: Parts, shutdown: &Shutdown) -> Result<(), RunError> {
    let Parts {
        settings,
        signer,
        engine,
        sandbox,
        metrics,
        vitals,
    } = parts;
    let part = shutdown.part();
    let client =
        SchedulerClient::new(settings.scheduler.clone()).map_err(PreflightError::Client)?;
    let ready = preflight::world(&settings, &client, signer.address(), &vitals, &part).await?;
    let Ready {
        scheduler,
        chain,
        hub,
        proxy,
    } = ready;
    let identity = Identity {
        role: "worker".to_owned(),
        chain_id: chain.chain_id,
        hub: hub.address(),
        pool: Some(settings.pool),
    };
    let store = open(&settings, identity).await?;
    let block_time = chain.block_time.max(Duration::from_millis(100));
    let outbox_settings = OutboxSettings {
        multiplier: settings.gas_price_multiplier,
        cap: settings.gas_price_cap,
        probe: Some(Arc::new(chassis::crash::point)),
        ..OutboxSettings::new(block_time)
    };
    let (outbox, sender) = Outbox::start(
        hub.node().clone(),
        signer.clone(),
        Arc::new(store.clone()),
        outbox_settings,
    )
    .await?;
    let images = ImageCache::open(&engine, &store, &settings.images).await?;
    let shared = Arc::new(Shared {
        session: Session::new(client, signer.clone()),
        slots: Slots::new(settings.slots),
        newest: Newest::default(),
        sidechain: chain.sidechain,
        stake_wanted: StakeWanted::default(),
        seen: Seen::default(),
        pushed: AtomicBool::new(false),
        caf: AtomicBool::new(false),
        early: EarlyRefusals::default(),
        settings,
        signer,
        hub,
        outbox,
        images,
        engine,
        sandbox,
        store,
        metrics,
        proxy,
        block_time,
    });
    let (broken_sender, mut broken) = mpsc::channel(1);
    let stop = part.token().clone();
    let tasks = Tasks::new(Arc::clone(&shared), stop.clone(), broken_sender);
    let mut always = JoinSet::new();
    always.spawn(sender.run());
    always.spawn(keep(Arc::clone(&shared)));
    always.spawn(newest::follow(Arc::clone(&shared)));
    always.spawn(checkup::engine(Arc::clone(&shared), vitals.clone()));
    always.spawn(checkup::node(Arc::clone(&shared), vitals.clone()));
    let mut loops = JoinSet::new();
    let period = Duration::from_millis(scheduler.ask_for_replicate_period.max(100));
    let ended = tokio::select! {
        done = duty(&tasks, &vitals, period, &mut loops, &part) => done,
        Some(end) = always.join_next() => gone(end, &part),
        Some(error) = broken.recv() => Err(RunError::Store(error)),
        () = part.triggered() => Ok(()),
    };
    part.trigger();
    if tokio::time::timeout(FAREWELL, tasks.ended()).await.is_err() {
        tracing::warn!("some tasks did not come to a stop in time; their journals are on the disk");
    }
    loops.shutdown().await;
    always.shutdown().await;
    ended
}

/// Keeps networks closed and images within bounds, and pulls ahead. Never ends.
async fn keep(shared: Arc<Shared>) {
    tokio::join!(
        shared.sandbox.keep(shared.settings.slots),
        shared.images.keep(),
        prefetch::ahead(&shared),
    );
}

/// What it means that a part ended that never should: the worker ends too, and starts anew from its journals.
fn gone(end: Result<(), JoinError>, part: &Shutdown) -> Result<(), RunError> {
    match end {
        Err(bug) => Err(RunError::Part(bug.to_string())),
        Ok(()) if part.is_triggered() => Ok(()),
        Ok(()) => Err(RunError::Part("it ended by itself".to_owned())),
    }
}

async fn open(settings: &Settings, identity: Identity) -> Result<Store, RunError> {
    let folder = settings.data();
    tokio::fs::create_dir_all(&folder)
        .await
        .map_err(|source| PreflightError::Folder {
            path: folder.clone(),
            source,
        })?;
    // A shift that just ended may still hold the folder for a moment.
    let mut pauses = Pauses::between(Duration::from_millis(100), Duration::from_millis(500));
    for _ in 0..5 {
        match Store::open(&folder, &identity) {
            Err(StoreError::InUse { .. }) => pauses.rest(None).await,
            other => return Ok(other?),
        };
    }
    Ok(Store::open(&folder, &identity)?)
}

/// Registers, resumes, and works until the configuration changed and nothing is left to do.
async fn duty(
    tasks: &Tasks,
    vitals: &Vitals,
    period: Duration,
    loops: &mut JoinSet<()>,
    part: &Shutdown,
) -> Result<(), RunError> {
    let stop = part.token().clone();
    let granted = register(tasks.shared(), vitals).await;
    resume::recover(tasks).await?;
    if granted.events {
        loops.spawn(push::listen(tasks.clone(), stop.clone()));
    } else {
        tracing::warn!(
            "this scheduler does not push notices in a way that this version understands: the chain is watched instead, and requests to upload are missed"
        );
    }
    loops.spawn(resume::tidy(tasks.clone(), stop.clone()));
    loops.spawn(demand::ask(tasks.clone(), period, stop));
    tokio::select! {
        () = ping(tasks, vitals) => Ok(()),
        Some(end) = loops.join_next() => gone(end, part),
    }
}

/// Registers, with growing pauses until it is done (Q2).
async fn register(shared: &Shared, vitals: &Vitals) -> Features {
    let mut pauses = Pauses::new();
    loop {
        match register_once(shared).await {
            Ok(granted) => {
                vitals.scheduler.well();
                tracing::info!(worker = poco::hex::lower(&shared.session.wallet()), granted = %granted, "registered");
                return granted;
            }
            Err(error) => {
                vitals.scheduler.unwell(&error);
                tracing::warn!(%error, "the registration is not taken; it is tried again");
            }
        }
        pauses.rest(None).await;
    }
}

async fn register_once(shared: &Shared) -> Result<Features, ClientError> {
    let model = model(&shared.settings, shared.session.wallet());
    let features = shared.settings.features();
    let granted = shared
        .session
        .call(|client, token| {
            let model = model.clone();
            async move { client.register(&token, &model, features).await }
        })
        .await?;
    let caf = granted.and(features).caf;
    shared.caf.store(caf, std::sync::atomic::Ordering::Relaxed);
    Ok(granted)
}

/// What this worker says about itself (spec `worker.md` §1.4).
fn model(settings: &Settings, wallet: alloy_primitives::Address) -> WorkerModel {
    let gib = i32::try_from(Machine::this().memory >> 30).unwrap_or(i32::MAX);
    WorkerModel {
        name: Some(settings.name.clone()),
        wallet_address: Some(poco::hex::lower(&wallet)),
        os: Some("Linux".to_owned()),
        cpu: Some(java_architecture(std::env::consts::ARCH).to_owned()),
        cpu_nb: i32::try_from(settings.slots).unwrap_or(i32::MAX),
        // Q4: the original says 0.
        memory_size: gib,
        gpu_enabled: settings.gpu,
        // Q5: no more than what is there.
        tee_enabled: false,
        tdx_enabled: false,
    }
}

/// The architecture's name as the original gives it.
fn java_architecture(name: &str) -> &str {
    if name == "x86_64" { "amd64" } else { name }
}

/// Says that we are alive; returns when the scheduler's configuration changed and nothing is being worked on.
async fn ping(tasks: &Tasks, vitals: &Vitals) {
    let shared = tasks.shared();
    let (mut first, mut changed) = (None::<String>, false);
    let mut logins = shared.session.logins();
    let mut beat = tokio::time::interval(PING);
    loop {
        beat.tick().await;
        match shared
            .session
            .call(|client, token| async move { client.ping(&token).await })
            .await
        {
            Ok(hash) => {
                vitals.scheduler.well();
                match &first {
                    None => first = Some(hash),
                    Some(first) if !first.eq_ignore_ascii_case(&hash) && !changed => {
                        tracing::info!(
                            "the scheduler's configuration changed; the worker begins anew once it has nothing to do"
                        );
                        changed = true;
                    }
                    Some(_) => {}
                }
            }
            Err(error) => {
                vitals.scheduler.unwell(&error);
                tracing::warn!(%error, "the scheduler does not hear that we are alive");
            }
        }
        if shared.session.logins() != logins {
            // A scheduler that forgot the token may have forgotten the worker.
            match register_once(shared).await {
                Ok(_) => logins = shared.session.logins(),
                Err(error) => {
                    tracing::warn!(%error, "the registration is not taken; it is tried again")
                }
            }
        }
        if changed && tasks.is_empty() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_architecture_is_named_as_the_original_names_it() {
        assert_eq!(java_architecture("x86_64"), "amd64");
        assert_eq!(java_architecture("aarch64"), "aarch64");
    }

    #[tokio::test]
    async fn a_part_that_panicked_ends_the_worker_and_one_that_was_told_to_end_does_not() {
        let part = Shutdown::new();
        let mut parts = JoinSet::new();
        parts.spawn(async { panic!("a bug") });
        assert!(matches!(
            gone(parts.join_next().await.unwrap(), &part),
            Err(RunError::Part(_))
        ));
        parts.spawn(async {});
        assert!(matches!(
            gone(parts.join_next().await.unwrap(), &part),
            Err(RunError::Part(_))
        ));
        part.trigger();
        parts.spawn(async {});
        assert!(gone(parts.join_next().await.unwrap(), &part).is_ok());
    }
}
