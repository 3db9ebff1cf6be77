//! The rules on the host: one table of our own in the packet filter for each worker, which knows the worker's networks by the names of
//! their bridges. No table of anybody else is read or changed. It costs a task nothing: the rules are there before its container is.

use std::collections::HashSet;
use std::io;
use std::sync::{Mutex, PoisonError};

use super::nft;
use super::rules::Plan;
use super::surroundings::Surroundings;
use crate::config::Containers;
use crate::docker::network;

/// What the names of our tables begin with.
const TABLES: &str = "workerpool-";
/// How many chains a table has.
const CHAINS: u32 = 5;

/// The rules of one worker on this host.
#[derive(Debug)]
pub(super) struct HostRules {
    table: String,
    bridges: String,
    settings: Containers,
    applied: Mutex<Option<Plan>>,
}

impl HostRules {
    pub(super) fn new(worker: &str, settings: &Containers) -> Self {
        let bridges = network::bridges(worker);
        Self {
            table: table_of(&bridges),
            bridges,
            settings: settings.clone(),
            applied: Mutex::default(),
        }
    }

    /// True when this process stands in the network namespace of the engine's bridges.
    pub(super) fn sees(bridge: &str) -> bool {
        std::path::Path::new("/sys/class/net").join(bridge).exists()
    }

    /// Puts the rules in place where they are not there already, or where the host's surroundings changed.
    pub(super) fn ensure(&self) -> io::Result<()> {
        let settings = &self.settings;
        let plan = Surroundings::here().plan(&settings.resolvers, &settings.open, settings.subnets);
        let mut applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
        if applied.as_ref() == Some(&plan) && self.stand()? {
            return Ok(());
        }
        nft::replace(&self.table, &plan.on_host(&self.bridges))?;
        let dns = &plan.resolvers;
        if applied.is_none() {
            tracing::info!(
                table = self.table,
                ?dns,
                "packet rules on this host close it and its local networks to applications"
            );
        } else {
            tracing::debug!(
                table = self.table,
                ?dns,
                "the host's networks or packet rules changed: put in place anew"
            );
        }
        *applied = Some(plan);
        Ok(())
    }

    /// True when our table is there, whole. Somebody may have flushed all tables.
    pub(super) fn stand(&self) -> io::Result<bool> {
        Ok(nft::tables(&self.table)?
            .iter()
            .any(|(name, chains)| *name == self.table && *chains == CHAINS))
    }

    /// Removes the rules.
    pub(super) fn remove(&self) -> io::Result<()> {
        *self.applied.lock().unwrap_or_else(PoisonError::into_inner) = None;
        nft::remove(&self.table)
    }

    /// Removes the tables of workers that have no network here any more: they were killed, and their networks were removed by hand.
    pub(super) fn sweep(&self) -> io::Result<()> {
        let devices: HashSet<String> = std::fs::read_dir("/sys/class/net")?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        for (table, _) in nft::tables(TABLES)? {
            let bridges = table.replacen(TABLES, "wp", 1) + "-";
            let is_used = devices.iter().any(|device| device.starts_with(&bridges));
            if table != self.table && table_of(&bridges) == table && !is_used {
                tracing::info!(table, "removing the packet rules of a worker that is gone");
                nft::remove(&table)?;
            }
        }
        Ok(())
    }
}

/// The names of all our tables.
pub(super) fn tables() -> io::Result<Vec<String>> {
    let found = nft::tables(TABLES)?;
    Ok(found.into_iter().map(|(name, _)| name).collect())
}

/// `wp3f9a1c-` gives `workerpool-3f9a1c`.
pub(super) fn table_of(bridges: &str) -> String {
    let worker = bridges.trim_start_matches("wp").trim_end_matches('-');
    format!("{TABLES}{worker}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_named_after_the_bridges_it_is_about() {
        assert_eq!(table_of("wp3f9a1c-"), "workerpool-3f9a1c");
        assert_ne!(
            table_of(&network::bridges("ann")),
            table_of(&network::bridges("bob"))
        );
    }
}
