//! A node that counts what it is asked: every request by its method, and every view of the hub by its name. It pushes nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use alloy_sol_types::SolCall;
use axum::extract::State;
use axum::{Json, Router, routing};
use poco::contracts::{Hub, Workerpool};
use serde_json::Value;

/// Passes everything on to the node behind it.
#[derive(Clone)]
pub(crate) struct Counter {
    pub(crate) url: String,
    behind: String,
    http: reqwest::Client,
    counts: Arc<Mutex<BTreeMap<String, u32>>>,
}

impl Counter {
    pub(crate) async fn before(node: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let counter = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            behind: node.to_owned(),
            http: reqwest::Client::new(),
            counts: Arc::default(),
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

    fn note(&self, request: &Value) {
        let what = match request["method"].as_str().unwrap() {
            "eth_call" => view(&request["params"][0]),
            method => method,
        };
        let mut counts = self.counts.lock().unwrap();
        *counts.entry(what.to_owned()).or_default() += 1;
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
        None => counter.note(&body),
    }
    let request = counter.http.post(&counter.behind).json(&body);
    Json(request.send().await.unwrap().json().await.unwrap())
}
