//! What people and programs around the pool see: a task's logs through the unmodified SDK, the worker's health and figures.

use std::path::{Path, PathBuf};
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use e2e::process::{Process, until};
use e2e::sdk::{self, Wish};
use e2e::world::{self, Plan, World};
use serde_json::{Value, json};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::turn;

const SPEAK: &str = include_str!("../../app/speak.sh");

fn speaking(workers: usize) -> Plan {
    Plan {
        workers,
        slots: 1,
        app: (SPEAK, "workerpool/speak:1".into()),
        ..Plan::default()
    }
}

async fn buy(world: &World, args: &str, volume: u64, category: u64) -> Vec<B256> {
    let wish = Wish {
        volume,
        trust: 1,
        category,
        args: args.into(),
    };
    let chain = world.dir().join("chain");
    let deals = sdk::buy(&chain, "1 RLC", "2 RLC", &[wish]).await.unwrap();
    deals[0].tasks.clone()
}

/// Runs node and gives its lines of JSON.
fn node(args: &[&str], dir: &Path) -> Vec<Value> {
    let output = std::process::Command::new("node")
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn here(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(path)
        .canonicalize()
        .unwrap()
        .display()
        .to_string()
}

/// `iexec task debug <task> --logs`, as a person types it beside the chain's `chain.json`.
fn task_debug(world: &World, wallet: &str, task: B256) -> Value {
    let chain = world.dir().join("chain");
    let wallet = format!("{wallet}.json");
    let task = task.to_string();
    let command = here("../node_modules/iexec8/dist/esm/cli/cmd/iexec.js");
    let args = [
        command.as_str(),
        "task",
        "debug",
        &task,
        "--logs",
        "--raw",
        "--quiet",
        "--chain",
        "devnet",
        "--keystoredir",
        "wallets",
        "--wallet-file",
        &wallet,
        "--password",
        "devnet",
    ];
    node(&args, &chain).remove(0)
}

async fn debug_as_stranger(world: &World, role: &str, task: B256) -> Value {
    let chain = world.dir().join("chain");
    let key = std::fs::read_to_string(&world.chain.party(role).unwrap().key).unwrap();
    let key: Value = serde_json::from_str(&key).unwrap();
    let spec = json!({"devnet": chain, "tasks": [task], "as": key["privateKey"]});
    node(&[&here("sdk/debug.mjs"), &spec.to_string()], world.dir()).remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_shows_a_tasks_logs_to_its_requester_alone_until_they_are_deleted() {
    let _turn = turn().await;
    let kept = Duration::from_secs(20);
    let mut plan = speaking(1);
    // All is over 30 s after the purchase.
    plan.test_category_s = 3;
    plan.pool_env.extend([
        ("WORKERPOOL_SCHEDULER_LOGS_KEPT".into(), "20s".into()),
        ("WORKERPOOL_SCHEDULER_LOGS_PURGE_PERIOD".into(), "1s".into()),
    ]);
    let world = World::start(plan).await.unwrap();
    let category = world.chain.test_category;
    let tasks = buy(&world, "héllo wörld", 1, category).await;
    world
        .all_complete(&tasks, Duration::from_secs(120))
        .await
        .unwrap();
    let task = tasks[0];

    let shown = task_debug(&world, "requester", task);
    let worker = format!("{:#x}", world.chain.party("worker1").unwrap().address);
    assert_eq!(
        shown["appLogs"],
        json!([{"worker": worker, "stdout": "said: héllo wörld\n", "stderr": "complained: héllo wörld\n"}]),
        "{shown:#}"
    );
    let off_chain = &shown["offchainData"];
    assert_eq!(off_chain["task"]["status"], "COMPLETED", "{shown:#}");
    assert_eq!(off_chain["replicates"][0]["worker"], worker);
    assert_eq!(off_chain["replicates"][0]["exitCode"], 0);
    let history = off_chain["task"]["statusHistory"].as_array().unwrap();
    assert_eq!(history[0]["status"], "RECEIVED");

    // Whoever computed it, sells the application, or owns the pool: nobody else is shown anything.
    for role in ["worker1", "app-provider", "scheduler"] {
        let told = debug_as_stranger(&world, role, task).await;
        assert!(
            told["refused"]
                .as_str()
                .is_some_and(|reason| reason.contains("Only task requester")),
            "{role}: {told:#}"
        );
        assert_eq!(told["status"], 403, "{role}: {told:#}");
        assert!(told["answer"]["error"].is_string(), "{role}: {told:#}");
    }

    // After their time the task is still shown, and its logs are not.
    let url = format!("{}/tasks/{task}", world.scheduler_url);
    let view: Value = reqwest::get(&url).await.unwrap().json().await.unwrap();
    assert!(view["replicates"][0]["appLogs"].is_string(), "{view:#}");
    let purged = until(
        "the deletion of the logs",
        Duration::from_secs(30) + kept + Duration::from_secs(30),
        || async {
            let log = std::fs::read_to_string(world.pool.log())?;
            Ok(log
                .contains("logs of tasks that ended long ago are deleted")
                .then_some(()))
        },
    );
    purged
        .await
        .unwrap_or_else(|error| panic!("{error:#}\n{}", world.logs()));
    let later = task_debug(&world, "requester", task);
    assert_eq!(later["offchainData"]["task"]["status"], "COMPLETED");
    assert!(later.get("appLogs").is_none(), "{later:#}");
    let view: Value = reqwest::get(&url).await.unwrap().json().await.unwrap();
    assert!(view["replicates"][0].get("appLogs").is_none(), "{view:#}");
}

/// A socket in front of the container engine's, which can be taken away.
struct Relay {
    path: PathBuf,
    running: Option<JoinHandle<()>>,
}

impl Relay {
    fn at(path: PathBuf) -> Self {
        let mut relay = Self {
            path,
            running: None,
        };
        relay.open();
        relay
    }

    fn host(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    fn open(&mut self) {
        let listener = UnixListener::bind(&self.path).unwrap();
        let engine = std::env::var("DOCKER_HOST").unwrap_or_default();
        let engine = engine
            .strip_prefix("unix://")
            .unwrap_or("/var/run/docker.sock")
            .to_owned();
        self.running = Some(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let engine = engine.clone();
                connections.spawn(async move {
                    let mut engine = UnixStream::connect(engine).await?;
                    tokio::io::copy_bidirectional(&mut client, &mut engine).await
                });
            }
        }));
    }

    /// Every connection breaks, and none is taken any more.
    fn close(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
        }
        std::fs::remove_file(&self.path).unwrap();
    }
}

fn base(worker: &Process) -> String {
    let env = &worker.recipe().env;
    let port = env.iter().find(|(name, _)| name == "IEXEC_WORKER_PORT");
    format!("http://127.0.0.1:{}", port.unwrap().1)
}

/// Waits until the worker's health is `status`, with `component` as `wanted`; gives the whole answer.
async fn health(world: &World, status: u16, component: &str, wanted: &str) -> Value {
    let url = format!("{}/actuator/health", base(&world.workers[0]));
    let what = format!("health {status} with {component} {wanted}");
    until(&what, Duration::from_secs(90), || async {
        let answer = reqwest::get(&url).await?;
        let code = answer.status().as_u16();
        let health: Value = answer.json().await?;
        let found = &health["components"][component]["status"];
        Ok((code == status && found == wanted).then_some(health))
    })
    .await
    .unwrap_or_else(|error| panic!("{error:#}\n{}", world.logs()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workers_health_follows_what_it_depends_on() {
    let _turn = turn().await;
    let mut world = World::start(speaking(1)).await.unwrap();
    let mut relay = Relay::at(world.dir().join("engine.sock"));
    let recipe = world.workers[0]
        .recipe()
        .clone()
        .with("DOCKER_HOST", relay.host());
    world.workers[0].restart_as(recipe).unwrap();
    let well = health(&world, 200, "docker", "UP").await;
    assert_eq!(well["status"], "UP");
    let components: Vec<_> = well["components"].as_object().unwrap().keys().collect();
    assert_eq!(
        components,
        ["chain", "diskSpace", "docker", "ping", "scheduler"]
    );
    assert!(well["components"]["chain"]["details"]["latestBlock"].as_u64() > Some(0));

    relay.close();
    let ill = health(&world, 503, "docker", "DOWN").await;
    assert_eq!(ill["status"], "DOWN");
    assert_eq!(ill["components"]["chain"]["status"], "UP", "{ill:#}");
    assert!(
        ill["components"]["docker"]["details"]["error"]
            .as_str()
            .is_some_and(|error| error.contains("engine.sock")),
        "{ill:#}"
    );
    relay.open();
    health(&world, 200, "docker", "UP").await;

    // The whole node stands still: connections are taken, and never answered.
    world.devnet.signal_family("STOP").unwrap();
    health(&world, 503, "chain", "DOWN").await;
    world.devnet.signal_family("CONT").unwrap();
    health(&world, 200, "chain", "UP").await;

    world.pool.kill().unwrap();
    health(&world, 503, "scheduler", "DOWN").await;
    let recipe = world.pool.recipe().clone();
    world.pool = recipe.start().unwrap();
    let url = world.scheduler_url.clone();
    world::wait_until_up(&mut world.pool, &url).await.unwrap();
    health(&world, 200, "scheduler", "UP").await;

    // And it works.
    let tasks = buy(&world, "again", 1, 0).await;
    world
        .all_complete(&tasks, Duration::from_secs(120))
        .await
        .unwrap();
}

async fn transactions_of(world: &World, wallet: Address) -> u64 {
    let count: U256 = world
        .rpc()
        .request("eth_getTransactionCount", json!([wallet, "latest"]))
        .await
        .unwrap();
    count.to()
}

/// The value of one sample, whose name and labels are `what`.
fn sample(text: &str, what: &str) -> Option<f64> {
    text.lines()
        .find_map(|line| line.strip_prefix(what)?.strip_prefix(' '))
        .and_then(|value| value.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_figures_agree_with_what_ran() {
    let _turn = turn().await;
    let mut plan = speaking(1);
    plan.worker_env
        .push(("IEXEC_WORKER_METRICS_WINDOW_SIZE".into(), "2".into()));
    let world = World::start(plan).await.unwrap();
    let worker = base(&world.workers[0]);
    let get = async |url: String| reqwest::get(url).await.unwrap().text().await.unwrap();
    let fresh: Value = serde_json::from_str(&get(format!("{worker}/metrics")).await).unwrap();
    let nothing = json!({"durationSamplesCount": 0, "minDuration": "NaN", "maxDuration": "NaN", "averageDuration": "NaN"});
    assert_eq!(fresh["appComputeDurations"], nothing);
    let wallet = world.chain.party("worker1").unwrap().address;
    let before = transactions_of(&world, wallet).await;

    // More than the window holds.
    let tasks = buy(&world, "figures", 3, 0).await;
    world
        .all_complete(&tasks, Duration::from_secs(120))
        .await
        .unwrap();

    let durations: Value = serde_json::from_str(&get(format!("{worker}/metrics")).await).unwrap();
    let app = &durations["appComputeDurations"];
    assert_eq!(app["durationSamplesCount"], 2, "{durations:#}");
    let [min, average, max] =
        ["minDuration", "averageDuration", "maxDuration"].map(|name| app[name].as_f64().unwrap());
    // The application sleeps a second, by a clock that is not the engine's.
    assert!(
        900.0 <= min && min <= average && average <= max && max < 60_000.0,
        "{durations:#}"
    );
    for stage in [
        "preComputeDurations",
        "postComputeDurations",
        "completeComputeDurations",
    ] {
        assert_eq!(durations[stage], nothing, "a standard task has no {stage}");
    }

    // Looking at the figures has the chain asked, which takes a moment.
    let sent = transactions_of(&world, wallet).await - before;
    let pool = world.scheduler_url.clone();
    let figures = until(
        "figures of the chain that are the chain's",
        Duration::from_secs(60),
        || async {
            let text = reqwest::get(format!("{worker}/actuator/prometheus"))
                .await?
                .text()
                .await?;
            let counted = sample(&text, r#"iexec_chain_wallet_tx_count{block="latest"}"#);
            Ok((counted == Some((before + sent) as f64)).then_some(text))
        },
    )
    .await
    .unwrap_or_else(|error| panic!("{error:#}\n{}", world.logs()));
    let label = format!(r#"{{wallet="{wallet:#x}",phase="app_compute"}}"#);
    for (name, expected) in [
        ("iexec_app_compute_duration_samples_count", 2.0),
        ("iexec_app_compute_duration_min", min),
        ("iexec_app_compute_duration_max", max),
        ("iexec_app_compute_duration_average", average),
    ] {
        assert_eq!(
            sample(&figures, &format!("{name}{label}")),
            Some(expected),
            "{name}"
        );
    }
    assert_eq!(
        sample(
            &figures,
            r#"iexec_poco_transaction_total{status="success"}"#
        ),
        Some(sent as f64),
        "every transaction since the start was one for a task"
    );
    assert_eq!(
        sample(
            &figures,
            r#"iexec_poco_transaction_total{status="failure"}"#
        ),
        Some(0.0)
    );
    assert!(sample(&figures, "iexec_chain_block_latest") > Some(0.0));
    for task in &tasks {
        assert!(!figures.contains(&task.to_string()), "no task is a label");
    }

    // The pool counted the same.
    let metrics: Value = serde_json::from_str(&get(format!("{pool}/metrics")).await).unwrap();
    assert_eq!(metrics["aliveWorkers"], 1);
    assert_eq!(metrics["aliveRegisteredCpu"], 1);
    assert_eq!(metrics["aliveComputingCpu"], 0);
    assert_eq!(metrics["dealsCount"], 1);
    assert_eq!(metrics["currentTaskStatusesCount"]["COMPLETED"], 3);
    let head = metrics["latestBlockMetric"]["blockNumber"]
        .as_u64()
        .unwrap();
    assert!(head.abs_diff(world.rpc().head().await.unwrap()) <= 10);
    assert_eq!(get(format!("{pool}/version")).await, "9.3.0");
    assert!(!get(format!("{worker}/version")).await.is_empty());
}
