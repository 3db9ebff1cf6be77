//! Wrong settings and missing neighbours: what the operator reads before anything starts, and the exit code.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use e2e::process::{Process, Recipe};
use e2e::world::{self, Plan, World};
use e2e::{ports, sdk};

use crate::turn;

/// Starts a role that must refuse to run; gives its exit code and what it said.
fn refused(recipe: &Recipe, patience: Duration) -> (i32, String) {
    let mut process: Process = recipe.start().unwrap();
    let status = process.wait(patience).unwrap();
    (
        status.code().unwrap_or(-1),
        std::fs::read_to_string(process.log()).unwrap(),
    )
}

/// A second pool beside the world's own, in a folder of its own, so that its settings alone are at fault.
fn second_pool(world: &World, name: &str) -> Recipe {
    let dir = world.dir().join(name);
    std::fs::create_dir_all(&dir).unwrap();
    let mut recipe = world.pool.recipe().clone();
    recipe.dir = dir.clone();
    recipe.name = name.to_owned();
    for port in [
        "IEXEC_CORE_PORT",
        "IEXEC_CONFIG_SERVER_PORT",
        "IEXEC_RESULT_PROXY_PORT",
    ] {
        recipe = recipe.with(port, ports::free().unwrap().to_string());
    }
    // Their URLs follow from the ports.
    recipe
        .with("IEXEC_CONFIG_SERVER_URL", "")
        .with("IEXEC_RESULT_REPOSITORY_URL", "")
        .with(
            "WORKERPOOL_DATA_DIR",
            dir.join("data").display().to_string(),
        )
}

fn wallet_of(world: &World, role: &str) -> String {
    world
        .chain
        .party(role)
        .unwrap()
        .wallet
        .display()
        .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_before_anything_starts() {
    let _turn = turn().await;
    let mut world = World::start(Plan {
        workers: 1,
        ..Plan::default()
    })
    .await
    .unwrap();
    let quick = Duration::from_secs(30);

    // A wrong password: the file is named, the password is not.
    let (code, said) = refused(
        &second_pool(&world, "password").with("IEXEC_CORE_WALLET_PASSWORD", "not-it"),
        quick,
    );
    assert_ne!(code, 0, "{said}");
    assert!(
        said.contains("the password does not open the wallet")
            && said.contains(&wallet_of(&world, "scheduler")),
        "{said}"
    );
    assert!(!said.contains("not-it"), "{said}");

    // A wallet that does not own the pool: both addresses.
    let stranger = wallet_of(&world, "worker3");
    let (code, said) = refused(
        &second_pool(&world, "owner").with("IEXEC_CORE_WALLET_PATH", stranger),
        quick,
    );
    assert_ne!(code, 0, "{said}");
    assert!(
        said.contains("this wallet does not own the workerpool"),
        "{said}"
    );
    let said_low = said.to_lowercase();
    for role in ["worker3", "scheduler"] {
        let address = world
            .chain
            .party(role)
            .unwrap()
            .address
            .to_string()
            .to_lowercase();
        assert!(said_low.contains(&address), "{address} in {said}");
    }

    // Another chain id than the node's, and a hub where there is none.
    let (code, said) = refused(
        &second_pool(&world, "chain").with("IEXEC_CHAIN_ID", "134"),
        quick,
    );
    assert_ne!(code, 0, "{said}");
    assert!(said.contains("134") && said.contains("65535"), "{said}");
    let nowhere = "0x00000000000000000000000000000000000000aa";
    let (code, said) = refused(
        &second_pool(&world, "hub").with("IEXEC_HUB_ADDRESS", nowhere),
        quick,
    );
    assert_ne!(code, 0, "{said}");
    assert!(said.to_lowercase().contains(nowhere), "{said}");

    // A port that is taken, with its name and the variable to set.
    let taken = world.scheduler_url.rsplit(':').next().unwrap();
    let (code, said) = refused(
        &second_pool(&world, "port").with("IEXEC_CORE_PORT", taken),
        quick,
    );
    assert_ne!(code, 0, "{said}");
    assert!(
        said.contains(taken) && said.contains("IEXEC_CORE_PORT"),
        "{said}"
    );

    // A data folder that another process uses.
    let own = world.dir().join("data").display().to_string();
    let (code, said) = refused(
        &second_pool(&world, "folder").with("WORKERPOOL_DATA_DIR", own),
        quick,
    );
    assert_ne!(code, 0, "{said}");
    assert!(said.contains("data"), "{said}");

    // A data folder of another pool of the same owner: both pools.
    let other = sdk::further_pool(&world.dir().join("chain"), "another pool")
        .await
        .unwrap();
    world.pool.terminate(quick).unwrap();
    let own = world.dir().join("data").display().to_string();
    let recipe = second_pool(&world, "other-pool")
        .with("WORKERPOOL_DATA_DIR", own)
        .with("POOL_ADDRESS", format!("{other:#x}"));
    let (code, said) = refused(&recipe, quick);
    assert_ne!(code, 0, "{said}");
    let first = world.chain.workerpool;
    assert!(
        said.contains(&format!("{first:#x}")) && said.contains(&format!("{other:#x}")),
        "{said}"
    );

    // Several errors at once, with exit code 64, and nothing bound.
    let recipe = second_pool(&world, "several")
        .with("IEXEC_CORE_PORT", "many")
        .with("POOL_ADDRESS", "0x12");
    let (code, said) = refused(&recipe, quick);
    assert_eq!(code, 64, "{said}");
    assert!(
        said.contains("IEXEC_CORE_PORT") && said.contains("POOL_ADDRESS"),
        "{said}"
    );

    // A node that nobody listens at.
    let nobody = format!("http://127.0.0.1:{}", ports::free().unwrap());
    let (code, said) = refused(
        &second_pool(&world, "node").with("IEXEC_BLOCKCHAIN_NODE_ADDRESS", nobody.clone()),
        Duration::from_secs(120),
    );
    assert_eq!(code, 69, "{said}");
    assert!(
        said.contains(nobody.trim_start_matches("http://")),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_says_what_keeps_it_from_starting() {
    let _turn = turn().await;
    let mut world = World::start(Plan {
        workers: 1,
        ..Plan::default()
    })
    .await
    .unwrap();
    let worker = world.workers[0].recipe().clone();
    world.workers[0].kill().unwrap();
    let quick = Duration::from_secs(60);
    let second = |name: &str| Recipe {
        name: name.to_owned(),
        ..worker.clone()
    };

    let (code, said) = refused(
        &second("password").with("IEXEC_WORKER_WALLET_PASSWORD", "not-it"),
        quick,
    );
    assert_ne!(code, 0, "{said}");
    assert!(
        said.contains("the password does not open the wallet") && !said.contains("not-it"),
        "{said}"
    );

    let (code, said) = refused(
        &second("docker").with("DOCKER_HOST", "unix:///nowhere/docker.sock"),
        quick,
    );
    assert_ne!(code, 0, "{said}");
    assert!(said.contains("/nowhere/docker.sock"), "{said}");

    // Q6: the pool is compared with the scheduler's.
    let other = "0x00000000000000000000000000000000000000aa";
    let (code, said) = refused(&second("pool").with("POOL_ADDRESS", other), quick);
    assert_ne!(code, 0, "{said}");
    assert!(said.to_lowercase().contains(other), "{said}");

    // S12: the sample password is nobody's.
    let (code, said) = refused(
        &second("sample").with("IEXEC_WORKER_WALLET_PASSWORD", "whatever"),
        quick,
    );
    assert_ne!(code, 0, "{said}");
    assert!(said.contains("IEXEC_WORKER_WALLET_PASSWORD"), "{said}");
}

#[test]
fn the_local_chain_says_what_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let devnet = |extra: &[(&str, &str)], args: &[&str]| {
        let output = Command::new("timeout")
            .arg("60")
            .arg(world::binary().unwrap())
            .arg("devnet")
            .args(args)
            .current_dir(folder.path())
            .env_remove("WORKERPOOL_ANVIL")
            .env_remove("WORKERPOOL_POCO_PACKAGE")
            .env("PATH", "/usr/bin:/bin")
            // A chain prepared earlier would need no contracts.
            .env("WORKERPOOL_DEVNET_CACHE", folder.path().join("cache"))
            .envs(extra.iter().copied())
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, said) = devnet(&[], &["--port", "0"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("anvil") && said.contains("make setup"),
        "{said}"
    );

    let anvil = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil");
    let (code, said) = devnet(
        &[("WORKERPOOL_ANVIL", anvil.to_str().unwrap())],
        &["--port", "0"],
    );
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("@iexec/poco") && said.contains("make setup"),
        "{said}"
    );
}
