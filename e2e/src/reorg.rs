//! Taking blocks back on the real node: reorganisations, lower heads, dropped transactions.

#![allow(
    clippy::indexing_slicing,
    reason = "JSON read by its field names: a missing one reads as null"
)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, B256, Bytes, U256};
use anyhow::Context as _;
use serde_json::{Value, json};

use crate::process::until;
use crate::rpc::{Receipt, Rpc};

impl Rpc {
    /// Replaces the last `depth` blocks by others at the same heights. Of their transactions only `kept` are in the new ones; the others
    /// vanish, as if they had never been sent.
    pub async fn reorganise(&self, depth: u64, kept: &[B256]) -> anyhow::Result<()> {
        let mut again = Vec::new();
        let head = self.head().await?;
        let depth = depth.min(head.saturating_sub(1));
        for tx in kept {
            let found: Value = self
                .request("eth_getTransactionByHash", json!([tx]))
                .await?;
            let block: U256 = serde_json::from_value(found["blockNumber"].clone())
                .with_context(|| format!("{tx} is not mined"))?;
            let first = head - depth + 1;
            if let Some(index) = block.to::<u64>().checked_sub(first) {
                let raw: Bytes = self
                    .request("eth_getRawTransactionByHash", json!([tx]))
                    .await?;
                again.push(json!([raw, index]));
            }
        }
        self.request::<Value>("anvil_reorg", json!([depth, again]))
            .await?;
        self.mend_above(head - depth, &again).await?;
        // The node has gone back to the time of the last block that stayed, and would lag by that from now on.
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        self.request::<Value>("evm_setTime", json!([now]))
            .await
            .map(drop)
    }

    /// A block that the node mines in its rhythm just then leaves a hole below it: all above `common` is made again until there is none.
    async fn mend_above(&self, common: u64, again: &[Value]) -> anyhow::Result<()> {
        for _ in 0..5 {
            let head = self.head().await?;
            let mut whole = true;
            for number in common..=head {
                whole &= self.block_exists(number).await?;
            }
            if whole {
                return Ok(());
            }
            let depth = head - common;
            self.request::<Value>("anvil_reorg", json!([depth, again]))
                .await?;
        }
        anyhow::bail!("the local chain lost a block above {common}")
    }

    async fn block_exists(&self, number: u64) -> anyhow::Result<bool> {
        let block: Value = self
            .request(
                "eth_getBlockByNumber",
                json!([format!("{number:#x}"), false]),
            )
            .await?;
        Ok(!block.is_null())
    }

    /// Lowers the head by `depth` blocks.
    pub async fn lower_head(&self, depth: u64) -> anyhow::Result<()> {
        self.request("anvil_rollback", json!([depth])).await
    }

    /// Mines `blocks` empty blocks at once, or with what waits.
    pub async fn mine(&self, blocks: u64) -> anyhow::Result<()> {
        self.request("anvil_mine", json!([format!("{blocks:#x}"), "0x0"]))
            .await
    }

    /// No block is made any more until [`Rpc::resume_mining`]; transactions wait in the node's pool.
    pub async fn stop_mining(&self) -> anyhow::Result<()> {
        self.request::<Value>("evm_setIntervalMining", json!([0]))
            .await?;
        self.request::<Value>("evm_setAutomine", json!([false]))
            .await
            .map(drop)
    }

    /// A block a second from now on.
    pub async fn resume_mining(&self) -> anyhow::Result<()> {
        self.request::<Value>("evm_setIntervalMining", json!([1]))
            .await
            .map(drop)
    }

    /// The transactions of `from` that wait in the node's pool.
    pub async fn waiting_of(&self, from: Address) -> anyhow::Result<Vec<B256>> {
        let pool: Value = self.request("txpool_content", json!([])).await?;
        let mut found = Vec::new();
        for (sender, by_nonce) in pool["pending"].as_object().into_iter().flatten() {
            if sender.parse::<Address>().ok() != Some(from) {
                continue;
            }
            for transaction in by_nonce
                .as_object()
                .into_iter()
                .flat_map(|map| map.values())
            {
                found.push(serde_json::from_value(transaction["hash"].clone())?);
            }
        }
        Ok(found)
    }

    /// Removes a waiting transaction from the node's pool.
    pub async fn drop_transaction(&self, tx: B256) -> anyhow::Result<()> {
        self.request::<Value>("anvil_dropTransaction", json!([tx]))
            .await
            .map(drop)
    }

    /// The raw bytes of a transaction, to send it again after a reorganisation.
    pub async fn raw(&self, tx: B256) -> anyhow::Result<Bytes> {
        self.request("eth_getRawTransactionByHash", json!([tx]))
            .await
    }

    /// Sends a call of `function` of `to` in the name of `from`, whose key the node needs not have, and waits until it is mined. The words
    /// are the arguments, of 32 bytes each.
    pub async fn send_as(
        &self,
        from: Address,
        to: Address,
        function: &str,
        words: &[B256],
    ) -> anyhow::Result<Receipt> {
        let selector = alloy_primitives::keccak256(function.as_bytes());
        let mut data = selector.get(..4).unwrap_or_default().to_vec();
        for word in words {
            data.extend_from_slice(word.as_slice());
        }
        self.send_data_as(from, to, data)
            .await
            .with_context(|| format!("{function} by {from}"))
    }

    /// The same with the whole call as bytes.
    pub async fn send_data_as(
        &self,
        from: Address,
        to: Address,
        data: Vec<u8>,
    ) -> anyhow::Result<Receipt> {
        self.request::<Value>("anvil_impersonateAccount", json!([from]))
            .await?;
        // The one form of a price that chains with and without a base fee take.
        let price: U256 = self.request("eth_gasPrice", json!([])).await?;
        let call = json!({"from": from, "to": to, "data": Bytes::from(data), "gasPrice": price});
        let tx: B256 = self.request("eth_sendTransaction", json!([call])).await?;
        let receipt = until("a receipt", Duration::from_secs(20), || async {
            self.request::<Option<Receipt>>("eth_getTransactionReceipt", json!([tx]))
                .await
        })
        .await?;
        anyhow::ensure!(receipt.status == U256::from(1), "it reverted");
        Ok(receipt)
    }
}
