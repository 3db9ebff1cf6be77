//! A JSON-RPC proxy between the services and the node that counts what is asked, by service and method. Each member of a batch counts,
//! and so does each request over a WebSocket; what the node pushes by itself does not. It changes nothing on the way.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite;

/// How often each service asked for each method.
pub(crate) type Counts = BTreeMap<(String, String), u64>;

/// A running proxy. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Counter {
    address: SocketAddr,
    counts: Arc<Mutex<Counts>>,
    serving: JoinHandle<()>,
}

#[derive(Clone)]
struct Proxy {
    node: String,
    http: reqwest::Client,
    counts: Arc<Mutex<Counts>>,
}

impl Counter {
    /// Begins to pass on to the node at `node`.
    pub(crate) async fn start(node: &str) -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let counts = Arc::new(Mutex::new(Counts::new()));
        let proxy = Proxy {
            node: node.to_owned(),
            http: reqwest::Client::new(),
            counts: Arc::clone(&counts),
        };
        let router = Router::new()
            .route("/{service}", any(pass))
            .with_state(proxy);
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                eprintln!("the counting proxy ended: {error}");
            }
        });
        Ok(Self {
            address,
            counts,
            serving,
        })
    }

    /// The node's URL for one service.
    #[must_use]
    pub(crate) fn url(&self, service: &str) -> String {
        format!("http://{}/{service}", self.address)
    }

    /// What was asked so far.
    #[must_use]
    pub(crate) fn counts(&self) -> Counts {
        self.counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// What was asked since `before`.
#[must_use]
pub(crate) fn since(before: &Counts, now: &Counts) -> Counts {
    now.iter()
        .map(|(key, count)| {
            let earlier = before.get(key).copied().unwrap_or_default();
            (key.clone(), count.saturating_sub(earlier))
        })
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// How many calls.
#[must_use]
pub(crate) fn total(counts: &Counts) -> u64 {
    counts.values().sum()
}

/// `scheduler eth_getLogs 12, …`, the most frequent first, for the words of a method.
#[must_use]
pub(crate) fn told(counts: &Counts, per: f64) -> String {
    let mut all: Vec<_> = counts.iter().collect();
    all.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let shown: Vec<String> = all
        .iter()
        .take(12)
        .map(|((service, method), count)| format!("{service} {method} {:.2}", **count as f64 / per))
        .collect();
    shown.join(", ")
}

async fn pass(
    State(proxy): State<Proxy>,
    Path(service): Path<String>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    body: Bytes,
) -> Response {
    if let Ok(upgrade) = upgrade {
        return upgrade.on_upgrade(move |socket| async move {
            if let Err(error) = relay(&proxy, &service, socket).await {
                eprintln!("a WebSocket through the counting proxy broke: {error:#}");
            }
        });
    }
    proxy.count(&service, &body);
    let answer = proxy
        .http
        .post(&proxy.node)
        .header(header::CONTENT_TYPE, "application/json")
        .body(body)
        .send()
        .await;
    let whole = match answer {
        Ok(answer) => {
            let status = answer.status();
            answer.bytes().await.map(|bytes| (status, bytes))
        }
        Err(error) => Err(error),
    };
    match whole {
        Ok((status, bytes)) => {
            (status, [(header::CONTENT_TYPE, "application/json")], bytes).into_response()
        }
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

/// Passes frames on in both directions until one side ends.
async fn relay(proxy: &Proxy, service: &str, socket: WebSocket) -> anyhow::Result<()> {
    let url = proxy.node.replacen("http", "ws", 1);
    let (node, _) = tokio_tungstenite::connect_async(&url)
        .await
        .with_context(|| format!("the node takes no WebSocket at {url}"))?;
    let (mut to_node, mut from_node) = node.split();
    let (mut to_client, mut from_client) = socket.split();
    loop {
        tokio::select! {
            asked = from_client.next() => match asked {
                Some(Ok(Message::Text(text))) => {
                    proxy.count(service, text.as_bytes());
                    to_node.send(tungstenite::Message::text(text.as_str())).await?;
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(()),
                Some(Ok(_)) => {}
            },
            told = from_node.next() => match told {
                Some(Ok(tungstenite::Message::Text(text))) => {
                    if to_client.send(Message::text(text.as_str())).await.is_err() {
                        return Ok(());
                    }
                }
                Some(Ok(tungstenite::Message::Close(_)) | Err(_)) | None => return Ok(()),
                Some(Ok(_)) => {}
            },
        }
    }
}

impl Proxy {
    fn count(&self, service: &str, body: &[u8]) {
        let asked = match serde_json::from_slice(body) {
            Ok(Value::Array(all)) => all,
            Ok(one) => vec![one],
            Err(_) => Vec::new(),
        };
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for one in asked {
            let method = one
                .get("method")
                .and_then(Value::as_str)
                .unwrap_or("not understood");
            let key = (service.to_owned(), method.to_owned());
            *counts.entry(key).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::post;
    use serde_json::json;

    async fn node() -> String {
        let router = Router::new().route("/", post(|body: Bytes| async move { body }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    #[tokio::test]
    async fn every_member_of_a_batch_counts_for_the_service_that_sent_it() {
        let counter = Counter::start(&node().await).await.unwrap();
        let http = reqwest::Client::new();
        let send = async |service: &str, body: Value| {
            let answer = http.post(counter.url(service)).json(&body).send().await;
            assert_eq!(answer.unwrap().json::<Value>().await.unwrap(), body);
        };
        let call = |method: &str| json!({"id": 1, "method": method});
        send("worker", call("eth_call")).await;
        let before = counter.counts();
        send(
            "scheduler",
            json!([call("eth_call"), call("eth_getLogs"), call("eth_call")]),
        )
        .await;
        send("worker", call("eth_call")).await;
        let counts = since(&before, &counter.counts());
        let of = |service: &str, method: &str| counts[&(service.to_owned(), method.to_owned())];
        assert_eq!(of("scheduler", "eth_call"), 2);
        assert_eq!(
            (of("scheduler", "eth_getLogs"), of("worker", "eth_call")),
            (1, 1)
        );
        assert_eq!(total(&counts), 4);
        assert!(told(&counts, 2.0).starts_with("scheduler eth_call 1.00"));
    }
}
