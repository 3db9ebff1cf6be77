//! The services of the original's deployments, by their images: whose place a role of ours takes, and which are not needed.

use crate::cli::RoleName;

/// Parts of image names, and the role that takes their place. The longer part counts.
const OURS: [(&str, RoleName); 5] = [
    ("iexec-core", RoleName::Scheduler),
    ("iexec-worker", RoleName::Worker),
    ("iexec-result-proxy", RoleName::ResultProxy),
    ("iexec-blockchain-adapter", RoleName::ConfigServer),
    ("iexec-config-server", RoleName::ConfigServer),
];

const DATABASE: &str = "not needed: each role keeps its data in a folder";
const WEB: &str = "not read by workerpool: keep it as it is";
const NOT_THERE: &str = "workerpool does not take its place yet: keep it as it is";

/// Parts of image names, and what becomes of such a service.
const OTHERS: [(&str, &str); 13] = [
    ("mongo-express", DATABASE),
    ("mongo", DATABASE),
    ("mysql", DATABASE),
    (
        "grafana-proxy",
        "not needed: it read the database, which is no more; `/actuator/prometheus` has the figures",
    ),
    ("grafana", WEB),
    ("nginx-proxy", WEB),
    ("acme-companion", WEB),
    ("traefik", WEB),
    ("ipfs", "not needed: the result proxy keeps results itself"),
    ("iexec-sms", NOT_THERE),
    ("platform-registry", NOT_THERE),
    ("order-publisher", NOT_THERE),
    ("iexec-market", NOT_THERE),
];

/// The role that takes the place of this image.
pub(super) fn role_of(image: &str) -> Option<RoleName> {
    let found = OURS.iter().find(|(part, _)| image.contains(part));
    found.map(|(_, role)| *role)
}

/// What becomes of a service of this image, if no role takes its place.
pub(super) fn instead_of(image: &str) -> Option<&'static str> {
    if role_of(image).is_some() {
        return None;
    }
    let found = OTHERS.iter().find(|(part, _)| image.contains(part));
    found.map(|(_, instead)| *instead)
}
