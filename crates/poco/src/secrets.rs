//! What the owner of a secret signs when they hand it to a secret manager (spec sms §3, onchain B12).
//!
//! Hashes only: all of them are signed with the prefix ([`crate::signing::sign_prefixed`]).

use alloy_primitives::{Address, B256, keccak256};

/// The name of the secret by which a pool says where its results go by default: its owner's (spec sms §5.3).
pub const RESULT_PROXY_URL: &str = "iexec-result-iexec-result-proxy-url";

/// For a named secret of an account (`web2`): keccak256(domain ‖ owner ‖ keccak256(name) ‖ keccak256(value)).
pub fn named_hash(owner: Address, name: &str, value: &str) -> B256 {
    let mut preimage = Vec::with_capacity(116);
    preimage.extend_from_slice(keccak256("IEXEC_SMS_DOMAIN").as_slice());
    preimage.extend_from_slice(owner.as_slice());
    preimage.extend_from_slice(keccak256(name).as_slice());
    preimage.extend_from_slice(keccak256(value).as_slice());
    keccak256(preimage)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{address, b256};

    use super::*;

    #[test]
    fn a_named_secret_has_the_hash_of_the_specification() {
        let owner = address!("123790ae4E14865B972ee04a5f9FD5fB153Cd5e7");
        assert_eq!(
            named_hash(owner, "iexec-result-dropbox-token", "my-token"),
            b256!("18d727ae3cbc4648dfc99843e8714478ac80e13d2d8d4d88fbc3b51f83fc665a")
        );
    }
}
