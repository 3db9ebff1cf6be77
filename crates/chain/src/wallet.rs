//! Wallet files: version 3 keystores, read and written.
//!
//! Reads what the iExec SDK (`Crypto`), web3 libraries (`crypto`), and geth write, with scrypt or PBKDF2. Passwords and
//! keys never appear in an error or a log.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use alloy_signer_local::PrivateKeySigner;
use serde_json::{Map, Value, json};

/// Why a wallet file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WalletError {
    /// The file cannot be read or written.
    #[error("the wallet file {path} cannot be used: {source}; check the path and its permissions")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is something else.
    #[error(
        "the wallet file {path} is not a version 3 keystore: {field}; give a JSON keystore file"
    )]
    NotKeystore {
        /// The file.
        path: PathBuf,
        /// Which part is missing or wrong.
        field: String,
    },
    /// The password is another one.
    #[error("the password does not open the wallet {path}; check the wallet's password setting")]
    WrongPassword {
        /// The file.
        path: PathBuf,
    },
}

impl WalletError {
    /// What a caller may do about it: always a person's turn.
    pub const fn kind(&self) -> crate::Kind {
        crate::Kind::Terminal
    }
}

/// Opens the keystore file at `path`. Takes up to a second or so of computing: run it where blocking is allowed.
///
/// # Errors
/// See [`WalletError`].
pub fn open_keystore(path: &Path, password: &str) -> Result<PrivateKeySigner, WalletError> {
    let text = std::fs::read_to_string(path).map_err(unreadable(path))?;
    open_keystore_text(path, &text, password)
}

/// Like [`open_keystore`], with the file's content at hand; `path` only names it in errors.
///
/// # Errors
/// See [`WalletError`].
pub fn open_keystore_text(
    path: &Path,
    text: &str,
    password: &str,
) -> Result<PrivateKeySigner, WalletError> {
    let sound = sound_keystore(text).map_err(|field| WalletError::NotKeystore {
        path: path.to_owned(),
        field,
    })?;
    // The library opens files only, so the corrected text goes through one, encrypted as it is.
    let mut file = tempfile::NamedTempFile::new().map_err(unreadable(path))?;
    file.write_all(sound.to_string().as_bytes())
        .and_then(|()| file.flush())
        .map_err(unreadable(path))?;
    PrivateKeySigner::decrypt_keystore(file.path(), password).map_err(|error| {
        use alloy_signer_local::LocalSignerError as Error;
        match error {
            // Everything about the shape was checked before, so a failed check sum is the password.
            Error::EthKeystoreError(inner) if inner.to_string() == "Mac Mismatch" => {
                WalletError::WrongPassword {
                    path: path.to_owned(),
                }
            }
            other => WalletError::NotKeystore {
                path: path.to_owned(),
                field: other.to_string(),
            },
        }
    })
}

/// Writes `key` as a keystore that opens quickly: scrypt with n = 8192, for keys whose safety is that of their file (the
/// private test chain, machines' own wallets). Only the owner may read the file. An existing file is replaced.
///
/// # Errors
/// [`WalletError::Unreadable`] when the file cannot be written.
pub fn write_keystore(
    path: &Path,
    password: &str,
    key: &PrivateKeySigner,
) -> Result<(), WalletError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let workplace = tempfile::tempdir_in(folder).map_err(unreadable(path))?;
    let mut rng = alloy_signer::k256::elliptic_curve::rand_core::OsRng;
    let name = "keystore";
    PrivateKeySigner::encrypt_keystore(
        workplace.path(),
        &mut rng,
        key.to_bytes(),
        password,
        Some(name),
    )
    .map_err(|error| WalletError::Unreadable {
        path: path.to_owned(),
        source: std::io::Error::other(error),
    })?;
    let written = std::fs::read_to_string(workplace.path().join(name)).map_err(unreadable(path))?;
    let mut keystore: Value =
        serde_json::from_str(&written).map_err(|error| WalletError::Unreadable {
            path: path.to_owned(),
            source: error.into(),
        })?;
    if let Some(members) = keystore.as_object_mut() {
        let address = poco::hex::lower(&key.address());
        members.insert(
            "address".to_owned(),
            json!(address.trim_start_matches("0x")),
        );
    }
    // A new file of the temporary folder's library is readable by its owner only.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(unreadable(path))?;
    file.write_all(keystore.to_string().as_bytes())
        .and_then(|()| file.as_file().sync_all())
        .map_err(unreadable(path))?;
    file.persist(path)
        .map_err(|error| unreadable(path)(error.error))?;
    Ok(())
}

fn unreadable(path: &Path) -> impl Fn(std::io::Error) -> WalletError {
    let path = path.to_owned();
    move |source| WalletError::Unreadable {
        path: path.clone(),
        source,
    }
}

/// The keystore with the spelling and the members that the library expects, or what is wrong with it. All that the
/// library would stumble over is checked here.
fn sound_keystore(text: &str) -> Result<Value, String> {
    let parsed: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| format!("it is no JSON ({error})"))?;
    let Value::Object(members) = parsed else {
        return Err("it is no JSON object".to_owned());
    };
    let members = lower_case_names(members);
    match members.get("version").and_then(whole) {
        Some(3) => {}
        Some(other) => return Err(format!("its version is {other}")),
        None => return Err("version is missing".to_owned()),
    }
    let crypto = lower_case_names(object(&members, "crypto")?);
    let cipher = text_of(&crypto, "cipher")?;
    if cipher != "aes-128-ctr" {
        return Err(format!("crypto.cipher {cipher} is not aes-128-ctr"));
    }
    let cipherparams = object(&crypto, "cipherparams")?;
    let kdf = text_of(&crypto, "kdf")?.to_lowercase();
    let kdfparams = sound_kdf(&kdf, &object(&crypto, "kdfparams")?)?;
    Ok(json!({
        "version": 3,
        // Only a name; some programs leave it out or write something else.
        "id": "00000000-0000-4000-8000-000000000000",
        "crypto": {
            "cipher": cipher,
            "cipherparams": { "iv": hex_of(&cipherparams, "iv", 16)? },
            "ciphertext": hex_of(&crypto, "ciphertext", 32)?,
            "kdf": kdf,
            "kdfparams": kdfparams,
            "mac": hex_of(&crypto, "mac", 32)?,
        },
    }))
}

fn sound_kdf(kdf: &str, given: &Map<String, Value>) -> Result<Value, String> {
    let dklen = number_of(given, "dklen")?;
    if dklen != 32 {
        return Err(format!("crypto.kdfparams.dklen {dklen} is not 32"));
    }
    let salt = salt_of(given)?;
    match kdf {
        "scrypt" => {
            let n = number_of(given, "n")?;
            if !n.is_power_of_two() || n < 2 {
                return Err(format!("crypto.kdfparams.n {n} is not a power of two"));
            }
            let r = number_of(given, "r")?;
            // RFC 7914: n is less than 2 to the power of 16 r.
            if n.ilog2() >= r.saturating_mul(16) {
                return Err(format!("crypto.kdfparams.n {n} is too large for r {r}"));
            }
            Ok(json!({ "dklen": dklen, "n": n, "p": number_of(given, "p")?, "r": r, "salt": salt }))
        }
        "pbkdf2" => {
            let prf = given
                .get("prf")
                .and_then(Value::as_str)
                .unwrap_or("hmac-sha256");
            if prf != "hmac-sha256" {
                return Err(format!("crypto.kdfparams.prf {prf} is not hmac-sha256"));
            }
            Ok(json!({ "dklen": dklen, "c": number_of(given, "c")?, "prf": prf, "salt": salt }))
        }
        other => Err(format!("crypto.kdf {other} is neither scrypt nor pbkdf2")),
    }
}

/// Programs differ in the first letter of member names (`Crypto`, `crypto`).
fn lower_case_names(members: Map<String, Value>) -> Map<String, Value> {
    members
        .into_iter()
        .map(|(name, value)| (name.to_lowercase(), value))
        .collect()
}

fn object(members: &Map<String, Value>, name: &str) -> Result<Map<String, Value>, String> {
    members
        .get(name)
        .and_then(Value::as_object)
        .cloned()
        .ok_or_else(|| format!("{name} is missing"))
}

fn text_of(members: &Map<String, Value>, name: &str) -> Result<String, String> {
    members
        .get(name)
        .and_then(Value::as_str)
        .map(str::to_owned)
        .ok_or_else(|| format!("crypto.{name} is missing"))
}

fn whole(value: &Value) -> Option<u64> {
    value
        .as_u64()
        .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
}

fn number_of(members: &Map<String, Value>, name: &str) -> Result<u32, String> {
    members
        .get(name)
        .and_then(whole)
        .and_then(|number| u32::try_from(number).ok())
        .filter(|number| *number > 0)
        .ok_or_else(|| format!("crypto.kdfparams.{name} is missing or not a number"))
}

fn salt_of(members: &Map<String, Value>) -> Result<String, String> {
    let text = members
        .get("salt")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let bytes = alloy_primitives::hex::decode(text).unwrap_or_default();
    if bytes.is_empty() {
        return Err("crypto.kdfparams.salt is missing or not hex".to_owned());
    }
    Ok(alloy_primitives::hex::encode(bytes))
}

fn hex_of(members: &Map<String, Value>, name: &str, length: usize) -> Result<String, String> {
    let text = text_of(members, name)?;
    match alloy_primitives::hex::decode(&text) {
        Ok(bytes) if bytes.len() == length => Ok(alloy_primitives::hex::encode(bytes)),
        _ => Err(format!("crypto.{name} is not {length} bytes of hex")),
    }
}
