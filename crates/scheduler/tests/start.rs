//! What must be true before a scheduler works, each with an error that names what to mend.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at once on what cannot happen"
)]

mod support;

use std::time::Duration;

use alloy_primitives::Address;
use chassis::Shutdown;
use scheduler::StartError;
use support::{FakeNode, World, settings};

/// A start that must fail, with peers that are asked once.
async fn refused(node: &FakeNode, folder: &tempfile::TempDir, more: &[(&str, &str)]) -> StartError {
    let shutdown = Shutdown::new();
    let started = scheduler::run_with_patience(
        settings(node, folder, more),
        Duration::ZERO,
        shutdown.clone(),
    )
    .await;
    shutdown.trigger();
    started.err().unwrap()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn a_wallet_that_does_not_own_the_pool_is_refused_naming_both() {
    let node = FakeNode::start().await;
    let owner = Address::repeat_byte(0xab);
    node.chain().pool_owner = owner;
    let folder = folder();
    let error = refused(&node, &folder, &[]).await;
    let wallet = poco::hex::lower(&node.owner().address());
    let path = folder.path().join("wallet.json").display().to_string();
    assert_eq!(
        error.to_string(),
        format!(
            "this wallet does not own the workerpool\n  wallet       {wallet}  (IEXEC_CORE_WALLET_PATH={path})\n  \
             workerpool   0x365e7babaa85ec61dffe5b520763062e6c29da27  is owned by {owner:#x}\n  \
             mend         use the owner's wallet, or set POOL_ADDRESS to a pool of this wallet"
        )
    );
    assert_eq!(error.exit_code(), 64);
}

#[tokio::test]
async fn a_node_of_another_chain_is_refused_naming_both() {
    let node = FakeNode::start().await;
    node.chain().config_chain_id = 134;
    let error = refused(&node, &folder(), &[]).await;
    let said = error.to_string();
    assert!(
        said.contains("chain 134") && said.contains("chain 65535"),
        "{said}"
    );
}

#[tokio::test]
async fn a_hub_without_code_is_refused() {
    let node = FakeNode::start().await;
    node.chain().hub_has_code = false;
    let error = refused(&node, &folder(), &[]).await;
    assert!(matches!(error, StartError::NoHub { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("0x3eca1b216a7df1c7689aeb259ffb83adfb894e7f"),
        "{error}"
    );
}

#[tokio::test]
async fn a_pool_that_does_not_exist_is_refused() {
    let node = FakeNode::start().await;
    let nowhere = format!("0x{}", "cd".repeat(20));
    let error = refused(&node, &folder(), &[("POOL_ADDRESS", &nowhere)]).await;
    assert!(error.to_string().contains(&nowhere), "{error}");
}

#[tokio::test]
async fn a_wrong_password_names_the_wallet_and_not_the_password() {
    let node = FakeNode::start().await;
    let error = refused(
        &node,
        &folder(),
        &[("IEXEC_CORE_WALLET_PASSWORD", "open sesame")],
    )
    .await;
    let said = error.to_string();
    assert!(
        said.contains("wallet.json") && said.contains("password"),
        "{said}"
    );
    assert!(!said.contains("sesame"), "{said}");
}

#[tokio::test]
async fn a_config_server_that_does_not_answer_is_told_after_a_while() {
    let node = FakeNode::start().await;
    let error = refused(
        &node,
        &folder(),
        &[("IEXEC_CONFIG_SERVER_URL", "http://127.0.0.1:1")],
    )
    .await;
    assert!(matches!(error, StartError::ConfigServer { .. }), "{error}");
    assert!(
        error.to_string().contains("IEXEC_CONFIG_SERVER_URL"),
        "{error}"
    );
    assert_eq!(error.exit_code(), 69);
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_told_after_a_while() {
    let node = FakeNode::start().await;
    let error = refused(
        &node,
        &folder(),
        &[("IEXEC_BLOCKCHAIN_NODE_ADDRESS", "http://127.0.0.1:1")],
    )
    .await;
    assert!(matches!(error, StartError::Node { .. }), "{error}");
    assert!(
        error.to_string().contains("IEXEC_BLOCKCHAIN_NODE_ADDRESS"),
        "{error}"
    );
    assert_eq!(error.exit_code(), 69);
}

#[tokio::test]
async fn a_wallet_without_gas_money_is_refused_unless_gas_is_free() {
    // Q41: the original exits with code 0.
    let node = FakeNode::start().await;
    node.chain().balance = 7;
    let error = refused(&node, &folder(), &[]).await;
    assert!(error.to_string().contains("it has 7 wei"), "{error}");
    assert_ne!(error.exit_code(), 0);
    node.chain().sidechain = true;
    let world = World::not_in_service(node, &[]).await;
    world.wait_for_service().await;
}

#[tokio::test]
async fn a_taken_port_is_told_with_its_setting() {
    let node = FakeNode::start().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let error = refused(&node, &folder(), &[("IEXEC_CORE_PORT", &port)]).await;
    assert!(
        error.to_string().contains(&port) && error.to_string().contains("IEXEC_CORE_PORT"),
        "{error}"
    );
}

#[tokio::test]
async fn a_data_folder_in_use_or_of_another_chain_is_refused() {
    let mut world = World::new().await;
    let error = refused(&world.node, &world.folder, &[]).await;
    assert!(
        matches!(
            error,
            StartError::Store {
                error: store::StoreError::InUse { .. }
            }
        ),
        "{error}"
    );
    world.stop().await;

    {
        let mut chain = world.node.chain();
        chain.chain_id = 77;
        chain.config_chain_id = 77;
    }
    let error = refused(&world.node, &world.folder, &[]).await;
    let said = error.to_string();
    assert!(
        said.contains("77")
            && said.contains("65535")
            && said.contains("WORKERPOOL_SCHEDULER_DATA_DIR"),
        "{said}"
    );
}

#[tokio::test]
async fn a_node_that_goes_away_in_the_middle_stops_work_and_nothing_else() {
    let world = World::with(&[("CHAIN_OUTOFSERVICETHRESHOLD", "PT2S")]).await;
    let worker = world.registered(1).await;
    world.node.chain().failing.insert("everything".to_owned());
    support::eventually("the pool is out of service", async || {
        (world.get("/actuator/health").await.status == 503).then_some(())
    })
    .await;
    assert_eq!(worker.ask(&world).await.status, 503);
    assert_eq!(
        worker
            .post(&world, "/workers/ping", &serde_json::Value::Null)
            .await
            .status,
        200
    );

    world.node.chain().failing.clear();
    let deal = world.node.buy(1, 1);
    world
        .task_becomes(poco::ids::TaskId::of(deal, 0), "INITIALIZED")
        .await;
}
