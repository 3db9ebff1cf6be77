//! A node that answers what a test says: just enough JSON-RPC for the views that the proxy reads.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolCall;
use axum::extract::State;
use axum::{Json, Router, routing};
use poco::contracts::{Contribution, Deal, Hub, Task};
use serde_json::{Value, json};

pub(crate) const CHAIN_ID: u64 = 65535;

#[derive(Default)]
struct World {
    tasks: HashMap<B256, Task>,
    deals: HashMap<B256, Deal>,
    contributions: HashMap<(B256, Address), Contribution>,
    broken: bool,
    no_hub: bool,
    /// Views that were answered, by name.
    asked: BTreeMap<&'static str, u32>,
}

/// A chain of which the test decides everything.
#[derive(Clone)]
pub(crate) struct FakeChain {
    world: Arc<Mutex<World>>,
    pub(crate) addr: SocketAddr,
}

impl FakeChain {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let chain = Self {
            world: Arc::default(),
            addr: listener.local_addr().unwrap(),
        };
        let router = Router::new()
            .route("/", routing::post(answer))
            .with_state(chain.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        chain
    }

    pub(crate) fn set_task(&self, id: B256, task: Task) {
        self.world.lock().unwrap().tasks.insert(id, task);
    }

    pub(crate) fn task(&self, id: B256) -> Task {
        self.world
            .lock()
            .unwrap()
            .tasks
            .get(&id)
            .cloned()
            .unwrap_or_else(no_task)
    }

    pub(crate) fn set_deal(&self, id: B256, deal: Deal) {
        self.world.lock().unwrap().deals.insert(id, deal);
    }

    pub(crate) fn deal(&self, id: B256) -> Deal {
        self.world
            .lock()
            .unwrap()
            .deals
            .get(&id)
            .cloned()
            .unwrap_or_else(no_deal)
    }

    pub(crate) fn set_contribution(&self, task: B256, worker: Address, status: u8, hash: B256) {
        let contribution = Contribution {
            status,
            resultHash: hash,
            ..no_contribution()
        };
        self.world
            .lock()
            .unwrap()
            .contributions
            .insert((task, worker), contribution);
    }

    /// From now on every call fails, or none does.
    pub(crate) fn set_broken(&self, broken: bool) {
        self.world.lock().unwrap().broken = broken;
    }

    /// From now on there is no contract at any address, or there is again.
    pub(crate) fn set_no_hub(&self, no_hub: bool) {
        self.world.lock().unwrap().no_hub = no_hub;
    }

    /// The views that were answered since the last time, by name.
    pub(crate) fn take_asked(&self) -> BTreeMap<&'static str, u32> {
        std::mem::take(&mut self.world.lock().unwrap().asked)
    }

    fn call(&self, data: &[u8]) -> Vec<u8> {
        let mut world = self.world.lock().unwrap();
        if world.no_hub {
            return Vec::new();
        }
        let mut count = |view| *world.asked.entry(view).or_default() += 1;
        if let Ok(call) = Hub::viewTaskCall::abi_decode(data) {
            count("task");
            let task = world
                .tasks
                .get(&call.taskid)
                .cloned()
                .unwrap_or_else(no_task);
            return Hub::viewTaskCall::abi_encode_returns(&task);
        }
        if let Ok(call) = Hub::viewDealCall::abi_decode(data) {
            count("deal");
            let deal = world
                .deals
                .get(&call.dealid)
                .cloned()
                .unwrap_or_else(no_deal);
            return Hub::viewDealCall::abi_encode_returns(&deal);
        }
        if let Ok(call) = Hub::viewContributionCall::abi_decode(data) {
            count("contribution");
            let key = (call.taskid, call.worker);
            let contribution = world
                .contributions
                .get(&key)
                .cloned()
                .unwrap_or_else(no_contribution);
            return Hub::viewContributionCall::abi_encode_returns(&contribution);
        }
        if Hub::countCategoryCall::abi_decode(data).is_ok() {
            return Hub::countCategoryCall::abi_encode_returns(&U256::from(5));
        }
        panic!("the proxy reads something that this chain does not play: {data:02x?}");
    }

    fn answer(&self, request: &Value) -> Value {
        let id = &request["id"];
        if self.world.lock().unwrap().broken {
            return json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32603, "message": "out of order"}});
        }
        let result = match request["method"].as_str().unwrap() {
            "eth_chainId" => json!(format!("{CHAIN_ID:#x}")),
            "eth_blockNumber" => json!("0x10"),
            "eth_call" => {
                let call = &request["params"][0];
                let data = call["input"].as_str().or(call["data"].as_str()).unwrap();
                json!(poco::hex::encode(
                    self.call(&poco::hex::decode(data, "calldata").unwrap())
                ))
            }
            other => panic!("the proxy calls {other}, which this chain does not play"),
        };
        json!({"jsonrpc": "2.0", "id": id, "result": result})
    }
}

async fn answer(State(chain): State<FakeChain>, Json(request): Json<Value>) -> Json<Value> {
    Json(match request.as_array() {
        Some(batch) => batch.iter().map(|one| chain.answer(one)).collect(),
        None => chain.answer(&request),
    })
}

fn no_task() -> Task {
    Task {
        status: 0,
        dealid: B256::ZERO,
        idx: U256::ZERO,
        timeref: U256::ZERO,
        contributionDeadline: U256::ZERO,
        revealDeadline: U256::ZERO,
        finalDeadline: U256::ZERO,
        consensusValue: B256::ZERO,
        revealCounter: U256::ZERO,
        winnerCounter: U256::ZERO,
        contributors: Vec::new(),
        resultDigest: B256::ZERO,
        results: Default::default(),
        resultsTimestamp: U256::ZERO,
        resultsCallback: Default::default(),
    }
}

fn no_deal() -> Deal {
    let none = poco::contracts::Resource {
        pointer: Address::ZERO,
        owner: Address::ZERO,
        price: U256::ZERO,
    };
    Deal {
        app: none.clone(),
        dataset: none.clone(),
        workerpool: none,
        trust: U256::ZERO,
        category: U256::ZERO,
        tag: B256::ZERO,
        requester: Address::ZERO,
        beneficiary: Address::ZERO,
        callback: Address::ZERO,
        params: String::new(),
        startTime: U256::ZERO,
        botFirst: U256::ZERO,
        botSize: U256::ZERO,
        workerStake: U256::ZERO,
        schedulerRewardRatio: U256::ZERO,
        sponsor: Address::ZERO,
    }
}

fn no_contribution() -> Contribution {
    Contribution {
        status: 0,
        resultHash: B256::ZERO,
        resultSeal: B256::ZERO,
        enclaveChallenge: Address::ZERO,
        weight: U256::ZERO,
    }
}
