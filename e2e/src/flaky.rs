//! A node that goes wrong on command: stands between the services and the real node and answers as bad nodes do. What the tests themselves
//! read, they read from the real one.

#![allow(
    clippy::indexing_slicing,
    reason = "JSON read by its field names: a missing one reads as null"
)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use serde_json::{Value, json};

/// A way in which a node goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Every request is answered with HTTP status 503.
    Down,
    /// These methods, or all where none is named, are answered with an error of the node's own.
    Refuses(Vec<&'static str>),
    /// The node knows nothing above this block.
    Stale(u64),
    /// Every range holds no log.
    NoLogs,
    /// Every answer to these methods, or all where none is named, comes so late.
    Slow(Vec<&'static str>, Duration),
}

impl Fault {
    fn is_about(methods: &[&str], method: &str) -> bool {
        methods.is_empty() || methods.contains(&method)
    }
}

struct Inner {
    upstream: String,
    http: reqwest::Client,
    fault: Mutex<Option<Fault>>,
}

/// The node in between. Ends when dropped.
pub struct FlakyNode {
    url: String,
    inner: Arc<Inner>,
    serving: tokio::task::JoinHandle<()>,
}

impl std::fmt::Debug for FlakyNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FlakyNode").field("url", &self.url).finish()
    }
}

impl FlakyNode {
    /// Stands before the node at `upstream`, on a free port. Goes right until told otherwise.
    pub async fn start(upstream: &str) -> anyhow::Result<Self> {
        let inner = Arc::new(Inner {
            upstream: upstream.to_owned(),
            http: reqwest::Client::new(),
            fault: Mutex::new(None),
        });
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let routes = Router::new()
            .route("/", post(answer))
            .with_state(Arc::clone(&inner));
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                eprintln!("the node in between ended: {error}");
            }
        });
        Ok(Self {
            url,
            inner,
            serving,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Goes wrong from now on.
    pub fn goes_wrong(&self, fault: Fault) {
        *self.inner.fault() = Some(fault);
    }

    /// Goes right from now on.
    pub fn goes_right(&self) {
        *self.inner.fault() = None;
    }
}

impl Drop for FlakyNode {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Inner {
    fn fault(&self) -> std::sync::MutexGuard<'_, Option<Fault>> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn forward(&self, request: &Value) -> Result<Value, reqwest::Error> {
        let sent = self.http.post(&self.upstream).json(request).send().await?;
        sent.json().await
    }

    /// The answer to one request, as the fault makes it.
    async fn one(&self, request: &Value) -> Result<Value, reqwest::Error> {
        let fault = self.fault().clone();
        let method = request["method"].as_str().unwrap_or_default();
        match fault {
            Some(Fault::Refuses(methods)) if Fault::is_about(&methods, method) => Ok(json!({
                "jsonrpc": "2.0", "id": request["id"],
                "error": {"code": -32603, "message": "internal error: the node is being restored"},
            })),
            Some(Fault::NoLogs) if method == "eth_getLogs" => {
                Ok(json!({"jsonrpc": "2.0", "id": request["id"], "result": []}))
            }
            Some(Fault::Slow(methods, delay)) if Fault::is_about(&methods, method) => {
                tokio::time::sleep(delay).await;
                self.forward(request).await
            }
            Some(Fault::Stale(head)) => self.stale(request, head).await,
            _ => self.forward(request).await,
        }
    }

    /// What a node says that has not heard of anything above `head`.
    async fn stale(&self, request: &Value, head: u64) -> Result<Value, reqwest::Error> {
        let mut old = request.clone();
        let at = json!(format!("{head:#x}"));
        let nothing =
            |result: Value| json!({"jsonrpc": "2.0", "id": request["id"], "result": result});
        match request["method"].as_str().unwrap_or_default() {
            "eth_blockNumber" => return Ok(nothing(at)),
            "eth_getLogs" => {
                let filter = &mut old["params"][0];
                if number(&filter["fromBlock"]).is_some_and(|from| from > head) {
                    return Ok(nothing(json!([])));
                }
                if number(&filter["toBlock"]).is_none_or(|to| to > head) {
                    filter["toBlock"] = at;
                }
            }
            "eth_getBlockByNumber" if number(&old["params"][0]).is_some_and(|n| n > head) => {
                return Ok(nothing(Value::Null));
            }
            "eth_getTransactionReceipt" | "eth_getTransactionByHash" => {
                let answer = self.forward(request).await?;
                let unknown =
                    number(&answer["result"]["blockNumber"]).is_some_and(|block| block > head);
                return Ok(if unknown {
                    nothing(Value::Null)
                } else {
                    answer
                });
            }
            _ => {
                if let Some(params) = old["params"].as_array_mut() {
                    for param in params {
                        if matches!(param.as_str(), Some("latest" | "pending" | "safe")) {
                            *param = at.clone();
                        }
                    }
                }
            }
        }
        if old["method"] == "eth_getBlockByNumber" && number(&old["params"][0]).is_none() {
            old["params"][0] = json!(format!("{head:#x}"));
        }
        self.forward(&old).await
    }
}

fn number(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}

async fn answer(State(inner): State<Arc<Inner>>, body: String) -> Response {
    if *inner.fault() == Some(Fault::Down) {
        return (StatusCode::SERVICE_UNAVAILABLE, "no healthy upstream").into_response();
    }
    let Ok(request) = serde_json::from_str::<Value>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let answered = match &request {
        Value::Array(requests) => {
            let mut answers = Vec::with_capacity(requests.len());
            for one in requests {
                match inner.one(one).await {
                    Ok(answer) => answers.push(answer),
                    Err(error) => return bad_gateway(&error),
                }
            }
            Value::Array(answers)
        }
        one => match inner.one(one).await {
            Ok(answer) => answer,
            Err(error) => return bad_gateway(&error),
        },
    };
    ([("content-type", "application/json")], answered.to_string()).into_response()
}

fn bad_gateway(error: &reqwest::Error) -> Response {
    (StatusCode::BAD_GATEWAY, error.to_string()).into_response()
}
