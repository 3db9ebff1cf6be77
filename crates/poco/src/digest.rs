//! Result digests (spec onchain B9, the Java worker's column) and the names of input files.
//!
//! Pure over bytes and hashes: who walks the folder and reads the files passes in what it found. Enclave images make
//! their own digests by slightly other rules (empty files, order of names); those are not here.

use alloy_primitives::{B256, Keccak256, keccak256};
use sha2::{Digest, Sha256};

/// The digest of a result that is one file: SHA-256 of its content.
pub fn file(content: &[u8]) -> B256 {
    B256::from_slice(&Sha256::digest(content))
}

/// The digest of a result that is a folder: keccak256 of the SHA-256 of each *direct* child file, one after the other in
/// the order of their names by UTF-16 code units. A child that is a folder is given as `None` and contributes nothing;
/// hidden files count. An empty folder gives keccak256 of nothing.
pub fn folder<Name: AsRef<str>>(children: impl IntoIterator<Item = (Name, Option<B256>)>) -> B256 {
    let mut files: Vec<(Vec<u16>, B256)> = children
        .into_iter()
        .filter_map(|(name, sha256)| Some((name.as_ref().encode_utf16().collect(), sha256?)))
        .collect();
    files.sort();
    let mut hasher = Keccak256::new();
    for (_, sha256) in &files {
        hasher.update(sha256);
    }
    hasher.finalize()
}

/// The bytes of a callback given as hex text (`callback-data` of `computed.json`), decoded as Java does.
pub fn callback_bytes(callback_data: &str) -> Vec<u8> {
    crate::lax_hex::decode(callback_data)
}

/// The digest of a result that is a callback: keccak256 of its bytes.
pub fn callback(bytes: &[u8]) -> B256 {
    keccak256(bytes)
}

/// The local name of a downloaded input file: `0x` and SHA-256 of its URI.
pub fn input_file_name(uri: &str) -> String {
    crate::hex::encode(file(uri.as_bytes()))
}
