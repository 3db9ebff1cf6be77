//! The worker's own HTTP port (spec `worker.md` §11.1): version, health, figures. Nothing here changes anything.

use axum::Router;
use axum::routing::get;
use chassis::actuator::{Actuator, Build};
use chassis::health::Health;
use chassis::metrics::Metrics;

/// The routes.
pub fn routes(version: String, health: Health, metrics: Metrics) -> Router {
    let build = Build {
        artifact: "iexec-worker",
        name: "iexec-worker",
        version: env!("CARGO_PKG_VERSION"),
        group: "com.iexec.worker",
    };
    let shown = ["health", "info", "prometheus"].map(str::to_owned).to_vec();
    Router::new()
        .route(
            "/version",
            get(move || async move { chassis::serve::text(version) }),
        )
        .merge(
            Actuator {
                health,
                metrics,
                build,
                shown,
            }
            .router(),
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vitals::Vitals;

    #[tokio::test]
    async fn version_health_and_figures_are_answered_and_health_is_503_while_something_is_missing()
    {
        let (health, vitals) = (Health::new(), Vitals::new());
        vitals.register(&health);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let router = routes(
            "9.2.0".to_owned(),
            health,
            Metrics::new("iexec-worker", "9.2.0"),
        );
        let shutdown = chassis::Shutdown::new();
        let serving = tokio::spawn(chassis::serve::serve(listener, router, shutdown.clone()));
        let ask = async |path: &str| {
            let answer = reqwest::get(format!("{base}{path}")).await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        };
        assert_eq!(ask("/version").await, (200, "9.2.0".to_owned()));
        assert_eq!(ask("/actuator/health").await.0, 503);
        for vital in [&vitals.docker, &vitals.scheduler, &vitals.chain] {
            vital.well();
        }
        assert_eq!(ask("/actuator/health").await.0, 200);
        assert!(
            ask("/actuator/prometheus")
                .await
                .1
                .contains("iexec_version_info")
        );
        shutdown.trigger();
        serving.await.unwrap().unwrap();
    }
}
