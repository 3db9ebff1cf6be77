//! Whether a transaction can still be mined, asked so that no two nodes' views are mixed: one that is ahead and one that is
//! behind would together "prove" that a nonce was taken by somebody else.

use alloy_primitives::{Address, B256, U64};
use serde_json::{Value, json};

use super::{Node, NodeError, Request, endpoint::read};

const COUNT: &str = "eth_getTransactionCount";
const BY_HASH: &str = "eth_getTransactionByHash";

impl Node {
    /// Whether another transaction took `nonce` of `account`: at least one node shows it used up and does not know any of
    /// `txs`, and no node that answers knows one. A node that is behind or does not answer has no say.
    ///
    /// # Errors
    /// When no node answers.
    pub(crate) async fn is_displaced(
        &self,
        account: Address,
        nonce: u64,
        txs: &[B256],
    ) -> Result<bool, NodeError> {
        let mut requests: Vec<Request> = vec![(COUNT, json!([account, "latest"]))];
        requests.extend(txs.iter().map(|tx| (BY_HASH, json!([tx]))));
        let mut taken = false;
        let mut answered = false;
        let mut last = NodeError::NoUrl;
        for endpoint in &self.inner.endpoints {
            let asked = async {
                self.admit(endpoint).await?;
                endpoint.ask_all(&requests).await
            };
            let answers = match asked.await {
                Ok(answers) => answers,
                Err(error) => {
                    last = error;
                    continue;
                }
            };
            let Some((count, found)) = answers.split_first() else {
                continue;
            };
            answered = true;
            for tx in found {
                let known: Option<Value> = read(&endpoint.name, BY_HASH, tx)?;
                if known.is_some() {
                    return Ok(false);
                }
            }
            let count: U64 = read(&endpoint.name, COUNT, count)?;
            taken |= count.to::<u64>() > nonce;
        }
        if answered { Ok(taken) } else { Err(last) }
    }
}
