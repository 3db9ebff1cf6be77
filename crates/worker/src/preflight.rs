//! What must be true before the worker asks for work: the wallet opens, the container engine answers, the scheduler serves the pool that
//! was set (Q6), the node is on the chain that the config server names (Q7), the version fits. What a person must mend is an error; what
//! may pass is waited for, aloud.

use std::path::PathBuf;

use alloy_primitives::Address;
use alloy_signer_local::PrivateKeySigner;
use chain::{Hub, Node, NodeError, WalletError};
use chassis::Shutdown;
use poco::units::BlockNumber;
use url::Url;
use wire::config::ConfigClient;
use wire::error::{ClientError, Kind};
use wire::message::{PublicChainConfig, PublicConfiguration};
use wire::scheduler::SchedulerClient;

use crate::config::Settings;
use crate::docker::sandbox::helper::Program;
use crate::docker::sandbox::{Sandbox, SandboxError};
use crate::docker::{DockerError, Engine, Limits, Profile};
use crate::patience::Pauses;
use crate::vitals::{Vital, Vitals};

/// Why the worker does not begin.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// The wallet does not open.
    #[error(
        "{0}\n  wallet       IEXEC_WORKER_WALLET_PATH\n  password     IEXEC_WORKER_WALLET_PASSWORD"
    )]
    Wallet(#[from] WalletError),
    /// The container engine does not answer.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// Applications would reach what they must not.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The worker's folder cannot be made.
    #[error(
        "the worker's folder {path} cannot be made: {source}; set IEXEC_WORKER_BASE_DIR to a folder that this user may write"
    )]
    Folder {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The engine would refuse every container.
    #[error(
        "the container engine does not start a task with {given}: it {bounds}; correct {setting}"
    )]
    Limits {
        /// The setting.
        setting: &'static str,
        /// What it comes to.
        given: String,
        /// What the engine takes.
        bounds: String,
    },
    /// The scheduler serves another pool.
    #[error(
        "the scheduler serves another workerpool\n  scheduler    {scheduler} serves {theirs}\n  this worker  is set to {ours:#x}  (POOL_ADDRESS)\n  mend         set POOL_ADDRESS to the scheduler's pool, or IEXEC_CORE_URL to the scheduler of yours"
    )]
    OtherPool {
        /// The scheduler.
        scheduler: String,
        /// Its pool, as it says.
        theirs: String,
        /// Ours.
        ours: Address,
    },
    /// The node is on another chain.
    #[error(
        "the node is on another chain\n  node         chain {node}\n  pool         chain {wanted}, as the config server {config} says\n  mend         set IEXEC_WORKER_OVERRIDE_BLOCKCHAIN_NODE_ADDRESS to a node of chain {wanted}, or unset it"
    )]
    OtherChain {
        /// The node's chain.
        node: u64,
        /// The pool's chain.
        wanted: u64,
        /// Who says so.
        config: String,
    },
    /// There is no hub or pool where there should be.
    #[error(
        "there is no workerpool contract at {pool:#x} on chain {chain}; check POOL_ADDRESS and the node"
    )]
    NoPool {
        /// The pool.
        pool: Address,
        /// The chain.
        chain: u64,
    },
    /// The scheduler wants another version.
    #[error(
        "the scheduler wants workers of version {wanted}, this one says {ours}; set WORKERPOOL_WORKER_ADVERTISED_VERSION={wanted} if you know that it fits"
    )]
    OtherVersion {
        /// The scheduler's version.
        wanted: String,
        /// Ours.
        ours: String,
    },
    /// A URL that somebody gave us is none.
    #[error("{who} gives {what} {url:?}, which is not a URL")]
    BadUrl {
        /// Who gave it.
        who: &'static str,
        /// What it is for.
        what: &'static str,
        /// The text.
        url: String,
    },
    /// A service refuses for good.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The node's client cannot be made, or the chain says something impossible.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The worker was told to stop.
    #[error("the worker was told to stop before it began")]
    Stopped,
}

/// What the preflight found.
#[derive(Debug, Clone)]
pub struct Ready {
    /// What the scheduler says about itself.
    pub scheduler: PublicConfiguration,
    /// What the config server says about the chain.
    pub chain: PublicChainConfig,
    /// The hub.
    pub hub: Hub,
    /// The pool's own result proxy.
    pub proxy: Option<Url>,
}

/// Opens the wallet.
///
/// # Errors
/// It does not open.
pub async fn wallet(settings: &Settings) -> Result<PrivateKeySigner, PreflightError> {
    let (path, password) = (settings.wallet.clone(), settings.password.clone());
    let opened =
        tokio::task::spawn_blocking(move || chain::open_keystore(&path, password.reveal())).await;
    opened
        .map_err(|_| PreflightError::Stopped)?
        .map_err(PreflightError::Wallet)
}

/// The word that makes the worker's own program what runs beside applications: see [`crate::docker::sandbox::helper::main`].
pub const SANDBOX_WORD: &str = "sandbox";

/// Connects to the container engine, makes the worker's folder, and closes the applications' networks.
///
/// # Errors
/// The engine does not answer, the folder cannot be made, or the networks cannot be closed.
pub async fn machine(settings: &Settings) -> Result<(Engine, Sandbox), PreflightError> {
    let engine = Engine::connect(settings.containers.docker_host.as_deref()).await?;
    if settings.containers.profile == Profile::Default {
        taken(&settings.containers.limits, engine.processors().await?)?;
    }
    let path = settings.folder();
    tokio::fs::create_dir_all(&path)
        .await
        .map_err(|source| PreflightError::Folder { path, source })?;
    let program = Program::this(&[SANDBOX_WORD]);
    let sandbox = Sandbox::prepare(&engine, &settings.name, &settings.containers, &program).await?;
    Ok((engine, sandbox))
}

/// The least memory that the engine gives a container, in bytes.
const LEAST_MEMORY: u64 = 6 << 20;

/// Whether the engine takes these limits: otherwise every task would fail, one by one.
fn taken(limits: &Limits, processors: u64) -> Result<(), PreflightError> {
    if limits.milli_cpus > processors.saturating_mul(1000) {
        return Err(PreflightError::Limits {
            setting: "WORKERPOOL_WORKER_TASK_CPUS",
            given: format!("{} thousandths of a processor", limits.milli_cpus),
            bounds: format!("has {processors} processors"),
        });
    }
    if limits.memory < LEAST_MEMORY {
        return Err(PreflightError::Limits {
            setting: "WORKERPOOL_WORKER_TASK_MEMORY",
            given: format!("{} bytes of memory", limits.memory),
            bounds: format!("gives {LEAST_MEMORY} at least"),
        });
    }
    Ok(())
}

/// Asks scheduler, config server and chain whether everything fits; waits for those that do not answer.
///
/// # Errors
/// What a person must mend, or the worker was told to stop.
pub async fn world(
    settings: &Settings,
    client: &SchedulerClient,
    wallet: Address,
    vitals: &Vitals,
    stop: &Shutdown,
) -> Result<Ready, PreflightError> {
    let scheduler = patiently(stop, "the scheduler", &vitals.scheduler, || async {
        client.workers_config().await.map_err(Retry::of)
    })
    .await;
    let scheduler = scheduler.inspect_err(|error| vitals.scheduler.unwell(error))?;
    vitals.scheduler.well();
    fits(settings, client.base(), &scheduler)?;
    let config_url = url(
        "the scheduler",
        "the config server's address",
        &scheduler.config_server_url,
    )?;
    let config = ConfigClient::new(config_url.clone())?;
    let chain = patiently(stop, "the config server", &vitals.scheduler, || async {
        config.chain().await.map_err(Retry::of)
    })
    .await?;
    let node_url = match &settings.node {
        Some(url) => url.clone(),
        None => url(
            "the config server",
            "the node's address",
            &chain.chain_node_url,
        )?,
    };
    let node = Node::new(vec![node_url], Some(wallet))?;
    let hub = Hub::new(node.clone(), chain.iexec_hub_contract_address);
    let id = patiently(stop, "the chain's node", &vitals.chain, || async {
        node.chain_id().await.map_err(Retry::of_node)
    })
    .await;
    let id = id.inspect_err(|error| vitals.chain.unwell(error))?;
    if id != chain.chain_id {
        return Err(PreflightError::OtherChain {
            node: id,
            wanted: chain.chain_id,
            config: config_url.to_string(),
        });
    }
    let owner = patiently(stop, "the chain's node", &vitals.chain, || async {
        match hub.pool_owner(settings.pool).await {
            Err(NodeError::NoData { .. } | NodeError::Reverted(_)) => Ok(None),
            other => other.map(Some).map_err(Retry::of_node),
        }
    });
    if owner.await?.is_none_or(|owner| owner.is_zero()) {
        return Err(PreflightError::NoPool {
            pool: settings.pool,
            chain: id,
        });
    }
    vitals.chain.well();
    let proxy = match scheduler.result_repository_url.trim() {
        "" => None,
        text => Some(url("the scheduler", "the result proxy's address", text)?),
    };
    Ok(Ready {
        scheduler,
        chain,
        hub,
        proxy,
    })
}

/// Whether the scheduler is the one that was meant.
fn fits(
    settings: &Settings,
    scheduler: &Url,
    config: &PublicConfiguration,
) -> Result<(), PreflightError> {
    // A scheduler may leave its pool out; then there is nothing to compare.
    let theirs = config.worker_pool_address.trim();
    if !theirs.is_empty() && poco::hex::address(theirs).ok() != Some(settings.pool) {
        return Err(PreflightError::OtherPool {
            scheduler: scheduler.to_string(),
            theirs: theirs.to_owned(),
            ours: settings.pool,
        });
    }
    let wanted = config.required_worker_version.trim();
    if !wanted.is_empty() && wanted != settings.version {
        return Err(PreflightError::OtherVersion {
            wanted: wanted.to_owned(),
            ours: settings.version.clone(),
        });
    }
    Ok(())
}

fn url(who: &'static str, what: &'static str, text: &str) -> Result<Url, PreflightError> {
    text.trim().parse().map_err(|_| PreflightError::BadUrl {
        who,
        what,
        url: text.to_owned(),
    })
}

/// A question that failed, and whether asking again may help.
struct Retry {
    error: PreflightError,
    again: bool,
}

impl Retry {
    fn of(error: ClientError) -> Self {
        let again = matches!(error.kind(), Kind::Retryable | Kind::UntilDeadline);
        Self {
            error: error.into(),
            again,
        }
    }

    fn of_node(error: NodeError) -> Self {
        let again = matches!(
            error.kind(),
            chain::Kind::Retryable | chain::Kind::UntilDeadline
        );
        Self {
            error: error.into(),
            again,
        }
    }
}

async fn patiently<T, F>(
    stop: &Shutdown,
    who: &str,
    vital: &Vital,
    ask: impl Fn() -> F,
) -> Result<T, PreflightError>
where
    F: Future<Output = Result<T, Retry>>,
{
    let mut pauses = Pauses::new();
    loop {
        let failed = tokio::select! {
            answer = ask() => match answer {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            },
            () = stop.triggered() => return Err(PreflightError::Stopped),
        };
        if !failed.again {
            return Err(failed.error);
        }
        vital.unwell(&failed.error);
        tracing::warn!(error = %failed.error, "{who} does not answer; the worker waits for it");
        tokio::select! {
            _ = pauses.rest(None) => {}
            () = stop.triggered() => return Err(PreflightError::Stopped),
        }
    }
}

/// The newest block, for questions that carry it; 0 when the chain does not answer.
pub(crate) async fn head(hub: &Hub) -> BlockNumber {
    hub.node()
        .head()
        .await
        .map_or(BlockNumber(0), |head| head.number)
}

#[cfg(test)]
mod tests {
    use chassis::env::MapEnv;

    use super::*;

    fn settings() -> Settings {
        Settings::from_env(&MapEnv::from([
            ("POOL_ADDRESS", "0x365E7BABAa85eC61Dffe5b520763062e6C29dA27"),
            ("IEXEC_WORKER_WALLET_PATH", "/w.json"),
            ("IEXEC_WORKER_WALLET_PASSWORD", "a real one"),
            ("WORKERPOOL_WORKER_ADVERTISED_VERSION", "9.2.0"),
        ]))
        .unwrap()
    }

    fn check(pool: &str, version: &str) -> Result<(), PreflightError> {
        let config = PublicConfiguration {
            worker_pool_address: pool.to_owned(),
            required_worker_version: version.to_owned(),
            ..PublicConfiguration::default()
        };
        fits(&settings(), &"http://core:13000".parse().unwrap(), &config)
    }

    #[test]
    fn a_scheduler_of_another_pool_is_refused_with_both_addresses() {
        // Q6
        assert!(check("0x365e7babaa85ec61dffe5b520763062e6c29da27", "").is_ok());
        assert!(check("", "").is_ok());
        let other = "0x1111111111111111111111111111111111111111";
        let text = check(other, "").unwrap_err().to_string();
        assert!(
            text.contains(other)
                && text.contains("0x365e7babaa85ec61dffe5b520763062e6c29da27")
                && text.contains("POOL_ADDRESS"),
            "{text}"
        );
    }

    #[test]
    fn a_required_version_must_be_the_one_that_is_advertised() {
        assert!(check("", "9.2.0").is_ok());
        assert!(
            check("", "9.1.0")
                .unwrap_err()
                .to_string()
                .contains("WORKERPOOL_WORKER_ADVERTISED_VERSION=9.1.0")
        );
    }

    #[test]
    fn limits_that_the_engine_refuses_are_told_before_the_first_task() {
        let limits = settings().containers.limits;
        let (fits, few) = (
            limits.milli_cpus.div_ceil(1000),
            limits.milli_cpus / 1000 - 1,
        );
        assert!(taken(&limits, fits).is_ok());
        let told = |limits: &Limits, processors| taken(limits, processors).unwrap_err().to_string();
        assert!(told(&limits, few).contains("WORKERPOOL_WORKER_TASK_CPUS"));
        let small = Limits {
            memory: 4096,
            ..limits
        };
        assert!(told(&small, fits).contains("WORKERPOOL_WORKER_TASK_MEMORY"));
    }

    #[tokio::test]
    async fn a_wallet_that_does_not_open_is_told_with_the_settings_that_name_it() {
        let folder = tempfile::tempdir().unwrap();
        let wallet_path = folder.path().join("w.json");
        std::fs::write(&wallet_path, "{}").unwrap();
        let text = wallet(&Settings {
            wallet: wallet_path,
            ..settings()
        })
        .await
        .unwrap_err()
        .to_string();
        assert!(
            text.contains("IEXEC_WORKER_WALLET_PATH") && text.contains("w.json"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn an_engine_that_does_not_answer_is_told_with_its_socket_and_the_mend() {
        let folder = tempfile::tempdir().unwrap();
        let host = format!("unix://{}/none.sock", folder.path().display());
        let mut settings = settings();
        settings.containers.docker_host = Some(host.clone());
        let text = machine(&settings).await.unwrap_err().to_string();
        assert!(
            text.contains(&host) && text.contains("DOCKER_HOST"),
            "{text}"
        );
    }
}
