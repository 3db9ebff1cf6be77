//! One node of the list: sends it requests, and says in our words what went wrong.
//!
//! Its URL may hold a key, so nothing made here shows more of it than host and port.

use std::{sync::OnceLock, time::Duration};

use alloy_rpc_client::RpcClient;
use alloy_transport::{RpcError, TransportError, TransportErrorKind};
use serde::de::DeserializeOwned;
use serde_json::{Value, value::RawValue};
use url::Url;

use super::{NodeError, Request, error};
use crate::Revert;

const LOGS: &str = "eth_getLogs";

#[derive(Debug)]
pub(super) struct Endpoint {
    client: RpcClient,
    /// Host and port: what may be shown.
    pub(super) name: String,
    /// The whole URL as the HTTP client prints it, to be cut out of its errors.
    secret: String,
    /// How long one request may take.
    timeout: Duration,
    /// The chain it is on, asked once where there are several nodes.
    pub(super) chain: OnceLock<u64>,
}

impl Endpoint {
    pub(super) fn new(http: &reqwest::Client, url: Url, timeout: Duration) -> Self {
        Self {
            name: shown(&url),
            secret: url.to_string(),
            client: RpcClient::new_http_with_client(http.clone(), url),
            timeout,
            chain: OnceLock::new(),
        }
    }

    /// Its address as a WebSocket; it may hold a key.
    pub(super) fn socket_url(&self) -> Option<String> {
        let mut url: Url = self.secret.parse().ok()?;
        let scheme = match url.scheme() {
            "http" => "ws",
            "https" => "wss",
            _ => return None,
        };
        url.set_scheme(scheme).ok()?;
        Some(url.into())
    }

    pub(super) async fn ask(
        &self,
        method: &'static str,
        params: &Value,
    ) -> Result<Box<RawValue>, NodeError> {
        let request = self
            .client
            .request::<_, Box<RawValue>>(method, params.clone());
        match tokio::time::timeout(self.timeout, request).await {
            Ok(answer) => answer.map_err(|error| self.explain(method, error)),
            Err(_) => Err(self.timed_out(method)),
        }
    }

    pub(super) async fn ask_all(
        &self,
        requests: &[Request],
    ) -> Result<Vec<Box<RawValue>>, NodeError> {
        // What fails as a whole is named after its heaviest part, which is likely to be the reason.
        let whole = requests
            .iter()
            .map(|(method, _)| *method)
            .find(|method| *method == LOGS)
            .or_else(|| requests.first().map(|(method, _)| *method))
            .unwrap_or("batch");
        let mut batch = self.client.new_batch();
        let mut waiters = Vec::with_capacity(requests.len());
        for (method, params) in requests {
            let waiter = batch
                .add_call::<_, Box<RawValue>>(*method, params)
                .map_err(|error| self.explain(method, error))?;
            waiters.push((*method, waiter));
        }
        match tokio::time::timeout(self.timeout, batch.send()).await {
            Ok(sent) => sent.map_err(|error| self.explain(whole, error))?,
            Err(_) => return Err(self.timed_out(whole)),
        }
        let mut answers = Vec::with_capacity(waiters.len());
        let mut failed: Option<(&'static str, TransportError)> = None;
        for (method, waiter) in waiters {
            match waiter.await {
                Ok(answer) => answers.push(answer),
                // Some nodes answer only the part that failed: what they say tells more than what is missing.
                Err(error) => {
                    let tells_more = failed.as_ref().is_none_or(|(_, earlier)| {
                        error.is_error_resp() && !earlier.is_error_resp()
                    });
                    if tells_more {
                        failed = Some((method, error));
                    }
                }
            }
        }
        failed.map_or(Ok(answers), |(method, error)| {
            Err(self.explain(method, error))
        })
    }

    fn timed_out(&self, method: &str) -> NodeError {
        NodeError::TimedOut {
            node: self.name.clone(),
            method: method.to_owned(),
            after: self.timeout,
        }
    }

    fn explain(&self, method: &str, error: TransportError) -> NodeError {
        match error {
            RpcError::ErrorResp(payload) => {
                let data: Option<Value> = payload
                    .data
                    .as_deref()
                    .and_then(|raw| serde_json::from_str(raw.get()).ok());
                self.explain_answer(method, payload.code, &payload.message, data.as_ref())
            }
            RpcError::DeserError { err, .. } => NodeError::Undecodable {
                node: self.name.clone(),
                method: method.to_owned(),
                text: err.to_string(),
            },
            // The body of such an answer was read already: a JSON-RPC error in it came as one.
            RpcError::Transport(TransportErrorKind::HttpError(http)) => NodeError::Unreachable {
                node: self.name.clone(),
                method: method.to_owned(),
                text: format!("HTTP status {}", http.status),
            },
            RpcError::Transport(TransportErrorKind::Custom(source)) => NodeError::Unreachable {
                node: self.name.clone(),
                method: method.to_owned(),
                text: self.without_url(&chain_of(source.as_ref())),
            },
            other => NodeError::Unreachable {
                node: self.name.clone(),
                method: method.to_owned(),
                text: self.without_url(&other.to_string()),
            },
        }
    }

    fn explain_answer(
        &self,
        method: &str,
        code: i64,
        message: &str,
        data: Option<&Value>,
    ) -> NodeError {
        let node = self.name.clone();
        let method = method.to_owned();
        let is_execution = matches!(
            method.as_str(),
            "eth_call" | "eth_estimateGas" | "eth_sendRawTransaction"
        );
        if is_execution && let Some(revert) = Revert::from_answer(code, message, data) {
            return NodeError::Reverted(revert);
        }
        if method == LOGS && error::says_too_much(code, message) {
            return NodeError::TooMuch {
                node,
                method,
                text: message.to_owned(),
            };
        }
        NodeError::Refused {
            node,
            method,
            code,
            text: self.without_url(message),
        }
    }

    fn without_url(&self, text: &str) -> String {
        text.replace(&self.secret, &self.name)
            .replace(self.secret.trim_end_matches('/'), &self.name)
    }
}

/// Reads a result as what its method promises.
pub(super) fn read<R: DeserializeOwned>(
    node: &str,
    method: &str,
    raw: &RawValue,
) -> Result<R, NodeError> {
    serde_json::from_str(raw.get()).map_err(|error| NodeError::Undecodable {
        node: node.to_owned(),
        method: method.to_owned(),
        text: error.to_string(),
    })
}

fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or("node");
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn chain_of(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
