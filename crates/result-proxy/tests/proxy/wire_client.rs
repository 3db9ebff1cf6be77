//! Our own client, as the worker and the scheduler use it (spec result-proxy §11.1, §11.3).

use alloy_primitives::Address;
use serde_json::from_value;
use wire::error::ClientError;
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
    let file = tempfile::NamedTempFile::new().unwrap();
    let upload = async |zip: Vec<u8>| {
        std::fs::write(file.path(), zip).unwrap();
        client.upload(&worker, world.task, file.path(), "").await
    };
    let refused = upload(zips::result("Another result")).await.unwrap_err();
    assert!(
        matches!(refused, ClientError::Unauthorized { .. }),
        "{refused}"
    );
    let link = upload(zips::result(RESULT)).await.unwrap();

    assert!(client.has_result(&scheduler, world.task).await.unwrap());
    let cid = client.ipfs_hash(world.task).await.unwrap().unwrap();
    assert_eq!(format!("/ipfs/{cid}"), link);
}
