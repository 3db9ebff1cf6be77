//! Our own client, as the worker and the scheduler use it (spec result-proxy §11.1, §11.3).

use alloy_primitives::Address;
use serde_json::from_value;
use wire::error::ClientError;
use wire::message::ResultModel;
use wire::result_proxy::ResultProxyClient;

use crate::world::{RESULT, World};
use crate::zips;

#[tokio::test]
async fn a_worker_uploads_and_its_scheduler_finds_it() {
    let world = World::new().await;
    let client =
        ResultProxyClient::new(format!("http://{}", world.addr()).parse().unwrap()).unwrap();
    let login = async |wallet: &alloy_signer_local::PrivateKeySigner| {
        let hash = world.authorization_hash(wallet.address(), Address::ZERO);
        let signature = poco::signing::sign_prefixed(wallet, hash).unwrap();
        let authorization = from_value(world.authorization(wallet.address())).unwrap();
        client.token(&authorization, &signature).await.unwrap()
    };
    let scheduler = login(&world.pool).await;
    assert!(!client.has_result(&scheduler, world.task).await.unwrap());
    assert_eq!(client.ipfs_hash(world.task).await.unwrap(), None);

    let worker = login(&world.ann).await;
    let other: ResultModel = from_value(world.body(&zips::result("Another result"))).unwrap();
    let refused = client.upload(&worker, &other).await.unwrap_err();
    assert!(
        matches!(refused, ClientError::Unauthorized { .. }),
        "{refused}"
    );
    let result: ResultModel = from_value(world.body(&zips::result(RESULT))).unwrap();
    let link = client.upload(&worker, &result).await.unwrap();

    assert!(client.has_result(&scheduler, world.task).await.unwrap());
    let cid = client.ipfs_hash(world.task).await.unwrap().unwrap();
    assert_eq!(format!("/ipfs/{cid}"), link);
}
