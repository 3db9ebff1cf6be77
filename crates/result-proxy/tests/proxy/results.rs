//! Uploads and what is told of them (spec result-proxy §3, §5, §6, §11).

use alloy_primitives::{B256, U256};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{ACTIVE, CONTRIBUTED, RESULT, REVEALED, World};
use crate::zips;

#[tokio::test]
async fn a_revealed_result_is_stored_and_found() {
    let world = World::new().await;
    assert_eq!(world.head().await, 404);
    let hash = format!("/v1/results/{}/ipfshash", world.task);
    let answer = world.get(&hash).await;
    assert_eq!(
        (answer.status().as_u16(), answer.text().await.unwrap()),
        (404, String::new())
    );

    let answer = world.upload(&world.ann, &zips::result(RESULT)).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/plain;charset=UTF-8");
    let link = answer.text().await.unwrap();
    let cid = link.strip_prefix("/ipfs/").unwrap();
    assert!(cid.starts_with("Qm") && cid.len() == 46, "{cid}");

    assert_eq!(world.head().await, 204);
    let answer = world.get(&hash).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/plain;charset=UTF-8");
    assert_eq!(answer.text().await.unwrap(), cid);
    assert_eq!(world.files(), (1, 0));
}

#[tokio::test]
async fn an_array_of_numbers_is_the_same_upload() {
    let world = World::new().await;
    let token = world.token(&world.ann).await;
    let zip = zips::result(RESULT);
    let mut body = world.body(&zip);
    body["zip"] = json!(zip);
    let answer = world.send(&token, &body).await;
    assert_eq!(answer.status(), 200);
    let link = answer.text().await.unwrap();
    assert_eq!(world.get(&link).await.bytes().await.unwrap(), zip);
}

#[tokio::test]
async fn doubled_slashes_of_a_joined_address_are_one() {
    let world = World::new().await;
    let token = world.token(&world.ann).await;
    let request = world
        .request(Method::POST, "//v1/results")
        .header("Authorization", token)
        .json(&world.body(&zips::result(RESULT)));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let link = answer.text().await.unwrap();
    assert_eq!(world.get(&format!("/{link}")).await.status(), 200);
}

#[tokio::test]
async fn the_same_upload_again_gets_the_same_link() {
    // Java: an upload whose answer was lost got 401 the second time.
    let world = World::new().await;
    let link = world.uploaded().await;
    assert_eq!(world.uploaded().await, link);
    let repacked = world
        .upload(&world.ann, &zips::result_packed_otherwise(RESULT))
        .await;
    assert_eq!(repacked.status(), 200);
    assert_eq!(repacked.text().await.unwrap(), link);
    assert_eq!(world.files(), (1, 0));
}

#[tokio::test]
async fn uploads_at_the_same_time_get_the_same_link() {
    let world = World::new().await;
    world.contribution(world.eve.address(), REVEALED, world.hash_of(RESULT));
    let (one, other) = (zips::result(RESULT), zips::result_packed_otherwise(RESULT));
    let (ann, eve) = tokio::join!(
        world.upload(&world.ann, &one),
        world.upload(&world.eve, &other)
    );
    assert_eq!(ann.text().await.unwrap(), eve.text().await.unwrap());
    assert_eq!(world.files(), (1, 0));
}

#[tokio::test]
async fn a_repeated_upload_must_pass_the_checks_too() {
    let world = World::new().await;
    world.uploaded().await;
    let eve = world.upload(&world.eve, &zips::result(RESULT)).await;
    assert_eq!(eve.status(), 401);
    let other = world
        .upload(&world.ann, &zips::result("Another result"))
        .await;
    assert_eq!(other.status(), 401);
    world.change_task(|task, _| task.status = 3);
    let late = world.upload(&world.ann, &zips::result(RESULT)).await;
    assert_eq!(late.status(), 401);
    assert_eq!(world.head().await, 204);
}

#[tokio::test]
async fn a_result_other_than_the_revealed_one_is_refused() {
    let world = World::new().await;
    refused(&world, &zips::result("Another result")).await;
}

#[tokio::test]
async fn a_result_is_taken_only_while_the_task_is_revealing() {
    let world = World::new().await;
    for status in [0, ACTIVE, 3, 4, 9] {
        world.change_task(|task, _| task.status = status);
        refused(&world, &zips::result(RESULT)).await;
    }
}

#[tokio::test]
async fn a_result_is_taken_only_from_a_worker_that_revealed() {
    let world = World::new().await;
    for status in [0, CONTRIBUTED, 3, 9] {
        world.contribution(world.ann.address(), status, world.hash_of(RESULT));
        refused(&world, &zips::result(RESULT)).await;
    }
    let eve = world.upload(&world.eve, &zips::result(RESULT)).await;
    assert_eq!(eve.status(), 401);
}

#[tokio::test]
async fn a_task_or_deal_that_the_chain_does_not_know_takes_no_result() {
    let world = World::new().await;
    let token = world.token(&world.ann).await;
    let body = world.body(&zips::result(RESULT));
    world.change_deal(|deal, _| deal.startTime = U256::ZERO);
    assert_eq!(world.send(&token, &body).await.status(), 401);
    world.change_task(|task, _| task.dealid = B256::ZERO);
    assert_eq!(world.send(&token, &body).await.status(), 401);
    for id in [
        json!("0x1234"),
        json!(""),
        json!("../../etc/passwd"),
        json!(null),
    ] {
        let mut body = body.clone();
        body["chainTaskId"] = id;
        assert_eq!(
            world.send(&token, &body).await.status(),
            401,
            "{}",
            body["chainTaskId"]
        );
    }
    assert_eq!(world.files(), (0, 0));
}

#[tokio::test]
async fn results_of_enclaves_are_refused_by_this_version() {
    let world = World::new().await;
    let token = world.token(&world.ann).await;
    for nibble in [3, 5, 9] {
        world.change_deal(|deal, _| deal.tag = B256::with_last_byte(nibble));
        let answer = world.send(&token, &world.body(&zips::result(RESULT))).await;
        assert_eq!(answer.status(), 401, "tag {nibble}");
    }
    assert_eq!(world.files(), (0, 0));
}

#[tokio::test]
async fn an_archive_that_could_hurt_its_reader_is_refused() {
    let world = World::new().await;
    for zip in [
        zips::with_link(RESULT),
        zips::of(&[("result.txt", RESULT.as_bytes())]),
        b"not a zip".to_vec(),
        Vec::new(),
    ] {
        refused(&world, &zip).await;
    }
}

#[tokio::test]
async fn an_archive_over_the_cap_is_too_large() {
    let world = World::with(|settings| settings.max_upload = 2_000).await;
    let large = zips::of(&[("padding", &zips::noise(3_000))]);
    assert!(large.len() > 2_000, "{}", large.len());
    too_large(&world, &large).await;
    world.uploaded().await;
}

#[tokio::test]
async fn a_decompression_bomb_is_too_large() {
    let world = World::new().await;
    let bomb = zips::bomb(RESULT, 5_000_000);
    assert!(
        (bomb.len() as u64) < world.settings.max_upload,
        "{}",
        bomb.len()
    );
    too_large(&world, &bomb).await;
}

#[tokio::test]
async fn an_archive_larger_than_other_bodies_may_be_is_taken() {
    let world = World::with(|settings| {
        settings.max_upload = 20 << 20;
        settings.limits.unpacked = 40 << 20;
    })
    .await;
    // More than any body of another kind may have.
    let noise = zips::noise(10 << 20);
    let computed = br#"{"deterministic-output-path":"/iexec_out/result.txt"}"#;
    let zip = zips::of(&[
        ("computed.json", computed),
        ("result.txt", RESULT.as_bytes()),
        ("noise", &noise),
    ]);
    let answer = world.upload(&world.ann, &zip).await;
    assert_eq!(answer.status(), 200);
    let link = answer.text().await.unwrap();
    assert!(world.get(&link).await.bytes().await.unwrap() == zip);
}

#[tokio::test]
async fn an_upload_needs_a_valid_token_and_a_readable_body() {
    let world = World::new().await;
    let token = world.token(&world.ann).await;
    let body = world.body(&zips::result(RESULT));
    let without = world.request(Method::POST, "/v1/results").json(&body);
    assert_eq!(without.send().await.unwrap().status(), 400);
    for wrong in [
        "nonsense".to_owned(),
        format!("{token}x"),
        format!("Bearer {token}"),
    ] {
        let answer = world.send(&wrong, &body).await;
        assert_eq!(answer.status(), 401, "{wrong}");
        assert_eq!(answer.text().await.unwrap(), "");
    }
    for unreadable in ["", "nonsense", "{\"zip\":\"UEs\"}", "{\"zip\":[256]}"] {
        let request = world
            .request(Method::POST, "/v1/results")
            .header("Authorization", &token);
        let answer = request.body(unreadable).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{unreadable}");
        let error: Value = answer.json().await.unwrap();
        assert_eq!(error["status"], 400);
    }
    assert_eq!(world.files(), (0, 0));
}

#[tokio::test]
async fn a_head_needs_a_valid_token() {
    let world = World::new().await;
    let path = format!("/v1/results/{}", world.task);
    let without = world.request(Method::HEAD, &path).send().await.unwrap();
    assert_eq!(without.status(), 400);
    let wrong = world
        .request(Method::HEAD, &path)
        .header("Authorization", "nonsense");
    assert_eq!(wrong.send().await.unwrap().status(), 401);
    let token = world.token(&world.eve).await;
    let other = world
        .request(Method::HEAD, "/v1/results/0x12")
        .header("Authorization", token);
    assert_eq!(other.send().await.unwrap().status(), 404);
    assert_eq!(world.get("/v1/results/0x12/ipfshash").await.status(), 404);
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_no_refusal_of_an_upload() {
    let world = World::new().await;
    let token = world.token(&world.ann).await;
    let body = world.body(&zips::result(RESULT));
    world.chain.set_broken(true);
    let answer = world.send(&token, &body).await;
    assert_eq!(answer.status(), 503);
    assert!(!answer.headers().contains_key("retry-after"));
    assert_eq!(world.files(), (0, 0));
    world.chain.set_broken(false);
    assert_eq!(world.send(&token, &body).await.status(), 200);
}

#[tokio::test]
async fn a_result_that_cannot_be_stored_leaves_nothing_and_can_be_sent_again() {
    // Java: a failed store was answered 200 with an empty link, and the task could never get a result again.
    let world = World::new().await;
    let token = world.token(&world.ann).await;
    let body = world.body(&zips::result(RESULT));
    for folder in ["arriving", "blocks"] {
        // A file where the folder was: nothing can be written below it.
        std::fs::remove_dir(world.data(folder)).unwrap();
        std::fs::write(world.data(folder), "").unwrap();
        assert_eq!(world.send(&token, &body).await.status(), 503, "{folder}");
        std::fs::remove_file(world.data(folder)).unwrap();
        std::fs::create_dir(world.data(folder)).unwrap();
        assert_eq!(world.head().await, 404, "{folder}");
        assert_eq!(world.files(), (0, 0), "{folder}");
    }
    assert_eq!(world.send(&token, &body).await.status(), 200);
}

#[tokio::test]
async fn a_lost_archive_can_be_uploaded_again() {
    let world = World::new().await;
    let link = world.uploaded().await;
    let file = world
        .data("blocks")
        .join(link.strip_prefix("/ipfs/").unwrap());
    std::fs::remove_file(file).unwrap();
    assert_eq!(world.head().await, 404);
    assert_eq!(
        world
            .get(&format!("/v1/results/{}/ipfshash", world.task))
            .await
            .status(),
        404
    );
    assert_eq!(world.get(&link).await.status(), 404);
    assert_eq!(world.uploaded().await, link);
    assert_eq!(world.head().await, 204);
}

#[tokio::test]
async fn results_survive_a_restart() {
    let mut world = World::new().await;
    let link = world.uploaded().await;
    world.restart().await;
    assert_eq!(world.head().await, 204);
    assert_eq!(
        world.get(&link).await.bytes().await.unwrap(),
        zips::result(RESULT)
    );
    assert_eq!(world.uploaded().await, link);
}

#[tokio::test]
async fn an_archive_whose_entry_was_never_written_is_only_an_orphan() {
    // What a crash between the file and the entry leaves: a file that nobody refers to.
    let world = World::new().await;
    let link = world.uploaded().await;
    let cid = link.strip_prefix("/ipfs/").unwrap();
    let orphaned = World::new().await;
    std::fs::copy(
        world.data("blocks").join(cid),
        orphaned.data("blocks").join(cid),
    )
    .unwrap();
    assert_eq!(orphaned.head().await, 404);
    assert_eq!(orphaned.uploaded().await, link);
    assert_eq!(orphaned.files(), (1, 0));
}

async fn refused(world: &World, zip: &[u8]) {
    let answer = world.upload(&world.ann, zip).await;
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.text().await.unwrap(), "");
    assert_eq!(world.files(), (0, 0));
    assert_eq!(world.head().await, 404);
}

async fn too_large(world: &World, zip: &[u8]) {
    let answer = world.upload(&world.ann, zip).await;
    assert_eq!(answer.status(), 413);
    let error: Value = answer.json().await.unwrap();
    assert_eq!(error["status"], 413);
    assert_eq!(world.files(), (0, 0));
}
