//! What nodes answer, reduced to what we use.
//!
//! Only the members named here are required, so that blocks and receipts with additions of an L2 stay readable.

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use poco::units::{BlockNumber, Timestamp};
use serde::{Deserialize, Serialize};

/// A log as a node returns it.
pub type Log = alloy_rpc_types_eth::Log;

/// A block's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Its height.
    pub number: BlockNumber,
    /// Its hash.
    pub hash: B256,
    /// Hash of the block below.
    pub parent: B256,
    /// When it was made, by its maker's clock.
    pub timestamp: Timestamp,
    /// Wei per gas burnt; `None` on chains without EIP-1559.
    pub base_fee: Option<u128>,
    /// The most gas that all its transactions may use.
    pub gas_limit: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawBlock {
    number: U64,
    hash: B256,
    parent_hash: B256,
    timestamp: U64,
    base_fee_per_gas: Option<U256>,
    #[serde(default)]
    gas_limit: U256,
}

impl From<RawBlock> for Block {
    fn from(raw: RawBlock) -> Self {
        Self {
            number: BlockNumber(raw.number.to()),
            hash: raw.hash,
            parent: raw.parent_hash,
            timestamp: Timestamp::from_secs(raw.timestamp.to()),
            base_fee: raw.base_fee_per_gas.map(|fee| fee.saturating_to()),
            gas_limit: raw.gas_limit.saturating_to(),
        }
    }
}

/// What became of a mined transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The transaction.
    pub tx: B256,
    /// The block it is in.
    pub block: BlockNumber,
    /// That block's hash: another one later means a reorganisation.
    pub block_hash: B256,
    /// Whether it did what it was sent for. An absent status counts as success (spec onchain C4).
    pub succeeded: bool,
    /// Gas it used.
    pub gas_used: u64,
    /// Wei paid per gas; zero when the node does not say.
    pub gas_price: u128,
    /// What it logged.
    pub logs: Vec<Log>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawReceipt {
    transaction_hash: B256,
    block_number: Option<U64>,
    block_hash: Option<B256>,
    status: Option<U64>,
    gas_used: U256,
    effective_gas_price: Option<U256>,
    #[serde(default)]
    logs: Vec<Log>,
}

impl RawReceipt {
    /// `None` for a receipt of a transaction that is not in a block (some nodes show pending ones).
    pub(super) fn mined(self) -> Option<Receipt> {
        Some(Receipt {
            tx: self.transaction_hash,
            block: BlockNumber(self.block_number?.to()),
            block_hash: self.block_hash?,
            succeeded: self.status.is_none_or(|status| status == U64::from(1)),
            gas_used: self.gas_used.saturating_to(),
            gas_price: self.effective_gas_price.unwrap_or_default().saturating_to(),
            logs: self.logs,
        })
    }
}

/// What gas costs now, in wei per gas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fees {
    /// The head has a base fee (EIP-1559).
    Dynamic {
        /// Base fee of the head.
        base: u128,
        /// What the node suggests to give the block's maker.
        tip: u128,
    },
    /// One price for all.
    Legacy {
        /// `eth_gasPrice`; zero is a real price on chains with free gas.
        price: u128,
    },
}

/// A call or a transaction before it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRequest {
    /// Who calls; the node's own sender when `None`.
    pub from: Option<Address>,
    /// The contract.
    pub to: Address,
    /// Selector and arguments.
    pub data: Bytes,
    /// Gas limit; the node's default when `None`.
    pub gas: Option<u64>,
}

impl CallRequest {
    /// A call of `to` with `data` by the node's own sender.
    pub const fn new(to: Address, data: Bytes) -> Self {
        Self {
            from: None,
            to,
            data,
            gas: None,
        }
    }
}
