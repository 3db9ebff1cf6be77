//! Where the node's program and the contracts package are found: a setting, an environment variable, `node_modules` of the folder we are in
//! or of one above it, and for the program `PATH`. Never downloads anything.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::DevnetError;

const ANVIL_IN_NODE_MODULES: &str = "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil";
const CONTRACTS_IN_NODE_MODULES: &str = "node_modules/@iexec/poco";

/// What a search may look at.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// Value of `WORKERPOOL_ANVIL`.
    pub anvil_variable: Option<PathBuf>,
    /// Value of `WORKERPOOL_POCO_PACKAGE`.
    pub contracts_variable: Option<PathBuf>,
    /// Folder from which `node_modules` is looked for, upward.
    pub from: Option<PathBuf>,
    /// Value of `PATH`.
    pub path: Option<OsString>,
}

impl Search {
    /// What this process was given.
    #[must_use]
    pub fn of_this_process() -> Self {
        let file = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        Self {
            anvil_variable: file("WORKERPOOL_ANVIL"),
            contracts_variable: file("WORKERPOOL_POCO_PACKAGE"),
            from: std::env::current_dir().ok(),
            path: std::env::var_os("PATH"),
        }
    }

    /// The program `anvil`. A place that is named by setting or variable is the only one that counts.
    ///
    /// # Errors
    /// [`DevnetError::AnvilMissing`] with the places looked at.
    pub fn anvil(&self, setting: Option<&Path>) -> Result<PathBuf, DevnetError> {
        if let Some(named) = setting.or(self.anvil_variable.as_deref()) {
            return if named.is_file() {
                Ok(named.to_owned())
            } else {
                Err(DevnetError::AnvilMissing {
                    searched: vec![named.display().to_string()],
                })
            };
        }
        let in_path = self
            .path
            .iter()
            .flat_map(std::env::split_paths)
            .map(|folder| folder.join("anvil"));
        self.upward(ANVIL_IN_NODE_MODULES)
            .chain(in_path)
            .find(|place| place.is_file())
            .ok_or_else(|| DevnetError::AnvilMissing {
                searched: vec![
                    self.upward_in_words(ANVIL_IN_NODE_MODULES),
                    "anvil in PATH".to_owned(),
                ],
            })
    }

    /// The folder of the package `@iexec/poco`. A place that is named by setting or variable is the only one that counts.
    ///
    /// # Errors
    /// [`DevnetError::ContractsMissing`] with the places looked at.
    pub fn contracts(&self, setting: Option<&Path>) -> Result<PathBuf, DevnetError> {
        let is_package = |place: &Path| place.join("package.json").is_file();
        if let Some(named) = setting.or(self.contracts_variable.as_deref()) {
            return if is_package(named) {
                Ok(named.to_owned())
            } else {
                Err(DevnetError::ContractsMissing {
                    searched: vec![named.display().to_string()],
                })
            };
        }
        self.upward(CONTRACTS_IN_NODE_MODULES)
            .find(|place| is_package(place))
            .ok_or_else(|| DevnetError::ContractsMissing {
                searched: vec![self.upward_in_words(CONTRACTS_IN_NODE_MODULES)],
            })
    }

    fn upward(&self, tail: &'static str) -> impl Iterator<Item = PathBuf> + '_ {
        self.from
            .iter()
            .flat_map(|from| from.ancestors())
            .map(move |folder| folder.join(tail))
    }

    fn upward_in_words(&self, tail: &str) -> String {
        match &self.from {
            Some(from) => format!("{tail} in {} and above", from.display()),
            None => tail.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_anvil_is_reported_with_the_places_and_the_mend() {
        let empty = tempfile::tempdir().unwrap();
        let search = Search {
            from: Some(empty.path().to_owned()),
            path: Some(empty.path().as_os_str().to_owned()),
            ..Search::default()
        };
        let text = search.anvil(None).unwrap_err().to_string();
        assert!(
            text.contains(ANVIL_IN_NODE_MODULES)
                && text.contains("make setup")
                && text.contains("WORKERPOOL_ANVIL"),
            "{text}"
        );
    }

    #[test]
    fn missing_contracts_are_reported_with_the_places_and_the_mend() {
        let empty = tempfile::tempdir().unwrap();
        let search = Search {
            from: Some(empty.path().to_owned()),
            ..Search::default()
        };
        let text = search.contracts(None).unwrap_err().to_string();
        assert!(
            text.contains("@iexec/poco")
                && text.contains("make setup")
                && text.contains("WORKERPOOL_POCO_PACKAGE"),
            "{text}"
        );
    }

    #[test]
    fn a_named_place_is_the_only_one_that_counts() {
        let world = tempfile::tempdir().unwrap();
        let installed = world.path().join(ANVIL_IN_NODE_MODULES);
        std::fs::create_dir_all(installed.parent().unwrap()).unwrap();
        std::fs::write(&installed, "").unwrap();
        let search = Search {
            from: Some(world.path().join("deep/down")),
            ..Search::default()
        };
        assert_eq!(search.anvil(None).unwrap(), installed);
        let wrong = world.path().join("no-such-anvil");
        assert!(
            search
                .anvil(Some(&wrong))
                .unwrap_err()
                .to_string()
                .contains("no-such-anvil")
        );
        let by_variable = Search {
            anvil_variable: Some(wrong),
            ..search
        };
        assert!(
            by_variable
                .anvil(None)
                .unwrap_err()
                .to_string()
                .contains("no-such-anvil")
        );
    }
}
