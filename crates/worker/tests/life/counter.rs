//! A node that counts what it is asked: every request by its method, and every view of the hub by its name. It pushes nothing. It can
//! be told to answer some of that otherwise than the chain would.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use alloy_sol_types::SolCall;
use axum::extract::State;
use axum::{Json, Router, routing};
use poco::contracts::{Hub, Workerpool};
use serde_json::{Value, json};

/// An answer that is not the chain's.
#[derive(Clone)]
pub(crate) enum Instead {
    /// This result.
    Gives(Value),
    /// An error, as of a node that is not well.
    Fails,
}

/// Passes everything on to the node behind it, but for what it is told to answer itself.
#[derive(Clone)]
pub(crate) struct Counter {
    pub(crate) url: String,
    behind: String,
    http: reqwest::Client,
    counts: Arc<Mutex<BTreeMap<String, u32>>>,
    instead: Arc<Mutex<BTreeMap<&'static str, Instead>>>,
}

impl Counter {
    pub(crate) async fn before(node: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let counter = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            behind: node.to_owned(),
            http: reqwest::Client::new(),
            counts: Arc::default(),
            instead: Arc::default(),
        };
        let router = Router::new()
            .route("/", routing::post(pass))
            .with_state(counter.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        counter
    }

    /// How often that was asked for so far.
    pub(crate) fn count(&self, what: &str) -> u32 {
        let counts = self.counts.lock().unwrap();
        counts.get(what).copied().unwrap_or_default()
    }

    /// From here on that is answered so; with `None` by the chain again.
    pub(crate) fn answer(&self, what: &'static str, instead: Option<Instead>) {
        let mut all = self.instead.lock().unwrap();
        match instead {
            Some(instead) => all.insert(what, instead),
            None => all.remove(what),
        };
    }

    /// The answer to a request that is not passed on.
    fn own_answer(&self, request: &Value) -> Option<Value> {
        let all = self.instead.lock().unwrap();
        let mut answer = match all.get(what(request))? {
            Instead::Gives(result) => json!({"result": result}),
            Instead::Fails => json!({"error": {"code": -32603, "message": "internal error"}}),
        };
        answer["jsonrpc"] = json!("2.0");
        answer["id"] = request["id"].clone();
        Some(answer)
    }

    fn note(&self, request: &Value) {
        let mut counts = self.counts.lock().unwrap();
        *counts.entry(what(request).to_owned()).or_default() += 1;
    }
}

fn what(request: &Value) -> &str {
    match request["method"].as_str().unwrap() {
        "eth_call" => view(&request["params"][0]),
        method => method,
    }
}

fn view(call: &Value) -> &'static str {
    let data = call["data"].as_str().or(call["input"].as_str()).unwrap();
    let names = [
        (Hub::viewTaskCall::SELECTOR, "task"),
        (Hub::viewDealCall::SELECTOR, "deal"),
        (Hub::viewCategoryCall::SELECTOR, "category"),
        (Hub::viewAppCall::SELECTOR, "app"),
        (Hub::viewAccountCall::SELECTOR, "account"),
        (Hub::viewContributionCall::SELECTOR, "contribution"),
        (Workerpool::ownerCall::SELECTOR, "owner"),
    ];
    let is = |selector: &[u8; 4]| data.starts_with(&poco::hex::encode(selector));
    names
        .iter()
        .find(|(selector, _)| is(selector))
        .map_or("another view", |(_, name)| name)
}

async fn pass(State(counter): State<Counter>, Json(body): Json<Value>) -> Json<Value> {
    match body.as_array() {
        Some(batch) => batch.iter().for_each(|request| counter.note(request)),
        None => {
            counter.note(&body);
            if let Some(answer) = counter.own_answer(&body) {
                return Json(answer);
            }
        }
    }
    let request = counter.http.post(&counter.behind).json(&body);
    Json(request.send().await.unwrap().json().await.unwrap())
}
