//! Finds the variable of a setting under its names, and collects what is wrong.

use super::errors::{ConfigError, ConfigErrors, Noted, Warning};
use super::{Env, Role, set_among};

/// Reads the settings of one role.
pub struct Reader<'e> {
    env: &'e dyn Env,
    role: Role,
    errors: Vec<ConfigError>,
    warnings: Vec<Warning>,
}

impl<'e> Reader<'e> {
    /// A reader of `role`'s settings.
    pub fn new(env: &'e dyn Env, role: Role) -> Self {
        Self {
            env,
            role,
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The setting called `name`: the original's name where there is one, else `WORKERPOOL_<ROLE>_<NAME>`.
    pub fn var(&mut self, name: &'static str) -> Var<'_, 'e> {
        Var {
            reader: self,
            name,
            property: None,
            older: Vec::new(),
            parts: None,
        }
    }

    /// Notes that `name`, though readable by itself, cannot be used: `expected` begins with "must". For what only several
    /// settings together show.
    pub fn refuse(
        &mut self,
        name: &str,
        value: Option<String>,
        expected: impl Into<String>,
    ) -> Noted {
        self.errors.push(ConfigError {
            name: name.to_owned(),
            value,
            expected: expected.into(),
        });
        Noted(())
    }

    /// Notes which of `names`, each with a reason, are set to something: they change nothing here.
    pub fn ignores(&mut self, names: &[(&'static str, &'static str)]) {
        for (name, reason) in set_among(self.env, names) {
            self.warn(Warning::WithoutEffect { name, reason });
        }
    }

    /// The same for names that other roles read, often from the same environment: whoever checks settings is told, and nothing is logged.
    pub fn leaves_to_others(&self, names: &[(&'static str, &'static str)]) {
        for (name, reason) in set_among(self.env, names) {
            self.env.told(&Warning::WithoutEffect { name, reason });
        }
    }

    fn warn(&mut self, warning: Warning) {
        self.env.told(&warning);
        self.warnings.push(warning);
    }

    /// What was warned of so far.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The settings that `build` makes of what was read, when nothing was wrong. Logs the warnings.
    ///
    /// # Errors
    /// All that was wrong.
    pub fn finish<T>(self, build: impl FnOnce() -> Result<T, Noted>) -> Result<T, ConfigErrors> {
        for warning in &self.warnings {
            tracing::warn!(role = self.role.name(), "{warning}");
        }
        let failed = ConfigErrors {
            role: self.role.name(),
            errors: self.errors,
        };
        if !failed.errors.is_empty() {
            return Err(failed);
        }
        build().map_err(|Noted(())| failed)
    }

    pub(super) const fn env(&self) -> &'e dyn Env {
        self.env
    }

    fn set(&self, name: &str) -> Option<Found> {
        let text = self.env.get(name)?;
        Some(Found {
            name: name.to_owned(),
            text,
        })
    }

    pub(super) fn note(&mut self, error: ConfigError) {
        self.errors.push(error);
    }
}

/// A value and the variable it was found in.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) text: String,
}

/// One setting and the names it may have. Ends with the kind of its value: [`port`](Self::port), [`url`](Self::url), ….
pub struct Var<'r, 'e> {
    pub(super) reader: &'r mut Reader<'e>,
    pub(super) name: &'static str,
    property: Option<&'static str>,
    older: Vec<&'static str>,
    parts: Option<(&'static str, &'static str, &'static str, u16)>,
}

impl Var<'_, '_> {
    /// The original's property, whose generic form is read too: `chain.node-address` is `CHAIN_NODEADDRESS`.
    #[must_use]
    pub fn property(mut self, property: &'static str) -> Self {
        self.property = Some(property);
        self
    }

    /// An older name; it wins over those given later.
    #[must_use]
    pub fn was(mut self, older: &'static str) -> Self {
        self.older.push(older);
        self
    }

    /// The older three names of a URL, `<prefix>_PROTOCOL`, `<prefix>_HOST` and `<prefix>_PORT`, and what each is when it is
    /// not set (spec scheduler-api §9).
    #[must_use]
    pub fn was_parts(
        mut self,
        prefix: &'static str,
        protocol: &'static str,
        host: &'static str,
        port: u16,
    ) -> Self {
        self.parts = Some((prefix, protocol, host, port));
        self
    }

    /// The value under the name that wins.
    pub(super) fn find(&mut self, empty_counts: bool) -> Option<Found> {
        let own = self.reader.role.own_name(self.name);
        let generic = self.property.map(generic_form);
        let current = [Some(own.as_str()), generic.as_deref(), Some(self.name)];
        let counts = |found: &Found| empty_counts || !found.text.trim().is_empty();
        let current = current
            .into_iter()
            .flatten()
            .find_map(|name| self.reader.set(name).filter(counts));
        if current.is_some() {
            return current;
        }
        let older = self
            .older
            .iter()
            .find_map(|name| self.reader.set(name).filter(counts));
        if let Some(found) = older {
            self.warn(found.name.clone());
            return Some(found);
        }
        self.built_of_parts()
    }

    fn built_of_parts(&mut self) -> Option<Found> {
        let (prefix, protocol, host, port) = self.parts?;
        let names = ["PROTOCOL", "HOST", "PORT"].map(|part| format!("{prefix}_{part}"));
        let given = names.each_ref().map(|name| {
            self.reader
                .set(name)
                .filter(|found| !found.text.trim().is_empty())
        });
        let set: Vec<_> = given
            .iter()
            .flatten()
            .map(|found| found.name.clone())
            .collect();
        if set.is_empty() {
            return None;
        }
        let [own_protocol, own_host, own_port] = given
            .each_ref()
            .map(|found| found.as_ref().map(|found| found.text.trim().to_owned()));
        // The port alone may be the service's own setting, which is no older name.
        if own_protocol.is_some() || own_host.is_some() {
            self.warn(set.join(", "));
        }
        let text = format!(
            "{}://{}:{}",
            own_protocol.as_deref().unwrap_or(protocol),
            own_host.as_deref().unwrap_or(host),
            own_port.unwrap_or_else(|| port.to_string())
        );
        Some(Found {
            name: set.join(", "),
            text,
        })
    }

    fn warn(&mut self, older: String) {
        let name = self.name.to_owned();
        self.reader.warn(Warning::Older { older, name });
    }

    pub(super) fn file_of(&self, name: &str) -> Option<Found> {
        self.reader
            .set(name)
            .filter(|found| !found.text.trim().is_empty())
    }
}

/// Upper case, dots to underscores, dashes away, as the original's framework does it.
fn generic_form(property: &'static str) -> String {
    property
        .chars()
        .filter(|character| *character != '-')
        .map(|character| match character {
            '.' | '[' => '_',
            other => other.to_ascii_uppercase(),
        })
        .filter(|character| *character != ']')
        .collect()
}
