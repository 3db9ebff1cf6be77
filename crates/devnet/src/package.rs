//! Reads contracts from the npm package `@iexec/poco`: init code with its library linked, and interfaces. Never changes or copies the package.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use alloy_json_abi::JsonAbi;
use alloy_primitives::{Address, Bytes, hex};
use serde::Deserialize;
use serde_json::Value;

use crate::DevnetError;

/// The version of the contracts that is deployed: the newest on npm (spec devnet.md §1).
pub const CONTRACTS_VERSION: &str = "6.1.0";

/// The contracts package in its folder.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    root: PathBuf,
}

/// One contract as its file describes it, not yet linked.
pub(crate) struct Artifact {
    path: PathBuf,
    init_code: String,
    links: Vec<Link>,
    abi: Value,
}

#[derive(Deserialize)]
struct Link {
    start: usize,
    length: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArtifactFile {
    bytecode: String,
    #[serde(default)]
    link_references: BTreeMap<String, BTreeMap<String, Vec<Link>>>,
    #[serde(default)]
    abi: Value,
}

#[derive(Deserialize)]
struct Manifest {
    name: String,
    version: String,
}

impl Package {
    /// Opens the package and checks that it is the version we know.
    pub(crate) fn open(root: PathBuf) -> Result<Self, DevnetError> {
        let manifest: Manifest = read(&root.join("package.json"))?;
        if manifest.name != "@iexec/poco" || manifest.version != CONTRACTS_VERSION {
            let why = format!(
                "it is {} {}, needed is @iexec/poco {CONTRACTS_VERSION}",
                manifest.name, manifest.version
            );
            return Err(DevnetError::ContractsUnusable { path: root, why });
        }
        Ok(Self { root })
    }

    /// A contract that the package was built from; `source` is its file under `contracts/` without `.sol`.
    pub(crate) fn artifact(&self, source: &str) -> Result<Artifact, DevnetError> {
        let name = source.rsplit('/').next().unwrap_or(source);
        Artifact::read(
            self.root
                .join(format!("artifacts/contracts/{source}.sol/{name}.json")),
        )
    }

    /// A contract that is in the package only as record of a production deployment, init code included (spec devnet.md §2).
    pub(crate) fn record(&self, name: &str) -> Result<Artifact, DevnetError> {
        Artifact::read(self.root.join(format!("deployments/arbitrum/{name}.json")))
    }
}

impl Artifact {
    fn read(path: PathBuf) -> Result<Self, DevnetError> {
        let file: ArtifactFile = read(&path)?;
        let links = file
            .link_references
            .into_values()
            .flat_map(BTreeMap::into_values)
            .flatten()
            .collect();
        Ok(Self {
            path,
            init_code: file.bytecode,
            links,
            abi: file.abi,
        })
    }

    /// The init code, with `library` in every place that wants it.
    pub(crate) fn linked(&self, library: Address) -> Result<Bytes, DevnetError> {
        let mut text = self.init_code.trim_start_matches("0x").to_owned();
        for link in &self.links {
            let range = link.start * 2..(link.start + link.length) * 2;
            if link.length != Address::len_bytes() || text.get(range.clone()).is_none() {
                return Err(self.unusable("a place for the library is outside the code"));
            }
            text.replace_range(range, &hex::encode(library));
        }
        hex::decode(text)
            .map(Bytes::from)
            .map_err(|error| self.unusable(&error.to_string()))
    }

    /// The init code of a contract that needs no library.
    pub(crate) fn init_code(&self) -> Result<Bytes, DevnetError> {
        if self.links.is_empty() {
            self.linked(Address::ZERO)
        } else {
            Err(self.unusable("it needs a library"))
        }
    }

    /// The interface.
    pub(crate) fn interface(&self) -> Result<JsonAbi, DevnetError> {
        JsonAbi::deserialize(&self.abi).map_err(|error| self.unusable(&error.to_string()))
    }

    fn unusable(&self, why: &str) -> DevnetError {
        DevnetError::ContractsUnusable {
            path: self.path.clone(),
            why: why.to_owned(),
        }
    }
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, DevnetError> {
    let unusable = |why: String| DevnetError::ContractsUnusable {
        path: path.to_owned(),
        why,
    };
    let text = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    serde_json::from_slice(&text).map_err(|error| unusable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(version: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let manifest = serde_json::json!({"name": "@iexec/poco", "version": version});
        std::fs::write(root.path().join("package.json"), manifest.to_string()).unwrap();
        root
    }

    #[test]
    fn another_version_of_the_contracts_is_refused_with_both_versions_named() {
        let root = package("5.5.0");
        let text = Package::open(root.path().to_owned())
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("5.5.0") && text.contains(CONTRACTS_VERSION),
            "{text}"
        );
    }

    #[test]
    fn the_library_is_written_into_every_place_that_wants_it() {
        let root = package(CONTRACTS_VERSION);
        let folder = root.path().join("artifacts/contracts/facets/F.sol");
        std::fs::create_dir_all(&folder).unwrap();
        let hole = "__$9a$__________________________________";
        let file = serde_json::json!({"bytecode": format!("0xaa{hole}bb{hole}"), "abi": [],
            "linkReferences": {"L.sol": {"L": [{"start": 1, "length": 20}, {"start": 22, "length": 20}]}}});
        std::fs::write(folder.join("F.json"), file.to_string()).unwrap();
        let artifact = Package::open(root.path().to_owned())
            .unwrap()
            .artifact("facets/F")
            .unwrap();
        let code = artifact.linked(Address::repeat_byte(0x11)).unwrap();
        assert_eq!(hex::encode(code), format!("aa{0}bb{0}", "11".repeat(20)));
        assert!(
            artifact.init_code().is_err(),
            "unlinked code must not be deployed"
        );
    }
}
