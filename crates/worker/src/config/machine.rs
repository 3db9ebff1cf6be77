//! What the machine under the worker has: its processors and memory decide what one task may use when nobody says it.

use super::GIB;

/// What this machine has.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    /// Processors.
    pub cpus: u32,
    /// Bytes of memory.
    pub memory: u64,
}

impl Machine {
    /// The machine that this runs on.
    #[must_use]
    pub fn this() -> Self {
        let cpus = std::thread::available_parallelism()
            .map_or(1, |cpus| u32::try_from(cpus.get()).unwrap_or(u32::MAX));
        let memory = std::fs::read_to_string("/proc/meminfo")
            .ok()
            .and_then(|text| total_memory(&text))
            .unwrap_or(2 * GIB);
        Self { cpus, memory }
    }

    pub(super) fn default_slots(self) -> u32 {
        self.cpus.saturating_sub(1).max(1)
    }

    /// Nine tenths of the memory, shared by the slots.
    pub(super) fn memory_each(self, slots: u32) -> u64 {
        (self.memory / 10 * 9 / u64::from(slots.max(1))).max(GIB / 8)
    }

    /// All processors, shared by the slots, at least one each.
    pub(super) fn milli_cpus_each(self, slots: u32) -> u64 {
        (u64::from(self.cpus) * 1000 / u64::from(slots.max(1)))
            .max(1000)
            .min(u64::from(self.cpus) * 1000)
    }
}

fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
