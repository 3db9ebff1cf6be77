//! How images are got and kept: credentials by registry (spec `worker.md` §12, "registries"), how long a pull may take, whether the
//! image must be the one that stands on chain, how much of the disk images may fill.

use std::time::Duration;

use chassis::env::{Reader, Secret};

use super::{GIB, size};
use crate::docker::registries::{Credentials, DOCKER_HUB, Registries, Registry};

/// Names of one registry's three settings: the original's environment variables, and its properties.
type Names = [(&'static str, &'static str); 3];

macro_rules! names {
    ($($index:literal)*) => {
        [$([
            (
                concat!("IEXEC_WORKER_DOCKER_REGISTRY_ADDRESS_", $index),
                concat!("docker.registries[", $index, "].address"),
            ),
            (
                concat!("IEXEC_WORKER_DOCKER_REGISTRY_USERNAME_", $index),
                concat!("docker.registries[", $index, "].username"),
            ),
            (
                concat!("IEXEC_WORKER_DOCKER_REGISTRY_PASSWORD_", $index),
                concat!("docker.registries[", $index, "].password"),
            ),
        ]),*]
    };
}

/// The original names two registries in its environment and takes any number as properties; ten are read here.
const REGISTRIES: [Names; 10] = names!(0 1 2 3 4 5 6 7 8 9);

/// When images are removed that this worker pulled and nobody needs now, those first that were not used for the longest time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watermark {
    /// While more than so many hundredths of the engine's disk are in use.
    Percent(u8),
    /// While the images that this worker pulled take more than so many bytes together.
    Bytes(u64),
    /// Never.
    Off,
}

/// How images are got and kept.
#[derive(Debug, Clone)]
pub struct Images {
    /// The shortest pull timeout.
    pub pull_shortest: Duration,
    /// The longest.
    pub pull_longest: Duration,
    /// A pull of which nothing is heard for so long is stopped.
    pub pull_stall: Duration,
    /// Who signs in where.
    pub registries: Registries,
    /// An image must have the digest that stands on chain.
    pub check_digest: bool,
    /// When images are removed.
    pub watermark: Watermark,
    /// While all slots are busy, images of new deals are pulled ahead.
    pub prefetch: bool,
}

impl Images {
    pub(super) fn read(read: &mut Reader<'_>) -> Self {
        let registries = Registries::new(
            REGISTRIES
                .iter()
                .enumerate()
                .filter_map(|(index, names)| registry(read, index, names))
                .collect(),
        );
        let pull_shortest = read
            .var("IEXEC_WORKER_DOCKER_IMAGE_MIN_PULL_TIMEOUT")
            .property("docker.image.pull-timeout.min")
            .duration()
            .or(Duration::from_secs(300));
        let pull_longest = read
            .var("IEXEC_WORKER_DOCKER_IMAGE_MAX_PULL_TIMEOUT")
            .property("docker.image.pull-timeout.max")
            .duration()
            .check("a duration of a minute or more, such as PT30M", |longest| {
                longest.as_secs() >= 60
            })
            .or(Duration::from_secs(1800));
        let pull_stall = read
            .var("WORKERPOOL_WORKER_PULL_STALL")
            .duration()
            .check("a duration of a second or more, such as PT5M", |stall| {
                stall.as_secs() >= 1
            })
            .or(Duration::from_secs(300));
        let check_digest = read
            .var("WORKERPOOL_WORKER_CHECK_IMAGE_DIGEST")
            .boolean()
            .or(false);
        let watermark = read
            .var("WORKERPOOL_WORKER_IMAGES_WATERMARK")
            .parsed(
                "a part of the disk such as 80%, a number of bytes such as 50g, or off",
                watermark,
            )
            .or(Watermark::Percent(80));
        let prefetch = read.var("WORKERPOOL_WORKER_PREFETCH").boolean().or(true);
        Self {
            pull_shortest,
            pull_longest,
            pull_stall,
            registries,
            check_digest,
            watermark,
            prefetch,
        }
    }
}

/// The registry of this number, where anything is said about it.
fn registry(read: &mut Reader<'_>, index: usize, names: &Names) -> Option<Registry> {
    let [(address, address_property), user, password] = *names;
    let (user_name, password_name) = (user.0, password.0);
    let found_address = read
        .var(address)
        .property(address_property)
        .text()
        .check(
            "a registry's host, with its port where it has one, such as registry.example:5000",
            |address| {
                !address.is_empty() && !address.contains(['/', '@', ' ']) && !address.contains("//")
            },
        )
        .optional();
    let user = read.var(user.0).property(user.1).text().optional();
    let password = read
        .var(password.0)
        .property(password.1)
        .secret()
        .optional();
    // What is blank counts as not set, as in the original.
    let password = password.filter(|password: &Secret| !password.reveal().trim().is_empty());
    let credentials = match (user, password) {
        (Some(username), Some(password)) => Some(Credentials { username, password }),
        (None, None) => None,
        (Some(_), None) => {
            read.refuse(
                password_name,
                None,
                format!("must be set, since {user_name} is"),
            );
            return None;
        }
        (None, Some(_)) => {
            read.refuse(
                user_name,
                None,
                format!("must be set, since {password_name} is"),
            );
            return None;
        }
    };
    let known = found_address.is_some();
    let address = match found_address {
        Some(address) => address,
        None if index == 0 => DOCKER_HUB.to_owned(),
        None if credentials.is_some() => {
            read.refuse(address, None, format!("must be set, since {user_name} is"));
            return None;
        }
        None => return None,
    };
    (known || credentials.is_some()).then(|| Registry::new(&address, credentials))
}

fn watermark(text: &str) -> Option<Watermark> {
    if text == "off" {
        return Some(Watermark::Off);
    }
    match text.strip_suffix('%') {
        Some(percent) => percent
            .trim()
            .parse()
            .ok()
            .filter(|percent| (1..100).contains(percent))
            .map(Watermark::Percent),
        None => size(text).map(Watermark::Bytes),
    }
}

/// How many bytes of images are kept where the engine's disk cannot be seen from here.
pub(crate) const UNSEEN_DISK_BYTES: u64 = 50 * GIB;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use crate::config::tests::minimal;

    #[test]
    fn registries_are_read_by_the_originals_indexed_names_and_its_properties() {
        let env = minimal()
            .with("IEXEC_WORKER_DOCKER_REGISTRY_USERNAME_0", "hub")
            .with("IEXEC_WORKER_DOCKER_REGISTRY_PASSWORD_0", "secret0")
            .with(
                "IEXEC_WORKER_DOCKER_REGISTRY_ADDRESS_1",
                "registry.example:5000",
            )
            .with("IEXEC_WORKER_DOCKER_REGISTRY_USERNAME_1", "ann")
            .with("IEXEC_WORKER_DOCKER_REGISTRY_PASSWORD_1", "secret1")
            .with("DOCKER_REGISTRIES_2_ADDRESS", "third.example")
            .with("DOCKER_REGISTRIES_2_USERNAME", "bob")
            .with("DOCKER_REGISTRIES_2_PASSWORD", "secret2");
        let images = Settings::from_env(&env).unwrap().images;
        let user = |reference: &str| {
            images
                .registries
                .credentials(reference)
                .map(|found| found.username.clone())
        };
        assert_eq!(user("iexechub/app:1").as_deref(), Some("hub"));
        assert_eq!(user("registry.example:5000/app:1").as_deref(), Some("ann"));
        assert_eq!(user("third.example/app").as_deref(), Some("bob"));
        assert_eq!(user("other.example/app"), None);
        let shown = format!("{images:?}");
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn half_of_a_pair_of_credentials_and_credentials_for_nobody_are_refused() {
        let rows = [
            (
                "IEXEC_WORKER_DOCKER_REGISTRY_USERNAME_0",
                "IEXEC_WORKER_DOCKER_REGISTRY_PASSWORD_0",
            ),
            (
                "IEXEC_WORKER_DOCKER_REGISTRY_PASSWORD_1",
                "IEXEC_WORKER_DOCKER_REGISTRY_USERNAME_1",
            ),
        ];
        for (set, missing) in rows {
            let text = Settings::from_env(&minimal().with(set, "s3cr3t"))
                .unwrap_err()
                .to_string();
            assert!(
                text.contains(set) && text.contains(missing) && !text.contains("s3cr3t"),
                "{text}"
            );
        }
        let nobody = minimal()
            .with("IEXEC_WORKER_DOCKER_REGISTRY_USERNAME_1", "ann")
            .with("IEXEC_WORKER_DOCKER_REGISTRY_PASSWORD_1", "x");
        let text = Settings::from_env(&nobody).unwrap_err().to_string();
        assert!(
            text.contains("IEXEC_WORKER_DOCKER_REGISTRY_ADDRESS_1"),
            "{text}"
        );
        let url = minimal().with(
            "IEXEC_WORKER_DOCKER_REGISTRY_ADDRESS_1",
            "https://a.example/",
        );
        assert!(Settings::from_env(&url).is_err());
    }

    #[test]
    fn the_watermark_is_a_part_of_the_disk_or_a_number_of_bytes() {
        assert_eq!(watermark("85%"), Some(Watermark::Percent(85)));
        assert_eq!(watermark("2g"), Some(Watermark::Bytes(2 << 30)));
        assert_eq!(watermark("off"), Some(Watermark::Off));
        for text in ["0%", "100%", "-1", "many", "%"] {
            assert_eq!(watermark(text), None, "{text}");
        }
    }
}
