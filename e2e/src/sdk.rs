//! The buyer: the unmodified iExec SDK, run by node from the scripts in `e2e/sdk`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use alloy_primitives::{Address, B256};
use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A deal as the SDK bought it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deal {
    /// Its id.
    pub dealid: B256,
    /// How many tasks.
    pub volume: u64,
    /// Index of its first task.
    pub first: u64,
    /// Trust as the chain has it.
    pub trust: u64,
    /// The transaction of the match.
    pub tx_hash: B256,
    /// Its tasks in order of index.
    pub tasks: Vec<B256>,
}

/// A downloaded result.
#[derive(Debug, Clone, Deserialize)]
pub struct Download {
    /// The task.
    pub task: B256,
    /// `/ipfs/<cid>` as the chain has it.
    pub location: String,
    /// The archive.
    pub file: PathBuf,
}

/// What to buy: one deal.
#[derive(Debug, Clone)]
pub struct Wish {
    /// How many tasks.
    pub volume: u64,
    /// How much agreement.
    pub trust: u64,
    /// The category, which decides the deadlines.
    pub category: u64,
    /// The application's arguments.
    pub args: String,
}

/// Buys deals of the chain's own application, on the chain whose files are in `chain_dir`.
pub async fn buy(
    chain_dir: &Path,
    app_price: &str,
    pool_price: &str,
    wishes: &[Wish],
) -> anyhow::Result<Vec<Deal>> {
    let spec = json!({"devnet": chain_dir, "appPrice": app_price, "poolPrice": pool_price, "deals": deals(wishes)});
    script("buy.mjs", &spec).await
}

/// Buys deals, for nothing, of an application that is registered with this image first.
pub async fn buy_of_image(
    chain_dir: &Path,
    image: &str,
    wishes: &[Wish],
) -> anyhow::Result<Vec<Deal>> {
    script("buy.mjs", &json!({"devnet": chain_dir, "app": {"name": image, "image": image}, "deals": deals(wishes)})).await
}

/// Registers a further pool of the same owner, and gives its address. A deal of nothing is bought of it on the way.
pub async fn further_pool(chain_dir: &Path, description: &str) -> anyhow::Result<Address> {
    #[derive(Deserialize)]
    struct Sold {
        workerpool: Address,
    }
    let wish = Wish {
        volume: 1,
        trust: 1,
        category: 0,
        args: String::new(),
    };
    let spec = json!({"devnet": chain_dir, "workerpool": {"description": description}, "deals": deals(&[wish])});
    let sold: Vec<Sold> = script("buy.mjs", &spec).await?;
    Ok(sold.first().context("nothing was sold")?.workerpool)
}

fn deals(wishes: &[Wish]) -> Vec<Value> {
    wishes
        .iter()
        .map(|wish| json!({"volume": wish.volume, "trust": wish.trust, "category": wish.category, "args": wish.args}))
        .collect()
}

/// Downloads results into `out`: by the SDK where it can read the task, by the location on chain where several contributed, which the SDK
/// cannot decode.
pub async fn fetch(
    chain_dir: &Path,
    out: &Path,
    tasks: &[(B256, bool)],
) -> anyhow::Result<Vec<Download>> {
    let tasks: Vec<Value> = tasks
        .iter()
        .map(|(task, one_contributor)| json!({"task": task, "via": if *one_contributor { "sdk" } else { "location" }}))
        .collect();
    script(
        "fetch.mjs",
        &json!({"devnet": chain_dir, "out": out, "tasks": tasks}),
    )
    .await
}

/// Runs one script of `e2e/sdk` with its wishes and reads its lines.
pub async fn script<T: DeserializeOwned>(name: &str, spec: &Value) -> anyhow::Result<Vec<T>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk").join(name);
    let output = tokio::process::Command::new("node")
        .arg(&path)
        .arg(spec.to_string())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("node is missing: it is needed for the iExec SDK")?;
    if !output.status.success() {
        bail!(
            "{name} failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    String::from_utf8(output.stdout)?
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("{name} printed {line}")))
        .collect()
}

/// The text of one file in a downloaded archive.
pub fn text_in(archive: &Path, file: &str) -> anyhow::Result<String> {
    let mut zip = zip::ZipArchive::new(std::fs::File::open(archive)?)?;
    let mut entry = zip
        .by_name(file)
        .with_context(|| format!("{} holds no {file}", archive.display()))?;
    let mut text = String::new();
    std::io::Read::read_to_string(&mut entry, &mut text)?;
    Ok(text)
}
