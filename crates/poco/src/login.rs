//! Worker → scheduler login (spec onchain B7.1): what a worker signs, raw, to prove its address.

use alloy_primitives::{B256, keccak256};

/// The hash that answers the challenge text: keccak256 of the text put through the lax hex decoder. The text is base64,
/// so many texts share a hash; peers expect exactly this.
pub fn digest(challenge: &str) -> B256 {
    keccak256(crate::lax_hex::decode(challenge))
}
