//! A store as a pool leaves it that has finished many tasks: made by the engine itself, task by task as workers and chain report them,
//! and written as the scheduler writes.

use std::path::Path;
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes};
use chain::CursorPosition;
use engine::{BlockRef, Fact, Input, Outcome, Settings, TaskFact};
use poco::ids::TaskId;
use poco::tag::Tag;
use store::{Batch, Identity, Store};
use wire::status::ReplicateStatus::{self, *};

use crate::pool::Pool;

/// The name of the scheduler's cursor in its store.
const CURSOR: &str = "hub";
/// Tasks of one deal.
const DEAL: u64 = 1000;

/// What a worker reports on the way to its result.
const TO_COMPUTED: [ReplicateStatus; 9] = [
    Starting,
    Started,
    AppDownloading,
    AppDownloaded,
    DataDownloading,
    DataDownloaded,
    Computing,
    Computed,
    Contributing,
];

/// Makes the store in `folder`: `tasks` finished tasks (in whole thousands) at the chain's `block`. Returns how many are completed there.
pub(crate) async fn make(
    folder: &Path,
    identity: &Identity,
    block: BlockRef,
    tasks: u64,
) -> anyhow::Result<u64> {
    let store = Store::open(folder, identity)?;
    let settings = Settings {
        // More workers than ever would be asked to initialise.
        initialize_ahead: DEAL as usize,
        ask_period: Duration::ZERO,
        caf: false,
        ..Settings::default()
    };
    let patience = settings.keep_ended;
    let worker = Address::repeat_byte(0x11);
    let mut pool = Pool::new(settings, block);
    pool.register(worker, 1_000_000);
    for number in 0..tasks / DEAL {
        let made = pool.deal(number, DEAL, 1, Tag::NONE);
        let all = |what: TaskFact| -> Vec<Fact> {
            let facts = made.iter().map(|task| Pool::fact(*task, what.clone()));
            facts.collect()
        };
        pool.learn(all(TaskFact::Initialized));
        while let Some(task) = pool.ask(worker) {
            for status in TO_COMPUTED {
                let _told = pool.report(worker, task, status);
            }
        }
        let (hash, digest) = (B256::repeat_byte(3), B256::repeat_byte(4));
        pool.learn(all(TaskFact::Contributed {
            worker,
            hash,
            weight: 2,
        }));
        pool.learn(all(TaskFact::Consensus { hash }));
        for task in &made {
            let _told = pool.report(worker, *task, Contributed);
            let _told = pool.report(worker, *task, Revealing);
        }
        pool.learn(all(TaskFact::Revealed { worker, digest }));
        for task in &made {
            let _told = pool.report(worker, *task, Revealed);
            upload(&mut pool, worker, *task);
        }
        pool.learn(all(TaskFact::Finalized {
            results: Bytes::from_static(b"{ \"storage\": \"ipfs\", \"location\": \"/ipfs/QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG\" }"),
        }));
        for task in &made {
            let _told = pool.report(worker, *task, Completing);
            let _told = pool.report(worker, *task, Completed);
        }
        write(&store, &mut pool).await?;
    }
    // Long enough for the engine to let go of them; not so long that they are another day's.
    pool.now = pool.now.saturating_add(patience * 2);
    while pool.engine.next_wake().is_some_and(|wake| wake <= pool.now) {
        let _answers_nobody = pool.input(Input::Tick);
        write(&store, &mut pool).await?;
    }
    let position = CursorPosition::at(block.number, block.hash);
    store
        .commit(Batch::new().cursor(CURSOR, Some(&position)))
        .await?;
    Ok(pool
        .engine
        .figures(pool.now)
        .tasks_by_status
        .get(&wire::status::TaskStatus::Completed)
        .copied()
        .unwrap_or_default())
}

/// The result proxy has it: the report waits for that.
fn upload(pool: &mut Pool, worker: Address, task: TaskId) {
    let _told = pool.report(worker, task, ResultUploading);
    let asked = pool.report(worker, task, ResultUploaded);
    for command in asked.commands {
        let _finalize = pool.input(Input::Done {
            key: command.key,
            outcome: Outcome::Uploaded(true),
        });
    }
}

async fn write(store: &Store, pool: &mut Pool) -> anyhow::Result<()> {
    let changes = std::mem::take(&mut pool.changes);
    store.commit(scheduler::batch(&changes)).await?;
    Ok(())
}
