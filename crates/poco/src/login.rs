//! Worker → scheduler login (spec onchain B7.1): what a worker signs, raw, to prove its address.

use alloy_primitives::{B256, keccak256};

/// The hash that answers the challenge text: keccak256 of the text put through the lax hex decoder. The text is base64,
/// so many texts share a hash; peers expect exactly this.
pub fn digest(challenge: &str) -> B256 {
    keccak256(crate::lax_hex::decode(challenge))
}

/// Whether this text is a challenge that a worker may sign: 32 bytes in base64, 44 characters.
///
/// The signature is raw and over bytes that the asker chose, so a scheduler that means ill could pose the bytes of a transaction. What is
/// signed of a text of this length are 22 bytes at most: too few for a transaction that names a receiver.
pub fn is_challenge(text: &str) -> bool {
    let is_base64 = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/');
    text.strip_suffix('=')
        .is_some_and(|digits| digits.len() == 43 && digits.bytes().all(is_base64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_challenge_of_the_usual_shape_may_be_signed() {
        assert!(is_challenge("q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="));
        // The bytes of a transaction, as lax hex reads them.
        let transaction = "ec098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080018080";
        let spaced = format!("{} =", "a".repeat(42));
        for text in [
            "",
            "=",
            transaction,
            &transaction[..44],
            &spaced,
            &"é".repeat(22),
        ] {
            assert!(!is_challenge(text), "{text}");
        }
    }
}
