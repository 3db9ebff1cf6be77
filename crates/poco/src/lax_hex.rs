//! The hex decoder of the Java services (web3j), which turns *any* text into bytes (spec onchain B1.1).
//!
//! Several signed messages are built by feeding text that is not hex through it, so its every quirk is part of the
//! protocol. It never fails. Use it for nothing but those messages; ordinary hex is [`crate::hex`].

use alloy_primitives::{B256, Keccak256};

/// Decodes `text` as Java does: a leading `0x` (lower-case x only) is dropped; of an odd number of characters the first
/// makes a byte alone; each remaining pair makes `(high << 4) + low`, where a character that is no hex digit counts −1.
///
/// Java walks over UTF-16 code units, so a character outside the basic plane counts as two.
pub fn decode(text: &str) -> Vec<u8> {
    let text = text.strip_prefix("0x").unwrap_or(text);
    let digits: Vec<i32> = text.encode_utf16().map(digit).collect();
    let (alone, pairs) = digits.split_at(digits.len() % 2);
    let pairs = pairs.chunks_exact(2).map(|pair| match pair {
        [high, low] => ((high << 4) + low) & 0xff,
        _ => 0,
    });
    alone
        .iter()
        .map(|digit| digit & 0xff)
        .chain(pairs)
        .map(|byte| byte as u8)
        .collect()
}

/// keccak256 of the lax-decoded arguments one after the other (`concatenateAndHash`, spec onchain B1.2). An empty text
/// contributes nothing; no argument at all gives keccak256 of nothing.
pub fn concatenate_and_hash(texts: &[&str]) -> B256 {
    let mut hasher = Keccak256::new();
    for text in texts {
        hasher.update(decode(text));
    }
    hasher.finalize()
}

fn digit(unit: u16) -> i32 {
    char::from_u32(u32::from(unit))
        .and_then(|c| c.to_digit(16))
        .and_then(|digit| i32::try_from(digit).ok())
        .unwrap_or(-1)
}
