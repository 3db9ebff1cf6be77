//! The node client: failover, time limits, and errors that are never answers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod fake;

use std::time::Duration;

use alloy_primitives::{Address, address};
use chain::{Hub, Kind, Node, NodeError, Revert, SendError, SendRefusal};
use fake::{FakeNode, Fault, World, hub};
use poco::{contracts, ids::TaskId, units::BlockNumber};
use serde_json::json;

const SENDER: Address = address!("7a69000000000000000000000000000000000001");

async fn two_nodes() -> (FakeNode, FakeNode, Node) {
    let world = World::new();
    let (first, second) = (FakeNode::start(&world).await, FakeNode::start(&world).await);
    let urls = vec![first.url.clone(), second.url.clone()];
    let node = Node::with_timeout(urls, Some(SENDER), Duration::from_millis(500)).unwrap();
    (first, second, node)
}

#[tokio::test]
async fn a_dead_node_is_left_for_the_next_one_and_not_asked_again() {
    let (first, second, node) = two_nodes().await;
    first.always("eth_getBlockByNumber", Fault::Http(503));
    assert_eq!(node.head().await.unwrap().number, BlockNumber(0));
    assert_eq!(node.head().await.unwrap().number, BlockNumber(0));
    assert_eq!(first.requests("eth_getBlockByNumber").len(), 1);
    assert_eq!(second.requests("eth_getBlockByNumber").len(), 2);
}

#[tokio::test]
async fn a_silent_node_is_left_after_the_time_limit() {
    let (first, second, node) = two_nodes().await;
    first.always("eth_chainId", Fault::Silence);
    assert_eq!(node.chain_id().await.unwrap(), 1337);
    assert_eq!(second.requests("eth_chainId").len(), 1);
}

// C1: an RPC error became block number 0, nonce 0, an absent task.
#[tokio::test]
async fn when_no_node_answers_the_result_is_an_error_and_not_a_zero() {
    let (first, second, node) = two_nodes().await;
    for fake in [&first, &second] {
        fake.always(
            "eth_getTransactionCount",
            Fault::Error(-32603, "internal error"),
        );
        fake.always("eth_call", Fault::Error(-32000, "header not found"));
    }
    let count = node.transaction_count(SENDER).await.unwrap_err();
    assert!(matches!(count, NodeError::Refused { code: -32603, .. }));
    assert_eq!(count.kind(), Kind::Retryable);
    let hub = Hub::new(node, hub());
    let task = hub.task(TaskId::default()).await;
    assert!(matches!(task, Err(NodeError::Refused { .. })), "{task:?}");
}

#[tokio::test]
async fn a_revert_is_an_answer_and_no_other_node_is_asked() {
    let (first, second, node) = two_nodes().await;
    let data = "0x08c379a00000000000000000000000000000000000000000000000000000000000000020000000000000000000000000000000000000000000000000000000000000000c7461736b2d70656e64696e670000000000000000000000000000000000000000";
    first.once(
        "eth_call",
        Fault::ErrorData(3, "execution reverted", data.into()),
    );
    let call = contracts::Hub::resultForCall {
        taskid: Default::default(),
    };
    let error = node.call(hub(), &call).await.unwrap_err();
    assert_eq!(
        error,
        NodeError::Reverted(Revert::Message("task-pending".into()))
    );
    assert!(second.requests("eth_call").is_empty());
}

#[tokio::test]
async fn every_call_names_its_sender() {
    let (first, _second, node) = two_nodes().await;
    let answer = Hub::new(node, hub()).callback_gas().await;
    assert!(
        matches!(answer, Err(NodeError::NoData { .. })),
        "{answer:?}"
    );
    let sent = &first.requests("eth_call")[0][0];
    assert_eq!(sent["from"], json!(SENDER));
}

#[tokio::test]
async fn an_unknown_id_is_absent_and_a_view_that_refuses_without_reason_too() {
    let (first, _second, node) = two_nodes().await;
    let hub = Hub::new(node, hub());
    // A zeroed contribution: five words.
    let zeros = json!(format!("0x{}", "0".repeat(64 * 5)));
    first.once("eth_call", Fault::Answer(zeros));
    let found = hub.contribution(TaskId::default(), SENDER).await.unwrap();
    assert!(found.is_none());
    first.once(
        "eth_call",
        Fault::ErrorData(3, "execution reverted", "0x".into()),
    );
    assert!(hub.category(99).await.unwrap().is_none());
    first.once(
        "eth_call",
        Fault::ErrorData(3, "execution reverted", "0x".into()),
    );
    assert!(hub.app(SENDER).await.unwrap().is_none());
}

#[tokio::test]
async fn no_error_shows_the_url_with_its_key() {
    let url = "http://127.0.0.1:9/v3/0123456789secret".parse().unwrap();
    let node = Node::new(vec![url], None).unwrap();
    let error = node.head().await.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(matches!(error, NodeError::Unreachable { .. }));
    assert!(!shown.contains("secret"), "{shown}");
    assert!(shown.contains("127.0.0.1:9"), "{shown}");
}

#[tokio::test]
async fn an_empty_list_of_nodes_is_refused_at_once() {
    assert_eq!(Node::new(Vec::new(), None).unwrap_err(), NodeError::NoUrl);
}

#[tokio::test]
async fn a_transaction_that_one_node_declines_for_good_may_still_be_taken_by_a_silent_one() {
    let (first, second, node) = two_nodes().await;
    first.always(
        "eth_sendRawTransaction",
        Fault::Error(-32000, "exceeds block gas limit"),
    );
    second.always("eth_sendRawTransaction", Fault::Http(502));
    let raw = alloy_primitives::bytes!("01");
    assert!(matches!(
        node.send_raw(&raw).await,
        Err(SendError::Node(NodeError::Unreachable { .. }))
    ));
    second.always(
        "eth_sendRawTransaction",
        Fault::Error(-32000, "exceeds block gas limit"),
    );
    assert!(matches!(
        node.send_raw(&raw).await,
        Err(SendError::Declined {
            refusal: SendRefusal::Invalid,
            ..
        })
    ));
}

#[tokio::test]
async fn a_node_of_another_chain_is_never_believed() {
    let (first, second, node) = two_nodes().await;
    second.always("eth_chainId", Fault::Answer(json!("0x1")));
    second.always("eth_getTransactionCount", Fault::Answer(json!("0x63")));
    assert_eq!(node.transaction_count(SENDER).await, Ok(0));
    first.always("eth_getTransactionCount", Fault::Http(503));
    let error = node.transaction_count(SENDER).await.unwrap_err();
    assert!(matches!(error, NodeError::Unreachable { .. }), "{error}");
    assert!(second.requests("eth_getTransactionCount").is_empty());
}

#[tokio::test]
async fn a_json_rpc_error_behind_an_http_error_is_understood() {
    let world = World::new();
    let fake = FakeNode::start(&world).await;
    let node = Node::new(vec![fake.url.clone()], None).unwrap();
    fake.once(
        "eth_getLogs",
        Fault::HttpError(400, -32602, "Log response size exceeded"),
    );
    let logs = node
        .logs(BlockNumber(0), BlockNumber(9), &[hub()], &[])
        .await
        .unwrap_err();
    assert!(matches!(logs, NodeError::TooMuch { .. }), "{logs}");
    fake.once(
        "eth_call",
        Fault::HttpError(400, 3, "execution reverted: task-pending"),
    );
    let call = contracts::Hub::resultForCall {
        taskid: Default::default(),
    };
    assert_eq!(
        node.call(hub(), &call).await.unwrap_err(),
        NodeError::Reverted(Revert::Message("task-pending".into()))
    );
}

#[tokio::test]
async fn what_does_not_change_is_asked_for_once_and_an_error_is_not_remembered() {
    use alloy_sol_types::SolCall as _;
    let (first, second, node) = two_nodes().await;
    let hub = Hub::new(node, hub());
    for fake in [&first, &second] {
        fake.once("eth_call", Fault::Error(-32000, "header not found"));
    }
    assert!(hub.recent_category(0).await.is_err());
    let category = contracts::Category {
        name: "XS".to_owned(),
        description: String::new(),
        workClockTimeRef: alloy_primitives::U256::from(300),
    };
    let answer = contracts::Hub::viewCategoryCall::abi_encode_returns(&category);
    let answer = json!(alloy_primitives::Bytes::from(answer));
    first.always("eth_call", Fault::Answer(answer));
    assert_eq!(
        hub.recent_category(0).await.unwrap().unwrap().name,
        "XS".to_owned()
    );
    let asked = first.requests("eth_call").len() + second.requests("eth_call").len();
    hub.clone().recent_category(0).await.unwrap().unwrap();
    assert_eq!(
        first.requests("eth_call").len() + second.requests("eth_call").len(),
        asked
    );
    // Who wants to know for sure asks.
    hub.category(0).await.unwrap().unwrap();
    assert!(first.requests("eth_call").len() + second.requests("eth_call").len() > asked);
}
