//! The chain that fake nodes serve: blocks, logs, one wallet's transactions and a pool.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use alloy_consensus::{Transaction, TxEnvelope};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{Address, B256, Bloom, Bytes, LogData, U256, address, keccak256};
use serde_json::{Value, json};

pub type SharedWorld = Arc<Mutex<World>>;
type Refusal = (i64, String, Option<String>);

pub fn hub() -> Address {
    address!("b2157bf2fab286b2a4170e3491ac39770111da3e")
}

#[derive(Clone, Debug)]
pub struct FakeBlock {
    pub number: u64,
    pub hash: B256,
    parent: B256,
    txs: Vec<B256>,
    logs: Vec<LogData>,
}

/// A transaction as a node read it.
#[derive(Clone, Debug)]
pub struct FakeTx {
    pub hash: B256,
    pub nonce: u64,
    pub max_fee: u128,
    pub legacy: bool,
    pub gas: u64,
    pub input: Bytes,
    pub raw: Bytes,
}

pub struct World {
    pub blocks: Vec<FakeBlock>,
    /// Waiting transactions by nonce.
    pub pool: BTreeMap<u64, FakeTx>,
    /// Every transaction a node ever took.
    pub seen: BTreeMap<B256, FakeTx>,
    /// `None` on a chain without EIP-1559.
    pub base_fee: Option<u128>,
    pub balance: U256,
    pub estimate: u64,
    /// Every transaction is mined at once.
    pub instant: bool,
    /// Blocks leave the pool alone.
    pub ignoring: bool,
    /// The pool takes no transaction whose nonce leaves a gap.
    pub takes_no_gaps: bool,
    /// Payloads that fail in a block.
    pub fails: Vec<Bytes>,
    /// A call that has one of these bytes in it, as a word, is refused: what the contract knows as done.
    pub refuses: Vec<B256>,
    /// Gas for each 32 bytes of arguments, on top of `estimate`.
    pub estimate_per_word: u64,
    pub gas_limit: u64,
    /// What every receipt has as logs, but for the places.
    pub receipt_logs: Vec<Value>,
    /// Put `blockTimestamp` into logs.
    pub timed_logs: bool,
    /// Logs that the nodes have and do not give.
    pub hidden_logs: bool,
    /// The block that is not found by its number.
    pub lost: Option<u64>,
    /// The most blocks one `eth_getLogs` may span.
    pub range_limit: Option<u64>,
    fork: u64,
}

impl World {
    pub fn new() -> SharedWorld {
        let mut world = Self {
            blocks: Vec::new(),
            pool: BTreeMap::new(),
            seen: BTreeMap::new(),
            base_fee: Some(1_000_000_000),
            balance: U256::from(10u128.pow(18)),
            estimate: 100_000,
            instant: false,
            ignoring: false,
            takes_no_gaps: false,
            fails: Vec::new(),
            refuses: Vec::new(),
            estimate_per_word: 0,
            gas_limit: 30_000_000,
            receipt_logs: Vec::new(),
            timed_logs: true,
            hidden_logs: false,
            lost: None,
            range_limit: None,
            fork: 0,
        };
        world.mine();
        Arc::new(Mutex::new(world))
    }

    pub fn head(&self) -> &FakeBlock {
        self.blocks.last().unwrap()
    }

    /// A block with what the pool has.
    pub fn mine(&mut self) -> u64 {
        self.mine_with(Vec::new())
    }

    pub fn mine_many(&mut self, count: u64) {
        for _ in 0..count {
            self.mine();
        }
    }

    /// A block with logs of the hub.
    pub fn mine_with(&mut self, logs: Vec<LogData>) -> u64 {
        let mut nonce = self.mined_count();
        let mut txs = Vec::new();
        while let Some(tx) = self.pool.remove(&nonce) {
            if self.ignoring || self.base_fee.is_some_and(|base| tx.max_fee < base) {
                self.pool.insert(nonce, tx);
                break;
            }
            txs.push(tx.hash);
            nonce += 1;
        }
        let (number, parent) = self
            .blocks
            .last()
            .map_or((0, B256::ZERO), |last| (last.number + 1, last.hash));
        self.push(number, parent, txs, logs);
        number
    }

    fn push(&mut self, number: u64, parent: B256, txs: Vec<B256>, logs: Vec<LogData>) {
        let hash = keccak256(format!("{parent} {number} {} {txs:?}", self.fork));
        self.blocks.push(FakeBlock {
            number,
            hash,
            parent,
            txs,
            logs,
        });
    }

    /// Replaces the last `depth` blocks by empty ones; their transactions are gone.
    pub fn reorg(&mut self, depth: usize) {
        self.fork += 1;
        let stays = self.blocks.len() - depth;
        let gone = self.blocks.split_off(stays);
        for old in gone {
            let parent = self.head().hash;
            self.push(old.number, parent, Vec::new(), Vec::new());
        }
    }

    /// Lowers the head by `depth`.
    pub fn roll_back(&mut self, depth: usize) {
        self.fork += 1;
        self.blocks.truncate(self.blocks.len() - depth);
    }

    /// Somebody else uses the wallet: a transaction of theirs is mined at the next nonce.
    pub fn foreign_tx(&mut self) {
        let nonce = self.mined_count();
        self.pool.remove(&nonce);
        let hash = keccak256(format!("foreign {nonce}"));
        let tx = FakeTx {
            hash,
            nonce,
            max_fee: u128::MAX,
            legacy: true,
            gas: 21_000,
            input: Bytes::from_static(b"foreign"),
            raw: Bytes::new(),
        };
        self.seen.insert(hash, tx.clone());
        self.pool.insert(nonce, tx);
        self.mine();
    }

    /// Transactions in blocks, in order.
    pub fn mined(&self) -> Vec<FakeTx> {
        self.blocks
            .iter()
            .flat_map(|block| &block.txs)
            .map(|hash| self.seen[hash].clone())
            .collect()
    }

    fn mined_count(&self) -> u64 {
        self.blocks.iter().map(|block| block.txs.len() as u64).sum()
    }

    fn pending_count(&self) -> u64 {
        let mined = self.mined_count();
        let waiting = (mined..).take_while(|nonce| self.pool.contains_key(nonce));
        mined + waiting.count() as u64
    }

    fn take(&mut self, raw: Bytes) -> Result<Value, Refusal> {
        let envelope = TxEnvelope::decode_2718(&mut raw.as_ref()).unwrap();
        let tx = FakeTx {
            hash: keccak256(&raw),
            nonce: envelope.nonce(),
            max_fee: envelope.max_fee_per_gas(),
            legacy: envelope.is_legacy(),
            gas: envelope.gas_limit(),
            input: envelope.input().clone(),
            raw,
        };
        let refuse = |text: &str| Err((-32000, text.to_owned(), None));
        if tx.nonce < self.mined_count() {
            return refuse("nonce too low");
        }
        if self.takes_no_gaps && tx.nonce > self.pending_count() {
            return refuse("nonce too high");
        }
        if let Some(old) = self.pool.get(&tx.nonce) {
            if old.hash == tx.hash {
                return refuse("already known");
            }
            if tx.max_fee * 10 < old.max_fee * 11 {
                return refuse("replacement transaction underpriced");
            }
        }
        let hash = tx.hash;
        self.seen.insert(hash, tx.clone());
        self.pool.insert(tx.nonce, tx);
        if self.instant {
            self.mine();
        }
        Ok(json!(hash))
    }

    pub fn answer(
        &mut self,
        method: &str,
        params: &Value,
        horizon: Option<u64>,
    ) -> Result<Value, Refusal> {
        let known = |block: &&FakeBlock| horizon.is_none_or(|horizon| block.number <= horizon);
        Ok(match method {
            "eth_chainId" => json!("0x539"),
            "eth_gasPrice" => hex(self.base_fee.unwrap_or(2_000_000_000)),
            "eth_maxPriorityFeePerGas" => hex(100_000_000),
            "eth_getBalance" => json!(self.balance),
            "eth_estimateGas" => {
                let data: Bytes = serde_json::from_value(params[0]["data"].clone()).unwrap();
                if self.is_refused(&data) {
                    return Err((3, "execution reverted".into(), Some("0x".into())));
                }
                let words = data.len() as u64 / 32;
                hex(u128::from(self.estimate + words * self.estimate_per_word))
            }
            "eth_call" => json!("0x"),
            "eth_getBlockByNumber" => {
                let found = if params[0] == "latest" {
                    self.blocks.iter().rfind(known)
                } else {
                    let number = number(&params[0]);
                    self.blocks
                        .iter()
                        .filter(known)
                        .find(|block| block.number == number && self.lost != Some(number))
                };
                found.map_or(Value::Null, |block| self.block_json(block))
            }
            "eth_getTransactionCount" => {
                let count = if params[1] == "latest" {
                    self.mined_count()
                } else {
                    self.pending_count()
                };
                hex(count.into())
            }
            "eth_sendRawTransaction" => {
                let raw: Bytes = serde_json::from_value(params[0].clone()).unwrap();
                return self.take(raw);
            }
            "eth_getTransactionReceipt" => self.receipt_json(&params[0]),
            "eth_getTransactionByHash" => {
                let hash: B256 = serde_json::from_value(params[0].clone()).unwrap();
                let waits = self.pool.values().any(|tx| tx.hash == hash);
                let is_mined = self.mined().iter().any(|tx| tx.hash == hash);
                if waits || is_mined {
                    json!({"hash": hash})
                } else {
                    Value::Null
                }
            }
            "eth_getLogs" => {
                let (from, to) = (
                    number(&params[0]["fromBlock"]),
                    number(&params[0]["toBlock"]),
                );
                if self.range_limit.is_some_and(|limit| to - from + 1 > limit) {
                    return Err((
                        -32005,
                        "query returned more than 10000 results".into(),
                        None,
                    ));
                }
                if self.hidden_logs {
                    return Ok(json!([]));
                }
                let blocks = self.blocks.iter().filter(known);
                let logs: Vec<Value> = blocks
                    .filter(|block| (from..=to).contains(&block.number))
                    .flat_map(|block| self.logs_json(block))
                    .collect();
                json!(logs)
            }
            other => return Err((-32601, format!("the method {other} does not exist"), None)),
        })
    }

    fn is_refused(&self, data: &Bytes) -> bool {
        let words = data.get(4..).unwrap_or_default().chunks_exact(32);
        words
            .map(B256::from_slice)
            .any(|word| self.refuses.contains(&word))
    }

    fn block_json(&self, block: &FakeBlock) -> Value {
        let mut bloom = Bloom::ZERO;
        for log in &block.logs {
            bloom.accrue_raw_log(hub(), log.topics());
        }
        let mut json = json!({
            "number": hex(block.number.into()),
            "hash": block.hash,
            "parentHash": block.parent,
            "timestamp": hex(timestamp(block.number).into()),
            "gasLimit": hex(self.gas_limit.into()),
            "logsBloom": bloom,
            "transactions": [],
        });
        if let Some(base) = self.base_fee {
            json["baseFeePerGas"] = hex(base);
        }
        json
    }

    fn logs_json(&self, block: &FakeBlock) -> Vec<Value> {
        let mut logs = Vec::new();
        for (index, data) in block.logs.iter().enumerate() {
            let mut log = json!({
                "address": hub(),
                "topics": data.topics(),
                "data": data.data,
                "blockNumber": hex(block.number.into()),
                "blockHash": block.hash,
                "transactionHash": keccak256(block.hash),
                "transactionIndex": "0x0",
                "logIndex": hex(index as u128),
                "removed": false,
            });
            if self.timed_logs {
                log["blockTimestamp"] = hex(timestamp(block.number).into());
            }
            logs.push(log);
        }
        logs
    }

    fn receipt_json(&self, hash: &Value) -> Value {
        let hash: B256 = serde_json::from_value(hash.clone()).unwrap();
        let Some(block) = self.blocks.iter().find(|block| block.txs.contains(&hash)) else {
            return Value::Null;
        };
        let failed = self.fails.contains(&self.seen[&hash].input);
        json!({
            "transactionHash": hash,
            "blockNumber": hex(block.number.into()),
            "blockHash": block.hash,
            "status": if failed { "0x0" } else { "0x1" },
            "gasUsed": "0x5208",
            "effectiveGasPrice": "0x3b9aca00",
            "logs": self.receipt_logs,
        })
    }
}

pub fn timestamp(block: u64) -> u64 {
    1_700_000_000 + block * 2
}

fn hex(number: u128) -> Value {
    json!(format!("{number:#x}"))
}

fn number(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}
