//! What can go wrong between us and a node, told apart by what it means for the question that was asked.

use std::time::Duration;

use alloy_primitives::Address;

use crate::{Kind, Revert};

/// Why a node gave no answer. Only [`NodeError::Reverted`] says something about the chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// The list of nodes is empty.
    #[error("no node URL is set; give at least one Ethereum JSON-RPC URL")]
    NoUrl,
    /// The HTTP client could not be built.
    #[error(
        "the HTTP client cannot start: {text}; check the system's TLS setup and proxy variables"
    )]
    NoClient {
        /// The client's own words.
        text: String,
    },
    /// The connection failed or the answer was not JSON-RPC.
    #[error(
        "{node} did not answer {method}: {text}; check that the node runs and that its URL is right"
    )]
    Unreachable {
        /// Host of the node.
        node: String,
        /// JSON-RPC method.
        method: String,
        /// What went wrong, without the URL.
        text: String,
    },
    /// Nothing came back in time.
    #[error("{node} did not answer {method} within {after:?}; it may be overloaded")]
    TimedOut {
        /// Host of the node.
        node: String,
        /// JSON-RPC method.
        method: String,
        /// How long we waited.
        after: Duration,
    },
    /// The node answered with an error of its own.
    #[error("{node} refused {method} with code {code}: {text}")]
    Refused {
        /// Host of the node.
        node: String,
        /// JSON-RPC method.
        method: String,
        /// JSON-RPC error code.
        code: i64,
        /// The node's words.
        text: String,
    },
    /// The node serves another chain than the rest of the list: nothing it says is believed.
    #[error(
        "{node} is a node of chain {found}, the others are of chain {expected}; take it off the list of nodes"
    )]
    OtherChain {
        /// Host of the node.
        node: String,
        /// Its chain.
        found: u64,
        /// The chain of the node that answered first.
        expected: u64,
    },
    /// The range or the answer is larger than the provider allows.
    #[error(
        "{node} does not give so much in one answer to {method} ({text}); ask for fewer blocks"
    )]
    TooMuch {
        /// Host of the node.
        node: String,
        /// JSON-RPC method.
        method: String,
        /// The node's words.
        text: String,
    },
    /// The contract refused the call: this *is* an answer of the chain.
    #[error("the call was reverted: {0}")]
    Reverted(Revert),
    /// The answer does not have the shape the method promises.
    #[error("{node} answered {method} with something unreadable: {text}")]
    Undecodable {
        /// Host of the node, or the contract.
        node: String,
        /// JSON-RPC method, or the view.
        method: String,
        /// What could not be read.
        text: String,
    },
    /// A view returned no bytes: there is no such function, or no contract, at that address.
    #[error("{to:#x} returned no data for {call}; check the contract address and the chain")]
    NoData {
        /// The address called.
        to: Address,
        /// Signature of the function.
        call: &'static str,
    },
    /// The node gives no logs of a block whose header shows that there are some.
    #[error(
        "the node gives no logs of block {block}, although the block's header shows that there are some: logs are missing in its answers \
         to eth_getLogs; wait until its index is complete, or use another node"
    )]
    LogsMissing {
        /// The block.
        block: u64,
    },
    /// The node does not have a thing that must exist, like its own head.
    #[error("the node has no {what}; it may be starting or behind")]
    Missing {
        /// What was asked for.
        what: String,
    },
}

impl NodeError {
    /// What a caller may do about it.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::NoUrl
            | Self::NoClient { .. }
            | Self::OtherChain { .. }
            | Self::Reverted(_)
            | Self::NoData { .. } => Kind::Terminal,
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::Refused { .. }
            | Self::TooMuch { .. }
            | Self::Undecodable { .. }
            | Self::LogsMissing { .. }
            | Self::Missing { .. } => Kind::Retryable,
        }
    }

    /// Whether another node of the list may know better.
    pub(crate) const fn is_about_the_node(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::TimedOut { .. }
                | Self::Refused { .. }
                | Self::OtherChain { .. }
                | Self::Undecodable { .. }
                | Self::LogsMissing { .. }
                | Self::Missing { .. }
        )
    }

    /// The method does not exist at this node (JSON-RPC code -32601, or words to that effect).
    pub(crate) fn is_unknown_method(&self) -> bool {
        match self {
            Self::Refused { code, text, .. } => {
                let text = text.to_lowercase();
                *code == -32601 || text.contains("not supported") || text.contains("does not exist")
            }
            _ => false,
        }
    }
}

/// Whether an error answer means "too many logs" or "too many blocks": providers use several codes and words.
pub(crate) fn says_too_much(code: i64, message: &str) -> bool {
    const WORDS: [&str; 12] = [
        "query returned more than",
        "too many results",
        "too many logs",
        "response size",
        "block range",
        "range is too",
        "range too",
        "blocks range",
        "exceed maximum block range",
        "exceeds max results",
        "limited to a",
        "query timeout",
    ];
    let lower = message.to_lowercase();
    WORDS.iter().any(|words| lower.contains(words))
        || (code == -32005 && lower.contains("limit") && !lower.contains("rate"))
}

/// What a node said to a raw transaction that it did not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendRefusal {
    /// It has this very transaction already.
    AlreadyKnown,
    /// A transaction with this nonce is mined.
    NonceTooLow,
    /// The nonce leaves a gap that the node does not queue.
    NonceTooHigh,
    /// The fee is below what the node or the next block asks.
    FeeTooLow,
    /// Another transaction with this nonce waits, and the fee is not enough higher.
    ReplacementUnderpriced,
    /// The wallet cannot pay gas limit times fee.
    InsufficientFunds,
    /// The transaction itself can never be taken: gas limit, size, chain id.
    Invalid,
    /// The node's words are not known to us: the transaction may or may not have been taken.
    Unclear,
}

impl SendRefusal {
    /// Reads a node's words. They differ between programs, so only their common core is matched.
    pub fn of(message: &str) -> Self {
        let lower = message.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|words| lower.contains(words));
        if says(&[
            "already known",
            "already imported",
            "known transaction",
            "already in mempool",
            "alreadyknown",
        ]) {
            Self::AlreadyKnown
        } else if says(&["nonce too low", "nonce is too low", "old nonce", "oldnonce"]) {
            Self::NonceTooLow
        } else if says(&[
            "nonce too high",
            "nonce is too high",
            "nonce gap",
            "noncegap",
        ]) {
            Self::NonceTooHigh
        } else if says(&[
            "replacement transaction underpriced",
            "gas price too low to replace",
            "replacement underpriced",
        ]) {
            Self::ReplacementUnderpriced
        } else if says(&[
            "insufficient funds",
            "insufficient balance",
            "insufficientfunds",
        ]) {
            Self::InsufficientFunds
        } else if says(&[
            "underpriced",
            "less than block base fee",
            "lower than block base fee",
            "max fee per gas less",
            "fee too low",
            "feetoolow",
            "gas price below",
            "gas price too low",
        ]) {
            Self::FeeTooLow
        } else if says(&[
            "intrinsic gas",
            "exceeds block gas limit",
            "exceeds the block gas limit",
            "gas limit too high",
            "oversized data",
            "invalid chain id",
            "invalid sender",
            "tip higher than",
            "tip above",
            "max priority fee per gas higher than",
            "transaction type not supported",
            "type not supported",
        ]) {
            Self::Invalid
        } else {
            Self::Unclear
        }
    }
}

/// Why a raw transaction was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// A node read the transaction and declined.
    #[error("{node} declined the transaction: {text}")]
    Declined {
        /// What that means.
        refusal: SendRefusal,
        /// Host of the node.
        node: String,
        /// Its words.
        text: String,
    },
    /// No node answered: the transaction may have been taken.
    #[error(transparent)]
    Node(#[from] NodeError),
}

impl SendError {
    /// What a caller may do about it.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Declined {
                refusal: SendRefusal::Invalid,
                ..
            } => Kind::Terminal,
            Self::Declined { .. } => Kind::UntilDeadline,
            Self::Node(error) => error.kind(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_known_nodes_are_understood() {
        for (words, meaning) in [
            ("already known", SendRefusal::AlreadyKnown),
            ("transaction already imported", SendRefusal::AlreadyKnown),
            (
                "nonce too low: next nonce 5, tx nonce 4",
                SendRefusal::NonceTooLow,
            ),
            ("nonce too high", SendRefusal::NonceTooHigh),
            (
                "replacement transaction underpriced",
                SendRefusal::ReplacementUnderpriced,
            ),
            ("transaction underpriced", SendRefusal::FeeTooLow),
            (
                "max fee per gas less than block base fee: address 0x1, maxFeePerGas: 1, baseFee: 2",
                SendRefusal::FeeTooLow,
            ),
            (
                "insufficient funds for gas * price + value: balance 0",
                SendRefusal::InsufficientFunds,
            ),
            (
                "Insufficient funds for gas * price + value",
                SendRefusal::InsufficientFunds,
            ),
            ("intrinsic gas too low", SendRefusal::Invalid),
            ("exceeds block gas limit", SendRefusal::Invalid),
            ("something else", SendRefusal::Unclear),
        ] {
            assert_eq!(SendRefusal::of(words), meaning, "{words}");
        }
    }

    #[test]
    fn a_rate_limit_is_not_taken_for_a_range_limit() {
        assert!(says_too_much(
            -32005,
            "query returned more than 10000 results"
        ));
        assert!(says_too_much(-32602, "block range is too wide"));
        assert!(says_too_much(-32005, "limit exceeded"));
        assert!(!says_too_much(-32005, "rate limit exceeded"));
        assert!(!says_too_much(-32000, "header not found"));
    }
}
