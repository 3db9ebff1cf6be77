//! A chain in memory and nodes that serve it over HTTP, with faults on demand.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

mod world;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use url::Url;

pub use world::{SharedWorld, World, hub};

/// What goes wrong with one request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// A JSON-RPC error.
    Error(i64, &'static str),
    /// A JSON-RPC error with data.
    ErrorData(i64, &'static str, String),
    /// An HTTP status.
    Http(u16),
    /// An HTTP status with a JSON-RPC error as its body.
    HttpError(u16, i64, &'static str),
    /// The request is carried out, its answer is lost.
    LostAnswer,
    /// Another result than the real one.
    Answer(Value),
    /// No answer ever.
    Silence,
}

#[derive(Default)]
struct Faults {
    once: BTreeMap<String, VecDeque<Fault>>,
    always: BTreeMap<String, Fault>,
}

struct Serving {
    world: SharedWorld,
    faults: Mutex<Faults>,
    requests: watch::Sender<Vec<(String, Value)>>,
    /// The block up to which this node knows the chain.
    horizon: Mutex<Option<u64>>,
}

/// One node of the chain.
pub struct FakeNode {
    pub url: Url,
    serving: Arc<Serving>,
    server: JoinHandle<()>,
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl FakeNode {
    pub async fn start(world: &SharedWorld) -> Self {
        let serving = Arc::new(Serving {
            world: world.clone(),
            faults: Mutex::default(),
            requests: watch::Sender::new(Vec::new()),
            horizon: Mutex::new(None),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/", post(serve))
            .with_state(serving.clone());
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self {
            url: url.parse().unwrap(),
            serving,
            server,
        }
    }

    /// The next request of `method` meets `fault`.
    pub fn once(&self, method: &str, fault: Fault) {
        let mut faults = self.serving.faults.lock().unwrap();
        faults
            .once
            .entry(method.into())
            .or_default()
            .push_back(fault);
    }

    /// Every request of `method` meets `fault` until [`FakeNode::heal`].
    pub fn always(&self, method: &str, fault: Fault) {
        let mut faults = self.serving.faults.lock().unwrap();
        faults.always.insert(method.into(), fault);
    }

    pub fn heal(&self) {
        *self.serving.faults.lock().unwrap() = Faults::default();
    }

    /// This node knows nothing above `block`.
    pub fn lag_at(&self, block: Option<u64>) {
        *self.serving.horizon.lock().unwrap() = block;
    }

    pub fn requests(&self, method: &str) -> Vec<Value> {
        let all = self.serving.requests.borrow();
        of_method(&all, method)
    }

    /// Waits until `method` was requested `count` times.
    pub async fn asked(&self, method: &str, count: usize) -> Vec<Value> {
        let mut requests = self.serving.requests.subscribe();
        let seen = requests.wait_for(|all| of_method(all, method).len() >= count);
        let seen = tokio::time::timeout(Duration::from_secs(20), seen)
            .await
            .unwrap_or_else(|_| panic!("{method} was not asked {count} times"))
            .unwrap();
        of_method(&seen, method)
    }
}

fn of_method(all: &[(String, Value)], method: &str) -> Vec<Value> {
    all.iter()
        .filter(|(name, _)| name == method)
        .map(|(_, params)| params.clone())
        .collect()
}

async fn serve(State(serving): State<Arc<Serving>>, body: Bytes) -> (StatusCode, String) {
    let request: Value = serde_json::from_slice(&body).unwrap();
    let (parts, single) = match request {
        Value::Array(parts) => (parts, false),
        part => (vec![part], true),
    };
    let mut answers = Vec::new();
    for part in parts {
        match answer(&serving, &part).await {
            Ok(answer) => answers.push(answer),
            Err((status, body)) => return (StatusCode::from_u16(status).unwrap(), body),
        }
    }
    let text = if single {
        answers.remove(0).to_string()
    } else {
        Value::Array(answers).to_string()
    };
    (StatusCode::OK, text)
}

async fn answer(serving: &Serving, request: &Value) -> Result<Value, (u16, String)> {
    let method = request["method"].as_str().unwrap().to_owned();
    let params = request["params"].clone();
    let id = &request["id"];
    let fault = {
        let mut faults = serving.faults.lock().unwrap();
        faults
            .once
            .get_mut(&method)
            .and_then(VecDeque::pop_front)
            .or_else(|| faults.always.get(&method).cloned())
    };
    let act = || {
        let horizon = *serving.horizon.lock().unwrap();
        let mut world = serving.world.lock().unwrap();
        world.answer(&method, &params, horizon)
    };
    let failed = |code, text: &str, data: Option<String>| {
        let mut error = json!({"code": code, "message": text});
        if let Some(data) = data {
            error["data"] = json!(data);
        }
        Ok(json!({"jsonrpc": "2.0", "id": id, "error": error}))
    };
    let response = match fault {
        None => match act() {
            Ok(result) => Ok(json!({"jsonrpc": "2.0", "id": id, "result": result})),
            Err((code, text, data)) => failed(code, &text, data),
        },
        Some(Fault::Error(code, text)) => failed(code, text, None),
        Some(Fault::ErrorData(code, text, data)) => failed(code, text, Some(data)),
        Some(Fault::Http(status)) => Err((status, "out of order".into())),
        Some(Fault::HttpError(status, code, text)) => {
            let error = json!({"code": code, "message": text});
            let body = json!({"jsonrpc": "2.0", "id": id, "error": error});
            Err((status, body.to_string()))
        }
        Some(Fault::LostAnswer) => {
            let _ = act();
            Err((502, "out of order".into()))
        }
        Some(Fault::Answer(result)) => Ok(json!({"jsonrpc": "2.0", "id": id, "result": result})),
        Some(Fault::Silence) => std::future::pending().await,
    };
    serving
        .requests
        .send_modify(|requests| requests.push((method, params)));
    response
}
