//! What an image's reference names, and what the engine has under it (spec `worker.md` §6.1, Q33, Q34). It never pulls.

use alloy_primitives::B256;

use super::{DockerError, Engine};

/// The registry that a reference names: its first segment where that looks like a host.
#[must_use]
pub fn registry(reference: &str) -> &str {
    match reference.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
        _ => "docker.io",
    }
}

/// True when the reference names one content for ever: what is here of it need not be asked for again.
#[must_use]
pub fn is_pinned(reference: &str) -> bool {
    reference.contains("@sha256:")
}

/// The reference with a tag, which the engine needs: without one it would fetch every tag of the repository.
pub(super) fn with_tag(reference: &str) -> String {
    let name = reference.rsplit('/').next().unwrap_or(reference);
    if reference.contains('@') || name.contains(':') {
        reference.to_owned()
    } else {
        format!("{reference}:latest")
    }
}

/// Whether the text can be a reference at all. It is part of a path of the engine's API, and a stranger wrote it.
pub(super) fn is_reference(text: &str) -> bool {
    let ordinary =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '@');
    !text.is_empty()
        && text.chars().all(ordinary)
        && text.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// An image that the engine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The id: the digest of its configuration, `sha256:…`.
    pub id: String,
    /// The bytes it takes.
    pub bytes: u64,
    /// The registries' digests of it, `name@sha256:…`.
    pub digests: Vec<String>,
}

impl Found {
    /// True when this is the image of that digest, be it the registry's or the engine's own.
    #[must_use]
    pub fn has_digest(&self, digest: B256) -> bool {
        let wanted = format!(
            "sha256:{}",
            poco::hex::encode(digest).trim_start_matches("0x")
        );
        let registries = self.digests.iter().filter_map(|name| name.split_once('@'));
        self.id == wanted || registries.into_iter().any(|(_, digest)| digest == wanted)
    }
}

impl Engine {
    /// True when the image is on this machine.
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn has_image(&self, reference: &str) -> Result<bool, DockerError> {
        self.image(reference).await.map(|found| found.is_some())
    }

    /// What the engine has under this reference; `None` when it has nothing.
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn image(&self, reference: &str) -> Result<Option<Found>, DockerError> {
        if !is_reference(reference) {
            return Ok(None);
        }
        match self.docker.inspect_image(&with_tag(reference)).await {
            Ok(found) => Ok(Some(Found {
                id: found.id.unwrap_or_default(),
                bytes: u64::try_from(found.size.unwrap_or(0)).unwrap_or(0),
                digests: found.repo_digests.unwrap_or_default(),
            })),
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
                if no_image { Ok(None) } else { Err(error) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_registry_is_the_first_segment_where_it_looks_like_a_host() {
        assert_eq!(registry("iexechub/python:3"), "docker.io");
        assert_eq!(registry("localhost/app:1"), "localhost");
        assert_eq!(registry("127.0.0.1:5000/app:1"), "127.0.0.1:5000");
        assert_eq!(registry("registry.example/a/b"), "registry.example");
    }

    #[test]
    fn an_image_is_known_by_its_registrys_digest_and_by_its_own() {
        let found = Found {
            id: format!("sha256:{}", "11".repeat(32)),
            bytes: 1,
            digests: vec![format!("registry.example/app@sha256:{}", "22".repeat(32))],
        };
        assert!(found.has_digest(B256::repeat_byte(0x11)));
        assert!(found.has_digest(B256::repeat_byte(0x22)));
        assert!(!found.has_digest(B256::repeat_byte(0x33)));
        assert!(is_pinned("app@sha256:aa") && !is_pinned("app:sha256"));
    }

    #[test]
    fn a_reference_without_tag_asks_for_latest_only() {
        // Q33: the original refused these.
        assert_eq!(with_tag("127.0.0.1:5000/app"), "127.0.0.1:5000/app:latest");
        assert_eq!(with_tag("app:2"), "app:2");
        assert_eq!(with_tag("app@sha256:aa"), "app@sha256:aa");
    }
}
