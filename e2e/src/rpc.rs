//! Plain JSON-RPC to the node: what an outside observer can see. Shares no code with the services' chain client.

use std::sync::atomic::{AtomicU64, Ordering};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A node, by its URL.
#[derive(Debug)]
pub struct Rpc {
    url: String,
    http: reqwest::Client,
    next_id: AtomicU64,
}

/// A block with its transactions, as far as the audit needs it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Block {
    /// Height.
    pub number: U256,
    /// Seconds since 1970.
    pub timestamp: U256,
    /// All transactions of the block.
    pub transactions: Vec<Transaction>,
}

/// A mined transaction.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transaction {
    /// Its hash.
    pub hash: B256,
    /// Who signed it.
    pub from: Address,
    /// To whom; none for a creation.
    pub to: Option<Address>,
    /// The sender's count of transactions before it.
    pub nonce: U256,
    /// Call data.
    pub input: Bytes,
    /// Wei per gas that were paid.
    pub gas_price: Option<U256>,
}

/// A receipt.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The block it is in.
    pub block_number: U256,
    /// 1 for success, 0 for a revert.
    pub status: U256,
    /// What it cost.
    pub gas_used: U256,
}

/// A log entry.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Log {
    /// Height.
    pub block_number: U256,
    /// The transaction that left it.
    pub transaction_hash: B256,
    /// The event and its indexed arguments.
    pub topics: Vec<B256>,
    /// The other arguments.
    pub data: Bytes,
}

impl Rpc {
    /// A client of the node at `url`.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            http: reqwest::Client::new(),
            next_id: AtomicU64::new(1),
        }
    }

    /// Any method.
    pub async fn request<T: DeserializeOwned>(
        &self,
        method: &str,
        params: Value,
    ) -> anyhow::Result<T> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let answer: Value = self
            .http
            .post(&self.url)
            .json(&body)
            .send()
            .await
            .with_context(|| format!("{method} to {}", self.url))?
            .json()
            .await?;
        if let Some(error) = answer.get("error") {
            bail!("{method} failed: {error}");
        }
        let result = answer
            .get("result")
            .cloned()
            .with_context(|| format!("{method} gave no result"))?;
        Ok(serde_json::from_value(result)?)
    }

    /// The highest block.
    pub async fn head(&self) -> anyhow::Result<u64> {
        let number: U256 = self.request("eth_blockNumber", json!([])).await?;
        Ok(number.to())
    }

    /// Coins of an account, in wei.
    pub async fn balance(&self, account: Address) -> anyhow::Result<U256> {
        self.request("eth_getBalance", json!([account, "latest"]))
            .await
    }

    /// A block with its transactions.
    pub async fn block(&self, number: u64) -> anyhow::Result<Block> {
        self.request(
            "eth_getBlockByNumber",
            json!([format!("{number:#x}"), true]),
        )
        .await
    }

    /// The receipt of a mined transaction.
    pub async fn receipt(&self, hash: B256) -> anyhow::Result<Receipt> {
        self.request("eth_getTransactionReceipt", json!([hash]))
            .await
    }

    /// All logs of an event of `address` whose first indexed argument is `subject`.
    pub async fn logs(
        &self,
        address: Address,
        event: &str,
        subject: B256,
    ) -> anyhow::Result<Vec<Log>> {
        let topic = keccak256(event.as_bytes());
        self.request("eth_getLogs", json!([{"fromBlock": "0x0", "toBlock": "latest", "address": address, "topics": [topic, subject]}]))
            .await
    }

    /// Calls `function` (its signature in text) of `to` with arguments of 32 bytes each; gives the words of the answer.
    pub async fn view(
        &self,
        to: Address,
        function: &str,
        arguments: &[B256],
    ) -> anyhow::Result<Words> {
        let selector = keccak256(function.as_bytes());
        let mut data = selector.get(..4).unwrap_or_default().to_vec();
        for argument in arguments {
            data.extend_from_slice(argument.as_slice());
        }
        let answer: Bytes = self
            .request(
                "eth_call",
                json!([{"to": to, "data": Bytes::from(data)}, "latest"]),
            )
            .await?;
        Ok(Words(answer))
    }
}

/// The answer of a call, read by 32-byte words.
#[derive(Debug, Clone)]
pub struct Words(pub Bytes);

impl Words {
    /// Word number `index`, counted from 0.
    pub fn word(&self, index: usize) -> anyhow::Result<U256> {
        let bytes = self
            .0
            .get(index * 32..index * 32 + 32)
            .with_context(|| format!("the answer has no word {index}"))?;
        Ok(U256::from_be_slice(bytes))
    }

    /// A word as an address.
    pub fn address(&self, index: usize) -> anyhow::Result<Address> {
        Ok(Address::from_word(B256::from(self.word(index)?)))
    }

    /// The dynamic bytes whose offset, from the word `base`, stands in word `index`.
    pub fn bytes_at(&self, base: usize, index: usize) -> anyhow::Result<Vec<u8>> {
        let offset: usize = self.word(index)?.to();
        let start = base * 32 + offset;
        let length: usize = U256::from_be_slice(
            self.0
                .get(start..start + 32)
                .context("bytes without a length")?,
        )
        .to();
        Ok(self
            .0
            .get(start + 32..start + 32 + length)
            .context("bytes cut short")?
            .to_vec())
    }
}

/// An address as a 32-byte argument.
#[must_use]
pub fn word_of(address: Address) -> B256 {
    address.into_word()
}
