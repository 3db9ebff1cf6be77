//! The whole life of a task with a Java worker, once for each version.

use alloy_primitives::B256;
use serde_json::{Value, json};

use crate::jackson::Bodies;
use crate::support::World;
use crate::worker::{BOTH, JavaWorker, TO_COMPUTING, Variant, receipt};

const SESSION: &str = "c6e8987433794c659fc31ec439b4ec38";
const LINK: &str =
    r#"{ "storage": "ipfs", "location": "/ipfs/QmTk7rYfCeHdfT1Ma1tpr1joagFLdGUKDPSGuydx3Nxeyp" }"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_each_version_goes_all_the_way() {
    let mut bodies = Bodies::default();
    for variant in BOTH {
        bodies.extend(all_the_way(variant).await);
    }
    bodies.decode();
}

async fn all_the_way(variant: Variant) -> Bodies {
    let (world, mut bodies) = (World::new().await, Bodies::default());
    let worker = JavaWorker::start(&world, variant, 1, 1, &mut bodies).await;
    assert_eq!(
        worker.interrupted(&world, &mut bodies).await,
        Vec::<Value>::new()
    );
    assert_eq!(worker.ask(&world).await.status, 204);
    let task = world.deal(1, 1).await[0];
    worker.is_given(&world, task, &mut bodies).await;
    let channel = worker.listens(&world, SESSION, task).await;
    let computing = worker.get(&world, "/workers/computing").await;
    bodies.add_for(variant, "/workers/computing", &computing);
    assert_eq!(computing.text, format!("[\"{task}\"]"));

    worker
        .contributes(&world, task, B256::repeat_byte(1), &mut bodies)
        .await;
    let consensus = world.node.consensus(task, B256::repeat_byte(1));
    channel.is_told("PLEASE_REVEAL").await;
    let steps = [("REVEALING", "PLEASE_CONTINUE")];
    worker.reports(&world, task, &steps, &mut bodies).await;
    let block = world
        .node
        .reveal(task, worker.key.address(), B256::repeat_byte(2));
    let revealed = worker
        .report(&world, task, "REVEALED", receipt(block), &mut bodies)
        .await;
    assert_eq!(revealed, (200, "PLEASE_WAIT".to_owned()));
    channel.is_told("PLEASE_UPLOAD").await;
    let steps = [("RESULT_UPLOADING", "PLEASE_CONTINUE")];
    worker.reports(&world, task, &steps, &mut bodies).await;
    world.node.chain().uploaded.insert(task);
    let details = json!({"resultLink": LINK});
    let uploaded = worker
        .report(&world, task, "RESULT_UPLOADED", details, &mut bodies)
        .await;
    assert_eq!(uploaded, (200, "PLEASE_WAIT".to_owned()));
    channel.is_told("PLEASE_COMPLETE").await;
    let steps = [
        ("COMPLETING", "PLEASE_CONTINUE"),
        ("COMPLETED", "PLEASE_WAIT"),
    ];
    worker.reports(&world, task, &steps, &mut bodies).await;
    channel.say("UNSUBSCRIBE\nid:0\n\n\0").await;

    let wallet = worker.wallet();
    let extra = format!(
        r#"{{"workerpoolAuthorization":null,"smsUrl":null,"blockNumber":{consensus},"taskAbortCause":null}}"#
    );
    let told = |to: &str, kind: &str, extra: &str| {
        format!(
            r#"{{"chainTaskId":"{task}","workersAddress":[{to}],"taskNotificationType":"{kind}","taskNotificationExtra":{extra}}}"#
        )
    };
    let own = format!("\"{wallet}\"");
    assert_eq!(
        channel.told(),
        [
            told(&own, "PLEASE_REVEAL", &extra),
            told(&own, "PLEASE_UPLOAD", "null"),
            told("", "PLEASE_COMPLETE", "null"),
        ],
        "§7.7, to the letter"
    );
    channel.told().iter().for_each(|text| bodies.add_push(text));
    let model = world.task_becomes(task, "COMPLETED").await;
    let replicate = &model["replicates"][0];
    assert_eq!(replicate["currentStatus"], "COMPLETED");
    assert_eq!(replicate["resultLink"], LINK);
    let code = match variant {
        Variant::Eight => Value::Null,
        Variant::Nine => json!(0),
    };
    assert_eq!(replicate["appExitCode"], code);
    assert_eq!(worker.get(&world, "/workers/computing").await.text, "[]");
    bodies
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_fails_is_told_as_each_version_tells_it() {
    let mut bodies = Bodies::default();
    for variant in BOTH {
        let world = World::new().await;
        let worker = JavaWorker::start(&world, variant, 1, 1, &mut bodies).await;
        let task = world.deal(1, 1).await[0];
        worker.is_given(&world, task, &mut bodies).await;
        worker
            .reports(&world, task, &TO_COMPUTING, &mut bodies)
            .await;
        let (status, details) = variant.ended(3);
        let answer = worker
            .report(&world, task, status, details, &mut bodies)
            .await;
        // Worker §16.2, 7: up to 9.1 the app's failure is the replicate's, later it is a result.
        let next = match variant {
            Variant::Eight => "PLEASE_ABORT",
            Variant::Nine => "PLEASE_CONTRIBUTE",
        };
        assert_eq!(answer, (200, next.to_owned()), "{status}");
        assert_eq!(worker.get(&world, "/workers/computing").await.text, "[]");
        let path = format!("/tasks/{task}/replicates/{}", worker.wallet());
        let replicate = world.get(&path).await.json();
        assert_eq!(replicate["appExitCode"], 3);
        assert!(replicate["appLogs"].is_string(), "{replicate}");
        let last = replicate["statusUpdateList"]
            .as_array()
            .unwrap()
            .last()
            .unwrap();
        assert_eq!(last["status"], status);
        if variant == Variant::Eight {
            assert_eq!(last["cause"], "APP_COMPUTE_FAILED");
            let details = json!({"cause": "UNKNOWN"});
            let aborted = worker
                .report(&world, task, "ABORTED", details, &mut bodies)
                .await;
            assert_eq!(aborted, (200, "PLEASE_WAIT".to_owned()));
        }
    }
    bodies.decode();
}

#[tokio::test]
async fn what_only_version_8_had_is_served_to_everybody() {
    let world = World::new().await;
    let mut bodies = Bodies::default();
    let worker = JavaWorker::start(&world, Variant::Eight, 1, 1, &mut bodies).await;
    let task = world.deal(1, 1).await[0];
    worker.is_given(&world, task, &mut bodies).await;
    // A cause that version 9 does not have any more.
    let cause = "TEE_SESSION_GENERATION_SECURE_SESSION_NO_TEE_PROVIDER";
    worker
        .reports(&world, task, &TO_COMPUTING[..1], &mut bodies)
        .await;
    let details = json!({"cause": cause});
    let failed = worker
        .report(&world, task, "START_FAILED", details, &mut bodies)
        .await;
    assert_eq!(failed, (200, "PLEASE_ABORT".to_owned()));
    let path = format!("/tasks/{task}/replicates/{}", worker.wallet());
    let replicate = world.get(&path).await.json();
    assert_eq!(replicate["statusUpdateList"][2]["cause"], cause);
    // Logs under their older name are as protected as under the newer one.
    for path in [format!("/tasks/{task}"), path] {
        let (old, new) = (format!("{path}/stdout"), format!("{path}/logs"));
        assert_eq!(world.get(&old).await.status, 400);
        let token = [("Authorization", "a_b")];
        let refused = world.call(reqwest::Method::GET, &old, &token, None).await;
        let same = world.call(reqwest::Method::GET, &new, &token, None).await;
        assert_eq!((refused.status, refused.text), (same.status, same.text));
        assert_eq!(same.status, 401);
    }
}
