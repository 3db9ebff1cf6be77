//! `kill -9` at random instants, of anybody, while deals of every kind are under way: nothing is lost, nothing is sent twice.

use std::time::Duration;

use alloy_primitives::{Address, B256, hex};
use e2e::files::Files;
use e2e::random::Random;
use e2e::sdk::{self, Deal};
use e2e::world::{Plan, World};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::turn;

/// How often somebody is killed.
const KILLS: u64 = 50;

#[derive(Debug, Deserialize)]
struct Deployed {
    address: Address,
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_kills_at_random_instants_while_deals_of_every_kind_run_lose_nothing() {
    let _turn = turn().await;
    let files = Files::serve(&[("/data.bin", "the dataset"), ("/input", "an input file")]).unwrap();
    let mut world = World::start(Plan {
        workers: 3,
        slots: 2,
        app: (
            include_str!("../../app/inputs.sh"),
            "workerpool/inputs:1".into(),
        ),
        worker_env: vec![(
            "WORKERPOOL_WORKER_ALLOW_PRIVATE_DOWNLOADS".into(),
            "true".into(),
        )],
        ..Plan::default()
    })
    .await
    .unwrap();
    let contract = json!({"devnet": chain_dir(&world), "contract": "tools/testing/TestClient"});
    let clients: Vec<Deployed> = sdk::script("deploy.mjs", &contract).await.unwrap();
    let seed = seed();
    println!("SEED={seed}");
    let mut random = Random::new(seed);
    let mut deals: Vec<Deal> = Vec::new();
    for kill in 0..KILLS {
        // All kinds at the beginning, and again in the middle.
        if kill % (KILLS / 2) == 0 {
            deals.extend(buy(&world, &files, clients[0].address, kill).await);
        }
        tokio::time::sleep(Duration::from_millis(200 + random.below(1300))).await;
        match random.below(4) {
            0 => world.pool.kill_and_restart().unwrap(),
            number => world.workers[number as usize - 1]
                .kill_and_restart()
                .unwrap(),
        }
    }
    let tasks: Vec<B256> = deals.into_iter().flat_map(|deal| deal.tasks).collect();
    assert_eq!(tasks.len(), 2 * (20 + 4 + 3 + 2 + 2));
    world
        .all_complete(&tasks, Duration::from_secs(300))
        .await
        .unwrap();
    world.audit().await.unwrap();
}

/// Deals of every kind; `round` tells their datasets apart, which are on the chain once each.
async fn buy(world: &World, files: &Files, callback: Address, round: u64) -> Vec<Deal> {
    let dataset = json!({
        "name": format!("data of round {round}"),
        "uri": files.url("/data.bin"),
        "checksum": hex::encode_prefixed(Sha256::digest("the dataset")),
    });
    let wishes = json!([
        {"volume": 20, "args": "of a bag"},
        {"volume": 4, "trust": 3, "args": "surely"},
        {"volume": 3, "dataset": dataset, "params": {"iexec_args": "fed", "iexec_input_files": [files.url("/input")]}},
        {"volume": 2, "callback": callback, "args": "call-back 0xc0ffee"},
        {"volume": 2, "params": {"iexec_args": "never", "iexec_input_files": [files.url("/round")]}},
    ]);
    let spec = json!({"devnet": chain_dir(world), "deals": wishes});
    sdk::script("buy.mjs", &spec).await.unwrap()
}

fn chain_dir(world: &World) -> std::path::PathBuf {
    world.dir().join("chain")
}

/// Another one each time, unless the environment names one: a failing run is one number.
fn seed() -> u64 {
    let named = std::env::var("SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    named.unwrap_or_else(|| u64::from(std::process::id()))
}
