//! What the worker counts, under the names of the original (spec `worker.md` §11.4). No task is ever a label.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use poco::ids::TaskId;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};

use crate::durations::{Durations, Stage, WorkerMetrics};

/// A worker's figures. Clones are the same.
#[derive(Clone)]
pub struct Metrics {
    transactions: Family<Status, Counter>,
    durations: Arc<Mutex<Durations>>,
    head: Gauge,
    sent: Family<Block, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Status {
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Block {
    block: &'static str,
}

impl Metrics {
    /// New figures, shown in `registry` for this wallet; durations are those of the last `window` runs.
    #[must_use]
    pub fn new(registry: &chassis::metrics::Metrics, wallet: &str, window: usize) -> Self {
        let metrics = Self {
            transactions: Family::default(),
            durations: Arc::new(Mutex::new(Durations::of_last(window))),
            head: Gauge::default(),
            sent: Family::default(),
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
            registry.register(
                "iexec_chain_wallet_tx_count",
                "Transactions of the wallet, mined and with those that wait",
                metrics.sent.clone(),
            );
            registry.register_collector(Box::new(Stages {
                wallet: wallet.to_owned(),
                durations: Arc::clone(&metrics.durations),
            }));
        });
        for status in ["success", "failure"] {
            let _ = metrics.transactions.get_or_create(&Status { status });
        }
        metrics.wallet(0, 0);
        metrics
    }

    /// A transaction ended.
    pub fn transaction(&self, succeeded: bool) {
        let status = if succeeded { "success" } else { "failure" };
        self.transactions.get_or_create(&Status { status }).inc();
    }

    /// A stage of a task ran for so long. Runs that were cut short count, those that never began do not.
    pub fn ran(&self, stage: Stage, task: TaskId, elapsed: Duration) {
        locked(&self.durations).ran(stage, task, elapsed);
    }

    /// The newest block.
    pub fn head(&self, block: u64) {
        self.head.set(signed(block));
    }

    /// How many transactions the wallet has in blocks, and how many with those that wait to be mined.
    pub fn wallet(&self, latest: u64, pending: u64) {
        for (block, count) in [("latest", latest), ("pending", pending)] {
            self.sent.get_or_create(&Block { block }).set(signed(count));
        }
    }

    /// The durations, as `GET /metrics` shows them.
    #[must_use]
    pub fn durations(&self) -> WorkerMetrics {
        locked(&self.durations).all()
    }
}

fn locked(durations: &Mutex<Durations>) -> MutexGuard<'_, Durations> {
    durations.lock().unwrap_or_else(PoisonError::into_inner)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The durations for Prometheus, read when they are asked for.
struct Stages {
    wallet: String,
    durations: Arc<Mutex<Durations>>,
}

impl fmt::Debug for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stages")
    }
}

impl Collector for Stages {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for stage in Stage::ALL {
            let figures = locked(&self.durations).of(stage);
            let rows = [
                (
                    "min",
                    "Shortest of the last runs in ms",
                    figures.min_duration,
                ),
                (
                    "max",
                    "Longest of the last runs in ms",
                    figures.max_duration,
                ),
                (
                    "average",
                    "Average of the last runs in ms",
                    figures.average_duration,
                ),
                (
                    "samples_count",
                    "How many runs the figures are of",
                    f64::from(figures.duration_samples_count),
                ),
            ];
            for (figure, help, value) in rows {
                let name = format!("iexec_{}_duration_{figure}", stage.name());
                let gauge = ConstGauge::new(value);
                let mut family =
                    encoder.encode_descriptor(&name, help, None, gauge.metric_type())?;
                let labels = [("wallet", self.wallet.as_str()), ("phase", stage.name())];
                gauge.encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;

    use super::*;

    const TASK: TaskId = TaskId(B256::repeat_byte(0x11));

    #[test]
    fn every_figure_of_the_original_is_there_with_its_type_and_its_labels_and_no_task() {
        let registry = chassis::metrics::Metrics::new("iexec-worker", "1");
        let metrics = Metrics::new(&registry, "0xab", 1000);
        metrics.ran(Stage::App, TASK, Duration::from_millis(100));
        metrics.ran(Stage::App, TASK, Duration::from_millis(300));
        metrics.transaction(true);
        metrics.head(7);
        metrics.wallet(3, 4);
        let text = registry.text();
        // Spec worker.md §11.4, name by name.
        let mut expected: Vec<(String, &str, Vec<&str>)> = vec![
            (
                "iexec_poco_transaction_total".into(),
                "counter",
                vec![r#"{status="success"} 1"#, r#"{status="failure"} 0"#],
            ),
            ("iexec_chain_block_latest".into(), "gauge", vec![" 7"]),
            (
                "iexec_chain_wallet_tx_count".into(),
                "gauge",
                vec![r#"{block="latest"} 3"#, r#"{block="pending"} 4"#],
            ),
            (
                "iexec_version_info".into(),
                "gauge",
                vec![r#"{iexecAppName="iexec-worker",iexecAppVersion="1"} 1"#],
            ),
            (
                "iexec_version".into(),
                "gauge",
                vec![r#"{iexecAppName="iexec-worker",iexecAppVersion="1"} 1"#],
            ),
        ];
        let stages = [
            ("pre_compute", ["NaN", "NaN", "NaN", "0.0"]),
            ("app_compute", ["100.0", "300.0", "200.0", "2.0"]),
            ("post_compute", ["NaN", "NaN", "NaN", "0.0"]),
        ];
        let mut samples = Vec::new();
        for (stage, values) in stages {
            for (figure, value) in ["min", "max", "average", "samples_count"]
                .iter()
                .zip(values)
            {
                samples.push((
                    format!("iexec_{stage}_duration_{figure}"),
                    format!(r#"{{wallet="0xab",phase="{stage}"}} {value}"#),
                ));
            }
        }
        for (name, sample) in &samples {
            expected.push((name.clone(), "gauge", vec![sample]));
        }
        for (name, kind, samples) in expected {
            let typed = format!("# TYPE {name} {kind}");
            assert!(
                text.lines().any(|line| line == typed),
                "{typed} is not in\n{text}"
            );
            for sample in samples {
                let line = format!("{name}{sample}");
                assert!(
                    text.lines().any(|found| found == line),
                    "{line} is not in\n{text}"
                );
            }
        }
        assert!(!text.contains(&TASK.to_string()), "{text}");
    }
}
