//! The world of these tests: a scheduler with its real engine and store, a chain made of memory, and workers that speak HTTP.
//!
//! Each world has ports and a folder of its own.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each test file uses a part of it"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops at once on what cannot happen"
)]

pub mod node;
mod way;

use std::time::Duration;

use alloy_primitives::{Address, B256};
use alloy_signer_local::PrivateKeySigner;
use chassis::Shutdown;
use chassis::env::MapEnv;
use poco::ids::TaskId;
use reqwest::{Method, StatusCode};
use scheduler::{Running, Settings, StartError};
use serde_json::{Value, json};

pub use node::FakeNode;
pub use way::{bring, brought_to};

/// How long something may take that must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Everything one test needs.
pub struct World {
    pub node: FakeNode,
    pub folder: tempfile::TempDir,
    pub base: String,
    running: Option<Running>,
    shutdown: Shutdown,
    settings: Vec<(String, String)>,
}

/// An answer, read whole.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// The settings of a scheduler beside this chain.
pub fn settings(node: &FakeNode, folder: &tempfile::TempDir, more: &[(&str, &str)]) -> Settings {
    let path = |name: &str| folder.path().join(name).display().to_string();
    let wallet = folder.path().join("wallet.json");
    if !wallet.exists() {
        chain::write_keystore(&wallet, "secret", &node.owner()).unwrap();
    }
    let mut env = MapEnv::from([
        ("WORKERPOOL_SCHEDULER_HOST", "127.0.0.1".to_owned()),
        ("IEXEC_CORE_PORT", "0".to_owned()),
        ("WORKERPOOL_SCHEDULER_DATA_DIR", path("data")),
        ("IEXEC_CORE_WALLET_PATH", path("wallet.json")),
        ("IEXEC_CORE_WALLET_PASSWORD", "secret".to_owned()),
        ("IEXEC_BLOCKCHAIN_NODE_ADDRESS", node.url()),
        ("IEXEC_CONFIG_SERVER_URL", node.url()),
        ("IEXEC_RESULT_REPOSITORY_URL", node.url()),
        ("POOL_ADDRESS", format!("{:#x}", node::POOL)),
        ("IEXEC_ASK_REPLICATE_PERIOD", "100".to_owned()),
    ]);
    for (name, value) in more {
        env = env.with(*name, *value);
    }
    Settings::from_env(&env).unwrap()
}

impl World {
    /// A scheduler in service, with nothing to do.
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// The same with settings of its own.
    pub async fn with(more: &[(&str, &str)]) -> Self {
        let world = Self::not_in_service(FakeNode::start().await, more).await;
        world.wait_for_service().await;
        world
    }

    /// The same with an actuator that is elsewhere, which is waited for there.
    pub async fn apart(more: &[(&str, &str)]) -> Self {
        let world = Self::not_in_service(FakeNode::start().await, more).await;
        let url = format!("http://{}/actuator/health", world.management().unwrap());
        eventually("the scheduler is in service", async || {
            let health = reqwest::get(&url).await.unwrap();
            (health.status() == 200).then_some(())
        })
        .await;
        world
    }

    /// Where the actuator is, if it is elsewhere.
    pub fn management(&self) -> Option<std::net::SocketAddr> {
        self.running.as_ref()?.management
    }

    /// A scheduler beside this chain, as it is right after its start.
    pub async fn not_in_service(node: FakeNode, more: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut world = Self {
            node,
            folder,
            base: String::new(),
            running: None,
            shutdown: Shutdown::new(),
            settings: more
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        };
        world.start().await.unwrap();
        world
    }

    async fn start(&mut self) -> Result<(), StartError> {
        let more: Vec<_> = self
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let settings = settings(&self.node, &self.folder, &more);
        self.shutdown = Shutdown::new();
        let running = scheduler::run(settings, self.shutdown.clone()).await?;
        self.base = format!("http://{}", running.addr);
        self.running = Some(running);
        Ok(())
    }

    /// Ends the scheduler and starts it again on the same folder.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    /// Ends the scheduler and starts it again on the same folder, with more settings.
    pub async fn restart_with(&mut self, more: &[(&str, &str)]) {
        let more = more
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.settings.extend(more);
        self.restart().await;
    }

    /// Starts the stopped scheduler again.
    pub async fn start_again(&mut self) {
        self.start().await.unwrap();
        self.wait_for_service().await;
    }

    pub async fn stop(&mut self) {
        self.shutdown.trigger();
        self.running.take().unwrap().ended().await.unwrap();
    }

    /// Until the chain was read and work may be given.
    pub async fn wait_for_service(&self) {
        eventually("the scheduler is in service", async || {
            let metrics = self.get("/metrics").await;
            let health = self.get("/actuator/health").await;
            (health.status == 200 && !metrics.json()["latestBlockMetric"].is_null()).then_some(())
        })
        .await;
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, &[], None).await
    }

    pub async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Answer {
        let mut request = reqwest::Client::new().request(method, format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request
                .header("Content-Type", "application/json")
                .body(body.to_owned());
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Answer {
            status,
            headers,
            text: response.text().await.unwrap(),
        }
    }

    /// A worker with a wallet of its own that has logged in.
    pub async fn worker(&self, seed: u8) -> TestWorker {
        let key = PrivateKeySigner::from_slice(&[seed; 32]).unwrap();
        let mut worker = TestWorker {
            key,
            token: String::new(),
        };
        worker.log_in(self).await;
        worker
    }

    /// The same, registered with two processors.
    pub async fn registered(&self, seed: u8) -> TestWorker {
        let worker = self.worker(seed).await;
        let answer = worker.post(self, "/workers/register", &machine(2)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        worker
    }

    /// Buys a deal of `tasks` tasks and waits until the scheduler has initialised them.
    pub async fn deal(&self, tasks: u64, trust: u64) -> Vec<TaskId> {
        let deal = self.node.buy(tasks, trust);
        let ids: Vec<_> = (0..tasks).map(|index| TaskId::of(deal, index)).collect();
        for id in &ids {
            self.task_becomes(*id, "INITIALIZED").await;
        }
        ids
    }

    /// Waits until a task has a status, and returns the task.
    pub async fn task_becomes(&self, task: TaskId, status: &str) -> Value {
        eventually(&format!("the task becomes {status}"), async || {
            let answer = self.get(&format!("/tasks/{task}")).await;
            (answer.status == 200 && answer.json()["currentStatus"] == status)
                .then(|| answer.json())
        })
        .await
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

/// A task that one worker has contributed to; the consensus comes next.
pub async fn contributed(world: &World, worker: &TestWorker) -> TaskId {
    let task = world.deal(1, 1).await[0];
    worker.ask(world).await;
    worker.compute(world, task).await;
    worker
        .report(world, task, "CONTRIBUTING", Value::Null)
        .await;
    let block = world
        .node
        .contribute(task, worker.address(), B256::repeat_byte(1));
    let details = json!({"chainReceipt": {"blockNumber": block, "txHash": null}});
    assert_eq!(
        worker
            .report(world, task, "CONTRIBUTED", details)
            .await
            .status,
        200
    );
    task
}

/// What a worker tells about its machine.
pub fn machine(cpus: i32) -> Value {
    json!({"name": "ann", "walletAddress": null, "os": "Linux", "cpu": "amd64", "cpuNb": cpus, "memorySize": 15,
           "gpuEnabled": false, "teeEnabled": false, "tdxEnabled": true})
}

/// A worker, with what it needs to speak.
#[derive(Clone)]
pub struct TestWorker {
    pub key: PrivateKeySigner,
    pub token: String,
}

impl TestWorker {
    pub fn address(&self) -> Address {
        self.key.address()
    }

    pub fn wallet(&self) -> String {
        poco::hex::lower(&self.address())
    }

    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    pub fn sign(&self, challenge: &str) -> String {
        poco::signing::sign_raw(&self.key, poco::login::digest(challenge))
            .unwrap()
            .to_string()
    }

    pub async fn log_in(&mut self, world: &World) {
        let challenge = world
            .get(&format!(
                "/workers/challenge?walletAddress={}",
                self.wallet()
            ))
            .await;
        assert_eq!(challenge.status, 200);
        let body = json!({"value": self.sign(&challenge.text)}).to_string();
        let path = format!("/workers/login?walletAddress={}", self.wallet());
        let token = world.call(Method::POST, &path, &[], Some(&body)).await;
        assert_eq!(token.status, 200, "{}", token.text);
        self.token = token.text;
    }

    pub async fn get(&self, world: &World, path: &str) -> Answer {
        world
            .call(
                Method::GET,
                path,
                &[("Authorization", &self.bearer())],
                None,
            )
            .await
    }

    pub async fn post(&self, world: &World, path: &str, body: &Value) -> Answer {
        let headers = [("Authorization", self.bearer())];
        let headers = headers
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        world
            .call(Method::POST, path, &headers, Some(&body.to_string()))
            .await
    }

    /// Asks for work and waits for it.
    pub async fn ask_and_wait(&self, world: &World) -> Answer {
        let block = world.node.head();
        let path = format!("/replicates/available?blockNumber={block}");
        let bearer = self.bearer();
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Workerpool-Features", "wait"),
        ];
        world.call(Method::GET, &path, &headers, None).await
    }

    /// Asks for work once.
    pub async fn ask(&self, world: &World) -> Answer {
        let block = world.node.head();
        self.get(world, &format!("/replicates/available?blockNumber={block}"))
            .await
    }

    /// Reports a status with details.
    pub async fn report(
        &self,
        world: &World,
        task: TaskId,
        status: &str,
        details: Value,
    ) -> Answer {
        let body = json!({"status": status, "modifier": null, "date": null, "details": details, "success": true});
        self.post(world, &format!("/replicates/{task}/updateStatus"), &body)
            .await
    }

    /// Reports every status up to COMPUTED.
    pub async fn compute(&self, world: &World, task: TaskId) {
        for status in [
            "STARTING",
            "STARTED",
            "APP_DOWNLOADING",
            "APP_DOWNLOADED",
            "DATA_DOWNLOADING",
            "DATA_DOWNLOADED",
            "COMPUTING",
        ] {
            let answer = self.report(world, task, status, Value::Null).await;
            assert_eq!(answer.status, 200, "{status}: {}", answer.text);
        }
        let details =
            json!({"computeLogs": {"stdout": "hello\n", "stderr": "warn\n"}, "exitCode": 0});
        let answer = self.report(world, task, "COMPUTED", details).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text.as_str()),
            (200, "\"PLEASE_CONTRIBUTE\"")
        );
    }
}

/// Looks again and again until there is something to see.
pub async fn eventually<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking)
        .await
        .unwrap_or_else(|_| panic!("it never happened that {what}"))
}

/// A body as a snapshot: one member a line, dates and the caller's host left out.
pub fn shown(text: &str, base: &str) -> String {
    let text = text.replace(base, "<base>");
    let mut shown = String::new();
    let mut rest = text.as_str();
    while let Some(character) = rest.chars().next() {
        let is_date = rest.get(..29).is_some_and(|date| {
            date.ends_with("+00:00") && date.get(4..5) == Some("-") && date.get(10..11) == Some("T")
        });
        if is_date {
            shown.push_str("<date>");
            rest = &rest[29..];
        } else {
            shown.push(character);
            rest = &rest[character.len_utf8()..];
        }
    }
    shown.replace(",\"", ",\n\"").replace(",{", ",\n{")
}
