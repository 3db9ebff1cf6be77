//! What an operator sets, read from the environment under every name of the original, old ones included (spec scheduler-api §9),
//! and checked whole before anything is bound or opened.

mod ignored;
mod parts;
mod remotes;

pub use remotes::{AdapterSettings, RegistrySettings, RemoteSettings};

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use alloy_primitives::Address;
use chassis::actuator;
use chassis::env::{ConfigErrors, Env, Kept, Reader, Role, Secret};
use chassis::{Front, FrontNames};
use poco::units::{BlockNumber, Wei};
use url::Url;

/// The settings of a scheduler.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen. Port 0 takes a free one (`IEXEC_CORE_PORT`, `WORKERPOOL_SCHEDULER_HOST`).
    pub listen: SocketAddr,
    /// With which certificate, and behind what; not the actuator's own port, which is plain (`SERVER_SSL_CERTIFICATE`,
    /// `SERVER_SSL_CERTIFICATEPRIVATEKEY`, `SERVER_FORWARDHEADERSSTRATEGY`, and `WORKERPOOL_SCHEDULER_TLS_CERTIFICATE`, `…_TLS_KEY`,
    /// `…_FORWARD_HEADERS`).
    pub front: Front,
    /// Where the actuator listens, if not there (`MANAGEMENT_SERVER_PORT`, `MANAGEMENT_SERVER_ADDRESS`, and `WORKERPOOL_SCHEDULER_…` of both).
    pub management: Option<SocketAddr>,
    /// How others reach this scheduler; none means `localhost` and the port (`WORKERPOOL_SCHEDULER_PUBLIC_URL`).
    pub public_url: Option<Url>,
    /// The folder that holds the data (`WORKERPOOL_SCHEDULER_DATA_DIR`).
    pub data_dir: PathBuf,
    /// The wallet that owns the workerpool (`IEXEC_CORE_WALLET_PATH`).
    pub wallet_path: PathBuf,
    /// What opens it (`IEXEC_CORE_WALLET_PASSWORD`).
    pub wallet_password: Secret,
    /// The chain and its contracts.
    pub chain: ChainSettings,
    /// What is asked of workers.
    pub workers: WorkerSettings,
    /// Where chain id and hub are asked, passed on to workers letter by letter (`IEXEC_CONFIG_SERVER_URL`).
    pub config_server: Kept<Url>,
    /// The result proxy of deals that name none, passed on to workers letter by letter (`IEXEC_RESULT_REPOSITORY_URL`).
    pub result_repository: Kept<Url>,
    /// Which actuator endpoints are served (`IEXEC_CORE_MANAGEMENT_ACTUATORS`).
    pub actuators: Vec<String>,
    /// How often worker figures are counted (`cron.metrics.refresh.period`).
    pub metrics_period: Duration,
    /// How often old logs are looked for (`IEXEC_LOGS_PURGE_RATE_IN_DAYS`, `WORKERPOOL_SCHEDULER_LOGS_PURGE_PERIOD`).
    pub logs_purge_period: Duration,
    /// How long after its final deadline a task's logs are kept (`IEXEC_LOGS_AVAILABILITY_PERIOD_IN_DAYS`,
    /// `WORKERPOOL_SCHEDULER_LOGS_KEPT`).
    pub logs_kept: Duration,
    /// How long the record of what happened is kept (`WORKERPOOL_SCHEDULER_EVENTS_KEPT_IN_DAYS`).
    pub events_kept: Duration,
    /// Whether failed tasks are claimed so that stakes come free (`WORKERPOOL_SCHEDULER_CLAIM`).
    pub claim: bool,
    /// Whether a deal may name a result proxy in a private network (`WORKERPOOL_SCHEDULER_ALLOW_PRIVATE_PROXIES`).
    pub private_proxies: bool,
    /// Whether workers that know it may finish standard tasks of trust 1 with one transaction (`WORKERPOOL_SCHEDULER_CAF`).
    pub caf: bool,
    /// Services that the scheduler can do without.
    pub remotes: RemoteSettings,
    /// Sessions that the push channel of the original may have at a time (`WORKERPOOL_SCHEDULER_PUSH_SESSIONS`).
    pub push_sessions: usize,
    /// Whether the push channel offers WebSockets: Java workers then try them first (`WORKERPOOL_SCHEDULER_PUSH_WEBSOCKET`).
    pub push_websocket: bool,
}

/// The chain and how it is read and paid.
#[derive(Debug, Clone)]
pub struct ChainSettings {
    /// JSON-RPC endpoints, the preferred one first (`IEXEC_BLOCKCHAIN_NODE_ADDRESS`).
    pub nodes: Vec<Url>,
    /// The workerpool contract, passed on to workers letter by letter (`POOL_ADDRESS`).
    pub pool: Kept<Address>,
    /// Where reading deals begins on the first start (`IEXEC_START_BLOCK_NUMBER`).
    pub start_block: BlockNumber,
    /// The most blocks in one request for logs (`chain.max-logs-batch-size`).
    pub max_logs_batch: u64,
    /// How old the newest block may be before the pool is out of service (`chain.out-of-service-threshold`).
    pub out_of_service: Threshold,
    /// The gas price offered, in thousandths of the network's (`IEXEC_GAS_PRICE_MULTIPLIER`).
    pub gas_price_multiplier: u64,
    /// The gas price is never above this (`IEXEC_GAS_PRICE_CAP`).
    pub gas_price_cap: Wei,
}

/// An age, fixed or in blocks of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threshold {
    /// So long.
    For(Duration),
    /// So many times the block time: the older form of the setting.
    Blocks(u32),
}

impl Threshold {
    /// The age on a chain with this block time.
    #[must_use]
    pub fn with(self, block_time: Duration) -> Duration {
        match self {
            Self::For(duration) => duration,
            Self::Blocks(blocks) => block_time.saturating_mul(blocks),
        }
    }
}

/// What is asked of workers.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// Least time between two asks of one worker (`IEXEC_ASK_REPLICATE_PERIOD`).
    pub ask_period: Duration,
    /// The version that Java workers must have; empty for any (`IEXEC_CORE_REQUIRED_WORKER_VERSION`).
    pub required_version: String,
    /// Wallets that may work here; empty lets everybody in (`IEXEC_WORKERS_WHITELIST`).
    pub allowed: BTreeSet<Address>,
}

const FRONT: FrontNames = FrontNames {
    certificate: "WORKERPOOL_SCHEDULER_TLS_CERTIFICATE",
    key: "WORKERPOOL_SCHEDULER_TLS_KEY",
    forward_headers: "WORKERPOOL_SCHEDULER_FORWARD_HEADERS",
};
/// The password of the original's sample wallet.
const SAMPLE_PASSWORD: &str = "whatever";
const DAY: Duration = Duration::from_secs(86_400);
/// A hundred years, in days.
const LONGEST: u32 = 36_500;

impl Settings {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// All that is wrong, at once.
    pub fn from_env(env: &dyn Env) -> Result<Self, ConfigErrors> {
        let mut read = Reader::new(env, Role::Scheduler);
        read.ignores(ignored::WITHOUT_EFFECT);
        read.leaves_to_others(ignored::OF_OTHERS);

        let host = read
            .var("WORKERPOOL_SCHEDULER_HOST")
            .parse::<IpAddr>("an IP address of this machine, or 0.0.0.0")
            .or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let port = read
            .var("IEXEC_CORE_PORT")
            .property("server.port")
            .port()
            .or(13_000);
        let front = Front::read(&mut read, FRONT);
        let public_url = read.var("WORKERPOOL_SCHEDULER_PUBLIC_URL").url().optional();
        let data_dir = read
            .var("WORKERPOOL_SCHEDULER_DATA_DIR")
            .path()
            .or_text("./data");
        let wallet_path = read
            .var("IEXEC_CORE_WALLET_PATH")
            .property("wallet.encrypted-file-path")
            .path()
            .or_text("./src/main/resources/wallet/encrypted-wallet_scheduler.json");
        let wallet_password = read
            .var("IEXEC_CORE_WALLET_PASSWORD")
            .property("wallet.password")
            .secret()
            .or_text(SAMPLE_PASSWORD);
        let chain = ChainSettings::read(&mut read);
        let workers = WorkerSettings::read(&mut read);
        let config_server = read
            .var("IEXEC_CONFIG_SERVER_URL")
            .property("config-server.url")
            .was_parts("IEXEC_CONFIG_SERVER", "http", "localhost", 8888)
            .url()
            .kept()
            .or_text("http://localhost:8888");
        let result_repository = read
            .var("IEXEC_RESULT_REPOSITORY_URL")
            .property("result-repository.url")
            .was_parts("IEXEC_RESULT_REPOSITORY", "http", "localhost", 13_200)
            .url()
            .kept()
            .or_text("http://localhost:13200");
        let actuators = actuator::shown(
            &mut read,
            "IEXEC_CORE_MANAGEMENT_ACTUATORS",
            &actuator::USUAL,
        );
        let metrics_period = read
            .var("WORKERPOOL_SCHEDULER_METRICS_PERIOD")
            .property("cron.metrics.refresh.period")
            .duration()
            .or(Duration::from_secs(20));
        let purge_period = days(
            &mut read,
            "IEXEC_LOGS_PURGE_RATE_IN_DAYS",
            "logs.purge-rate-in-days",
            1..=LONGEST,
            1,
        );
        let purge_period = read
            .var("WORKERPOOL_SCHEDULER_LOGS_PURGE_PERIOD")
            .duration()
            .check("a duration greater than 0", |period| !period.is_zero())
            .or(purge_period);
        let logs_kept = days(
            &mut read,
            "IEXEC_LOGS_AVAILABILITY_PERIOD_IN_DAYS",
            "logs.availability-period-in-days",
            0..=LONGEST,
            3,
        );
        let logs_kept = read
            .var("WORKERPOOL_SCHEDULER_LOGS_KEPT")
            .duration()
            .or(logs_kept);
        let events_kept = days(
            &mut read,
            "WORKERPOOL_SCHEDULER_EVENTS_KEPT_IN_DAYS",
            "events.kept-in-days",
            1..=LONGEST,
            30,
        );
        let claim = read.var("WORKERPOOL_SCHEDULER_CLAIM").boolean().or(true);
        let private_proxies = read
            .var("WORKERPOOL_SCHEDULER_ALLOW_PRIVATE_PROXIES")
            .boolean()
            .or(false);
        let caf = read.var("WORKERPOOL_SCHEDULER_CAF").boolean().or(true);
        let management_port = read
            .var("WORKERPOOL_SCHEDULER_MANAGEMENT_PORT")
            .property("management.server.port")
            .port()
            .optional();
        let management_host = read
            .var("WORKERPOOL_SCHEDULER_MANAGEMENT_ADDRESS")
            .property("management.server.address")
            .parse::<IpAddr>("an IP address to listen on")
            .optional();
        let remotes = RemoteSettings::read(&mut read);
        let push_sessions = read
            .var("WORKERPOOL_SCHEDULER_PUSH_SESSIONS")
            .number()
            .check("a number from 1", |most| *most > 0)
            .or(20_000);
        let push_websocket = read
            .var("WORKERPOOL_SCHEDULER_PUSH_WEBSOCKET")
            .boolean()
            .or(false);

        let settings = read.finish(|| {
            Ok(Self {
                listen: SocketAddr::new(host, port),
                front,
                management: management_port
                    .map(|port| SocketAddr::new(management_host.unwrap_or(host), port)),
                public_url,
                data_dir: data_dir?,
                wallet_path: wallet_path?,
                wallet_password: wallet_password?,
                chain: chain?,
                workers: workers?,
                config_server: config_server?,
                result_repository: result_repository?,
                actuators,
                metrics_period,
                logs_purge_period: purge_period,
                logs_kept,
                events_kept,
                claim,
                private_proxies,
                caf,
                remotes: remotes?,
                push_sessions,
                push_websocket,
            })
        })?;
        if settings.has_sample_password() {
            tracing::warn!(
                "the wallet is protected by the sample password that everybody knows: \
                 set IEXEC_CORE_WALLET_PASSWORD or IEXEC_CORE_WALLET_PASSWORD_FILE, and never use such a wallet outside a test"
            );
        }
        Ok(settings)
    }

    /// Whether the wallet's password is the one of the original's sample wallet.
    #[must_use]
    pub fn has_sample_password(&self) -> bool {
        self.wallet_password.reveal() == SAMPLE_PASSWORD
    }
}

impl ChainSettings {
    fn read(read: &mut Reader<'_>) -> Result<Self, chassis::env::Noted> {
        let nodes = read
            .var("IEXEC_BLOCKCHAIN_NODE_ADDRESS")
            .property("chain.node-address")
            .was("IEXEC_PRIVATE_CHAIN_ADDRESS")
            .urls()
            .or_text("http://localhost:8545");
        let pool = read
            .var("POOL_ADDRESS")
            .property("chain.pool-address")
            .address()
            .check("an address other than zero", |pool| !pool.is_zero())
            .kept()
            .or_text("0x365E7BABAa85eC61Dffe5b520763062e6C29dA27");
        let start_block = read
            .var("IEXEC_START_BLOCK_NUMBER")
            .property("chain.start-block-number")
            .number::<u64>()
            .or(0);
        let max_logs_batch = read
            .var("WORKERPOOL_SCHEDULER_MAX_LOGS_BATCH_SIZE")
            .property("chain.max-logs-batch-size")
            .number::<u64>()
            .check("a whole number greater than 0", |size| *size > 0)
            .or(1000);
        let threshold = read
            .var("WORKERPOOL_SCHEDULER_OUT_OF_SERVICE_THRESHOLD")
            .property("chain.out-of-service-threshold")
            .duration()
            .check("a duration greater than 0", |threshold| {
                !threshold.is_zero()
            })
            .optional();
        let blocks = older_threshold(read);
        let gas_price_multiplier = read
            .var("IEXEC_GAS_PRICE_MULTIPLIER")
            .property("chain.gas-price-multiplier")
            .parsed("a number greater than 0, at most 1000000", thousandths)
            .or(1000);
        let gas_price_cap = read
            .var("IEXEC_GAS_PRICE_CAP")
            .property("chain.gas-price-cap")
            .number::<u128>()
            .or(22_000_000_000);
        Ok(Self {
            nodes: nodes?,
            pool: pool?,
            start_block: BlockNumber(start_block),
            max_logs_batch,
            out_of_service: match (threshold, blocks) {
                (Some(threshold), _) => Threshold::For(threshold),
                (None, Some(blocks)) => Threshold::Blocks(blocks),
                (None, None) => Threshold::For(Duration::from_secs(15)),
            },
            gas_price_multiplier,
            gas_price_cap: Wei(gas_price_cap),
        })
    }
}

/// The older pair: blocks between two looks, and looks that must fail. None when neither is set.
fn older_threshold(read: &mut Reader<'_>) -> Option<u32> {
    const PLACE: &str = "WORKERPOOL_SCHEDULER_OUT_OF_SERVICE_THRESHOLD";
    let interval = read
        .var("IEXEC_CHAIN_HEALTH_POLLING_INTERVAL_IN_BLOCKS")
        .number::<u32>()
        .check("a whole number greater than 0", |blocks| *blocks > 0)
        .optional();
    let failures = read
        .var("IEXEC_CHAIN_HEALTH_OUT_OF_SERVICE_THRESHOLD")
        .number::<u32>()
        .check("a whole number greater than 0", |failures| *failures > 0)
        .optional();
    if interval.is_none() && failures.is_none() {
        return None;
    }
    tracing::warn!(
        "IEXEC_CHAIN_HEALTH_POLLING_INTERVAL_IN_BLOCKS and IEXEC_CHAIN_HEALTH_OUT_OF_SERVICE_THRESHOLD are older names: use {PLACE}"
    );
    Some(interval.unwrap_or(3).saturating_mul(failures.unwrap_or(4)))
}

impl WorkerSettings {
    fn read(read: &mut Reader<'_>) -> Result<Self, chassis::env::Noted> {
        let ask_period = read
            .var("IEXEC_ASK_REPLICATE_PERIOD")
            .property("workers.ask-for-replicate-period")
            .duration()
            .check("a duration greater than 0, in milliseconds", |period| {
                !period.is_zero()
            })
            .or(Duration::from_millis(5000));
        let required_version = read
            .var("IEXEC_CORE_REQUIRED_WORKER_VERSION")
            .property("workers.required-worker-version")
            .text()
            .or(String::new());
        let allowed = read
            .var("IEXEC_WORKERS_WHITELIST")
            .property("workers.whitelist")
            .parsed(
                "addresses separated by commas, each 0x and 40 hex digits",
                addresses,
            )
            .or(BTreeSet::new());
        Ok(Self {
            ask_period,
            required_version,
            allowed,
        })
    }
}

fn thousandths(text: &str) -> Option<u64> {
    let multiplier = text
        .parse::<f64>()
        .ok()
        .filter(|number| *number > 0.0 && *number <= 1e6)?;
    // Within the limits above nothing is cut.
    Some(((multiplier * 1000.0).round() as u64).max(1))
}

fn addresses(text: &str) -> Option<BTreeSet<Address>> {
    text.split(',')
        .map(str::trim)
        .filter(|one| !one.is_empty())
        .map(|one| poco::hex::address(one).ok())
        .collect()
}

/// A number of days.
fn days(
    read: &mut Reader<'_>,
    name: &'static str,
    property: &'static str,
    allowed: RangeInclusive<u32>,
    default: u32,
) -> Duration {
    let expected = format!(
        "a whole number of days, {} to {}",
        allowed.start(),
        allowed.end()
    );
    let days = read
        .var(name)
        .property(property)
        .number::<u32>()
        .check(expected, move |days| allowed.contains(days))
        .or(default);
    DAY * days
}

#[cfg(test)]
mod tests;
