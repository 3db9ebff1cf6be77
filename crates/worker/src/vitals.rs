//! What the worker depends on, and whether it answered last time: what `/actuator/health` shows. Filled by whoever talks to the thing;
//! says when somebody looked, so that what is shown can be made fresh.

use std::sync::{Arc, PoisonError, RwLock};

use chassis::health::{Condition, Health};
use tokio::sync::Notify;

/// Whether one thing answered last. Clones are the same.
#[derive(Clone)]
pub struct Vital {
    condition: Arc<RwLock<Condition>>,
    looked: Arc<Notify>,
}

impl Vital {
    /// Nobody has asked yet.
    pub(crate) fn unknown() -> Self {
        Self {
            condition: Arc::new(RwLock::new(
                Condition::out_of_service().with("reason", "not asked yet"),
            )),
            looked: Arc::default(),
        }
    }

    /// It answered.
    pub fn well(&self) {
        self.set(Condition::up());
    }

    /// It did not.
    pub fn unwell(&self, error: impl std::fmt::Display) {
        self.set(Condition::down(error));
    }

    /// How it is, with what there is to say about it.
    pub(crate) fn set(&self, condition: Condition) {
        *self
            .condition
            .write()
            .unwrap_or_else(PoisonError::into_inner) = condition;
    }

    /// How it was last, for somebody who looks.
    pub(crate) fn shown(&self) -> Condition {
        self.look();
        self.condition
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Somebody wants to know how it is now.
    pub(crate) fn look(&self) {
        self.looked.notify_one();
    }

    /// Returns once somebody has looked since the last time.
    pub(crate) async fn looked_at(&self) {
        self.looked.notified().await;
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
            docker: Vital::unknown(),
            scheduler: Vital::unknown(),
            chain: Vital::unknown(),
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
            health.register(name, move || vital.shown());
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
