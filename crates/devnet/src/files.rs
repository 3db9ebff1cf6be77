//! The files that tell everything else where the chain is and who has which key.
//!
//! | File | For |
//! |---|---|
//! | `devnet.json` | programs: [`Facts`] |
//! | `chain.json` | the SDK, 8.24 and 9 (spec devnet.md §11) |
//! | `wallets/<role>.json` | services: keystore, opened by [`PASSWORD`]; `wallets/<role>.key.json` the same in the clear, as the SDK reads it |
//! | `devnet.env` | scheduler, config server, result proxy and the first worker: their environment |
//! | `worker<n>.env` | what the n-th worker has for itself |

use std::collections::BTreeMap;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use alloy_primitives::{Address, B256, hex};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::accounts::{Account, Role};
use crate::running::Devnet;
use crate::settings::{NodeChoice, Profile, TokenMode};
use crate::{Contracts, DevnetError, snapshot};

/// Opens every written keystore. Public, like the keys themselves.
pub const PASSWORD: &str = "devnet";

const FACTS: &str = "devnet.json";

/// `devnet.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// Where the node answers.
    pub rpc_url: String,
    /// Its chain id.
    pub chain_id: u64,
    /// Stakes are paid with the chain's own coin, and gas is free; `rlc` is zero then.
    pub native: bool,
    /// The contracts.
    #[serde(flatten)]
    pub contracts: Contracts,
    /// The registered application.
    pub app: Option<Address>,
    /// Its image.
    pub app_image: Option<String>,
    /// The registered workerpool.
    pub workerpool: Address,
    /// Number of the category `TEST`.
    pub test_category: Option<u64>,
    /// The accounts by role.
    pub accounts: BTreeMap<String, AccountFacts>,
}

/// One account in `devnet.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountFacts {
    /// Its address.
    pub address: Address,
    /// Index in the test mnemonic.
    pub index: u32,
    /// Its keystore.
    pub wallet: PathBuf,
    /// Its key in the clear.
    pub key: PathBuf,
}

impl Facts {
    /// Reads `devnet.json` of a folder.
    ///
    /// # Errors
    /// [`DevnetError::File`] when it cannot be read or has another shape.
    pub fn read(dir: &Path) -> Result<Self, DevnetError> {
        let path = dir.join(FACTS);
        let text = std::fs::read(&path).map_err(DevnetError::file("read", &path))?;
        serde_json::from_slice(&text)
            .map_err(|error| DevnetError::file("understand", &path)(error.into()))
    }
}

/// Takes the facts of an earlier start away, so that who waits for them does not find those.
pub(crate) fn withdraw(dir: &Path) -> Result<(), DevnetError> {
    let path = dir.join(FACTS);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(DevnetError::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Writes all files into `dir`, which is made when it is missing.
pub(crate) async fn write(devnet: &Devnet, dir: &Path) -> Result<(), DevnetError> {
    let dir = std::path::absolute(dir).map_err(DevnetError::file("find", dir))?;
    let wallets = dir.join("wallets");
    std::fs::create_dir_all(&wallets).map_err(DevnetError::file("create", &wallets))?;
    let kept = snapshot::folder(devnet.settings())?;
    // A new keystore costs tens of milliseconds of key derivation: not on the thread that drives everything else.
    let accounts: Vec<Account> = devnet.accounts().all().cloned().collect();
    let write_all = move || {
        let written = accounts
            .iter()
            .map(|account| write_keys(account, &wallets, &kept));
        written.collect::<Result<_, DevnetError>>()
    };
    let written = tokio::task::spawn_blocking(write_all).await;
    let accounts: BTreeMap<_, _> =
        written.map_err(|error| DevnetError::file("write wallets into", &dir)(error.into()))??;

    let facts = Facts {
        rpc_url: rpc_url(devnet),
        chain_id: devnet.settings().chain_id,
        native: devnet.settings().token == TokenMode::Native,
        contracts: devnet.addresses().contracts,
        app: devnet.addresses().app,
        app_image: devnet.settings().app.as_ref().map(|app| app.image.clone()),
        workerpool: devnet.addresses().workerpool,
        test_category: devnet.addresses().test_category,
        accounts,
    };
    put_json(&dir.join("chain.json"), &chain_json(devnet))?;
    put(
        &dir.join("devnet.env"),
        &lines(&common_environment(devnet, &facts)),
    )?;
    for account in devnet.accounts().workers() {
        let path = dir.join(format!("{}.env", account.role));
        put(&path, &lines(&worker_environment(account.role, &facts)))?;
    }
    // Last: who waits for this file finds all the others.
    put_json(&dir.join(FACTS), &facts)
}

/// The URL without the slash that the URL type appends: the SDK and Java configuration join paths to it.
fn rpc_url(devnet: &Devnet) -> String {
    devnet.rpc_url().as_str().trim_end_matches('/').to_owned()
}

/// Works in SDK 8.24 and 9: `id` is text, and only keys that both know. Native chains have two more that 8.24 knows; 9 cannot use such chains.
fn chain_json(devnet: &Devnet) -> Value {
    let services = &devnet.settings().services;
    let mut chain = json!({
        "id": devnet.settings().chain_id.to_string(),
        "host": rpc_url(devnet),
        "hub": devnet.addresses().contracts.hub,
        "compass": services.scheduler,
        "ipfsGateway": services.result_proxy,
    });
    if let (TokenMode::Native, Some(members)) = (devnet.settings().token, chain.as_object_mut()) {
        members.insert("native".to_owned(), json!(true));
        members.insert("useGas".to_owned(), json!(false));
    }
    json!({"default": "devnet", "chains": {"devnet": chain}})
}

fn common_environment(devnet: &Devnet, facts: &Facts) -> Vec<(&'static str, String)> {
    let settings = devnet.settings();
    let services = &settings.services;
    let block_time = match &settings.node {
        NodeChoice::Own(anvil) => anvil
            .block_time
            .unwrap_or_else(|| anvil.profile.block_time()),
        NodeChoice::Running(_) => Profile::Functional.block_time(),
    };
    let mut all = vec![
        ("IEXEC_CHAIN_ID", facts.chain_id.to_string()),
        ("IEXEC_IS_SIDECHAIN", facts.native.to_string()),
        ("IEXEC_BLOCKCHAIN_NODE_ADDRESS", facts.rpc_url.clone()),
        ("IEXEC_HUB_ADDRESS", text(facts.contracts.hub)),
        ("IEXEC_BLOCK_TIME", iso(block_time)),
        ("POOL_ADDRESS", text(facts.workerpool)),
        ("IEXEC_START_BLOCK_NUMBER", "0".to_owned()),
        ("IEXEC_CORE_URL", services.scheduler.clone()),
        ("IEXEC_CONFIG_SERVER_URL", services.config_server.clone()),
        ("IEXEC_RESULT_REPOSITORY_URL", services.result_proxy.clone()),
    ];
    if facts.native {
        // Gas costs nothing: nothing is ever offered, so that a wallet needs no coin.
        all.push(("IEXEC_GAS_PRICE_CAP", "0".to_owned()));
    }
    if let Some(scheduler) = facts.accounts.get(&Role::Scheduler.to_string()) {
        all.push((
            "IEXEC_CORE_WALLET_PATH",
            scheduler.wallet.display().to_string(),
        ));
        all.push(("IEXEC_CORE_WALLET_PASSWORD", PASSWORD.to_owned()));
    }
    all.extend(worker_environment(Role::Worker(1), facts));
    all
}

fn worker_environment(role: Role, facts: &Facts) -> Vec<(&'static str, String)> {
    let Some(account) = facts.accounts.get(&role.to_string()) else {
        return Vec::new();
    };
    vec![
        ("IEXEC_WORKER_NAME", role.to_string()),
        (
            "IEXEC_WORKER_WALLET_PATH",
            account.wallet.display().to_string(),
        ),
        ("IEXEC_WORKER_WALLET_PASSWORD", PASSWORD.to_owned()),
    ]
}

/// A duration as the services' settings spell it: `PT2S`, `PT0.25S`.
fn iso(time: Duration) -> String {
    format!("PT{}S", time.as_secs_f64())
}

/// Lower case: worker white lists of the original compare text.
fn text(address: Address) -> String {
    format!("0x{}", hex::encode(address))
}

/// Shell-safe lines: values are quoted only when they need it.
fn lines(variables: &[(&str, String)]) -> String {
    let plain = |value: &str| {
        value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "/:._-".contains(c))
    };
    let quoted = |value: &str| {
        if plain(value) {
            value.to_owned()
        } else {
            format!("'{}'", value.replace('\'', "'\\''"))
        }
    };
    variables
        .iter()
        .map(|(name, value)| format!("{name}={}\n", quoted(value)))
        .collect()
}

fn write_keys(
    account: &Account,
    folder: &Path,
    kept: &Path,
) -> Result<(String, AccountFacts), DevnetError> {
    let role = account.role.to_string();
    let (wallet, key) = (
        folder.join(format!("{role}.json")),
        folder.join(format!("{role}.key.json")),
    );
    let address = account.address();
    let secret: B256 = account.key.to_bytes();
    put_json(
        &key,
        &json!({"privateKey": secret, "address": address.to_string()}),
    )?;
    // Key and password never change, so a keystore made once serves every later start.
    let made = kept.join(format!("keystore-{address}.json"));
    if !made.is_file() {
        chain::wallet::write_keystore(&made, PASSWORD, &account.key)?;
    }
    put(
        &wallet,
        &std::fs::read_to_string(&made).map_err(DevnetError::file("read", &made))?,
    )?;
    Ok((
        role,
        AccountFacts {
            address,
            index: account.index,
            wallet,
            key,
        },
    ))
}

fn put_json(path: &Path, value: &impl Serialize) -> Result<(), DevnetError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| DevnetError::file("write", path)(error.into()))?;
    put(path, &(text + "\n"))
}

/// Replaces a file as a whole; only its owner may read it, because some hold keys.
fn put(path: &Path, text: &str) -> Result<(), DevnetError> {
    let part = path.with_added_extension("part");
    let _from_a_start_that_was_killed = std::fs::remove_file(&part);
    let mut file = std::fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&part)
        .map_err(DevnetError::file("create", &part))?;
    std::io::Write::write_all(&mut file, text.as_bytes())
        .map_err(DevnetError::file("write", &part))?;
    std::fs::rename(&part, path).map_err(DevnetError::file("put in place", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_times_are_written_as_java_reads_them() {
        assert_eq!(iso(Duration::from_secs(2)), "PT2S");
        assert_eq!(iso(Duration::from_millis(250)), "PT0.25S");
    }

    #[test]
    fn a_path_with_blanks_survives_the_shell() {
        assert_eq!(
            lines(&[
                ("A", "/x y/it's".to_owned()),
                ("B", "http://127.0.0.1:1".to_owned())
            ]),
            "A='/x y/it'\\''s'\nB=http://127.0.0.1:1\n"
        );
    }
}
