//! Applications and images that go wrong: what the requester gets, what the task becomes, and that the next one runs.

use std::time::Duration;

use alloy_primitives::B256;
use e2e::process::until;
use e2e::sdk::{self, Wish};
use e2e::world::{Plan, World};
use e2e::{audit, image, ports};
use serde_json::Value;

use crate::turn;

/// A deal of one task in the category whose task is over, contributed or not, ten seconds after the purchase.
fn short(args: &str, category: u64) -> Wish {
    Wish {
        volume: 1,
        trust: 1,
        category,
        args: args.into(),
    }
}

async fn task_view(world: &World, task: B256) -> anyhow::Result<Value> {
    Ok(
        reqwest::get(format!("{}/tasks/{task}", world.scheduler_url))
            .await?
            .json()
            .await?,
    )
}

/// Waits for a final status at the scheduler and gives the task as its API shows it.
async fn ended(world: &World, task: B256) -> Value {
    let view = until(
        "a final status of the task",
        Duration::from_secs(120),
        || async {
            let view = task_view(world, task).await?;
            let over = matches!(view["currentStatus"].as_str(), Some("COMPLETED" | "FAILED"));
            Ok(over.then_some(view))
        },
    )
    .await;
    view.unwrap_or_else(|error| panic!("{error:#}\n{}", world.logs()))
}

fn history(of: &Value, list: &str) -> Vec<String> {
    of[list]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["status"].as_str().unwrap().to_owned())
        .collect()
}

async fn downloaded(world: &World, task: B256, file: &str) -> String {
    let out = world.dir().join("results");
    let downloads = sdk::fetch(&world.dir().join("chain"), &out, &[(task, true)])
        .await
        .unwrap();
    sdk::text_in(&downloads[0].file, file).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_gives_no_result_fails_its_task_and_frees_everything() {
    let _turn = turn().await;
    let app = (image::FAULTS, "workerpool/faults:1".into());
    let world = World::start(Plan {
        workers: 1,
        slots: 4,
        app,
        ..Plan::default()
    })
    .await
    .unwrap();
    let category = world.chain.test_category;
    let chain_dir = world.dir().join("chain");
    let modes = ["no-computed-json", "exit", "outside", "above"];
    let wishes: Vec<Wish> = modes.iter().map(|mode| short(mode, category)).collect();
    let deals = sdk::buy(&chain_dir, "1 RLC", "2 RLC", &wishes)
        .await
        .unwrap();
    let rpc = world.rpc();
    for (deal, mode) in deals.iter().zip(modes) {
        let task = deal.tasks[0];
        let view = ended(&world, task).await;
        assert_eq!(view["currentStatus"], "FAILED", "{mode}: {view:#}");
        assert!(
            history(&view, "dateStatusList").contains(&"CONTRIBUTION_TIMEOUT".to_owned()),
            "{mode}: {view:#}"
        );
        assert!(
            audit::contributors(&rpc, world.chain.hub, task)
                .await
                .unwrap()
                .is_empty(),
            "{mode} must not contribute"
        );
        if mode == "exit" {
            assert_eq!(view["replicates"][0]["appExitCode"], 3, "{view:#}");
        }
        until(
            "the claim of the failed task",
            Duration::from_secs(60),
            || async {
                Ok((audit::task_status(&rpc, world.chain.hub, task).await? == 4).then_some(()))
            },
        )
        .await
        .unwrap_or_else(|error| panic!("{mode}: {error:#}\n{}", world.logs()));
    }

    // The worker is none the worse: the next task runs. So does one that fails only after it has written its result.
    let wishes = [short("ok", 0), short("exit-after-result", 0)];
    for deal in sdk::buy(&chain_dir, "1 RLC", "2 RLC", &wishes)
        .await
        .unwrap()
    {
        let view = ended(&world, deal.tasks[0]).await;
        assert_eq!(
            view["currentStatus"],
            "COMPLETED",
            "{view:#}\n{}",
            world.logs()
        );
    }
    audit::wallets(&rpc, &world.chain.pool_wallets(1).unwrap())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_had_gives_the_requester_a_result_that_says_so() {
    let _turn = turn().await;
    let world = World::start(Plan {
        workers: 1,
        slots: 2,
        ..Plan::default()
    })
    .await
    .unwrap();
    let chain_dir = world.dir().join("chain");
    let nobody = ports::free().unwrap();
    let images = [
        format!("{}/workerpool/absent:1", world.registry.address()),
        format!("127.0.0.1:{nobody}/workerpool/hello:1"),
    ];
    for image in &images {
        let deals = sdk::buy_of_image(&chain_dir, image, &[short("", 0)])
            .await
            .unwrap();
        let view = ended(&world, deals[0].tasks[0]).await;
        assert_eq!(
            view["currentStatus"],
            "COMPLETED",
            "{image}: {view:#}\n{}",
            world.logs()
        );
        assert!(
            history(&view["replicates"][0], "statusUpdateList")
                .contains(&"APP_DOWNLOAD_FAILED".to_owned()),
            "{view:#}"
        );
        let text = downloaded(&world, deals[0].tasks[0], "error.txt").await;
        assert_eq!(
            text,
            "[IEXEC] Errors occurred while computing the task [error:APP_DOWNLOAD_FAILED, \
             causes:[WorkflowError[cause=APP_IMAGE_DOWNLOAD_FAILED, message=]]]"
        );
    }
    // The operator is told which of the two it was.
    let log = std::fs::read_to_string(world.workers[0].log()).unwrap();
    assert!(log.contains("not found"), "{log}");
    assert!(log.contains("reach"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_goes_away_in_the_middle_stops_nothing_for_good() {
    let _turn = turn().await;
    let app = (image::FAULTS, "workerpool/faults:1".into());
    let world = World::start(Plan {
        workers: 1,
        slots: 2,
        app,
        ..Plan::default()
    })
    .await
    .unwrap();
    let deals = sdk::buy(
        &world.dir().join("chain"),
        "1 RLC",
        "2 RLC",
        &[short("sleep 3", 0)],
    )
    .await
    .unwrap();
    let task = deals[0].tasks[0];
    until("the computation", Duration::from_secs(60), || async {
        let view = task_view(&world, task).await?;
        Ok(view["replicates"][0]["currentStatus"]
            .as_str()
            .is_some_and(|status| status == "COMPUTING")
            .then_some(()))
    })
    .await
    .unwrap_or_else(|error| panic!("{error:#}\n{}", world.logs()));

    // The whole node stands still: connections are taken, and never answered.
    world.devnet.signal_family("STOP").unwrap();
    let health = format!("{}/actuator/health", world.scheduler_url);
    until("OUT_OF_SERVICE", Duration::from_secs(60), || async {
        Ok((reqwest::get(&health).await?.status().as_u16() == 503).then_some(()))
    })
    .await
    .unwrap();
    world.devnet.signal_family("CONT").unwrap();

    let view = ended(&world, task).await;
    assert_eq!(
        view["currentStatus"],
        "COMPLETED",
        "{view:#}\n{}",
        world.logs()
    );
    audit::wallets(&world.rpc(), &world.chain.pool_wallets(1).unwrap())
        .await
        .unwrap();
}
