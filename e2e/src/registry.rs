//! A container registry of the test's own, so that pulling is real: Debian's `docker-registry` on the loopback, which needs no TLS.

use std::path::Path;
use std::time::Duration;

use alloy_primitives::B256;
use anyhow::Context as _;

use crate::process::{Process, Recipe, until};

/// A running registry.
#[derive(Debug)]
pub struct Registry {
    process: Process,
    address: String,
}

impl Registry {
    /// Starts a registry that keeps its images under `dir`, on `port` of the loopback.
    pub async fn start(dir: &Path, port: u16) -> anyhow::Result<Self> {
        let address = format!("127.0.0.1:{port}");
        let root = dir.join("registry");
        std::fs::create_dir_all(&root)?;
        let config = dir.join("registry.yml");
        std::fs::write(
            &config,
            format!(
                "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n",
                root.display()
            ),
        )?;
        let recipe = Recipe {
            name: "registry".into(),
            program: "docker-registry".into(),
            args: vec!["serve".into(), config.display().to_string()],
            env: Vec::new(),
            dir: dir.to_owned(),
        };
        let mut process = recipe
            .start()
            .context("install it with `make setup` (Debian's docker-registry)")?;
        let url = format!("http://{address}/v2/");
        until(
            "an answer of the registry",
            Duration::from_secs(20),
            || async {
                Ok(reqwest::get(&url)
                    .await
                    .ok()
                    .filter(|answer| answer.status().is_success())
                    .map(|_| ()))
            },
        )
        .await?;
        process.must_live()?;
        Ok(Self { process, address })
    }

    /// `127.0.0.1:<port>`, the first part of the names of its images.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The digest of the image `name` with `tag`, as the registry has it.
    pub async fn digest(&self, name: &str, tag: &str) -> anyhow::Result<B256> {
        let url = format!("http://{}/v2/{name}/manifests/{tag}", self.address);
        let accepted = "application/vnd.docker.distribution.manifest.v2+json";
        let client = reqwest::Client::new();
        let answer = client.head(url).header("Accept", accepted).send().await?;
        let digest = answer
            .error_for_status()?
            .headers()
            .get("Docker-Content-Digest")
            .context("the registry names no digest")?
            .to_str()?
            .trim_start_matches("sha256:")
            .to_owned();
        Ok(digest.parse()?)
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The registry's process, to stop it in the middle.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}
