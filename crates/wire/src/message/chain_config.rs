//! Which chain everybody is on (spec blockchain-adapter B1).

use std::time::Duration;

use alloy_primitives::Address;
use serde::{Deserialize, Serialize, Serializer};

use crate::lenient;

/// Answer of `GET {config server}/config/chain`: exactly these five keys, Java refuses others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublicChainConfig {
    /// The chain's id.
    #[serde(default, deserialize_with = "lenient::number")]
    pub chain_id: u64,
    /// Whether gas costs nothing.
    #[serde(default, deserialize_with = "lenient::boolean")]
    pub sidechain: bool,
    /// The node that workers use unless told otherwise.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub chain_node_url: String,
    /// The PoCo hub. Written with its checksum, as operators write it; read in any case.
    #[serde(
        default,
        serialize_with = "checksummed",
        deserialize_with = "lenient::address"
    )]
    pub iexec_hub_contract_address: Address,
    /// Time between blocks, ISO text; a number of seconds is read too.
    #[serde(default, with = "crate::duration")]
    pub block_time: Duration,
}

fn checksummed<S: Serializer>(address: &Address, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&address.to_checksum(None))
}
