//! How many tasks an hour one worker with one slot gets through, against a bare loop of `docker run --rm` of the same container in the
//! same run. A bag of 300 tasks that do nothing: 300 over the time from the purchase's receipt to the last finalization's, run-up and
//! tail included. The bare loop runs before and after, so that a machine that grows slower or faster is not blamed on the pool.

use anyhow::Context as _;

use super::Amount;
use super::finalized::finish;
use super::overhead::like_the_workers;
use crate::buyer::Buyer;
use crate::figure::{Aim, Figure};
use crate::noop::Bare;
use crate::observer::Observer;
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
    let (volume, around) = (amount.of(300, 5), amount.of(40, 3));
    let measured = async {
        let bare = like_the_workers(&stage, &buyer, &observer).await?;
        let before = bare_loop(&bare, around)?;
        let bag = finish(&buyer, &observer, volume).await?;
        let after = bare_loop(&bare, around)?;
        anyhow::Ok((before, bag, after))
    };
    let (before, bag, after) = measured.await.with_context(|| stage.logs())?;
    let tasks = volume as f64 / bag.took.as_secs_f64() * 3600.0;
    let seconds = before + after;
    let loops = 2.0 * around as f64 / seconds * 3600.0;
    let method = format!(
        "bag of {volume}, one worker with one slot, classic, 1 s blocks: from the purchase's receipt to the last finalization's ({:.1} s)",
        bag.took.as_secs_f64()
    );
    Ok(vec![
        Figure::new("tasks_per_hour", tasks, "1/h", Aim::None, &method),
        Figure::new(
            "docker_run_per_hour",
            loops,
            "1/h",
            Aim::None,
            format!(
                "`docker run --rm` {around} times before the bag ({:.0} ms each) and {around} after ({:.0} ms each), same host configuration and network",
                before * 1000.0 / around as f64,
                after * 1000.0 / around as f64
            ),
        ),
        Figure::new(
            "throughput_share",
            tasks / loops * 100.0,
            "%",
            Aim::AtLeast(85.0),
            format!("tasks_per_hour over docker_run_per_hour; {method}"),
        ),
    ])
}

/// Seconds that so many bare containers take, one after the other.
fn bare_loop(bare: &Bare, times: u64) -> anyhow::Result<f64> {
    let mut took = 0.0;
    for _ in 0..times {
        took += bare.run(true)?.as_secs_f64();
    }
    Ok(took)
}
