//! The pool in numbers, for `/metrics` and Prometheus (spec scheduler-api §4.3, §8).
//!
//! Most of it is the engine's to tell; here are only what the engine does not keep, and the last look at what it does.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chain::Block;
use chassis::Shutdown;
use engine::Change;
use poco::ids::DealId;
use wire::message::{LatestBlockMetric, PlatformMetric};
use wire::status::TaskStatus;

use crate::clock::now;
use crate::inbox::{Ending, Inbox};

/// The numbers. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Figures {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    known: BTreeSet<DealId>,
    deals: u64,
    latest_deal_block: u64,
    latest: Option<Block>,
    engine: engine::Figures,
}

impl Figures {
    /// The numbers of a start with these deals: they are not counted again.
    pub(crate) fn with(known: impl IntoIterator<Item = DealId>) -> Self {
        let figures = Self::default();
        figures.inner().known.extend(known);
        figures
    }

    /// Follows what was stored.
    pub(crate) fn follow(&self, changes: &[Change]) {
        for change in changes {
            let Change::Deal(deal) = change else { continue };
            let mut inner = self.inner();
            if inner.known.insert(deal.details.id) {
                inner.deals += 1;
                inner.latest_deal_block = inner.latest_deal_block.max(deal.block.0);
            }
        }
    }

    /// Notes the chain's newest block.
    pub(crate) fn head(&self, block: Block) {
        self.inner().latest = Some(block);
    }

    /// The number of the newest block; 0 before the first.
    pub(crate) fn latest_block(&self) -> u64 {
        self.inner()
            .latest
            .as_ref()
            .map_or(0, |block| block.number.0)
    }

    /// Deals taken since the start, and the newest block with one of them.
    pub(crate) fn deals(&self) -> (u64, u64) {
        let inner = self.inner();
        (inner.deals, inner.latest_deal_block)
    }

    /// What the engine counted at the last look.
    pub(crate) fn engine(&self) -> engine::Figures {
        self.inner().engine.clone()
    }

    /// Looks at the engine again and again until the end is asked for.
    pub(crate) async fn refresh(
        self,
        inbox: Inbox,
        period: Duration,
        shutdown: Shutdown,
    ) -> Result<(), Ending> {
        let mut period = tokio::time::interval(period.max(Duration::from_millis(100)));
        loop {
            tokio::select! {
                () = shutdown.triggered() => return Ok(()),
                _ = period.tick() => {}
            }
            let figures = inbox.look(|engine| engine.figures(now())).await?;
            self.inner().engine = figures;
        }
    }

    /// The answer of `GET /metrics`.
    pub(crate) fn platform(&self, engine: &engine::Figures) -> PlatformMetric {
        let inner = self.inner();
        let statuses = TaskStatus::ALL
            .iter()
            .map(|status| {
                (
                    *status,
                    engine.tasks_by_status.get(status).copied().unwrap_or(0),
                )
            })
            .collect();
        PlatformMetric {
            alive_workers: engine.alive_workers,
            alive_computing_cpu: engine.computing_cpus,
            alive_registered_cpu: engine.registered_cpus,
            alive_computing_gpu: engine.computing_gpus,
            alive_registered_gpu: engine.registered_gpus,
            current_task_statuses_count: statuses,
            latest_block_metric: inner.latest.as_ref().map(|block| LatestBlockMetric {
                block_number: block.number.0,
                block_hash: block.hash.to_string(),
                block_timestamp: block.timestamp.as_secs(),
            }),
            deal_events_count: inner.deals,
            deals_count: inner.deals,
            replay_deals_count: 0,
            latest_block_number_with_deal: inner.latest_deal_block,
            alive_available_cpu: engine.registered_cpus.saturating_sub(engine.computing_cpus),
            alive_total_cpu: engine.registered_cpus,
            alive_available_gpu: engine.registered_gpus.saturating_sub(engine.computing_gpus),
            alive_total_gpu: engine.registered_gpus,
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
