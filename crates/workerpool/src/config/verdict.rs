//! What becomes of one variable.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chassis::env::{ConfigError, MapEnv};

use super::files::Unit;
use crate::cli::RoleName;

/// How alike a name must be to one that is known, to be taken for it.
const ALIKE: f64 = 0.93;

/// What becomes of a variable, in the order in which it is told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// It cannot be used, or is missing.
    Wrong(String),
    /// Nobody reads it.
    Unknown {
        name: String,
        /// What may be meant.
        meant: Option<String>,
    },
    /// It works, and has another name by now.
    Renamed { name: String, to: String },
    /// It changes nothing.
    WithoutEffect { name: String, reason: String },
    /// Another name of the same setting is set too, and wins.
    Shadowed(String),
    /// It works.
    Used(String),
}

impl Verdict {
    pub(super) const fn is_wrong(&self) -> bool {
        matches!(self, Self::Wrong(_))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong(what) => write!(f, "wrong           {what}"),
            Self::Unknown { name, meant } => {
                write!(f, "unknown         {name}: nobody reads it")?;
                match meant {
                    Some(meant) => write!(f, "; is {meant} meant?"),
                    None => Ok(()),
                }
            }
            Self::Renamed { name, to } => {
                write!(f, "renamed         {name}: works, and is {to} now")
            }
            Self::WithoutEffect { name, reason } => write!(f, "without effect  {name}: {reason}"),
            Self::Shadowed(name) => write!(
                f,
                "without effect  {name}: another name of the same setting is set, and wins"
            ),
            Self::Used(name) => write!(f, "used            {name}"),
        }
    }
}

/// What becomes of everything that a unit sets, by the roles that are given it.
pub(super) fn of(unit: &Unit, roles: &[RoleName]) -> Vec<Verdict> {
    let mut known = BTreeSet::new();
    let (mut asked, mut older, mut without) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
    let mut errors: Vec<ConfigError> = Vec::new();
    for role in roles {
        known.extend(role.names());
        let (seen, failed) = role.look(unit.variables.iter().collect::<MapEnv>());
        let counts = |name: &String| !seen.without_effect.contains_key(name);
        asked.extend(seen.asked.iter().filter(|name| counts(name)).cloned());
        older.extend(seen.older);
        without.extend(seen.without_effect);
        // Several roles may say the same.
        errors.extend(failed.into_iter().flat_map(|failed| failed.errors));
    }
    let mut verdicts: Vec<Verdict> = unit
        .variables
        .keys()
        .filter(|name| !errors.iter().any(|error| is_about(error, name)))
        .map(|name| {
            let name = name.clone();
            if let Some(to) = older.remove(&name) {
                Verdict::Renamed { name, to }
            } else if asked.contains(&name) {
                Verdict::Used(name)
            } else if let Some(reason) = without.remove(&name) {
                Verdict::WithoutEffect { name, reason }
            } else if known.contains(&name) {
                Verdict::Shadowed(name)
            } else {
                let meant = meant(&name, &known);
                Verdict::Unknown { name, meant }
            }
        })
        .collect();
    verdicts.extend(errors.iter().map(|error| Verdict::Wrong(error.to_string())));
    verdicts.sort();
    verdicts.dedup();
    verdicts
}

fn is_about(error: &ConfigError, name: &str) -> bool {
    error.name.split(", ").any(|one| one == name)
}

/// The known name that is most like this one, if it is very like.
fn meant(name: &str, known: &BTreeSet<String>) -> Option<String> {
    let likeness = |known: &String| strsim::jaro_winkler(name, known);
    let best = known
        .iter()
        .max_by(|one, other| likeness(one).total_cmp(&likeness(other)))?;
    (likeness(best) >= ALIKE).then(|| best.clone())
}
