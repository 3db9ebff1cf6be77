//! The local chain as a process: `workerpool devnet` with anvil and the contracts of the npm packages.

use std::path::Path;
use std::time::Duration;

use crate::process::{Process, Recipe, until};
use crate::world::{Chain, from_npm};

/// Starts `recipe`, a `devnet` that writes to `chain_dir`, and waits until the chain is ready.
///
/// # Errors
/// When it ends before, or is not ready within two minutes.
pub async fn start(recipe: Recipe, chain_dir: &Path) -> anyhow::Result<(Process, Chain)> {
    let mut devnet = recipe
        .with(
            "WORKERPOOL_ANVIL",
            from_npm("@foundry-rs/anvil-linux-amd64/bin/anvil"),
        )
        .with("WORKERPOOL_POCO_PACKAGE", from_npm("@iexec/poco"))
        .start()?;
    let facts = chain_dir.join("devnet.json");
    until("the chain's devnet.json", Duration::from_secs(120), || {
        let gone = devnet.must_live().err();
        let there = facts.exists().then_some(());
        async move {
            match (there, gone) {
                (None, Some(error)) => Err(error),
                (there, _) => Ok(there),
            }
        }
    })
    .await?;
    let chain = serde_json::from_slice(&std::fs::read(&facts)?)?;
    Ok((devnet, chain))
}
