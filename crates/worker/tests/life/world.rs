//! A test's own chain with a deal of one task on it, its scheduler, and workers for it.

use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::SolCall;
use chassis::Shutdown;
use chassis::env::MapEnv;
use devnet::{Role, TestChain};
use poco::contracts::{AppOrder, DatasetOrder, Hub, RequestOrder, WorkerpoolOrder};
use poco::ids::{DealId, TaskId};
use poco::orders::{self, Order};
use poco::signing::Sig;
use serde_json::{Value, json};
use tokio::sync::watch;
use wire::message::{Signature, WorkerpoolAuthorization};
use wire::status::ReplicateStatus as Is;

use crate::busybox;
use crate::counter::Counter;
use crate::said;
use crate::scheduler::{Caf, Scheduler, routes};

const IMAGE: &str = "127.0.0.1:1/workerpool-life:1";

/// A chain, a deal of one task on it, and a scheduler for it.
pub(crate) struct World {
    pub(crate) chain: Arc<TestChain>,
    /// What workers asked the chain.
    pub(crate) asked: Counter,
    pub(crate) scheduler: Arc<Scheduler>,
    pub(crate) url: String,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) task: TaskId,
    pub(crate) name: String,
}

pub(crate) fn address(chain: &TestChain, role: Role) -> Address {
    chain.accounts().find(role).unwrap().address()
}

/// Has the node sign a call of the hub and take it among those that wait for a block.
pub(crate) async fn hand_over(chain: &TestChain, role: Role, call: &impl SolCall) -> B256 {
    let transaction = json!([{
        "from": address(chain, role), "to": chain.addresses().contracts.hub, "data": Bytes::from(call.abi_encode()), "gas": "0x2dc6c0"
    }]);
    let key = chain.accounts().find(role).unwrap().address();
    let _: Value = chain
        .devnet()
        .ask("anvil_impersonateAccount", json!([key]))
        .await
        .unwrap();
    chain
        .devnet()
        .ask("eth_sendTransaction", transaction)
        .await
        .unwrap()
}

/// Has the node sign and mine a call of the hub, and checks that it succeeded.
pub(crate) async fn send(chain: &TestChain, role: Role, call: &impl SolCall) {
    let hash = hand_over(chain, role, call).await;
    let receipt: Value = loop {
        let receipt: Value = chain
            .devnet()
            .ask("eth_getTransactionReceipt", json!([hash]))
            .await
            .unwrap();
        if !receipt.is_null() {
            break receipt;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(receipt["status"], "0x1", "{receipt}");
}

/// Matches orders that cost nothing, and initialises the one task of the deal. Each `salt` gives a task of its own.
pub(crate) async fn buy(
    chain: &TestChain,
    salt: B256,
    category: u64,
    params: &str,
) -> (DealId, TaskId) {
    let (hub, pool) = (
        chain.addresses().contracts.hub,
        chain.addresses().workerpool,
    );
    let app = chain.addresses().app.unwrap();
    let domain = orders::domain(chain.devnet().settings().chain_id, hub);
    let sign = |role, hash| {
        let signature =
            poco::signing::sign_raw(&chain.accounts().find(role).unwrap().key, hash).unwrap();
        Bytes::copy_from_slice(&signature.0)
    };
    let (zero, one) = (Address::ZERO, U256::from(1));
    let mut app_order = AppOrder {
        app,
        appprice: U256::ZERO,
        volume: one,
        tag: B256::ZERO,
        datasetrestrict: zero,
        workerpoolrestrict: zero,
        requesterrestrict: zero,
        salt: B256::ZERO,
        sign: Bytes::new(),
    };
    app_order.sign = sign(Role::AppProvider, app_order.order_hash(&domain));
    let mut pool_order = WorkerpoolOrder {
        workerpool: pool,
        workerpoolprice: U256::ZERO,
        volume: one,
        tag: B256::ZERO,
        category: U256::from(category),
        trust: one,
        apprestrict: zero,
        datasetrestrict: zero,
        requesterrestrict: zero,
        salt: B256::ZERO,
        sign: Bytes::new(),
    };
    pool_order.sign = sign(Role::Scheduler, pool_order.order_hash(&domain));
    let requester = address(chain, Role::Requester);
    let mut request = RequestOrder {
        app,
        appmaxprice: U256::ZERO,
        dataset: zero,
        datasetmaxprice: U256::ZERO,
        workerpool: pool,
        workerpoolmaxprice: U256::ZERO,
        requester,
        volume: one,
        tag: B256::ZERO,
        category: U256::from(category),
        trust: one,
        beneficiary: requester,
        callback: zero,
        params: params.to_owned(),
        salt,
        sign: Bytes::new(),
    };
    let hash = request.order_hash(&domain);
    request.sign = sign(Role::Requester, hash);
    let none = DatasetOrder {
        dataset: zero,
        datasetprice: U256::ZERO,
        volume: U256::ZERO,
        tag: B256::ZERO,
        apprestrict: zero,
        workerpoolrestrict: zero,
        requesterrestrict: zero,
        salt: B256::ZERO,
        sign: Bytes::new(),
    };
    let call = Hub::matchOrdersCall {
        apporder: app_order,
        datasetorder: none,
        workerpoolorder: pool_order,
        requestorder: request,
    };
    send(chain, Role::Requester, &call).await;
    let deal = DealId::of(hash, 0);
    send(
        chain,
        Role::Scheduler,
        &Hub::initializeCall {
            dealid: deal.0,
            idx: U256::ZERO,
        },
    )
    .await;
    (deal, TaskId::of(deal, 0))
}

fn settings(image: &str) -> devnet::Settings {
    let app = devnet::App {
        name: "life".to_owned(),
        image: image.to_owned(),
        ..devnet::Settings::default().app.unwrap()
    };
    devnet::Settings {
        app: Some(app),
        ..devnet::Settings::default()
    }
}

async fn engine() -> worker::docker::Engine {
    let host = std::env::var("DOCKER_HOST").ok();
    worker::docker::Engine::connect(host.as_deref())
        .await
        .unwrap()
}

/// The authorization with that party's signature.
pub(crate) fn signed(
    chain: &TestChain,
    signer: Role,
    authorization: WorkerpoolAuthorization,
) -> WorkerpoolAuthorization {
    let key = &chain.accounts().find(signer).unwrap().key;
    let signature = poco::signing::sign_prefixed(key, authorization.hash()).unwrap();
    WorkerpoolAuthorization {
        signature: Signature::from(signature),
        ..authorization
    }
}

impl World {
    pub(crate) async fn new(test: &str, script: &str) -> Self {
        busybox::import(IMAGE).await;
        Self::with_image(test, script, IMAGE).await
    }

    pub(crate) async fn with_image(test: &str, script: &str, image: &str) -> Self {
        let chain = TestChain::with(settings(image)).await.unwrap();
        Self::on(chain, test, script, 0).await
    }

    /// A deal whose deadlines are multiples of so many seconds (spec `worker.md` §4).
    pub(crate) async fn brief(test: &str, script: &str, seconds: u64) -> Self {
        busybox::import(IMAGE).await;
        let settings = devnet::Settings {
            test_category_s: Some(seconds),
            ..settings(IMAGE)
        };
        let chain = TestChain::with(settings).await.unwrap();
        let category = chain.addresses().test_category.unwrap();
        Self::on(chain, test, script, category).await
    }

    async fn on(chain: TestChain, test: &str, script: &str, category: u64) -> Self {
        said::listen();
        let chain = Arc::new(chain);
        let params = json!({
            "iexec_args": format!("/bin/busybox sh -c '{script}'"), "iexec_result_storage_provider": "ipfs"
        });
        let (deal, task) = buy(&chain, keccak256(test), category, &params.to_string()).await;
        let unsigned = WorkerpoolAuthorization {
            chain_task_id: task,
            deal_id: deal,
            worker_wallet: address(&chain, Role::Worker(1)),
            ..Default::default()
        };
        let authorization = signed(&chain, Role::Scheduler, unsigned);
        let asked = Counter::before(chain.rpc_url()).await;
        let scheduler = Arc::new(Scheduler {
            chain: Arc::clone(&chain),
            node: asked.url.clone(),
            task,
            authorization: Mutex::new(authorization.clone()),
            base: Mutex::default(),
            work: Mutex::new([authorization].into()),
            in_vain: watch::Sender::default(),
            told: watch::Sender::default(),
            notices: watch::Sender::default(),
            archive: Mutex::default(),
            caf: Mutex::new(Caf::Unknown),
            uploads: watch::Sender::new(true),
            reveals: watch::Sender::new(true),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        scheduler.base.lock().unwrap().clone_from(&url);
        let router = routes(Arc::clone(&scheduler));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let name = format!("life-{test}-{}", std::process::id());
        Self {
            chain,
            asked,
            scheduler,
            url,
            folder: tempfile::tempdir().unwrap(),
            task,
            name,
        }
    }

    /// What scheduler and result proxy think of contribute-and-finalize from here on.
    pub(crate) fn with_caf(self, caf: Caf) -> Self {
        *self.scheduler.caf.lock().unwrap() = caf;
        self
    }

    pub(crate) async fn start(&self) -> (worker::Running, Shutdown) {
        let key = &self.chain.accounts().find(Role::Worker(1)).unwrap().key;
        let wallet = self.folder.path().join("wallet.json");
        let env = MapEnv::from([
            ("IEXEC_CORE_URL", self.url.as_str()),
            ("IEXEC_WORKER_PORT", "0"),
            ("IEXEC_WORKER_OVERRIDE_AVAILABLE_CPU_COUNT", "1"),
            ("WORKERPOOL_WORKER_BIND", "127.0.0.1"),
            ("IEXEC_WORKER_NAME", &self.name),
            (
                "IEXEC_WORKER_BASE_DIR",
                self.folder.path().to_str().unwrap(),
            ),
            ("IEXEC_WORKER_WALLET_PATH", wallet.to_str().unwrap()),
            ("IEXEC_WORKER_WALLET_PASSWORD", "secret"),
            (
                "POOL_ADDRESS",
                &poco::hex::lower(&self.chain.addresses().workerpool),
            ),
            ("WORKERPOOL_WORKER_SUBNETS", "10.215.0.0/20"),
        ]);
        if !wallet.exists() {
            chain::write_keystore(&wallet, "secret", key).unwrap();
        }
        let shutdown = Shutdown::new();
        let settings = worker::Settings::from_env(&env).unwrap();
        (
            worker::run(settings, shutdown.clone()).await.unwrap(),
            shutdown,
        )
    }

    pub(crate) fn task_folder(&self) -> PathBuf {
        self.folder
            .path()
            .join(&self.name)
            .join(self.task.to_string())
    }

    /// Lets an application go on that waits for that.
    pub(crate) async fn let_go(&self) {
        while std::fs::write(self.task_folder().join("input/go"), "").is_err() {
            tokio::task::yield_now().await;
        }
    }

    /// The containers that the worker has for tasks.
    pub(crate) async fn containers(&self) -> Vec<String> {
        engine().await.task_containers(&self.name).await.unwrap()
    }

    pub(crate) async fn until_told(&self, status: Is) {
        let mut told = self.scheduler.told.subscribe();
        let reached = told.wait_for(|told| told.iter().any(|update| update.status == Some(status)));
        tokio::time::timeout(Duration::from_secs(120), reached)
            .await
            .unwrap_or_else(|_| panic!("{status} was not told: {:?}", self.scheduler.statuses()))
            .unwrap();
    }

    /// An authorization for the task, made for a worker and signed by somebody.
    pub(crate) fn authorization(&self, worker: Role, signer: Role) -> WorkerpoolAuthorization {
        let authorization = WorkerpoolAuthorization {
            worker_wallet: address(&self.chain, worker),
            ..self.scheduler.authorization.lock().unwrap().clone()
        };
        signed(&self.chain, signer, authorization)
    }

    /// What a worker sends that has that result.
    pub(crate) fn contribution(&self, worker: Role, digest: B256) -> Hub::contributeCall {
        let authorization = self.authorization(worker, Role::Scheduler);
        let signature = authorization.signature.value.parse::<Sig>().unwrap();
        Hub::contributeCall {
            taskid: self.task.0,
            resultHash: poco::contribution::result_hash(self.task, digest),
            resultSeal: poco::contribution::result_seal(
                authorization.worker_wallet,
                self.task,
                digest,
            ),
            enclaveChallenge: authorization.enclave_challenge,
            enclaveSign: Bytes::new(),
            authorizationSign: Bytes::copy_from_slice(&signature.0),
        }
    }

    /// Waits until the worker, which takes one task at a time, asked for work in vain more often than that.
    pub(crate) async fn until_asked(&self, times: u32) {
        let mut in_vain = self.scheduler.in_vain.subscribe();
        let asked = in_vain.wait_for(|asked| *asked > times);
        let asked = tokio::time::timeout(Duration::from_secs(120), asked).await;
        drop(asked.expect("work is asked for").unwrap());
    }

    /// How many transactions of the worker's wallet are mined.
    pub(crate) async fn transactions(&self) -> u64 {
        let node = chain::Node::new(vec![self.chain.rpc_url().parse().unwrap()], None).unwrap();
        node.transaction_count(address(&self.chain, Role::Worker(1)))
            .await
            .unwrap()
    }

    /// The same with those that wait for a block.
    pub(crate) async fn pending(&self) -> u64 {
        let wallet = address(&self.chain, Role::Worker(1));
        let count: alloy_primitives::U64 = self
            .chain
            .devnet()
            .ask("eth_getTransactionCount", json!([wallet, "pending"]))
            .await
            .unwrap();
        count.to()
    }

    /// What the worker's wallet has from here on, in wei.
    pub(crate) async fn fill_wallet(&self, wei: u64) {
        let wallet = address(&self.chain, Role::Worker(1));
        let params = json!([wallet, U256::from(wei)]);
        let _: Value = self
            .chain
            .devnet()
            .ask("anvil_setBalance", params)
            .await
            .unwrap();
    }

    /// Whether transactions go into blocks from here on.
    pub(crate) async fn mine(&self, on: bool) {
        let ask = async |method: &str, params: Value| {
            let _: Value = self.chain.devnet().ask(method, params).await.unwrap();
        };
        ask("anvil_setIntervalMining", json!([0])).await;
        ask("evm_setAutomine", json!([on])).await;
        if on {
            ask("evm_mine", json!([])).await;
        }
    }

    pub(crate) async fn chain_status(&self) -> u8 {
        self.scheduler.chain_task().await.status
    }

    /// The uploaded archive's file of that name.
    pub(crate) fn uploaded(&self, name: &str) -> String {
        let archive = self.scheduler.archive.lock().unwrap().clone().unwrap();
        let mut zip = zip::ZipArchive::new(std::io::Cursor::new(archive)).unwrap();
        let mut text = String::new();
        zip.by_name(name)
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        text
    }

    pub(crate) async fn end(self, running: worker::Running, shutdown: Shutdown) {
        shutdown.trigger();
        running.wait().await.unwrap();
        let engine = engine().await;
        engine
            .remove(&format!("{}-{}", self.name, self.task))
            .await
            .unwrap();
        engine.remove_network(&self.name, 0).await.unwrap();
    }
}
