//! The settings of a config server: where it listens, and what it tells about the chain.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use alloy_primitives::Address;
use chassis::actuator;
use chassis::env::{ConfigErrors, Env, Kept, Reader, Role};
use chassis::{Front, FrontNames};
use url::Url;
use wire::message::PublicChainConfig;

/// The variable that sets the port, named where it cannot be bound.
pub const PORT: &str = "IEXEC_CONFIG_SERVER_PORT";

const FRONT: FrontNames = FrontNames {
    certificate: "WORKERPOOL_CONFIG_SERVER_TLS_CERTIFICATE",
    key: "WORKERPOOL_CONFIG_SERVER_TLS_KEY",
    forward_headers: "WORKERPOOL_CONFIG_SERVER_FORWARD_HEADERS",
};

const ADAPTER: &str =
    "the scheduler sends its transactions itself; stop the adapter, or two programs use one wallet";

/// Names of the blockchain adapter, which told the chain to everybody up to 8.x, that mean nothing here.
const WITHOUT_EFFECT: &[(&str, &str)] = &[
    (
        "IEXEC_BLOCKCHAIN_ADAPTER_API_BLOCK_TIME",
        "it was a number of seconds; set IEXEC_BLOCK_TIME to a duration, such as PT5S",
    ),
    ("IEXEC_BLOCKCHAIN_ADAPTER_API_PORT", ADAPTER),
    ("IEXEC_BLOCKCHAIN_ADAPTER_API_USERNAME", ADAPTER),
    ("IEXEC_BLOCKCHAIN_ADAPTER_API_PASSWORD", ADAPTER),
    ("IEXEC_BLOCKCHAIN_ADAPTER_API_MONGO_HOST", ADAPTER),
    ("IEXEC_BLOCKCHAIN_ADAPTER_API_MONGO_PORT", ADAPTER),
    ("IEXEC_BLOCKCHAIN_ADAPTER_API_WALLET_PATH", ADAPTER),
    ("IEXEC_BLOCKCHAIN_ADAPTER_API_WALLET_PASSWORD", ADAPTER),
    ("IEXEC_BLOCKCHAIN_ADAPTER_API_GAS_PRICE_MULTIPLIER", ADAPTER),
    ("IEXEC_BLOCKCHAIN_ADAPTER_API_GAS_PRICE_CAP", ADAPTER),
    (
        "IEXEC_BLOCKCHAIN_ADAPTER_API_MAX_ALLOWED_TX_PER_BLOCK",
        ADAPTER,
    ),
];

/// A config server's settings, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where to listen; port 0 takes any free one.
    pub listen: SocketAddr,
    /// With which certificate, and behind what.
    pub front: Front,
    /// What to tell.
    pub chain: PublicChainConfig,
    /// What `/actuator` shows besides its links.
    pub actuators: Vec<String>,
}

impl Settings {
    /// Reads the settings. The chain has no defaults: a wrong one would be told to everybody.
    ///
    /// # Errors
    /// All that is missing or wrong.
    pub fn from_env(env: &dyn Env) -> Result<Self, ConfigErrors> {
        let mut read = Reader::new(env, Role::ConfigServer);
        read.ignores(WITHOUT_EFFECT);
        let port = read.var(PORT).property("server.port").port().or(8888);
        let host = read
            .var("WORKERPOOL_CONFIG_SERVER_HOST")
            .parse("an IP address")
            .or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let front = Front::read(&mut read, FRONT);
        let chain_id = read
            .var("IEXEC_CHAIN_ID")
            .property("chain.id")
            .was("IEXEC_BLOCKCHAIN_ADAPTER_API_CHAIN_ID")
            .number::<u64>()
            .check("the chain's id, 1 or more", |id| *id > 0)
            .required();
        let sidechain = read
            .var("IEXEC_IS_SIDECHAIN")
            .property("chain.sidechain")
            .was("IEXEC_BLOCKCHAIN_ADAPTER_API_IS_SIDECHAIN")
            .boolean()
            .required();
        let node = read
            .var("IEXEC_BLOCKCHAIN_NODE_ADDRESS")
            .property("chain.node-address")
            .was("IEXEC_BLOCKCHAIN_ADAPTER_API_NODE_ADDRESS")
            .was("IEXEC_PRIVATE_CHAIN_ADDRESS")
            .url()
            .kept()
            .required();
        let hub = read
            .var("IEXEC_HUB_ADDRESS")
            .property("chain.hub-address")
            .was("IEXEC_BLOCKCHAIN_ADAPTER_API_HUB_ADDRESS")
            .address()
            .check("the address of the PoCo hub, not zero", |hub| {
                *hub != Address::ZERO
            })
            .required();
        let block_time = read
            .var("IEXEC_BLOCK_TIME")
            .property("chain.block-time")
            .duration()
            // The bounds that schedulers enforce (spec blockchain-adapter B1).
            .check("a duration of 100 ms to 20 s, such as PT5S", |time| {
                (Duration::from_millis(100)..=Duration::from_secs(20)).contains(time)
            })
            .or(Duration::from_secs(5));
        let actuators = actuator::shown(
            &mut read,
            "WORKERPOOL_CONFIG_SERVER_MANAGEMENT_ACTUATORS",
            &actuator::USUAL,
        );
        read.finish(|| {
            let node: Kept<Url> = node?;
            let chain = PublicChainConfig {
                chain_id: chain_id?,
                sidechain: sidechain?,
                chain_node_url: node.text,
                iexec_hub_contract_address: hub?,
                block_time,
            };
            Ok(Self {
                listen: SocketAddr::new(host, port),
                front,
                chain,
                actuators,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chassis::env::MapEnv;

    const HUB: &str = "0x5FC8d32690cc91D4c39d9d3abcBD16989F875707";

    fn complete() -> MapEnv {
        MapEnv::from([
            ("IEXEC_CHAIN_ID", "65535"),
            ("IEXEC_IS_SIDECHAIN", "false"),
            ("IEXEC_BLOCKCHAIN_NODE_ADDRESS", "http://127.0.0.1:8545"),
            ("IEXEC_HUB_ADDRESS", HUB),
        ])
    }

    #[test]
    fn the_chain_is_told_as_it_is_set() {
        let settings = Settings::from_env(&complete().with("IEXEC_BLOCK_TIME", "PT1S")).unwrap();
        assert_eq!(settings.listen.to_string(), "0.0.0.0:8888");
        assert_eq!(
            settings.chain,
            PublicChainConfig {
                chain_id: 65_535,
                sidechain: false,
                chain_node_url: "http://127.0.0.1:8545".to_owned(),
                iexec_hub_contract_address: HUB.parse().unwrap(),
                block_time: Duration::from_secs(1),
            }
        );
    }

    #[test]
    fn the_port_has_two_names_and_ours_wins() {
        let settings = |env: MapEnv| Settings::from_env(&env).unwrap().listen.port();
        assert_eq!(settings(complete().with(PORT, "1")), 1);
        assert_eq!(
            settings(
                complete()
                    .with(PORT, "1")
                    .with("WORKERPOOL_CONFIG_SERVER_PORT", "2")
            ),
            2
        );
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let env = MapEnv::from([
            ("IEXEC_CHAIN_ID", "0"),
            (
                "IEXEC_HUB_ADDRESS",
                "0x0000000000000000000000000000000000000000",
            ),
            ("IEXEC_BLOCK_TIME", "1m"),
        ]);
        insta::assert_snapshot!(Settings::from_env(&env).unwrap_err(), @r#"
        5 settings of the config-server cannot be used
          IEXEC_CHAIN_ID is "0": must be the chain's id, 1 or more
          IEXEC_IS_SIDECHAIN is not set: must be true or false
          IEXEC_BLOCKCHAIN_NODE_ADDRESS is not set: must be an http:// or https:// URL
          IEXEC_HUB_ADDRESS is "0x0000000000000000000000000000000000000000": must be the address of the PoCo hub, not zero
          IEXEC_BLOCK_TIME is "1m": must be a duration of 100 ms to 20 s, such as PT5S
        "#);
    }
}
