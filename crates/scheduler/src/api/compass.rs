//! `GET /<chainId>/workerpools/<address>`: where a pool's scheduler is found (spec sdk-client §8). Knows its own pool only.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use chassis::Origin;
use chassis::extract::Path;
use serde_json::json;

use super::Api;

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/{chain_id}/workerpools/{address}", get(workerpool))
}

async fn workerpool(
    State(api): State<Arc<Api>>,
    origin: Origin,
    Path((chain_id, address)): Path<(String, String)>,
) -> Response {
    let is_ours = chain_id.parse() == Ok(api.chain_id)
        && poco::hex::address(&address).is_ok_and(|pool| pool == api.pool);
    if is_ours {
        // Who came through a proxy can come back the same way.
        let by_proxy = origin.told_by_proxy.then_some(&origin.base);
        let url = api.public_url.as_ref().or(by_proxy);
        return Json(json!({ "apiUrl": url.unwrap_or(&api.local_url) })).into_response();
    }
    // JSON, so that clients take it for "unknown workerpool" and not for a broken service.
    let error = format!("no workerpool {address} on chain {chain_id} is served here");
    (StatusCode::NOT_FOUND, Json(json!({ "error": error }))).into_response()
}
