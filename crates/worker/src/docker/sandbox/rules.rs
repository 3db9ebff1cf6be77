//! What is open and what is closed to an application, as rules (spec `worker.md` S6). The internet and the DNS servers are open; the
//! host, its local networks, link-local and metadata addresses, other tasks, and all of IPv6, which our networks do not have, are
//! closed. The same in both forms: on the host, where packets come in by a slot's bridge, or inside the namespace, where they go out.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::nft::{Chain, Hook, Match, Rule, Verdict};
use crate::docker::network::Subnet;

/// Ranges that are not the internet: this network, private, shared by carriers, loopback, link-local with the metadata services, for
/// protocols, for documentation, for benchmarks, multicast and reserved with broadcast. Last the address behind which a large cloud
/// keeps its metadata.
const CLOSED: [(Ipv4Addr, u8); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
    (Ipv4Addr::new(168, 63, 129, 16), 32),
];

const UDP: u8 = 17;
const TCP: u8 = 6;
const DNS: u16 = 53;

/// What is particular to this machine and its operator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    /// Servers whose DNS port is open wherever they are.
    pub(super) resolvers: Vec<Ipv4Addr>,
    /// Ranges that the operator opened.
    pub(super) open: Vec<Subnet>,
    /// Ranges that are closed beside the usual ones: the host's own addresses and the networks it is on, the slots' range.
    pub(super) closed: Vec<Subnet>,
}

impl Plan {
    /// The rules on the host, for packets that come in by devices whose names begin with `bridges`.
    pub(super) fn on_host(&self, bridges: &str) -> Vec<Chain> {
        let from = || vec![Match::FromDevices(bridges.to_owned())];
        let rule = |then| Rule { when: from(), then };
        vec![
            refuse(),
            self.exceptions(),
            self.ranges(),
            Chain {
                name: "input",
                hook: Some(Hook::Input),
                rules: vec![rule(Verdict::Jump("exceptions")), rule(REFUSE)],
            },
            Chain {
                name: "forward",
                hook: Some(Hook::Forward),
                rules: vec![
                    rule(Verdict::Jump("exceptions")),
                    rule(Verdict::Jump("ranges")),
                ],
            },
        ]
    }

    /// The rules inside an application's network namespace. Its loopback is its own, and there the engine's DNS answers.
    pub(super) fn inside(&self) -> Vec<Chain> {
        let always = |then| Rule {
            when: Vec::new(),
            then,
        };
        vec![
            refuse(),
            self.exceptions(),
            self.ranges(),
            Chain {
                name: "output",
                hook: Some(Hook::Output),
                rules: vec![
                    Rule {
                        when: vec![Match::ToDevice("lo")],
                        then: Verdict::Accept,
                    },
                    always(Verdict::Jump("exceptions")),
                    always(Verdict::Jump("ranges")),
                ],
            },
        ]
    }

    /// What is decided before anything else.
    fn exceptions(&self) -> Chain {
        let mut rules = vec![Rule {
            when: vec![Match::NotV4],
            then: Verdict::Drop,
        }];
        for resolver in &self.resolvers {
            for protocol in [UDP, TCP] {
                rules.push(Rule {
                    when: vec![
                        Match::V4,
                        Match::To(*resolver, 32),
                        Match::Port(protocol, DNS),
                    ],
                    then: Verdict::Accept,
                });
            }
        }
        rules.extend(self.open.iter().map(|range| to(*range, Verdict::Accept)));
        Chain {
            name: "exceptions",
            hook: None,
            rules,
        }
    }

    /// What is closed.
    fn ranges(&self) -> Chain {
        let usual = CLOSED
            .iter()
            .map(|&(first, prefix)| Subnet::new(first, prefix));
        let own = self.closed.iter().copied();
        Chain {
            name: "ranges",
            hook: None,
            rules: usual.chain(own).map(|range| to(range, REFUSE)).collect(),
        }
    }
}

const REFUSE: Verdict = Verdict::Jump("refuse");

/// Refuses in the way that the sender's system notices at once: a TCP connection that only a message of the network refuses is tried once
/// more, a second later.
fn refuse() -> Chain {
    Chain {
        name: "refuse",
        hook: None,
        rules: vec![
            Rule {
                when: vec![Match::Protocol(TCP)],
                then: Verdict::Reset,
            },
            Rule {
                when: Vec::new(),
                then: Verdict::Reject,
            },
        ],
    }
}

fn to(range: Subnet, then: Verdict) -> Rule {
    Rule {
        when: vec![Match::V4, Match::To(range.first(), range.prefix())],
        then,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a packet to `address` and `port` by these chains, entered at `hook`.
    fn fate(chains: &[Chain], hook: Hook, address: Ipv4Addr, udp_port: u16) -> Verdict {
        fn run(chains: &[Chain], chain: &Chain, address: Ipv4Addr, port: u16) -> Option<Verdict> {
            for rule in &chain.rules {
                let holds = rule.when.iter().all(|found| match found {
                    Match::FromDevices(_) | Match::V4 => true,
                    Match::ToDevice(_) | Match::NotV4 | Match::Protocol(_) => false,
                    Match::To(first, prefix) => {
                        Subnet::new(*first, *prefix).overlaps(Subnet::new(address, 32))
                    }
                    Match::Port(protocol, wanted) => *protocol == UDP && *wanted == port,
                });
                match (holds, rule.then) {
                    (false, _) => {}
                    (true, Verdict::Jump(name)) => {
                        let next = chains.iter().find(|chain| chain.name == name).unwrap();
                        if let Some(end) = run(chains, next, address, port) {
                            return Some(end);
                        }
                    }
                    (true, end) => return Some(end),
                }
            }
            None
        }
        let chain = chains
            .iter()
            .find(|chain| chain.hook == Some(hook))
            .unwrap();
        run(chains, chain, address, udp_port).unwrap_or(Verdict::Accept)
    }

    fn plan() -> Plan {
        Plan {
            resolvers: vec![Ipv4Addr::new(192, 168, 1, 1)],
            open: vec!["192.168.7.0/24".parse().unwrap()],
            closed: vec!["203.1.2.3/32".parse().unwrap()],
        }
    }

    #[test]
    fn the_internet_and_dns_are_open_and_all_that_is_local_is_closed() {
        let rows = [
            ("8.8.8.8", 443, Verdict::Accept),
            ("203.1.2.4", 443, Verdict::Accept),
            ("203.1.2.3", 443, Verdict::Reject),
            ("192.168.1.1", 53, Verdict::Accept),
            ("192.168.1.1", 80, Verdict::Reject),
            ("192.168.7.9", 80, Verdict::Accept),
            ("192.168.8.9", 53, Verdict::Reject),
            ("10.213.0.1", 22, Verdict::Reject),
            ("100.64.0.1", 1, Verdict::Reject),
            ("100.100.100.200", 80, Verdict::Reject),
            ("169.254.169.254", 80, Verdict::Reject),
            ("168.63.129.16", 80, Verdict::Reject),
            ("172.31.255.255", 80, Verdict::Reject),
            ("172.32.0.1", 80, Verdict::Accept),
            ("255.255.255.255", 67, Verdict::Reject),
        ];
        for (address, port, expected) in rows {
            let address: Ipv4Addr = address.parse().unwrap();
            let inside = fate(&plan().inside(), Hook::Output, address, port);
            let passing = fate(&plan().on_host("wp"), Hook::Forward, address, port);
            assert_eq!((inside, passing), (expected, expected), "{address}:{port}");
        }
    }

    #[test]
    fn whatever_address_the_host_has_only_its_dns_is_open() {
        let chains = plan().on_host("wp");
        let host = |address: &str, port| fate(&chains, Hook::Input, address.parse().unwrap(), port);
        assert_eq!(host("8.8.4.4", 22), Verdict::Reject);
        assert_eq!(host("192.168.1.1", 22), Verdict::Reject);
        assert_eq!(host("192.168.1.1", 53), Verdict::Accept);
    }

    #[test]
    fn no_rule_on_the_host_concerns_packets_of_other_devices() {
        for chain in plan().on_host("wp3f9a1c-") {
            for rule in chain.rules.iter().filter(|_| chain.hook.is_some()) {
                assert!(
                    rule.when
                        .contains(&Match::FromDevices("wp3f9a1c-".to_owned()))
                );
            }
        }
    }
}
