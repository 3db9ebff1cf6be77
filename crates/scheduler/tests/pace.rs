//! Whoever is refused again and again is answered later, and never told to come back.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at once on what cannot happen"
)]

mod support;

use std::time::{Duration, Instant};

use alloy_signer_local::PrivateKeySigner;
use reqwest::Method;
use serde_json::json;
use support::World;

#[tokio::test]
async fn wrong_logins_are_slowed_down_and_a_right_one_after_them_succeeds() {
    let world = World::new().await;
    let key = PrivateKeySigner::from_slice(&[9; 32]).unwrap();
    let wallet = poco::hex::lower(&key.address());
    world
        .get(&format!("/workers/challenge?walletAddress={wallet}"))
        .await;
    let path = format!("/workers/login?walletAddress={wallet}");
    let wrong = json!({"value": format!("0x{}", "05".repeat(65))}).to_string();
    let mut took = Vec::new();
    for _ in 0..15 {
        let began = Instant::now();
        let answer = world.call(Method::POST, &path, &[], Some(&wrong)).await;
        took.push(began.elapsed());
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (401, ""));
        assert_eq!(answer.header("retry-after"), None);
    }
    // After eleven wrong ones the next waits a quarter of a second, more or less half of it, and each further one twice as long.
    assert!(took[11] >= Duration::from_millis(125), "{took:?}");
    assert!(took[14] >= Duration::from_secs(1), "{took:?}");
    // Somebody else behind the same address waits for nothing.
    let began = Instant::now();
    world.registered(1).await;
    assert!(began.elapsed() < took[14], "{took:?}");
}
