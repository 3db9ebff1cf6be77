//! The outbox and the cursor against a real node: anvil 1.7.
//!
//! Needs the anvil binary: `WORKERPOOL_ANVIL`, or the one that the repository's setup puts into `node_modules`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use alloy_primitives::{Address, B256, Bytes, address, bytes};
use alloy_signer_local::PrivateKeySigner;
use chain::{
    Cursor, CursorSettings, Fact, FactFilter, GasPolicy, Intent, MemoryOutboxStore, Node, Outbox,
    OutboxHandle, OutboxSettings, OutboxStore, Outcome, Progress, Revert, outbox::Stage,
};
use poco::{
    ids::TaskId,
    units::{BlockNumber, Wei},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    task::JoinHandle,
};

/// The first published account of every anvil.
const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
/// An address that tests put code at.
const CONTRACT: Address = address!("c0de000000000000000000000000000000000001");

/// Logs `TaskClaimed(calldata word)`: what the hub logs when a task is claimed.
fn claiming_code() -> Bytes {
    let topic = <poco::contracts::Hub::TaskClaimed as alloy_sol_types::SolEvent>::SIGNATURE_HASH;
    // PUSH0 CALLDATALOAD PUSH32 topic PUSH0 PUSH0 LOG2 STOP
    let mut code = vec![0x5f, 0x35, 0x7f];
    code.extend(topic);
    code.extend([0x5f, 0x5f, 0xa2, 0x00]);
    code.into()
}

fn anvil_binary() -> PathBuf {
    if let Some(set) = std::env::var_os("WORKERPOOL_ANVIL") {
        let set = PathBuf::from(set);
        assert!(
            set.is_file(),
            "WORKERPOOL_ANVIL names {}, which is not a file; point it at the anvil binary",
            set.display()
        );
        return set;
    }
    let found = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil");
    assert!(
        found.is_file(),
        "anvil is not installed: run ci/setup (npm install @foundry-rs/anvil-linux-amd64 in the repository root), or set \
         WORKERPOOL_ANVIL to an anvil 1.7 binary"
    );
    found
}

/// A chain of its own; ends with the test.
struct Anvil {
    _process: Child,
    node: Node,
    signer: PrivateKeySigner,
}

impl Anvil {
    /// Mines every transaction at once, unless told otherwise.
    async fn start(extra: &[&str]) -> Self {
        let mut process = Command::new(anvil_binary())
            .args(["--host", "127.0.0.1", "--port", "0", "--chain-id", "65535"])
            .args(extra)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("anvil starts");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let url = loop {
            let line = within(lines.next_line()).await.unwrap();
            let line = line.expect("anvil says where it listens before it ends");
            if let Some(place) = line.strip_prefix("Listening on ") {
                break format!("http://{place}").parse().unwrap();
            }
        };
        // Nobody reads the rest, but somebody must.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let signer: PrivateKeySigner = KEY.parse().unwrap();
        let anvil = Self {
            _process: process,
            node: Node::new(vec![url], Some(signer.address())).unwrap(),
            signer,
        };
        anvil.put_code(&claiming_code()).await;
        anvil
    }

    async fn ask(&self, method: &'static str, params: Value) -> Value {
        self.node.request(method, params).await.unwrap()
    }

    async fn put_code(&self, code: &Bytes) {
        self.ask("anvil_setCode", json!([CONTRACT, code])).await;
    }

    async fn stop_mining(&self) {
        self.ask("evm_setAutomine", json!([false])).await;
    }

    async fn mine(&self) {
        self.ask("evm_mine", json!([])).await;
    }

    async fn pooled(&self) -> u64 {
        let pool = self.ask("txpool_status", json!([])).await;
        let pending = pool["pending"].as_str().unwrap().trim_start_matches("0x");
        u64::from_str_radix(pending, 16).unwrap()
    }

    async fn until_pooled(&self, count: u64) {
        within(async {
            while self.pooled().await != count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    async fn outbox(
        &self,
        store: &Arc<MemoryOutboxStore>,
        settings: OutboxSettings,
    ) -> (OutboxHandle, JoinHandle<()>) {
        let (handle, outbox) = Outbox::start(
            self.node.clone(),
            self.signer.clone(),
            store.clone(),
            settings,
        )
        .await
        .unwrap();
        (handle, tokio::spawn(outbox.run()))
    }

    /// How many transactions of the wallet are in blocks: duplicates are looked for there, not in logs.
    async fn transactions(&self) -> Vec<(B256, Bytes)> {
        let head = self.node.head().await.unwrap().number.0;
        let mut found = Vec::new();
        for number in 0..=head {
            let block = self
                .ask(
                    "eth_getBlockByNumber",
                    json!([format!("{number:#x}"), true]),
                )
                .await;
            for tx in block["transactions"].as_array().unwrap() {
                found.push((
                    serde_json::from_value(tx["hash"].clone()).unwrap(),
                    serde_json::from_value(tx["input"].clone()).unwrap(),
                ));
            }
        }
        found
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future)
        .await
        .expect("this takes too long")
}

fn settings() -> OutboxSettings {
    OutboxSettings {
        stuck_after: Duration::from_secs(3600),
        rebroadcast_every: Duration::from_secs(3600),
        ..OutboxSettings::new(Duration::from_millis(50))
    }
}

/// Claims task `number` at the test's contract.
fn claim(number: u8) -> Intent {
    Intent {
        key: format!("claim:{number}"),
        to: CONTRACT,
        calldata: Bytes::copy_from_slice(B256::with_last_byte(number).as_slice()),
        gas: GasPolicy::estimated(),
        deadline: None,
        joins: None,
    }
}

async fn outcome(handle: &OutboxHandle, number: u8) -> Outcome {
    within(handle.outcome(&format!("claim:{number}")))
        .await
        .unwrap()
}

fn is_mined(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Mined { .. })
}

fn claimed(number: u8) -> Fact {
    Fact::Claimed {
        task: TaskId(B256::with_last_byte(number)),
    }
}

#[tokio::test]
async fn transactions_are_sent_mined_and_their_logs_are_facts() {
    let anvil = Anvil::start(&[]).await;
    let store = Arc::default();
    let (handle, _task) = anvil.outbox(&store, settings()).await;
    handle
        .submit_all((1..=5).map(claim).collect())
        .await
        .unwrap();
    for number in 1..=5 {
        let Outcome::Mined { receipt } = outcome(&handle, number).await else {
            panic!("it is mined")
        };
        assert_eq!(Fact::of_receipt(&receipt, CONTRACT), [claimed(number)]);
    }
    assert_eq!(anvil.transactions().await.len(), 5);
}

#[tokio::test]
async fn a_real_node_takes_legacy_transactions_too() {
    let anvil = Anvil::start(&[]).await;
    let store = Arc::default();
    let legacy = OutboxSettings {
        legacy: true,
        multiplier: 1300,
        ..settings()
    };
    let (handle, _task) = anvil.outbox(&store, legacy).await;
    handle.submit(claim(1)).await.unwrap();
    assert!(is_mined(&outcome(&handle, 1).await));
    let (hash, _) = anvil.transactions().await[0].clone();
    let tx = anvil.ask("eth_getTransactionByHash", json!([hash])).await;
    assert_eq!(tx["type"], "0x0");
}

#[tokio::test]
async fn what_the_contract_refuses_is_not_sent() {
    let anvil = Anvil::start(&[]).await;
    // PUSH0 PUSH0 REVERT
    anvil.put_code(&bytes!("5f5ffd")).await;
    let store = Arc::default();
    let (handle, _task) = anvil.outbox(&store, settings()).await;
    handle.submit(claim(1)).await.unwrap();
    let reason = Revert::Empty;
    assert_eq!(outcome(&handle, 1).await, Outcome::Refused { reason });
    // Error(string) "no"
    anvil
        .put_code(&bytes!("6308c379a060e01b5f52602060045260026024527f6e6f00000000000000000000000000000000000000000000000000000000000060445260645ffd"))
        .await;
    handle.submit(claim(2)).await.unwrap();
    let reason = Revert::Message("no".into());
    assert_eq!(outcome(&handle, 2).await, Outcome::Refused { reason });
    assert!(anvil.transactions().await.is_empty());
}

#[tokio::test]
async fn what_fails_in_its_block_is_told_with_the_reason() {
    let anvil = Anvil::start(&[]).await;
    anvil.stop_mining().await;
    let store = Arc::default();
    let (handle, _task) = anvil.outbox(&store, settings()).await;
    handle.submit(claim(1)).await.unwrap();
    anvil.until_pooled(1).await;
    // It passed its estimation; then the contract changes.
    anvil.put_code(&bytes!("5f5ffd")).await;
    anvil.mine().await;
    let Outcome::Reverted { receipt, .. } = outcome(&handle, 1).await else {
        panic!("it failed in the block")
    };
    assert!(!receipt.succeeded);
    assert_eq!(anvil.transactions().await.len(), 1);
}

#[tokio::test]
async fn a_stuck_transaction_is_replaced_and_one_of_its_versions_is_mined() {
    let anvil = Anvil::start(&[]).await;
    anvil.stop_mining().await;
    let store = Arc::default();
    let hasty = OutboxSettings {
        stuck_after: Duration::from_millis(100),
        // Above the base fee that the blocks below have.
        cap: Wei(500_000_000_000),
        ..settings()
    };
    let (handle, _task) = anvil.outbox(&store, hasty).await;
    handle.submit(claim(1)).await.unwrap();
    anvil.until_pooled(1).await;
    // Blocks that it is too cheap for go by.
    for _ in 0..3 {
        anvil
            .ask("anvil_setNextBlockBaseFeePerGas", json!(["0x174876e800"]))
            .await;
        anvil.mine().await;
    }
    assert!(anvil.transactions().await.is_empty());
    anvil
        .ask("anvil_setNextBlockBaseFeePerGas", json!(["0x3b9aca00"]))
        .await;
    let mut status = handle.status();
    within(status.wait_for(|status| status.replacements >= 1))
        .await
        .unwrap();
    anvil.until_pooled(1).await;
    anvil.mine().await;
    assert!(is_mined(&outcome(&handle, 1).await));
    assert_eq!(anvil.transactions().await.len(), 1);
}

#[tokio::test]
async fn an_outbox_that_dies_with_transactions_in_flight_is_taken_up_by_the_next() {
    let anvil = Anvil::start(&[]).await;
    anvil.stop_mining().await;
    let store = Arc::new(MemoryOutboxStore::default());
    let (handle, task) = anvil.outbox(&store, settings()).await;
    handle
        .submit_all((1..=3).map(claim).collect())
        .await
        .unwrap();
    anvil.until_pooled(3).await;
    task.abort();
    let _ = task.await;
    // One is mined while nobody looks, one is lost.
    let signed = store.live(anvil.signer.address()).await.unwrap();
    let hash_of = |number: u8| {
        let record = signed
            .iter()
            .find(|record| record.intent.key == format!("claim:{number}"));
        match &record.unwrap().stage {
            Stage::Sending { attempts, .. } => attempts[0].hash,
            stage => panic!("it is in flight: {stage:?}"),
        }
    };
    anvil
        .ask("anvil_dropTransaction", json!([hash_of(3)]))
        .await;
    anvil.mine().await;
    let (handle, _task) = anvil.outbox(&store, settings()).await;
    anvil.until_pooled(1).await;
    anvil.mine().await;
    for number in 1..=3 {
        assert!(is_mined(&outcome(&handle, number).await));
    }
    let sent: Vec<B256> = anvil
        .transactions()
        .await
        .into_iter()
        .map(|tx| tx.0)
        .collect();
    assert_eq!(sent, [hash_of(1), hash_of(2), hash_of(3)]);
}

#[tokio::test]
async fn a_dropped_transaction_is_broadcast_again() {
    let anvil = Anvil::start(&[]).await;
    anvil.stop_mining().await;
    let store = Arc::default();
    let often = OutboxSettings {
        rebroadcast_every: Duration::from_millis(100),
        ..settings()
    };
    let (handle, _task) = anvil.outbox(&store, often).await;
    handle.submit(claim(1)).await.unwrap();
    anvil.until_pooled(1).await;
    let pool = anvil.ask("txpool_content", json!([])).await;
    let of_wallet = pool["pending"]
        .as_object()
        .unwrap()
        .values()
        .next()
        .unwrap();
    let hash = of_wallet["0"]["hash"].clone();
    anvil.ask("anvil_dropTransaction", json!([hash])).await;
    anvil.until_pooled(1).await;
    anvil.mine().await;
    let Outcome::Mined { receipt } = outcome(&handle, 1).await else {
        panic!("it is mined")
    };
    assert_eq!(json!(receipt.tx), hash);
}

#[tokio::test]
async fn a_reorganisation_rolls_the_cursor_back_and_the_outbox_sends_again() {
    let anvil = Anvil::start(&[]).await;
    let store = Arc::default();
    let often = OutboxSettings {
        rebroadcast_every: Duration::from_millis(50),
        ..settings()
    };
    let (handle, _task) = anvil.outbox(&store, often).await;
    let filter = FactFilter {
        hub: CONTRACT,
        deals_of: None,
    };
    let quick = CursorSettings::new(BlockNumber(0), Duration::from_millis(20));
    let mut cursor = Cursor::new(anvil.node.clone(), filter, quick, None);
    handle.submit(claim(1)).await.unwrap();
    let first = outcome(&handle, 1).await;
    assert_eq!(told(&mut cursor, 1).await, [claimed(1)]);
    handle.submit(claim(2)).await.unwrap();
    outcome(&handle, 2).await;
    assert_eq!(told(&mut cursor, 2).await, [claimed(2)]);
    anvil.ask("anvil_reorg", json!([1, []])).await;
    let Progress::RolledBack { to, .. } = within(cursor.next()).await.unwrap() else {
        panic!("the chain changed")
    };
    assert_eq!(to, BlockNumber(1));
    // The same transaction comes back in a later block, the one below stays.
    assert_eq!(told(&mut cursor, 3).await, [claimed(2)]);
    assert_eq!(outcome(&handle, 1).await, first);
    assert_eq!(anvil.transactions().await.len(), 2);
}

/// The facts up to and including block `to`.
async fn told(cursor: &mut Cursor, until: u64) -> Vec<Fact> {
    let mut told = Vec::new();
    loop {
        match within(cursor.next()).await.unwrap() {
            Progress::Advanced { to, facts, .. } => {
                told.extend(facts.into_iter().map(|located| located.fact));
                if to.number >= BlockNumber(until) {
                    return told;
                }
            }
            Progress::RolledBack { to, .. } => panic!("no rollback was due: {to:?}"),
        }
    }
}

#[tokio::test]
async fn a_lowered_head_rolls_the_cursor_back_once_the_chain_goes_another_way() {
    let anvil = Anvil::start(&[]).await;
    let filter = FactFilter {
        hub: CONTRACT,
        deals_of: None,
    };
    let quick = CursorSettings::new(BlockNumber(0), Duration::from_millis(20));
    let mut cursor = Cursor::new(anvil.node.clone(), filter, quick, None);
    for number in 1..=5 {
        anvil.mine().await;
        told(&mut cursor, number).await;
    }
    anvil.ask("anvil_rollback", json!([2])).await;
    // Another branch: its blocks have other times.
    anvil.ask("evm_increaseTime", json!([1000])).await;
    anvil.mine().await;
    let Progress::RolledBack { to, .. } = within(cursor.next()).await.unwrap() else {
        panic!("the chain changed")
    };
    assert_eq!(to, BlockNumber(3));
}
