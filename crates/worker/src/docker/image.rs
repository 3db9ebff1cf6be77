//! Getting an application's image (spec `worker.md` §6.1): which reference is asked for, for how long, and why it did not come. A pull
//! that fails is no failure when the image is there afterwards. It never signs in to a registry yet.

use std::time::Duration;

use bollard::query_parameters::CreateImageOptions;
use futures_util::StreamExt;

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
            Self::Unreachable { .. } | Self::Engine(DockerError::NoAnswer { .. })
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

/// The registry that a reference names: its first segment where that looks like a host.
#[must_use]
pub fn registry(reference: &str) -> &str {
    match reference.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
        _ => "docker.io",
    }
}

/// The reference with a tag, which the engine needs: without one it would fetch every tag of the repository.
fn with_tag(reference: &str) -> String {
    let name = reference.rsplit('/').next().unwrap_or(reference);
    if reference.contains('@') || name.contains(':') {
        reference.to_owned()
    } else {
        format!("{reference}:latest")
    }
}

/// Whether the text can be a reference at all. It is part of a path of the engine's API, and a stranger wrote it.
fn is_reference(text: &str) -> bool {
    let ordinary =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '@');
    !text.is_empty()
        && text.chars().all(ordinary)
        && text.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

impl Engine {
    /// True when the image is on this machine.
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn has_image(&self, reference: &str) -> Result<bool, DockerError> {
        if !is_reference(reference) {
            return Ok(false);
        }
        match self.docker.inspect_image(&with_tag(reference)).await {
            Ok(_) => Ok(true),
            Err(error) => {
                let error = self.error(format!("look up the image {reference}"), error);
                // A reference that is not well-formed names no image.
                let no_image = matches!(
                    &error,
                    DockerError::Refused {
                        status: Some(400 | 404),
                        ..
                    }
                );
                if no_image { Ok(false) } else { Err(error) }
            }
        }
    }

    /// Pulls the image, within `limit`.
    ///
    /// # Errors
    /// Why it did not come. The image may be there all the same, from an earlier pull: see [`Engine::has_image`].
    pub async fn pull(&self, reference: &str, limit: Duration) -> Result<(), PullError> {
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
        tokio::time::timeout(limit, self.pull_once(reference))
            .await
            .unwrap_or_else(|_| Err(timed_out()))
    }

    async fn pull_once(&self, reference: &str) -> Result<(), PullError> {
        let options = CreateImageOptions {
            from_image: Some(with_tag(reference)),
            ..CreateImageOptions::default()
        };
        let mut progress = std::pin::pin!(self.docker.create_image(Some(options), None, None));
        while let Some(step) = progress.next().await {
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
    fn a_text_that_cannot_be_a_reference_never_becomes_a_path_of_the_engines_api() {
        for text in [
            "",
            "a b",
            "../containers/x",
            "a?b=c",
            "a/%2e%2e/b",
            "a#b",
            "a//b",
            "a\nb",
        ] {
            assert!(!is_reference(text), "{text:?}");
        }
        for text in ["app", "127.0.0.1:5000/a/b:1.0", "a/b@sha256:aa", "A_b-c"] {
            assert!(is_reference(text), "{text:?}");
        }
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

    #[test]
    fn the_registry_is_the_first_segment_where_it_looks_like_a_host() {
        assert_eq!(registry("iexechub/python:3"), "docker.io");
        assert_eq!(registry("localhost/app:1"), "localhost");
        assert_eq!(registry("127.0.0.1:5000/app:1"), "127.0.0.1:5000");
        assert_eq!(registry("registry.example/a/b"), "registry.example");
    }

    #[test]
    fn a_reference_without_tag_asks_for_latest_only() {
        // Q33: the original refused these.
        assert_eq!(with_tag("127.0.0.1:5000/app"), "127.0.0.1:5000/app:latest");
        assert_eq!(with_tag("app:2"), "app:2");
        assert_eq!(with_tag("app@sha256:aa"), "app@sha256:aa");
    }
}
