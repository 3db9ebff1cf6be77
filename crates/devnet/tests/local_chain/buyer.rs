//! The unmodified SDK buys on our chain, with no service running.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use alloy_primitives::{Address, B256, U256};
use devnet::{Devnet, Role, TestChain};
use serde_json::{Value, json};

use crate::views::{ask, viewAccountCall, viewDealCall};

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs a script of `e2e/sdk`: one JSON value per line it prints, or its words when it fails.
pub(crate) async fn run(script: &str, spec: Value) -> Result<Vec<Value>, String> {
    let mut command = tokio::process::Command::new("node");
    command
        .arg(repository().join("e2e/sdk").join(script))
        .arg(spec.to_string());
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("node runs");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let lines = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    Ok(lines
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect())
}

/// Buys at 1 RLC for the application and 2 for the pool, with what the files in `dir` say; one JSON value per deal.
pub(crate) async fn buy(dir: &Path, deals: Value) -> Vec<Value> {
    run(
        "buy.mjs",
        json!({"devnet": dir, "appPrice": "1 RLC", "poolPrice": "2 RLC", "deals": deals}),
    )
    .await
    .unwrap()
}

pub(crate) async fn deal(devnet: &Devnet, sold: &Value) -> crate::views::Deal {
    let deal: B256 = sold["dealid"].as_str().unwrap().parse().unwrap();
    ask(
        devnet,
        devnet.addresses().contracts.hub,
        viewDealCall { deal },
    )
    .await
}

#[tokio::test]
async fn the_sdk_deposits_and_buys_a_bag_and_a_trusted_task() {
    let chain = TestChain::start().await.unwrap();
    let sold = buy(chain.dir(), json!([{"volume": 3, "trust": 1, "args": "hello world"}, {"volume": 1, "trust": 3, "args": "again"}])).await;
    assert_eq!(sold.len(), 2);

    let bag = deal(chain.devnet(), &sold[0]).await;
    assert_eq!(
        (bag.trust, bag.botFirst, bag.botSize),
        (U256::ONE, U256::ZERO, U256::from(3))
    );
    assert_eq!(bag.tag, B256::ZERO);
    assert_eq!(
        bag.params,
        r#"{"iexec_result_storage_provider":"ipfs","iexec_args":"hello world"}"#
    );
    assert_eq!(
        (bag.app.pointer, bag.workerpool.pointer),
        (chain.addresses().app.unwrap(), chain.addresses().workerpool)
    );
    let owner = |role| chain.accounts().find(role).unwrap().address();
    assert_eq!(
        (bag.app.owner, bag.workerpool.owner, bag.requester),
        (
            owner(Role::AppProvider),
            owner(Role::Scheduler),
            owner(Role::Requester)
        )
    );

    let trusted = deal(chain.devnet(), &sold[1]).await;
    assert_eq!((trusted.trust, trusted.botSize), (U256::from(3), U256::ONE));

    // spec onchain.md A13: the requester's 3 RLC per task are locked, the pool's owner locks 30 % of 2 RLC per task.
    let account = async |address: Address| {
        ask(
            chain.devnet(),
            chain.addresses().contracts.hub,
            viewAccountCall { account: address },
        )
        .await
    };
    assert_eq!(
        account(owner(Role::Requester)).await.locked,
        U256::from(4 * 3_000_000_000_u64)
    );
    assert_eq!(
        account(owner(Role::Scheduler)).await.locked,
        U256::from(4 * 600_000_000_u64)
    );
}

#[tokio::test]
async fn task_ids_printed_by_the_buyer_are_those_of_the_protocol() {
    let chain = TestChain::start().await.unwrap();
    let sold = buy(chain.dir(), json!([{"volume": 2, "args": "x"}])).await;
    let deal: B256 = sold[0]["dealid"].as_str().unwrap().parse().unwrap();
    // spec onchain.md B2.2: keccak256(dealid ‖ index)
    let expected: Vec<String> = (0..2_u64)
        .map(|index| {
            alloy_primitives::keccak256([deal.0, U256::from(index).to_be_bytes::<32>()].concat())
                .to_string()
        })
        .collect();
    assert_eq!(sold[0]["tasks"], json!(expected));
}

#[tokio::test]
async fn the_command_lines_of_both_sdk_versions_work_with_the_written_files() {
    let chain = TestChain::start().await.unwrap();
    let requester = chain.dir().join("wallets/requester.key.json");
    std::fs::copy(requester, chain.dir().join("wallet.json")).unwrap();
    for package in ["iexec", "iexec8"] {
        let program = repository()
            .join("node_modules")
            .join(package)
            .join("dist/esm/cli/cmd/iexec.js");
        let iexec = async |words: &[&str]| -> Value {
            let mut command = tokio::process::Command::new("node");
            command
                .arg(&program)
                .args(words)
                .arg("--raw")
                .current_dir(chain.dir());
            let output = command
                .stdin(Stdio::null())
                .kill_on_drop(true)
                .output()
                .await
                .unwrap();
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
                panic!("{package}: {}", String::from_utf8_lossy(&output.stderr))
            })
        };
        // spec devnet.md §15, 2 and 3
        let info = iexec(&["info"]).await;
        assert_eq!(info["pocoVersion"], "6.1.0");
        let contracts = chain.addresses().contracts;
        let found = [
            "hubAddress",
            "rlcAddress",
            "appRegistryAddress",
            "datasetRegistryAddress",
            "workerpoolRegistryAddress",
        ]
        .map(|name| info[name].as_str().unwrap().parse::<Address>().unwrap());
        assert_eq!(
            found,
            [
                contracts.hub,
                contracts.rlc,
                contracts.app_registry,
                contracts.dataset_registry,
                contracts.workerpool_registry
            ]
        );
        assert_eq!(iexec(&["account", "deposit", "1", "RLC"]).await["ok"], true);
    }
    let requester = chain.accounts().find(Role::Requester).unwrap().address();
    let stake = ask(
        chain.devnet(),
        chain.addresses().contracts.hub,
        viewAccountCall { account: requester },
    )
    .await
    .stake;
    assert_eq!(stake, U256::from(2_000_000_000_u64));
}

#[tokio::test]
async fn the_buyer_registers_an_application_and_a_pool_when_told_to_and_pays_nothing_for_nothing() {
    let chain = TestChain::start().await.unwrap();
    let account = |role| chain.accounts().find(role).unwrap();
    let key = |role| account(role).key.to_bytes();
    let spec = json!({
        "rpc": chain.rpc_url(),
        "hub": chain.addresses().contracts.hub,
        "keys": {"requester": key(Role::Requester), "appOwner": key(Role::AppProvider), "poolOwner": key(Role::Scheduler)},
        "app": {"name": "another", "image": "127.0.0.1:1/another:2"},
        "workerpool": {"description": "another pool"},
        "deals": [{"volume": 1, "category": 2, "params": {"iexec_args": "given whole"}, "repeat": 2}],
    });
    let sold = run("buy.mjs", spec).await.unwrap();
    assert_eq!(sold.len(), 2);
    let bought = deal(chain.devnet(), &sold[1]).await;
    assert_ne!(bought.app.pointer, chain.addresses().app.unwrap());
    assert_ne!(bought.workerpool.pointer, chain.addresses().workerpool);
    assert_eq!(
        (bought.category, bought.workerpool.price),
        (U256::from(2), U256::ZERO)
    );
    assert!(bought.params.contains("given whole"));
    let requester = account(Role::Requester).address();
    let stake = ask(
        chain.devnet(),
        chain.addresses().contracts.hub,
        viewAccountCall { account: requester },
    )
    .await;
    assert_eq!((stake.stake, stake.locked), (U256::ZERO, U256::ZERO));
}
