//! Wallet files of other programs, and our own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};

use alloy_primitives::b256;
use alloy_signer_local::PrivateKeySigner;
use chain::{WalletError, open_keystore, wallet::open_keystore_text, write_keystore};
use serde_json::{Value, json};

const PASSWORD: &str = "testpassword";

/// The test vector of the Web3 Secret Storage definition.
fn pbkdf2() -> Value {
    json!({
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": { "iv": "6087dab2f9fdbbfaddc31a909735c1e6" },
            "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
            "kdf": "pbkdf2",
            "kdfparams": {
                "c": 262144, "dklen": 32, "prf": "hmac-sha256",
                "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd",
            },
            "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2",
        },
        "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
        "version": 3,
    })
}

/// The same key as the library of the iExec SDK writes it.
fn sdk() -> Value {
    json!({
        "address": "008aeeda4d805471df9b2a5b0f38a0c3bcba786b",
        "id": "e5bdb9eb-39b9-46f5-8b93-ddfea491f954",
        "version": 3,
        "Crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": { "iv": "e597861f7cf5ff48ec28ff18808c6d2d" },
            "ciphertext": "089f8324862cf483fdad7044c132a318e6c682e7c38cc3e00d938c796ff9f7bf",
            "kdf": "scrypt",
            "kdfparams": {
                "salt": "806badd57bb841d1a73134f006685450c7bc3be31c5e548bbed2f8e47f2b2a51",
                "n": 131072, "dklen": 32, "p": 1, "r": 8,
            },
            "mac": "eaa3b9a0e25a87a629ec86b4ca9c53e234aa7ade6b46385c7517c82f13eb7ff6",
        },
    })
}

/// The same with the other spelling.
fn scrypt() -> Value {
    let mut keystore = sdk();
    let members = keystore.as_object_mut().unwrap();
    let crypto = members.remove("Crypto").unwrap();
    members.insert("crypto".into(), crypto);
    keystore
}

fn the_key() -> PrivateKeySigner {
    let key = b256!("7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d");
    PrivateKeySigner::from_bytes(&key).unwrap()
}

fn open(keystore: &Value, password: &str) -> Result<PrivateKeySigner, WalletError> {
    open_keystore_text(Path::new("wallet.json"), &keystore.to_string(), password)
}

fn complaint(keystore: &Value) -> String {
    match open(keystore, PASSWORD) {
        Err(WalletError::NotKeystore { path, field }) => {
            assert_eq!(path, PathBuf::from("wallet.json"));
            field
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn both_key_derivations_are_read() {
    for keystore in [pbkdf2(), scrypt()] {
        assert_eq!(open(&keystore, PASSWORD).unwrap(), the_key());
    }
}

// C8: the SDK writes `Crypto`, which the library does not know.
#[test]
fn both_spellings_of_crypto_are_read_and_an_id_is_not_needed() {
    assert_eq!(open(&sdk(), PASSWORD).unwrap(), the_key());
    let mut nameless = pbkdf2();
    nameless.as_object_mut().unwrap().remove("id");
    assert_eq!(open(&nameless, PASSWORD).unwrap(), the_key());
}

#[test]
fn hex_with_a_prefix_is_read() {
    let mut keystore = pbkdf2();
    let mac = format!("0x{}", keystore["crypto"]["mac"].as_str().unwrap());
    keystore["crypto"]["mac"] = json!(mac);
    assert_eq!(open(&keystore, PASSWORD).unwrap(), the_key());
}

#[test]
fn another_password_is_told_with_the_path_and_without_the_password() {
    let error = open(&pbkdf2(), "guess").unwrap_err();
    assert!(matches!(error, WalletError::WrongPassword { .. }));
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("wallet.json") && !shown.contains("guess"));
}

#[test]
fn what_is_wrong_with_a_file_is_named() {
    let without = |pointer: &str, name: &str| {
        let mut keystore = scrypt();
        let members = keystore.pointer_mut(pointer).unwrap();
        members.as_object_mut().unwrap().remove(name);
        complaint(&keystore)
    };
    assert_eq!(without("", "crypto"), "crypto is missing");
    assert_eq!(without("", "version"), "version is missing");
    assert_eq!(without("/crypto", "mac"), "crypto.mac is missing");
    assert_eq!(
        without("/crypto/kdfparams", "n"),
        "crypto.kdfparams.n is missing or not a number"
    );
    let with = |pointer: &str, value: Value| {
        let mut keystore = scrypt();
        *keystore.pointer_mut(pointer).unwrap() = value;
        complaint(&keystore)
    };
    assert_eq!(with("/version", json!(1)), "its version is 1");
    assert_eq!(
        with("/crypto/kdfparams/dklen", json!(16)),
        "crypto.kdfparams.dklen 16 is not 32"
    );
    assert_eq!(
        with("/crypto/kdfparams/n", json!(1000)),
        "crypto.kdfparams.n 1000 is not a power of two"
    );
    assert_eq!(
        with("/crypto/kdfparams/r", json!(1)),
        "crypto.kdfparams.n 131072 is too large for r 1"
    );
    assert_eq!(
        with("/crypto/cipherparams/iv", json!("00")),
        "crypto.iv is not 16 bytes of hex"
    );
    assert_eq!(
        with("/crypto/kdf", json!("argon2")),
        "crypto.kdf argon2 is neither scrypt nor pbkdf2"
    );
    let text = open_keystore_text(Path::new("w"), "0x1234", PASSWORD).unwrap_err();
    assert!(text.to_string().contains("it is no JSON"), "{text}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("no-wallet.json");
    let error = open_keystore(&path, PASSWORD).unwrap_err();
    assert!(matches!(error, WalletError::Unreadable { .. }));
    assert!(error.to_string().contains("no-wallet.json"), "{error}");
    let nowhere = folder.path().join("no-folder").join("wallet.json");
    let error = write_keystore(&nowhere, PASSWORD, &the_key()).unwrap_err();
    assert!(error.to_string().contains("no-folder"), "{error}");
}

#[test]
fn what_is_written_is_read_again_and_only_by_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wallet.json");
    std::fs::write(&path, "an older file").unwrap();
    let key = PrivateKeySigner::random();
    write_keystore(&path, "pass word", &key).unwrap();
    assert_eq!(open_keystore(&path, "pass word").unwrap(), key);
    let written: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(written["version"], 3);
    assert_eq!(written["crypto"]["kdfparams"]["n"], 8192);
    let address = format!("{:#x}", key.address());
    assert_eq!(written["address"], address.trim_start_matches("0x"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    // Nothing else is left in the folder.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
