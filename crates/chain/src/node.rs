//! The node client: JSON-RPC over HTTP to a list of nodes, with failover and a time limit for every request.
//!
//! A failed request is an error, never an answer: not "no", not "yes", not zero. This module never retries in time (its
//! callers know how long a thing is worth waiting for); it only asks the next node of the list. URLs may carry keys, so
//! errors and logs name a node by its host only.

mod admission;
mod answers;
mod displaced;
mod endpoint;
mod error;

use std::{
    ops::ControlFlow,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_sol_types::SolCall;
use poco::units::{BlockNumber, Wei};
use serde::de::DeserializeOwned;
use serde_json::{Value, json, value::RawValue};
use url::Url;

pub use answers::{Block, CallRequest, Fees, Log, Receipt};
pub use error::{NodeError, SendError, SendRefusal};

use admission::better_told;
use answers::{RawBlock, RawReceipt};
use endpoint::{Endpoint, read};

/// How long one node may take for one request, unless set otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// The chain as seen through a list of nodes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Node {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    endpoints: Vec<Endpoint>,
    /// Index of the node asked first: the last one that answered.
    preferred: AtomicUsize,
    from: Address,
    chain_id: OnceLock<u64>,
}

/// One request of a batch.
pub(crate) type Request = (&'static str, Value);

impl Node {
    /// A client for `urls`, the first one preferred. `from` is the sender named in every `eth_call`, which Arbitrum
    /// needs (spec onchain C1); without one the zero address is named.
    ///
    /// # Errors
    /// When `urls` is empty or the HTTP client cannot be built. No node is contacted.
    pub fn new(urls: Vec<Url>, from: Option<Address>) -> Result<Self, NodeError> {
        Self::with_timeout(urls, from, DEFAULT_TIMEOUT)
    }

    /// Like [`Node::new`], with another time limit for each request to one node.
    ///
    /// # Errors
    /// As [`Node::new`].
    pub fn with_timeout(
        urls: Vec<Url>,
        from: Option<Address>,
        timeout: Duration,
    ) -> Result<Self, NodeError> {
        if urls.is_empty() {
            return Err(NodeError::NoUrl);
        }
        let http = reqwest::Client::builder()
            .connect_timeout(timeout)
            .build()
            .map_err(|error| NodeError::NoClient {
                text: error.to_string(),
            })?;
        let endpoints = urls
            .into_iter()
            .map(|url| Endpoint::new(&http, url, timeout))
            .collect();
        Ok(Self {
            inner: Arc::new(Inner {
                endpoints,
                preferred: AtomicUsize::new(0),
                from: from.unwrap_or(Address::ZERO),
                chain_id: OnceLock::new(),
            }),
        })
    }

    /// Sends any JSON-RPC request and reads its result.
    ///
    /// # Errors
    /// The last node's error when none answered; a revert or a refusal of the range at once, since another node would say
    /// the same.
    pub async fn request<R: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<R, NodeError> {
        let mut last = NodeError::NoUrl;
        for (index, endpoint) in self.in_turn() {
            let answer = async {
                self.admit(endpoint).await?;
                read(
                    &endpoint.name,
                    method,
                    &endpoint.ask(method, &params).await?,
                )
            };
            match self.judge(index, answer.await) {
                ControlFlow::Break(answer) => return answer,
                ControlFlow::Continue(error) => last = better_told(last, error),
            }
        }
        Err(last)
    }

    /// Sends several requests as one batch to one node; the answers come in the order of `requests`. A single refusal
    /// fails the whole batch, so that no mixture of two nodes' views is ever seen.
    pub(crate) async fn batch(
        &self,
        requests: &[Request],
    ) -> Result<Vec<Box<RawValue>>, NodeError> {
        let mut last = NodeError::NoUrl;
        for (index, endpoint) in self.in_turn() {
            let answers = async {
                self.admit(endpoint).await?;
                endpoint.ask_all(requests).await
            };
            match self.judge(index, answers.await) {
                ControlFlow::Break(answer) => return answer,
                ControlFlow::Continue(error) => last = better_told(last, error),
            }
        }
        Err(last)
    }

    /// Where the preferred node may push: its own address as a WebSocket. It may hold a key.
    pub(crate) async fn socket_url(&self) -> Option<String> {
        let (_, endpoint) = self.in_turn().next()?;
        self.admit(endpoint).await.ok()?;
        endpoint.socket_url()
    }

    /// Asks another node first from now on, when there is one: the preferred one turned out to be behind.
    pub(crate) fn prefer_another(&self) {
        let current = self.inner.preferred.load(Ordering::Relaxed);
        self.prefer((current + 1) % self.inner.endpoints.len().max(1));
    }

    /// Whether this answer stands, or the next node is to be asked.
    fn judge<T>(
        &self,
        index: usize,
        answer: Result<T, NodeError>,
    ) -> ControlFlow<Result<T, NodeError>, NodeError> {
        match answer {
            Err(error) if error.is_about_the_node() => {
                tracing::debug!(%error, "asking the next node");
                ControlFlow::Continue(error)
            }
            answer => {
                self.prefer(index);
                ControlFlow::Break(answer)
            }
        }
    }

    fn in_turn(&self) -> impl Iterator<Item = (usize, &Endpoint)> {
        let first = self.inner.preferred.load(Ordering::Relaxed);
        let numbered = self.inner.endpoints.iter().enumerate();
        let (before, from) = (numbered.clone().take(first), numbered.skip(first));
        from.chain(before)
    }

    fn prefer(&self, index: usize) {
        self.inner.preferred.store(index, Ordering::Relaxed);
    }

    /// The chain's id, asked once.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn chain_id(&self) -> Result<u64, NodeError> {
        for (_, endpoint) in self.in_turn() {
            if self.inner.chain_id.get().is_none()
                && let Err(error) = self.admit(endpoint).await
            {
                tracing::debug!(%error, "asking the next node");
            }
        }
        if let Some(id) = self.inner.chain_id.get() {
            return Ok(*id);
        }
        let id: U64 = self.request("eth_chainId", json!([])).await?;
        Ok(*self.inner.chain_id.get_or_init(|| id.to()))
    }

    /// The latest block.
    ///
    /// # Errors
    /// When no node answers, or none has a head.
    pub async fn head(&self) -> Result<Block, NodeError> {
        let raw: Option<RawBlock> = self
            .request("eth_getBlockByNumber", json!(["latest", false]))
            .await?;
        raw.map(Block::from).ok_or_else(|| NodeError::Missing {
            what: "latest block".to_owned(),
        })
    }

    /// The block at `number`; `None` when the node has none at that height yet.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn block(&self, number: BlockNumber) -> Result<Option<Block>, NodeError> {
        let (method, params) = block_request(number);
        let raw: Option<RawBlock> = self.request(method, params).await?;
        Ok(raw.map(Block::from))
    }

    /// The logs of blocks `from` to `to`, both included, emitted by one of `addresses`. Each entry of `topics` lists the
    /// values accepted at that position, an empty list accepts all.
    ///
    /// # Errors
    /// When no node answers; [`NodeError::TooMuch`] when the range must be split. A node that is behind may give an empty
    /// list: [`crate::Cursor`] guards against that, this function does not.
    pub async fn logs(
        &self,
        from: BlockNumber,
        to: BlockNumber,
        addresses: &[Address],
        topics: &[Vec<B256>],
    ) -> Result<Vec<Log>, NodeError> {
        let (method, params) = logs_request(from, to, addresses, topics);
        self.request(method, params).await
    }

    /// Calls a view at the latest block and decodes what it returns.
    ///
    /// # Errors
    /// [`NodeError::Reverted`] when the contract refuses, [`NodeError::NoData`] when there is no such function, and the
    /// errors of [`Node::request`].
    pub async fn call<C: SolCall>(&self, to: Address, call: &C) -> Result<C::Return, NodeError> {
        self.call_at(to, call, None).await
    }

    /// As [`Node::call`], at `block` or at the latest one.
    pub(crate) async fn call_at<C: SolCall>(
        &self,
        to: Address,
        call: &C,
        block: Option<BlockNumber>,
    ) -> Result<C::Return, NodeError> {
        let request = CallRequest::new(to, call.abi_encode().into());
        let data = self.call_raw(&request, block).await?;
        if data.is_empty() && !returns_nothing::<C>() {
            return Err(NodeError::NoData {
                to,
                call: C::SIGNATURE,
            });
        }
        // Texts on the chain may hold any bytes, so the lossy decoder is the right one (spec onchain C8).
        C::abi_decode_returns(&data).map_err(|error| NodeError::Undecodable {
            node: format!("{to:#x}"),
            method: C::SIGNATURE.to_owned(),
            text: error.to_string(),
        })
    }

    /// Calls with raw data, at `block` or at the latest one.
    ///
    /// # Errors
    /// As [`Node::call`], but empty data is returned as it is.
    pub async fn call_raw(
        &self,
        request: &CallRequest,
        block: Option<BlockNumber>,
    ) -> Result<Bytes, NodeError> {
        let at = block.map_or_else(|| json!("latest"), |number| json!(quantity(number.0)));
        self.request("eth_call", json!([self.call_object(request), at]))
            .await
    }

    /// The gas money `account` has.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn balance(&self, account: Address) -> Result<Wei, NodeError> {
        let wei: U256 = self
            .request("eth_getBalance", json!([account, "latest"]))
            .await?;
        Ok(Wei(wei.saturating_to()))
    }

    /// The price of gas in wei, as the node suggests it. Zero is a price: gas is free on some chains.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn gas_price(&self) -> Result<Wei, NodeError> {
        let wei: U256 = self.request("eth_gasPrice", json!([])).await?;
        Ok(Wei(wei.saturating_to()))
    }

    /// What gas costs now: base fee and tip where the head has a base fee, one price otherwise.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn fees(&self) -> Result<Fees, NodeError> {
        let head = self.head().await?;
        self.fees_at(&head).await
    }

    /// Like [`Node::fees`], with a head already at hand.
    pub(crate) async fn fees_at(&self, head: &Block) -> Result<Fees, NodeError> {
        let Some(base) = head.base_fee else {
            return Ok(Fees::Legacy {
                price: self.gas_price().await?.0,
            });
        };
        let tip = match self
            .request::<U256>("eth_maxPriorityFeePerGas", json!([]))
            .await
        {
            Ok(tip) => tip.saturating_to(),
            // Not every node has that method; what its gas price adds to the base fee is the same suggestion.
            Err(error) if error.is_unknown_method() => {
                self.gas_price().await?.0.saturating_sub(base)
            }
            Err(error) => return Err(error),
        };
        Ok(Fees::Dynamic { base, tip })
    }

    /// How much gas the call would use as a transaction now.
    ///
    /// # Errors
    /// [`NodeError::Reverted`] when it would fail, and the errors of [`Node::request`].
    pub async fn estimate(&self, request: &CallRequest) -> Result<u64, NodeError> {
        let gas: U256 = self
            .request("eth_estimateGas", json!([self.call_object(request)]))
            .await?;
        Ok(gas.saturating_to())
    }

    /// Hands a signed transaction to the nodes, in turn until one takes it. Having it already counts as taking it.
    ///
    /// # Errors
    /// [`SendError::Declined`] with the meaning of the node's words; when nobody answered, [`SendError::Node`], and then
    /// the transaction may have been taken all the same.
    pub async fn send_raw(&self, raw: &Bytes) -> Result<B256, SendError> {
        let hash = alloy_primitives::keccak256(raw);
        let params = json!([raw]);
        let mut declined = None;
        let mut unanswered = None;
        for (index, endpoint) in self.in_turn() {
            let sent = async {
                self.admit(endpoint).await?;
                endpoint.ask("eth_sendRawTransaction", &params).await
            };
            match sent.await {
                Ok(_) => {
                    self.prefer(index);
                    return Ok(hash);
                }
                Err(NodeError::Refused { node, text, .. }) => {
                    let refusal = SendRefusal::of(&text);
                    if refusal == SendRefusal::AlreadyKnown {
                        return Ok(hash);
                    }
                    declined.get_or_insert(SendError::Declined {
                        refusal,
                        node,
                        text,
                    });
                }
                // Some nodes run the transaction before they take it and report that like a call.
                Err(NodeError::Reverted(reason)) => {
                    declined.get_or_insert(SendError::Declined {
                        refusal: SendRefusal::Unclear,
                        node: endpoint.name.clone(),
                        text: format!("execution reverted {reason}"),
                    });
                }
                Err(error) => unanswered = Some(error),
            }
        }
        // A node that did not answer may have taken what another one declined for good.
        match (declined, unanswered) {
            (
                Some(SendError::Declined {
                    refusal: SendRefusal::Invalid,
                    ..
                }),
                Some(error),
            )
            | (None, Some(error)) => Err(error.into()),
            (Some(declined), _) => Err(declined),
            (None, None) => Err(NodeError::NoUrl.into()),
        }
    }

    /// The receipt of a mined transaction; `None` when this node has none, which does not prove that it is not mined.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn receipt(&self, tx: B256) -> Result<Option<Receipt>, NodeError> {
        let raw: Option<RawReceipt> = self
            .request("eth_getTransactionReceipt", json!([tx]))
            .await?;
        Ok(raw.and_then(RawReceipt::mined))
    }

    /// Whether the node knows the transaction, mined or waiting.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn knows(&self, tx: B256) -> Result<bool, NodeError> {
        let found: Option<Value> = self
            .request("eth_getTransactionByHash", json!([tx]))
            .await?;
        Ok(found.is_some())
    }

    /// How many transactions of `account` are mined: its next nonce if none waits.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn transaction_count(&self, account: Address) -> Result<u64, NodeError> {
        self.count_at(account, "latest").await
    }

    /// The next nonce of `account` behind those that wait in the node's pool without a gap.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn pending_count(&self, account: Address) -> Result<u64, NodeError> {
        self.count_at(account, "pending").await
    }

    async fn count_at(&self, account: Address, tag: &str) -> Result<u64, NodeError> {
        let count: U64 = self
            .request("eth_getTransactionCount", json!([account, tag]))
            .await?;
        Ok(count.to())
    }

    fn call_object(&self, request: &CallRequest) -> Value {
        let mut object = json!({
            "from": request.from.unwrap_or(self.inner.from),
            "to": request.to,
            "data": request.data,
        });
        if let (Some(gas), Some(members)) = (request.gas, object.as_object_mut()) {
            members.insert("gas".to_owned(), json!(quantity(gas)));
        }
        object
    }
}

/// Reads one answer of a batch as a block; `None` when there is none.
pub(crate) fn read_block(raw: &RawValue) -> Result<Option<Block>, NodeError> {
    let block: Option<RawBlock> = read("the node", "eth_getBlockByNumber", raw)?;
    Ok(block.map(Block::from))
}

/// Reads one answer of a batch as logs.
pub(crate) fn read_logs(raw: &RawValue) -> Result<Vec<Log>, NodeError> {
    read("the node", "eth_getLogs", raw)
}

/// The request for the block at `number`.
pub(crate) fn block_request(number: BlockNumber) -> Request {
    ("eth_getBlockByNumber", json!([quantity(number.0), false]))
}

/// The request for the logs of a range.
pub(crate) fn logs_request(
    from: BlockNumber,
    to: BlockNumber,
    addresses: &[Address],
    topics: &[Vec<B256>],
) -> Request {
    let topics: Vec<Value> = topics
        .iter()
        .map(|accepted| match accepted.as_slice() {
            [] => Value::Null,
            accepted => json!(accepted),
        })
        .collect();
    let filter = json!({
        "fromBlock": quantity(from.0),
        "toBlock": quantity(to.0),
        "address": addresses,
        "topics": topics,
    });
    ("eth_getLogs", json!([filter]))
}

fn quantity(number: u64) -> String {
    format!("{number:#x}")
}

/// Whether the function is declared without return values, so that empty data is its whole answer.
fn returns_nothing<C: SolCall>() -> bool {
    C::abi_decode_returns(&[]).is_ok()
}
