//! A local chain with the real contracts, a bag of tasks on it, and an outbox of the pool's wallet.

use std::{sync::Arc, time::Duration};

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall;
use chain::{
    ArrayCall, GasPolicy, Hub, Intent, Joinable, MemoryOutboxStore, Node, Outbox, OutboxHandle,
    OutboxSettings, Outcome,
};
use devnet::{Role, TestChain};
use poco::{
    contracts::{AppOrder, DatasetOrder, Hub as Abi, RequestOrder, WorkerpoolOrder},
    ids::{DealId, TaskId},
    orders::{self, Order},
    status::ChainTaskStatus,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Far more than anything here needs.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .expect("this takes too long")
}

/// Quick looks; nothing is taken for stuck or due by the clock alone.
pub(crate) fn settings() -> OutboxSettings {
    OutboxSettings {
        stuck_after: Duration::from_secs(3600),
        rebroadcast_every: Duration::from_secs(3600),
        ..OutboxSettings::new(Duration::from_millis(100))
    }
}

/// A call of the pool's own, as the scheduler wants it.
pub(crate) fn wanted(hub: Address, call: ArrayCall, deal: DealId, index: u64) -> Intent {
    let task = TaskId::of(deal, index);
    let (dealid, idx) = (deal.0, U256::from(index));
    let (name, calldata) = match call {
        ArrayCall::Initialize => (
            "initialize",
            Abi::initializeCall { dealid, idx }.abi_encode(),
        ),
        ArrayCall::Claim => ("claim", Abi::claimCall { taskid: task.0 }.abi_encode()),
        ArrayCall::InitializeAndClaim => (
            "claim",
            Abi::initializeAndClaimArrayCall {
                dealids: vec![dealid],
                idxs: vec![idx],
            }
            .abi_encode(),
        ),
    };
    Intent {
        key: format!("{name}:{task}"),
        to: hub,
        calldata: calldata.into(),
        gas: GasPolicy::estimated(),
        deadline: None,
        joins: Some(Joinable { call, deal, index }),
    }
}

/// A transaction of the pool's wallet.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) input: Bytes,
    pub(crate) nonce: u64,
    pub(crate) succeeded: bool,
    pub(crate) gas_used: u64,
}

pub(crate) struct World {
    pub(crate) chain: TestChain,
    pub(crate) hub: Hub,
    pub(crate) store: Arc<MemoryOutboxStore>,
    pub(crate) handle: OutboxHandle,
    pub(crate) task: JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl World {
    pub(crate) async fn new(settings: OutboxSettings) -> Self {
        let chain = TestChain::start().await.unwrap();
        let url = chain.rpc_url().parse().unwrap();
        let hub = Hub::new(
            Node::new(vec![url], None).unwrap(),
            chain.addresses().contracts.hub,
        );
        let store = Arc::new(MemoryOutboxStore::default());
        let (handle, task) = start(&chain, &hub, &store, settings).await;
        Self {
            chain,
            hub,
            store,
            handle,
            task,
        }
    }

    /// Starts another outbox where the last one left off.
    pub(crate) async fn restart(&mut self) {
        self.task.abort();
        (self.handle, self.task) = start(&self.chain, &self.hub, &self.store, settings()).await;
    }

    pub(crate) fn address(&self, role: Role) -> Address {
        self.chain.accounts().find(role).unwrap().address()
    }

    pub(crate) async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
    ) -> T {
        self.hub.node().request(method, params).await.unwrap()
    }

    /// Transactions wait in the pool until [`TestChain::mine`].
    pub(crate) async fn mine_by_hand(&self) {
        let _: Value = self.ask("evm_setAutomine", json!([false])).await;
        let _: Value = self.ask("evm_setIntervalMining", json!([0])).await;
    }

    pub(crate) async fn pooled(&self, count: usize) {
        within(async {
            loop {
                let pool: Value = self.ask("txpool_status", json!([])).await;
                let pending = pool["pending"].as_str().unwrap().trim_start_matches("0x");
                if usize::from_str_radix(pending, 16).unwrap() >= count {
                    return;
                }
            }
        })
        .await;
    }

    /// Has the node sign and send a call of the hub for somebody, who offers a high price.
    pub(crate) async fn send(&self, role: Role, call: &impl SolCall) -> B256 {
        let from = self.address(role);
        let _: Value = self.ask("anvil_impersonateAccount", json!([from])).await;
        let transaction = json!([{
            "from": from, "to": self.hub.address(), "data": Bytes::from(call.abi_encode()), "gas": "0x2dc6c0",
            "gasPrice": "0x174876e800",
        }]);
        self.ask("eth_sendTransaction", transaction).await
    }

    pub(crate) async fn outcome(&self, call: ArrayCall, deal: DealId, index: u64) -> Outcome {
        let key = wanted(self.hub.address(), call, deal, index).key;
        within(self.handle.outcome(&key)).await.unwrap()
    }

    pub(crate) fn bag(
        &self,
        call: ArrayCall,
        deal: DealId,
        indexes: impl IntoIterator<Item = u64>,
    ) -> Vec<Intent> {
        indexes
            .into_iter()
            .map(|index| wanted(self.hub.address(), call, deal, index))
            .collect()
    }

    pub(crate) async fn status(&self, deal: DealId, index: u64) -> ChainTaskStatus {
        match self.hub.task(TaskId::of(deal, index)).await.unwrap() {
            None => ChainTaskStatus::Unset,
            Some(task) => ChainTaskStatus::try_from(task.status).unwrap(),
        }
    }

    /// What the pool's wallet sent since block `from`, read from the blocks.
    pub(crate) async fn sent_since(&self, from: u64) -> Vec<Sent> {
        let head = self.hub.node().head().await.unwrap().number.0;
        let wallet = json!(self.address(Role::Scheduler));
        let mut sent = Vec::new();
        for number in from..=head {
            let number = format!("{number:#x}");
            let block: Value = self
                .ask("eth_getBlockByNumber", json!([number, true]))
                .await;
            for tx in block["transactions"].as_array().unwrap() {
                if tx["from"] != wallet {
                    continue;
                }
                let hash: B256 = serde_json::from_value(tx["hash"].clone()).unwrap();
                let receipt = self.hub.node().receipt(hash).await.unwrap().unwrap();
                let nonce = tx["nonce"].as_str().unwrap().trim_start_matches("0x");
                sent.push(Sent {
                    input: serde_json::from_value(tx["input"].clone()).unwrap(),
                    nonce: u64::from_str_radix(nonce, 16).unwrap(),
                    succeeded: receipt.succeeded,
                    gas_used: receipt.gas_used,
                });
            }
        }
        sent
    }

    pub(crate) async fn head(&self) -> u64 {
        self.hub.node().head().await.unwrap().number.0
    }

    /// Matches orders that cost nothing, for a bag of `size` tasks.
    pub(crate) async fn buy(&self, size: u64) -> DealId {
        let domain = orders::domain(self.chain.devnet().settings().chain_id, self.hub.address());
        let sign = |role, hash| {
            let key = &self.chain.accounts().find(role).unwrap().key;
            Bytes::copy_from_slice(&poco::signing::sign_raw(key, hash).unwrap().0)
        };
        let app = self.chain.addresses().app.unwrap();
        let pool = self.chain.addresses().workerpool;
        let (zero, one, volume) = (Address::ZERO, U256::from(1), U256::from(size));
        let mut app_order = AppOrder {
            app,
            appprice: U256::ZERO,
            volume,
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
            volume,
            tag: B256::ZERO,
            category: U256::ZERO,
            trust: one,
            apprestrict: zero,
            datasetrestrict: zero,
            requesterrestrict: zero,
            salt: B256::ZERO,
            sign: Bytes::new(),
        };
        pool_order.sign = sign(Role::Scheduler, pool_order.order_hash(&domain));
        let requester = self.address(Role::Requester);
        let mut request = RequestOrder {
            app,
            appmaxprice: U256::ZERO,
            dataset: zero,
            datasetmaxprice: U256::ZERO,
            workerpool: pool,
            workerpoolmaxprice: U256::ZERO,
            requester,
            volume,
            tag: B256::ZERO,
            category: U256::ZERO,
            trust: one,
            beneficiary: requester,
            callback: zero,
            params: String::new(),
            salt: B256::ZERO,
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
        let call = Abi::matchOrdersCall {
            apporder: app_order,
            datasetorder: none,
            workerpoolorder: pool_order,
            requestorder: request,
        };
        self.send(Role::Requester, &call).await;
        let deal = DealId::of(hash, 0);
        within(async {
            while self.hub.deal(deal).await.unwrap().is_none() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        deal
    }
}

async fn start(
    chain: &TestChain,
    hub: &Hub,
    store: &Arc<MemoryOutboxStore>,
    settings: OutboxSettings,
) -> (OutboxHandle, JoinHandle<()>) {
    let key = chain.accounts().find(Role::Scheduler).unwrap().key.clone();
    let (handle, outbox) = Outbox::start(hub.node().clone(), key, store.clone(), settings)
        .await
        .unwrap();
    (handle, tokio::spawn(outbox.run()))
}
