//! Authorizations, logins and enclave messages.

use alloy_primitives::{Address, B256};
use poco::signing::{self, Sig};
use poco::{authorization, contribution, lax_hex, login, secrets};
use serde_json::Value;

use crate::entry::{Entry, Read};

pub(crate) fn authorization(entry: &Entry) {
    match entry.id.as_str() {
        // The enclave challenge request: worker and challenge are empty texts.
        "authorization-sms-challenge" => {
            let hash = authorization::enclave_challenge_hash(entry.inputs.task("chainTaskId"));
            let texts = ["workerWallet", "chainTaskId", "enclaveChallenge"]
                .map(|member| entry.inputs.text(member));
            assert_eq!(hash, lax_hex::concatenate_and_hash(&texts));
            is_signed_prefixed(entry, hash, "signature");
        }
        "authorization-worker" => {
            let hash = authorization_hash(&entry.inputs);
            let (signature, signer) = (
                entry.inputs.text("signature"),
                entry.expected.account("signer"),
            );
            assert_eq!(
                signing::recover_prefixed(hash, &signature.parse().unwrap()),
                Some(signer)
            );
            assert!(signing::is_valid_prefixed(hash, signature, signer));
        }
        _ => {
            let hash = authorization_hash(&entry.inputs);
            is_signed_prefixed(entry, hash, "signature");
            if entry.expected.get("digestSigned").is_some() {
                assert_eq!(signing::prefixed(hash), entry.expected.word("digestSigned"));
            }
            if entry.expected.get("compactEip2098").is_some() {
                let compact = entry.expected.blob("compactEip2098");
                let signature: Sig = entry.expected.text("signature").parse().unwrap();
                assert_eq!(signature.compact().unwrap().as_slice(), compact.as_ref());
                let signer = entry.expected.account("signer");
                assert_eq!(
                    signing::contracts_accept(signing::prefixed(hash), &compact, signer),
                    Ok(true)
                );
                // Java verifiers take 65 bytes only.
                assert!(!signing::is_valid_prefixed(
                    hash,
                    entry.expected.text("compactEip2098"),
                    signer
                ));
            }
        }
    }
}

pub(crate) fn result_proxy(entry: &Entry) {
    let member = if entry.id == "result-proxy-token-worker" {
        "authorizationHeader"
    } else {
        "signature"
    };
    is_signed_prefixed(entry, authorization_hash(&entry.inputs), member);
}

/// The header of a session request is the worker's over the authorization. Of the secrets' headers only the signature is checked here: what
/// they sign is the secret manager's.
pub(crate) fn secret_manager(entry: &Entry) {
    let Some(header) = entry.expected.get("authorizationHeader") else {
        // A hash alone, with nothing that signs it: `COVERAGE.md` says that it is left.
        return;
    };
    let hash = match entry.id.as_str() {
        "sms-session-authorization" => authorization_hash(&entry.inputs),
        id if id.starts_with("sms-web2-") => {
            let [owner, key, value] = ["owner", "key", "value"].map(|name| entry.inputs.text(name));
            let hash = secrets::named_hash(owner.parse().unwrap(), key, value);
            assert_eq!(hash, entry.expected.word("hash"));
            hash
        }
        _ => entry.expected.word("hash"),
    };
    is_signed_prefixed(entry, hash, "authorizationHeader");
    let owner = entry.inputs.key("privateKey").address();
    assert!(signing::is_valid_prefixed(
        hash,
        header.as_str().unwrap(),
        owner
    ));
}

pub(crate) fn enclave(entry: &Entry) {
    let key = entry.inputs.key("enclavePrivateKey");
    let (message, signature) = if entry.id == "enclave-signature-postcompute" {
        (
            entry.inputs.word("messageHash"),
            entry.expected.text("signature"),
        )
    } else {
        let (task, digest) = (
            entry.inputs.task("chainTaskId"),
            entry.inputs.word("resultDigest"),
        );
        let hash = contribution::result_hash(task, digest);
        let seal = contribution::result_seal(entry.inputs.account("workerWallet"), task, digest);
        assert_eq!(hash, entry.expected.word("resultHash"));
        assert_eq!(seal, entry.expected.word("resultSeal"));
        let message = contribution::enclave_message(hash, seal);
        assert_eq!(message, entry.expected.word("messageHash"));
        assert_eq!(key.address(), entry.expected.account("enclaveAddress"));
        (message, entry.expected.text("enclaveSignature"))
    };
    assert_eq!(
        signing::sign_prefixed(&key, message).unwrap().to_string(),
        signature
    );
    let bytes = poco::hex::decode(signature, "a signature").unwrap();
    assert_eq!(
        signing::contracts_accept(signing::prefixed(message), &bytes, key.address()),
        Ok(true)
    );
}

pub(crate) fn enclave_header(entry: &Entry) {
    let texts = [
        entry.inputs.text("chainTaskId"),
        entry.inputs.text("workerWallet"),
    ];
    let hash = lax_hex::concatenate_and_hash(&texts);
    // One entry has a task id of 8 bytes, which only the text form can hold.
    if entry.id == "enclave-to-worker-challenge" {
        let worker = entry.inputs.account("workerWallet");
        assert_eq!(
            authorization::enclave_to_worker_hash(entry.inputs.task("chainTaskId"), worker),
            hash
        );
    }
    assert_eq!(hash, entry.expected.word("hash"));
    let signature = signing::sign_prefixed(&entry.inputs.key("enclavePrivateKey"), hash).unwrap();
    assert_eq!(
        signature.to_string(),
        entry.expected.text("authorizationHeader")
    );
}

pub(crate) fn prefixed(entry: &Entry) {
    let signature = signing::sign_prefixed(
        &entry.inputs.key("privateKey"),
        entry.inputs.word("messageHash"),
    )
    .unwrap();
    assert_eq!(signature.to_string(), entry.expected.text("signature"));
}

pub(crate) fn login(entry: &Entry) {
    let challenge = entry.inputs.text("challenge");
    let digest = login::digest(challenge);
    let (signature, signer) = if entry.id == "login-verify-repo" {
        (
            entry.inputs.text("signature"),
            entry.expected.account("signer"),
        )
    } else {
        assert_eq!(lax_hex::decode(challenge), entry.expected.blob("laxBytes"));
        assert_eq!(digest, entry.expected.word("hash"));
        let key = entry.inputs.key("privateKey");
        let signature = entry.expected.text("signature");
        assert_eq!(
            signing::sign_raw(&key, digest).unwrap().to_string(),
            signature
        );
        if entry.expected.get("signer").is_some() {
            assert_eq!(key.address(), entry.expected.account("signer"));
        }
        (signature, key.address())
    };
    assert!(signing::matches_any_recovery_id(digest, signature, signer));
    assert!(!signing::matches_any_recovery_id(
        digest,
        signature,
        Address::ZERO
    ));
}

fn authorization_hash(inputs: &Value) -> B256 {
    authorization::hash(
        inputs.account("workerWallet"),
        inputs.task("chainTaskId"),
        inputs.account("enclaveChallenge"),
    )
}

/// The entry's hash and the signature of it, made and verified; by the signer where the entry names one.
fn is_signed_prefixed(entry: &Entry, hash: B256, member: &str) {
    assert_eq!(hash, entry.expected.word("hash"));
    let key = entry.inputs.key("privateKey");
    let signature = entry.expected.text(member);
    assert_eq!(
        signing::sign_prefixed(&key, hash).unwrap().to_string(),
        signature
    );
    assert!(signing::is_valid_prefixed(hash, signature, key.address()));
    if entry.expected.get("signer").is_some() {
        assert_eq!(key.address(), entry.expected.account("signer"));
    }
}
