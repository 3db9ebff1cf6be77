//! The HTTP face of the proxy: what a request asks, and what is answered (spec result-proxy §2, §3).
//!
//! Handlers turn requests into questions and answers into responses; every rule is elsewhere.

mod error;
mod gateway;
mod results;
mod token;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, Uri, header};
use axum::routing::{get, head, post};
use store::Store;

use crate::api::error::ApiError;
use crate::blocks::Blocks;
use crate::fairness::Pools;
use crate::jwt::Tokens;
use crate::right_chain::RightChain;
use crate::upload::Results;

/// What handlers work with.
pub(crate) struct Proxy {
    pub(crate) chain: RightChain,
    pub(crate) pools: Pools,
    pub(crate) store: Store,
    pub(crate) tokens: Tokens,
    pub(crate) results: Results,
    pub(crate) blocks: Blocks,
}

/// All endpoints of the proxy's own.
pub(crate) fn router(proxy: Arc<Proxy>) -> Router {
    Router::new()
        .route("/v1/results/token", post(token::issue))
        .route("/v1/results", post(results::upload))
        .route("/v1/results/{task}", head(results::exists))
        .route("/v1/results/{task}/ipfshash", get(results::ipfs_hash))
        .route("/ipfs/{cid}", get(gateway::download))
        .route(
            "/version",
            get(async || chassis::text(env!("CARGO_PKG_VERSION"))),
        )
        .with_state(proxy)
}

/// The raw text of the `Authorization` header: no scheme word stands before it (spec result-proxy §2).
fn authorization<'a>(headers: &'a HeaderMap, uri: &Uri) -> Result<&'a str, ApiError> {
    let missing = || ApiError::bad_request(uri);
    let value = headers.get(header::AUTHORIZATION).ok_or_else(missing)?;
    // What is not text is nobody's signature or token.
    value.to_str().map_err(|_| ApiError::unauthorized())
}
