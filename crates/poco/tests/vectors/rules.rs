//! Consensus, money, time, gas, tags and parameters.

use std::time::Duration;

use alloy_primitives::{Address, B256, U256, keccak256};
use poco::consensus::{Tally, more_needed, stored_weight, weight};
use poco::deal_params::DealParams;
use poco::gas_price::{Multiplier, ZeroPrice, offer};
use poco::rewards::{self, Changes, KITTY_ADDRESS, Payee, Share, Terms};
use poco::tag::Tag;
use poco::units::{NanoRlc, Timestamp, Wei};
use serde_json::{Value, json};

use crate::entry::{Entry, Read, number};

pub(crate) fn consensus(entry: &Entry) {
    if entry.id.starts_with("weight-") {
        let weight = weight(entry.inputs.number("score"));
        assert_eq!(weight, entry.expected.number("weight"));
        assert_eq!(
            u64::from(stored_weight(weight)),
            entry.expected.number("storedWeight")
        );
    } else if entry.id.starts_with("consensus-min-workers-") {
        let (trust, weight) = (entry.inputs.number("trust"), entry.inputs.number("weight"));
        assert_eq!(unanimous_on_chain(trust, weight), number(&entry.expected));
        assert_eq!(unanimous_predicted(trust, weight), number(&entry.expected));
    } else {
        consensus_is_reached(entry);
    }
}

/// How many workers of this weight the contract needs when all agree.
fn unanimous_on_chain(trust: u64, weight: u64) -> u64 {
    let mut tally = Tally::default();
    (1..)
        .find(|_| {
            tally.contribute(B256::ZERO, weight);
            tally.reached(B256::ZERO, trust)
        })
        .unwrap()
}

/// How many the scheduler asks before it wants no more.
fn unanimous_predicted(trust: u64, weight: u64) -> u64 {
    (0..)
        .find(|asked| !more_needed(trust, [], (0..*asked).map(|_| weight)))
        .unwrap()
}

fn consensus_is_reached(entry: &Entry) {
    let trust = entry.inputs.number("trust");
    let mut tally = Tally::default();
    let mut reached_after = 0;
    for (index, contribution) in entry.inputs["contributions"]
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
    {
        assert_eq!(reached_after, 0, "consensus came earlier than the chain's");
        let hash = keccak256(contribution[1].as_str().unwrap());
        tally.contribute(hash, number(&contribution[0]));
        if tally.reached(hash, trust) {
            reached_after = index as u64 + 1;
        }
    }
    let winner = keccak256(entry.expected.text("winner"));
    assert_eq!(reached_after, entry.expected.number("reachedAfter"));
    assert_eq!(tally.group(winner), entry.expected.amount("group"));
    assert_eq!(tally.total(), entry.expected.amount("total"));
}

pub(crate) fn rewards(entry: &Entry) {
    match entry.id.as_str() {
        "kitty-address" => {
            let hash = keccak256(entry.inputs.as_str().unwrap());
            let number = U256::from_be_slice(&hash[..20]) - U256::ONE;
            assert_eq!(
                KITTY_ADDRESS,
                Address::from_slice(&number.to_be_bytes::<32>()[12..])
            );
            assert_eq!(
                KITTY_ADDRESS,
                entry.expected.as_str().unwrap().parse::<Address>().unwrap()
            );
        }
        "rewards-single-evm" => one_worker_is_paid(entry),
        "rewards-trust3-evm" => three_winners_share_the_stake_of_a_loser(entry),
        _ => {
            let share = rewards::kitty_share(NanoRlc(entry.inputs.number("kitty")));
            assert_eq!(share, NanoRlc(number(&entry.expected)));
        }
    }
}

/// The deal both executed tasks belong to: pool 2000, worker stake ratio 35 %, scheduler ratio 5 %.
fn terms(app: u64, dataset: u64) -> Terms {
    let price = NanoRlc(2000);
    Terms {
        sponsor: account("requester"),
        app: Payee {
            owner: account("appOwner"),
            price: NanoRlc(app),
        },
        dataset: (dataset > 0).then(|| Payee {
            owner: account("datasetOwner"),
            price: NanoRlc(dataset),
        }),
        pool: Payee {
            owner: account("scheduler"),
            price,
        },
        worker_stake: rewards::worker_stake(price, 35),
        scheduler_ratio: 5,
    }
}

fn one_worker_is_paid(entry: &Entry) {
    let shares = [Share {
        worker: account("worker"),
        proved: true,
        weight: 1,
    }];
    accounts_change(
        entry,
        &rewards::finalized(&terms(1000, 500), &shares, NanoRlc(0)),
    );
}

fn three_winners_share_the_stake_of_a_loser(entry: &Entry) {
    let terms = terms(0, 0);
    assert_eq!(
        terms.worker_stake,
        NanoRlc(entry.inputs.number("workerStake"))
    );
    let shares = ["w1 good", "w2 bad", "w3 good", "w4"].map(|name| Share {
        worker: account(name),
        proved: name != "w2 bad",
        weight: stored_weight(weight(0)),
    });
    accounts_change(entry, &rewards::finalized(&terms, &shares, NanoRlc(0)));
}

fn accounts_change(entry: &Entry, changes: &Changes) {
    for (index, name) in entry.inputs["order"].as_array().unwrap().iter().enumerate() {
        let name = name.as_str().unwrap();
        let balance =
            |when: &str, part: usize| i128::from(number(&entry.expected[when][index][part]));
        let change = changes.of(account(name));
        assert_eq!(
            change.stake,
            balance("after", 0) - balance("before", 0),
            "stake of {name}"
        );
        assert_eq!(
            change.locked,
            balance("after", 1) - balance("before", 1),
            "locked of {name}"
        );
    }
}

fn account(name: &str) -> Address {
    Address::from_slice(&keccak256(name)[12..])
}

pub(crate) fn deadlines(entry: &Entry) {
    let start = Timestamp::from_secs(entry.inputs.number("startTime"));
    let consensus = Timestamp::from_secs(entry.inputs.number("consensusTimestamp"));
    let time_ref = Duration::from_secs(entry.inputs.number("timeref"));
    let expected = |member: &str| Timestamp::from_secs(entry.expected.number(member));
    assert_eq!(
        poco::deadlines::contribution(start, time_ref),
        expected("contributionDeadline")
    );
    assert_eq!(
        poco::deadlines::reveal(consensus, time_ref),
        expected("revealDeadline")
    );
    assert_eq!(
        poco::deadlines::finalisation(start, time_ref),
        expected("finalDeadline")
    );
}

/// Ours is exact where Java rounds to single precision: the difference stays below one part in eight million.
pub(crate) fn gas_price(entry: &Entry) {
    let network = Wei(entry.inputs.number("networkGasPrice").into());
    let multiplier: Multiplier = entry.inputs["multiplier"].to_string().parse().unwrap();
    let cap = Wei(entry.inputs.number("cap").into());
    let price = offer(network, multiplier, cap, ZeroPrice::Unknown);
    let java = u128::from(number(&entry.expected));
    assert!(
        price.0.abs_diff(java) <= java / 8_000_000,
        "{price} is too far from {java}"
    );
    assert!(price <= cap);
    if multiplier == Multiplier::ONE && network <= cap {
        // Q58: never less than what the network asks.
        assert!(price >= network);
    }
}

pub(crate) fn tag(entry: &Entry) {
    if entry.id == "tag-dataset-mask" {
        let part = |member: &str| Tag(entry.inputs.word(member));
        let tag = Tag::of_deal(part("app"), part("dataset"), part("request"));
        assert_eq!(tag.to_string(), entry.expected);
    } else {
        let tag: Tag = entry.inputs.as_str().unwrap().parse().unwrap();
        assert_eq!(json!(tag.tee_framework()), entry.expected);
    }
}

pub(crate) fn deal_params(entry: &Entry) {
    let text = entry.inputs.as_str().unwrap();
    let params = DealParams::parse(text);
    let expected = entry.expected.as_object().unwrap();
    if expected.get("result").is_some() {
        // Java's null object: no parameters.
        assert_eq!(params, DealParams::default());
    }
    if expected["parsed"] == json!(false) {
        let whole = DealParams {
            args: Some(text.to_owned()),
            ..DealParams::default()
        };
        assert_eq!(params, whole);
    }
    for (member, value) in expected {
        match member.as_str() {
            "parsed" | "result" => {}
            "iexec_args" => assert_eq!(json!(params.args), *value),
            "iexec_input_files" => {
                assert_eq!(json!(params.input_files), without_null(value, json!([])))
            }
            "iexec_result_encryption" => assert_eq!(json!(params.result_encryption), *value),
            "iexec_secrets" => assert_eq!(json!(params.secrets), *value),
            "bulk_cid" => assert_eq!(json!(params.bulk_cid), *value),
            other => panic!("{other} is not checked"),
        }
    }
}

/// Where Java keeps a null we keep what is empty.
fn without_null(value: &Value, empty: Value) -> Value {
    match value {
        Value::Null => empty,
        Value::Array(items) => items
            .iter()
            .map(|item| without_null(item, json!("")))
            .collect(),
        other => other.clone(),
    }
}
