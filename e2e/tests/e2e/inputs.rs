//! What a deal may bring with it: datasets, input files, arguments of any kind, callbacks, parameters that are no parameters. Bought with
//! the SDK where the SDK allows it.

use std::path::PathBuf;
use std::time::Duration;

use alloy_primitives::{Address, B256, hex};
use e2e::files::Files;
use e2e::process::until;
use e2e::sdk::{self, Deal};
use e2e::world::{self, Plan, World};
use e2e::{audit, ports};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::turn;

const APP: &str = include_str!("../../app/inputs.sh");

fn sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

/// A world whose workers may fetch from this machine, if `private`.
async fn world(files: &Files, private: bool) -> World {
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    World::start(Plan {
        workers: 1,
        slots: 4,
        app: (APP, "workerpool/inputs:1".into()),
        worker_env: vec![
            set(
                "WORKERPOOL_WORKER_ALLOW_PRIVATE_DOWNLOADS",
                &private.to_string(),
            ),
            set("WORKERPOOL_WORKER_IPFS_GATEWAYS", files.base()),
        ],
        ..Plan::default()
    })
    .await
    .unwrap()
}

fn chain_dir(world: &World) -> PathBuf {
    world.dir().join("chain")
}

async fn buy(world: &World, script: &str, deals: Value) -> Vec<Deal> {
    let spec = json!({"devnet": chain_dir(world), "deals": deals});
    sdk::script(script, &spec).await.unwrap()
}

/// Waits for a final status at the scheduler and gives the task as its API shows it.
async fn ended(world: &World, task: B256) -> Value {
    let view = until(
        "a final status of the task",
        Duration::from_secs(120),
        || async {
            let url = format!("{}/tasks/{task}", world.scheduler_url);
            let view: Value = reqwest::get(url).await?.json().await?;
            let over = matches!(view["currentStatus"].as_str(), Some("COMPLETED" | "FAILED"));
            Ok(over.then_some(view))
        },
    )
    .await;
    view.unwrap_or_else(|error| panic!("{error:#}\n{}", world.logs()))
}

async fn completed(world: &World, task: B256) {
    let view = ended(world, task).await;
    assert_eq!(
        view["currentStatus"],
        "COMPLETED",
        "{view:#}\n{}",
        world.logs()
    );
}

async fn downloaded(world: &World, task: B256, file: &str) -> String {
    let out = world.dir().join("results");
    let downloads = sdk::fetch(&chain_dir(world), &out, &[(task, true)])
        .await
        .unwrap();
    sdk::text_in(&downloads[0].file, file).unwrap()
}

/// The cause that the task's one replicate has in its history of `status`.
fn cause(view: &Value, status: &str) -> Value {
    let history = view["replicates"][0]["statusUpdateList"]
        .as_array()
        .unwrap();
    let step = history.iter().find(|step| step["status"] == status);
    step.unwrap_or_else(|| panic!("no {status} in {view:#}"))["cause"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn dataset_input_files_and_arguments_reach_the_application_and_a_callback_its_contract() {
    let _turn = turn().await;
    let cid = "QmRwwTz9Chq4Y7F7ReKKcx1GV6s3H7egmNGrku9XrwiDa8";
    let in_ipfs = format!("/ipfs/{cid}");
    let files = Files::serve(&[
        ("/data.bin", "the dataset"),
        (&in_ipfs, "the dataset of IPFS"),
        ("/input?of=a%20b", "an input file"),
        ("/slow", "a slow file"),
    ])
    .unwrap();
    let mut world = world(&files, true).await;
    let [client]: [Deployed; 1] = sdk::script(
        "deploy.mjs",
        &json!({"devnet": chain_dir(&world), "contract": "tools/testing/TestClient"}),
    )
    .await
    .unwrap()
    .try_into()
    .unwrap();

    let input = files.url("/input?of=a%20b");
    let dataset = |uri: &str, content: &str| json!({"name": uri, "uri": uri, "checksum": format!("0x{}", sha256(content))});
    let bytes = format!("0x{}", "c0ffee".repeat(20));
    let deals = buy(
        &world,
        "buy.mjs",
        json!([
            {
                "dataset": dataset(&files.url("/data.bin"), "the dataset"),
                "params": {
                    "iexec_args": r#"plain "two words" 'it is "quoted"' grüße 日本語 say \"hi\" 😀 '' last"#,
                    "iexec_input_files": [input],
                },
            },
            {"dataset": dataset(&in_ipfs, "the dataset of IPFS"), "args": "from-ipfs"},
            {"callback": client.address, "args": format!("call-back {bytes}")},
            {"dataset": dataset(&files.url("/data.bin?again"), "another dataset"), "args": "never"},
            {"dataset": dataset(&files.url("/data.bin"), "another dataset"), "args": "never"},
            {"params": {"iexec_args": "never", "iexec_input_files": [files.url("/round/and/round")]}},
        ]),
    )
    .await;
    let tasks: Vec<B256> = deals.iter().map(|deal| deal.tasks[0]).collect();

    completed(&world, tasks[0]).await;
    let told = downloaded(&world, tasks[0], "result.txt").await;
    let address = dataset_of(&world, &deals[0]).await;
    let (name, hash) = (format!("0x{}", sha256(&input)), sha256("the dataset"));
    let mut lines = vec![
        "argument <plain>".to_owned(),
        "argument <two words>".to_owned(),
        "argument <it is \"quoted\">".to_owned(),
        "argument <grüße>".to_owned(),
        "argument <日本語>".to_owned(),
        "argument <say>".to_owned(),
        r#"argument <\"hi\">"#.to_owned(),
        "argument <😀>".to_owned(),
        "argument <last>".to_owned(),
        format!("dataset {address}"),
        "files 1 in /iexec_in".to_owned(),
        format!("first file {name}"),
    ];
    let mut inputs = vec![
        format!("input {address} {hash}"),
        format!("input {name} {}", sha256("an input file")),
    ];
    inputs.sort();
    lines.append(&mut inputs);
    assert_eq!(told.lines().collect::<Vec<_>>(), lines);

    completed(&world, tasks[1]).await;
    let told = downloaded(&world, tasks[1], "result.txt").await;
    assert!(told.contains(&sha256("the dataset of IPFS")), "{told}");

    completed(&world, tasks[2]).await;
    let rpc = world.rpc();
    let got = rpc
        .logs(client.address, "GotResult(bytes32,bytes)", tasks[2])
        .await
        .unwrap();
    let logged = hex::encode_prefixed(&got[0].data);
    assert_eq!(got.len(), 1);
    assert!(logged.contains(bytes.trim_start_matches("0x")), "{logged}");
    let link = audit::results(&rpc, world.chain.hub, tasks[2])
        .await
        .unwrap();
    let address = format!("{:#x}", client.address);
    assert_eq!(
        link,
        format!(r#"{{ "storage": "ethereum", "location": "{address}" }}"#)
    );

    // What does not come, or is not what it should be, is a result that says so.
    for (task, words) in [
        (tasks[3], "DATASET_FILE_DOWNLOAD_FAILED"),
        (tasks[4], "DATASET_FILE_BAD_CHECKSUM"),
        (tasks[5], "INPUT_FILES_DOWNLOAD_FAILED"),
    ] {
        completed(&world, task).await;
        let told = downloaded(&world, task, "error.txt").await;
        assert_eq!(
            told,
            format!(
                "[IEXEC] Errors occurred while computing the task [error:DATA_DOWNLOAD_FAILED, causes:[WorkflowError[cause={words}, message=]]]"
            )
        );
    }
    let times = |path: &str| {
        let asked = files.asked();
        asked.iter().filter(|asked| asked.contains(path)).count()
    };
    assert_eq!(times("/round"), 6, "the first and five redirects");

    // Killed in the middle of a download: the half is thrown away, the rest of the task is as if nothing had been.
    let wish = json!([{"params": {"iexec_args": "after the kill", "iexec_input_files": [files.url("/slow")]}}]);
    let deals = buy(&world, "buy.mjs", wish).await;
    until(
        "the half of a slow file",
        Duration::from_secs(60),
        || async { Ok((times("/slow") == 1).then_some(())) },
    )
    .await
    .unwrap();
    world.workers[0].kill_and_restart().unwrap();
    completed(&world, deals[0].tasks[0]).await;
    let told = downloaded(&world, deals[0].tasks[0], "result.txt").await;
    assert!(told.contains(&sha256("a slow file")), "{told}");
    assert_eq!(times("/slow"), 2);
}

#[derive(Debug, Deserialize)]
struct Deployed {
    address: Address,
}

/// The dataset of a deal as the chain has it, in small letters.
async fn dataset_of(world: &World, deal: &Deal) -> String {
    let words = world
        .rpc()
        .view(world.chain.hub, "viewDeal(bytes32)", &[deal.dealid])
        .await
        .unwrap();
    // The struct begins at word 1 with the three words of the application.
    format!("{:#x}", words.address(1 + 3).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requester_cannot_send_a_worker_into_its_own_network() {
    // S1, S2, S15
    let _turn = turn().await;
    let files = Files::serve(&[("/secret", "a secret"), ("/ipfs/Qm", "of IPFS")]).unwrap();
    let world = world(&files, false).await;
    let category = world.chain.test_category;
    let nowhere = format!("http://127.0.0.1:{}", ports::free().unwrap());
    let deals = buy(
        &world,
        "buy.mjs",
        json!([
            {"params": {"iexec_args": "a", "iexec_input_files": [files.url("/secret")]}},
            {"params": {"iexec_args": "a", "iexec_input_files": ["http://localhost:1/"]}},
            {"params": {"iexec_args": "a", "iexec_result_storage_proxy": nowhere}, "category": category},
            {"params": {"iexec_args": "a", "iexec_result_storage_proxy": world.gateway_url}},
        ]),
    )
    .await;
    for deal in &deals[..2] {
        completed(&world, deal.tasks[0]).await;
        let told = downloaded(&world, deal.tasks[0], "error.txt").await;
        assert!(told.contains("INPUT_FILES_DOWNLOAD_FAILED"), "{told}");
    }
    assert!(files.asked().is_empty());
    let view = ended(&world, deals[2].tasks[0]).await;
    assert_eq!(view["currentStatus"], "FAILED", "{view:#}");
    assert_eq!(
        cause(&view, "START_FAILED"),
        "TASK_DESCRIPTION_INVALID",
        "{view:#}"
    );
    // The pool's own proxy may be named, though it is on this machine.
    completed(&world, deals[3].tasks[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_proxy_that_the_requester_names_is_given_the_result_where_that_is_allowed() {
    let _turn = turn().await;
    let allowed = |role: &str| {
        let name = format!("WORKERPOOL_{role}_ALLOW_PRIVATE_PROXIES");
        vec![(name, "true".to_owned())]
    };
    let world = World::start(Plan {
        workers: 1,
        pool_env: allowed("SCHEDULER"),
        worker_env: allowed("WORKER"),
        ..Plan::default()
    })
    .await
    .unwrap();
    let port = ports::free().unwrap();
    let own = format!("http://127.0.0.1:{port}");
    let _proxy = world::program(world.dir(), "requesters-proxy")
        .unwrap()
        .with_args(["result-proxy"])
        .with_env(&world::environment(&chain_dir(&world).join("devnet.env")).unwrap())
        .with("IEXEC_RESULT_PROXY_PORT", port.to_string())
        .with(
            "WORKERPOOL_RESULT_PROXY_DATA_DIR",
            world.dir().join("requesters-results").display().to_string(),
        )
        .start()
        .unwrap();
    let deals = buy(
        &world,
        "buy.mjs",
        json!([{"params": {"iexec_args": "to my own", "iexec_result_storage_proxy": own}}]),
    )
    .await;
    let task = deals[0].tasks[0];
    completed(&world, task).await;
    let hash = async |proxy: &str| {
        let answer = reqwest::get(format!("{proxy}/v1/results/{task}/ipfshash")).await;
        let answer = answer.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, cid) = hash(&own).await;
    assert_eq!(status, 200, "{cid}");
    assert_eq!(hash(&world.gateway_url).await.0, 404);
    let link = audit::results(&world.rpc(), world.chain.hub, task)
        .await
        .unwrap();
    assert!(link.contains(&format!("/ipfs/{cid}")), "{link}");
    let archive = reqwest::get(format!("{own}/ipfs/{cid}")).await.unwrap();
    assert_eq!(archive.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_that_are_none_have_a_clear_end_and_hold_up_nobody() {
    let _turn = turn().await;
    let files = Files::serve(&[]).unwrap();
    let world = world(&files, false).await;
    let category = world.chain.test_category;
    let ipfs = |args: &str| {
        json!({"iexec_args": args, "iexec_result_storage_provider": "ipfs"}).to_string()
    };
    // As much as a block takes usually, for the chain stores every word of it; and far more than any program takes as an argument.
    let long = "x".repeat(30_000);
    let more = json!(["0x77359400"]);
    let _no_answer: Value = world
        .rpc()
        .request("evm_setBlockGasLimit", more)
        .await
        .unwrap();
    let deals = buy(
        &world,
        "raw.mjs",
        json!([
            // Without parameters nothing says where the result shall go: computed, and uploaded nowhere (Q66).
            {"params": "no JSON 'at all'", "category": category},
            {"params": "null", "category": category},
            {"params": "[]", "category": category},
            {"params": "", "category": category},
            {"params": r#"{"iexec_args":"a","iexec_developer_logger":true}"#, "category": category},
            {"params": json!({"iexec_args": "a", "iexec_result_storage_provider": "dropbox"}).to_string(), "category": category},
            {"letters": 1_000_000, "gas": 1_000_000_000, "category": category},
            // Quotes that are not closed leave no arguments; a requester of zeros is one like any other.
            {"params": ipfs("'never closed")},
            {"params": ipfs("of nobody"), "nobody": true},
            {"params": ipfs(&long)},
        ]),
    )
    .await;
    for (at, deal) in deals.iter().enumerate().take(7) {
        let view = ended(&world, deal.tasks[0]).await;
        assert_eq!(
            view["currentStatus"],
            "FAILED",
            "{at}: {view:#}\n{}",
            world.logs()
        );
        let (said, id) = (world.workers[0].said(), deal.tasks[0].to_string());
        let told = |word| {
            said.lines()
                .any(|line| line.contains(&id) && line.contains(word))
        };
        assert!(told("WARN"), "{at}: nothing was said about {id}\n{said}");
        if at < 6 {
            let why = cause(&view, "RESULT_UPLOAD_FAILED");
            assert_eq!(why, "RESULT_LINK_MISSING", "{at}: {view:#}");
        } else {
            // No program is started with so long an argument.
            assert!(told("DETERMINISM_HASH_NOT_FOUND"), "{said}");
        }
    }
    for (at, argument) in [
        (7, None),
        (8, Some("argument <of>")),
        (9, Some(&*format!("argument <{long}>"))),
    ] {
        completed(&world, deals[at].tasks[0]).await;
        let told = downloaded(&world, deals[at].tasks[0], "result.txt").await;
        let first = told.lines().find(|line| line.starts_with("argument"));
        assert_eq!(first, argument, "{at}");
    }
    assert!(files.asked().is_empty());
}
