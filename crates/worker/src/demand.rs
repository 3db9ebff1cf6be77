//! Asking for work. A slot is taken before the question, so that this worker never has more than it can run (the original leaves that to
//! the scheduler). A scheduler of ours holds the question until there is work; any other is asked once a period.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::patience::{self, Pauses};
use crate::pipeline::work::Shared;
use crate::tasks::Tasks;

/// Two answers of a scheduler that holds questions lie this far apart at least.
const SHORTEST: Duration = Duration::from_millis(200);

/// How old the block may be that a question names: it only shows that the chain is seen.
const HEAD: Duration = Duration::from_secs(30);

/// Asks for work until the worker stops. `period` is what the scheduler wants between two questions.
pub async fn ask(tasks: Tasks, period: Duration, stop: CancellationToken) {
    tokio::select! {
        () = forever(&tasks, period) => {}
        () = stop.cancelled() => {}
    }
}

async fn forever(tasks: &Tasks, period: Duration) {
    let mut pauses = Pauses::new();
    loop {
        match once(tasks, period).await {
            Ok(rest) => {
                pauses = Pauses::new();
                tokio::time::sleep(rest).await;
            }
            Err(reason) => {
                tracing::warn!(reason, "no work could be asked for");
                pauses.rest(None).await;
            }
        }
    }
}

/// Asks once; how long to rest before the next time.
async fn once(tasks: &Tasks, period: Duration) -> Result<Duration, String> {
    let shared = tasks.shared();
    shared.slots.wait_free().await;
    let Some(slot) = shared.slots.take() else {
        return Ok(SHORTEST);
    };
    let head = shared.head_within(HEAD).await;
    let head = head.ok_or("the chain does not answer")?;
    if !shared.has_gas().await {
        let wallet = poco::hex::lower(&shared.session.wallet());
        return Err(format!(
            "the wallet {wallet} has too little gas money: send it some"
        ));
    }
    has_stake(shared).await?;
    let features = shared.settings.features();
    let began = Instant::now();
    let asked = shared
        .session
        .call(|client, token| async move { client.available(&token, head, features).await })
        .await;
    let supply = asked.map_err(|error| error.to_string())?;
    if let Some(work) = supply.work {
        slot.works();
        tasks.take(work.workerpool_authorization, slot, false);
    }
    // A worker must not ask again within the period less half a second (spec scheduler-api §3.7).
    Ok(if supply.granted.wait {
        SHORTEST.saturating_sub(began.elapsed())
    } else {
        period
    })
}

/// Whether the wallet has the stake for which a task was given up. Work that can only be given up is better left to others.
async fn has_stake(shared: &Shared) -> Result<(), String> {
    let wanted = &shared.stake_wanted;
    if !wanted.is_any() {
        return Ok(());
    }
    let wallet = shared.session.wallet();
    let account = patience::read("account", shared.block_time, || shared.hub.account(wallet)).await;
    // A chain that does not answer says nothing against it.
    account.map_or(Ok(()), |account| {
        shared.seen.note_stake(account.stake);
        wanted.judge(wallet, account.stake)
    })
}
