//! `POST /v1/results/token` (spec result-proxy §4.1).

use alloy_primitives::{Address, B256, U256};
use poco::units::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use store::{Batch, Collection, Columns};

use crate::world::{RESULT, World, now, sign};
use crate::zips;

#[tokio::test]
async fn a_wallet_that_the_pool_authorized_gets_its_token() {
    let world = World::new().await;
    let answer = world.login(&world.ann).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/plain;charset=UTF-8");
    let token = answer.text().await.unwrap();
    assert_eq!(token.split('.').count(), 3, "{token}");
    assert_eq!(
        world.token(&world.ann).await,
        token,
        "the same one every time"
    );
    assert_ne!(world.token(&world.eve).await, token);
}

#[tokio::test]
async fn the_scheduler_authorizes_itself() {
    let world = World::new().await;
    let body = world.authorization(world.pool.address());
    let signature = body["signature"]["value"].as_str().unwrap();
    assert_eq!(world.ask_token(signature, &body).await.status(), 200);
}

#[tokio::test]
async fn a_token_is_given_in_any_state_of_the_task() {
    let world = World::new().await;
    for status in 0..=4 {
        world.change_task(|task, _| task.status = status);
        assert_eq!(
            world.login(&world.ann).await.status(),
            200,
            "status {status}"
        );
    }
}

#[tokio::test]
async fn the_spelling_of_a_wallet_does_not_matter() {
    // Java: checksum and lower-case forms were two wallets with two tokens.
    let world = World::new().await;
    let ann = world.ann.address();
    let token = world.token(&world.ann).await;
    let mut body = world.authorization(ann);
    body["workerWallet"] = json!(ann.to_checksum(None));
    let header = sign(&world.ann, world.authorization_hash(ann, Address::ZERO));
    let answer = world.ask_token(&header, &body).await;
    assert_eq!(answer.text().await.unwrap(), token);
}

#[tokio::test]
async fn without_the_wallets_own_signature_there_is_no_token() {
    let world = World::new().await;
    let ann = world.ann.address();
    let hash = world.authorization_hash(ann, Address::ZERO);
    let body = world.authorization(ann);
    let good = sign(&world.ann, hash);
    for header in [
        sign(&world.eve, hash),
        sign(&world.pool, hash),
        sign(&world.ann, B256::ZERO),
        good[..100].to_owned(),
        "0x".to_owned(),
        "nonsense".to_owned(),
        format!("Bearer {good}"),
    ] {
        refused(&world, &header, &body).await;
    }
}

#[tokio::test]
async fn an_incomplete_authorization_is_refused() {
    // Java: a null enclaveChallenge or signature was answered 500.
    let world = World::new().await;
    let ann = world.ann.address();
    let header = sign(&world.ann, world.authorization_hash(ann, Address::ZERO));
    for member in [
        "chainTaskId",
        "workerWallet",
        "enclaveChallenge",
        "signature",
    ] {
        for wrong in [json!(null), json!("absent")] {
            let mut body = world.authorization(ann);
            if wrong == "absent" {
                body.as_object_mut().unwrap().remove(member);
            } else {
                body[member] = wrong;
            }
            refused(&world, &header, &body).await;
        }
    }
    for (member, wrong) in [
        ("chainTaskId", json!("")),
        ("chainTaskId", json!("0x1234")),
        ("workerWallet", json!("ann")),
        ("enclaveChallenge", json!("0x")),
        ("signature", json!({})),
        ("signature", json!({"value": null})),
        ("signature", json!({"value": "0x12"})),
    ] {
        let mut body = world.authorization(ann);
        body[member] = wrong;
        refused(&world, &header, &body).await;
    }
}

#[tokio::test]
async fn a_task_that_the_chain_does_not_know_gets_no_token() {
    let world = World::new().await;
    world.change_task(|task, _| task.dealid = B256::ZERO);
    refused_login(&world).await;
}

#[tokio::test]
async fn after_the_final_deadline_there_is_no_token() {
    let world = World::new().await;
    world.change_task(|task, _| task.finalDeadline = U256::from(now() - 5));
    refused_login(&world).await;
}

#[tokio::test]
async fn a_deal_that_the_chain_does_not_know_gets_no_token() {
    let world = World::new().await;
    world.change_deal(|deal, _| deal.startTime = U256::ZERO);
    refused_login(&world).await;
}

#[tokio::test]
async fn the_enclave_challenge_must_fit_the_deal() {
    let world = World::new().await;
    let ann = world.ann.address();
    let enclave = Address::repeat_byte(0xee);
    let with = |enclave| {
        let header = sign(&world.ann, world.authorization_hash(ann, enclave));
        (header, world.authorization_for(ann, enclave))
    };
    let (standard_header, standard) = with(Address::ZERO);
    let (tee_header, tee) = with(enclave);

    refused(&world, &tee_header, &tee).await;
    for nibble in [3, 5, 9] {
        world.change_deal(|deal, _| deal.tag = B256::with_last_byte(nibble));
        refused(&world, &standard_header, &standard).await;
        assert_eq!(
            world.ask_token(&tee_header, &tee).await.status(),
            200,
            "tag {nibble}"
        );
    }
    // A nibble that names no framework is a standard deal, as Java sees it.
    for nibble in [1, 7, 2] {
        world.change_deal(|deal, _| deal.tag = B256::with_last_byte(nibble));
        refused(&world, &tee_header, &tee).await;
        assert_eq!(
            world.ask_token(&standard_header, &standard).await.status(),
            200,
            "tag {nibble}"
        );
    }
}

#[tokio::test]
async fn only_the_owner_of_the_deals_pool_authorizes() {
    let world = World::new().await;
    let ann = world.ann.address();
    let hash = world.authorization_hash(ann, Address::ZERO);
    let mut body = world.authorization(ann);
    body["signature"]["value"] = json!(sign(&world.ann, hash));
    refused(&world, &sign(&world.ann, hash), &body).await;

    world.change_deal(|deal, _| deal.workerpool.owner = Address::repeat_byte(1));
    refused_login(&world).await;
}

#[tokio::test]
async fn a_request_without_header_or_json_is_malformed() {
    let world = World::new().await;
    let body = world.authorization(world.ann.address());
    let no_header = world.request(Method::POST, "/v1/results/token").json(&body);
    assert_eq!(no_header.send().await.unwrap().status(), 400);
    for body in ["", "nonsense", "[]", "{\"chainTaskId\":{}}"] {
        let request = world
            .request(Method::POST, "/v1/results/token")
            .header("Authorization", "0x")
            .header("Content-Type", "application/json")
            .body(body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 400, "{body}");
        let error: Value = answer.json().await.unwrap();
        assert_eq!(error["error"], "Bad Request");
        assert_eq!(error["path"], "/v1/results/token");
    }
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_no_refusal() {
    let world = World::new().await;
    world.chain.set_broken(true);
    let answer = world.login(&world.ann).await;
    assert_eq!(answer.status(), 503);
    assert!(!answer.headers().contains_key("retry-after"));
    world.chain.set_broken(false);
    assert_eq!(world.login(&world.ann).await.status(), 200);
}

#[tokio::test]
async fn tokens_survive_a_restart() {
    let mut world = World::new().await;
    let token = world.token(&world.ann).await;
    world.restart().await;
    assert_eq!(world.token(&world.ann).await, token);
}

#[tokio::test]
async fn an_authorization_is_kept_until_its_task_has_ended() {
    // Java: authorizations of standard tasks were never deleted.
    let mut world = World::new().await;
    world.token(&world.ann).await;
    world.stop().await;
    let key = format!("{}:{}", world.task, poco::hex::lower(&world.ann.address()));
    assert_eq!(
        authorizations(&world).await,
        [(
            key.clone(),
            json!({"enclaveChallenge": "0x0000000000000000000000000000000000000000"})
        )]
    );

    let ended = Columns::default().at(Timestamp::from_secs(now() - 5));
    let batch = Batch::new().put_with(Collection::Authorizations, "ended", ended, &json!({}));
    world.store().commit(batch).await.unwrap();
    world.restart().await;
    world.stop().await;
    let kept: Vec<String> = authorizations(&world)
        .await
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    assert_eq!(kept, [key]);
}

async fn authorizations(world: &World) -> Vec<(String, Value)> {
    let all = world
        .store()
        .all::<Value>(Collection::Authorizations)
        .await
        .unwrap();
    all.into_iter()
        .map(|document| (document.key, document.body))
        .collect()
}

async fn refused_login(world: &World) {
    let ann = world.ann.address();
    let header = sign(&world.ann, world.authorization_hash(ann, Address::ZERO));
    refused(world, &header, &world.authorization(ann)).await;
}

async fn refused(world: &World, header: &str, body: &Value) {
    let answer = world.ask_token(header, body).await;
    assert_eq!(answer.status(), 401, "{header} {body}");
    assert_eq!(answer.text().await.unwrap(), "", "{header} {body}");
}

#[tokio::test]
async fn only_tasks_of_the_named_workerpools_are_served() {
    let pool = Address::repeat_byte(0x77);
    let mut world = World::with(|settings| settings.pools = [pool].into()).await;
    refused_login(&world).await;
    world.change_deal(|deal, _| deal.workerpool.pointer = pool);
    let token = world.token(&world.ann).await;
    // A token is good for every task of its wallet, so uploads are looked at too.
    world.change_deal(|deal, _| deal.workerpool.pointer = Address::ZERO);
    let body = world.body(&zips::result(RESULT));
    assert_eq!(world.send(&token, &body).await.status(), 401);
    world.settings.pools.clear();
    world.restart().await;
    assert_eq!(world.send(&token, &body).await.status(), 200);
}
