//! How the process ends: which code, and what the operator reads.

use std::process::ExitCode;

/// Why a role could not start or had to stop.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Settings that cannot be used (exit code 64).
    Configuration(String),
    /// A service that is needed does not answer (exit code 69).
    Unavailable(anyhow::Error),
    /// Everything else (exit code 1).
    Failed(anyhow::Error),
}

impl Failure {
    /// Tells the operator, on standard error, and gives the exit code.
    pub(crate) fn tell(&self) -> ExitCode {
        let (text, code) = match self {
            Self::Configuration(text) => (text.clone(), 64),
            Self::Unavailable(error) => (chain_of(error), 69),
            Self::Failed(error) => (chain_of(error), 1),
        };
        eprintln!("error: {text}");
        ExitCode::from(code)
    }
}

/// An error and its causes, each once.
fn chain_of(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str("\n  because   ");
            text.push_str(&cause);
        }
    }
    text
}

impl From<chassis::env::ConfigErrors> for Failure {
    fn from(errors: chassis::env::ConfigErrors) -> Self {
        Self::Configuration(errors.to_string())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}
