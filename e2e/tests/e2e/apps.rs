//! Applications that use up what is not theirs, and outputs that are not what they seem: the machine and the other tasks are none the
//! worse, and the requester and the operator can read why.

use std::time::Duration;

use alloy_primitives::B256;
use e2e::process::until;
use e2e::sdk::{self, Wish};
use e2e::world::{Plan, World};
use e2e::{audit, image};
use serde_json::Value;

use crate::turn;

const A_WHILE: Duration = Duration::from_secs(60);

async fn world(worker_env: &[(&str, &str)]) -> World {
    World::start(Plan {
        workers: 1,
        slots: 8,
        app: (image::FAULTS, "workerpool/faults:1".into()),
        // Long enough to fill and print, short enough to be waited for: all is over after ten times that.
        test_category_s: 2,
        worker_env: worker_env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..Plan::default()
    })
    .await
    .unwrap()
}

/// Buys one task for each of `args` in the short category.
async fn buy(world: &World, args: &[&str]) -> Vec<B256> {
    let category = world.chain.test_category;
    let wishes: Vec<Wish> = args.iter().map(|args| Wish::one(args, category)).collect();
    let chain_dir = world.dir().join("chain");
    sdk::buy(&chain_dir, "1 RLC", "2 RLC", &wishes)
        .await
        .unwrap()
        .into_iter()
        .flat_map(|deal| deal.tasks)
        .collect()
}

/// Waits until the worker has said all of `words` about the task.
async fn told(world: &World, task: B256, words: &[&str]) -> String {
    let task = task.to_string();
    let all: Vec<&str> = words.iter().copied().chain([task.as_str()]).collect();
    world.workers[0].says(0, &all, A_WHILE).await.unwrap()
}

fn replicate(view: &Value) -> &Value {
    &view["replicates"][0]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_uses_up_the_machine_is_stopped_and_never_contributed() {
    let _turn = turn().await;
    let world = world(&[
        ("WORKERPOOL_WORKER_TASK_DISK", "16777216"),
        ("WORKERPOOL_WORKER_TASK_LOGS", "67108864"),
    ])
    .await;
    let rows = [
        ("print 1073741824", "TooMuchText"),
        ("fill 67108864", "TooMuchDisk"),
    ];
    let rpc = world.rpc();
    for (args, ended) in rows {
        // In a category of minutes: what ends them is not their time.
        let task = world.buy_one(args).await.unwrap();
        told(&world, task, &["the application ended", ended]).await;
        world
            .replicate_reaches(task, "COMPUTE_FAILED", A_WHILE)
            .await
            .unwrap_or_else(|error| panic!("{args}: {error:#}"));
        // Another of the same worker runs.
        let honest = world.buy_one("ok").await.unwrap();
        world.completes(honest, A_WHILE).await.unwrap();
        assert!(
            audit::contributors(&rpc, world.chain.hub, task)
                .await
                .unwrap()
                .is_empty(),
            "{args}"
        );
    }
    world.audit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_by_itself_is_ended_when_its_time_is_over() {
    let _turn = turn().await;
    let world = world(&[("WORKERPOOL_WORKER_TASK_PIDS", "64")]).await;
    let args = ["forever", "deaf", "forks"];
    let tasks = buy(&world, &args).await;
    for (task, args) in tasks.iter().zip(args) {
        let line = told(&world, *task, &["the application ended", "TimedOut"]).await;
        assert!(line.contains("elapsed_ms=2"), "{args}: {line}");
        // What it left when it was stopped is a result all the same, without what it printed.
        let view = world.reaches(*task, &["COMPLETED"], A_WHILE).await.unwrap();
        assert_eq!(replicate(&view)["appExitCode"], -1, "{args}: {view:#}");
        let out = world.dir().join("results");
        let downloads = sdk::fetch(&world.dir().join("chain"), &out, &[(*task, true)])
            .await
            .unwrap();
        let text = sdk::text_in(&downloads[0].file, "result.txt").unwrap();
        assert_eq!(text, format!("mode {args} task {task}\n"));
        assert!(sdk::text_in(&downloads[0].file, "stdout.txt").is_err());
    }
    // Their containers are gone, and what they had started with them.
    until("no container of ours", A_WHILE, || async {
        let output = std::process::Command::new("docker")
            .args(["ps", "--all", "--format", "{{.Names}}"])
            .output()?;
        let names = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok((!names.contains(world.name())).then_some(()))
    })
    .await
    .unwrap();
    let honest = world.buy_one("ok").await.unwrap();
    world.completes(honest, A_WHILE).await.unwrap();
    world.audit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_that_are_not_what_they_seem_are_not_read() {
    let _turn = turn().await;
    let world = world(&[("WORKERPOOL_WORKER_RESULT_BYTES", "16777216")]).await;
    let refused = [
        "folder-link",
        "fifo",
        "fifo-for-computed",
        "link-for-computed",
        "sparse",
        "sparse-beside",
    ];
    let tasks = buy(&world, &refused).await;
    for (task, args) in tasks.iter().zip(refused) {
        let line = told(&world, *task, &["there is no result to contribute"]).await;
        assert!(line.contains("error="), "{args}: {line}");
    }
    // A pipe and links beside an honest result are left out of it; a link in the place of a log is replaced.
    for args in ["fifo-beside", "stdout-link"] {
        let task = world.buy_one(args).await.unwrap();
        world
            .completes(task, A_WHILE)
            .await
            .unwrap_or_else(|error| panic!("{args}: {error:#}"));
        let out = world.dir().join("results");
        let downloads = sdk::fetch(&world.dir().join("chain"), &out, &[(task, true)])
            .await
            .unwrap();
        let text = sdk::text_in(&downloads[0].file, "result.txt").unwrap();
        assert_eq!(text, format!("mode {args} task {task}\n"));
    }
    let rpc = world.rpc();
    for (task, args) in tasks.iter().zip(refused) {
        let view = world.reaches(*task, &["FAILED"], A_WHILE).await.unwrap();
        assert!(
            audit::contributors(&rpc, world.chain.hub, *task)
                .await
                .unwrap()
                .is_empty(),
            "{args}: {:#}",
            replicate(&view)
        );
    }
    world.audit().await.unwrap();
}
