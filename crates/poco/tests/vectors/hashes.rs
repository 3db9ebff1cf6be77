//! Ids, hashes, digests and addresses.

use alloy_primitives::{B256, keccak256};
use alloy_sol_types::SolCall;
use poco::contracts::{App, AppRegistry, Dataset, DatasetRegistry, Workerpool, WorkerpoolRegistry};
use poco::ids::{DealId, TaskId};
use poco::{assets, contribution, digest, lax_hex};
use serde_json::Value;

use crate::entry::{Entry, Read, blob};

pub(crate) fn concatenate_and_hash(entry: &Entry) {
    let texts: Vec<&str> = entry
        .inputs
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t.as_str().unwrap())
        .collect();
    assert_eq!(
        hash_text(lax_hex::concatenate_and_hash(&texts)),
        entry.expected
    );
}

pub(crate) fn lax_hex(entry: &Entry) {
    let bytes = lax_hex::decode(entry.inputs.as_str().unwrap());
    assert_eq!(poco::hex::encode(bytes), entry.expected);
}

pub(crate) fn deal_id(entry: &Entry) {
    let deal = DealId::of(
        entry.inputs.word("requestOrderHash"),
        entry.inputs.number("consumedBefore"),
    );
    assert_eq!(deal.to_string(), entry.expected);
}

pub(crate) fn task_id(entry: &Entry) {
    let deal = entry.inputs.text("dealId").parse().unwrap();
    let task = TaskId::of(deal, entry.inputs.number("index"));
    assert_eq!(task.to_string(), entry.expected);
}

pub(crate) fn result_hash_and_seal(entry: &Entry) {
    let (task, digest) = (
        entry.inputs.task("chainTaskId"),
        entry.inputs.word("resultDigest"),
    );
    assert_eq!(digest, keccak256(entry.inputs.text("digestPreimageUtf8")));
    assert_eq!(
        contribution::result_hash(task, digest),
        entry.expected.word("resultHash")
    );
    assert_eq!(
        contribution::result_seal(entry.inputs.account("workerWallet"), task, digest),
        entry.expected.word("resultSeal")
    );
}

pub(crate) fn result_digest(entry: &Entry) {
    let inputs = &entry.inputs;
    match entry.id.as_str() {
        "input-file-name" => {
            assert_eq!(digest::input_file_name(inputs.text("uri")), entry.expected);
        }
        "digest-callback" => {
            let bytes = digest::callback_bytes(inputs.text("callbackData"));
            assert_eq!(hash_text(digest::callback(&bytes)), entry.expected);
        }
        // The zip itself is the result proxy's; here the digest it holds must lead to the hash on the chain.
        "result-proxy-zip" => assert_eq!(
            contribution::result_hash(
                inputs.task("chainTaskId"),
                entry.expected.word("resultDigest")
            ),
            entry.expected.word("resultHash")
        ),
        // An enclave image makes another digest of the same folder. Ours must be the standard worker's.
        "digest-tree-edge-postcompute" => {
            let java = Entry::all("result-digest")
                .into_iter()
                .find(|e| e.id == "digest-tree-edge-java")
                .unwrap();
            assert_ne!(hash_text(folder(&java.inputs["files"])), entry.expected);
        }
        "digest-empty-dir-postcompute" => {
            assert_ne!(hash_text(folder(&inputs["files"])), entry.expected);
        }
        "digest-file" | "digest-file-worker" => {
            let content = inputs["file"].text("utf8").as_bytes();
            assert_eq!(hash_text(digest::file(content)), entry.expected);
        }
        _ => assert_eq!(hash_text(folder(&inputs["files"])), entry.expected),
    }
}

/// The digest of a folder given in the order that must not matter: backwards.
fn folder(files: &Value) -> B256 {
    digest::folder(files.as_array().unwrap().iter().rev().map(|file| {
        let content = file.get("utf8").and_then(Value::as_str);
        (
            file.text("name"),
            content.map(|text| digest::file(text.as_bytes())),
        )
    }))
}

pub(crate) fn asset_address(entry: &Entry) {
    let (registry, owner) = (
        entry.inputs.account("registry"),
        entry.inputs.account("owner"),
    );
    let args = &entry.inputs["args"];
    let text = |index: usize| args[index].as_str().unwrap().to_owned();
    let word = |index: usize| text(index).parse::<B256>().unwrap();
    let (initializer, create, predict) = match entry.id.rsplit('-').next().unwrap() {
        "app" => (
            App::initializeCall {
                name: text(0),
                appType: text(1),
                multiaddr: blob(&args[2]),
                checksum: word(3),
                mrenclave: blob(&args[4]),
            }
            .abi_encode(),
            AppRegistry::createAppCall {
                owner,
                name: text(0),
                appType: text(1),
                multiaddr: blob(&args[2]),
                checksum: word(3),
                mrenclave: blob(&args[4]),
            }
            .abi_encode(),
            AppRegistry::predictAppCall {
                owner,
                name: text(0),
                appType: text(1),
                multiaddr: blob(&args[2]),
                checksum: word(3),
                mrenclave: blob(&args[4]),
            }
            .abi_encode(),
        ),
        "dataset" => (
            Dataset::initializeCall {
                name: text(0),
                multiaddr: blob(&args[1]),
                checksum: word(2),
            }
            .abi_encode(),
            DatasetRegistry::createDatasetCall {
                owner,
                name: text(0),
                multiaddr: blob(&args[1]),
                checksum: word(2),
            }
            .abi_encode(),
            DatasetRegistry::predictDatasetCall {
                owner,
                name: text(0),
                multiaddr: blob(&args[1]),
                checksum: word(2),
            }
            .abi_encode(),
        ),
        "workerpool" => (
            Workerpool::initializeCall {
                description: text(0),
            }
            .abi_encode(),
            WorkerpoolRegistry::createWorkerpoolCall {
                owner,
                description: text(0),
            }
            .abi_encode(),
            WorkerpoolRegistry::predictWorkerpoolCall {
                owner,
                description: text(0),
            }
            .abi_encode(),
        ),
        other => panic!("{other} is no asset"),
    };
    assert_eq!(entry.inputs.word("proxyCodeHash"), assets::PROXY_CODE_HASH);
    assert_eq!(
        assets::salt(&initializer, owner),
        entry.expected.word("salt")
    );
    assert_eq!(
        assets::address(registry, &initializer, owner, assets::PROXY_CODE_HASH),
        entry.expected.account("address")
    );
    // The entries of the live registries have no calldata.
    if !entry.id.starts_with("create2-live-") {
        assert_eq!(initializer, entry.expected.blob("initializerCalldata"));
        assert_eq!(create, entry.expected.blob("createCalldata"));
        assert_eq!(predict, entry.expected.blob("predictCalldata"));
    }
}

pub(crate) fn multiaddr(entry: &Entry) {
    // The SDK's `/p2p/` form of the same bytes is in the entry too; services write the Java form.
    assert_eq!(
        assets::dataset_uri(&entry.inputs.blob("bytes")),
        entry.expected["java"]
    );
}

pub(crate) fn hash_text(hash: B256) -> String {
    format!("{hash:#x}")
}
