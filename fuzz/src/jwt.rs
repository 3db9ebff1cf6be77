//! Workers' tokens. The input is an `Authorization` header; or, as two lines and more, a token's header and its claims, which are signed as
//! somebody who has the key would sign them.

use alloy_primitives::Address;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use poco::units::Timestamp;
use scheduler::fuzzing::Tokens;
use serde_json::Value;
use wire::Features;

const KEY: [u8; 128] = [7; 128];
const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
const WALLET: Address = Address::repeat_byte(0xaa);
const VERSION: &str = "9.3.0";

pub fn run(data: &[u8]) {
    let tokens = Tokens::new(&KEY, VERSION);
    let text = String::from_utf8_lossy(data);
    features_come_back(&text);
    only_the_genuine_one_is_good(&tokens, &text);
    if let Some((header, claims)) = text.split_once('\n') {
        claims_are_what_they_say(&tokens, header, claims);
    }
}

fn features_come_back(header: &str) {
    let features = Features::parse(header);
    assert_eq!(Features::parse(&features.to_string()), features);
}

fn only_the_genuine_one_is_good(tokens: &Tokens, header: &str) {
    let genuine = tokens.issue(WALLET, NOW).expect("it can be signed");
    if tokens.wallet(header, NOW).is_some() {
        assert_eq!(header, format!("Bearer {genuine}"));
    }
    // The fuzzer need not find the signature to try what is around it: `*` stands for the token, `!` for its signature alone.
    let (unsigned, signature) = genuine.rsplit_once('.').expect("three parts");
    let forged = header.replace('*', &genuine).replace('!', signature);
    if forged.len() <= header.len() + 4096 && tokens.wallet(&forged, NOW).is_some() {
        assert_eq!(forged, format!("Bearer {unsigned}.{signature}"));
    }
}

fn claims_are_what_they_say(tokens: &Tokens, header: &str, claims: &str) {
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let unsigned = format!("{}.{}", encode(header), encode(claims));
    let key = EncodingKey::from_secret(&KEY);
    let signature = jsonwebtoken::crypto::sign(unsigned.as_bytes(), &key, Algorithm::HS256);
    let signature = signature.expect("any text can be signed");
    let Some(wallet) = tokens.wallet(&format!("Bearer {unsigned}.{signature}"), NOW) else {
        return;
    };
    let read = |text: &str| serde_json::from_str::<Value>(text).expect("it was read as JSON");
    let (header, claims) = (read(header), read(claims));
    assert_eq!(header["alg"], "HS256");
    assert_eq!(claims["aud"], format!("iExec Scheduler v{VERSION}"));
    assert!(claims["exp"].as_u64() > Some(NOW.as_secs()));
    let subject = claims["sub"].as_str().expect("a text");
    assert_eq!(poco::hex::address(subject), Ok(wallet));
}
