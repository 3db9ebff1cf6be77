//! Keeps a prepared chain (contracts deployed, roles funded) from one start to the next, so that only the first start deploys.
//!
//! The file is named by everything that decides its content. Many starts at once deploy once: the others wait at a lock.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use alloy_primitives::hex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::accounts::Accounts;
use crate::anvil::{Launch, Mining};
use crate::deploy::Contracts;
use crate::package::{CONTRACTS_VERSION, Package};
use crate::rpc::Rpc;
use crate::search::Search;
use crate::settings::{AnvilSettings, Settings};
use crate::{DevnetError, check, deploy, funding};

/// Raise it when deployment or funding change what they leave on the chain.
const REVISION: u32 = 1;

/// Longer than a deployment takes on a machine with nothing else to do.
const NUDGE: Duration = Duration::from_secs(2);

/// A prepared chain in a file.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) path: PathBuf,
}

impl Snapshot {
    /// Finds the prepared chain for these settings, or makes it: deploys on a private node that mines at once.
    pub(crate) async fn find_or_make(
        settings: &Settings,
        program: &Path,
        search: &Search,
        accounts: &Accounts,
    ) -> Result<Self, DevnetError> {
        let folder = folder(settings)?;
        let name = name(settings, program);
        let path = folder.join(format!("{name}.json"));
        let lock_path = folder.join(format!("{name}.lock"));
        let lock = File::options()
            .create(true)
            .append(true)
            .open(&lock_path)
            .map_err(DevnetError::file("open", &lock_path))?;
        let locked = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await;
        let _held = locked
            .map_err(std::io::Error::other)
            .flatten()
            .map_err(DevnetError::file("lock", &lock_path))?;
        if !path.is_file() {
            let package = Package::open(search.contracts(settings.contracts.as_deref())?)?;
            prepare(settings, program, &package, accounts, &path).await?;
        }
        Ok(Self { path })
    }
}

async fn prepare(
    settings: &Settings,
    program: &Path,
    package: &Package,
    accounts: &Accounts,
    path: &Path,
) -> Result<(), DevnetError> {
    let start = std::time::Instant::now();
    // A file of its own beside the target, put in place whole: a start that is killed leaves nothing half written.
    let folder = path.parent().unwrap_or(Path::new("."));
    let part = tempfile::Builder::new()
        .prefix("part-")
        .tempdir_in(folder)
        .map_err(DevnetError::file("create a folder in", folder))?;
    let dump = part.path().join("state.json");
    let quiet = AnvilSettings {
        port: 0,
        log: None,
        ..AnvilSettings::default()
    };
    let launch = Launch {
        program,
        settings: &quiet,
        mode: settings.token,
        chain_id: settings.chain_id,
        accounts: settings.accounts,
        mining: Mining::Instant,
        load: None,
        dump: Some(&dump),
    };
    let node = launch.start().await?;
    tokio::select! {
        filled = fill(&node.rpc, settings, package, accounts) => filled.map(drop)?,
        failed = nudge(&node.rpc) => failed?,
    }
    node.stop().await?;
    std::fs::rename(&dump, path).map_err(DevnetError::file("put in place", path))?;
    tracing::info!(
        elapsed_ms = start.elapsed().as_millis() as u64,
        "contracts deployed and kept for the next start"
    );
    Ok(())
}

/// Has a block mined every now and then. A node that mines each transaction at once can, under load, leave one in its pool that came while it
/// mined another (seen rarely on anvil 1.7.1): any further block takes it in.
async fn nudge(rpc: &Rpc) -> Result<(), DevnetError> {
    let mut now_and_then = tokio::time::interval(NUDGE);
    now_and_then.tick().await;
    loop {
        now_and_then.tick().await;
        rpc.ask::<Value>("evm_mine", json!([])).await?;
    }
}

/// Deploys, checks and funds on a node where nothing of it is.
pub(crate) async fn fill(
    rpc: &Rpc,
    settings: &Settings,
    package: &Package,
    accounts: &Accounts,
) -> Result<Contracts, DevnetError> {
    let admin = &accounts.admin().key;
    let contracts = deploy::deploy(rpc, admin, settings.chain_id, settings.token, package).await?;
    check::check(rpc, &contracts, admin.address(), settings.chain_id).await?;
    check::check_fresh(rpc, &contracts).await?;
    funding::fund(rpc, &contracts, accounts, settings.chain_id, settings.token).await?;
    Ok(contracts)
}

/// Another mode, node program, contracts version, chain id, number of accounts or revision is another state.
fn name(settings: &Settings, program: &Path) -> String {
    let program_size = std::fs::metadata(program).map_or(0, |metadata| metadata.len());
    let parts = format!(
        "{REVISION} {CONTRACTS_VERSION} {} {} {program_size}",
        settings.chain_id, settings.accounts
    );
    let digest = hex::encode(Sha256::digest(parts.as_bytes()));
    format!(
        "poco-{CONTRACTS_VERSION}-{}-{}-{}",
        settings.token,
        settings.chain_id,
        digest.get(..12).unwrap_or_default()
    )
}

/// Where what every start would make again is kept; it is made when it is missing.
pub(crate) fn folder(settings: &Settings) -> Result<PathBuf, DevnetError> {
    let named = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let folder = (settings.cache.clone())
        .or_else(|| named("WORKERPOOL_DEVNET_CACHE"))
        .or_else(|| named("XDG_CACHE_HOME").map(|cache| cache.join("workerpool-devnet")))
        .or_else(|| named("HOME").map(|home| home.join(".cache/workerpool-devnet")))
        .unwrap_or_else(|| std::env::temp_dir().join("workerpool-devnet"));
    std::fs::create_dir_all(&folder).map_err(DevnetError::file("create", &folder))?;
    Ok(folder)
}
