//! What the worker depends on, and whether it answered last time: what `/actuator/health` shows. Filled by whoever talks to the thing.

use std::sync::{Arc, PoisonError, RwLock};

use chassis::health::{Condition, Health};

/// Whether one thing answered last. Clones are the same.
#[derive(Clone)]
pub struct Vital(Arc<RwLock<Condition>>);

impl Vital {
    fn new() -> Self {
        Self(Arc::new(RwLock::new(
            Condition::out_of_service().with("reason", "not asked yet"),
        )))
    }

    /// It answered.
    pub fn well(&self) {
        self.set(Condition::up());
    }

    /// It did not.
    pub fn unwell(&self, error: impl std::fmt::Display) {
        self.set(Condition::down(error));
    }

    fn set(&self, condition: Condition) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = condition;
    }

    fn get(&self) -> Condition {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Everything the worker depends on.
#[derive(Clone)]
pub struct Vitals {
    /// The container engine.
    pub docker: Vital,
    /// The scheduler.
    pub scheduler: Vital,
    /// The chain's node.
    pub chain: Vital,
}

impl Vitals {
    /// Nothing has answered yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            docker: Vital::new(),
            scheduler: Vital::new(),
            chain: Vital::new(),
        }
    }

    /// Shows them.
    pub fn register(&self, health: &Health) {
        for (name, vital) in [
            ("docker", &self.docker),
            ("scheduler", &self.scheduler),
            ("chain", &self.chain),
        ] {
            let vital = vital.clone();
            health.register(name, move || vital.get());
        }
    }
}

impl Default for Vitals {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use chassis::health::Status;

    use super::*;

    #[test]
    fn the_worker_is_up_only_when_everything_it_needs_answers() {
        let (health, vitals) = (Health::new(), Vitals::new());
        vitals.register(&health);
        assert_eq!(health.report().status, Status::OutOfService);
        for vital in [&vitals.docker, &vitals.scheduler, &vitals.chain] {
            vital.well();
        }
        assert_eq!(health.report().status, Status::Up);
        vitals.docker.unwell("no container engine answers");
        assert_eq!(health.report().status, Status::Down);
    }
}
