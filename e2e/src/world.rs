//! A world of its own: chain, registry, pool and workers as processes, in a folder of its own, on ports of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use alloy_primitives::Address;
use anyhow::Context as _;
use serde::Deserialize;

use crate::flaky::FlakyNode;
use crate::image;
use crate::local_chain;
use crate::ports;
use crate::process::{Process, Recipe, until};
use crate::registry::Registry;
use crate::rpc::Rpc;

/// The setting that names the node.
const NODE: &str = "IEXEC_BLOCKCHAIN_NODE_ADDRESS";

/// What `workerpool devnet` wrote about the chain.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Chain {
    /// Where the node answers.
    pub rpc_url: String,
    /// The hub.
    pub hub: Address,
    /// The token; zero where stakes are the chain's own coin.
    pub rlc: Address,
    /// The pool.
    pub workerpool: Address,
    /// The application.
    pub app: Address,
    /// The short category for tests.
    pub test_category: u64,
    /// Everybody, by role.
    pub accounts: BTreeMap<String, Party>,
}

/// One account.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Party {
    /// Its address.
    pub address: Address,
    /// Its keystore.
    pub wallet: PathBuf,
    /// Its key as the SDK reads it.
    pub key: PathBuf,
}

impl Chain {
    /// The account of a role.
    pub fn party(&self, role: &str) -> anyhow::Result<&Party> {
        self.accounts
            .get(role)
            .with_context(|| format!("the chain has no account for {role}"))
    }

    /// Everybody who sends transactions for the pool: the scheduler and `workers` workers.
    pub fn pool_wallets(&self, workers: usize) -> anyhow::Result<Vec<Address>> {
        let mut wallets = vec![self.party("scheduler")?.address];
        for number in 1..=workers {
            wallets.push(self.party(&format!("worker{number}"))?.address);
        }
        Ok(wallets)
    }
}

/// How a world shall be.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many workers.
    pub workers: usize,
    /// Tasks that a worker takes at a time.
    pub slots: u32,
    /// Seconds between blocks when nothing happens.
    pub block_time: f64,
    /// The category `TEST`: a task may compute so long; all is over after ten times that.
    pub test_category_s: u64,
    /// The application: its script and the image's name after the registry's address.
    pub app: (&'static str, String),
    /// Fixed ports where people look for them, or free ones.
    pub usual_ports: bool,
    /// Prefix of the workers' names, and so of their containers and networks.
    pub name: String,
    /// Stakes are the chain's own coin, and gas costs nothing. Unless a test says so itself: what `NATIVE` in the environment says.
    pub native: bool,
    /// The services reach the node through one that can be told to go wrong.
    pub flaky_node: bool,
    /// Further settings of the pool.
    pub pool_env: Vec<(String, String)>,
    /// Further settings of every worker.
    pub worker_env: Vec<(String, String)>,
}

/// Whether the environment's `NATIVE` asks for worlds with native stakes.
#[must_use]
pub fn native_by_environment() -> bool {
    std::env::var("NATIVE").is_ok_and(|value| !value.is_empty() && value != "0")
}

impl Plan {
    /// So many workers of two slots, and the application that does what its arguments say.
    #[must_use]
    pub fn with_faults(workers: usize) -> Self {
        Self {
            workers,
            slots: 2,
            app: (image::FAULTS, "workerpool/faults:1".into()),
            ..Self::default()
        }
    }

    /// The same world, in which every task is contributed, revealed and finalized in steps: contribute-and-finalize is not granted.
    #[must_use]
    pub fn classic(mut self) -> Self {
        self.pool_env
            .push(("WORKERPOOL_SCHEDULER_CAF".into(), "false".into()));
        self
    }
}

impl Default for Plan {
    fn default() -> Self {
        let name = format!(
            "e2e-{}-{}",
            std::process::id(),
            ports::free().unwrap_or_default()
        );
        Self {
            workers: 2,
            slots: 2,
            block_time: 1.0,
            test_category_s: 1,
            app: (image::HELLO, "workerpool/hello:1".into()),
            usual_ports: false,
            name,
            native: native_by_environment(),
            flaky_node: false,
            pool_env: Vec::new(),
            worker_env: Vec::new(),
        }
    }
}

/// Everything that runs. Ends when dropped.
#[derive(Debug)]
pub struct World {
    // Fields are dropped in this order: workers before what they talk to.
    /// The workers.
    pub workers: Vec<Process>,
    /// `workerpool up`.
    pub pool: Process,
    /// The registry.
    pub registry: Registry,
    /// `workerpool devnet`.
    pub devnet: Process,
    /// The node that the services ask, where the plan wanted one that can go wrong.
    pub flaky: Option<FlakyNode>,
    /// The chain's addresses.
    pub chain: Chain,
    /// The scheduler's URL.
    pub scheduler_url: String,
    /// The result proxy's URL, which is the gateway too.
    pub gateway_url: String,
    /// The application's image.
    pub image: String,
    name: String,
    dir: PathBuf,
    keep: Option<tempfile::TempDir>,
}

impl World {
    /// Starts everything in a temporary folder that is removed at the end.
    pub async fn start(plan: Plan) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("workerpool-e2e-")
            .tempdir()?;
        let mut world = Self::start_in(folder.path(), plan, |_| {}).await?;
        world.keep = Some(folder);
        Ok(world)
    }

    /// Starts everything in `dir`; `tell` hears what is done.
    pub async fn start_in(
        dir: &Path,
        plan: Plan,
        mut tell: impl FnMut(&str),
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let dir = std::path::absolute(dir)?;
        let port = |usual: u16| {
            if plan.usual_ports {
                Ok(usual)
            } else {
                ports::free()
            }
        };
        let [node, core, config, proxy, registry] = [
            port(8545)?,
            port(13000)?,
            port(8888)?,
            port(13200)?,
            port(5000)?,
        ];
        let url = |port: u16| format!("http://127.0.0.1:{port}");

        tell("registry with the application's image");
        let registry = Registry::start(&dir, registry).await?;
        let image = format!("{}/{}", registry.address(), plan.app.1);
        image::build_and_push(plan.app.0, &image)?;

        tell("local chain with the PoCo contracts");
        let chain_dir = dir.join("chain");
        let devnet = program(&dir, "devnet")?
            .with_args([
                "devnet",
                "--dir",
                &chain_dir.display().to_string(),
                "--port",
                &node.to_string(),
                "--block-time",
                &plan.block_time.to_string(),
                "--test-category-seconds",
                &plan.test_category_s.to_string(),
                "--app-image",
                &image,
                "--scheduler-url",
                &url(core),
                "--config-server-url",
                &url(config),
                "--result-proxy-url",
                &url(proxy),
            ])
            .and_arg_if(plan.native, "--native");
        let (devnet, chain) = local_chain::start(devnet, &chain_dir).await?;

        tell("scheduler, config server and result proxy");
        let mut common = environment(&chain_dir.join("devnet.env"))?;
        // A chain that stands still is still one whose blocks are said to come every few seconds.
        common.push((
            "IEXEC_BLOCK_TIME".into(),
            format!("PT{}S", plan.block_time.min(5.0)),
        ));
        let flaky = match plan.flaky_node {
            true => Some(FlakyNode::start(&chain.rpc_url).await?),
            false => None,
        };
        if let Some(node) = &flaky {
            common.retain(|(name, _)| name != NODE);
            common.push((NODE.into(), node.url().into()));
        }
        let mut pool = program(&dir, "pool")?
            .with_args(["up"])
            .with_env(&common)
            .with(
                "WORKERPOOL_DATA_DIR",
                dir.join("data").display().to_string(),
            )
            .with("IEXEC_CORE_PORT", core.to_string())
            .with("IEXEC_CONFIG_SERVER_PORT", config.to_string())
            .with("IEXEC_RESULT_PROXY_PORT", proxy.to_string())
            .with_env(&plan.pool_env)
            .start()?;
        wait_until_up(&mut pool, &url(core)).await?;

        let mut world = Self {
            workers: Vec::new(),
            pool,
            registry,
            devnet,
            flaky,
            chain,
            scheduler_url: url(core),
            gateway_url: url(proxy),
            image,
            name: plan.name.clone(),
            dir,
            keep: None,
        };
        for number in 1..=plan.workers {
            tell(&format!("worker {number}"));
            let recipe = world.worker_recipe(number, plan.slots, &common)?;
            world
                .workers
                .push(recipe.with_env(&plan.worker_env).start()?);
        }
        world.wait_for_workers(plan.workers).await?;
        Ok(world)
    }

    fn worker_recipe(
        &self,
        number: usize,
        slots: u32,
        common: &[(String, String)],
    ) -> anyhow::Result<Recipe> {
        let own = environment(&self.dir.join("chain").join(format!("worker{number}.env")))?;
        Ok(program(&self.dir, &format!("worker{number}"))?
            .with_args(["worker"])
            .with_env(common)
            .with_env(&own)
            .with("IEXEC_WORKER_NAME", format!("{}-{number}", self.name))
            .with(
                "IEXEC_WORKER_BASE_DIR",
                self.dir.join("workers").display().to_string(),
            )
            .with(
                "IEXEC_WORKER_OVERRIDE_AVAILABLE_CPU_COUNT",
                slots.to_string(),
            )
            .with("IEXEC_WORKER_PORT", ports::free()?.to_string())
            // How full this machine's disk is says nothing about what a test puts on it.
            .with("WORKERPOOL_WORKER_IMAGES_WATERMARK", "off"))
    }

    /// Waits until the scheduler knows `count` living workers.
    pub async fn wait_for_workers(&mut self, count: usize) -> anyhow::Result<()> {
        let url = format!("{}/metrics", self.scheduler_url);
        let result = until(
            "the registration of all workers",
            Duration::from_secs(60),
            || async {
                let metrics: serde_json::Value = reqwest::get(&url).await?.json().await?;
                Ok((metrics
                    .get("aliveWorkers")
                    .and_then(serde_json::Value::as_u64)
                    >= Some(count as u64))
                .then_some(()))
            },
        )
        .await;
        if let Err(error) = result {
            for worker in &mut self.workers {
                worker.must_live()?;
            }
            let logs: Vec<String> = self.workers.iter().map(Process::tail).collect();
            return Err(error.context(logs.join("\n")).context(self.pool.tail()));
        }
        Ok(())
    }

    /// Plain JSON-RPC to the chain.
    #[must_use]
    pub fn rpc(&self) -> Rpc {
        Rpc::new(&self.chain.rpc_url)
    }

    /// The folder of everything.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What the names of the workers begin with, and of their containers; their networks' names after `workerpool-`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The processes of everything that runs, workers first.
    #[must_use]
    pub fn process_ids(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = self.workers.iter().map(Process::id).collect();
        ids.extend([self.pool.id(), self.registry.id(), self.devnet.id()]);
        ids
    }

    /// The end of every program's output, for the message of a failed test.
    #[must_use]
    pub fn logs(&self) -> String {
        let mut logs = vec![self.pool.tail()];
        logs.extend(self.workers.iter().map(Process::tail));
        logs.join("\n")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.workers.clear();
        if let Err(error) =
            image::sweep(&self.dir, &self.name).and_then(|()| image::remove(&self.image))
        {
            eprintln!("containers or images may be left: {error:#}");
        }
        if std::thread::panicking()
            && let Some(folder) = self.keep.take()
        {
            eprintln!("what happened is in {}", folder.keep().display());
        }
    }
}

impl Recipe {
    /// The recipe with these arguments.
    #[must_use]
    pub fn with_args<const N: usize>(mut self, args: [&str; N]) -> Self {
        self.args = args.iter().map(|arg| (*arg).to_owned()).collect();
        self
    }

    /// The recipe with one more argument, if it is wanted.
    #[must_use]
    pub fn and_arg_if(mut self, wanted: bool, arg: &str) -> Self {
        if wanted {
            self.args.push(arg.to_owned());
        }
        self
    }

    /// The recipe with these variables beside its own.
    #[must_use]
    pub fn with_env(mut self, env: &[(String, String)]) -> Self {
        for (name, value) in env {
            self = self.with(name, value.clone());
        }
        self
    }
}

/// Waits until the scheduler answers and calls itself healthy.
pub async fn wait_until_up(pool: &mut Process, scheduler_url: &str) -> anyhow::Result<()> {
    let health = format!("{scheduler_url}/actuator/health");
    let answer = until("a healthy scheduler", Duration::from_secs(60), || {
        let gone = pool.must_live().err();
        let health = &health;
        async move {
            if let Some(error) = gone {
                return Err(error);
            }
            Ok(reqwest::get(health)
                .await?
                .status()
                .is_success()
                .then_some(()))
        }
    })
    .await;
    answer.with_context(|| pool.tail())
}

/// The product's binary, as a process called `name` that runs in `dir`.
pub fn program(dir: &Path, name: &str) -> anyhow::Result<Recipe> {
    Ok(Recipe {
        name: name.to_owned(),
        program: binary()?,
        args: Vec::new(),
        env: Vec::new(),
        dir: dir.to_owned(),
    })
}

/// The product's binary: `WORKERPOOL_BINARY`, or the one built beside this program.
pub fn binary() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("WORKERPOOL_BINARY") {
        return Ok(path.into());
    }
    let me = std::env::current_exe()?;
    me.ancestors()
        .map(|folder| folder.join("workerpool"))
        .find(|path| path.is_file())
        .context("the workerpool binary is not built: run `make test` or `make demo`, or set WORKERPOOL_BINARY")
}

/// A file of the npm packages that `make setup` installs.
#[must_use]
pub fn from_npm(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../node_modules")
        .join(path)
        .display()
        .to_string()
}

/// The lines `NAME=value` of an environment file.
pub fn environment(file: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{}", file.display()))?;
    Ok(text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned()))
        .collect())
}
