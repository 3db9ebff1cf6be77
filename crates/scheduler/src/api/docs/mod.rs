//! The OpenAPI document and a page that shows it, at the paths of the original (spec scheduler-api §4.5).

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::Api;
use crate::run::VERSION;

/// What is served at [`routes`]; `{version}` stands for the version.
const DOCUMENT: &str = include_str!("openapi.json");
const PAGE: &str = include_str!("page.html");

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/v3/api-docs", get(json))
        .route("/v3/api-docs.yaml", get(yaml))
        .route("/v3/api-docs/swagger-config", get(config))
        .route("/swagger-ui.html", get(redirect))
        .route("/swagger-ui/index.html", get(page))
}

fn document() -> String {
    DOCUMENT.replace("{version}", VERSION)
}

async fn json() -> Response {
    ([(CONTENT_TYPE, "application/json")], document()).into_response()
}

/// The same text: what is JSON is YAML too.
async fn yaml() -> Response {
    let kind = "application/vnd.oai.openapi;charset=UTF-8";
    ([(CONTENT_TYPE, kind)], document()).into_response()
}

async fn config() -> Response {
    let config =
        r#"{"configUrl":"/v3/api-docs/swagger-config","url":"/v3/api-docs","validatorUrl":""}"#;
    ([(CONTENT_TYPE, "application/json")], config).into_response()
}

async fn redirect() -> Response {
    (StatusCode::FOUND, [(LOCATION, "/swagger-ui/index.html")]).into_response()
}

async fn page() -> Response {
    ([(CONTENT_TYPE, "text/html;charset=UTF-8")], PAGE).into_response()
}
