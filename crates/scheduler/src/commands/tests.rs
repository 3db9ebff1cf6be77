//! Commands beside an outbox that has a past, and beside nodes of which one is behind.

use super::*;

use alloy_primitives::{Address, B256};
use alloy_signer_local::PrivateKeySigner;
use axum::routing::post;
use axum::{Json, Router};
use chain::outbox::Stage;
use chain::{MemoryOutboxStore, Node, Outbox, OutboxRecord, OutboxSettings, OutboxStore as _};
use engine::Purpose;
use poco::ids::DealId;
use serde_json::{Value, json};

const DEAL: DealId = DealId(B256::repeat_byte(1));
const HUB: Address = Address::repeat_byte(0x33);

fn hub(node: Url) -> Hub {
    Hub::new(Node::new(vec![node], None).unwrap(), HUB)
}

/// Commands whose outbox holds `settled`, at a chain that nobody can reach.
async fn commands(settled: OutboxRecord) -> Commands {
    let nowhere: Url = "http://127.0.0.1:9".parse().unwrap();
    let wallet = PrivateKeySigner::from_slice(&[7; 32]).unwrap();
    let store = Arc::new(MemoryOutboxStore::default());
    store.put(wallet.address(), vec![settled]).await.unwrap();
    let hub = hub(nowhere.clone());
    let settings = OutboxSettings::new(Duration::from_millis(100));
    let (outbox, work) = Outbox::start(hub.node().clone(), wallet.clone(), store, settings)
        .await
        .unwrap();
    tokio::spawn(work.run());
    Commands::new(Inner {
        outbox,
        hub,
        authorizer: Arc::new(Authorizer::new(wallet, Default::default())),
        proxy: nowhere,
        inbox: crate::inbox::open().0,
        running: TaskTracker::new(),
        shutdown: Shutdown::new(),
        underway: Mutex::default(),
    })
}

#[tokio::test]
async fn what_was_sent_under_a_key_is_waited_for_even_if_another_payload_is_wanted_now() {
    let task = TaskId::of(DEAL, 0);
    let key = CommandKey {
        purpose: Purpose::Claim,
        task,
        attempt: 1,
    };
    let sent = OutboxRecord {
        intent: Intent {
            key: key.to_string(),
            to: HUB,
            calldata: Abi::initializeAndClaimArrayCall {
                dealids: vec![DEAL.0],
                idxs: vec![U256::ZERO],
            }
            .abi_encode()
            .into(),
            gas: GasPolicy::estimated(),
            deadline: None,
        },
        accepted: Timestamp::from_secs(1),
        stage: Stage::Settled {
            outcome: chain::Outcome::Expired,
            watched: None,
        },
    };
    let commands = commands(sent).await;
    // Somebody else initialised the task meanwhile.
    let action = Action::Claim {
        deal: DEAL,
        index: 0,
        initialize_first: false,
    };
    let outcome = commands.transact(key, action, "").await.unwrap();
    assert_eq!(outcome, Outcome::Expired);
}

/// Two nodes behind one address: one is at block 10, the other has not seen the task yet and knows no block above 9.
async fn two_nodes() -> Url {
    let answer = async |Json(request): Json<Value>| {
        let id = request["id"].clone();
        let answer = match (
            request["method"].as_str().unwrap(),
            request["params"][1].as_str(),
        ) {
            ("eth_getBlockByNumber", _) => json!({"jsonrpc": "2.0", "id": id, "result": {
                "number": "0xa", "hash": B256::repeat_byte(10), "parentHash": B256::repeat_byte(9),
                "timestamp": "0x64", "gasLimit": "0x1c9c380"}}),
            ("eth_call", Some("latest")) => {
                json!({"jsonrpc": "2.0", "id": id, "result": format!("0x{}", "0".repeat(64 * 32))})
            }
            _ => {
                json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32000, "message": "header not found"}})
            }
        };
        Json(answer)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let routes = Router::new().route("/", post(answer));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url.parse().unwrap()
}

#[tokio::test]
async fn a_node_that_is_behind_has_no_answer_about_a_task() {
    let hub = hub(two_nodes().await);
    let answer = read_task(&hub, TaskId::of(DEAL, 0)).await;
    assert!(
        matches!(answer, Err(Unanswered::Node(_))),
        "an old state as of the new head: {answer:?}"
    );
}
