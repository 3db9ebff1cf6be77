//! A thin JSON-RPC client for bringing a chain up. No failover and no retries: a local node answers or the start fails with the reason.

use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_rpc_client::RpcClient;
use alloy_rpc_types_eth::{TransactionInput, TransactionRequest};
use alloy_sol_types::SolCall;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::Url;

use crate::DevnetError;

/// A node by its address.
#[derive(Debug, Clone)]
pub(crate) struct Rpc {
    client: RpcClient,
    url: Url,
}

/// The part of a receipt that a deployment looks at.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Receipt {
    pub(crate) status: U64,
    pub(crate) gas_used: U64,
}

impl Rpc {
    pub(crate) fn new(url: Url) -> Self {
        let client = RpcClient::new_http(url.clone());
        client.set_poll_interval(Duration::from_millis(50));
        Self { client, url }
    }

    pub(crate) const fn url(&self) -> &Url {
        &self.url
    }

    pub(crate) async fn ask<
        T: DeserializeOwned + std::fmt::Debug + Send + Sync + Unpin + 'static,
    >(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<T, DevnetError> {
        self.ask_any(method.to_owned(), params).await
    }

    pub(crate) async fn ask_any<
        T: DeserializeOwned + std::fmt::Debug + Send + Sync + Unpin + 'static,
    >(
        &self,
        method: String,
        params: Value,
    ) -> Result<T, DevnetError> {
        let answer = self
            .client
            .request::<Value, T>(method.clone(), params)
            .await;
        answer.map_err(|source| DevnetError::Node {
            url: self.url.clone(),
            method,
            source: Box::new(source),
        })
    }

    pub(crate) async fn chain_id(&self) -> Result<u64, DevnetError> {
        Ok(self.ask::<U64>("eth_chainId", json!([])).await?.to())
    }

    pub(crate) async fn gas_price(&self) -> Result<u128, DevnetError> {
        let price: U256 = self.ask("eth_gasPrice", json!([])).await?;
        Ok(price.saturating_to())
    }

    pub(crate) async fn nonce(&self, account: Address) -> Result<u64, DevnetError> {
        Ok(self
            .ask::<U64>("eth_getTransactionCount", json!([account, "pending"]))
            .await?
            .to())
    }

    /// Coins of an account, in wei.
    pub(crate) async fn balance(&self, account: Address) -> Result<U256, DevnetError> {
        self.ask("eth_getBalance", json!([account, "latest"])).await
    }

    pub(crate) async fn has_code(&self, address: Address) -> Result<bool, DevnetError> {
        let code: Bytes = self.ask("eth_getCode", json!([address, "latest"])).await?;
        Ok(!code.is_empty())
    }

    pub(crate) async fn send(&self, raw: &[u8]) -> Result<B256, DevnetError> {
        self.ask(
            "eth_sendRawTransaction",
            json!([Bytes::copy_from_slice(raw)]),
        )
        .await
    }

    pub(crate) async fn receipt(&self, tx: B256) -> Result<Option<Receipt>, DevnetError> {
        self.ask("eth_getTransactionReceipt", json!([tx])).await
    }

    /// Asks a view of a contract.
    pub(crate) async fn view<C: SolCall>(
        &self,
        contract: Address,
        call: &C,
    ) -> Result<C::Return, DevnetError> {
        let request = TransactionRequest {
            to: Some(contract.into()),
            input: TransactionInput::both(call.abi_encode().into()),
            ..TransactionRequest::default()
        };
        let answer: Bytes = self.ask("eth_call", json!([request, "latest"])).await?;
        C::abi_decode_returns_validate(&answer).map_err(|error| DevnetError::Undecodable {
            what: C::SIGNATURE,
            why: error.to_string(),
        })
    }
}
