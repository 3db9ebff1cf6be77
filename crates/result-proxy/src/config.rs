//! The proxy's settings, from the environment (spec result-proxy §9). Reads and checks; opens nothing.
//!
//! The original's gas, block time and side-chain settings have no use here: the proxy only reads the chain, and the views
//! that it reads are the same on every network.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use alloy_primitives::{Address, address};
use chassis::env::{ConfigErrors, Env, Reader, Role};
use chassis::{Front, FrontNames};
use url::Url;

use crate::archive::Limits;

const DEFAULT_PORT: u16 = 13200;
const DEFAULT_CHAIN_ID: u64 = 134;
const DEFAULT_HUB: Address = address!("3eca1B216A7DF1C7689aEb259fFB83ADFB894E7f");
const DEFAULT_NODE: &str = "https://bellecour.iex.ec";
const DEFAULT_MAX_UPLOAD: u64 = 256 << 20;
const DEFAULT_MAX_UNPACKED: u64 = 4 << 30;
const DEFAULT_MAX_ENTRIES: usize = 100_000;

const FRONT: FrontNames = FrontNames {
    certificate: "WORKERPOOL_RESULT_PROXY_TLS_CERTIFICATE",
    key: "WORKERPOOL_RESULT_PROXY_TLS_KEY",
    forward_headers: "WORKERPOOL_RESULT_PROXY_FORWARD_HEADERS",
};

const DATABASE: &str = "data is kept in the folder WORKERPOOL_RESULT_PROXY_DATA_DIR, and results in a MongoDB are not found here";
const UPLOADS: &str = "uploads are limited by WORKERPOOL_RESULT_PROXY_MAX_UPLOAD, in the original too by nothing that this sets";
const READS_ONLY: &str = "the proxy only reads the chain";

/// Names of the original that mean nothing here, and why.
const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("MONGO_HOST", DATABASE),
    ("MONGO_PORT", DATABASE),
    ("SPRING_DATA_MONGODB_HOST", DATABASE),
    ("SPRING_DATA_MONGODB_PORT", DATABASE),
    ("SPRING_DATA_MONGODB_DATABASE", DATABASE),
    ("SPRING_SERVLET_MULTIPART_MAX_FILE_SIZE", UPLOADS),
    ("SPRING_SERVLET_MULTIPART_MAX_REQUEST_SIZE", UPLOADS),
];

/// Names that the scheduler and the config server read.
const OF_OTHERS: &[(&str, &str)] = &[
    ("IEXEC_GAS_PRICE_MULTIPLIER", READS_ONLY),
    ("IEXEC_GAS_PRICE_CAP", READS_ONLY),
    ("IEXEC_BLOCK_TIME", READS_ONLY),
    ("IEXEC_IS_SIDECHAIN", READS_ONLY),
];

/// Checked settings of a result proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where it listens; port 0 takes any free one.
    pub listen: SocketAddr,
    /// With which certificate, and behind what.
    pub front: Front,
    /// The folder for the database and the archives; made if missing.
    pub data: PathBuf,
    /// The file with the key that signs tokens; made if missing.
    pub jwt_key: PathBuf,
    /// The chain that the nodes must be on.
    pub chain_id: u64,
    /// Nodes to read the chain from; the next is asked when one does not answer.
    pub nodes: Vec<Url>,
    /// The hub contract.
    pub hub: Address,
    /// Where clients reach this proxy, if that differs from where it listens.
    pub public_url: Option<Url>,
    /// Which of `health`, `info` and `prometheus` are shown under `/actuator`; `*` is all of them.
    pub exposed: Vec<String>,
    /// Most bytes of an archive as uploaded, decoded from its JSON.
    pub max_upload: u64,
    /// What an archive may hold once unpacked.
    pub limits: Limits,
    /// The workerpools whose tasks are served; all of them when none is named.
    pub pools: BTreeSet<Address>,
    /// How old a token becomes before another is given; for ever when none.
    pub token_age: Option<Duration>,
}

impl Settings {
    /// Reads all settings.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn from_env(env: &dyn Env) -> Result<Self, ConfigErrors> {
        let mut read = Reader::new(env, Role::ResultProxy);
        read.ignores(WITHOUT_EFFECT);
        read.leaves_to_others(OF_OTHERS);
        let host = read
            .var("WORKERPOOL_RESULT_PROXY_HOST")
            .parse::<IpAddr>("an IP address to listen on")
            .or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let port = read
            .var("IEXEC_RESULT_PROXY_PORT")
            .property("server.port")
            .port()
            .or(DEFAULT_PORT);
        let front = Front::read(&mut read, FRONT);
        let data = read
            .var("WORKERPOOL_RESULT_PROXY_DATA_DIR")
            .path()
            .or(PathBuf::from("/data"));
        let jwt_key = read
            .var("JWT_KEYPATH")
            .property("jwt.key-path")
            .path()
            .or(data.join("jwt-sign.key"));
        let chain_id = read
            .var("IEXEC_CHAIN_ID")
            .property("chain.id")
            .number()
            .check("a whole number greater than 0", |id| *id > 0)
            .or(DEFAULT_CHAIN_ID);
        let nodes = read
            .var("IEXEC_BLOCKCHAIN_NODE_ADDRESS")
            .property("chain.node-address")
            .was("IEXEC_PRIVATE_CHAIN_ADDRESS")
            .urls()
            .or_text(DEFAULT_NODE);
        let hub = read
            .var("IEXEC_HUB_ADDRESS")
            .property("chain.hub-address")
            .address()
            .check("the hub's address, not zero", |hub| !hub.is_zero())
            .or(DEFAULT_HUB);
        let public_url = read
            .var("WORKERPOOL_RESULT_PROXY_PUBLIC_URL")
            .url()
            .optional();
        let name = "MANAGEMENT_ENDPOINTS_WEB_EXPOSURE_INCLUDE";
        let exposed = chassis::actuator::shown(&mut read, name, &["health"]);
        let max_upload = read
            .var("WORKERPOOL_RESULT_PROXY_MAX_UPLOAD")
            .number()
            .check("a number of bytes greater than 0", |bytes| *bytes > 0)
            .or(DEFAULT_MAX_UPLOAD);
        let unpacked = read
            .var("WORKERPOOL_RESULT_PROXY_MAX_UNPACKED")
            .number()
            .check("a number of bytes greater than 0", |bytes| *bytes > 0)
            .or(DEFAULT_MAX_UNPACKED);
        let entries = read
            .var("WORKERPOOL_RESULT_PROXY_MAX_ENTRIES")
            .number()
            .check("a number greater than 0", |entries| *entries > 0)
            .or(DEFAULT_MAX_ENTRIES);
        let pools = read
            .var("WORKERPOOL_RESULT_PROXY_WORKERPOOLS")
            .parsed(
                "addresses of workerpools separated by commas, each 0x and 40 hex digits",
                addresses,
            )
            .or(BTreeSet::new());
        let token_age = read
            .var("WORKERPOOL_RESULT_PROXY_TOKEN_AGE")
            .duration()
            .check("a duration of a minute or more, such as 30d", |age| {
                age.as_secs() >= 60
            })
            .optional();
        refuse_ipfs_node(&mut read);
        read.finish(|| {
            Ok(Self {
                listen: SocketAddr::new(host, port),
                front,
                data,
                jwt_key,
                chain_id,
                nodes: nodes?,
                hub,
                public_url,
                exposed,
                max_upload,
                limits: Limits { entries, unpacked },
                pools,
                token_age,
            })
        })
    }
}

fn addresses(text: &str) -> Option<BTreeSet<Address>> {
    text.split(',')
        .map(str::trim)
        .filter(|one| !one.is_empty())
        .map(|one| poco::hex::address(one).ok())
        .collect()
}

/// An IPFS node of the original's setting would hold archives that are not found here. Passing over it silently would hide
/// that from the operator.
fn refuse_ipfs_node(read: &mut Reader<'_>) {
    let node = read
        .var("IEXEC_IPFS_URL")
        .property("ipfs.url")
        .was_parts("IEXEC_IPFS", "http", "127.0.0.1", 5001)
        .text()
        .optional();
    if let Some(url) = node {
        let expected = "must not be set: storing on an IPFS node is not supported by this version, which keeps archives in WORKERPOOL_RESULT_PROXY_DATA_DIR and serves them at /ipfs/<cid>";
        read.refuse("IEXEC_IPFS_URL", Some(format!("{url:?}")), expected);
    }
}

#[cfg(test)]
mod tests {
    use chassis::env::MapEnv;

    use super::*;

    #[test]
    fn without_any_variable_the_defaults_of_the_original_hold() {
        let settings = Settings::from_env(&MapEnv::default()).unwrap();
        assert_eq!(settings.listen, "0.0.0.0:13200".parse().unwrap());
        assert_eq!(settings.data, PathBuf::from("/data"));
        assert_eq!(settings.jwt_key, PathBuf::from("/data/jwt-sign.key"));
        assert_eq!(settings.chain_id, 134);
        assert_eq!(
            settings.nodes,
            [Url::parse("https://bellecour.iex.ec").unwrap()]
        );
        assert_eq!(settings.hub, DEFAULT_HUB);
        assert_eq!(settings.public_url, None);
        assert_eq!(settings.exposed, ["health"]);
    }

    #[test]
    fn every_name_is_read() {
        let env = MapEnv::from([
            ("WORKERPOOL_RESULT_PROXY_HOST", "127.0.0.1"),
            ("IEXEC_RESULT_PROXY_PORT", "0"),
            ("WORKERPOOL_RESULT_PROXY_DATA_DIR", "/somewhere"),
            ("IEXEC_CHAIN_ID", "65535"),
            (
                "IEXEC_BLOCKCHAIN_NODE_ADDRESS",
                "http://one:8545,http://two:8545",
            ),
            (
                "IEXEC_HUB_ADDRESS",
                "0x87ae2b87b5db23830572988fb1f51242fbc471ce",
            ),
            (
                "WORKERPOOL_RESULT_PROXY_PUBLIC_URL",
                "https://results.example/proxy/",
            ),
            (
                "MANAGEMENT_ENDPOINTS_WEB_EXPOSURE_INCLUDE",
                "health,prometheus",
            ),
            ("WORKERPOOL_RESULT_PROXY_MAX_UPLOAD", "1000"),
            ("WORKERPOOL_RESULT_PROXY_MAX_UNPACKED", "2000"),
            ("WORKERPOOL_RESULT_PROXY_MAX_ENTRIES", "30"),
            (
                "WORKERPOOL_RESULT_PROXY_WORKERPOOLS",
                "0x87ae2b87b5db23830572988fb1f51242fbc471ce, ",
            ),
            ("WORKERPOOL_RESULT_PROXY_TOKEN_AGE", "30d"),
        ]);
        let settings = Settings::from_env(&env).unwrap();
        assert_eq!(
            settings,
            Settings {
                listen: "127.0.0.1:0".parse().unwrap(),
                front: Front::default(),
                data: "/somewhere".into(),
                jwt_key: "/somewhere/jwt-sign.key".into(),
                chain_id: 65535,
                nodes: vec![
                    "http://one:8545".parse().unwrap(),
                    "http://two:8545".parse().unwrap()
                ],
                hub: address!("87ae2b87b5db23830572988fb1f51242fbc471ce"),
                public_url: Some("https://results.example/proxy/".parse().unwrap()),
                exposed: vec!["health".to_owned(), "prometheus".to_owned()],
                max_upload: 1000,
                limits: Limits {
                    entries: 30,
                    unpacked: 2000
                },
                pools: BTreeSet::from([address!("87ae2b87b5db23830572988fb1f51242fbc471ce")]),
                token_age: Some(Duration::from_secs(30 * 86_400)),
            }
        );
        let elsewhere = env.with("JWT_KEYPATH", "/keys/jwt.key");
        assert_eq!(
            Settings::from_env(&elsewhere).unwrap().jwt_key,
            PathBuf::from("/keys/jwt.key")
        );
    }

    #[test]
    fn the_older_name_of_the_node_is_read() {
        let env = MapEnv::from([("IEXEC_PRIVATE_CHAIN_ADDRESS", "http://node:8545")]);
        let settings = Settings::from_env(&env).unwrap();
        assert_eq!(settings.nodes, [Url::parse("http://node:8545").unwrap()]);
    }

    #[test]
    fn an_ipfs_node_is_refused_by_name() {
        for (name, value) in [
            ("IEXEC_IPFS_URL", "http://ipfs:5001"),
            ("IEXEC_IPFS_HOST", "ipfs"),
        ] {
            let error = Settings::from_env(&MapEnv::from([(name, value)]))
                .unwrap_err()
                .to_string();
            let told = "IEXEC_IPFS_URL is \"http://ipfs:5001\"";
            assert!(
                error.contains(told) && error.contains("not supported by this version"),
                "{error}"
            );
        }
        Settings::from_env(&MapEnv::from([("IEXEC_IPFS_URL", "")])).unwrap();
    }

    #[test]
    fn settings_that_services_share_are_accepted() {
        let env = MapEnv::from([
            ("MONGO_HOST", "mongo"),
            ("MONGO_PORT", "13202"),
            ("IEXEC_BLOCK_TIME", "PT5S"),
        ]);
        Settings::from_env(&env).unwrap();
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let env = MapEnv::from([
            ("WORKERPOOL_RESULT_PROXY_HOST", "everywhere"),
            ("IEXEC_RESULT_PROXY_PORT", "70000"),
            ("IEXEC_CHAIN_ID", "0"),
            ("IEXEC_BLOCKCHAIN_NODE_ADDRESS", "ftp://node"),
            (
                "IEXEC_HUB_ADDRESS",
                "0x0000000000000000000000000000000000000000",
            ),
            ("WORKERPOOL_RESULT_PROXY_MAX_UPLOAD", "0"),
            ("IEXEC_IPFS_URL", "http://ipfs:5001"),
        ]);
        let errors = Settings::from_env(&env).unwrap_err();
        assert_eq!(errors.errors.len(), 7, "{errors}");
    }
}
