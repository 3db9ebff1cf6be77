//! `POST /v1/results/token`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use store::{Batch, Collection, Columns};

use crate::api::error::ApiError;
use crate::api::{Proxy, authorization};
use crate::authorization::{AuthorizationRecord, Authorized, CheckError, TokenRequest};
use crate::clock;

/// 200 with the wallet's token once authorization and token are durable; 401 with an empty body when any check fails, 400
/// without a header or readable JSON, 503 when the chain cannot be asked.
pub(super) async fn issue(
    State(proxy): State<Arc<Proxy>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let header = authorization(&headers, &uri)?;
    let request = read(&body).map_err(|_| ApiError::bad_request(&uri))?;
    let checked =
        crate::authorization::check(&proxy.chain, &proxy.pools, clock::now(), header, &request)
            .await;
    let authorized = checked.map_err(|error| {
        let task = request.chain_task_id.as_deref().unwrap_or_default();
        let wallet = request.worker_wallet.as_deref().unwrap_or_default();
        match error {
            CheckError::Refused(reason) => {
                tracing::warn!(task, wallet, %reason, "no token is given");
                ApiError::unauthorized()
            }
            CheckError::Chain(error) => {
                tracing::error!(task, wallet, %error, "the chain could not be asked whether a token may be given");
                ApiError::unavailable(&uri)
            }
        }
    })?;
    remember(&proxy, &authorized)
        .await
        .map_err(|error| ApiError::failed(&uri, &error))?;
    let spelled = request.worker_wallet.unwrap_or_default();
    let token = proxy.tokens.issue(authorized.wallet, &spelled).await;
    token
        .map(chassis::text)
        .map_err(|error| ApiError::failed(&uri, &error))
}

/// An object it must be: the members alone, in an array, are no request.
fn read(body: &[u8]) -> serde_json::Result<TokenRequest> {
    let members: serde_json::Map<_, _> = serde_json::from_slice(body)?;
    serde_json::from_value(members.into())
}

/// Keeps the authorization until its task has ended for good. A later one for the same task and wallet replaces it: both
/// are signed by the pool's owner (spec result-proxy §14).
async fn remember(proxy: &Proxy, authorized: &Authorized) -> Result<(), store::StoreError> {
    let Authorized {
        task,
        wallet,
        enclave,
        until,
    } = authorized;
    let key = AuthorizationRecord::key(*task, *wallet);
    let columns = Columns::default().owner(task).at(*until);
    let record = AuthorizationRecord { enclave: *enclave };
    let batch = Batch::new().put_with(Collection::Authorizations, key, columns, &record);
    proxy.store.commit(batch).await.map(drop)
}
