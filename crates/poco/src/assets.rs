//! Where apps, datasets and workerpools live (spec onchain B10, D1): their addresses before they are created, and the
//! text of a dataset's address bytes.

use alloy_primitives::{Address, B256, b256, keccak256};

/// The hash of the creation code of every asset's proxy; a registry tells its own as `proxyCodeHash()`.
pub const PROXY_CODE_HASH: B256 =
    b256!("bd603b4fb17e88a3e7ff7a91b72bd89d0f6998fd53853f996c534d822df34587");

/// The address that `registry` gives the asset created with this initialiser calldata for this owner. It depends neither
/// on the sender nor on time, so the same asset cannot be created twice.
pub fn address(registry: Address, initializer: &[u8], owner: Address, code_hash: B256) -> Address {
    registry.create2(salt(initializer, owner), code_hash)
}

/// The CREATE2 salt of an asset: keccak256(initialiser calldata ‖ owner).
pub fn salt(initializer: &[u8], owner: Address) -> B256 {
    keccak256([initializer, owner.as_slice()].concat())
}

/// The URI in a dataset's address bytes: `/ipfs/<cid>` for a binary multiaddress of IPFS, else the bytes as UTF-8 text
/// (spec onchain B10, E13). No other binary form is recognised: Java mistakes some short texts for one (`5678…`).
pub fn dataset_uri(bytes: &[u8]) -> String {
    ipfs_hash(bytes).map_or_else(
        || String::from_utf8_lossy(bytes).into_owned(),
        |hash| format!("/ipfs/{}", bs58::encode(hash).into_string()),
    )
}

/// The multihash in `varint(421) varint(length) multihash`, when these bytes are exactly that.
fn ipfs_hash(bytes: &[u8]) -> Option<&[u8]> {
    const SHA2_256: [u8; 2] = [0x12, 0x20];
    let rest = bytes.strip_prefix(&[0xa5, 0x03])?;
    let (length, hash) = rest.split_first()?;
    let whole = usize::from(*length) == hash.len() && hash.len() == 34;
    (whole && hash.starts_with(&SHA2_256)).then_some(hash)
}
