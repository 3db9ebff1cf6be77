//! Who signs in where (spec `worker.md` §6.1): a registry's credentials go with a pull from exactly that registry, and never anywhere
//! else. They are not logged, and no error carries them.

use bollard::auth::DockerCredentials;
use chassis::env::Secret;

use super::image::registry;

/// The registry of references that name none.
pub const DOCKER_HUB: &str = "docker.io";

/// A name and a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Who signs in.
    pub username: String,
    /// Their password.
    pub password: Secret,
}

/// A registry, and how to sign in to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    address: String,
    credentials: Option<Credentials>,
}

impl Registry {
    /// The registry at `address` (a host, with its port where it has one).
    #[must_use]
    pub fn new(address: &str, credentials: Option<Credentials>) -> Self {
        Self {
            address: canonical(address),
            credentials,
        }
    }
}

/// Every registry that this worker signs in to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registries(Vec<Registry>);

impl Registries {
    /// These; of two with one address the first counts.
    #[must_use]
    pub fn new(registries: Vec<Registry>) -> Self {
        Self(registries)
    }

    /// The credentials for the registry of this image reference.
    #[must_use]
    pub fn credentials(&self, reference: &str) -> Option<&Credentials> {
        let wanted = canonical(registry(reference));
        self.0
            .iter()
            .find(|registry| registry.address == wanted)
            .and_then(|registry| registry.credentials.as_ref())
    }
}

/// The address as it is compared: Docker Hub has two.
fn canonical(address: &str) -> String {
    let address = address.trim().to_ascii_lowercase();
    if address == "index.docker.io" {
        DOCKER_HUB.to_owned()
    } else {
        address
    }
}

/// The credentials as the engine takes them with a pull from `registry`.
pub(super) fn for_engine(credentials: &Credentials, registry: &str) -> DockerCredentials {
    let address = canonical(registry);
    DockerCredentials {
        username: Some(credentials.username.clone()),
        password: Some(credentials.password.reveal().to_owned()),
        serveraddress: Some(if address == DOCKER_HUB {
            "https://index.docker.io/v1/".to_owned()
        } else {
            address
        }),
        ..DockerCredentials::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ann() -> Credentials {
        Credentials {
            username: "ann".to_owned(),
            password: Secret::new("s3cr3t"),
        }
    }

    #[test]
    fn credentials_go_to_their_own_registry_only() {
        let registries = Registries::new(vec![
            Registry::new("registry.example:5000", Some(ann())),
            Registry::new("open.example", None),
        ]);
        let known = |reference| registries.credentials(reference).is_some();
        assert!(known("registry.example:5000/team/app:1"));
        assert!(known("Registry.Example:5000/team/app:1"));
        for other in [
            "registry.example/team/app:1",
            "registry.example:5001/app",
            "registry.example:5000.evil.example/app",
            "evil.example/registry.example:5000/app",
            "open.example/app",
            "team/app",
        ] {
            assert!(!known(other), "{other}");
        }
    }

    #[test]
    fn docker_hub_is_meant_where_no_registry_is_named() {
        let registries = Registries::new(vec![Registry::new(DOCKER_HUB, Some(ann()))]);
        for reference in [
            "app",
            "team/app:1",
            "docker.io/team/app",
            "index.docker.io/app",
        ] {
            assert_eq!(
                registries.credentials(reference),
                Some(&ann()),
                "{reference}"
            );
        }
        let sent = for_engine(&ann(), DOCKER_HUB);
        assert_eq!(
            sent.serveraddress.as_deref(),
            Some("https://index.docker.io/v1/")
        );
    }
}
