//! Where the containers' host stands: its own addresses, the networks that it is on, and the DNS servers it asks. Read from files, so
//! that it can be read in the host's place by a helper container on the host's network. It changes nothing.

use std::net::Ipv4Addr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::rules::Plan;
use crate::docker::network::Subnet;

/// A route without gateway to more than so much is no local network.
const WIDEST: u8 = 16;

/// What is around a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Surroundings {
    /// The host's own addresses.
    pub(super) addresses: Vec<Ipv4Addr>,
    /// Networks that it reaches without a gateway.
    pub(super) networks: Vec<Subnet>,
    /// Its DNS servers, but those on its loopback, which no container reaches.
    pub(super) resolvers: Vec<Ipv4Addr>,
}

impl Surroundings {
    /// What is around this process's network namespace.
    pub(super) fn here() -> Self {
        Self::under(Path::new("/"))
    }

    fn under(root: &Path) -> Self {
        let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
        let mut resolvers = Vec::new();
        // The engine takes the second where the first has nothing but the loopback, and its own setting before both.
        for path in ["etc/resolv.conf", "run/systemd/resolve/resolv.conf"] {
            resolvers.extend(nameservers(&read(path)));
        }
        resolvers.extend(engine_dns(&read("etc/docker/daemon.json")));
        resolvers.retain(|address| !address.is_loopback() && !address.is_unspecified());
        resolvers.sort();
        resolvers.dedup();
        let mut addresses = local_addresses(&read("proc/net/fib_trie"));
        addresses.retain(|address| !address.is_loopback());
        addresses.sort();
        addresses.dedup();
        Self {
            addresses,
            networks: networks(&read("proc/net/route")),
            resolvers,
        }
    }

    /// The rules' plan on this host. `resolvers` are those that the operator wants, if any.
    pub(super) fn plan(&self, resolvers: &[Ipv4Addr], open: &[Subnet], slots: Subnet) -> Plan {
        let mut closed = vec![slots];
        closed.extend(
            self.addresses
                .iter()
                .map(|&address| Subnet::new(address, 32)),
        );
        closed.extend(&self.networks);
        Plan {
            resolvers: if resolvers.is_empty() {
                self.resolvers.clone()
            } else {
                resolvers.to_vec()
            },
            open: open.to_vec(),
            closed,
        }
    }
}

/// The servers of a `resolv.conf`.
fn nameservers(text: &str) -> Vec<Ipv4Addr> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .filter_map(|rest| rest.split_whitespace().next()?.parse().ok())
        .collect()
}

/// The servers that the engine's own settings name.
fn engine_dns(text: &str) -> Vec<Ipv4Addr> {
    let settings: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let servers = settings.get("dns").and_then(|dns| dns.as_array());
    servers
        .into_iter()
        .flatten()
        .filter_map(|server| server.as_str()?.parse().ok())
        .collect()
}

/// The addresses that the kernel's routing trie calls local: a line with the address, and below it one with `/32 host LOCAL`.
fn local_addresses(trie: &str) -> Vec<Ipv4Addr> {
    let (mut found, mut last) = (Vec::new(), None::<Ipv4Addr>);
    for line in trie.lines() {
        if let Some((_, address)) = line.split_once("|-- ") {
            last = address.trim().parse().ok();
        } else if line.contains("/32 host LOCAL") {
            found.extend(last);
        }
    }
    found
}

/// The networks of `/proc/net/route` that have no gateway. Its numbers are hexadecimal, in the machine's own order of bytes.
fn networks(table: &str) -> Vec<Subnet> {
    let number = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::from_be);
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let first = number(fields.next()?)?;
            let gateway = number(fields.next()?)?;
            let mask = number(fields.nth(4)?)?;
            let prefix = u8::try_from(mask.leading_ones()).ok()?;
            (gateway == 0 && prefix >= WIDEST).then(|| Subnet::new(Ipv4Addr::from(first), prefix))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_addresses_networks_and_dns_servers_are_found() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(
            "etc/resolv.conf",
            "# own\nnameserver 127.0.0.53\noptions edns0\n",
        );
        write(
            "run/systemd/resolve/resolv.conf",
            "nameserver 192.168.1.1\nnameserver fe80::1\nsearch home\n",
        );
        write(
            "etc/docker/daemon.json",
            r#"{"dns": ["10.0.0.2"], "bip": "x"}"#,
        );
        write(
            "proc/net/fib_trie",
            "Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 192.168.1.9\n        /32 host LOCAL\n     |-- 192.168.1.255\n        /32 link BROADCAST\n",
        );
        write(
            "proc/net/route",
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
             eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
             eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
             tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n",
        );
        let found = Surroundings::under(root.path());
        assert_eq!(found.addresses, [Ipv4Addr::new(192, 168, 1, 9)]);
        let networks: Vec<_> = found.networks.iter().map(ToString::to_string).collect();
        assert_eq!(networks, ["192.168.1.0/24"]);
        assert_eq!(
            found.resolvers,
            [Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(192, 168, 1, 1)]
        );
    }

    #[test]
    fn servers_that_the_operator_names_replace_those_of_the_host() {
        let found = Surroundings {
            resolvers: vec![Ipv4Addr::new(10, 0, 0, 2)],
            addresses: vec![Ipv4Addr::new(203, 1, 2, 3)],
            ..Surroundings::default()
        };
        let own = [Ipv4Addr::new(9, 9, 9, 9)];
        assert_eq!(found.plan(&own, &[], Subnet::DEFAULT).resolvers, own);
        let plan = found.plan(&[], &[], Subnet::DEFAULT);
        assert_eq!(plan.resolvers, found.resolvers);
        assert!(
            plan.closed
                .contains(&Subnet::new(Ipv4Addr::new(203, 1, 2, 3), 32))
        );
        assert!(plan.closed.contains(&Subnet::DEFAULT));
    }
}
