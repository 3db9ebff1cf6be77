//! The hub, once it is known to be the hub of the configured chain.
//!
//! A node of another chain, or an address that is no hub, would answer "no such task" to everything. So the first question
//! asks who is there; a wrong answer stops the proxy at start, and a node that is away at start is asked again by the first
//! request. What a task is now is asked each time; its deal is what it was when it was read.

use std::sync::Arc;

use chain::{Hub, NodeError};
use tokio::sync::OnceCell;

/// Why the chain cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The node does not answer, or not with what was asked.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The node is on another chain.
    #[error(
        "the node is on chain {found}, and this proxy is for chain {wanted}\n  mend      correct IEXEC_CHAIN_ID or IEXEC_BLOCKCHAIN_NODE_ADDRESS"
    )]
    OtherChain {
        /// IEXEC_CHAIN_ID.
        wanted: u64,
        /// What the node says.
        found: u64,
    },
    /// What is at the hub's address does not answer like a hub.
    #[error(
        "there is no hub at {hub:#x} on chain {chain}: {source}\n  mend      correct IEXEC_HUB_ADDRESS, or IEXEC_CHAIN_ID with its node"
    )]
    NoHub {
        /// IEXEC_HUB_ADDRESS.
        hub: alloy_primitives::Address,
        /// IEXEC_CHAIN_ID.
        chain: u64,
        /// What came instead.
        source: NodeError,
    },
}

impl ChainError {
    /// Whether only a change of settings can help.
    pub(crate) fn is_wrong_setting(&self) -> bool {
        matches!(self, Self::OtherChain { .. } | Self::NoHub { .. })
    }
}

/// The hub of the configured chain. Cheap to clone.
#[derive(Clone)]
pub(crate) struct RightChain {
    hub: Hub,
    chain_id: u64,
    checked: Arc<OnceCell<()>>,
}

impl RightChain {
    /// A hub that must be on `chain_id`.
    pub(crate) fn new(hub: Hub, chain_id: u64) -> Self {
        Self {
            hub,
            chain_id,
            checked: Arc::default(),
        }
    }

    /// The hub. The first successful check counts for good.
    pub(crate) async fn hub(&self) -> Result<&Hub, ChainError> {
        self.checked.get_or_try_init(|| self.check()).await?;
        Ok(&self.hub)
    }

    /// Whether the check has succeeded once.
    pub(crate) fn is_known(&self) -> bool {
        self.checked.initialized()
    }

    async fn check(&self) -> Result<(), ChainError> {
        let found = self.hub.node().chain_id().await?;
        if found != self.chain_id {
            return Err(ChainError::OtherChain {
                wanted: self.chain_id,
                found,
            });
        }
        match self.hub.category_count().await {
            Ok(_) => Ok(()),
            Err(
                source @ (NodeError::NoData { .. }
                | NodeError::Reverted(_)
                | NodeError::Undecodable { .. }),
            ) => Err(ChainError::NoHub {
                hub: self.hub.address(),
                chain: self.chain_id,
                source,
            }),
            Err(error) => Err(error.into()),
        }
    }
}
