//! Rhythm and limits of the node.

use std::time::Duration;

use alloy_primitives::U64;
use devnet::{AnvilSettings, Devnet, NodeChoice, Profile, Settings, TestChain};
use serde_json::{Value, json};

use crate::views::head;

/// Whether the node takes a transaction that may use more gas than a block of the usual limit has.
async fn takes_a_giant(devnet: &Devnet) -> bool {
    let admin = devnet.accounts().admin().address();
    let request = json!([{"from": admin, "to": admin, "gas": format!("0x{:x}", 100_000_000)}]);
    devnet
        .ask::<Value>("eth_sendTransaction", request)
        .await
        .is_ok()
}

#[tokio::test]
async fn idle_time_produces_blocks_in_fractions_of_a_second() {
    let chain = TestChain::with_block_time(Duration::from_millis(250))
        .await
        .unwrap();
    let before = head(chain.devnet()).await;
    let three_more = async {
        while head(chain.devnet()).await < before + 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), three_more)
        .await
        .expect("idle blocks come");
}

#[tokio::test]
async fn the_load_profile_has_no_gas_limit_and_the_other_has() {
    let node = NodeChoice::Own(AnvilSettings {
        profile: Profile::Load,
        ..AnvilSettings::default()
    });
    let load = TestChain::with(Settings {
        node,
        ..Settings::default()
    })
    .await
    .unwrap();
    assert!(takes_a_giant(load.devnet()).await);
    let functional = TestChain::start().await.unwrap();
    assert!(!takes_a_giant(functional.devnet()).await);
}

#[tokio::test]
async fn time_can_be_moved_and_blocks_can_be_taken_back() {
    let chain = TestChain::with_block_time(Duration::from_secs(3600))
        .await
        .unwrap();
    let timestamp = async || {
        let block: Value = chain
            .devnet()
            .ask("eth_getBlockByNumber", json!(["latest", false]))
            .await
            .unwrap();
        (
            block["timestamp"]
                .as_str()
                .unwrap()
                .parse::<U64>()
                .unwrap()
                .to::<u64>(),
            block["hash"].clone(),
        )
    };
    let (before, _) = timestamp().await;
    chain.pass(Duration::from_secs(600)).await.unwrap();
    let (after, hash) = timestamp().await;
    assert!(after >= before + 600, "{before} {after}");

    let height = head(chain.devnet()).await;
    chain.reorganise(1).await.unwrap();
    assert_eq!(head(chain.devnet()).await, height);
    assert_ne!(timestamp().await.1, hash);
}
