//! A pool of a few lines finishes a task, and the buyer's scripts fetch its result: proof that chain and scripts are the real thing.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_signer::Signer as _;
use alloy_sol_types::{SolCall, sol};
use devnet::{Devnet, Role, Services, Settings, TestChain};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::buyer::{buy, run};

sol! {
    function initialize(bytes32 deal, uint256 index) external returns (bytes32);
    function contributeAndFinalize(bytes32 task, bytes32 digest, bytes results, bytes callback, address enclave, bytes enclaveSign, bytes authorization) external;
}

/// Sends from an account whose key the node has, and waits until it is mined.
async fn send(devnet: &Devnet, from: Address, call: impl SolCall) {
    let hub = devnet.addresses().contracts.hub;
    let request = json!([{"from": from, "to": hub, "data": Bytes::from(call.abi_encode())}]);
    let tx: B256 = devnet.ask("eth_sendTransaction", request).await.unwrap();
    let receipt = loop {
        let receipt: Value = devnet
            .ask("eth_getTransactionReceipt", json!([tx]))
            .await
            .unwrap();
        if !receipt.is_null() {
            break receipt;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(receipt["status"], "0x1");
}

async fn complete(chain: &TestChain, deal: B256, task: B256, location: &str) {
    let address = |role| chain.accounts().find(role).unwrap().address();
    let worker = address(Role::Worker(1));
    send(
        chain.devnet(),
        worker,
        initializeCall {
            deal,
            index: U256::ZERO,
        },
    )
    .await;
    // spec onchain.md B5: keccak256(worker ‖ task ‖ enclave challenge), signed by the pool's owner as a personal message.
    let authorization =
        keccak256([worker.as_slice(), task.as_slice(), Address::ZERO.as_slice()].concat());
    let signature = chain
        .accounts()
        .find(Role::Scheduler)
        .unwrap()
        .key
        .sign_message(authorization.as_slice())
        .await
        .unwrap();
    let finish = contributeAndFinalizeCall {
        task,
        digest: keccak256("digest"),
        results: Bytes::from(
            format!("{{ \"storage\": \"ipfs\", \"location\": \"{location}\" }}").into_bytes(),
        ),
        callback: Bytes::new(),
        enclave: Address::ZERO,
        enclaveSign: Bytes::new(),
        authorization: Bytes::copy_from_slice(&signature.as_bytes()),
    };
    send(chain.devnet(), worker, finish).await;
}

/// Answers every request with the same archive, and says which path was asked for.
async fn gateway(content: &'static [u8]) -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (asked, paths) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let read = stream.read(&mut request).await.unwrap();
            let line = String::from_utf8_lossy(&request[..read])
                .lines()
                .next()
                .unwrap()
                .to_owned();
            let _listener_gone = asked.send(line.split(' ').nth(1).unwrap().to_owned());
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/zip\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                content.len()
            );
            stream
                .write_all(&[head.as_bytes(), content].concat())
                .await
                .unwrap();
        }
    });
    (url, paths)
}

#[tokio::test]
async fn the_result_of_a_finished_task_is_fetched_by_the_sdk_and_by_the_location_on_chain() {
    let (url, mut paths) = gateway(b"an archive").await;
    let services = Services {
        result_proxy: url,
        ..Services::default()
    };
    let chain = TestChain::with(Settings {
        services,
        ..Settings::default()
    })
    .await
    .unwrap();
    let sold = buy(chain.dir(), json!([{"volume": 1}])).await;
    let (deal, task) = (
        sold[0]["dealid"].as_str().unwrap(),
        sold[0]["tasks"][0].as_str().unwrap(),
    );
    complete(
        &chain,
        deal.parse().unwrap(),
        task.parse().unwrap(),
        "/ipfs/QmWhatever",
    )
    .await;

    let out = chain.dir().join("results");
    let wishes = json!({"devnet": chain.dir(), "out": out, "tasks": [task, {"task": task, "via": "location"}]});
    let fetched = run("fetch.mjs", wishes).await.unwrap();
    assert_eq!(
        [&fetched[0]["via"], &fetched[1]["via"]],
        ["sdk", "location"]
    );
    for one in &fetched {
        assert_eq!(one["location"], "/ipfs/QmWhatever");
        assert_eq!(
            std::fs::read(one["file"].as_str().unwrap()).unwrap(),
            b"an archive"
        );
        assert_eq!(paths.recv().await.unwrap(), "/ipfs/QmWhatever");
    }
}

#[tokio::test]
async fn a_task_without_result_is_an_error_in_words() {
    let chain = TestChain::start().await.unwrap();
    let sold = buy(chain.dir(), json!([{"volume": 1}])).await;
    let wishes = json!({"devnet": chain.dir(), "out": chain.dir(), "tasks": [sold[0]["tasks"][0]]});
    let words = run("fetch.mjs", wishes).await.unwrap_err();
    assert!(words.contains("has no result on the chain yet"), "{words}");
}
