//! What proves who is asking: the login challenge and its signature, and the token of the log routes. The input is any of these texts.

use std::sync::LazyLock;

use alloy_primitives::B256;
use alloy_signer_local::PrivateKeySigner;
use poco::challenge::{Challenge, Token, TypedData};
use poco::signing::{self, Sig};
use poco::{hex, lax_hex, login};

/// The key and the text of the specification's examples (scheduler-api §13), so that the fuzzer can begin with genuine signatures.
const KEY: &str = "0x4f3edf983ac636a65a842ce7c78d9aa706d3b113bce9c46f30d7d21715b23b1d";
const TEXT: &str = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=";
const CHAIN: u64 = 134;

static WALLET: LazyLock<PrivateKeySigner> = LazyLock::new(|| KEY.parse().expect("the key is good"));
static CHALLENGE: LazyLock<Challenge> = LazyLock::new(|| Challenge::of_scheduler(CHAIN, TEXT));
static LOGIN: LazyLock<Sig> = LazyLock::new(|| sign(login::digest(TEXT)));
static LOGS: LazyLock<Sig> = LazyLock::new(|| sign(CHALLENGE.digest()));

fn sign(digest: B256) -> Sig {
    signing::sign_raw(&WALLET, digest).expect("a local key signs")
}

pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    hex_is_java_s(&text);
    a_challenge_is_read(&text);
    nobody_else_logs_in(&text);
    nobody_else_reads_logs(&text);
    if let Ok(signature) = text.parse() {
        signer_is_who_the_contracts_say(&signature);
    }
}

/// As Java's loop does it, one unit after the other.
fn java(text: &str) -> Vec<u8> {
    let digit = |unit: &u16| match u8::try_from(*unit) {
        Ok(digit @ b'0'..=b'9') => i32::from(digit - b'0'),
        Ok(digit @ b'a'..=b'f') => i32::from(digit - b'a') + 10,
        Ok(digit @ b'A'..=b'F') => i32::from(digit - b'A') + 10,
        _ => -1,
    };
    let mut units: Vec<u16> = text.encode_utf16().collect();
    if units.starts_with(&[b'0'.into(), b'x'.into()]) {
        units.drain(..2);
    }
    let mut bytes = Vec::new();
    let mut place = 0;
    if units.len() % 2 == 1 {
        bytes.push(digit(&units[0]) as u8);
        place = 1;
    }
    while place < units.len() {
        let (high, low) = (digit(&units[place]), digit(&units[place + 1]));
        bytes.push(((high << 4) + low) as u8);
        place += 2;
    }
    bytes
}

fn hex_is_java_s(text: &str) {
    let lax = lax_hex::decode(text);
    assert_eq!(lax, java(text));
    if let Ok(strict) = hex::decode(text, "anything") {
        assert_eq!(lax, strict);
        assert_eq!(hex::decode(&hex::encode(&strict), "the same"), Ok(strict));
    }
    let halves = text.split_at_checked(text.len() / 2).unwrap_or((text, ""));
    lax_hex::concatenate_and_hash(&[halves.0, halves.1]);
    if let Ok(address) = hex::address(text) {
        assert!(hex::lower(&address).ends_with(&text.trim_start_matches("0x").to_lowercase()));
    }
}

fn a_challenge_is_read(text: &str) {
    let digest = login::digest(text);
    if login::is_challenge(text) {
        // Too few for a transaction.
        assert!(lax_hex::decode(text).len() <= 22);
    }
    let challenge = Challenge::of_scheduler(CHAIN, text);
    assert_ne!(challenge.digest(), digest);
    let json = serde_json::to_string(&challenge.typed_data()).expect("it can be written");
    let data: TypedData = serde_json::from_str(&json).expect("what was written is read");
    assert_eq!(Challenge::from(data), challenge);
    if let Ok(data) = serde_json::from_str::<TypedData>(text) {
        let domain = data.domain.clone();
        let posed = Challenge::from(data);
        assert_eq!(posed.domain, domain);
        posed.digest();
    }
}

/// A signature is good if its r and s are those that the wallet makes, s low or high; v is not looked at.
fn is_genuine(signature: &str, genuine: &Sig) -> bool {
    let bytes = lax_hex::decode(signature);
    let (Some(r), Some(s)) = (bytes.get(..32), bytes.get(32..64)) else {
        return false;
    };
    let mut given = [0; 65];
    given[..32].copy_from_slice(r);
    given[32..64].copy_from_slice(s);
    given[64] = 27;
    let low = Sig(given).for_the_contracts();
    low.is_some_and(|low| low.0[..64] == genuine.0[..64])
}

fn nobody_else_logs_in(signature: &str) {
    let digest = login::digest(TEXT);
    let good = signing::matches_any_recovery_id(digest, signature, WALLET.address());
    assert_eq!(good, is_genuine(signature, &LOGIN), "{signature}");
    if signing::is_valid_prefixed(digest, signature, WALLET.address()) {
        panic!("nobody made a prefixed signature: {signature}");
    }
}

fn nobody_else_reads_logs(text: &str) {
    let Ok(token) = text.parse::<Token>() else {
        assert_ne!(text.matches('_').count(), 2);
        return;
    };
    assert_eq!(token.to_string(), text);
    let expected = token.is_for(WALLET.address()) && is_genuine(&token.signature, &LOGS);
    let is_strict = token.address.starts_with("0x");
    assert_eq!(token.signs(&CHALLENGE) && is_strict, expected, "{text}");
}

fn signer_is_who_the_contracts_say(signature: &Sig) {
    assert_eq!(signature.to_string().parse(), Ok(*signature));
    let digest = CHALLENGE.digest();
    let signer = signing::recover_raw(digest, signature);
    let written = signature.to_string();
    if let Some(signer) = signer {
        assert!(signing::matches_any_recovery_id(digest, &written, signer));
    }
    let accepted = signature.for_the_contracts();
    assert_eq!(accepted.is_none(), signature.compact().is_none());
    if let (Some(signer), Some(low), Some(compact)) = (signer, accepted, signature.compact()) {
        for form in [low.0.as_slice(), compact.as_slice()] {
            assert_eq!(
                signing::contracts_accept(digest, form, signer),
                Ok(true),
                "{signature}"
            );
        }
    }
}
