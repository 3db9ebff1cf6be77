//! `GET /config/chain`: five keys and no more, Java clients refuse others (spec blockchain-adapter B1).

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use wire::message::PublicChainConfig;

pub(super) fn routes(chain: PublicChainConfig) -> Router {
    Router::new()
        .route("/config/chain", get(tell))
        .with_state(Arc::new(chain))
}

async fn tell(State(chain): State<Arc<PublicChainConfig>>) -> Json<PublicChainConfig> {
    Json(chain.as_ref().clone())
}
