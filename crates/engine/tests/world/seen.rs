//! What can be seen of the world from outside the engine: records, pushes, commands.

use engine::{Purpose, Recipients, Ticket};
use poco::ids::TaskId;
use poco::units::Timestamp;
use wire::status::{ReplicateStatus, TaskNotificationType, TaskStatus};

use super::{World, wallet};

impl World {
    pub(crate) fn status(&self, id: TaskId) -> TaskStatus {
        self.stored.tasks[&id].status
    }

    pub(crate) fn path(&self, id: TaskId) -> Vec<TaskStatus> {
        let history = &self.stored.tasks[&id].history;
        history.iter().map(|step| step.status).collect()
    }

    pub(crate) fn replicate(&self, name: &str, id: TaskId) -> Vec<ReplicateStatus> {
        let history = &self.stored.replicates[&(id, wallet(name))].history;
        history.iter().map(|step| step.status).collect()
    }

    /// A worker's slots, and how many of them are taken.
    pub(crate) fn slots(&self, name: &str) -> (usize, usize) {
        let worker = wallet(name);
        let slots = self.stored.workers[&worker].profile.slots();
        let (_, holding) = self.engine.tasks_of(worker);
        (slots as usize, holding.len())
    }

    /// Whether the caller's connection was lost in a restart.
    pub(crate) fn is_forgotten(&self, ticket: Ticket) -> bool {
        ticket.0 <= self.forgotten
    }

    /// Callers that still wait.
    pub(crate) fn unanswered(&self) -> Vec<Ticket> {
        (self.forgotten + 1..=self.tickets)
            .map(Ticket)
            .filter(|ticket| !self.replies.contains_key(ticket))
            .collect()
    }

    pub(crate) fn free_slots(&self, name: &str) -> u32 {
        self.engine.free_slots(wallet(name))
    }

    /// How often a worker was told something, and when last.
    pub(crate) fn told(&self, name: &str, kind: TaskNotificationType) -> Vec<Timestamp> {
        self.notices
            .iter()
            .filter(|(_, notice)| {
                notice.kind == kind
                    && match &notice.to {
                        Recipients::Everyone => true,
                        Recipients::Workers(workers) => workers.contains(&wallet(name)),
                    }
            })
            .map(|(at, _)| *at)
            .collect()
    }

    pub(crate) fn commanded(&self, purpose: Purpose) -> usize {
        self.commands
            .iter()
            .filter(|command| command.key.purpose == purpose)
            .count()
    }
}
