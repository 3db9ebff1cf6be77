//! The container engine, and how applications are held: which profile, within which limits, and what of the network they reach.

use std::net::Ipv4Addr;

use chassis::env::{Env, Reader};

use super::{GIB, Machine, bytes};
use crate::docker::network::Subnet;
use crate::docker::{Limits, Profile};

/// What applications reach of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Egress {
    /// The internet; never this host, its local networks, or other tasks.
    Internet,
    /// Nothing at all.
    None,
}

/// Where the packet rules stand that close the host and the local networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RulesForm {
    /// On the host where the worker may put them there, otherwise inside the containers' network namespaces.
    Auto,
    /// On the host.
    Host,
    /// Inside the containers' network namespaces.
    Namespace,
    /// Nowhere: applications reach the host and the local networks.
    Off,
}

/// The container engine, and how applications are held.
#[derive(Debug, Clone)]
pub struct Containers {
    /// The container engine's address, where it is not the usual one.
    pub docker_host: Option<String>,
    /// How tightly applications are held.
    pub profile: Profile,
    /// What one application may use.
    pub limits: Limits,
    /// Where the slots' networks take their addresses from.
    pub subnets: Subnet,
    /// What applications reach of the network.
    pub egress: Egress,
    /// Where the packet rules stand.
    pub rules: RulesForm,
    /// Ranges that applications reach although the rules would close them.
    pub open: Vec<Subnet>,
    /// The DNS servers that applications ask; none leaves that to the engine.
    pub resolvers: Vec<Ipv4Addr>,
}

impl Containers {
    pub(super) fn read(read: &mut Reader<'_>, env: &dyn Env, machine: Machine, slots: u32) -> Self {
        let docker_host = env
            .get("DOCKER_HOST")
            .filter(|host| !host.trim().is_empty());
        let profile = read
            .var("WORKERPOOL_WORKER_PROFILE")
            .parsed("default or compat", |text| match text {
                "default" => Some(Profile::Default),
                "compat" => Some(Profile::Compat),
                _ => None,
            })
            .or(Profile::Default);
        let limits = Limits {
            memory: bytes(
                read,
                "WORKERPOOL_WORKER_TASK_MEMORY",
                machine.memory_each(slots),
            ),
            pids: read
                .var("WORKERPOOL_WORKER_TASK_PIDS")
                .number()
                .check("at least 1", |&pids: &u32| pids > 0)
                .or(1024),
            milli_cpus: read
                .var("WORKERPOOL_WORKER_TASK_CPUS")
                .float()
                .check("a number of processors, at least 0.01", |&cpus| {
                    cpus >= 0.01
                })
                .optional()
                .map_or(machine.milli_cpus_each(slots), |cpus| {
                    (cpus * 1000.0) as u64
                }),
            disk: bytes(read, "WORKERPOOL_WORKER_TASK_DISK", 10 * GIB),
            logs: bytes(read, "WORKERPOOL_WORKER_TASK_LOGS", GIB / 4),
        };
        let subnets = read
            .var("WORKERPOOL_WORKER_SUBNETS")
            .parse::<Subnet>("an IPv4 range such as 10.213.0.0/16")
            .check(
                "an IPv4 range with room for every slot's network of 16 addresses",
                move |range| range.slots() >= slots,
            )
            .or(Subnet::DEFAULT);
        let egress = read
            .var("WORKERPOOL_WORKER_EGRESS")
            .parsed("internet or none", |text| match text {
                "internet" => Some(Egress::Internet),
                "none" => Some(Egress::None),
                _ => None,
            })
            .or(Egress::Internet);
        let rules = read
            .var("WORKERPOOL_WORKER_EGRESS_RULES")
            .parsed("auto, host, namespace or off", |text| match text {
                "auto" => Some(RulesForm::Auto),
                "host" => Some(RulesForm::Host),
                "namespace" => Some(RulesForm::Namespace),
                "off" => Some(RulesForm::Off),
                _ => None,
            })
            .or(RulesForm::Auto);
        let open = read
            .var("WORKERPOOL_WORKER_EGRESS_OPEN")
            .parsed(
                "IPv4 ranges such as 192.168.7.0/24, separated by commas",
                |text| all(text, |range| range.parse().ok()),
            )
            .or(Vec::new());
        let resolvers = read
            .var("WORKERPOOL_WORKER_DNS")
            .parsed(
                "IPv4 addresses of DNS servers, separated by commas",
                |text| all(text, |address| address.parse().ok()),
            )
            .or(Vec::new());
        Self {
            docker_host,
            profile,
            limits,
            subnets,
            egress,
            rules,
            open,
            resolvers,
        }
    }
}

/// Every element of a list with commas; none at all when one cannot be read.
fn all<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    text.split(',')
        .map(str::trim)
        .filter(|element| !element.is_empty())
        .map(read)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use crate::config::tests::minimal;

    #[test]
    fn the_network_is_open_to_the_internet_and_closed_by_rules_unless_said_otherwise() {
        let containers = Settings::from_env(&minimal()).unwrap().containers;
        assert_eq!(
            (containers.egress, containers.rules),
            (Egress::Internet, RulesForm::Auto)
        );
        assert!(containers.open.is_empty() && containers.resolvers.is_empty());
        let env = minimal()
            .with("WORKERPOOL_WORKER_EGRESS", "none")
            .with("WORKERPOOL_WORKER_EGRESS_RULES", "namespace")
            .with(
                "WORKERPOOL_WORKER_EGRESS_OPEN",
                "192.168.7.9/24, 10.1.1.1/32",
            )
            .with("WORKERPOOL_WORKER_DNS", "192.168.7.1");
        let containers = Settings::from_env(&env).unwrap().containers;
        assert_eq!(
            (containers.egress, containers.rules),
            (Egress::None, RulesForm::Namespace)
        );
        let open: Vec<_> = containers.open.iter().map(ToString::to_string).collect();
        assert_eq!(open, ["192.168.7.0/24", "10.1.1.1/32"]);
        assert_eq!(containers.resolvers, [Ipv4Addr::new(192, 168, 7, 1)]);
    }

    #[test]
    fn what_cannot_be_a_rule_is_refused_by_its_name() {
        let rows = [
            ("WORKERPOOL_WORKER_EGRESS", "all"),
            ("WORKERPOOL_WORKER_EGRESS_RULES", "some"),
            ("WORKERPOOL_WORKER_EGRESS_OPEN", "10.0.0.0/8,lan"),
            ("WORKERPOOL_WORKER_DNS", "dns.example"),
        ];
        for (name, value) in rows {
            let error = Settings::from_env(&minimal().with(name, value)).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn sizes_are_read_with_and_without_a_unit() {
        let env = minimal()
            .with("WORKERPOOL_WORKER_TASK_MEMORY", "512m")
            .with("WORKERPOOL_WORKER_TASK_DISK", "4096");
        let limits = Settings::from_env(&env).unwrap().containers.limits;
        assert_eq!((limits.memory, limits.disk), (512 << 20, 4096));
    }
}
