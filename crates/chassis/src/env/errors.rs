//! What is wrong with the settings of a service, all of it, in words for its operator. Secrets are never shown.

use std::fmt;

/// One setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The variable.
    pub name: String,
    /// What it is set to, or none when it is not set. Secrets are hidden.
    pub value: Option<String>,
    /// What it must be, a clause that begins with "must".
    pub expected: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{} is {value}: {}", self.name, self.expected),
            None => write!(f, "{} is not set: {}", self.name, self.expected),
        }
    }
}

/// All that is wrong, in the order in which it was read. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    /// Whose settings they are.
    pub role: &'static str,
    /// What is wrong.
    pub errors: Vec<ConfigError>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errors.len() {
            1 => write!(f, "a setting of the {} cannot be used", self.role)?,
            count => write!(f, "{count} settings of the {} cannot be used", self.role)?,
        }
        for error in &self.errors {
            write!(f, "\n  {error}")?;
        }
        Ok(())
    }
}

/// A required setting that is missing or wrong, already noted among the errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noted(pub(super) ());

/// What an operator should know of a setting that is not wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// An older name is in use.
    Older {
        /// The names found.
        older: String,
        /// The name to use.
        name: String,
    },
    /// It is set, and changes nothing.
    WithoutEffect {
        /// The variable.
        name: &'static str,
        /// Why.
        reason: &'static str,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Older { older, name } => write!(f, "{older} is an older name: use {name}"),
            Self::WithoutEffect { name, reason } => {
                write!(f, "{name} has no effect here: {reason}")
            }
        }
    }
}
