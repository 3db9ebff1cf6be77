//! A proxy of its own for every test: a folder, a port, a chain on which one standard task waits for its result.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_signer_local::PrivateKeySigner;
use base64::Engine as _;
use chassis::shutdown::Shutdown;
use poco::ids::{DealId, TaskId};
use reqwest::{Method, RequestBuilder, Response};
use result_proxy::{Limits, Running, Settings};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::fake_chain::{CHAIN_ID, FakeChain};
use crate::zips;

pub(crate) const ACTIVE: u8 = 1;
pub(crate) const REVEALING: u8 = 2;
pub(crate) const CONTRIBUTED: u8 = 1;
pub(crate) const REVEALED: u8 = 2;

/// The text of the result that the task's workers agreed on.
pub(crate) const RESULT: &str = "A result";

pub(crate) struct World {
    pub(crate) chain: FakeChain,
    pub(crate) task: TaskId,
    pub(crate) deal: DealId,
    /// Owns the workerpool of the deal.
    pub(crate) pool: PrivateKeySigner,
    /// Contributed and revealed.
    pub(crate) ann: PrivateKeySigner,
    /// Never took part.
    pub(crate) eve: PrivateKeySigner,
    pub(crate) settings: Settings,
    pub(crate) http: reqwest::Client,
    folder: tempfile::TempDir,
    proxy: Option<(Running, Shutdown)>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A world whose proxy has other settings.
    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let chain = FakeChain::start().await;
        let folder = tempfile::tempdir().unwrap();
        let deal = DealId(keccak256("a deal"));
        let task = TaskId::of(deal, 0);
        let mut settings = Settings {
            listen: "127.0.0.1:0".parse().unwrap(),
            front: chassis::Front::default(),
            data: folder.path().join("data"),
            jwt_key: folder.path().join("data/jwt-sign.key"),
            chain_id: CHAIN_ID,
            nodes: vec![format!("http://{}", chain.addr).parse().unwrap()],
            hub: Address::repeat_byte(0x42),
            public_url: None,
            exposed: vec!["health".into()],
            max_upload: 100_000,
            limits: Limits {
                entries: 100,
                unpacked: 1_000_000,
            },
            pools: Default::default(),
            token_age: None,
        };
        change(&mut settings);
        let mut world = Self {
            chain,
            task,
            deal,
            pool: PrivateKeySigner::random(),
            ann: PrivateKeySigner::random(),
            eve: PrivateKeySigner::random(),
            settings,
            http: reqwest::Client::new(),
            folder,
            proxy: None,
        };
        world.change_task(|task, deal| {
            task.status = REVEALING;
            task.dealid = deal.0;
            task.finalDeadline = U256::from(now() + 3600);
        });
        world.change_deal(|deal, pool| {
            deal.startTime = U256::from(1);
            deal.trust = U256::from(1);
            deal.workerpool.owner = pool;
        });
        world.contribution(world.ann.address(), REVEALED, world.hash_of(RESULT));
        world.restart().await;
        world
    }

    /// Stops the proxy if it runs, and starts one with the same settings.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        let shutdown = Shutdown::new();
        let running = result_proxy::run(self.settings.clone(), shutdown.clone())
            .await
            .unwrap();
        self.proxy = Some((running, shutdown));
    }

    /// Stops the proxy if it runs.
    pub(crate) async fn stop(&mut self) {
        if let Some((running, shutdown)) = self.proxy.take() {
            shutdown.trigger();
            running.finished().await.unwrap();
        }
    }

    /// The proxy's database, while the proxy is stopped.
    pub(crate) fn store(&self) -> store::Store {
        let identity = store::Identity {
            role: "result-proxy".into(),
            chain_id: self.settings.chain_id,
            hub: self.settings.hub,
            pool: None,
        };
        store::Store::open(&self.settings.data, &identity).unwrap()
    }

    /// The settings of a second proxy, which shares the chain and nothing else.
    pub(crate) fn elsewhere(&self) -> Settings {
        let data = self.folder.path().join("elsewhere");
        Settings {
            jwt_key: data.join("jwt-sign.key"),
            data,
            ..self.settings.clone()
        }
    }

    pub(crate) fn change_task(&self, change: impl FnOnce(&mut poco::contracts::Task, DealId)) {
        let mut task = self.chain.task(self.task.0);
        change(&mut task, self.deal);
        self.chain.set_task(self.task.0, task);
    }

    /// Makes the task one of another deal: what a deal is never changes.
    pub(crate) fn change_deal(&self, change: impl FnOnce(&mut poco::contracts::Deal, Address)) {
        let before = self.chain.task(self.task.0).dealid;
        let mut deal = self.chain.deal(before);
        change(&mut deal, self.pool.address());
        let after = keccak256(before);
        self.chain.set_deal(after, deal);
        self.change_task(|task, _| task.dealid = after);
    }

    pub(crate) fn contribution(&self, worker: Address, status: u8, hash: B256) {
        self.chain
            .set_contribution(self.task.0, worker, status, hash);
    }

    /// What a worker contributes whose result file holds `text`, written out: keccak(task ‖ sha256(text)).
    pub(crate) fn hash_of(&self, text: &str) -> B256 {
        let digest: [u8; 32] = Sha256::digest(text).into();
        keccak256([self.task.0.0, digest].concat())
    }

    pub(crate) fn addr(&self) -> std::net::SocketAddr {
        self.proxy.as_ref().unwrap().0.addr
    }

    pub(crate) fn data(&self, path: &str) -> PathBuf {
        self.folder.path().join("data").join(path)
    }

    /// How many archives are kept, and how many are arriving.
    pub(crate) fn files(&self) -> (usize, usize) {
        let count = |folder| std::fs::read_dir(self.data(folder)).unwrap().count();
        (count("blocks"), count("arriving"))
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("http://{}{path}", self.addr()))
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    /// The pool's authorization of `wallet` for the task, as the scheduler sends it to a worker.
    pub(crate) fn authorization(&self, wallet: Address) -> Value {
        self.authorization_for(wallet, Address::ZERO)
    }

    pub(crate) fn authorization_for(&self, wallet: Address, enclave: Address) -> Value {
        let signature = sign(&self.pool, self.authorization_hash(wallet, enclave));
        json!({
            "chainTaskId": self.task,
            "dealId": self.deal,
            "taskIndex": 0,
            "workerWallet": poco::hex::lower(&wallet),
            "enclaveChallenge": poco::hex::lower(&enclave),
            "signature": {"value": signature},
        })
    }

    /// keccak(worker ‖ task ‖ challenge), written out.
    pub(crate) fn authorization_hash(&self, wallet: Address, enclave: Address) -> B256 {
        keccak256(
            [
                wallet.as_slice(),
                self.task.0.as_slice(),
                enclave.as_slice(),
            ]
            .concat(),
        )
    }

    /// Asks for a token with any header and body.
    pub(crate) async fn ask_token(&self, header: &str, body: &Value) -> Response {
        self.request(Method::POST, "/v1/results/token")
            .header("Authorization", header)
            .json(body)
            .send()
            .await
            .unwrap()
    }

    /// Asks for a token as a worker does.
    pub(crate) async fn login(&self, wallet: &PrivateKeySigner) -> Response {
        let address = wallet.address();
        let header = sign(wallet, self.authorization_hash(address, Address::ZERO));
        self.ask_token(&header, &self.authorization(address)).await
    }

    pub(crate) async fn token(&self, wallet: &PrivateKeySigner) -> String {
        let answer = self.login(wallet).await;
        assert_eq!(answer.status(), 200);
        answer.text().await.unwrap()
    }

    /// The body of a Java worker's upload.
    pub(crate) fn body(&self, zip: &[u8]) -> Value {
        json!({
            "chainTaskId": self.task,
            "dealId": B256::ZERO,
            "taskIndex": 0,
            "image": null,
            "cmd": null,
            "zip": base64::engine::general_purpose::STANDARD.encode(zip),
            "deterministHash": null,
            "enclaveSignature": format!("0x{}", "0".repeat(130)),
        })
    }

    pub(crate) async fn send(&self, token: &str, body: &Value) -> Response {
        self.request(Method::POST, "/v1/results")
            .header("Authorization", token)
            .json(body)
            .send()
            .await
            .unwrap()
    }

    /// Uploads `zip` as `wallet`, after a login.
    pub(crate) async fn upload(&self, wallet: &PrivateKeySigner, zip: &[u8]) -> Response {
        let token = self.token(wallet).await;
        self.send(&token, &self.body(zip)).await
    }

    /// Uploads the agreed result as Ann; the answer is the link.
    pub(crate) async fn uploaded(&self) -> String {
        let answer = self.upload(&self.ann, &zips::result(RESULT)).await;
        assert_eq!(answer.status(), 200);
        answer.text().await.unwrap()
    }

    /// The status of `HEAD /v1/results/{task}` for Ann.
    pub(crate) async fn head(&self) -> u16 {
        let token = self.token(&self.ann).await;
        let path = format!("/v1/results/{}", self.task);
        let request = self
            .request(Method::HEAD, &path)
            .header("Authorization", token);
        request.send().await.unwrap().status().as_u16()
    }
}

pub(crate) fn sign(wallet: &PrivateKeySigner, hash: B256) -> String {
    poco::signing::sign_prefixed(wallet, hash)
        .unwrap()
        .to_string()
}

pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}
