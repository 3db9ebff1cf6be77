//! What a worker adds to a container that does nothing. In pairs: one task by the worker, from the moment it is given until it is reported
//! COMPUTED, both as the scheduler dates them; then one `docker run` with the same host configuration on the same network, not removed
//! within the time, as the worker's is not. In between the task is left to end, so that neither disturbs the other. No transaction lies
//! between the two dates, so no wait for a block does.

use std::time::Duration;

use anyhow::Context as _;
use wire::message::TaskModel;
use wire::status::ReplicateStatus;

use super::Amount;
use super::finalized::finish;
use crate::buyer::Buyer;
use crate::figure::{Aim, Figure};
use crate::noop::{self, Bare};
use crate::observer::Observer;
use crate::sample::Sample;
use crate::stage::{Flow, Stage, Wanted};

pub(super) async fn measure(amount: Amount) -> anyhow::Result<Vec<Figure>> {
    let mut stage = Stage::start(Wanted {
        computes: true,
        ..Wanted::default()
    })
    .await?;
    let flow = Flow::Classic;
    let recipe = stage.scheduler_recipe("data", flow)?;
    stage.start_scheduler(&recipe).await?;
    stage.start_worker(1, flow).await?;
    let observer = Observer::start(&stage.chain.rpc_url, stage.chain.hub).await?;
    let buyer = Buyer::new(&stage.chain, 0).await?;
    let (pairs, worker, bare) = pairs(&stage, &buyer, &observer, amount.of(25, 2))
        .await
        .with_context(|| stage.logs())?;
    let method = format!(
        "median of {} differences of pairs taken in turn ({} ms): worker from given to COMPUTED as the scheduler dates them (median {:.0} ms), less `docker run` without --rm, same host configuration and network (median {:.0} ms)",
        pairs.len(),
        pairs.range(),
        worker.median(),
        bare.median()
    );
    Ok(vec![Figure::new(
        "worker_overhead",
        pairs.median(),
        "ms",
        Aim::AtMost(30.0),
        method,
    )])
}

/// Milliseconds: differences, worker, bare container.
async fn pairs(
    stage: &Stage,
    buyer: &Buyer,
    observer: &Observer,
    count: u64,
) -> anyhow::Result<(Sample, Sample, Sample)> {
    let bare = like_the_workers(stage, buyer, observer).await?;
    let (mut differences, mut with_worker, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..count {
        let finished = finish(buyer, observer, 1).await?;
        let task = finished.tasks.first().context("a deal of nothing")?;
        let url = format!("{}/tasks/{task}", stage.scheduler_url);
        let model: TaskModel = reqwest::get(url).await?.error_for_status()?.json().await?;
        let computing = given_to_computed(&model).context("the scheduler does not date it")?;
        let running = bare.run(false)?.as_secs_f64() * 1000.0;
        differences.push(computing - running);
        with_worker.push(computing);
        alone.push(running);
    }
    Ok((
        Sample::of(differences),
        Sample::of(with_worker),
        Sample::of(alone),
    ))
}

/// A first task pulls the image and makes the network; its container is looked at, and a bare one is made like it.
pub(super) async fn like_the_workers(
    stage: &Stage,
    buyer: &Buyer,
    observer: &Observer,
) -> anyhow::Result<Bare> {
    finish(buyer, observer, 1).await?;
    let prefix = stage.name.clone();
    let catching =
        tokio::task::spawn_blocking(move || noop::catch(&prefix, Duration::from_secs(60)));
    finish(buyer, observer, 1).await?;
    let seen = catching.await??;
    let bare = Bare::like(&seen, stage.dir(), &stage.image)?;
    // Not the first of its kind either.
    bare.run(false)?;
    Ok(bare)
}

fn given_to_computed(task: &TaskModel) -> Option<f64> {
    let replicate = task.replicates.as_ref()?.first()?;
    let date = |status: ReplicateStatus| {
        let steps = &replicate.status_update_list;
        steps
            .iter()
            .find(|step| step.status == Some(status))
            .and_then(|step| step.date)
    };
    let (given, computed) = (
        date(ReplicateStatus::Created)?,
        date(ReplicateStatus::Computed)?,
    );
    Some(computed.since(given).as_secs_f64() * 1000.0)
}
