//! The protocol's test vectors that concern how the chain is read. They lie with `poco`, whose table tells of all of them; those of signed
//! transactions are checked beside the code that signs.

// Helpers of tests may stop at once, as tests may.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use alloy_primitives::{Address, B256, Bytes, U256};
use chain::{Fact, Log, Revert};
use poco::ids::{DealId, TaskId};
use serde_json::{Value, json};

fn vectors(category: &str, count: usize) -> Vec<Value> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../poco/tests/vectors");
    let text = std::fs::read_to_string(format!("{folder}/{category}.json")).unwrap();
    let entries: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(entries.len(), count);
    entries
}

#[test]
fn every_answer_of_a_refusing_contract_is_read_as_its_reason() {
    let mut kinds = [0; 4];
    for entry in vectors("revert", 90) {
        let expected = &entry["expected"];
        if expected["reverts"] == false {
            assert!(expected.get("data").is_none(), "{entry}");
            kinds[0] += 1;
            continue;
        }
        let data: Bytes = expected["data"].as_str().unwrap().parse().unwrap();
        let decoded = expected["decoded"].as_str();
        let revert = Revert::decode(&data);
        match &revert {
            Revert::Empty => {
                assert_eq!(decoded, None, "{entry}");
                kinds[1] += 1;
            }
            Revert::Message(text) => {
                assert_eq!(Some(text.as_str()), decoded, "{entry}");
                kinds[2] += 1;
            }
            Revert::Panic(code) => {
                assert_eq!(Some(format!("Panic({code})").as_str()), decoded, "{entry}");
            }
            Revert::Custom { name, .. } => {
                assert_eq!(name.as_deref(), decoded, "{entry}");
                kinds[3] += 1;
            }
            other => panic!("{other:?} for {entry}"),
        }
        // A person reads the reason too.
        if let Some(text) = decoded.filter(|text| !text.starts_with("Panic")) {
            assert!(revert.to_string().contains(text), "{revert} for {entry}");
        }
    }
    assert!(kinds.iter().all(|count| *count > 0), "{kinds:?}");
}

fn log(expected: &Value) -> Log {
    serde_json::from_value(json!({
        "address": Address::repeat_byte(0xaa), "topics": expected["topics"], "data": expected["data"],
        "blockNumber": "0x1", "blockHash": B256::ZERO, "transactionHash": B256::ZERO, "transactionIndex": "0x0", "logIndex": "0x0",
        "removed": false,
    }))
    .unwrap()
}

/// What the log says, read from its words by position.
fn fact(name: &str, topics: &[B256], data: &[u8]) -> Option<Fact> {
    let task = || TaskId(topics[1]);
    let worker = || Address::from_word(topics[2]);
    let word = || B256::from_slice(&data[..32]);
    Some(match name {
        "SchedulerNotice" => Fact::Deal {
            deal: DealId(word()),
            pool: Address::from_word(topics[1]),
        },
        "TaskInitialize" => Fact::Initialized { task: task() },
        "TaskContribute" => Fact::Contributed {
            task: task(),
            worker: worker(),
            hash: word(),
        },
        "TaskConsensus" => Fact::Consensus {
            task: task(),
            hash: word(),
        },
        "TaskReveal" => Fact::Revealed {
            task: task(),
            worker: worker(),
            digest: word(),
        },
        "TaskReopen" => Fact::Reopened { task: task() },
        "TaskFinalize" => {
            let length: usize = U256::from_be_slice(&data[32..64]).to();
            Fact::Finalized {
                task: task(),
                results: Bytes::copy_from_slice(&data[64..64 + length]),
            }
        }
        "TaskClaimed" => Fact::Claimed { task: task() },
        _ => return None,
    })
}

#[test]
fn the_events_of_tasks_and_deals_are_facts_and_no_other_is_one() {
    let mut facts = 0;
    for entry in vectors("event-log", 16) {
        let name = entry["id"]
            .as_str()
            .unwrap()
            .strip_prefix("event-")
            .unwrap();
        let expected = &entry["expected"];
        let topics: Vec<B256> = serde_json::from_value(expected["topics"].clone()).unwrap();
        let data: Bytes = expected["data"].as_str().unwrap().parse().unwrap();
        let found = Fact::of_log(&log(expected));
        assert_eq!(found, fact(name, &topics, &data), "{name}");
        facts += usize::from(found.is_some());
    }
    assert_eq!(facts, 8);
}
