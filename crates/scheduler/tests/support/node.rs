//! A chain made of memory behind JSON-RPC: blocks when something happens, the hub's views, and transactions that do what the
//! contract would. It also serves the config server's and the result proxy's one route that a scheduler asks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_eips::Decodable2718 as _;
use alloy_primitives::{Address, B256, Bytes, LogData, U256, address, b256, keccak256};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall, SolEvent, SolValue as _};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, head, post};
use axum::{Json, Router};
use poco::contracts::{AppInfo, Category, Deal, Hub, Resource, Workerpool};
use poco::ids::{DealId, TaskId};
use serde_json::{Value, json};

pub const CHAIN_ID: u64 = 65_535;
pub const HUB: Address = address!("3eca1b216a7df1c7689aeb259ffb83adfb894e7f");
pub const POOL: Address = address!("365e7babaa85ec61dffe5b520763062e6c29da27");
pub const APP: Address = address!("00000000000000000000000000000000000000a1");
pub const REQUESTER_KEY: B256 =
    b256!("7777777777777777777777777777777777777777777777777777777777777777");
const OWNER_KEY: [u8; 32] = [0x42; 32];

/// The chain. Clones are the same.
#[derive(Clone)]
pub struct FakeNode {
    chain: Arc<Mutex<Chain>>,
    url: String,
}

/// What the chain is like. Tests change it as they like.
pub struct Chain {
    pub chain_id: u64,
    pub config_chain_id: u64,
    pub sidechain: bool,
    pub pool_owner: Address,
    pub hub_has_code: bool,
    /// Wei of every account.
    pub balance: u128,
    /// Calls of these views and methods fail like a broken node.
    pub failing: BTreeSet<String>,
    /// Tasks whose result the result proxy has.
    pub uploaded: BTreeSet<TaskId>,
    /// Selectors of the transactions that were mined, in order.
    pub mined: Vec<[u8; 4]>,
    blocks: Vec<Block>,
    deals: BTreeMap<B256, Deal>,
    receipts: BTreeMap<B256, Value>,
    nonce: u64,
}

struct Block {
    hash: B256,
    time: u64,
    logs: Vec<(LogData, B256)>,
}

fn seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

impl FakeNode {
    /// A chain with two fresh blocks.
    pub async fn start() -> Self {
        let owner = PrivateKeySigner::from_slice(&OWNER_KEY).unwrap().address();
        let chain = Chain {
            chain_id: CHAIN_ID,
            config_chain_id: CHAIN_ID,
            sidechain: false,
            pool_owner: owner,
            hub_has_code: true,
            balance: 10_u128.pow(18),
            failing: BTreeSet::new(),
            uploaded: BTreeSet::new(),
            mined: Vec::new(),
            blocks: Vec::new(),
            deals: BTreeMap::new(),
            receipts: BTreeMap::new(),
            nonce: 0,
        };
        let chain = Arc::new(Mutex::new(chain));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let node = Self { chain, url };
        // Block 0 would look like a node that knows nothing yet.
        node.mine(&[]);
        node.mine(&[]);
        let routes = Router::new()
            .route("/", post(answer))
            .route("/config/chain", get(config))
            .route("/v1/results/token", post(async || "token"))
            .route("/v1/results/{task}", head(has_result))
            .with_state(node.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        node
    }

    pub fn url(&self) -> String {
        self.url.clone()
    }

    pub fn owner(&self) -> PrivateKeySigner {
        PrivateKeySigner::from_slice(&OWNER_KEY).unwrap()
    }

    pub fn requester() -> PrivateKeySigner {
        PrivateKeySigner::from_bytes(&REQUESTER_KEY).unwrap()
    }

    pub fn chain(&self) -> MutexGuard<'_, Chain> {
        self.chain.lock().unwrap()
    }

    pub fn head(&self) -> u64 {
        self.chain().blocks.len() as u64 - 1
    }

    /// A block with these logs of the hub.
    pub fn mine(&self, logs: &[LogData]) -> u64 {
        self.chain().mine(
            logs.iter()
                .map(|log| (log.clone(), B256::repeat_byte(0xee)))
                .collect(),
        )
    }

    /// A block in which the chain's clock is this much ahead of ours.
    pub fn mine_ahead(&self, by: Duration) -> u64 {
        let number = self.mine(&[]);
        self.chain().blocks.last_mut().unwrap().time += by.as_secs();
        number
    }

    /// The newest block becomes an hour old.
    pub fn grow_stale(&self) {
        self.chain().blocks.last_mut().unwrap().time = seconds() - 3600;
    }

    /// A deal of `tasks` standard tasks.
    pub fn buy(&self, tasks: u64, trust: u64) -> DealId {
        self.buy_tagged(tasks, trust, B256::ZERO)
    }

    /// A deal of `tasks` tasks that demand what the tag says.
    pub fn buy_tagged(&self, tasks: u64, trust: u64, tag: B256) -> DealId {
        let id = {
            let mut chain = self.chain();
            let id = keccak256((chain.deals.len() as u64).to_be_bytes());
            let resource = |pointer| Resource {
                pointer,
                owner: APP,
                price: U256::ZERO,
            };
            let requester = Self::requester().address();
            let deal = Deal {
                app: resource(APP),
                dataset: resource(Address::ZERO),
                workerpool: Resource {
                    owner: chain.pool_owner,
                    ..resource(POOL)
                },
                trust: U256::from(trust),
                category: U256::ZERO,
                tag,
                requester,
                beneficiary: requester,
                callback: Address::ZERO,
                params: r#"{"iexec_args":"--mode fast","iexec_result_storage_provider":"ipfs"}"#
                    .to_owned(),
                startTime: U256::from(seconds()),
                botFirst: U256::ZERO,
                botSize: U256::from(tasks),
                workerStake: U256::ZERO,
                schedulerRewardRatio: U256::ZERO,
                sponsor: Address::ZERO,
            };
            chain.deals.insert(id, deal);
            id
        };
        self.mine(&[Hub::SchedulerNotice {
            workerpool: POOL,
            dealid: id,
        }
        .encode_log_data()]);
        DealId(id)
    }

    /// A block in which a worker contributes, and the block's number.
    pub fn contribute(&self, task: TaskId, worker: Address, hash: B256) -> u64 {
        self.mine(&[Hub::TaskContribute {
            taskid: task.0,
            worker,
            hash,
        }
        .encode_log_data()])
    }

    pub fn consensus(&self, task: TaskId, consensus: B256) -> u64 {
        self.mine(&[Hub::TaskConsensus {
            taskid: task.0,
            consensus,
        }
        .encode_log_data()])
    }

    pub fn reveal(&self, task: TaskId, worker: Address, digest: B256) -> u64 {
        self.mine(&[Hub::TaskReveal {
            taskid: task.0,
            worker,
            digest,
        }
        .encode_log_data()])
    }
}

impl Chain {
    fn mine(&mut self, logs: Vec<(LogData, B256)>) -> u64 {
        let number = self.blocks.len() as u64;
        let hash = keccak256([&number.to_be_bytes()[..], b"block"].concat());
        self.blocks.push(Block {
            hash,
            time: seconds(),
            logs,
        });
        number
    }

    fn block(&self, number: u64) -> Value {
        let Some(block) = usize::try_from(number)
            .ok()
            .and_then(|at| self.blocks.get(at))
        else {
            return Value::Null;
        };
        let parent = number
            .checked_sub(1)
            .map_or(B256::ZERO, |below| self.blocks[below as usize].hash);
        json!({"number": quantity(number), "hash": block.hash, "parentHash": parent,
               "timestamp": quantity(block.time), "gasLimit": "0x1c9c380"})
    }

    fn logs(&self, filter: &Value) -> Value {
        let number =
            |name: &str| u64::from_str_radix(&filter[name].as_str().unwrap()[2..], 16).unwrap();
        let mut found = Vec::new();
        for number in number("fromBlock")..=number("toBlock").min(self.blocks.len() as u64 - 1) {
            let block = &self.blocks[number as usize];
            for (index, (log, tx)) in block.logs.iter().enumerate() {
                found.push(json!({"address": HUB, "topics": log.topics(), "data": log.data,
                    "blockNumber": quantity(number), "blockHash": block.hash, "transactionHash": tx,
                    "transactionIndex": "0x0", "logIndex": quantity(index as u64), "removed": false}));
            }
        }
        Value::Array(found)
    }

    fn call(&self, request: &Value) -> Result<Bytes, String> {
        let data: Bytes = serde_json::from_value(request["data"].clone()).unwrap();
        let selector: [u8; 4] = data[..4].try_into().unwrap();
        let failing = |name: &str| {
            if self.failing.contains(name) {
                Err("the node is broken".to_owned())
            } else {
                Ok(())
            }
        };
        Ok(match selector {
            Workerpool::ownerCall::SELECTOR => self.pool_owner.abi_encode(),
            Hub::viewDealCall::SELECTOR => {
                failing("viewDeal")?;
                let id = Hub::viewDealCall::abi_decode(&data).unwrap().dealid;
                let none = || Hub::viewDealCall::abi_decode_returns(&[0; 32 * 60]).ok();
                match self.deals.get(&id).cloned().or_else(none) {
                    Some(deal) => Hub::viewDealCall::abi_encode_returns(&deal),
                    None => Vec::new(),
                }
            }
            Hub::viewCategoryCall::SELECTOR => {
                Hub::viewCategoryCall::abi_encode_returns(&Category {
                    name: "XS".to_owned(),
                    description: "{}".to_owned(),
                    workClockTimeRef: U256::from(300),
                })
            }
            Hub::viewAppCall::SELECTOR => Hub::viewAppCall::abi_encode_returns(&AppInfo {
                owner: APP,
                m_appName: "app".to_owned(),
                m_appType: "DOCKER".to_owned(),
                m_appMultiaddr: Bytes::from_static(b"docker.io/org/app:1.0"),
                m_appChecksum: B256::ZERO,
                m_appMREnclave: Bytes::new(),
            }),
            Hub::viewScoreCall::SELECTOR | Hub::callbackgasCall::SELECTOR => {
                U256::ZERO.abi_encode()
            }
            Hub::contribution_deadline_ratioCall::SELECTOR => U256::from(7).abi_encode(),
            Hub::final_deadline_ratioCall::SELECTOR => U256::from(10).abi_encode(),
            other => return Err(format!("this chain has no view {other:02x?}")),
        }
        .into())
    }

    /// Takes a transaction and mines it at once, with what the contract would log.
    fn send(&mut self, raw: &Bytes) -> B256 {
        let tx = TxEnvelope::decode_2718(&mut raw.as_ref()).unwrap();
        let (hash, input) = (*tx.tx_hash(), tx.input().clone());
        if self.receipts.contains_key(&hash) {
            return hash;
        }
        assert_eq!(tx.nonce(), self.nonce, "nonces have no gap");
        self.nonce += 1;
        let selector: [u8; 4] = input[..4].try_into().unwrap();
        self.mined.push(selector);
        let initialized = |dealid: B256, index: U256| {
            let taskid = TaskId::of(DealId(dealid), index.to()).0;
            Hub::TaskInitialize {
                taskid,
                workerpool: POOL,
            }
            .encode_log_data()
        };
        let logs = match selector {
            Hub::initializeCall::SELECTOR => {
                let call = Hub::initializeCall::abi_decode(&input).unwrap();
                vec![initialized(call.dealid, call.idx)]
            }
            Hub::initializeArrayCall::SELECTOR => {
                let call = Hub::initializeArrayCall::abi_decode(&input).unwrap();
                let each = call.dealids.into_iter().zip(call.idxs);
                each.map(|(deal, index)| initialized(deal, index)).collect()
            }
            Hub::finalizeCall::SELECTOR => {
                let call = Hub::finalizeCall::abi_decode(&input).unwrap();
                let finalized = Hub::TaskFinalize {
                    taskid: call.taskid,
                    results: call.results,
                };
                vec![finalized.encode_log_data()]
            }
            Hub::claimCall::SELECTOR => {
                let taskid = Hub::claimCall::abi_decode(&input).unwrap().taskid;
                vec![Hub::TaskClaimed { taskid }.encode_log_data()]
            }
            other => panic!("this chain has no function {other:02x?}"),
        };
        let number = self.mine(logs.into_iter().map(|log| (log, hash)).collect());
        let receipt = json!({"transactionHash": hash, "blockNumber": quantity(number),
            "blockHash": self.blocks[number as usize].hash, "status": "0x1", "gasUsed": "0x5208",
            "effectiveGasPrice": "0x1", "logs": []});
        self.receipts.insert(hash, receipt);
        hash
    }

    fn method(&mut self, method: &str, params: &Value) -> Result<Value, String> {
        if self.failing.contains(method) || self.failing.contains("everything") {
            return Err("the node is broken".to_owned());
        }
        Ok(match method {
            "eth_chainId" => json!(quantity(self.chain_id)),
            "eth_getBlockByNumber" => match params[0].as_str().unwrap() {
                "latest" => self.block(self.blocks.len() as u64 - 1),
                number => self.block(u64::from_str_radix(&number[2..], 16).unwrap()),
            },
            "eth_getLogs" => self.logs(&params[0]),
            "eth_getCode" => {
                let at: Address = serde_json::from_value(params[0].clone()).unwrap();
                json!(if at == POOL || (at == HUB && self.hub_has_code) {
                    "0x60"
                } else {
                    "0x"
                })
            }
            "eth_getBalance" => json!(format!("{:#x}", self.balance)),
            "eth_gasPrice" => json!("0x1"),
            "eth_estimateGas" => json!("0x30d40"),
            "eth_getTransactionCount" => json!(quantity(self.nonce)),
            "eth_sendRawTransaction" => {
                json!(self.send(&serde_json::from_value(params[0].clone()).unwrap()))
            }
            "eth_getTransactionReceipt" | "eth_getTransactionByHash" => {
                let hash: B256 = serde_json::from_value(params[0].clone()).unwrap();
                self.receipts.get(&hash).cloned().unwrap_or(Value::Null)
            }
            "eth_call" => json!(self.call(&params[0])?),
            other => panic!("this chain has no method {other}"),
        })
    }
}

async fn answer(
    State(node): State<FakeNode>,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let one = |request: &Value| {
        let id = &request["id"];
        match node
            .chain()
            .method(request["method"].as_str().unwrap(), &request["params"])
        {
            Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
            Err(error) => {
                json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32000, "message": error}})
            }
        }
    };
    let answer = match &body {
        Value::Array(requests) => Value::Array(requests.iter().map(one).collect()),
        request => one(request),
    };
    (StatusCode::OK, Json(answer))
}

async fn config(State(node): State<FakeNode>) -> Json<Value> {
    let chain = node.chain();
    Json(
        json!({"chainId": chain.config_chain_id, "sidechain": chain.sidechain, "chainNodeUrl": node.url,
                "iexecHubContractAddress": HUB, "blockTime": "PT0.1S"}),
    )
}

async fn has_result(State(node): State<FakeNode>, Path(task): Path<String>) -> StatusCode {
    let there = task
        .parse()
        .is_ok_and(|task| node.chain().uploaded.contains(&task));
    if there {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::NOT_FOUND
    }
}

fn quantity(number: u64) -> String {
    format!("{number:#x}")
}

/// As long as the chain's blocks are apart.
pub const BLOCK_TIME: Duration = Duration::from_millis(100);
