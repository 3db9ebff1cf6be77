//! The JSON a client signs, and the header it sends back.

use alloy_signer_local::PrivateKeySigner;
use poco::challenge::{Challenge, NotAToken, Token};
use poco::signing;

#[test]
fn typed_data_is_the_json_that_java_writes() {
    let challenge = Challenge::of_scheduler(134, "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=");
    assert_eq!(
        serde_json::to_string(&challenge.typed_data()).unwrap(),
        concat!(
            r#"{"types":{"EIP712Domain":[{"name":"name","type":"string"},{"name":"version","type":"string"},"#,
            r#"{"name":"chainId","type":"uint256"}],"Challenge":[{"name":"challenge","type":"string"}]},"#,
            r#""primaryType":"Challenge","domain":{"name":"iExec Core","version":"1","chainId":134},"#,
            r#""message":{"challenge":"q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="}}"#
        )
    );
}

#[test]
fn the_market_asks_in_words() {
    let challenge = Challenge::of_market(421_614, "abc");
    assert_eq!(challenge.domain.name, "iExec Gateway");
    assert_eq!(
        challenge.text,
        "Sign this message to log into iExec Gateway: abc"
    );
}

#[test]
fn text_that_java_would_read_as_a_number_is_not_posed() {
    assert!(!Challenge::is_unambiguous("0xAbCd+/=="));
    assert!(Challenge::is_unambiguous("0Xab"));
    assert!(Challenge::is_unambiguous("q83vEjRW"));
}

#[test]
fn a_token_has_exactly_three_parts() {
    for text in ["", "a", "a_b", "a_b_c_d"] {
        assert_eq!(text.parse::<Token>(), Err(NotAToken), "{text}");
    }
    let token: Token = "h_s_a".parse().unwrap();
    assert_eq!(
        (
            token.hash.as_str(),
            token.signature.as_str(),
            token.address.as_str()
        ),
        ("h", "s", "a")
    );
}

#[test]
fn only_the_addresss_own_signature_counts_and_the_hash_in_the_token_does_not() {
    let key: PrivateKeySigner =
        "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"
            .parse()
            .unwrap();
    let other: PrivateKeySigner =
        "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a"
            .parse()
            .unwrap();
    let challenge = Challenge::of_scheduler(65_535, "text");
    let signature = signing::sign_raw(&key, challenge.digest()).unwrap();

    let mut token = Token::new(&challenge, &signature, key.address());
    token.hash = "0x00".to_owned();
    assert!(token.signs(&challenge));
    token.address = key.address().to_string();
    assert!(token.signs(&challenge) && token.is_for(key.address()));

    let stolen = Token::new(&challenge, &signature, other.address());
    assert!(stolen.is_for(other.address()) && !stolen.signs(&challenge));
    let nobody = Token {
        address: "nobody".to_owned(),
        ..token
    };
    assert!(!nobody.is_for(key.address()) && !nobody.signs(&challenge));
}
