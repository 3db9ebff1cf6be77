//! `kill -9` at every place where it could hurt, and at random ones under load: nothing is lost, nothing is sent twice.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use alloy_primitives::B256;
use e2e::process::{Process, Recipe};
use e2e::sdk::{self, Wish};
use e2e::world::{self, Plan, World};
use e2e::{audit, image};

use crate::turn;

async fn buy(world: &World, volume: u64, trust: u64, args: &str) -> Vec<B256> {
    let wish = Wish {
        volume,
        trust,
        category: 0,
        args: args.into(),
    };
    let deals = sdk::buy(&world.dir().join("chain"), "1 RLC", "2 RLC", &[wish])
        .await
        .unwrap();
    deals.into_iter().flat_map(|deal| deal.tasks).collect()
}

/// Buys one task of the category whose tasks are over soon.
async fn buy_short(world: &World, args: &str) -> B256 {
    let wish = Wish {
        volume: 1,
        trust: 1,
        category: world.chain.test_category,
        args: args.into(),
    };
    let deals = sdk::buy(&world.dir().join("chain"), "1 RLC", "2 RLC", &[wish])
        .await
        .unwrap();
    deals[0].tasks[0]
}

/// The table of crash points of a role, from the binary itself.
pub(crate) fn crash_points(role: &str) -> Vec<String> {
    let output = std::process::Command::new(world::binary().unwrap())
        .args(["crash-points", role])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "build the binary with --features crash-points: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

fn armed(recipe: Recipe, point: &str, mark: &PathBuf) -> Recipe {
    let _absent_before = std::fs::remove_file(mark);
    recipe
        .with("WORKERPOOL_CRASH_AT", point)
        .with("WORKERPOOL_CRASH_MARK", mark.display().to_string())
}

/// Kills one process at each point of its table, in the table's order, on as many tasks as that takes, and lets it recover each time.
async fn kill_at_every_point(
    world: &mut World,
    points: &[String],
    args: &str,
    victim: impl Fn(&mut World) -> &mut Process,
) -> Vec<B256> {
    let mark = world.dir().join("crash-mark");
    let clean = victim(world).recipe().clone();
    let mut open: BTreeSet<usize> = (0..points.len()).collect();
    let mut tasks = Vec::new();
    while let Some(first) = open.first().copied() {
        let before = open.len();
        let mut next = Some(first);
        victim(world)
            .restart_as(armed(clean.clone(), &points[first], &mark))
            .unwrap();
        let bought = buy(world, 1, 1, args).await;
        let rpc = world.rpc();
        let end = Instant::now() + Duration::from_secs(90);
        loop {
            if mark.exists() {
                let hit = next.take().expect("only an armed process leaves a mark");
                println!("killed at {}", points[hit]);
                open.remove(&hit);
                // The next point after this one, on the same task.
                next = open.range(hit..).next().copied();
                let recipe = match next {
                    Some(index) => armed(clean.clone(), &points[index], &mark),
                    None => clean.clone(),
                };
                if next.is_none() {
                    std::fs::remove_file(&mark).unwrap();
                }
                victim(world).restart_as(recipe).unwrap();
            }
            if audit::task_status(&rpc, world.chain.hub, bought[0])
                .await
                .unwrap()
                == 3
                && !mark.exists()
            {
                break;
            }
            assert!(
                Instant::now() < end,
                "the task did not complete; next point {:?}\n{}",
                next.map(|index| &points[index]),
                world.logs()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // Points that lie behind the last transaction are reached after the chain shows the end.
        let settle = Instant::now() + Duration::from_secs(5);
        while next.is_some() && Instant::now() < settle {
            if mark.exists() {
                let hit = next.take().expect("armed");
                println!("killed at {}", points[hit]);
                open.remove(&hit);
                next = open.range(hit..).next().copied();
                let recipe = next.map_or_else(
                    || clean.clone(),
                    |index| armed(clean.clone(), &points[index], &mark),
                );
                victim(world).restart_as(recipe).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(open.len() < before, "no task reaches {}", points[first]);
        tasks.extend(bought);
    }
    victim(world).restart_as(clean).unwrap();
    tasks
}

/// How a worker brings a task to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It contributes, reveals and uploads.
    InSteps,
    /// It uploads and sends one transaction: contribute-and-finalize.
    Alone,
}

impl Way {
    /// Whether a task that goes this way is asked to pass a point. What both ways have in common is passed in steps.
    fn has(self, point: &str) -> bool {
        let alone = point.starts_with("worker:contribute-and-finalize:");
        match self {
            Self::InSteps => !alone,
            Self::Alone => alone || point.starts_with("worker:complete:"),
        }
    }
}

/// The worker's points in the order of a task's life, those of the outbox at each of its transactions.
fn worker_points(points: &[String], way: Way) -> Vec<String> {
    let (outbox, steps): (Vec<String>, Vec<String>) = points
        .iter()
        .cloned()
        .partition(|point| point.starts_with("outbox"));
    assert_eq!(outbox.len(), 4, "{points:?}");
    let mut ordered = Vec::new();
    let passed = |step: &String| !step.contains("abort") && way.has(step);
    for step in steps.into_iter().filter(passed) {
        let sends = [
            "worker:contribute:begun",
            "worker:reveal:begun",
            "worker:contribute-and-finalize:uploaded",
        ]
        .contains(&step.as_str());
        ordered.push(step);
        if sends {
            ordered.extend(outbox.clone());
        }
    }
    ordered
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_at_each_step_carries_on() {
    let _turn = turn().await;
    let app = (image::FAULTS, "workerpool/faults:1".into());
    let mut world = World::start(Plan {
        workers: 1,
        slots: 1,
        app,
        ..Plan::default().classic()
    })
    .await
    .unwrap();
    let points = crash_points("worker");
    let usual = worker_points(&points, Way::InSteps);
    assert!(usual.len() >= 30, "{usual:?}");
    let tasks = kill_at_every_point(&mut world, &usual, "ok", |world| &mut world.workers[0]).await;
    world
        .all_complete(&tasks, Duration::from_secs(60))
        .await
        .unwrap();

    // Aborting: an application that gives no result is never contributed.
    let clean = world.workers[0].recipe().clone();
    let mark = world.dir().join("crash-mark");
    for point in points_with(&points, "abort") {
        world.workers[0]
            .restart_as(armed(clean.clone(), &point, &mark))
            .unwrap();
        let task = buy_short(&world, "no-computed-json").await;
        reached(&world, &point, &mark).await;
        world.workers[0].restart_as(clean.clone()).unwrap();
        chain_status(&world, task, 4).await;
    }
    let last = buy(&world, 1, 1, "ok").await;
    world
        .all_complete(&last, Duration::from_secs(60))
        .await
        .unwrap();
    audit::wallets(&world.rpc(), &world.chain.pool_wallets(1).unwrap())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_at_each_step_of_finishing_a_task_alone_carries_on() {
    let _turn = turn().await;
    let app = (image::FAULTS, "workerpool/faults:1".into());
    let mut world = World::start(Plan {
        workers: 1,
        slots: 1,
        app,
        ..Plan::default()
    })
    .await
    .unwrap();
    let points = worker_points(&crash_points("worker"), Way::Alone);
    assert_eq!(points.len(), 4 + 4 + 3, "{points:?}");
    let tasks = kill_at_every_point(&mut world, &points, "ok", |world| &mut world.workers[0]).await;
    world
        .all_complete(&tasks, Duration::from_secs(60))
        .await
        .unwrap();
    let wallets = world.chain.pool_wallets(1).unwrap();
    let found = audit::wallets(&world.rpc(), &wallets).await.unwrap();
    let sent = found[&wallets[1]].transactions;
    assert_eq!(sent, tasks.len() as u64, "one transaction a task");
}

/// Waits until the armed process stands at its point.
async fn reached(world: &World, point: &str, mark: &Path) {
    let there = e2e::process::until("the crash point", Duration::from_secs(120), || async {
        Ok(mark.exists().then_some(()))
    })
    .await;
    if let Err(error) = there {
        panic!("{point}: {error:#}\n{}", world.logs());
    }
    println!("killed at {point}");
}

/// Arms the pool at `point`, lets `provoke` lead it there, kills it there, and starts it again unarmed.
pub(crate) async fn kill_pool_at<T>(
    world: &mut World,
    point: &str,
    provoke: impl AsyncFnOnce(&mut World) -> T,
) -> T {
    let mark = world.dir().join("crash-mark");
    let clean = world.pool.recipe().clone();
    world
        .pool
        .restart_as(armed(clean.clone(), point, &mark))
        .unwrap();
    let provoked = provoke(world).await;
    reached(world, point, &mark).await;
    world.pool.restart_as(clean).unwrap();
    provoked
}

/// Waits for the chain status of a task.
async fn chain_status(world: &World, task: B256, wanted: u8) {
    let rpc = world.rpc();
    let hub = world.chain.hub;
    let reached = e2e::process::until("the chain status", Duration::from_secs(120), || async {
        Ok((audit::task_status(&rpc, hub, task).await? == wanted).then_some(()))
    });
    if let Err(error) = reached.await {
        panic!("task {task} is not {wanted}: {error:#}\n{}", world.logs());
    }
}

/// Points of the scheduler that a task which goes well does not pass.
fn is_special(point: &str) -> bool {
    ["challenge", "claim", "reopen", "read-task"]
        .iter()
        .any(|part| point.contains(part))
}

pub(crate) fn points_with(points: &[String], part: &str) -> Vec<String> {
    let found: Vec<String> = points
        .iter()
        .filter(|point| point.contains(part))
        .cloned()
        .collect();
    assert!(!found.is_empty(), "no point is named after {part}");
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduler_killed_at_each_kind_of_output_carries_on() {
    let _turn = turn().await;
    let mut world = World::start(Plan {
        workers: 1,
        slots: 1,
        test_category_s: 3,
        ..Plan::default().classic()
    })
    .await
    .unwrap();
    let points = crash_points("scheduler");
    let usual: Vec<String> = points
        .iter()
        .filter(|point| !is_special(point))
        .cloned()
        .collect();
    assert!(usual.len() >= 8, "{points:?}");
    let mut tasks = kill_at_every_point(&mut world, &usual, "hello", |world| &mut world.pool).await;

    // Logins: a worker that starts anew asks for a challenge and a token.
    for point in points_with(&points, "scheduler-challenge") {
        kill_pool_at(&mut world, &point, async |world| {
            world.workers[0].kill_and_restart().unwrap()
        })
        .await;
        world.wait_for_workers(1).await.unwrap();
    }
    tasks.extend(buy(&world, 1, 1, "after the logins").await);
    world
        .all_complete(&tasks, Duration::from_secs(60))
        .await
        .unwrap();

    // Reopening: a worker contributes and is gone before it reveals. The reveal time passes, contributions are still possible.
    let worker = world.workers[0].recipe().clone();
    for point in points_with(&points, "reopen") {
        let mark = world.dir().join("worker-mark");
        world.workers[0]
            .restart_as(armed(worker.clone(), "worker:reveal:begun", &mark))
            .unwrap();
        let task = buy_short(&world, "to be reopened").await;
        chain_status(&world, task, 2).await;
        world.workers[0].kill().unwrap();
        kill_pool_at(&mut world, &point, async |_| ()).await;
        // The worker lets go of the task before the next one: resuming it would pass the armed point too.
        world.workers[0].restart_as(worker.clone()).unwrap();
        chain_status(&world, task, 4).await;
    }

    // Claiming: nobody computes, the final deadline passes.
    world.workers[0].kill().unwrap();
    for point in points_with(&points, "claim") {
        let provoke = async |world: &mut World| buy_short(world, "nobody computes").await;
        let task = kill_pool_at(&mut world, &point, provoke).await;
        chain_status(&world, task, 4).await;
    }
    audit::wallets(&world.rpc(), &world.chain.pool_wallets(1).unwrap())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduler_killed_while_it_asks_a_chain_without_blocks_carries_on() {
    let _turn = turn().await;
    // No block comes by itself: whether a deadline has passed must be asked.
    let mut world = World::start(Plan {
        workers: 0,
        block_time: 3000.0,
        test_category_s: 1,
        ..Plan::default()
    })
    .await
    .unwrap();
    for point in points_with(&crash_points("scheduler"), "read-task") {
        let provoke = async |world: &mut World| buy_short(world, "no block comes").await;
        let task = kill_pool_at(&mut world, &point, provoke).await;
        chain_status(&world, task, 4).await;
    }
    audit::wallets(&world.rpc(), &world.chain.pool_wallets(0).unwrap())
        .await
        .unwrap();
}
