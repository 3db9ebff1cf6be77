//! Pulling (spec `worker.md` §6.1): for how long, signed in or not, and why an image did not come. A pull that fails is no failure when
//! the image is there afterwards. Which images are kept, and who signs in where, is decided elsewhere.

use std::time::Duration;

use bollard::query_parameters::CreateImageOptions;
use futures_util::StreamExt;

use super::image::{is_reference, registry, with_tag};
use super::registries::{Credentials, for_engine};
use super::{DockerError, Engine};

/// Why an image did not come.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The registry answered, and has no such image.
    #[error(
        "the registry {registry} has no image {image}: {reason}; the app's multiaddr on chain names it"
    )]
    NotFound {
        /// The reference that was asked for.
        image: String,
        /// The registry that was asked.
        registry: String,
        /// The engine's words.
        reason: String,
    },
    /// The registry wants credentials that this worker does not have.
    #[error("the registry {registry} does not give {image} without credentials: {reason}")]
    Credentials {
        /// The reference that was asked for.
        image: String,
        /// The registry that was asked.
        registry: String,
        /// The engine's words.
        reason: String,
    },
    /// Nothing usable answers for the registry.
    #[error(
        "the registry {registry} of {image} is not reachable: {reason}; check this machine's network and the registry's address"
    )]
    Unreachable {
        /// The reference that was asked for.
        image: String,
        /// The registry that was asked.
        registry: String,
        /// The engine's words.
        reason: String,
    },
    /// The image did not come in time.
    #[error("the image {image} did not arrive from {registry} within {} s", .after.as_secs())]
    TimedOut {
        /// The reference that was asked for.
        image: String,
        /// The registry that was asked.
        registry: String,
        /// The time it was given.
        after: Duration,
    },
    /// Nothing was heard of the pull for a while.
    #[error(
        "the pull of {image} from {registry} stood still for {} s and was stopped; WORKERPOOL_WORKER_PULL_STALL says how long it may",
        .after.as_secs()
    )]
    Stalled {
        /// The reference that was asked for.
        image: String,
        /// The registry that was asked.
        registry: String,
        /// How long nothing was heard.
        after: Duration,
    },
    /// The engine itself failed.
    #[error(transparent)]
    Engine(#[from] DockerError),
}

impl PullError {
    /// True when the same pull may work in a moment.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Stalled { .. }
                | Self::Engine(DockerError::NoAnswer { .. })
        )
    }

    /// True when this machine is to blame: another worker would get the image.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        match self {
            Self::Engine(DockerError::Refused { reason, .. }) => {
                let reason = reason.to_lowercase();
                [
                    "no space left",
                    "read-only file system",
                    "input/output error",
                ]
                .iter()
                .any(|words| reason.contains(words))
            }
            Self::Engine(_) => true,
            _ => false,
        }
    }
}

/// How long a pull may take for a task of `max_execution`.
///
/// The original feeds milliseconds into a formula for seconds (Q31); its effective values, 27 to 30 minutes, are kept.
#[must_use]
pub fn pull_timeout(max_execution: Duration, shortest: Duration, longest: Duration) -> Duration {
    let minutes = |duration: Duration| duration.as_secs() / 60;
    let reference = (max_execution.as_millis() / 60) as f64;
    // A task of no length gives minus infinity, which the shortest time replaces.
    let wanted = (10.0 * (reference / 10.0).log10()).round().max(0.0) as u64;
    Duration::from_secs(60 * wanted.max(minutes(shortest)).min(minutes(longest)))
}

impl Engine {
    /// Pulls the image, within `limit`; nothing may be heard of it for `stall` at most. With credentials that are refused it is tried
    /// once more without.
    ///
    /// # Errors
    /// Why it did not come. The image may be there all the same, from an earlier pull: see [`Engine::has_image`].
    pub async fn pull(
        &self,
        reference: &str,
        limit: Duration,
        stall: Duration,
        credentials: Option<&Credentials>,
    ) -> Result<(), PullError> {
        if !is_reference(reference) {
            return Err(PullError::NotFound {
                image: format!("{reference:?}"),
                registry: registry(reference).to_owned(),
                reason: "this is not the reference of an image".to_owned(),
            });
        }
        let timed_out = || PullError::TimedOut {
            image: reference.to_owned(),
            registry: registry(reference).to_owned(),
            after: limit,
        };
        let pulling = async {
            let first = self.pull_once(reference, stall, credentials).await;
            match (first, credentials) {
                (Err(refused @ PullError::Credentials { .. }), Some(_)) => {
                    tracing::warn!(
                        registry = registry(reference),
                        "the registry refuses this worker's credentials; the image is asked for without"
                    );
                    let second = self.pull_once(reference, stall, None).await;
                    second.map_err(|_| refused)
                }
                (first, _) => first,
            }
        };
        tokio::time::timeout(limit, pulling)
            .await
            .unwrap_or_else(|_| Err(timed_out()))
    }

    async fn pull_once(
        &self,
        reference: &str,
        stall: Duration,
        credentials: Option<&Credentials>,
    ) -> Result<(), PullError> {
        let credentials =
            credentials.map(|credentials| for_engine(credentials, registry(reference)));
        let options = CreateImageOptions {
            from_image: Some(with_tag(reference)),
            ..CreateImageOptions::default()
        };
        let mut progress =
            std::pin::pin!(self.docker.create_image(Some(options), None, credentials));
        // Leaving the stream hangs up, which tells the engine that nobody waits for this pull any more.
        let stalled = |_| PullError::Stalled {
            image: reference.to_owned(),
            registry: registry(reference).to_owned(),
            after: stall,
        };
        while let Some(step) = tokio::time::timeout(stall, progress.next())
            .await
            .map_err(stalled)?
        {
            // Errors come both as a status and in the middle of a stream that began with 200 (spec devnet.md §16).
            step.map_err(|error| sort(reference, self.error(format!("pull {reference}"), error)))?;
        }
        Ok(())
    }
}

/// Tells the reasons apart by the words of engine and registry: the engine gives no code for them.
fn sort(reference: &str, error: DockerError) -> PullError {
    let DockerError::Refused { reason, status, .. } = &error else {
        return PullError::Engine(error);
    };
    let words = reason.to_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
    let (image, registry, reason) = (
        reference.to_owned(),
        registry(reference).to_owned(),
        reason.clone(),
    );
    let unreachable = [
        "connection refused",
        "no such host",
        "i/o timeout",
        "client.timeout",
        "unreachable",
        "tls handshake",
        "server gave http response",
        "no route to host",
        "context deadline exceeded",
        "connection reset",
        "server misbehaving",
        "unexpected eof",
        ": eof",
        "temporary failure",
        "502 bad gateway",
        "503 service unavailable",
        "x509",
    ];
    if has(&unreachable) {
        PullError::Unreachable {
            image,
            registry,
            reason,
        }
    } else if has(&[
        "unauthorized",
        "incorrect username or password",
        "authentication required",
        "no basic auth credentials",
    ]) {
        PullError::Credentials {
            image,
            registry,
            reason,
        }
    } else if *status == Some(404)
        || has(&[
            "not found",
            "manifest unknown",
            "does not exist",
            "invalid reference",
        ])
    {
        PullError::NotFound {
            image,
            registry,
            reason,
        }
    } else if has(&["denied"]) {
        PullError::Credentials {
            image,
            registry,
            reason,
        }
    } else {
        PullError::Engine(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, reason: &str) -> PullError {
        let error = DockerError::Refused {
            action: "pull x".to_owned(),
            reason: reason.to_owned(),
            status: Some(status),
        };
        sort("registry.example:5000/x:1", error)
    }

    #[test]
    fn an_image_that_is_missing_is_told_from_a_registry_that_is_not_reachable() {
        assert!(matches!(
            said(
                404,
                "manifest for x:1 not found: manifest unknown: manifest unknown"
            ),
            PullError::NotFound { .. }
        ));
        assert!(matches!(
            said(
                500,
                "Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused"
            ),
            PullError::Unreachable { .. }
        ));
        assert!(matches!(
            said(500, "Get x: unauthorized: authentication required"),
            PullError::Credentials { .. }
        ));
        assert!(matches!(
            said(
                404,
                "pull access denied for x, repository does not exist or may require 'docker login'"
            ),
            PullError::NotFound { .. }
        ));
    }

    #[test]
    fn a_full_disk_or_a_silent_engine_is_this_machines_fault_and_says_nothing_about_the_image() {
        let full = said(500, "write /var/lib/docker: no space left on device");
        assert!(matches!(&full, PullError::Engine(_)) && full.is_ours());
        let silent = PullError::Engine(DockerError::NoAnswer {
            host: "unix:///x".to_owned(),
            reason: "connection closed".to_owned(),
        });
        assert!(silent.is_ours() && silent.may_pass());
        assert!(!said(500, "no matching manifest for linux/amd64").is_ours());
        assert!(!said(404, "manifest unknown").is_ours());
    }

    #[test]
    fn the_pull_timeout_is_the_originals_effective_one() {
        // Q31: milliseconds are taken for seconds.
        let minutes = |seconds: u64| {
            let timeout = pull_timeout(
                Duration::from_secs(seconds),
                Duration::from_secs(300),
                Duration::from_secs(1800),
            );
            timeout.as_secs() / 60
        };
        assert_eq!(
            [300, 1_200, 3_600, 10_800, 36_000].map(minutes),
            [27, 30, 30, 30, 30]
        );
        assert_eq!(minutes(0), 5);
    }

    #[test]
    fn the_longest_time_wins_over_the_shortest() {
        let timeout = pull_timeout(
            Duration::from_secs(300),
            Duration::from_secs(3600),
            Duration::from_secs(600),
        );
        assert_eq!(timeout, Duration::from_secs(600));
    }
}
