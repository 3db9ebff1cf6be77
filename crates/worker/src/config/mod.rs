//! The worker's settings (spec `worker.md` §12): every name of the original, the older three of the scheduler's address, and our own
//! `WORKERPOOL_WORKER_…`. All are read and checked before anything is connected.

mod containers;
mod ignored;
mod images;
mod machine;

use std::net::IpAddr;
use std::path::PathBuf;

use alloy_primitives::Address;
use chassis::actuator;
use chassis::env::{ConfigErrors, Env, Reader, Role, Secret};
use poco::units::Wei;
use url::Url;
use wire::features::Features;

pub use self::containers::{Containers, Egress, RulesForm};
pub(crate) use self::images::UNSEEN_DISK_BYTES;
pub use self::images::{Images, Watermark};
pub use self::machine::Machine;
use crate::error_result::Wording;
use crate::inputs::DownloadSettings;

/// The original's default password. Its key is public.
const SAMPLE_PASSWORD: &str = "whatever";
const GIB: u64 = 1 << 30;
/// A sixteenth less than what a result proxy takes unless told otherwise, for the archive's own records: what it refused would be revealed
/// already.
const RESULT_BYTES: u64 = 240 << 20;

/// What an operator sets.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The HTTP port; 0 takes any free one.
    pub port: u16,
    /// The address that the HTTP port is opened on.
    pub bind: IpAddr,
    /// The scheduler.
    pub scheduler: Url,
    /// The workerpool contract.
    pub pool: Address,
    /// The worker's name: part of its folder's and its containers' names.
    pub name: String,
    /// The folder of all workers of this machine.
    pub base: PathBuf,
    /// Tasks that compute at the same time.
    pub slots: u32,
    /// A GPU is offered, and therefore one slot.
    pub gpu: bool,
    /// Thousandths of the node's gas price that are offered.
    pub gas_price_multiplier: u64,
    /// The most that is offered for a unit of gas.
    pub gas_price_cap: Wei,
    /// The chain's node, where it is not the one that the config server names.
    pub node: Option<Url>,
    /// The wallet's file.
    pub wallet: PathBuf,
    /// What opens it.
    pub password: Secret,
    /// The container engine, and how applications are held.
    pub containers: Containers,
    /// How images are got and kept.
    pub images: Images,
    /// Bytes of a result that are uploaded at most.
    pub result_bytes: u64,
    /// Whose wording an error result has.
    pub wording: Wording,
    /// The version that this worker says it has, for pools that require one.
    pub version: String,
    /// A deal may name a result proxy in a private network.
    pub private_proxies: bool,
    /// Limits of what is fetched for a task.
    pub downloads: DownloadSettings,
    /// Standard tasks of trust 1 are finished with one transaction where the scheduler agrees (`WORKERPOOL_WORKER_CAF`).
    pub caf: bool,
    /// How many runs the durations of `/metrics` are of.
    pub metrics_window: usize,
    /// Which of `health`, `info` and `prometheus` are served.
    pub actuators: Vec<String>,
}

impl Settings {
    /// Reads the settings.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn from_env(env: &dyn Env) -> Result<Self, ConfigErrors> {
        let mut read = Reader::new(env, Role::Worker);
        read.ignores(ignored::WITHOUT_EFFECT);
        let machine = Machine::this();
        let port = read
            .var("IEXEC_WORKER_PORT")
            .property("server.port")
            .port()
            .or(13_100);
        let bind = read
            .var("WORKERPOOL_WORKER_BIND")
            .parse("an IP address")
            .or(IpAddr::from([0, 0, 0, 0]));
        let scheduler = read
            .var("IEXEC_CORE_URL")
            .property("core.url")
            .was_parts("IEXEC_CORE", "http", "localhost", 13_000)
            .url()
            .or_text("http://localhost:13000");
        let pool = read
            .var("POOL_ADDRESS")
            .property("core.pool-address")
            .address()
            .check("the workerpool's address, not zero", |pool| !pool.is_zero())
            .required();
        let name = read.var("IEXEC_WORKER_NAME").property("worker.name").text();
        let expected = "letters, digits, '_', '.', '-', beginning with a letter or digit, 64 at most: it is part of container names";
        let name = name.check(expected, |name| is_name(name)).or_text("worker");
        let base = read
            .var("IEXEC_WORKER_BASE_DIR")
            .property("worker.worker-base-dir")
            .path()
            .check("an absolute path without ':'", |path| {
                path.is_absolute() && !path.to_string_lossy().contains(':')
            })
            .or_text("/tmp/iexec-worker");
        let cpus: Option<u32> = read
            .var("IEXEC_WORKER_OVERRIDE_AVAILABLE_CPU_COUNT")
            .property("worker.override-available-cpu-count")
            .number()
            .optional();
        let gpu = read
            .var("IEXEC_WORKER_GPU_ENABLED")
            .property("worker.gpu-enabled")
            .boolean()
            .or(false);
        let gas_price_multiplier = read
            .var("IEXEC_GAS_PRICE_MULTIPLIER")
            .property("worker.gas-price-multiplier")
            .float();
        let gas_price_multiplier = gas_price_multiplier
            .check("a number such as 1.3, not below 0", |multiplier| {
                *multiplier >= 0.0
            })
            .or(1.3);
        let gas_price_cap = read
            .var("IEXEC_GAS_PRICE_CAP")
            .property("worker.gas-price-cap")
            .number()
            .or(22_000_000_000u128);
        let node = read
            .var("IEXEC_WORKER_OVERRIDE_BLOCKCHAIN_NODE_ADDRESS")
            .property("worker.override-blockchain-node-address")
            .url()
            .optional();
        let wallet = read
            .var("IEXEC_WORKER_WALLET_PATH")
            .property("wallet.encrypted-file-path")
            .path()
            .required();
        let sample_allowed = read
            .var("WORKERPOOL_WORKER_ALLOW_SAMPLE_PASSWORD")
            .boolean()
            .or(false);
        let password = read
            .var("IEXEC_WORKER_WALLET_PASSWORD")
            .property("wallet.password")
            .secret()
            .check(
                "the wallet's own password, not the sample one; set WORKERPOOL_WORKER_ALLOW_SAMPLE_PASSWORD=true for a test network",
                move |password| sample_allowed || password.reveal() != SAMPLE_PASSWORD,
            )
            .required();
        // 0 is documented as "as many as there are" and refused by the original (Q8).
        let slots = if gpu {
            1
        } else {
            cpus.filter(|&cpus| cpus > 0)
                .unwrap_or(machine.default_slots())
        };
        let containers = Containers::read(&mut read, env, machine, slots);
        let images = Images::read(&mut read);
        let result_bytes = bytes(&mut read, "WORKERPOOL_WORKER_RESULT_BYTES", RESULT_BYTES);
        let wording = read
            .var("WORKERPOOL_WORKER_ERROR_WORDING")
            .parse("8.x, 9.1 or 9.2")
            .or(Wording::V9_2);
        let version = read
            .var("WORKERPOOL_WORKER_ADVERTISED_VERSION")
            .text()
            .or(env!("CARGO_PKG_VERSION").to_owned());
        let private_proxies = read
            .var("WORKERPOOL_WORKER_ALLOW_PRIVATE_PROXIES")
            .boolean()
            .or(false);
        let downloads = DownloadSettings::read(&mut read);
        let metrics_window = read
            .var("IEXEC_WORKER_METRICS_WINDOW_SIZE")
            .property("metrics.window-size")
            .number()
            .check("a whole number, 1 to 100000", |size| {
                (1..=100_000).contains(size)
            })
            .or(1000);
        let actuators = actuator::shown(
            &mut read,
            "MANAGEMENT_ENDPOINTS_WEB_EXPOSURE_INCLUDE",
            &actuator::USUAL,
        );
        let caf = read.var("WORKERPOOL_WORKER_CAF").boolean().or(true);
        read.finish(|| {
            Ok(Self {
                port,
                bind,
                scheduler: scheduler?,
                pool: pool?,
                name: name?,
                base: base?,
                slots,
                gpu,
                gas_price_multiplier: (gas_price_multiplier * 1000.0).round() as u64,
                gas_price_cap: Wei(gas_price_cap),
                node,
                wallet: wallet?,
                password: password?,
                containers,
                images,
                result_bytes,
                wording,
                version,
                private_proxies,
                downloads,
                caf,
                metrics_window,
                actuators,
            })
        })
    }

    /// The faster paths that this worker asks the scheduler for.
    #[must_use]
    pub const fn features(&self) -> Features {
        Features {
            caf: self.caf,
            ..Features::ALL
        }
    }

    /// The folder of this worker's tasks.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.base.join(&self.name)
    }

    /// The folder of this worker's own data.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder().join("data")
    }
}

/// A number of bytes, with `k`, `m` or `g` behind it for powers of 1024; 0 is none.
fn size(text: &str) -> Option<u64> {
    let (digits, shift) = match text.to_ascii_lowercase().chars().last()? {
        'k' => (text.len() - 1, 10),
        'm' => (text.len() - 1, 20),
        'g' => (text.len() - 1, 30),
        _ => (text.len(), 0),
    };
    let count: u64 = text.get(..digits)?.parse().ok()?;
    count.checked_mul(1 << shift).filter(|&bytes| bytes > 0)
}

pub(crate) fn bytes(read: &mut Reader<'_>, name: &'static str, default: u64) -> u64 {
    read.var(name)
        .parsed("a number of bytes such as 536870912, 512m or 2g", size)
        .or(default)
}

/// The characters that container names may have (S14).
fn is_name(name: &str) -> bool {
    let ordinary = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(ordinary)
}

#[cfg(test)]
pub(crate) mod tests {
    use chassis::env::MapEnv;

    use super::*;
    use crate::docker::Profile;

    /// What must be set at least.
    pub(crate) fn minimal() -> MapEnv {
        MapEnv::from([
            ("POOL_ADDRESS", "0x365E7BABAa85eC61Dffe5b520763062e6C29dA27"),
            ("IEXEC_WORKER_WALLET_PATH", "/w.json"),
            ("IEXEC_WORKER_WALLET_PASSWORD", "a real one"),
        ])
    }

    #[test]
    fn what_is_not_set_is_as_in_the_original() {
        let settings = Settings::from_env(&minimal()).unwrap();
        assert_eq!(settings.scheduler.as_str(), "http://localhost:13000/");
        assert_eq!((settings.port, settings.name.as_str()), (13_100, "worker"));
        assert_eq!(settings.folder(), PathBuf::from("/tmp/iexec-worker/worker"));
        assert_eq!(settings.gas_price_cap, Wei(22_000_000_000));
        assert_eq!(settings.containers.profile, Profile::Default);
        assert!(settings.slots >= 1);
    }

    #[test]
    fn the_older_three_names_of_the_schedulers_address_work() {
        let env = minimal()
            .with("IEXEC_CORE_PROTOCOL", "https")
            .with("IEXEC_CORE_HOST", "core.example")
            .with("IEXEC_CORE_PORT", "444");
        assert_eq!(
            Settings::from_env(&env).unwrap().scheduler.as_str(),
            "https://core.example:444/"
        );
    }

    #[test]
    fn the_sample_password_is_refused_unless_allowed() {
        // S12
        let env = minimal().with("IEXEC_WORKER_WALLET_PASSWORD", "whatever");
        let refused = Settings::from_env(&env).unwrap_err().to_string();
        assert!(
            refused.contains("IEXEC_WORKER_WALLET_PASSWORD") && !refused.contains("whatever"),
            "{refused}"
        );
        assert!(
            Settings::from_env(&env.with("WORKERPOOL_WORKER_ALLOW_SAMPLE_PASSWORD", "true"))
                .is_ok()
        );
    }

    #[test]
    fn a_name_that_cannot_be_a_containers_is_refused() {
        // S14
        for name in ["../up", "a b", "-a", "", "a/b", "a:b", &"x".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
        assert!(is_name("my_worker-1.a"));
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let env = MapEnv::from([
            ("POOL_ADDRESS", "0x0"),
            ("IEXEC_WORKER_NAME", "a/b"),
            ("IEXEC_WORKER_BASE_DIR", "relative"),
            ("WORKERPOOL_WORKER_PROFILE", "loose"),
            ("WORKERPOOL_WORKER_TASK_MEMORY", "much"),
            ("WORKERPOOL_WORKER_SUBNETS", "fd00::/8"),
        ]);
        let errors = Settings::from_env(&env).unwrap_err();
        let names: Vec<_> = errors
            .errors
            .iter()
            .map(|error| error.name.as_str())
            .collect();
        assert_eq!(
            names,
            [
                "POOL_ADDRESS",
                "IEXEC_WORKER_NAME",
                "IEXEC_WORKER_BASE_DIR",
                "IEXEC_WORKER_WALLET_PATH",
                "IEXEC_WORKER_WALLET_PASSWORD",
                "WORKERPOOL_WORKER_PROFILE",
                "WORKERPOOL_WORKER_TASK_MEMORY",
                "WORKERPOOL_WORKER_SUBNETS",
            ]
        );
    }

    #[test]
    fn zero_processors_means_as_many_as_there_are_and_a_gpu_means_one_slot() {
        // Q8
        let zero = minimal().with("IEXEC_WORKER_OVERRIDE_AVAILABLE_CPU_COUNT", "0");
        assert_eq!(
            Settings::from_env(&zero).unwrap().slots,
            Settings::from_env(&minimal()).unwrap().slots
        );
        let gpu = minimal()
            .with("IEXEC_WORKER_OVERRIDE_AVAILABLE_CPU_COUNT", "6")
            .with("IEXEC_WORKER_GPU_ENABLED", "true");
        assert_eq!(Settings::from_env(&gpu).unwrap().slots, 1);
    }
}
