//! The routes of a config server.

use axum::Router;
use axum::routing::get;
use chassis::actuator::{Actuator, Build};
use chassis::health::Health;
use chassis::metrics::Metrics;

use crate::config::Settings;

mod chain;

const BUILD: Build = Build {
    artifact: "config-server",
    name: "config-server",
    version: env!("CARGO_PKG_VERSION"),
    group: "workerpool",
};

/// All routes, for what `settings` say.
pub(crate) fn routes(settings: &Settings) -> Router {
    let metrics = Metrics::new(BUILD.name, BUILD.version);
    let actuator = Actuator {
        health: Health::new(),
        metrics: metrics.clone(),
        build: BUILD,
        shown: settings.actuators.clone(),
    };
    let own = Router::new()
        .route("/version", get(async || chassis::text(BUILD.version)))
        .merge(chain::routes(settings.chain.clone()));
    metrics.timed(own).merge(actuator.router())
}
