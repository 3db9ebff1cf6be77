//! The worker's own HTTP port (spec `worker.md` §11.1): version, durations, health, figures. Nothing here changes anything.

use axum::extract::Request;
use axum::middleware::map_request;
use axum::routing::get;
use axum::{Json, Router};
use chassis::actuator::{Actuator, Build};
use chassis::health::Health;

use crate::metrics::Metrics;
use crate::vitals::Vital;

/// What the port shows.
pub struct Surface {
    /// The version that this worker says it has.
    pub version: String,
    /// Which of `health`, `info` and `prometheus` are served; `*` is all of them.
    pub shown: Vec<String>,
    /// How everything is that the worker depends on.
    pub health: Health,
    /// Everything that is counted.
    pub registry: chassis::metrics::Metrics,
    /// What the worker counts itself.
    pub metrics: Metrics,
    /// The chain's node: asked again when somebody reads the figures, some of which are the chain's.
    pub chain: Vital,
}

impl Surface {
    /// The routes.
    pub fn routes(self) -> Router {
        let Self {
            version,
            shown,
            health,
            registry,
            metrics,
            chain,
        } = self;
        let build = Build {
            artifact: "iexec-worker",
            name: "iexec-worker",
            version: env!("CARGO_PKG_VERSION"),
            group: "com.iexec.worker",
        };
        let actuator = Actuator {
            health,
            metrics: registry.clone(),
            build,
            shown,
        };
        let own = Router::new()
            .route(
                "/version",
                get(move || async move { chassis::serve::text(version) }),
            )
            .route(
                "/metrics",
                get(move || async move { Json(metrics.durations()) }),
            );
        let looked = move |request: Request| {
            if request.uri().path() == "/actuator/prometheus" {
                chain.look();
            }
            async move { request }
        };
        registry.timed(own.merge(actuator.router()).layer(map_request(looked)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use alloy_primitives::B256;
    use poco::ids::TaskId;

    use super::*;
    use crate::durations::Stage;
    use crate::vitals::Vitals;

    struct Served {
        base: String,
        metrics: Metrics,
        vitals: Vitals,
        _serving: tokio::task::JoinHandle<std::io::Result<()>>,
    }

    async fn serve(shown: &[&str]) -> Served {
        let (health, vitals) = (Health::new(), Vitals::new());
        vitals.register(&health);
        let registry = chassis::metrics::Metrics::new("iexec-worker", "9.2.0");
        let metrics = Metrics::new(&registry, "0xab", 1000);
        let surface = Surface {
            version: "9.2.0".to_owned(),
            shown: shown.iter().map(|one| (*one).to_owned()).collect(),
            health,
            registry,
            metrics: metrics.clone(),
            chain: vitals.chain.clone(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(chassis::serve::serve(
            listener,
            surface.routes(),
            chassis::Shutdown::new(),
        ));
        Served {
            base,
            metrics,
            vitals,
            _serving: serving,
        }
    }

    impl Served {
        async fn ask(&self, path: &str) -> (u16, String, String) {
            let answer = reqwest::get(format!("{}{path}", self.base)).await.unwrap();
            let kind = answer.headers().get("content-type");
            let kind = kind.map(|kind| kind.to_str().unwrap().to_owned());
            (
                answer.status().as_u16(),
                kind.unwrap_or_default(),
                answer.text().await.unwrap(),
            )
        }
    }

    #[tokio::test]
    async fn the_version_is_bare_text() {
        let served = serve(&["health"]).await;
        let (status, kind, text) = served.ask("/version").await;
        assert_eq!(
            (status, kind.as_str(), text.as_str()),
            (200, "text/plain;charset=UTF-8", "9.2.0")
        );
    }

    #[tokio::test]
    async fn the_durations_are_json_in_the_originals_order() {
        let served = serve(&["health"]).await;
        let task = TaskId(B256::repeat_byte(0x11));
        served
            .metrics
            .ran(Stage::App, task, Duration::from_millis(1_234));
        let (status, kind, text) = served.ask("/metrics").await;
        assert_eq!((status, kind.as_str()), (200, "application/json"));
        insta::assert_snapshot!(text);
    }

    #[tokio::test]
    async fn health_is_503_while_something_is_missing_and_names_every_component() {
        let served = serve(&["health"]).await;
        let (status, kind, text) = served.ask("/actuator/health").await;
        assert_eq!(
            (status, kind.as_str()),
            (503, "application/vnd.spring-boot.actuator.v3+json")
        );
        insta::assert_snapshot!("health_not_yet", text);
        let vitals = &served.vitals;
        for vital in [&vitals.docker, &vitals.scheduler, &vitals.chain] {
            vital.well();
        }
        let (status, _, text) = served.ask("/actuator/health").await;
        assert_eq!(status, 200);
        insta::assert_snapshot!("health_up", text);
        vitals.docker.unwell("no container engine answers");
        let (status, _, text) = served.ask("/actuator/health").await;
        assert_eq!(status, 503);
        insta::assert_snapshot!("health_docker_away", text);
        assert_eq!(served.ask("/actuator/health/docker").await.0, 503);
        assert_eq!(served.ask("/actuator/health/chain").await.0, 200);
        assert_eq!(served.ask("/actuator/health/nothing").await.0, 404);
    }

    #[tokio::test]
    async fn only_what_the_operator_wants_is_shown() {
        let some = serve(&["health"]).await;
        for path in ["/actuator/info", "/actuator/prometheus"] {
            assert_eq!(some.ask(path).await.0, 404, "{path}");
        }
        let all = serve(&["*"]).await;
        for path in ["/actuator/info", "/actuator/prometheus", "/actuator"] {
            assert_eq!(all.ask(path).await.0, 200, "{path}");
        }
        assert!(
            all.ask("/actuator/prometheus")
                .await
                .2
                .contains("iexec_version_info")
        );
    }

    #[tokio::test]
    async fn who_reads_the_figures_has_the_chain_asked_again() {
        let served = serve(&["*"]).await;
        served.ask("/metrics").await;
        served.ask("/actuator/prometheus").await;
        let asked = tokio::time::timeout(Duration::from_secs(10), served.vitals.chain.looked_at());
        assert!(asked.await.is_ok());
    }
}
