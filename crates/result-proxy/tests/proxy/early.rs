//! Results that come before anything is on the chain, for `contributeAndFinalize` (spec result-proxy §5, 4d).

use alloy_primitives::{Address, U256};

use crate::world::{ACTIVE, RESULT, REVEALED, REVEALING, World, now};
use crate::zips;

const COMPLETED: u8 = 3;
const FAILED: u8 = 4;

/// A standard task of trust 1 that nobody contributed to.
async fn active() -> World {
    let world = World::new().await;
    world.change_task(|task, _| {
        task.status = ACTIVE;
        task.contributionDeadline = U256::from(now() + 600);
    });
    world.contribution(world.ann.address(), 0, Default::default());
    world
}

async fn early(world: &World, zip: &[u8]) -> String {
    let answer = world.upload(&world.ann, zip).await;
    assert_eq!(answer.status(), 200);
    answer.text().await.unwrap()
}

fn finalized_with(world: &World, link: &str) {
    let results = poco::result_link::ipfs(link.strip_prefix("/ipfs/").unwrap());
    world.change_task(|task, _| {
        task.status = COMPLETED;
        task.results = results.into_bytes().into();
    });
}

async fn hash(world: &World) -> (u16, String) {
    let answer = world
        .get(&format!("/v1/results/{}/ipfshash", world.task))
        .await;
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn a_result_of_a_task_that_its_worker_finishes_alone_is_taken_before_the_contribution() {
    let world = active().await;
    let zip = zips::result(RESULT);
    let link = early(&world, &zip).await;
    assert_eq!(world.get(&link).await.bytes().await.unwrap(), zip);
    assert_eq!(world.head().await, 204);
    // Killed between upload and transaction: the same upload again is the same result.
    assert_eq!(early(&world, &zip).await, link);
    assert_eq!(world.files(), (1, 0));
    finalized_with(&world, &link);
    assert_eq!(world.head().await, 204);
}

#[tokio::test]
async fn it_is_taken_only_while_one_worker_alone_can_finish_the_task() {
    type Change = fn(&World);
    let changes: [(&str, Change); 4] = [
        ("trust 2", |world| {
            world.change_deal(|deal, _| deal.trust = U256::from(2));
        }),
        ("somebody contributed", |world| {
            world.change_task(|task, _| task.contributors = vec![Address::repeat_byte(8)]);
        }),
        ("contributions closed", |world| {
            world.change_task(|task, _| task.contributionDeadline = U256::from(now() - 1));
        }),
        ("not initialised", |world| {
            world.change_task(|task, _| task.status = 0);
        }),
    ];
    for (why, change) in changes {
        let world = active().await;
        let token = world.token(&world.ann).await;
        change(&world);
        let answer = world.send(&token, &world.body(&zips::result(RESULT))).await;
        assert_eq!(answer.status(), 401, "{why}");
        assert_eq!(world.files(), (0, 0), "{why}");
    }
}

#[tokio::test]
async fn it_needs_an_authorization_for_this_very_task() {
    let world = active().await;
    let token = world.token(&world.ann).await;
    // The token is the wallet's; the authorization is the task's.
    let other = poco::ids::TaskId::of(world.deal, 1);
    world
        .chain
        .set_task(other.0, world.chain.task(world.task.0));
    let mut body = world.body(&zips::result(RESULT));
    body["chainTaskId"] = serde_json::json!(other);
    assert_eq!(world.send(&token, &body).await.status(), 401);
    assert_eq!(world.files(), (0, 0));
}

#[tokio::test]
async fn an_archive_without_a_digest_is_refused_early_too() {
    let world = active().await;
    let answer = world
        .upload(&world.ann, &zips::of(&[("result.txt", RESULT.as_bytes())]))
        .await;
    assert_eq!(answer.status(), 401);
    assert_eq!(world.files(), (0, 0));
}

#[tokio::test]
async fn a_later_result_of_another_worker_takes_its_place_and_the_chain_decides_which_counts() {
    let world = active().await;
    let ann = early(&world, &zips::result("of Ann")).await;
    let eve = world.upload(&world.eve, &zips::result("of Eve")).await;
    let eve = eve.text().await.unwrap();
    assert_ne!(ann, eve);
    assert_eq!(hash(&world).await, (200, eve["/ipfs/".len()..].to_owned()));
    // Ann's transaction came first: her archive is still there, and is the task's from here on.
    finalized_with(&world, &ann);
    assert_eq!(hash(&world).await, (200, ann["/ipfs/".len()..].to_owned()));
    assert_eq!(world.get(&ann).await.status(), 200);
    // Known for good: the chain is not asked any more.
    world.chain.set_broken(true);
    assert_eq!(hash(&world).await, (200, ann["/ipfs/".len()..].to_owned()));
}

#[tokio::test]
async fn a_revealed_result_takes_the_place_of_an_early_one_and_not_the_other_way_round() {
    let world = active().await;
    early(&world, &zips::result("nobody revealed this")).await;
    world.change_task(|task, _| task.status = REVEALING);
    // The result of the consensus is not here yet.
    assert_eq!(world.head().await, 404);
    assert_eq!(hash(&world).await.0, 404);
    world.contribution(world.ann.address(), REVEALED, world.hash_of(RESULT));
    let revealed = world.uploaded().await;
    assert_eq!(world.head().await, 204);
    assert_eq!(
        hash(&world).await.1,
        revealed.strip_prefix("/ipfs/").unwrap()
    );
}

#[tokio::test]
async fn the_chain_is_asked_for_the_task_each_time_and_for_its_deal_once() {
    let world = active().await;
    world.chain.take_asked();
    early(&world, &zips::result(RESULT)).await;
    let asked = world.chain.take_asked();
    assert_eq!(asked, [("deal", 1), ("task", 2)].into());
    early(&world, &zips::result(RESULT)).await;
    assert_eq!(world.chain.take_asked(), [("task", 2)].into());
}

#[tokio::test]
async fn an_early_result_of_a_task_that_failed_is_nobodys() {
    let world = active().await;
    early(&world, &zips::result(RESULT)).await;
    world.change_task(|task, _| task.status = FAILED);
    assert_eq!(hash(&world).await.0, 404);
}

#[tokio::test]
async fn a_task_has_room_for_a_few_different_early_results() {
    let world = active().await;
    let mut taken = 0;
    for attempt in 0..40 {
        let zip = zips::result(&format!("result {attempt}"));
        let answer = world.upload(&world.ann, &zip).await;
        if answer.status() != 200 {
            assert_eq!(answer.status(), 401);
            break;
        }
        taken += 1;
    }
    assert_eq!(taken, 17);
    assert_eq!(world.files(), (17, 0));
}

#[tokio::test]
async fn a_node_that_does_not_answer_says_nothing_about_an_early_result() {
    let world = active().await;
    early(&world, &zips::result(RESULT)).await;
    world.chain.set_broken(true);
    assert_eq!(hash(&world).await.0, 503);
}
