//! One bridge network a slot, made once, in a subnet of ours (spec `devnet.md` §16: the engine's own pools end at 31, and making one
//! costs 100 ms). Two tasks never share a network, and containers on one do not reach each other. What it never does: close the host,
//! the local networks and metadata addresses to the application; that takes packet rules, which [`super::sandbox`] makes. They know a
//! worker's networks by the names of their bridges.

use std::collections::HashMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest};
use serde::{Deserialize, Serialize};

use super::{DockerError, Engine};

/// How many addresses one slot's network has: 2^(32-28).
const SLOT_PREFIX: u8 = 28;
const BRIDGE: &str = "com.docker.network.bridge.name";
/// Which worker a network or a container belongs to.
pub(super) const WORKER_LABEL: &str = "workerpool.worker";

/// A range of addresses in `a.b.c.d/n` form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    first: u32,
    prefix: u8,
}

impl Subnet {
    /// 10.213.0.0/16, a private range that neither engines nor common home routers use.
    pub const DEFAULT: Self = Self {
        first: 0x0ad5_0000,
        prefix: 16,
    };

    /// The range of `prefix` that `address` lies in; a prefix beyond 32 is 32.
    #[must_use]
    pub fn new(address: Ipv4Addr, prefix: u8) -> Self {
        let prefix = prefix.min(32);
        Self {
            first: mask(u32::from(address), prefix),
            prefix,
        }
    }

    /// The first address.
    #[must_use]
    pub fn first(self) -> Ipv4Addr {
        Ipv4Addr::from(self.first)
    }

    /// How many bits all of its addresses have in common.
    #[must_use]
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// True when the two have an address in common.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        let prefix = self.prefix.min(other.prefix);
        mask(self.first, prefix) == mask(other.first, prefix)
    }

    /// How many slot networks fit.
    #[must_use]
    pub fn slots(self) -> u32 {
        1u32.checked_shl(u32::from(SLOT_PREFIX.saturating_sub(self.prefix)))
            .unwrap_or(u32::MAX)
    }

    /// The `n`-th slot network of this range, counted round and round.
    fn slot(self, n: u32) -> Self {
        let step = 1u32 << (32 - u32::from(SLOT_PREFIX));
        Self {
            first: self
                .first
                .wrapping_add((n % self.slots()).wrapping_mul(step)),
            prefix: SLOT_PREFIX,
        }
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.first), self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("expected an IPv4 range such as {}", Self::DEFAULT);
        let (address, prefix) = text.split_once('/').ok_or_else(expected)?;
        let address: Ipv4Addr = address.parse().map_err(|_| expected())?;
        let prefix: u8 = prefix.parse().map_err(|_| expected())?;
        if prefix > 32 {
            return Err(expected());
        }
        Ok(Self::new(address, prefix))
    }
}

impl TryFrom<String> for Subnet {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(range: Subnet) -> Self {
        range.to_string()
    }
}

fn mask(address: u32, prefix: u8) -> u32 {
    address & u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

/// The network's name for one slot of one worker.
#[must_use]
pub fn name(worker: &str, slot: u32) -> String {
    format!("workerpool-{worker}-{slot}")
}

/// What the names of the bridges of one worker's networks begin with: a bridge's name has 15 characters at most, so the worker is in it as
/// a number.
#[must_use]
pub fn bridges(worker: &str) -> String {
    format!("wp{:06x}-", start_of(worker) & 0x00ff_ffff)
}

/// The bridge of one slot of one worker.
#[must_use]
pub fn bridge(worker: &str, slot: u32) -> String {
    format!("{}{slot}", bridges(worker))
}

impl Engine {
    /// Makes sure that the slot's network exists, and says its name.
    ///
    /// # Errors
    /// The engine refused, or every subnet of `range` is taken.
    pub async fn ensure_network(
        &self,
        worker: &str,
        slot: u32,
        range: Subnet,
    ) -> Result<String, DockerError> {
        let name = name(worker, slot);
        match self.docker.inspect_network(&name, None).await {
            Ok(found) => {
                let options = found.options.unwrap_or_default();
                if options.get(BRIDGE) == Some(&bridge(worker, slot)) {
                    return Ok(name);
                }
                // Made by an earlier version: the packet rules would not know it.
                self.remove_network(worker, slot).await?;
            }
            Err(error) => {
                let error = self.error(format!("look up the network {name}"), error);
                if !error.is_not_found() {
                    return Err(error);
                }
            }
        }
        let taken = self.taken_subnets().await?;
        let start = start_of(worker).wrapping_add(slot);
        let mut last = None;
        for n in 0..range.slots() {
            let subnet = range.slot(start.wrapping_add(n));
            if taken.iter().any(|other| other.overlaps(subnet)) {
                continue;
            }
            match self
                .docker
                .create_network(request(&name, worker, slot, subnet))
                .await
            {
                Ok(_) => return Ok(name),
                Err(error) => {
                    let error = self.error(format!("make the network {name} in {subnet}"), error);
                    // Another worker took the same subnet, or made this network, between the look and the call.
                    let raced = matches!(&error, DockerError::Refused { reason, .. } if reason.contains("overlap"));
                    if matches!(
                        &error,
                        DockerError::Refused {
                            status: Some(409),
                            ..
                        }
                    ) {
                        return Ok(name);
                    }
                    if !raced {
                        return Err(error);
                    }
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or_else(|| DockerError::Refused {
            action: format!("make the network {name}"),
            reason: format!("every /{SLOT_PREFIX} of {range} is taken; set WORKERPOOL_WORKER_SUBNETS to a larger range"),
            status: None,
        }))
    }

    async fn taken_subnets(&self) -> Result<Vec<Subnet>, DockerError> {
        let networks = self
            .docker
            .list_networks(None)
            .await
            .map_err(|error| self.error("list its networks", error))?;
        let configs = networks
            .into_iter()
            .filter_map(|network| network.ipam)
            .filter_map(|ipam| ipam.config)
            .flatten();
        Ok(configs
            .filter_map(|config| config.subnet)
            .filter_map(|text| text.parse().ok())
            .collect())
    }

    /// The slots of this worker that have a network.
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn networks(&self, worker: &str) -> Result<Vec<u32>, DockerError> {
        let networks = self.docker.list_networks(None).await;
        let networks = networks.map_err(|error| self.error("list its networks", error))?;
        let prefix = format!("workerpool-{worker}-");
        let slot = |name: String| name.strip_prefix(&prefix)?.parse().ok();
        Ok(networks
            .into_iter()
            .filter(|network| {
                let labels = network.labels.as_ref();
                labels
                    .and_then(|labels| labels.get(WORKER_LABEL))
                    .map(String::as_str)
                    == Some(worker)
            })
            .filter_map(|network| network.name)
            .filter_map(slot)
            .collect())
    }

    /// Removes the slot's network; one that is not there is no error.
    ///
    /// # Errors
    /// The engine refused, for instance because a container is still on it.
    pub async fn remove_network(&self, worker: &str, slot: u32) -> Result<(), DockerError> {
        let name = name(worker, slot);
        match self.docker.remove_network(&name).await {
            Ok(()) => Ok(()),
            Err(error) => {
                let error = self.error(format!("remove the network {name}"), error);
                if error.is_not_found() {
                    Ok(())
                } else {
                    Err(error)
                }
            }
        }
    }
}

fn request(name: &str, worker: &str, slot: u32, subnet: Subnet) -> NetworkCreateRequest {
    let options = [
        (BRIDGE, bridge(worker, slot)),
        ("com.docker.network.bridge.enable_icc", "false".to_owned()),
    ];
    let labels = [(WORKER_LABEL, worker.to_owned())];
    let owned = |pairs: &[(&str, String)]| -> HashMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect()
    };
    NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some("bridge".to_owned()),
        ipam: Some(Ipam {
            config: Some(vec![IpamConfig {
                subnet: Some(subnet.to_string()),
                ..IpamConfig::default()
            }]),
            ..Ipam::default()
        }),
        options: Some(owned(&options)),
        labels: Some(owned(&labels)),
        ..NetworkCreateRequest::default()
    }
}

/// Where a worker begins to look for a free subnet, so that workers of one host seldom try the same.
fn start_of(worker: &str) -> u32 {
    worker.bytes().fold(0x811c_9dc5, |hash: u32, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_into_slots_that_do_not_overlap() {
        let range = Subnet::DEFAULT;
        assert_eq!(range.slots(), 4096);
        assert_eq!(range.slot(0).to_string(), "10.213.0.0/28");
        assert_eq!(range.slot(1).to_string(), "10.213.0.16/28");
        assert_eq!(range.slot(4096).to_string(), "10.213.0.0/28");
        assert!(!range.slot(0).overlaps(range.slot(1)));
        assert!(range.slot(17).overlaps(range));
        assert!(range.overlaps("0.0.0.0/0".parse().unwrap()));
    }

    #[test]
    fn a_bridges_name_fits_and_tells_the_worker() {
        let name = bridge("a-worker-with-quite-a-long-name", 999_999);
        assert!(name.len() <= 15 && name.starts_with(&bridges("a-worker-with-quite-a-long-name")));
        assert_ne!(bridges("ann"), bridges("bob"));
    }

    #[test]
    fn a_range_that_is_none_is_refused() {
        for text in ["10.0.0.0", "10.0.0/8", "10.0.0.0/33", "fd00::/8", ""] {
            assert!(text.parse::<Subnet>().is_err(), "{text}");
        }
        assert_eq!(
            "10.9.8.7/16".parse::<Subnet>().unwrap().to_string(),
            "10.9.0.0/16"
        );
    }
}
