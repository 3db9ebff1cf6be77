//! Services that the scheduler can do without: secret managers, a platform registry, a blockchain adapter. Each is played here as
//! its specification describes the original.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at once on what cannot happen"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, B256, address};
use alloy_sol_types::SolEvent as _;
use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use poco::contracts::Hub;
use poco::ids::{DealId, TaskId};
use poco::tag::{Tag, TeeFramework};
use serde_json::{Value, json};
use support::{FakeNode, World, eventually, machine};

const ENCLAVE: Address = address!("00000000000000000000000000000000000000e1");

async fn serve(routes: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    url
}

/// A secret manager.
#[derive(Clone)]
struct Sms {
    url: String,
    state: Arc<Mutex<SmsState>>,
}

struct SmsState {
    owner: Address,
    framework: TeeFramework,
    down: bool,
    /// Times that somebody asked something.
    asked: usize,
    challenges: Vec<TaskId>,
    secrets: BTreeMap<(String, String), String>,
}

type Shared = Arc<Mutex<SmsState>>;

impl Sms {
    async fn start(framework: TeeFramework, node: &FakeNode) -> Self {
        let state = Arc::new(Mutex::new(SmsState {
            owner: node.owner().address(),
            framework,
            down: false,
            asked: 0,
            challenges: Vec::new(),
            secrets: BTreeMap::new(),
        }));
        let routes = Router::new()
            .route("/tee/framework", get(framework_of))
            .route("/tee/challenges/{task}", post(challenge))
            .route("/secrets/web2", any(secret))
            .layer(from_fn_with_state(
                state.clone(),
                async |State(state): State<Shared>, request: Request, next: Next| {
                    let down = {
                        let mut state = state.lock().unwrap();
                        state.asked += 1;
                        state.down
                    };
                    if down {
                        return StatusCode::BAD_GATEWAY.into_response();
                    }
                    next.run(request).await
                },
            ))
            .with_state(state.clone());
        Self {
            url: serve(routes).await,
            state,
        }
    }
}

async fn framework_of(State(state): State<Shared>) -> Response {
    axum::Json(state.lock().unwrap().framework).into_response()
}

async fn challenge(
    State(state): State<Shared>,
    Path(task): Path<String>,
    headers: HeaderMap,
) -> Response {
    let mut state = state.lock().unwrap();
    let task: TaskId = task.parse().unwrap();
    let hash = poco::authorization::enclave_challenge_hash(task);
    let signature = headers["authorization"].to_str().unwrap();
    if !poco::signing::is_valid_prefixed(hash, signature, state.owner) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    state.challenges.push(task);
    poco::hex::lower(&ENCLAVE).into_response()
}

async fn secret(
    State(state): State<Shared>,
    Query(query): Query<BTreeMap<String, String>>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let value = axum::body::to_bytes(body, 4096).await.unwrap();
    let value = String::from_utf8(value.to_vec()).unwrap();
    let mut state = state.lock().unwrap();
    let key = (query["ownerAddress"].clone(), query["secretName"].clone());
    if head.method == "HEAD" {
        return match state.secrets.contains_key(&key) {
            true => StatusCode::NO_CONTENT.into_response(),
            false => StatusCode::NOT_FOUND.into_response(),
        };
    }
    let owner: Address = key.0.parse().unwrap();
    let hash = poco::secrets::named_hash(owner, &key.1, &value);
    let signature = head.headers["authorization"].to_str().unwrap();
    if !poco::signing::is_valid_prefixed(hash, signature, owner) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    state.secrets.insert(key, value);
    StatusCode::NO_CONTENT.into_response()
}

fn first_task(deal: DealId) -> TaskId {
    TaskId::of(deal, 0)
}

#[tokio::test]
async fn a_deal_that_demands_an_enclave_gets_one_from_the_sms_and_its_worker_is_told() {
    let node = FakeNode::start().await;
    let sms = Sms::start(TeeFramework::Tdx, &node).await;
    let world = World::not_in_service(node, &[("SMS_TDX", &sms.url)]).await;
    world.wait_for_service().await;
    let task = first_task(world.node.buy_tagged(1, 1, Tag::TDX.0));
    world.task_becomes(task, "INITIALIZED").await;
    assert_eq!(sms.state.lock().unwrap().challenges, [task]);

    // Where results go by default is the pool owner's secret.
    let owner = poco::hex::lower(&world.node.owner().address());
    let key = (owner, "iexec-result-iexec-result-proxy-url".to_owned());
    let secrets = sms.state.lock().unwrap().secrets.clone();
    assert_eq!(secrets, [(key, world.node.url())].into());

    let plain = world.worker(1).await;
    let mut without = machine(2);
    without["tdxEnabled"] = json!(false);
    plain.post(&world, "/workers/register", &without).await;
    assert_eq!(plain.ask(&world).await.status, 204);

    let worker = world.registered(2).await;
    let given = worker.ask(&world).await.json();
    assert_eq!(given["smsUrl"], sms.url);
    let authorization = &given["workerpoolAuthorization"];
    assert_eq!(
        authorization["enclaveChallenge"],
        poco::hex::lower(&ENCLAVE)
    );
    let hash = poco::authorization::hash(worker.address(), task, ENCLAVE);
    let signature = authorization["signature"]["value"].as_str().unwrap();
    let owner = world.node.owner().address();
    assert!(poco::signing::is_valid_prefixed(hash, signature, owner));

    // One that started anew is told the same.
    let missed = worker
        .get(&world, "/replicates/interrupted?blockNumber=0")
        .await
        .json();
    let extra = &missed[0]["taskNotificationExtra"];
    assert_eq!(extra["smsUrl"], sms.url);
    assert_eq!(&extra["workerpoolAuthorization"], authorization);

    for status in ["STARTING", "STARTED", "APP_DOWNLOADING", "APP_DOWNLOADED"] {
        worker.report(&world, task, status, Value::Null).await;
    }
    for status in ["DATA_DOWNLOADING", "DATA_DOWNLOADED", "COMPUTING"] {
        worker.report(&world, task, status, Value::Null).await;
    }
    let computed = worker.report(&world, task, "COMPUTED", Value::Null).await;
    assert_eq!(computed.text, "\"PLEASE_CONTRIBUTE_AND_FINALIZE\"");
}

#[tokio::test]
async fn nothing_is_paid_for_a_task_while_its_sms_is_away_or_another_one_and_then_it_goes_on() {
    let node = FakeNode::start().await;
    let sms = Sms::start(TeeFramework::Gramine, &node).await;
    sms.state.lock().unwrap().down = true;
    let world = World::not_in_service(node, &[("SMS_SCONE", &sms.url)]).await;
    world.wait_for_service().await;
    let task = first_task(world.node.buy_tagged(1, 1, Tag::SCONE.0));
    let is_asked = async |times: usize| {
        eventually("the SMS is asked", async || {
            (sms.state.lock().unwrap().asked >= times).then_some(())
        })
        .await;
    };
    is_asked(2).await;
    sms.state.lock().unwrap().down = false;
    is_asked(3).await;
    assert!(world.node.chain().mined.is_empty(), "nothing was sent");
    sms.state.lock().unwrap().framework = TeeFramework::Scone;
    world.task_becomes(task, "INITIALIZED").await;
}

#[tokio::test]
async fn an_sms_is_found_in_the_platform_registry_and_what_is_set_here_counts_more() {
    let node = FakeNode::start().await;
    let (scone, tdx) = (
        Sms::start(TeeFramework::Scone, &node).await,
        Sms::start(TeeFramework::Tdx, &node).await,
    );
    let document = json!({"name": "application", "profiles": ["134"], "label": null, "version": null, "state": null,
        "propertySources": [{"name": "file:/config/application-134.yml", "source": {
            "sms.scone": {"value": scone.url, "origin": "x"},
            "sms.tdx": "http://127.0.0.1:9",
            // A registry does not change how a pool works.
            "workers.whitelist": "0x00000000000000000000000000000000000000aa"}}]});
    let up = Arc::new(Mutex::new(false));
    let seen = up.clone();
    let routes = Router::new().route(
        "/application/134",
        get(async move || match *seen.lock().unwrap() {
            true => axum::Json(document.clone()).into_response(),
            false => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }),
    );
    let registry = serve(routes).await;
    // It is away when the scheduler starts.
    let world = World::not_in_service(
        node,
        &[
            ("IEXEC_PLATFORM_REGISTRY", &registry),
            ("IEXEC_PLATFORM_REGISTRY_STACK", "134"),
            ("SMS_TDX", &tdx.url),
        ],
    )
    .await;
    world.wait_for_service().await;
    let (one, other) = (
        first_task(world.node.buy_tagged(1, 1, Tag::TDX.0)),
        first_task(world.node.buy_tagged(1, 1, Tag::SCONE.0)),
    );
    world.task_becomes(one, "INITIALIZED").await;
    let health = async || {
        world
            .get("/actuator/health/clientConfigServer")
            .await
            .json()
    };
    let unknown = json!({"status": "UNKNOWN", "details": {"error": "no property sources located"}});
    assert_eq!(health().await, unknown);
    *up.lock().unwrap() = true;
    world.task_becomes(other, "INITIALIZED").await;
    assert_eq!(scone.state.lock().unwrap().challenges, [other]);
    assert_eq!(tdx.state.lock().unwrap().challenges, [one]);
    assert_eq!(health().await, json!({"status": "UP"}));
}

#[tokio::test]
async fn a_registry_that_tells_nonsense_is_named_at_the_start() {
    let node = FakeNode::start().await;
    let routes = Router::new().route(
        "/application/default",
        get(async || {
            axum::Json(
                json!({"name": "application", "profiles": [], "propertySources": [
                {"name": "x", "source": {"sms.gramine": "sms.example"}}]}),
            )
        }),
    );
    let registry = serve(routes).await;
    let folder = tempfile::tempdir().unwrap();
    let settings = support::settings(&node, &folder, &[("IEXEC_PLATFORM_REGISTRY", &registry)]);
    let error = scheduler::run(settings, chassis::Shutdown::new())
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("sms.gramine") && text.contains("sms.example"),
        "{text}"
    );
    assert_eq!(error.exit_code(), 64);
}

/// A blockchain adapter as the original is: a command once, and never again.
#[derive(Clone)]
struct Adapter {
    node: FakeNode,
    commands: Arc<Mutex<BTreeMap<String, &'static str>>>,
    asked: Arc<Mutex<Vec<String>>>,
    /// Answers to requests are lost.
    lossy: Arc<Mutex<bool>>,
}

impl Adapter {
    async fn start(node: &FakeNode) -> (Self, String) {
        let adapter = Self {
            node: node.clone(),
            commands: Arc::default(),
            asked: Arc::default(),
            lossy: Arc::default(),
        };
        let routes = Router::new()
            .route("/version", get(async || "9.0.5"))
            .route("/v1/tasks/initialize", post(Self::initialize))
            .route("/v1/tasks/finalize/{task}", post(Self::finalize))
            .route("/v1/tasks/{what}/{task}/status", get(Self::status))
            .layer(axum::middleware::from_fn(
                async |request: Request, next: Next| {
                    let given = request.headers().get("authorization");
                    // admin:secret
                    if given.is_none_or(|given| given != "Basic YWRtaW46c2VjcmV0") {
                        return StatusCode::UNAUTHORIZED.into_response();
                    }
                    next.run(request).await
                },
            ))
            .with_state(adapter.clone());
        let url = serve(routes).await;
        (adapter, url)
    }

    fn accept(&self, name: String, answer: &str) -> Response {
        self.asked.lock().unwrap().push(name.clone());
        let mut commands = self.commands.lock().unwrap();
        if commands.contains_key(&name) {
            return StatusCode::BAD_REQUEST.into_response();
        }
        commands.insert(name, "PROCESSING");
        if *self.lossy.lock().unwrap() {
            return StatusCode::BAD_GATEWAY.into_response();
        }
        answer.to_owned().into_response()
    }

    async fn initialize(
        State(this): State<Self>,
        Query(query): Query<BTreeMap<String, String>>,
    ) -> Response {
        let deal: B256 = query["chainDealId"].parse().unwrap();
        let index: u64 = query["taskIndex"].parse().unwrap();
        let task = TaskId::of(DealId(deal), index);
        this.accept(format!("initialize/{task}"), &task.to_string())
    }

    async fn finalize(
        State(this): State<Self>,
        Path(task): Path<String>,
        axum::Json(body): axum::Json<Value>,
    ) -> Response {
        assert!(body["resultLink"].is_string(), "{body}");
        this.accept(format!("finalize/{task}"), &task)
    }

    async fn status(
        State(this): State<Self>,
        Path((what, task)): Path<(String, String)>,
    ) -> Response {
        let name = format!("{what}/{task}");
        let mut commands = this.commands.lock().unwrap();
        let Some(status) = commands.get_mut(&name) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let answer = *status;
        if answer == "PROCESSING" {
            let (taskid, workerpool) = (task.parse().unwrap(), support::node::POOL);
            let log = match what.as_str() {
                "initialize" => Hub::TaskInitialize { taskid, workerpool }.encode_log_data(),
                _ => Hub::TaskFinalize {
                    taskid,
                    results: "link".as_bytes().into(),
                }
                .encode_log_data(),
            };
            this.node.mine(&[log]);
            *status = "SUCCESS";
        }
        axum::Json(answer).into_response()
    }
}

#[tokio::test]
async fn an_adapter_sends_what_it_can_send_and_is_asked_once_even_when_its_answer_is_lost() {
    let node = FakeNode::start().await;
    let (adapter, url) = Adapter::start(&node).await;
    *adapter.lossy.lock().unwrap() = true;
    let world = World::not_in_service(
        node,
        &[
            ("WORKERPOOL_SCHEDULER_CHAIN_ADAPTER", "true"),
            ("IEXEC_CORE_CHAIN_ADAPTER_URL", &url),
            ("IEXEC_CORE_CHAIN_ADAPTER_PASSWORD", "secret"),
        ],
    )
    .await;
    world.wait_for_service().await;
    let worker = world.registered(1).await;
    let task = support::contributed(&world, &worker).await;
    let hash = B256::repeat_byte(1);
    world.node.consensus(task, hash);
    world.task_becomes(task, "CONSENSUS_REACHED").await;
    worker.report(&world, task, "REVEALING", Value::Null).await;
    let block = world.node.mine(&[Hub::TaskReveal {
        taskid: task.0,
        worker: worker.address(),
        digest: B256::repeat_byte(2),
    }
    .encode_log_data()]);
    let receipt = json!({"chainReceipt": {"blockNumber": block, "txHash": null}});
    worker.report(&world, task, "REVEALED", receipt).await;
    world.task_becomes(task, "RESULT_UPLOADING").await;
    worker
        .report(&world, task, "RESULT_UPLOADING", Value::Null)
        .await;
    world.node.chain().uploaded.insert(task);
    let link = json!({"resultLink": "link"});
    let uploaded = worker.report(&world, task, "RESULT_UPLOADED", link).await;
    assert_eq!(uploaded.status, 200);
    world.task_becomes(task, "COMPLETED").await;
    assert_eq!(
        *adapter.asked.lock().unwrap(),
        [format!("initialize/{task}"), format!("finalize/{task}")]
    );
    assert!(
        world.node.chain().mined.is_empty(),
        "the scheduler sent nothing itself"
    );
}

#[tokio::test]
async fn an_adapter_that_refuses_the_password_is_named_at_the_start() {
    let node = FakeNode::start().await;
    let (_adapter, url) = Adapter::start(&node).await;
    let folder = tempfile::tempdir().unwrap();
    let more = [
        ("WORKERPOOL_SCHEDULER_CHAIN_ADAPTER", "true"),
        ("IEXEC_CORE_CHAIN_ADAPTER_URL", url.as_str()),
    ];
    let settings = support::settings(&node, &folder, &more);
    let error = scheduler::run(settings, chassis::Shutdown::new())
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains("IEXEC_CORE_CHAIN_ADAPTER_PASSWORD"), "{text}");
    assert_eq!(error.exit_code(), 64);
}
