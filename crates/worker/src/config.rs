//! The worker's settings (spec `worker.md` §12): every name of the original, the older three of the scheduler's address, and our own
//! `WORKERPOOL_WORKER_…`. All are read and checked before anything is connected.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use alloy_primitives::Address;
use chassis::env::{ConfigErrors, Env, Reader, Role, Secret};
use poco::units::Wei;
use url::Url;

use crate::docker::network::Subnet;
use crate::docker::{Limits, Profile};
use crate::error_result::Wording;

/// The original's default password. Its key is public.
const SAMPLE_PASSWORD: &str = "whatever";
const GIB: u64 = 1 << 30;
/// A sixteenth less than what a result proxy takes unless told otherwise, for the archive's own records: what it refused would be revealed
/// already.
const RESULT_BYTES: u64 = 240 << 20;

/// Names of the original that this version takes no notice of: enclaves, signing in to registries, and what only its framework needs.
const WITHOUT_EFFECT: [&str; 20] = [
    "IEXEC_DEVELOPER_LOGGER_ENABLED",
    "IEXEC_WORKER_TEE_COMPUTE_MAX_HEAP_SIZE_GB",
    "IEXEC_WORKER_DOCKER_NETWORK_NAME",
    "WORKER_DOCKEREXTRAHOSTS",
    "IEXEC_WORKER_DOCKER_REGISTRY_USERNAME_0",
    "IEXEC_WORKER_DOCKER_REGISTRY_PASSWORD_0",
    "IEXEC_WORKER_DOCKER_REGISTRY_ADDRESS_1",
    "IEXEC_WORKER_DOCKER_REGISTRY_USERNAME_1",
    "IEXEC_WORKER_DOCKER_REGISTRY_PASSWORD_1",
    "IEXEC_SCONE_SHOW_VERSION",
    "IEXEC_SCONE_LOG_LEVEL",
    "IEXEC_WORKER_SCONTAIN_REGISTRY_NAME",
    "IEXEC_WORKER_SCONTAIN_REGISTRY_USERNAME",
    "IEXEC_WORKER_SCONTAIN_REGISTRY_PASSWORD",
    "IEXEC_LAS_PORT",
    "IEXEC_WORKER_SGX_DRIVER_MODE",
    "TEE_TDX_SECRETPROVIDERAGENT",
    "IEXEC_WORKER_METRICS_WINDOW_SIZE",
    "MANAGEMENT_ENDPOINTS_WEB_EXPOSURE_INCLUDE",
    "IEXEC_LOG_LEVEL",
];

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
    /// The shortest pull timeout.
    pub pull_shortest: Duration,
    /// The longest.
    pub pull_longest: Duration,
    /// The container engine's address, where it is not the usual one.
    pub docker_host: Option<String>,
    /// How tightly applications are held.
    pub profile: Profile,
    /// What one application may use.
    pub limits: Limits,
    /// Bytes of a result that are uploaded at most.
    pub result_bytes: u64,
    /// Where the slots' networks take their addresses from.
    pub subnets: Subnet,
    /// Whose wording an error result has.
    pub wording: Wording,
    /// The version that this worker says it has, for pools that require one.
    pub version: String,
    /// A deal may name a result proxy in a private network.
    pub private_proxies: bool,
}

impl Settings {
    /// Reads the settings.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn from_env(env: &dyn Env) -> Result<Self, ConfigErrors> {
        let mut read = Reader::new(env, Role::Worker);
        for name in WITHOUT_EFFECT {
            if env.get(name).is_some_and(|value| !value.trim().is_empty()) {
                tracing::warn!(
                    name,
                    "this setting has no effect in this version of the worker"
                );
            }
        }
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
        let pull_shortest = read
            .var("IEXEC_WORKER_DOCKER_IMAGE_MIN_PULL_TIMEOUT")
            .property("docker.image.pull-timeout.min")
            .duration()
            .or(Duration::from_secs(300));
        let pull_longest = read
            .var("IEXEC_WORKER_DOCKER_IMAGE_MAX_PULL_TIMEOUT")
            .property("docker.image.pull-timeout.max")
            .duration()
            .check("a duration of a minute or more, such as PT30M", |longest| {
                longest.as_secs() >= 60
            })
            .or(Duration::from_secs(1800));
        let docker_host = env
            .get("DOCKER_HOST")
            .filter(|host| !host.trim().is_empty());
        let profile = read
            .var("WORKERPOOL_WORKER_PROFILE")
            .parsed("default or compat", |text| match text {
                "default" => Some(Profile::Default),
                "compat" => Some(Profile::Compat),
                _ => None,
            })
            .or(Profile::Default);
        // 0 is documented as "as many as there are" and refused by the original (Q8).
        let slots = if gpu {
            1
        } else {
            cpus.filter(|&cpus| cpus > 0)
                .unwrap_or(machine.default_slots())
        };
        let limits = Limits {
            memory: bytes(
                &mut read,
                "WORKERPOOL_WORKER_TASK_MEMORY",
                machine.memory_each(slots),
            ),
            pids: read
                .var("WORKERPOOL_WORKER_TASK_PIDS")
                .number()
                .check("at least 1", |&pids: &u32| pids > 0)
                .or(1024),
            milli_cpus: read
                .var("WORKERPOOL_WORKER_TASK_CPUS")
                .float()
                .check("a number of processors, at least 0.01", |&cpus| {
                    cpus >= 0.01
                })
                .optional()
                .map_or(machine.milli_cpus_each(slots), |cpus| {
                    (cpus * 1000.0) as u64
                }),
            disk: bytes(&mut read, "WORKERPOOL_WORKER_TASK_DISK", 10 * GIB),
            logs: bytes(&mut read, "WORKERPOOL_WORKER_TASK_LOGS", GIB / 4),
        };
        let result_bytes = bytes(&mut read, "WORKERPOOL_WORKER_RESULT_BYTES", RESULT_BYTES);
        let subnets = read
            .var("WORKERPOOL_WORKER_SUBNETS")
            .parse::<Subnet>("an IPv4 range such as 10.213.0.0/16")
            .check(
                "an IPv4 range with room for every slot's network of 16 addresses",
                move |range| range.slots() >= slots,
            )
            .or(Subnet::DEFAULT);
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
                pull_shortest,
                pull_longest,
                docker_host,
                profile,
                limits,
                result_bytes,
                subnets,
                wording,
                version,
                private_proxies,
            })
        })
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

/// A number of bytes, with `k`, `m` or `g` behind it for powers of 1024.
fn bytes(read: &mut Reader<'_>, name: &'static str, default: u64) -> u64 {
    let parse = |text: &str| {
        let (digits, shift) = match text.to_ascii_lowercase().chars().last()? {
            'k' => (text.len() - 1, 10),
            'm' => (text.len() - 1, 20),
            'g' => (text.len() - 1, 30),
            _ => (text.len(), 0),
        };
        let count: u64 = text.get(..digits)?.parse().ok()?;
        count.checked_mul(1 << shift).filter(|&bytes| bytes > 0)
    };
    read.var(name)
        .parsed("a number of bytes such as 536870912, 512m or 2g", parse)
        .or(default)
}

/// The characters that container names may have (S14).
fn is_name(name: &str) -> bool {
    let ordinary = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(ordinary)
}

/// What this machine has.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    /// Processors.
    pub cpus: u32,
    /// Bytes of memory.
    pub memory: u64,
}

impl Machine {
    /// The machine that this runs on.
    #[must_use]
    pub fn this() -> Self {
        let cpus = std::thread::available_parallelism()
            .map_or(1, |cpus| u32::try_from(cpus.get()).unwrap_or(u32::MAX));
        let memory = std::fs::read_to_string("/proc/meminfo")
            .ok()
            .and_then(|text| total_memory(&text))
            .unwrap_or(2 * GIB);
        Self { cpus, memory }
    }

    fn default_slots(self) -> u32 {
        self.cpus.saturating_sub(1).max(1)
    }

    /// Nine tenths of the memory, shared by the slots.
    fn memory_each(self, slots: u32) -> u64 {
        (self.memory / 10 * 9 / u64::from(slots.max(1))).max(GIB / 8)
    }

    /// All processors, shared by the slots, at least one each.
    fn milli_cpus_each(self, slots: u32) -> u64 {
        (u64::from(self.cpus) * 1000 / u64::from(slots.max(1)))
            .max(1000)
            .min(u64::from(self.cpus) * 1000)
    }
}

fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use chassis::env::MapEnv;

    use super::*;

    fn minimal() -> MapEnv {
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
        assert_eq!(settings.profile, Profile::Default);
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

    #[test]
    fn sizes_are_read_with_and_without_a_unit() {
        let env = minimal()
            .with("WORKERPOOL_WORKER_TASK_MEMORY", "512m")
            .with("WORKERPOOL_WORKER_TASK_DISK", "4096");
        let limits = Settings::from_env(&env).unwrap().limits;
        assert_eq!((limits.memory, limits.disk), (512 << 20, 4096));
    }
}
