//! Finishing a task with one transaction (contribute-and-finalize), and every way back to the classic three.

use alloy_primitives::B256;
use devnet::Role;
use sha2::{Digest, Sha256};
use wire::status::{ReplicateStatus as Is, ReplicateStatusCause as Cause};

use crate::scheduler::Caf;
use crate::world::{World, send};
use crate::{assert_read_once, script};

const TO_COMPUTED: [Is; 8] = [
    Is::Starting,
    Is::Started,
    Is::AppDownloading,
    Is::AppDownloaded,
    Is::DataDownloading,
    Is::DataDownloaded,
    Is::Computing,
    Is::Computed,
];

const CLASSIC: [Is; 8] = [
    Is::Contributing,
    Is::Contributed,
    Is::Revealing,
    Is::Revealed,
    Is::ResultUploading,
    Is::ResultUploaded,
    Is::Completing,
    Is::Completed,
];

const ALONE: [Is; 4] = [
    Is::ContributeAndFinalizeOngoing,
    Is::ContributeAndFinalizeDone,
    Is::Completing,
    Is::Completed,
];

fn after_computed(world: &World) -> Vec<Is> {
    let statuses = world.scheduler.statuses();
    assert_eq!(statuses[..TO_COMPUTED.len()], TO_COMPUTED);
    statuses[TO_COMPUTED.len()..].to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_granted_task_is_uploaded_and_finished_with_one_transaction() {
    let world = World::new("alone", &script(""))
        .await
        .with_caf(Caf::Granted);
    let before = world.transactions().await;
    let (running, shutdown) = world.start().await;
    world.until_told(Is::Completed).await;
    assert_eq!(after_computed(&world), ALONE);
    assert_eq!(world.transactions().await - before, 1);
    assert_eq!(world.chain_status().await, 3);
    assert_eq!(world.uploaded("r.txt"), "once\n");
    let done = world.scheduler.details(Is::ContributeAndFinalizeDone);
    let receipt = done.chain_receipt.unwrap();
    assert!(receipt.block_number > 0 && receipt.tx_hash.is_some());
    let results = world.scheduler.chain_task().await.results;
    assert_eq!(done.result_link.unwrap().as_bytes(), results.as_ref());
    assert_eq!(world.asked.count("task"), 1, "when it is given");
    assert_eq!(world.asked.count("account"), 0);
    assert_eq!(world.asked.count("contribution"), 0);
    assert_read_once(&world);
    assert!(!world.task_folder().exists());
    world.end(running, shutdown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callback_data_of_an_application_whose_deal_has_no_callback_stays_out_of_the_transaction() {
    // Q61: the original's is refused by the contract.
    let computed =
        r#"{\"deterministic-output-path\":\"/iexec_out/r.txt\",\"callback-data\":\"0x2a\"}"#;
    let script =
        format!(r#"echo once > /iexec_out/r.txt; echo "{computed}" > /iexec_out/computed.json"#);
    let world = World::new("no-callback", &script)
        .await
        .with_caf(Caf::Granted);
    let (running, shutdown) = world.start().await;
    world.until_told(Is::Completed).await;
    assert_eq!(after_computed(&world), ALONE);
    let task = world.scheduler.chain_task().await;
    assert_eq!(task.status, 3);
    assert!(task.resultsCallback.is_empty());
    assert_eq!(
        task.resultDigest,
        B256::from_slice(&Sha256::digest("once\n"))
    );
    assert!(world.uploaded("computed.json").contains("callback-data"));
    world.end(running, shutdown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduler_that_refuses_it_after_all_gets_the_classic_three() {
    let world = World::new("refused", &script(""))
        .await
        .with_caf(Caf::Refused);
    let before = world.transactions().await;
    let (running, shutdown) = world.start().await;
    world.until_told(Is::Completed).await;
    assert_eq!(after_computed(&world), CLASSIC);
    assert_eq!(world.transactions().await - before, 2);
    assert_eq!(world.uploaded("r.txt"), "once\n");
    world.end(running, shutdown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_proxy_that_takes_revealed_results_only_leads_back_to_the_classic_way() {
    let world = World::new("late", &script(""))
        .await
        .with_caf(Caf::LateProxy);
    let (running, shutdown) = world.start().await;
    world.until_told(Is::Completed).await;
    let mut expected = vec![Is::ContributeAndFinalizeOngoing];
    expected.extend(CLASSIC);
    assert_eq!(after_computed(&world), expected);
    assert_eq!(world.chain_status().await, 3);
    assert_eq!(world.uploaded("r.txt"), "once\n");
    world.end(running, shutdown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_restarted_in_the_middle_finishes_with_one_transaction_all_the_same() {
    let world = World::new("again", &script(""))
        .await
        .with_caf(Caf::Granted);
    let before = world.transactions().await;
    let (mut running, mut shutdown) = world.start().await;
    for status in [
        Is::Computed,
        Is::ContributeAndFinalizeOngoing,
        Is::ContributeAndFinalizeDone,
        Is::Completing,
    ] {
        world.until_told(status).await;
        shutdown.trigger();
        running.wait().await.unwrap();
        (running, shutdown) = world.start().await;
    }
    world.until_told(Is::Completed).await;
    assert_eq!(after_computed(&world), ALONE);
    assert_eq!(world.chain_status().await, 3);
    assert_eq!(world.transactions().await - before, 1);
    world.end(running, shutdown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_another_worker_decides_meanwhile_is_given_up() {
    let world = World::new("beaten", &script(""))
        .await
        .with_caf(Caf::Granted);
    let before = world.transactions().await;
    world.scheduler.uploads.send_replace(false);
    let (running, shutdown) = world.start().await;
    world.until_told(Is::ContributeAndFinalizeOngoing).await;
    let contribution = world.contribution(Role::Worker(2), B256::repeat_byte(9));
    send(&world.chain, Role::Worker(2), &contribution).await;
    world.scheduler.uploads.send_replace(true);
    world.until_told(Is::Aborted).await;
    assert_eq!(
        after_computed(&world),
        [
            Is::ContributeAndFinalizeOngoing,
            Is::ContributeAndFinalizeFailed,
            Is::Aborted
        ]
    );
    let failed = world.scheduler.details(Is::ContributeAndFinalizeFailed);
    assert_eq!(failed.cause, Some(Cause::TaskNotActive));
    // What could only fail was not sent.
    assert_eq!(world.transactions().await, before);
    world.end(running, shutdown).await;
}
