//! Figures of a service for Prometheus (spec scheduler-api §4.4, §8).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// The text form that Prometheus reads by default.
pub(crate) const TEXT: &str = "text/plain;version=0.0.4;charset=utf-8";
/// The newer form, given to those who ask for it.
pub(crate) const OPEN_METRICS: &str = "application/openmetrics-text;version=1.0.0;charset=utf-8";

/// All figures of a process; clones are the same. Labels never hold what has no bounds, such as a task.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    requests: Family<RequestLabels, Histogram>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    uri: String,
    status: u16,
}

impl Metrics {
    /// Figures of the program called `app`, as the original calls it, with `iexec_version_info` and the times of requests.
    pub fn new(app: &str, version: &str) -> Self {
        let mut registry = Registry::default();
        let info = Family::<Vec<(String, String)>, Gauge>::default();
        let labels = [("iexecAppName", app), ("iexecAppVersion", version)]
            .map(|(name, value)| (name.into(), value.into()));
        info.get_or_create(&labels.to_vec()).set(1);
        // Newer versions of the original's library strip the ending: both names are read (spec worker.md Q68).
        for name in ["iexec_version_info", "iexec_version"] {
            registry.register(
                name,
                "Exposes the version and the name of the application",
                info.clone(),
            );
        }
        let requests = Family::<RequestLabels, Histogram>::new_with_constructor(|| {
            Histogram::new([0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0])
        });
        registry.register(
            "http_server_requests_seconds",
            "Time to answer a request",
            requests.clone(),
        );
        Self {
            registry: Arc::new(Mutex::new(registry)),
            requests,
        }
    }

    /// Adds figures: `metrics.register(|registry| registry.register("name", "help", gauge.clone()))`. Names of counters are
    /// given without `_total`.
    pub fn register<T>(&self, add: impl FnOnce(&mut Registry) -> T) -> T {
        add(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// `routes`, with the time of each request taken.
    pub fn timed(&self, routes: Router) -> Router {
        routes.layer(from_fn_with_state(self.requests.clone(), time_request))
    }

    /// The newer text form.
    pub fn open_metrics(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing to a string fails only when a metric of ours does.
        if let Err(error) = encode(&mut text, &registry) {
            tracing::error!(%error, "a metric cannot be written");
        }
        text
    }

    /// The text form 0.0.4.
    pub fn text(&self) -> String {
        classic(&self.open_metrics())
    }
}

/// Turns the newer text form into 0.0.4: no units and no end mark, and the family of a counter has the name of its sample.
fn classic(text: &str) -> String {
    let counters: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut classic = String::with_capacity(text.len());
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        let (mark, kind, name, rest) = (words.next(), words.next(), words.next(), words.next());
        match (mark, kind, name) {
            (Some("#"), Some("EOF" | "UNIT"), _) => continue,
            (Some("#"), Some(kind @ ("TYPE" | "HELP")), Some(name)) => {
                let total = if counters.contains(&name) {
                    "_total"
                } else {
                    ""
                };
                let rest = match (kind, rest.unwrap_or_default()) {
                    ("TYPE", "unknown") => "untyped",
                    ("TYPE", "info" | "stateset") => "gauge",
                    (_, rest) => rest,
                };
                classic.push_str(&format!("# {kind} {name}{total} {rest}\n"));
            }
            _ => {
                classic.push_str(line);
                classic.push('\n');
            }
        }
    }
    classic
}

async fn time_request(
    State(requests): State<Family<RequestLabels, Histogram>>,
    request: Request,
    next: Next,
) -> Response {
    let method = match request.method().as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "OPTIONS" | "PATCH") => {
            known.to_owned()
        }
        _ => "OTHER".to_owned(),
    };
    let uri = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "UNKNOWN".to_owned(), |path| path.as_str().to_owned());
    let began = Instant::now();
    let response = next.run(request).await;
    let labels = RequestLabels {
        method,
        uri,
        status: response.status().as_u16(),
    };
    requests
        .get_or_create(&labels)
        .observe(began.elapsed().as_secs_f64());
    response
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[test]
    fn both_text_forms_carry_the_same_samples() {
        let metrics = Metrics::new("iexec-core", "1.2.3");
        let deals: Counter = Counter::default();
        deals.inc_by(3);
        metrics.register(|registry| {
            registry.register("iexec_core_deals", "deals handled", deals.clone())
        });
        insta::assert_snapshot!(metrics.text(), @r#"
        # HELP iexec_version_info Exposes the version and the name of the application.
        # TYPE iexec_version_info gauge
        iexec_version_info{iexecAppName="iexec-core",iexecAppVersion="1.2.3"} 1
        # HELP iexec_version Exposes the version and the name of the application.
        # TYPE iexec_version gauge
        iexec_version{iexecAppName="iexec-core",iexecAppVersion="1.2.3"} 1
        # HELP iexec_core_deals_total deals handled.
        # TYPE iexec_core_deals_total counter
        iexec_core_deals_total 3
        "#);
        let newer = metrics.open_metrics();
        assert!(
            newer.contains("# TYPE iexec_core_deals counter\niexec_core_deals_total 3\n"),
            "{newer}"
        );
        assert!(newer.ends_with("# EOF\n"));
    }
}
