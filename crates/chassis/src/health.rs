//! Whether a service can do its work, component by component (spec scheduler-api §4.4).
//!
//! Components are asked when somebody asks, and must answer from what they know: an indicator that would have to wait for
//! another program is a task that keeps a value fresh, and reads it here.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};

/// How a component is, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Broken.
    Down,
    /// Working, but must not be used now.
    OutOfService,
    /// Well.
    Up,
    /// Nobody knows.
    Unknown,
}

impl Status {
    /// The HTTP status of a health answer.
    pub const fn code(self) -> StatusCode {
        match self {
            Self::Down | Self::OutOfService => StatusCode::SERVICE_UNAVAILABLE,
            Self::Up | Self::Unknown => StatusCode::OK,
        }
    }
}

/// How a component is, and what there is to say about it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Condition {
    /// How it is.
    pub status: Status,
    /// What there is to say.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Value>,
}

impl Condition {
    /// A component that is like this, with nothing to say.
    pub fn new(status: Status) -> Self {
        Self {
            status,
            details: Map::new(),
        }
    }

    /// A well component.
    pub fn up() -> Self {
        Self::new(Status::Up)
    }

    /// A broken component, and why.
    pub fn down(error: impl std::fmt::Display) -> Self {
        Self::new(Status::Down).with("error", error.to_string())
    }

    /// A component that must not be used now.
    pub fn out_of_service() -> Self {
        Self::new(Status::OutOfService)
    }

    /// The same with one more detail.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.details.insert(name.into(), value.into());
        self
    }
}

/// Something that knows how a component is. Any `Fn() -> Condition` does.
pub trait Indicator: Send + Sync {
    /// How the component is now; never waits.
    fn condition(&self) -> Condition;
}

impl<F: Fn() -> Condition + Send + Sync> Indicator for F {
    fn condition(&self) -> Condition {
        self()
    }
}

/// The components of a service. Clones are the same; `ping`, always up, is there from the beginning.
#[derive(Clone)]
pub struct Health {
    components: Arc<RwLock<BTreeMap<&'static str, Arc<dyn Indicator>>>>,
}

/// The answer of `GET /actuator/health`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The worst of all.
    pub status: Status,
    /// Each of them.
    pub components: BTreeMap<&'static str, Condition>,
}

impl Health {
    /// Only `ping`.
    pub fn new() -> Self {
        let health = Self {
            components: Arc::default(),
        };
        health.register("ping", Condition::up);
        health
    }

    /// Adds a component, or replaces the one of that name.
    pub fn register(&self, name: &'static str, indicator: impl Indicator + 'static) {
        let mut components = self
            .components
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        components.insert(name, Arc::new(indicator));
    }

    /// How everything is.
    pub fn report(&self) -> Report {
        let indicators = self
            .components
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let components: BTreeMap<_, _> = indicators
            .into_iter()
            .map(|(name, indicator)| (name, indicator.condition()))
            .collect();
        let status = components.values().map(|condition| condition.status).min();
        Report {
            status: status.unwrap_or(Status::Unknown),
            components,
        }
    }

    /// How one component is, if there is one of that name.
    pub fn component(&self, name: &str) -> Option<Condition> {
        let components = self
            .components
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let indicator = components.get(name).cloned();
        drop(components);
        indicator.map(|indicator| indicator.condition())
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aggregate(conditions: &[Status]) -> Status {
        let names = ["a", "b", "c"];
        let health = Health::new();
        for (name, status) in names.into_iter().zip(conditions.iter().copied()) {
            health.register(name, move || Condition::new(status));
        }
        health.report().status
    }

    #[test]
    fn the_whole_is_as_its_worst_part() {
        use Status::*;
        assert_eq!(aggregate(&[]), Up);
        assert_eq!(aggregate(&[Up, Unknown]), Up);
        assert_eq!(aggregate(&[Up, OutOfService, Unknown]), OutOfService);
        assert_eq!(aggregate(&[OutOfService, Down, Up]), Down);
    }

    #[test]
    fn only_what_cannot_be_used_is_answered_503() {
        let unavailable: Vec<_> = [
            Status::Down,
            Status::OutOfService,
            Status::Up,
            Status::Unknown,
        ]
        .into_iter()
        .filter(|status| status.code() == StatusCode::SERVICE_UNAVAILABLE)
        .collect();
        assert_eq!(unavailable, [Status::Down, Status::OutOfService]);
    }
}
