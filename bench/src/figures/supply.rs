//! What it costs the engine to find that nothing suits a worker: the engine alone, in this process, on one thread, with so many open tasks
//! none of which this worker can have. For one of two reasons: all demand a graphics processor that it has not; or it has taken part in
//! every one of them before, and they wait for others.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use alloy_primitives::Address;
use anyhow::ensure;
use engine::{Engine, Input, Records, ReplicateRecord, ReplicateStep, Reply, Settings, TaskFact};
use poco::tag::Tag;
use wire::status::{ReplicateStatus, StatusModifier};

use super::Amount;
use crate::figure::{Aim, Figure};
use crate::pool::{Kept, Pool, block};
use crate::sample::Sample;

/// Tasks of one deal.
const DEAL: u64 = 10_000;
/// Asks timed together: one alone is too short for the clock.
const TOGETHER: u32 = 16;

/// Why nothing suits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unsuited {
    Tag,
    TookPart,
}

pub(super) async fn measure(amount: Amount) -> anyhow::Result<Vec<Figure>> {
    let (few, many) = (amount.of(10_000, 1_000), amount.of(100_000, 10_000));
    let mut figures = Vec::new();
    for (unsuited, word, why) in [
        (Unsuited::Tag, "tag", "all demand a graphics processor"),
        (
            Unsuited::TookPart,
            "took_part",
            "the worker took part in each before",
        ),
    ] {
        let (with_few, with_many) = tokio::task::spawn_blocking(move || {
            anyhow::Ok((cost(unsuited, few)?, cost(unsuited, many)?))
        })
        .await??;
        let method = format!(
            "engine alone, in process: median time of one ask answered \"nothing\" over 2 s, {TOGETHER} timed together; {why}"
        );
        let aim = Aim::AtMost(20.0);
        figures.extend([
            Figure::new(format!("supply_10k_{word}"), with_few, "us", aim, &method),
            Figure::new(format!("supply_100k_{word}"), with_many, "us", aim, &method),
            Figure::new(
                format!("supply_growth_{word}"),
                with_many / with_few,
                "times",
                Aim::AtMost(2.0),
                "cost with 100,000 open tasks over cost with 10,000",
            ),
        ]);
    }
    Ok(figures)
}

/// Microseconds of one ask with `tasks` open tasks.
fn cost(unsuited: Unsuited, tasks: u64) -> anyhow::Result<f64> {
    let worker = Address::repeat_byte(0x11);
    let mut pool = filled(unsuited, tasks, worker)?;
    let open = pool.engine.figures(pool.now).open_tasks;
    ensure!(open == tasks, "{open} tasks are open instead of {tasks}");
    let mut times = Vec::new();
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        let questions: Vec<_> = (0..TOGETHER).map(|_| pool.question(worker)).collect();
        let start = Instant::now();
        let answers: Vec<_> = questions
            .into_iter()
            .map(|question| pool.engine.handle(pool.now, Input::Ask(question)))
            .collect();
        times.push(start.elapsed().as_secs_f64() * 1e6 / f64::from(TOGETHER));
        let nothing = answers
            .iter()
            .flat_map(|answer| &answer.replies)
            .all(|(_, reply)| matches!(reply, Reply::NothingNow { because: Some(_) }));
        ensure!(nothing, "something was given: {answers:?}");
    }
    Ok(Sample::of(times).median())
}

/// An engine with so many open tasks.
fn filled(unsuited: Unsuited, tasks: u64, worker: Address) -> anyhow::Result<Pool> {
    let settings = Settings {
        ask_period: Duration::ZERO,
        ..Settings::default()
    };
    let (trust, tag) = match unsuited {
        Unsuited::Tag => (1, Tag::GPU),
        Unsuited::TookPart => (5, Tag::NONE),
    };
    let mut pool = Pool::new(settings.clone(), block());
    pool.register(worker, 1_000_000);
    let mut kept = Kept::default();
    for number in 0..tasks.div_ceil(DEAL) {
        let size = DEAL.min(tasks - number * DEAL);
        let made = pool.deal(number, size, trust, tag);
        let facts = made
            .iter()
            .map(|task| Pool::fact(*task, TaskFact::Initialized));
        pool.learn(facts.collect());
        kept.take(&std::mem::take(&mut pool.changes));
    }
    if unsuited == Unsuited::Tag {
        return Ok(pool);
    }
    // To let it take part by asking would cost as much as what is measured, a hundred thousand times.
    let replicates = kept
        .tasks
        .keys()
        .map(|task| ReplicateRecord {
            task: *task,
            worker,
            weight: 2,
            created_at: pool.now,
            history: [ReplicateStatus::Created, ReplicateStatus::Aborted]
                .map(|status| ReplicateStep {
                    status,
                    by: StatusModifier::Worker,
                    at: pool.now,
                    cause: None,
                    block: None,
                    exit_code: None,
                })
                .into(),
            holds_slot: false,
            recovering_since: None,
            result_link: None,
            callback_data: None,
            has_logs: false,
            told: None,
        })
        .collect();
    let distinct: BTreeSet<_> = kept.tasks.keys().collect();
    ensure!(distinct.len() as u64 == tasks, "not every task was stored");
    let records = Records {
        pool: kept.pool,
        deals: kept.deals.into_values().collect(),
        tasks: kept.tasks.into_values().collect(),
        replicates,
        workers: kept.workers.into_values().collect(),
    };
    let (engine, _left) = Engine::load(settings, records, pool.now);
    Ok(Pool::around(engine, block()))
}
