//! Full disks: what cannot be written down is not done, said aloud, and done once there is room.

use std::time::Duration;

use e2e::process::until;
use e2e::small_disk::SmallDisk;
use e2e::world::{Plan, World};

use crate::turn;

const A_WHILE: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_without_room_waits_and_carries_on_when_there_is_some() {
    let _turn = turn().await;
    let disk = SmallDisk::mount(32).unwrap();
    let data = disk.folder().join("data");
    let mut world = World::start(Plan {
        pool_env: vec![("WORKERPOOL_DATA_DIR".into(), data.display().to_string())],
        ..Plan::with_faults(1)
    })
    .await
    .unwrap();
    let from = world.pool.said().len();
    let under_way = world.buy_one("sleep 2").await.unwrap();
    world
        .replicate_reaches(under_way, "COMPUTING", A_WHILE)
        .await
        .unwrap();

    disk.fill().unwrap();
    let meanwhile = world.buy_one("ok").await.unwrap();
    let told = world
        .pool
        .says(
            from,
            &["no space is left on the disk", "free some"],
            A_WHILE,
        )
        .await
        .unwrap();
    assert!(told.contains("data"), "the folder is named: {told}");
    world.pool.must_live().unwrap();
    disk.free().unwrap();
    world.completes(under_way, A_WHILE).await.unwrap();
    world.completes(meanwhile, A_WHILE).await.unwrap();
    world.audit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_room_waits_and_carries_on_when_there_is_some() {
    let _turn = turn().await;
    let disk = SmallDisk::mount(32).unwrap();
    let base = disk.folder().display().to_string();
    let mut world = World::start(Plan {
        worker_env: vec![("IEXEC_WORKER_BASE_DIR".into(), base)],
        ..Plan::with_faults(1)
    })
    .await
    .unwrap();
    let from = world.workers[0].said().len();
    let under_way = world.buy_one("early 3").await.unwrap();
    world
        .replicate_reaches(under_way, "COMPUTING", A_WHILE)
        .await
        .unwrap();
    // The application has written all that it writes.
    let written = disk.folder().join(format!("{}-1", world.name()));
    let result = format!("{under_way}/output/iexec_out/computed.json");
    until("the application's output", A_WHILE, || async {
        Ok(written.join(&result).exists().then_some(()))
    })
    .await
    .unwrap();
    disk.fill().unwrap();
    world.workers[0]
        .says(from, &["no space is left on the disk"], A_WHILE)
        .await
        .unwrap();
    world.workers[0].must_live().unwrap();
    disk.free().unwrap();
    world.completes(under_way, A_WHILE).await.unwrap();
    let after = world.buy_one("ok").await.unwrap();
    world.completes(after, A_WHILE).await.unwrap();
    world.audit().await.unwrap();
}
