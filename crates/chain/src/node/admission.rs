//! Which nodes of the list may answer: those of one chain. Asks each node once, and only where there are several.

use alloy_primitives::U64;
use serde_json::json;

use super::{Endpoint, Node, NodeError, endpoint::read};

impl Node {
    /// Lets a node answer only when it is on the same chain as the one that answered first. A list may name a node of another
    /// chain by mistake: believed, it would look like a reorganisation of everything.
    pub(super) async fn admit(&self, endpoint: &Endpoint) -> Result<(), NodeError> {
        if self.inner.endpoints.len() < 2 {
            return Ok(());
        }
        let found = match endpoint.chain.get() {
            Some(id) => *id,
            None => {
                let method = "eth_chainId";
                let raw = endpoint.ask(method, &json!([])).await?;
                let id: U64 = read(&endpoint.name, method, &raw)?;
                *endpoint.chain.get_or_init(|| id.to())
            }
        };
        let expected = *self.inner.chain_id.get_or_init(|| found);
        if found == expected {
            return Ok(());
        }
        Err(NodeError::OtherChain {
            node: endpoint.name.clone(),
            found,
            expected,
        })
    }
}

/// Of two nodes' errors the one to tell: a node of another chain says nothing about the question.
pub(super) fn better_told(earlier: NodeError, later: NodeError) -> NodeError {
    match (earlier, later) {
        (NodeError::NoUrl, later) => later,
        (earlier, NodeError::OtherChain { .. }) => earlier,
        (_, later) => later,
    }
}
