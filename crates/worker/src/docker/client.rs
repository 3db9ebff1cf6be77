//! The connection to the container engine, and what can go wrong with it. It never starts an engine.

use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error as Bollard;

/// Where an engine answers when nothing else is said.
pub const DEFAULT_SOCKET: &str = "unix:///var/run/docker.sock";

/// A container engine that answered. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) docker: Docker,
    host: String,
}

/// What went wrong between the worker and its container engine.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// The address is of a kind that this program cannot use.
    #[error(
        "the container engine's address {host} cannot be used: {reason}; set DOCKER_HOST to unix:///path/to/docker.sock"
    )]
    BadAddress {
        /// The address.
        host: String,
        /// Why not.
        reason: String,
    },
    /// Nothing answers.
    #[error(
        "no container engine answers at {host} ({reason}); start one (on Debian: `dockerd`, or `make setup`), let this user open the socket, or set DOCKER_HOST"
    )]
    NoAnswer {
        /// The address.
        host: String,
        /// What was seen.
        reason: String,
    },
    /// The engine refused.
    #[error("the container engine refused to {action}: {reason}")]
    Refused {
        /// What was asked.
        action: String,
        /// The engine's own words.
        reason: String,
        /// The engine's status code, where it gave one.
        status: Option<u16>,
    },
    /// A file or folder beside a container cannot be used.
    #[error("cannot {action} {path}: {source}")]
    Disk {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: std::path::PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl DockerError {
    /// The error for an answer to `action` that the engine gave, or for none.
    pub(crate) fn of(action: impl Into<String>, host: &str, error: Bollard) -> Self {
        match error {
            Bollard::DockerResponseServerError {
                status_code,
                message,
            } => Self::Refused {
                action: action.into(),
                reason: message,
                status: Some(status_code),
            },
            Bollard::DockerStreamError { error } => Self::Refused {
                action: action.into(),
                reason: error,
                status: None,
            },
            Bollard::JsonDataError { message, .. } => Self::Refused {
                action: action.into(),
                reason: format!("its answer cannot be read: {message}"),
                status: None,
            },
            other => Self::NoAnswer {
                host: host.to_owned(),
                reason: other.to_string(),
            },
        }
    }

    /// True when the engine said that the thing does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                status: Some(404),
                ..
            }
        )
    }

    /// True when the engine itself cannot be reached, so that the same call may work later.
    #[must_use]
    pub fn is_no_answer(&self) -> bool {
        matches!(self, Self::NoAnswer { .. })
    }
}

impl Engine {
    /// Connects to the engine at `host` (`unix://…`, `tcp://…`; [`DEFAULT_SOCKET`] when none) and settles on an API version that both know.
    ///
    /// # Errors
    /// The address cannot be used, or nothing answers there.
    pub async fn connect(host: Option<&str>) -> Result<Self, DockerError> {
        let host = host.unwrap_or(DEFAULT_SOCKET).to_owned();
        let bad = |error: Bollard| DockerError::BadAddress {
            host: host.clone(),
            reason: error.to_string(),
        };
        // The time limit is for an answer to begin; waits and logs then stream as long as they must.
        let docker = Docker::connect_with_host(&host)
            .map_err(bad)?
            .with_timeout(Duration::from_secs(120));
        // The engine of Debian 12 refuses a newer version in the path than its own (spec devnet.md §16).
        let negotiated = docker
            .negotiate_version()
            .await
            .map_err(|error| DockerError::of("tell its version", &host, error))?;
        Ok(Self {
            docker: negotiated,
            host,
        })
    }

    /// Where this engine answers.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Asks whether the engine still answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), DockerError> {
        self.docker
            .ping()
            .await
            .map(drop)
            .map_err(|error| self.error("answer a ping", error))
    }

    /// How many processors the engine's machine has.
    ///
    /// # Errors
    /// The engine does not answer, or does not say.
    pub async fn processors(&self) -> Result<u64, DockerError> {
        let info = self.docker.info().await;
        let count = info
            .map_err(|error| self.error("describe its machine", error))?
            .ncpu;
        count
            .and_then(|count| u64::try_from(count).ok())
            .ok_or_else(|| DockerError::Refused {
                action: "describe its machine".to_owned(),
                reason: "it does not say how many processors there are".to_owned(),
                status: None,
            })
    }

    /// The error for what `action` brought.
    pub(crate) fn error(&self, action: impl Into<String>, error: Bollard) -> DockerError {
        DockerError::of(action, &self.host, error)
    }
}
