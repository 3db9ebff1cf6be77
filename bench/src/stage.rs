//! Everything that a measurement needs around what it measures: a chain with blocks of a steady rhythm, and each role as a process of
//! its own, so that memory and processors can be told apart. Built from the pieces of the end-to-end tests. Ends when dropped, and
//! takes its containers, networks and images with it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use e2e::process::{Process, Recipe, until};
use e2e::registry::Registry;
use e2e::rpc::Rpc;
use e2e::world::{Chain, environment, program, wait_until_up};
use e2e::{image, local_chain, ports};
use serde_json::{Value, json};

use crate::counter::Counter;
use crate::noop;

/// How a stage shall be.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// Seconds between blocks. Nothing is mined in between.
    pub(crate) block_time: u64,
    /// Gas that fits a block; the node's own limit where none is given.
    pub(crate) block_gas: Option<u64>,
    /// Whether the services reach the node through the counting proxy.
    pub(crate) counted: bool,
    /// Whether there is a registry with the application, for workers that compute.
    pub(crate) computes: bool,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            block_time: 1,
            block_gas: None,
            counted: false,
            computes: false,
        }
    }
}

/// How a task is settled on the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Contribute, reveal, finalize.
    Classic,
    /// One transaction, by agreement of scheduler and worker.
    ContributeAndFinalize,
}

impl Flow {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Classic, Self::ContributeAndFinalize];

    /// For names of figures.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::ContributeAndFinalize => "caf",
        }
    }

    /// The settings of scheduler and worker that ask for it.
    fn settings(self) -> [(&'static str, &'static str); 2] {
        let wanted = match self {
            Self::Classic => "false",
            Self::ContributeAndFinalize => "true",
        };
        [
            ("WORKERPOOL_SCHEDULER_CAF", wanted),
            ("WORKERPOOL_WORKER_CAF", wanted),
        ]
    }
}

/// A chain and what runs on it.
#[derive(Debug)]
pub(crate) struct Stage {
    // Fields are dropped in this order: workers before what they talk to.
    workers: Vec<Process>,
    scheduler: Option<Process>,
    _services: Vec<Process>,
    /// The counting proxy, where one was wanted.
    pub(crate) counter: Option<Counter>,
    _devnet: Process,
    _registry: Option<Registry>,
    /// The chain's addresses.
    pub(crate) chain: Chain,
    /// The scheduler's URL.
    pub(crate) scheduler_url: String,
    /// The application's image.
    pub(crate) image: String,
    /// What the names of the workers begin with.
    pub(crate) name: String,
    common: Vec<(String, String)>,
    core_port: u16,
    dir: PathBuf,
    _folder: tempfile::TempDir,
}

impl Stage {
    /// Starts chain, config server and result proxy.
    pub(crate) async fn start(wanted: Wanted) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("workerpool-bench-")
            .tempdir()?;
        let dir = folder.path().to_owned();
        let [node, core, config, proxy, registry] = [
            ports::free()?,
            ports::free()?,
            ports::free()?,
            ports::free()?,
            ports::free()?,
        ];
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let image = format!("127.0.0.1:{registry}/workerpool/noop:1");
        let registry = if wanted.computes {
            let registry = Registry::start(&dir, registry).await?;
            image::build_and_push(noop::SCRIPT, &image)?;
            Some(registry)
        } else {
            None
        };

        let chain_dir = dir.join("chain");
        let devnet = program(&dir, "devnet")?.with_args([
            "devnet",
            "--dir",
            &chain_dir.display().to_string(),
            "--port",
            &node.to_string(),
            "--block-time",
            &wanted.block_time.to_string(),
            "--app-image",
            &image,
            "--scheduler-url",
            &url(core),
            "--config-server-url",
            &url(config),
            "--result-proxy-url",
            &url(proxy),
        ]);
        let (devnet, chain) = local_chain::start(devnet, &chain_dir).await?;
        steady(&Rpc::new(&chain.rpc_url), &wanted).await?;

        let counter = if wanted.counted {
            Some(Counter::start(&chain.rpc_url).await?)
        } else {
            None
        };
        let common = environment(&chain_dir.join("devnet.env"))?;
        let mut stage = Self {
            workers: Vec::new(),
            scheduler: None,
            _services: Vec::new(),
            counter,
            _devnet: devnet,
            _registry: registry,
            chain,
            scheduler_url: url(core),
            image,
            name: format!("bench-{}-{core}", std::process::id()),
            common,
            core_port: core,
            dir,
            _folder: folder,
        };
        let node = stage.node_url("config-server");
        stage
            .service(
                "config-server",
                config,
                &[
                    ("IEXEC_CONFIG_SERVER_PORT", config.to_string()),
                    // Workers are sent here, unless they are told otherwise.
                    ("IEXEC_BLOCKCHAIN_NODE_ADDRESS", node),
                ],
            )
            .await?;
        let node = stage.node_url("result-proxy");
        let data = stage.dir.join("results").display().to_string();
        stage
            .service(
                "result-proxy",
                proxy,
                &[
                    ("IEXEC_RESULT_PROXY_PORT", proxy.to_string()),
                    ("WORKERPOOL_RESULT_PROXY_DATA_DIR", data),
                    ("IEXEC_BLOCKCHAIN_NODE_ADDRESS", node),
                ],
            )
            .await?;
        Ok(stage)
    }

    async fn service(
        &mut self,
        role: &str,
        port: u16,
        settings: &[(&str, String)],
    ) -> anyhow::Result<()> {
        let mut recipe = program(&self.dir, role)?
            .with_args([role])
            .with_env(&self.common);
        for (name, value) in settings {
            recipe = recipe.with(name, value.clone());
        }
        let mut process = recipe.start()?;
        wait_until_up(&mut process, &format!("http://127.0.0.1:{port}")).await?;
        self._services.push(process);
        Ok(())
    }

    /// How the scheduler is started; its data go to `data` within the stage's folder.
    pub(crate) fn scheduler_recipe(&self, data: &str, flow: Flow) -> anyhow::Result<Recipe> {
        let mut recipe = program(&self.dir, "scheduler")?
            .with_args(["scheduler"])
            .with_env(&self.common)
            .with("IEXEC_CORE_PORT", self.core_port.to_string())
            .with(
                "WORKERPOOL_SCHEDULER_DATA_DIR",
                self.dir.join(data).display().to_string(),
            )
            .with("IEXEC_BLOCKCHAIN_NODE_ADDRESS", self.node_url("scheduler"));
        for (name, value) in flow.settings() {
            recipe = recipe.with(name, value);
        }
        Ok(recipe)
    }

    /// Starts the scheduler and waits until it is in service.
    pub(crate) async fn start_scheduler(&mut self, recipe: &Recipe) -> anyhow::Result<()> {
        let mut process = recipe.start()?;
        wait_until_up(&mut process, &self.scheduler_url).await?;
        self.scheduler = Some(process);
        Ok(())
    }

    /// Starts one worker with so many slots and waits until the scheduler knows it.
    pub(crate) async fn start_worker(&mut self, slots: u32, flow: Flow) -> anyhow::Result<()> {
        let number = self.workers.len() + 1;
        let own = environment(&self.dir.join("chain").join(format!("worker{number}.env")))?;
        let mut recipe = program(&self.dir, &format!("worker{number}"))?
            .with_args(["worker"])
            .with_env(&self.common)
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
            .with(
                "IEXEC_WORKER_OVERRIDE_BLOCKCHAIN_NODE_ADDRESS",
                self.node_url("worker"),
            )
            .with("IEXEC_WORKER_PORT", ports::free()?.to_string());
        for (name, value) in flow.settings() {
            recipe = recipe.with(name, value);
        }
        self.workers.push(recipe.start()?);
        let url = format!("{}/metrics", self.scheduler_url);
        let known = until(
            "the worker's registration",
            Duration::from_secs(60),
            || async {
                let metrics: Value = reqwest::get(&url).await?.json().await?;
                let alive = metrics.get("aliveWorkers").and_then(Value::as_u64);
                Ok((alive >= Some(number as u64)).then_some(()))
            },
        )
        .await;
        known.with_context(|| self.logs())
    }

    /// The node's URL for one service.
    fn node_url(&self, service: &str) -> String {
        self.counter.as_ref().map_or_else(
            || self.chain.rpc_url.clone(),
            |counter| counter.url(service),
        )
    }

    /// Plain JSON-RPC to the chain, uncounted.
    #[must_use]
    pub(crate) fn rpc(&self) -> Rpc {
        Rpc::new(&self.chain.rpc_url)
    }

    /// The folder of everything.
    #[must_use]
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The scheduler's process.
    pub(crate) fn scheduler(&mut self) -> anyhow::Result<&mut Process> {
        self.scheduler
            .as_mut()
            .context("the scheduler was not started")
    }

    /// The workers' processes.
    #[must_use]
    pub(crate) fn workers(&self) -> &[Process] {
        &self.workers
    }

    /// The end of every program's output, for the words of a failure.
    #[must_use]
    pub(crate) fn logs(&self) -> String {
        let scheduler = self.scheduler.iter();
        let all: Vec<String> = scheduler.chain(&self.workers).map(Process::tail).collect();
        all.join("\n")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.workers.clear();
        let swept = image::sweep(&self.dir, &self.name).and_then(|()| image::remove(&self.image));
        if let Err(error) = swept {
            eprintln!("containers or images may be left: {error:#}");
        }
    }
}

/// Makes the node mine in its rhythm only, as a public chain does, with blocks of the wanted size.
async fn steady(rpc: &Rpc, wanted: &Wanted) -> anyhow::Result<()> {
    rpc.request::<Value>("evm_setAutomine", json!([false]))
        .await?;
    rpc.request::<Value>("evm_setIntervalMining", json!([wanted.block_time]))
        .await?;
    if let Some(gas) = wanted.block_gas {
        rpc.request::<Value>("evm_setBlockGasLimit", json!([format!("{gas:#x}")]))
            .await?;
    }
    // The rhythm is seen, not believed.
    let first = next_block(rpc).await?;
    let second = next_block(rpc).await?;
    let found = second.duration_since(first).as_secs_f64();
    let rhythm = wanted.block_time as f64;
    anyhow::ensure!(
        (found - rhythm).abs() < 0.3 * rhythm,
        "blocks come every {found:.2} s instead of {rhythm} s"
    );
    Ok(())
}

/// When the next block is there.
async fn next_block(rpc: &Rpc) -> anyhow::Result<Instant> {
    let before = rpc.head().await?;
    let deadline = Instant::now() + Duration::from_secs(60);
    while rpc.head().await? == before {
        anyhow::ensure!(Instant::now() < deadline, "the node mines no blocks");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(Instant::now())
}
