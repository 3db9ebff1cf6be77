//! A chain that was stopped goes on where it was.

use std::time::Duration;

use devnet::{AnvilSettings, Devnet, NodeChoice, Settings};
use serde_json::json;

use crate::buyer::{buy, deal};
use crate::views::{head, hub_log_transactions};

#[tokio::test]
async fn a_chain_with_a_state_file_goes_on_at_its_block_with_its_deals_and_the_sdk_works() {
    let world = tempfile::tempdir().unwrap();
    // No idle blocks within the test: each block is then there for a reason.
    let anvil = AnvilSettings {
        port: 0,
        block_time: Some(Duration::from_secs(3600)),
        state: Some(world.path().join("state.json")),
        ..AnvilSettings::default()
    };
    let settings = Settings {
        node: NodeChoice::Own(anvil),
        dir: Some(world.path().join("files")),
        ..Settings::default()
    };

    let first = Devnet::start(settings.clone()).await.unwrap();
    let sold = buy(
        &world.path().join("files"),
        json!([{"volume": 1, "args": "before"}]),
    )
    .await;
    let (block, logs) = (head(&first).await, hub_log_transactions(&first).await);
    first.stop().await.unwrap();

    let second = Devnet::start(settings).await.unwrap();
    assert_eq!(head(&second).await, block, "reopening sends nothing");
    assert_eq!(hub_log_transactions(&second).await, logs);
    assert!(deal(&second, &sold[0]).await.params.contains("before"));

    let sold = buy(
        &world.path().join("files"),
        json!([{"volume": 1, "args": "after"}]),
    )
    .await;
    assert!(deal(&second, &sold[0]).await.params.contains("after"));
}

#[tokio::test]
async fn a_prepared_state_that_is_damaged_is_made_anew() {
    let cache = tempfile::tempdir().unwrap();
    let settings = |port| Settings {
        node: NodeChoice::Own(AnvilSettings {
            port,
            log: Some(cache.path().join("anvil.log")),
            ..AnvilSettings::default()
        }),
        cache: Some(cache.path().to_owned()),
        ..Settings::default()
    };
    Devnet::start(settings(0))
        .await
        .unwrap()
        .stop()
        .await
        .unwrap();
    let kept = std::fs::read_dir(cache.path())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let state = kept
        .into_iter()
        .find(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .unwrap();
    std::fs::write(&state, "{ half a file").unwrap();
    Devnet::start(settings(0))
        .await
        .unwrap()
        .stop()
        .await
        .unwrap();
    assert!(serde_json::from_slice::<serde_json::Value>(&std::fs::read(&state).unwrap()).is_ok());
}

#[tokio::test]
async fn a_node_that_runs_already_gets_the_contracts_once() {
    let world = tempfile::tempdir().unwrap();
    let program = devnet::Search::of_this_process().anvil(None).unwrap();
    let port = std::net::TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut bare = tokio::process::Command::new(program);
    bare.args([
        "--silent",
        "--chain-id",
        "65535",
        "--port",
        &port.to_string(),
    ])
    .kill_on_drop(true);
    let _bare = bare.spawn().unwrap();
    let settings = Settings {
        node: NodeChoice::Running(format!("http://127.0.0.1:{port}").parse().unwrap()),
        cache: Some(world.path().to_owned()),
        ..Settings::default()
    };
    let start = async || {
        // The bare node needs a moment until it listens.
        for _ in 0..500 {
            match Devnet::start(settings.clone()).await {
                Err(devnet::DevnetError::Node { .. }) => {
                    tokio::time::sleep(Duration::from_millis(10)).await
                }
                other => return other.unwrap(),
            }
        }
        panic!("the bare node never answered");
    };
    let block = head(&start().await).await;
    let again = start().await;
    assert_eq!(
        head(&again).await,
        block,
        "the second start finds everything in place"
    );
}

#[tokio::test]
async fn the_facts_of_an_earlier_start_are_gone_when_a_start_fails() {
    let world = tempfile::tempdir().unwrap();
    let facts = world.path().join("devnet.json");
    std::fs::write(&facts, "{}").unwrap();
    let other = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let anvil = AnvilSettings {
        port: other.local_addr().unwrap().port(),
        ..AnvilSettings::default()
    };
    let settings = Settings {
        node: NodeChoice::Own(anvil),
        dir: Some(world.path().to_owned()),
        ..Settings::default()
    };
    Devnet::start(settings).await.unwrap_err();
    assert!(!facts.exists());
}

#[tokio::test]
async fn many_starts_at_once_share_one_prepared_state() {
    let cache = tempfile::tempdir().unwrap();
    let start = || async {
        let settings = Settings {
            node: NodeChoice::Own(AnvilSettings {
                port: 0,
                ..AnvilSettings::default()
            }),
            cache: Some(cache.path().to_owned()),
            ..Settings::default()
        };
        Devnet::start(settings).await.unwrap()
    };
    let (one, two, three) = tokio::join!(start(), start(), start());
    // One port each, and one state for all: another deployment would have another name or another file beside it.
    assert!(one.rpc_url() != two.rpc_url() && two.rpc_url() != three.rpc_url());
    let files = std::fs::read_dir(cache.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = files.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(
        names[0].ends_with(".json") && names[1].ends_with(".lock"),
        "{names:?}"
    );
}
