//! The network of applications and their images, with whole workers: the worker's own program as what closes a network where it has only
//! the engine, and images that are there before their task.

use std::time::Duration;

use alloy_primitives::B256;
use e2e::sdk::{self, Wish};
use e2e::world::{Plan, World};
use e2e::{audit, image};
use serde_json::json;

use crate::turn;

const A_WHILE: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_has_only_the_engine_closes_the_network_with_its_own_program() {
    let _turn = turn().await;
    let mut world = World::start(Plan {
        workers: 1,
        worker_env: vec![("WORKERPOOL_WORKER_EGRESS_RULES".into(), "namespace".into())],
        ..Plan::default()
    })
    .await
    .unwrap();
    world.workers[0]
        .says(
            0,
            &["the worker starts", "in the containers' namespaces"],
            A_WHILE,
        )
        .await
        .unwrap();
    let task = world.buy_one("in a closed namespace").await.unwrap();
    world.completes(task, A_WHILE).await.unwrap();
    // Told to end, it takes with it what it had made for its slots.
    world.workers[0].terminate(A_WHILE).unwrap();
    for what in [["ps", "--all"], ["network", "ls"]] {
        let output = std::process::Command::new("docker")
            .args(what)
            .output()
            .unwrap();
        let listed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!listed.contains(world.name()), "{listed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_image_of_a_deal_that_waits_for_a_busy_worker_is_pulled_ahead() {
    let _turn = turn().await;
    let world = World::start(Plan {
        workers: 1,
        slots: 1,
        app: (image::FAULTS, "workerpool/faults:1".into()),
        test_category_s: 60,
        ..Plan::default()
    })
    .await
    .unwrap();
    let next = format!("{}/workerpool/next:1", world.registry.address());
    image::build_and_push(image::HELLO, &next).unwrap();
    let busy = world.buy_one("sleep 40").await.unwrap();
    let chain_dir = world.dir().join("chain");
    let wish = Wish::one("hello", world.chain.test_category);
    let waiting = sdk::buy_of_image(&chain_dir, &next, &[wish]).await.unwrap()[0].tasks[0];
    world.workers[0]
        .says(0, &["the image is here before its task", &next], A_WHILE)
        .await
        .unwrap();
    assert!(image::is_here(&next).unwrap());
    let said = world.workers[0].said();
    assert!(
        !said.contains("the application ended"),
        "the worker was not busy any more"
    );
    world.completes(busy, A_WHILE).await.unwrap();
    world.completes(waiting, A_WHILE).await.unwrap();
    image::remove(&next).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_not_the_one_on_the_chain_is_not_run_where_that_is_looked_at() {
    // S11
    let _turn = turn().await;
    let world = World::start(Plan {
        workers: 1,
        worker_env: vec![("WORKERPOOL_WORKER_CHECK_IMAGE_DIGEST".into(), "true".into())],
        ..Plan::default()
    })
    .await
    .unwrap();
    let name = format!("{}/workerpool/checked:1", world.registry.address());
    image::build_and_push(image::HELLO, &name).unwrap();
    let digest = world
        .registry
        .digest("workerpool/checked", "1")
        .await
        .unwrap();
    let buy = async |checksum: B256| {
        let spec = json!({
            "devnet": world.dir().join("chain"), "deals": [{"args": "hello"}],
            "app": {"name": checksum, "image": name, "checksum": checksum},
        });
        let deals: Vec<sdk::Deal> = sdk::script("buy.mjs", &spec).await.unwrap();
        deals[0].tasks[0]
    };
    let right = buy(digest).await;
    world.completes(right, A_WHILE).await.unwrap();
    // The same name, and another digest on the chain: what the requester trusts is not what is here.
    let wrong = buy(B256::repeat_byte(0x11)).await;
    world
        .replicate_reaches(wrong, "ABORTED", A_WHILE)
        .await
        .unwrap();
    let contributors = audit::contributors(&world.rpc(), world.chain.hub, wrong).await;
    assert!(
        contributors.unwrap().is_empty(),
        "workers that do not look have a result, and this is none"
    );
    let said = world.workers[0].said();
    let ran = |task: &B256| {
        let (ended, task) = ("the application ended", task.to_string());
        said.lines()
            .any(|line| line.contains(ended) && line.contains(&task))
    };
    assert!(ran(&right) && !ran(&wrong), "{said}");
    image::remove(&name).unwrap();
}
