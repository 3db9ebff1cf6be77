//! The routes below `/actuator`, by which orchestrators and operators watch a service (spec scheduler-api §4.4).

mod meters;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::env::Reader;
use crate::error::framework_error;
use crate::extract::{Path, Query};
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
    /// Which of [`ENDPOINTS`] are shown; see [`shown`].
    pub shown: Vec<String>,
}

/// What can be shown.
pub const ENDPOINTS: [&str; 4] = ["health", "info", "metrics", "prometheus"];

/// What is shown if nobody says otherwise.
pub const USUAL: [&str; 3] = ["health", "info", "prometheus"];

/// Reads which endpoints are shown: those of the list called `name`, `*` being all, less those that are excluded. Names that are not
/// known here are left out, as what the original has besides is not here.
pub fn shown(read: &mut Reader<'_>, name: &'static str, usual: &[&str]) -> Vec<String> {
    let included = read
        .var(name)
        .property("management.endpoints.web.exposure.include")
        .list()
        .or(usual.iter().map(|one| (*one).to_owned()).collect());
    let excluded = read
        .var("MANAGEMENT_ENDPOINTS_WEB_EXPOSURE_EXCLUDE")
        .list()
        .or(Vec::new());
    let named = |list: &[String], endpoint: &str| {
        list.iter()
            .any(|one| one == "*" || one.eq_ignore_ascii_case(endpoint))
    };
    ENDPOINTS
        .into_iter()
        .filter(|endpoint| named(&included, endpoint) && !named(&excluded, endpoint))
        .map(str::to_owned)
        .collect()
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
        if self.shows("metrics") {
            routes = routes
                .route("/actuator/metrics", get(names))
                .route("/actuator/metrics/{name}", get(meter));
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
    for name in ["info", "metrics", "prometheus"] {
        if actuator.shows(name) {
            links.insert(name.to_owned(), link(&format!("/{name}"), false));
        }
    }
    if actuator.shows("metrics") {
        let path = "/metrics/{requiredMetricName}";
        links.insert("metrics-requiredMetricName".to_owned(), link(path, true));
    }
    json_answer(StatusCode::OK, &json!({ "_links": Value::Object(links) }))
}

async fn health(State(actuator): State<Arc<Actuator>>) -> Response {
    let report = actuator.health.report();
    json_answer(report.status.code(), &report)
}

async fn component(State(actuator): State<Arc<Actuator>>, Path(name): Path<String>) -> Response {
    // What Kubernetes asks: whether to start this process anew, and whether to send it requests. What is broken elsewhere is no
    // reason for the one, and the answer itself is the other.
    if matches!(name.as_str(), "liveness" | "readiness") {
        return json_answer(StatusCode::OK, &json!({"status": "UP"}));
    }
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

async fn names(State(actuator): State<Arc<Actuator>>) -> Response {
    let names = meters::names(&actuator.metrics.open_metrics());
    json_answer(StatusCode::OK, &json!({ "names": names }))
}

/// One figure, of the samples with `?tag=name:value`.
async fn meter(
    State(actuator): State<Arc<Actuator>>,
    Path(name): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
) -> Response {
    let asked: Option<Vec<(&str, &str)>> = query
        .iter()
        .filter(|(name, _)| name == "tag")
        .flat_map(|(_, tags)| tags.split(','))
        .map(|tag| tag.split_once(':'))
        .collect();
    let Some(tags) = asked else {
        return framework_error(
            StatusCode::BAD_REQUEST,
            &format!("/actuator/metrics/{name}"),
        );
    };
    match meters::meter(&actuator.metrics.open_metrics(), &name, &tags) {
        Some(meter) => json_answer(StatusCode::OK, &meter),
        None => StatusCode::NOT_FOUND.into_response(),
    }
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
