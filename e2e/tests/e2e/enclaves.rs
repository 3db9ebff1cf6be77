//! A deal that demands an enclave, on the real contracts: a secret manager gives its challenge, a worker that says it has such an enclave
//! computes it as a Java worker does, and the contract checks what both signed. The enclave itself is played: its key is at hand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::{Address, Bytes, keccak256};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall as _;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use e2e::sdk::{self, Deal};
use e2e::world::{Plan, World};
use e2e::{audit, ports};
use poco::ids::TaskId;
use poco::{authorization, contribution, signing};
use serde_json::{Value, json};

use crate::kill::{crash_points, kill_pool_at, points_with};
use crate::turn;

const A_WHILE: Duration = Duration::from_secs(60);
const LINK: &str = r#"{ "storage": "dropbox", "location": "/results/x.zip" }"#;

/// The key that the enclave of a task holds.
fn enclave_of(task: TaskId) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&keccak256(task.0)).unwrap()
}

/// The owner of the pool, and how often each task was asked for.
type Sms = Arc<Mutex<(Address, BTreeMap<TaskId, usize>)>>;

/// Listens at `port`, which the scheduler was told before there was a scheduler.
async fn serve_sms(port: u16, owner: Address) -> Sms {
    let sms = Sms::new(Mutex::new((owner, BTreeMap::new())));
    let routes = Router::new()
        .route("/tee/framework", get(async || "\"SCONE\""))
        .route("/tee/challenges/{task}", post(challenge))
        .route("/secrets/web2", any(async || StatusCode::NO_CONTENT))
        .with_state(sms.clone());
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
        .await
        .unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    sms
}

async fn challenge(
    State(sms): State<Sms>,
    Path(task): Path<String>,
    headers: HeaderMap,
) -> Response {
    let task: TaskId = task.parse().unwrap();
    let mut sms = sms.lock().unwrap();
    let signature = headers["authorization"].to_str().unwrap();
    let hash = authorization::enclave_challenge_hash(task);
    if !signing::is_valid_prefixed(hash, signature, sms.0) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    *sms.1.entry(task).or_default() += 1;
    poco::hex::lower(&enclave_of(task).address()).into_response()
}

async fn buy(world: &World) -> TaskId {
    let tag = json!(["tee", "scone"]);
    let params = json!({"iexec_args": "in an enclave", "iexec_result_storage_provider": "dropbox"});
    let spec = json!({"devnet": world.dir().join("chain"), "appPrice": "1 RLC", "poolPrice": "2 RLC", "appTag": tag, "poolTag": tag,
        "deals": [{"tag": tag, "params": params}]});
    let deals: Vec<Deal> = sdk::script("buy.mjs", &spec).await.unwrap();
    TaskId(deals[0].tasks[0])
}

/// A worker that speaks as a Java worker with SGX does.
struct Worker {
    key: PrivateKeySigner,
    http: reqwest::Client,
    scheduler: String,
    token: String,
}

impl Worker {
    async fn join(world: &World) -> Self {
        let file = &world.chain.party("worker1").unwrap().key;
        let file: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let key: PrivateKeySigner = file["privateKey"].as_str().unwrap().parse().unwrap();
        let (http, scheduler) = (reqwest::Client::new(), world.scheduler_url.clone());
        let wallet = poco::hex::lower(&key.address());
        let url = format!("{scheduler}/workers/challenge?walletAddress={wallet}");
        let text = http.get(url).send().await.unwrap().text().await.unwrap();
        let signature = signing::sign_raw(&key, poco::login::digest(&text)).unwrap();
        let url = format!("{scheduler}/workers/login?walletAddress={wallet}");
        let body = json!({"value": signature.to_string()});
        let token = http.post(url).json(&body).send().await.unwrap();
        let worker = Self {
            token: token.text().await.unwrap(),
            key,
            http,
            scheduler,
        };
        let machine = json!({"name": "sgx", "walletAddress": wallet, "os": "Linux", "cpu": "amd64", "cpuNb": 1, "memorySize": 4,
            "gpuEnabled": false, "teeEnabled": true, "tdxEnabled": true});
        let (status, _) = worker.post("/workers/register", &machine).await;
        assert_eq!(status, 200);
        worker
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, String) {
        let url = format!("{}{path}", self.scheduler);
        let request = self.http.post(url).bearer_auth(&self.token).json(body);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Asks until there is something.
    async fn ask(&self, head: u64) -> Value {
        e2e::process::until("work", A_WHILE, || async {
            let url = format!("{}/replicates/available?blockNumber={head}", self.scheduler);
            let answer = self.http.get(url).bearer_auth(&self.token).send().await?;
            Ok(match answer.status().as_u16() {
                200 => Some(answer.json::<Value>().await?),
                _ => None,
            })
        })
        .await
        .unwrap()
    }

    async fn report(&self, task: TaskId, status: &str, details: &Value) -> (u16, String) {
        let body = json!({"status": status, "modifier": null, "date": null, "details": details, "success": true});
        self.post(&format!("/replicates/{task}/updateStatus"), &body)
            .await
    }

    /// What the worker sends at the end: the enclave's word, the pool's, and its own.
    fn contribution(&self, task: TaskId, given: &Value) -> Vec<u8> {
        let digest = keccak256("what the enclave computed");
        let seal = contribution::result_seal(self.key.address(), task, digest);
        let message = contribution::enclave_message(contribution::result_hash(task, digest), seal);
        let enclave = enclave_of(task);
        let signed = signing::sign_prefixed(&enclave, message).unwrap();
        let pool = given["workerpoolAuthorization"]["signature"]["value"].as_str();
        poco::contracts::Hub::contributeAndFinalizeCall {
            taskid: task.0,
            resultDigest: digest,
            results: Bytes::from_static(LINK.as_bytes()),
            resultsCallback: Bytes::new(),
            enclaveChallenge: enclave.address(),
            enclaveSign: Bytes::copy_from_slice(&signed.0),
            authorizationSign: pool.unwrap().parse::<Bytes>().unwrap(),
        }
        .abi_encode()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_in_an_enclave_is_finished_in_one_transaction_and_kills_lose_no_challenge() {
    let _turn = turn().await;
    let port = ports::free().unwrap();
    let url = format!("http://127.0.0.1:{port}");
    let mut world = World::start(Plan {
        workers: 0,
        pool_env: vec![("SMS_SCONE".into(), url.clone())],
        ..Plan::default()
    })
    .await
    .unwrap();
    let owner = world.chain.party("scheduler").unwrap().address;
    let sms = serve_sms(port, owner).await;

    let mut tasks = Vec::new();
    for point in points_with(&crash_points("scheduler"), "enclave-challenge") {
        tasks.push(kill_pool_at(&mut world, &point, async |world| buy(world).await).await);
    }
    for task in &tasks {
        world
            .reaches(task.0, &["INITIALIZED"], A_WHILE)
            .await
            .unwrap();
    }
    let asked = sms.lock().unwrap().1.clone();
    assert_eq!(asked.len(), tasks.len(), "{asked:?}");

    let (rpc, hub) = (world.rpc(), world.chain.hub);
    let worker = Worker::join(&world).await;
    for _ in &tasks {
        let given = worker.ask(rpc.head().await.unwrap()).await;
        assert_eq!(given["smsUrl"], url);
        let task = given["workerpoolAuthorization"]["chainTaskId"].as_str();
        let task: TaskId = task.unwrap().parse().unwrap();
        let nothing = Value::Null;
        for status in [
            "STARTING",
            "STARTED",
            "APP_DOWNLOADING",
            "APP_DOWNLOADED",
            "DATA_DOWNLOADING",
            "DATA_DOWNLOADED",
            "COMPUTING",
        ] {
            assert_eq!(worker.report(task, status, &nothing).await.0, 200);
        }
        let (_, next) = worker.report(task, "COMPUTED", &nothing).await;
        assert_eq!(next, "\"PLEASE_CONTRIBUTE_AND_FINALIZE\"");
        worker
            .report(task, "CONTRIBUTE_AND_FINALIZE_ONGOING", &nothing)
            .await;
        let call = worker.contribution(task, &given);
        let receipt = rpc
            .send_data_as(worker.key.address(), hub, call)
            .await
            .unwrap();
        let block: u64 = receipt.block_number.to();
        let done =
            json!({"chainReceipt": {"blockNumber": block, "txHash": null}, "resultLink": LINK});
        let answer = worker
            .report(task, "CONTRIBUTE_AND_FINALIZE_DONE", &done)
            .await;
        assert_eq!(answer, (200, "\"PLEASE_WAIT\"".to_owned()));
        world
            .reaches(task.0, &["COMPLETED"], A_WHILE)
            .await
            .unwrap();
        assert_eq!(audit::task_status(&rpc, hub, task.0).await.unwrap(), 3);
    }
    let pool: [Address; 1] = [owner];
    let sent = audit::wallets(&rpc, &pool).await.unwrap();
    // One initialize each, whatever was killed.
    assert_eq!(sent[&owner].transactions, tasks.len() as u64);
}
