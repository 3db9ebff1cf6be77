//! Which signature each kind of verifier takes.

use alloy_primitives::{Address, B256, U256, keccak256, uint};
use alloy_signer_local::PrivateKeySigner;
use poco::signing::{self, BadLength, Sig};
use proptest::prelude::*;

const ORDER: U256 = uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);

pub(crate) fn key() -> PrivateKeySigner {
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"
        .parse()
        .unwrap()
}

fn hash() -> B256 {
    keccak256("message")
}

/// The same signature with the other s and the other parity: mathematically as good, forbidden on the chain.
pub(crate) fn high_s(signature: &Sig) -> Sig {
    let s = ORDER - U256::from_be_bytes(signature.s().0);
    let v = 27 + 28 - signature.v();
    Sig([signature.r().as_slice(), &s.to_be_bytes::<32>(), &[v]]
        .concat()
        .try_into()
        .unwrap())
}

pub(crate) fn with_v(signature: &Sig, v: u8) -> Sig {
    let mut bytes = signature.0;
    bytes[64] = v;
    Sig(bytes)
}

#[test]
fn the_contracts_take_a_low_s_with_v_27_or_28() {
    let (key, digest) = (key(), hash());
    let good = signing::sign_raw(&key, digest).unwrap();
    let accepted = |bytes: &[u8]| signing::contracts_accept(digest, bytes, key.address());
    assert_eq!(accepted(&good.0), Ok(true));
    assert_eq!(accepted(&good.compact().unwrap()), Ok(true));
    assert_eq!(accepted(&with_v(&good, good.v() - 27).0), Ok(false));
    assert_eq!(accepted(&with_v(&good, 27 + 28 - good.v()).0), Ok(false));
    assert_eq!(accepted(&high_s(&good).0), Ok(false));
}

#[test]
fn the_contracts_revert_on_any_other_length() {
    for length in [0, 1, 32, 63, 66, 130] {
        assert_eq!(
            signing::contracts_accept(hash(), &vec![0; length], key().address()),
            Err(BadLength { length })
        );
    }
}

#[test]
fn a_malformed_signature_is_the_zero_addresss() {
    // onchain A5: so requests of requester zero pass their signature check.
    assert_eq!(
        signing::recover_like_contracts(hash(), &[0xff; 65]),
        Ok(None)
    );
    assert_eq!(
        signing::contracts_accept(hash(), &[0xff; 65], Address::ZERO),
        Ok(true)
    );
    assert_eq!(
        signing::contracts_accept(hash(), &[0xff; 65], key().address()),
        Ok(false)
    );
}

#[test]
fn a_java_header_check_takes_a_high_s_and_bytes_after_the_65th() {
    let (key, hash) = (key(), hash());
    let good = signing::sign_prefixed(&key, hash).unwrap();
    let valid = |text: &str| signing::is_valid_prefixed(hash, text, key.address());
    assert!(valid(&good.to_string()));
    assert!(valid(&high_s(&good).to_string()));
    assert!(valid(&format!("{good}00")));
    assert!(valid(&good.to_string()[2..].to_uppercase()));
    assert!(!valid(&with_v(&good, good.v() - 27).to_string()));
    assert!(!valid(&with_v(&good, 35).to_string()));
    assert!(!valid(&good.to_string()[..130]));
    assert!(!valid(""));
    assert!(!signing::is_valid_prefixed(
        keccak256("another"),
        &good.to_string(),
        key.address()
    ));
}

#[test]
fn a_java_login_check_does_not_look_at_v() {
    let (key, digest) = (key(), hash());
    let good = signing::sign_raw(&key, digest).unwrap();
    for v in [0, 1, 27, 28, 99] {
        assert!(signing::matches_any_recovery_id(
            digest,
            &with_v(&good, v).to_string(),
            key.address()
        ));
    }
    assert!(!signing::matches_any_recovery_id(
        keccak256("another"),
        &good.to_string(),
        key.address()
    ));
    assert!(!signing::matches_any_recovery_id(
        digest,
        "0x1234",
        key.address()
    ));
    assert!(!signing::matches_any_recovery_id(
        digest,
        &Sig::ZERO.to_string(),
        Address::ZERO
    ));
}

#[test]
fn the_two_modes_are_not_the_same_signature() {
    let (key, hash) = (key(), hash());
    assert_ne!(
        signing::sign_raw(&key, hash).unwrap(),
        signing::sign_prefixed(&key, hash).unwrap()
    );
}

#[test]
fn a_signature_is_132_characters_of_lower_case_hex() {
    let signature = signing::sign_raw(&key(), hash()).unwrap();
    let text = signature.to_string();
    assert_eq!(text.len(), 132);
    assert_eq!(text, text.to_lowercase());
    assert_eq!(
        serde_json::to_string(&signature).unwrap(),
        format!("\"{text}\"")
    );
    assert_eq!(
        serde_json::from_str::<Sig>(&format!("\"{text}\"")).unwrap(),
        signature
    );
    assert!("0x1234".parse::<Sig>().is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn whatever_came_is_mended_for_the_contracts(message in any::<[u8; 32]>(), high in any::<bool>(), bare in any::<bool>()) {
        let (key, digest) = (key(), B256::from(message));
        let made = signing::sign_raw(&key, digest).unwrap();
        prop_assert_eq!(made.for_the_contracts(), Some(made));
        let mut sent = if high { high_s(&made) } else { made };
        if bare {
            sent = with_v(&sent, sent.v() - 27);
        }
        prop_assert_eq!(sent.for_the_contracts(), Some(made));
        prop_assert_eq!(signing::contracts_accept(digest, &made.0, key.address()), Ok(true));
        prop_assert_eq!(signing::contracts_accept(digest, &made.compact().unwrap(), key.address()), Ok(true));
    }

    #[test]
    fn no_bytes_make_a_verifier_fail_over(bytes in prop::collection::vec(any::<u8>(), 0..70), message in any::<[u8; 32]>()) {
        let digest = B256::from(message);
        let text = poco::hex::encode(&bytes);
        prop_assert!(!signing::matches_any_recovery_id(digest, &text, key().address()));
        prop_assert!(!signing::is_valid_prefixed(digest, &text, key().address()));
        prop_assert_ne!(signing::contracts_accept(digest, &bytes, key().address()), Ok(true));
    }
}
