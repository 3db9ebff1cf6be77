//! `workerpool config check`: what becomes of every name in a file of settings, before anything is started with it.

mod files;
mod others;
mod verdict;

use std::collections::BTreeSet;
use std::path::PathBuf;

use chassis::env::{ConfigErrors, Env, MapEnv, Seen, Watched};
use clap::ValueEnum as _;

use self::files::Unit;
use self::verdict::Verdict;
use crate::cli::RoleName;
use crate::exit::Failure;

/// Checks the files, or the usual one of this folder, and prints what is found.
pub(crate) fn check(files: &[PathBuf], roles: &[RoleName]) -> Result<(), Failure> {
    let files = match files {
        [] => files::usual(),
        files => files.to_vec(),
    };
    if files.is_empty() {
        return Err(Failure::Configuration(
            "there is no compose file and no .env in this folder: name the files to check".into(),
        ));
    }
    let mut wrong = 0;
    for file in &files {
        let units =
            files::units(file).map_err(|error| Failure::Configuration(format!("{error:#}")))?;
        for unit in &units {
            let report = Report::of(unit, roles);
            print!("{report}");
            wrong += report.wrong();
        }
    }
    if wrong == 0 {
        Ok(())
    } else {
        let what = if wrong == 1 { "setting" } else { "settings" };
        Err(Failure::Configuration(format!(
            "{wrong} {what} cannot be used"
        )))
    }
}

/// What becomes of one environment.
struct Report {
    name: String,
    roles: Vec<RoleName>,
    verdicts: Vec<Verdict>,
    /// Why nobody of ours is given it.
    instead: Option<&'static str>,
}

impl Report {
    fn of(unit: &Unit, named: &[RoleName]) -> Self {
        let instead = unit.image.as_deref().and_then(others::instead_of);
        let roles = match (
            named,
            unit.image.as_deref().and_then(others::role_of),
            instead,
        ) {
            ([], Some(role), _) => vec![role],
            ([], None, Some(_)) => Vec::new(),
            ([], None, None) => roles_in(unit),
            (named, ..) => named.to_vec(),
        };
        let verdicts = if instead.is_some() && roles.is_empty() {
            Vec::new()
        } else {
            verdict::of(unit, &roles)
        };
        Self {
            name: unit.name.clone(),
            roles,
            verdicts,
            instead,
        }
    }

    fn wrong(&self) -> usize {
        self.verdicts
            .iter()
            .filter(|verdict| verdict.is_wrong())
            .count()
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let roles: Vec<&str> = self.roles.iter().map(|role| role.name()).collect();
        match (self.instead, roles.as_slice()) {
            (Some(instead), []) => return writeln!(f, "{}: {instead}", self.name),
            (_, []) => writeln!(
                f,
                "{}: nothing here is read by a role of workerpool",
                self.name
            )?,
            (_, roles) => writeln!(f, "{}: {}", self.name, roles.join(", "))?,
        }
        for verdict in &self.verdicts {
            writeln!(f, "  {verdict}")?;
        }
        Ok(())
    }
}

impl RoleName {
    /// As it is typed.
    const fn name(self) -> &'static str {
        match self {
            Self::Scheduler => "scheduler",
            Self::Worker => "worker",
            Self::ResultProxy => "result-proxy",
            Self::ConfigServer => "config-server",
        }
    }

    /// Reads this role's settings and throws them away.
    fn read(self, env: &dyn Env) -> Result<(), ConfigErrors> {
        match self {
            Self::Scheduler => scheduler::Settings::from_env(env).map(drop),
            Self::Worker => worker::Settings::from_env(env).map(drop),
            Self::ResultProxy => result_proxy::Settings::from_env(env).map(drop),
            Self::ConfigServer => config_server::Settings::from_env(env).map(drop),
        }
    }

    /// Every name that this role looks for, with nothing set.
    fn names(self) -> BTreeSet<String> {
        let env = Watched::default();
        // What is required and missing is no news.
        let _ = self.read(&env);
        env.seen().asked
    }

    /// What it does with these variables, and what is wrong with them.
    fn look(self, variables: MapEnv) -> (Seen, Option<ConfigErrors>) {
        let env = Watched::new(variables);
        let errors = self.read(&env).err();
        (env.seen(), errors)
    }
}

/// The roles for which something is set that no other role reads; without such, all that read anything here.
fn roles_in(unit: &Unit) -> Vec<RoleName> {
    let all = RoleName::value_variants();
    let names: Vec<_> = all.iter().map(|role| (*role, role.names())).collect();
    let sets = |role: RoleName, alone: bool| {
        unit.variables.keys().any(|name| {
            let reads = |of: RoleName| {
                names
                    .iter()
                    .any(|(role, names)| *role == of && names.contains(name))
            };
            let others = all.iter().any(|other| *other != role && reads(*other));
            reads(role) && !(alone && others)
        })
    };
    let alone: Vec<_> = all
        .iter()
        .copied()
        .filter(|role| sets(*role, true))
        .collect();
    if alone.is_empty() {
        all.iter()
            .copied()
            .filter(|role| sets(*role, false))
            .collect()
    } else {
        alone
    }
}
