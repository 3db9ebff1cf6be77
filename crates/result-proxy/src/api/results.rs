//! `/v1/results`: uploads, and whether and where a result is.

use std::sync::Arc;

use alloy_primitives::Address;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use chassis::extract::Path;
use poco::ids::TaskId;

use crate::api::error::ApiError;
use crate::api::{Proxy, authorization};
use crate::upload::ResultRecord;

/// `POST /v1/results`. 200 with `/ipfs/<cid>` once the archive is durable; 401 with an empty body when the token is not
/// valid or the upload not allowed; 400 without a header or readable JSON; 413 over a size limit; 503 when the chain cannot
/// be asked or the archive not be stored, and then nothing of it is kept.
pub(super) async fn upload(
    State(proxy): State<Arc<Proxy>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let wallet = wallet_of(&proxy, &headers, &uri).await?;
    let taken = proxy.results.take(wallet, body).await;
    let cid = taken.map_err(|failed| ApiError::of_upload(&uri, wallet, &failed))?;
    Ok(chassis::text(format!("/ipfs/{cid}")))
}

/// `HEAD /v1/results/{task}`. 204 when the task has a result here, else 404; 401 without a valid token, whoever's it is.
pub(super) async fn exists(
    State(proxy): State<Arc<Proxy>>,
    uri: Uri,
    headers: HeaderMap,
    Path(task): Path<String>,
) -> Result<StatusCode, ApiError> {
    wallet_of(&proxy, &headers, &uri).await?;
    let found = find(&proxy, &uri, &task).await?;
    Ok(found.map_or(StatusCode::NOT_FOUND, |_| StatusCode::NO_CONTENT))
}

/// `GET /v1/results/{task}/ipfshash`, for everybody. 200 with the bare CID, or 404.
pub(super) async fn ipfs_hash(
    State(proxy): State<Arc<Proxy>>,
    uri: Uri,
    Path(task): Path<String>,
) -> Result<Response, ApiError> {
    let found = find(&proxy, &uri, &task).await?;
    found
        .map(|result| chassis::text(result.cid))
        .ok_or_else(ApiError::not_found)
}

async fn wallet_of(proxy: &Proxy, headers: &HeaderMap, uri: &Uri) -> Result<Address, ApiError> {
    let token = authorization(headers, uri)?;
    let wallet = proxy.tokens.wallet_of(token).await;
    wallet
        .map_err(|error| ApiError::failed(uri, &error))?
        .ok_or_else(ApiError::unauthorized)
}

async fn find(proxy: &Proxy, uri: &Uri, task: &str) -> Result<Option<ResultRecord>, ApiError> {
    let Ok(task) = task.parse::<TaskId>() else {
        return Ok(None);
    };
    proxy
        .results
        .find(task)
        .await
        .map_err(|error| ApiError::failed(uri, &error))
}
