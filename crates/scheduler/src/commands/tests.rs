//! Commands beside an outbox that has a past, and beside nodes of which one is behind.

use super::*;

use alloy_primitives::{Address, B256};
use alloy_signer_local::PrivateKeySigner;
use axum::routing::post;
use axum::{Json, Router};
use chain::outbox::{Stage, StoreFuture};
use chain::{MemoryOutboxStore, Node, Outbox, OutboxRecord, OutboxSettings, OutboxStore};
use engine::Purpose;
use poco::ids::DealId;
use serde_json::{Value, json};

const DEAL: DealId = DealId(B256::repeat_byte(1));
const HUB: Address = Address::repeat_byte(0x33);

fn hub(node: Url) -> Hub {
    Hub::new(Node::new(vec![node], None).unwrap(), HUB)
}

/// Commands whose outbox holds `settled`, at a chain that nobody can reach.
async fn commands(settled: Option<OutboxRecord>) -> Commands {
    let store = Arc::new(MemoryOutboxStore::default());
    let settled = settled.into_iter().collect();
    store.put(wallet().address(), settled).await.unwrap();
    commands_with(store).await
}

fn wallet() -> PrivateKeySigner {
    PrivateKeySigner::from_slice(&[7; 32]).unwrap()
}

fn nowhere() -> Url {
    "http://127.0.0.1:9".parse().unwrap()
}

async fn commands_with(store: Arc<dyn OutboxStore>) -> Commands {
    commands_at(nowhere(), store).await
}

async fn commands_at(node: Url, store: Arc<dyn OutboxStore>) -> Commands {
    let wallet = wallet();
    let hub = hub(node);
    let settings = OutboxSettings::new(Duration::from_millis(100));
    let (outbox, work) = Outbox::start(hub.node().clone(), wallet.clone(), store, settings)
        .await
        .unwrap();
    tokio::spawn(work.run());
    let authorizer = Arc::new(Authorizer::new(wallet, Default::default()));
    let remotes = crate::config::RemoteSettings {
        sms: Default::default(),
        registry: None,
        adapter: None,
    };
    let enclaves = Enclaves::open(&remotes, Arc::clone(&authorizer), String::new());
    Commands::new(Inner {
        outbox,
        adapter: None,
        adapter_turns: (Semaphore::new(1), Semaphore::new(1)),
        enclaves: enclaves.await.unwrap(),
        hub,
        authorizer,
        proxy: nowhere(),
        proxy_reach: Reach::public(),
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
            joins: None,
        },
        accepted: Timestamp::from_secs(1),
        together: None,
        stage: Stage::Settled {
            outcome: chain::Outcome::Expired,
            watched: None,
        },
    };
    let commands = commands(Some(sent)).await;
    // Somebody else initialised the task meanwhile.
    let action = Action::Claim {
        deal: DEAL,
        index: 0,
        initialize_first: false,
    };
    let outcome = commands.transact(key, action, "").await.unwrap();
    assert_eq!(outcome, Outcome::Expired);
}

#[tokio::test]
async fn a_deal_cannot_send_the_scheduler_into_its_own_network_except_to_the_pools_own_proxy() {
    // worker S15
    let commands = commands(None).await;
    let task = TaskId::of(DEAL, 0);
    let asks = |named: &str| {
        let client = commands.proxy_of(task, Some(named.to_owned())).unwrap();
        client.map(|client| client.base().to_string())
    };
    // The pool's own is on this machine here, at port 9.
    for own in ["", " ", "http://127.0.0.1:9", " http://127.0.0.1:9/ "] {
        assert_eq!(asks(own).as_deref(), Some("http://127.0.0.1:9/"), "{own:?}");
    }
    for refused in [
        "http://127.0.0.1:10",
        "https://127.0.0.1:9",
        "http://169.254.169.254/latest",
        "http://[::1]:9",
        "ftp://example.org",
        "proxy.example.org",
    ] {
        assert_eq!(asks(refused), None, "{refused}");
        let named = Some(refused.to_owned());
        let answer = commands
            .check_uploaded(task, named, Address::ZERO)
            .await
            .unwrap();
        assert_eq!(answer, Outcome::Uploaded(false), "{refused}");
    }
    assert!(asks("https://proxy.example.org").is_some());
    // A name shows where it leads only when it is connected to.
    let named = Some("http://localhost:9".to_owned());
    let answer = commands
        .check_uploaded(task, named, Address::ZERO)
        .await
        .unwrap();
    assert_eq!(answer, Outcome::Uploaded(false));
}

/// A store that notes how many records each write has.
#[derive(Default)]
struct Noting {
    inner: MemoryOutboxStore,
    writes: Mutex<Vec<usize>>,
}

impl OutboxStore for Noting {
    fn live(&self, wallet: Address) -> StoreFuture<'_, Vec<OutboxRecord>> {
        self.inner.live(wallet)
    }

    fn find(&self, wallet: Address, key: String) -> StoreFuture<'_, Option<OutboxRecord>> {
        self.inner.find(wallet, key)
    }

    fn put(&self, wallet: Address, records: Vec<OutboxRecord>) -> StoreFuture<'_, ()> {
        self.writes.lock().unwrap().push(records.len());
        self.inner.put(wallet, records)
    }

    fn remove(&self, wallet: Address, keys: Vec<String>) -> StoreFuture<'_, ()> {
        self.inner.remove(wallet, keys)
    }
}

/// The command to initialise a task, which expired a long time ago.
fn initialize(index: u64) -> Command {
    Command {
        key: CommandKey {
            purpose: Purpose::Initialize,
            task: TaskId::of(DEAL, index),
            attempt: 1,
        },
        action: Action::Initialize {
            deal: DEAL,
            index,
            until: Timestamp::from_secs(1),
            framework: None,
        },
    }
}

async fn until_all_are_done(commands: &Commands) {
    commands.inner.running.close();
    tokio::time::timeout(Duration::from_secs(20), commands.inner.running.wait())
        .await
        .unwrap();
}

#[tokio::test]
async fn transactions_of_one_moment_are_handed_over_in_one_write() {
    let store = Arc::new(Noting::default());
    let commands = commands_with(store.clone()).await;
    let all: Vec<Command> = (0..1000).map(initialize).collect();
    commands.begin(all.clone());
    // The same again, while they are under way.
    commands.begin(all);
    until_all_are_done(&commands).await;
    let writes = store.writes.lock().unwrap().clone();
    assert_eq!(writes[0], 1000, "{writes:?}");
    assert_eq!(
        writes.iter().sum::<usize>(),
        2000,
        "stored, and settled: {writes:?}"
    );
}

#[tokio::test]
async fn one_that_cannot_be_handed_over_keeps_no_others_back() {
    let store = Arc::new(Noting::default());
    let commands = commands_with(store.clone()).await;
    let mut other = commands
        .intent(initialize(3).key, initialize(3).action)
        .await
        .unwrap();
    other.calldata = Bytes::from_static(b"another payload");
    commands.inner.outbox.submit(other).await.unwrap();
    commands.begin((0..10).map(initialize).collect());
    until_all_are_done(&commands).await;
    for index in 0..10 {
        let key = initialize(index).key.to_string();
        let record = commands.inner.outbox.find(&key).await.unwrap();
        assert!(record.is_some(), "{index}");
    }
}

/// Serves `routes` as a node's.
async fn serve(routes: Router) -> Url {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url.parse().unwrap()
}

fn block_ten(id: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": {
        "number": "0xa", "hash": B256::repeat_byte(10), "parentHash": B256::repeat_byte(9),
        "timestamp": "0x64", "gasLimit": "0x1c9c380"}})
}

fn no_task(id: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": format!("0x{}", "0".repeat(64 * 32))})
}

/// Two nodes behind one address: one is at block 10, the other has not seen the task yet and knows no block above 9.
async fn two_nodes() -> Url {
    let answer = async |Json(request): Json<Value>| {
        let id = request["id"].clone();
        let answer = match (
            request["method"].as_str().unwrap(),
            request["params"][1].as_str(),
        ) {
            ("eth_getBlockByNumber", _) => block_ten(&id),
            ("eth_call", Some("latest")) => no_task(&id),
            _ => {
                json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32000, "message": "header not found"}})
            }
        };
        Json(answer)
    };
    serve(Router::new().route("/", post(answer))).await
}

/// A node that never says a word about one task.
async fn a_node_silent_about(task: TaskId) -> Url {
    let silent_about = poco::hex::encode(task.0)
        .trim_start_matches("0x")
        .to_owned();
    let answer = async move |Json(request): Json<Value>| {
        let id = &request["id"];
        if request["method"] == "eth_getBlockByNumber" {
            return Json(block_ten(id));
        }
        if request["params"].to_string().contains(&silent_about) {
            std::future::pending::<()>().await;
        }
        Json(no_task(id))
    };
    serve(Router::new().route("/", post(answer))).await
}

#[tokio::test]
async fn a_task_of_which_nothing_can_be_read_keeps_no_other_from_being_read() {
    //
    let read = |index| Command {
        key: CommandKey {
            purpose: Purpose::ReadTask,
            task: TaskId::of(DEAL, index),
            attempt: 1,
        },
        action: Action::ReadTask,
    };
    let node = a_node_silent_about(read(0).key.task).await;
    let commands = commands_at(node, Arc::new(MemoryOutboxStore::default())).await;
    commands.begin((0..3).map(read).collect());
    let silent = HashSet::from([read(0).key]);
    let others_are_read = async {
        while *commands.underway() != silent {
            tokio::task::yield_now().await;
        }
    };
    // Well within the time that a node has for an answer.
    tokio::time::timeout(Duration::from_secs(5), others_are_read)
        .await
        .unwrap();
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
