//! Tasks as somebody outside sees them: bought with the SDK, read from the scheduler's public API and from the chain.

#![allow(
    clippy::indexing_slicing,
    reason = "JSON read by its field names: a missing one reads as null"
)]

use std::time::{Duration, Instant};

use alloy_primitives::B256;
use anyhow::Context as _;
use serde_json::Value;

use crate::audit;
use crate::process::until;
use crate::sdk::{self, Wish};
use crate::world::World;

impl World {
    /// Buys one deal at the demo's prices; gives its tasks.
    pub async fn buy(&self, wish: Wish) -> anyhow::Result<Vec<B256>> {
        let deals = sdk::buy(&self.dir().join("chain"), "1 RLC", "2 RLC", &[wish]).await?;
        Ok(deals.into_iter().flat_map(|deal| deal.tasks).collect())
    }

    /// Buys one task at trust 1 in category 0.
    pub async fn buy_one(&self, args: &str) -> anyhow::Result<B256> {
        let tasks = self.buy(Wish::one(args, 0)).await?;
        tasks.first().copied().context("nothing was sold")
    }

    /// The task as `GET /tasks/<id>` shows it; none while the scheduler does not know it.
    pub async fn task(&self, task: B256) -> anyhow::Result<Option<Value>> {
        let answer = reqwest::get(format!("{}/tasks/{task}", self.scheduler_url)).await?;
        if answer.status() == reqwest::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        Ok(Some(answer.error_for_status()?.json().await?))
    }

    /// Waits until the scheduler shows the task in one of `statuses`, and gives it.
    pub async fn reaches(
        &self,
        task: B256,
        statuses: &[&str],
        patience: Duration,
    ) -> anyhow::Result<Value> {
        let last = std::cell::RefCell::new(Value::Null);
        let what = format!("task {task} becoming one of {statuses:?}");
        let reached = until(&what, patience, || async {
            let Some(view) = self.task(task).await? else {
                return Ok(None);
            };
            let there = view["currentStatus"]
                .as_str()
                .is_some_and(|status| statuses.contains(&status));
            last.replace(view.clone());
            Ok(there.then_some(view))
        })
        .await;
        reached.with_context(|| format!("{:#}\n{}", last.borrow(), self.logs()))
    }

    /// Waits until a worker's replicate of the task has been in `status`.
    pub async fn replicate_reaches(
        &self,
        task: B256,
        status: &str,
        patience: Duration,
    ) -> anyhow::Result<()> {
        let what = format!("a replicate of task {task} becoming {status}");
        let reached = until(&what, patience, || async {
            let Some(view) = self.task(task).await? else {
                return Ok(None);
            };
            let there = view["replicates"]
                .as_array()
                .into_iter()
                .flatten()
                .flat_map(|replicate| statuses(replicate, "statusUpdateList"))
                .any(|seen| seen == status);
            Ok(there.then_some(()))
        })
        .await;
        reached.with_context(|| self.logs())
    }

    /// Waits until the task is COMPLETED at the scheduler and on the chain.
    pub async fn completes(&self, task: B256, patience: Duration) -> anyhow::Result<()> {
        self.reaches(task, &["COMPLETED"], patience).await?;
        let rpc = self.rpc();
        let status = audit::task_status(&rpc, self.chain.hub, task).await?;
        anyhow::ensure!(
            status == 3,
            "task {task} is COMPLETED, but the chain has it at status {status}\n{}",
            self.logs()
        );
        Ok(())
    }

    /// Waits until all of `tasks` are COMPLETED at the scheduler and on the chain.
    pub async fn all_complete(&self, tasks: &[B256], patience: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + patience;
        for task in tasks {
            let left = end.saturating_duration_since(Instant::now());
            self.completes(*task, left).await?;
        }
        Ok(())
    }

    /// Proves from blocks and receipts that every wallet of the pool has sent everything once, in order, and nothing that failed.
    pub async fn audit(&self) -> anyhow::Result<()> {
        let wallets = self.chain.pool_wallets(self.workers.len())?;
        audit::wallets(&self.rpc(), &wallets)
            .await
            .map(drop)
            .with_context(|| self.logs())
    }

    /// As [`World::audit`], where blocks were taken back; gives the number of transactions that failed on the chain.
    pub async fn audit_after_reorganisations(&self) -> anyhow::Result<u64> {
        let wallets = self.chain.pool_wallets(self.workers.len())?;
        let found = audit::wallets_after_reorganisations(&self.rpc(), &wallets)
            .await
            .with_context(|| self.logs())?;
        Ok(found.values().map(|wallet| wallet.reverted).sum())
    }

    /// The scheduler's health as `GET /actuator/health` shows it.
    pub async fn health(&self) -> anyhow::Result<Value> {
        let url = format!("{}/actuator/health", self.scheduler_url);
        Ok(reqwest::get(url).await?.json().await?)
    }

    /// Waits until the scheduler calls itself healthy, or not.
    pub async fn becomes_healthy(&self, healthy: bool, patience: Duration) -> anyhow::Result<()> {
        let url = format!("{}/actuator/health", self.scheduler_url);
        let what = if healthy {
            "health UP"
        } else {
            "health not UP"
        };
        let became = until(what, patience, || async {
            let up = reqwest::get(&url).await?.status().is_success();
            Ok((up == healthy).then_some(()))
        })
        .await;
        became.with_context(|| self.logs())
    }
}

/// The statuses that a task or replicate has been in, oldest first.
#[must_use]
pub fn statuses(of: &Value, list: &str) -> Vec<String> {
    of[list]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|step| step["status"].as_str())
        .map(str::to_owned)
        .collect()
}

impl Wish {
    /// One task at trust 1.
    #[must_use]
    pub fn one(args: &str, category: u64) -> Self {
        Self {
            volume: 1,
            trust: 1,
            category,
            args: args.to_owned(),
        }
    }
}
