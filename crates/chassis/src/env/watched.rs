//! An environment that notes what is read of it: for telling an operator what becomes of each setting.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use super::{Env, MapEnv, Warning};

/// Variables, and what was done with them.
#[derive(Debug, Default)]
pub struct Watched {
    variables: MapEnv,
    seen: Mutex<Seen>,
}

/// What was done with variables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Every name that was looked for, set or not.
    pub asked: BTreeSet<String>,
    /// Older names that were found, and the names to use.
    pub older: BTreeMap<String, String>,
    /// Names that are set and change nothing, with reasons.
    pub without_effect: BTreeMap<String, String>,
}

impl Watched {
    /// Watches what becomes of these.
    #[must_use]
    pub fn new(variables: MapEnv) -> Self {
        Self {
            variables,
            seen: Mutex::default(),
        }
    }

    /// What was done with them so far.
    #[must_use]
    pub fn seen(self) -> Seen {
        self.seen
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, note: impl FnOnce(&mut Seen)) {
        note(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Env for Watched {
    fn get(&self, name: &str) -> Option<String> {
        self.note(|seen| {
            seen.asked.insert(name.to_owned());
        });
        self.variables.get(name)
    }

    /// What is checked may run elsewhere, where the file is: none here is nothing wrong.
    fn file(&self, path: &str) -> std::io::Result<String> {
        Ok(std::fs::read_to_string(path).unwrap_or_else(|_| "in a file elsewhere".to_owned()))
    }

    fn told(&self, warning: &Warning) {
        self.note(|seen| match warning {
            Warning::Older { older, name } => {
                for older in older.split(", ") {
                    seen.older.insert(older.to_owned(), name.clone());
                }
            }
            Warning::WithoutEffect { name, reason } => {
                seen.without_effect
                    .insert((*name).to_owned(), (*reason).to_owned());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{Reader, Role};

    #[test]
    fn what_becomes_of_each_variable_is_known_afterwards() {
        let env = Watched::new(MapEnv::from([
            ("NEW", "1"),
            ("OLD", "2"),
            ("GONE", "3"),
            ("SHADOWED", "4"),
            ("BLANK", " "),
            ("SHARED", "5"),
        ]));
        let mut read = Reader::new(&env, Role::Worker);
        read.ignores(&[
            ("GONE", "it is gone"),
            ("NOT_SET", "neither"),
            ("BLANK", "as if it were not set"),
        ]);
        assert_eq!(read.warnings().len(), 1);
        read.leaves_to_others(&[("SHARED", "another role reads it")]);
        assert_eq!(read.warnings().len(), 1, "nothing is logged of it");
        let _ = read.var("NEW").was("SHADOWED").number::<u8>().required();
        let _ = read.var("NEWER").was("OLD").number::<u8>().required();
        let seen = env.seen();
        assert!(seen.asked.contains("NEW") && !seen.asked.contains("SHADOWED"));
        assert_eq!(seen.older["OLD"], "NEWER");
        let without: Vec<_> = seen.without_effect.keys().collect();
        assert_eq!(without, ["GONE", "SHARED"]);
    }
}
