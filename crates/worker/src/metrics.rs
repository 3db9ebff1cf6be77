//! What the worker counts, under the names of the original (spec `worker.md` §11.4). No task is ever a label.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

/// A worker's figures. Clones are the same.
#[derive(Clone)]
pub struct Metrics {
    transactions: Family<Status, Counter>,
    durations: Arc<Mutex<Durations>>,
    shown: Shown,
    head: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Status {
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Phase {
    wallet: String,
    phase: &'static str,
}

/// Milliseconds of the application's runs.
type Millis = Gauge<f64, AtomicU64>;

#[derive(Clone, Default)]
struct Shown {
    least: Millis,
    most: Millis,
    average: Millis,
    samples: Gauge,
}

#[derive(Debug, Default)]
struct Durations {
    count: u32,
    sum: f64,
    least: f64,
    most: f64,
}

impl Metrics {
    /// New figures, shown in `registry` for this wallet.
    #[must_use]
    pub fn new(registry: &chassis::metrics::Metrics, wallet: &str) -> Self {
        let metrics = Self {
            transactions: Family::default(),
            durations: Arc::default(),
            shown: Shown::default(),
            head: Gauge::default(),
        };
        let of_phase = |value: &Millis| {
            let value = value.clone();
            Family::<Phase, Millis, _>::new_with_constructor(move || value.clone())
        };
        let labels = Phase {
            wallet: wallet.to_owned(),
            phase: "app_compute",
        };
        registry.register(|registry| {
            registry.register(
                "iexec_poco_transaction",
                "Transactions sent to the hub",
                metrics.transactions.clone(),
            );
            registry.register(
                "iexec_chain_block_latest",
                "Latest block seen",
                metrics.head.clone(),
            );
            let rows = [
                (
                    "min",
                    "Shortest run of an application in ms",
                    &metrics.shown.least,
                ),
                (
                    "max",
                    "Longest run of an application in ms",
                    &metrics.shown.most,
                ),
                (
                    "average",
                    "Average run of an application in ms",
                    &metrics.shown.average,
                ),
            ];
            for (name, help, value) in rows {
                let family = of_phase(value);
                let _ = family.get_or_create(&labels);
                registry.register(format!("iexec_app_compute_duration_{name}"), help, family);
            }
            let samples = metrics.shown.samples.clone();
            let family = Family::<Phase, Gauge, _>::new_with_constructor(move || samples.clone());
            let _ = family.get_or_create(&labels);
            registry.register(
                "iexec_app_compute_duration_samples_count",
                "Runs of applications",
                family,
            );
        });
        for status in ["success", "failure"] {
            let _ = metrics.transactions.get_or_create(&Status { status });
        }
        metrics
    }

    /// A transaction ended.
    pub fn transaction(&self, succeeded: bool) {
        let status = if succeeded { "success" } else { "failure" };
        self.transactions.get_or_create(&Status { status }).inc();
    }

    /// An application ran for so long.
    pub fn computed(&self, elapsed: Duration) {
        let millis = elapsed.as_secs_f64() * 1000.0;
        let mut seen = self
            .durations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        seen.least = if seen.count == 0 {
            millis
        } else {
            seen.least.min(millis)
        };
        seen.most = seen.most.max(millis);
        seen.count += 1;
        seen.sum += millis;
        self.shown.least.set(seen.least);
        self.shown.most.set(seen.most);
        self.shown.average.set(seen.sum / f64::from(seen.count));
        self.shown.samples.set(i64::from(seen.count));
    }

    /// The newest block.
    pub fn head(&self, block: u64) {
        self.head.set(i64::try_from(block).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_have_the_originals_names_and_labels() {
        let registry = chassis::metrics::Metrics::new("iexec-worker", "1");
        let metrics = Metrics::new(&registry, "0xab");
        metrics.computed(Duration::from_millis(100));
        metrics.computed(Duration::from_millis(300));
        metrics.transaction(true);
        metrics.head(7);
        let text = registry.text();
        for line in [
            r#"iexec_app_compute_duration_min{wallet="0xab",phase="app_compute"} 100.0"#,
            r#"iexec_app_compute_duration_max{wallet="0xab",phase="app_compute"} 300.0"#,
            r#"iexec_app_compute_duration_average{wallet="0xab",phase="app_compute"} 200.0"#,
            r#"iexec_app_compute_duration_samples_count{wallet="0xab",phase="app_compute"} 2"#,
            r#"iexec_poco_transaction_total{status="success"} 1"#,
            r#"iexec_poco_transaction_total{status="failure"} 0"#,
            "iexec_chain_block_latest 7",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
    }
}
