//! The benchmarks: a module each, which says how it measures and leaves nothing behind. They can be run alone and in any order.

mod asks;
mod assigned;
mod bag;
mod costs;
mod finalized;
mod idle;
mod memory;
mod overhead;
mod push;
mod start;
mod supply;
mod throughput;

use std::pin::Pin;

use crate::figure::Figure;

/// What a benchmark comes to.
type Measured = Pin<Box<dyn Future<Output = anyhow::Result<Vec<Figure>>>>>;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amount {
    /// Only so much that the benchmark is seen to work; the figures are of no use.
    pub(crate) quick: bool,
}

impl Amount {
    /// `whole`, or `few` of them when it is only to be seen that it works.
    #[must_use]
    pub(crate) const fn of(self, whole: u64, few: u64) -> u64 {
        if self.quick { few } else { whole }
    }
}

/// One benchmark.
pub(crate) struct Benchmark {
    /// What `ONLY` names.
    pub(crate) name: &'static str,
    /// What it measures, in a few words.
    pub(crate) about: &'static str,
    /// Measures.
    pub(crate) run: fn(Amount) -> Measured,
}

macro_rules! benchmark {
    ($module:ident, $about:literal) => {
        Benchmark {
            name: stringify!($module),
            about: $about,
            run: |amount| Box::pin($module::measure(amount)),
        }
    };
}

/// All of them, in the order in which they run.
pub(crate) const ALL: [Benchmark; 12] = [
    benchmark!(supply, "cost of an ask with many tasks that do not suit"),
    benchmark!(start, "from start to serving, store empty or full"),
    benchmark!(memory, "resident memory of idle processes"),
    benchmark!(asks, "asks a second over HTTP with nothing to give"),
    benchmark!(push, "10,000 sessions of the push channel"),
    benchmark!(assigned, "from a deal's receipt to the ask's answer"),
    benchmark!(finalized, "from a deal's receipt to the finalization's"),
    benchmark!(overhead, "what a worker adds to a container"),
    benchmark!(throughput, "tasks an hour against bare containers"),
    benchmark!(costs, "gas and node calls of a task"),
    benchmark!(idle, "node calls an hour of an idle pool"),
    benchmark!(bag, "a bag of 1,000 until all is initialised"),
];
