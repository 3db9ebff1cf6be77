//! The routes below `/actuator`, by which orchestrators and operators watch a service (spec scheduler-api §4.4).

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::error::framework_error;
use crate::extract::Path;
use crate::health::Health;
use crate::metrics::{Metrics, OPEN_METRICS, TEXT};
use crate::origin::Origin;

const JSON: &str = "application/vnd.spring-boot.actuator.v3+json";

/// What a program is, for `/actuator/info`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Build {
    /// Its name, as the original calls it.
    pub artifact: &'static str,
    /// The same.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The original's group.
    pub group: &'static str,
}

/// What is watched, and which of it is shown.
#[derive(Clone)]
pub struct Actuator {
    /// For `health`.
    pub health: Health,
    /// For `prometheus`.
    pub metrics: Metrics,
    /// For `info`.
    pub build: Build,
    /// Which of `health`, `info` and `prometheus` are shown; `*` is all of them. Others are not known here and left out.
    pub shown: Vec<String>,
}

impl Actuator {
    /// The routes.
    pub fn router(self) -> Router {
        let mut routes = Router::new().route("/actuator", get(links));
        if self.shows("health") {
            routes = routes
                .route("/actuator/health", get(health))
                .route("/actuator/health/{component}", get(component));
        }
        if self.shows("info") {
            routes = routes.route("/actuator/info", get(info));
        }
        if self.shows("prometheus") {
            routes = routes.route("/actuator/prometheus", get(prometheus));
        }
        routes.with_state(Arc::new(self))
    }

    fn shows(&self, name: &str) -> bool {
        self.shown
            .iter()
            .any(|shown| shown == "*" || shown.eq_ignore_ascii_case(name))
    }
}

async fn links(State(actuator): State<Arc<Actuator>>, Origin { base, .. }: Origin) -> Response {
    let link = |path: &str, templated: bool| json!({"href": format!("{base}/actuator{path}"), "templated": templated});
    let mut links = Map::from_iter([("self".to_owned(), link("", false))]);
    if actuator.shows("health") {
        links.insert("health".to_owned(), link("/health", false));
        links.insert("health-path".to_owned(), link("/health/{*path}", true));
    }
    for name in ["info", "prometheus"] {
        if actuator.shows(name) {
            links.insert(name.to_owned(), link(&format!("/{name}"), false));
        }
    }
    json_answer(StatusCode::OK, &json!({ "_links": Value::Object(links) }))
}

async fn health(State(actuator): State<Arc<Actuator>>) -> Response {
    let report = actuator.health.report();
    json_answer(report.status.code(), &report)
}

async fn component(State(actuator): State<Arc<Actuator>>, Path(name): Path<String>) -> Response {
    match actuator.health.component(&name) {
        Some(condition) => json_answer(condition.status.code(), &condition),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn info(State(actuator): State<Arc<Actuator>>) -> Response {
    #[derive(Serialize)]
    struct Info {
        build: Build,
    }
    json_answer(
        StatusCode::OK,
        &Info {
            build: actuator.build,
        },
    )
}

async fn prometheus(State(actuator): State<Arc<Actuator>>, headers: HeaderMap) -> Response {
    let newer = headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("application/openmetrics-text"));
    if newer {
        (
            [(CONTENT_TYPE, OPEN_METRICS)],
            actuator.metrics.open_metrics(),
        )
            .into_response()
    } else {
        ([(CONTENT_TYPE, TEXT)], actuator.metrics.text()).into_response()
    }
}

fn json_answer(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(body) => (status, [(CONTENT_TYPE, JSON)], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "a bug: an actuator answer cannot be written");
            framework_error(StatusCode::INTERNAL_SERVER_ERROR, "/actuator")
        }
    }
}
