//! The pool's figures for Prometheus under the original's names (spec scheduler-api §8). Read when they are asked for.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use wire::status::TaskStatus;

use crate::figures::Figures;

/// Adds the figures to a registry.
pub(crate) fn register(registry: &mut Registry, figures: Figures) {
    registry.register_collector(Box::new(Exposition(figures)));
}

struct Exposition(Figures);

impl fmt::Debug for Exposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exposition")
    }
}

impl Collector for Exposition {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let engine = self.0.engine();
        let (deals, last_block) = self.0.deals();
        let gauges = [
            (
                "iexec_core_workers",
                "Workers with a sign of life in the last minute",
                engine.alive_workers,
            ),
            (
                "iexec_core_cpu_computing",
                "Processors that compute",
                engine.computing_cpus,
            ),
            (
                "iexec_core_cpu_registered",
                "Processors of living workers",
                engine.registered_cpus,
            ),
            (
                "iexec_core_gpu_computing",
                "Workers whose graphics processor computes",
                engine.computing_gpus,
            ),
            (
                "iexec_core_gpu_registered",
                "Living workers with a graphics processor",
                engine.registered_gpus,
            ),
            (
                "iexec_chain_block_latest",
                "Latest block seen",
                self.0.latest_block(),
            ),
            (
                "workerpool_tasks_on_offer",
                "Tasks that take one more replicate",
                engine.open_tasks,
            ),
            (
                "workerpool_asks_held",
                "Asks for work that are held until there is some",
                engine.held_asks,
            ),
            (
                "workerpool_reports_parked",
                "Reports that wait for the chain or the result proxy",
                engine.parked,
            ),
        ];
        for (name, help, value) in gauges {
            gauge(&mut encoder, name, help, value)?;
        }
        let counters = [
            (
                "iexec_core_deals_events",
                "Deal events read from the chain",
                deals,
            ),
            ("iexec_core_deals", "Deals handled", deals),
            ("iexec_core_deals_replay", "Obsolete, always 0", 0),
            (
                "iexec_core_deals_last_block",
                "Block of the latest deal since the start",
                last_block,
            ),
        ];
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            let metric = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            counter.encode(metric)?;
        }
        let one = ConstGauge::new(0_i64);
        let mut tasks = encoder.encode_descriptor(
            "iexec_core_tasks_count",
            "Tasks by status",
            None,
            one.metric_type(),
        )?;
        for status in TaskStatus::ALL {
            let count = engine.tasks_by_status.get(status).copied().unwrap_or(0);
            let labels = [("period", "current"), ("status", status.name())];
            ConstGauge::new(signed(count)).encode(tasks.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let gauge = ConstGauge::new(signed(value));
    let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
    gauge.encode(metric)
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
