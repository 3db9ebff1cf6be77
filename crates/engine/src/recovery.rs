//! A worker that started anew asks what it left unfinished (spec scheduler-logic §5.2, without its bugs). The answer is decided
//! by the chain's facts; when the worker's node is ahead of them, they are waited for.

use alloy_primitives::Address;
use poco::ids::TaskId;
use poco::units::BlockNumber;
use wire::status::ReplicateStatus::{
    ContributeAndFinalizeOngoing, Contributed, Contributing, Recovering, ResultUploadRequested,
    ResultUploaded, ResultUploading, Revealed, Revealing,
};
use wire::status::{TaskNotificationType, TaskStatus};

use crate::engine::Engine;
use crate::input::Ticket;
use crate::output::{MissedTask, Reply};
use crate::records::{ReplicateRecord, TaskRecord};
use crate::replicate::Entry;
use crate::supply::assignment;
use crate::tell::Need;
use crate::turn::Turn;

impl Engine {
    pub(crate) fn interrupted(
        &mut self,
        turn: &mut Turn,
        ticket: Ticket,
        worker: Address,
        block: BlockNumber,
    ) {
        self.seen(turn, worker);
        let head = self.head_number();
        let absurd = block.0 > head.0.saturating_add(self.settings.blocks_in_an_hour());
        if head < block && !absurd && self.tasks_of_worker.contains_key(&worker) {
            self.park_question(turn, ticket, worker, block);
        } else {
            self.answer_interrupted(turn, ticket, worker);
        }
    }

    pub(crate) fn answer_interrupted(&mut self, turn: &mut Turn, ticket: Ticket, worker: Address) {
        let mut missed = Vec::new();
        let tasks = self.tasks_of_worker.get(&worker).cloned();
        for id in tasks.unwrap_or_default() {
            self.fill_replicate(turn, id, worker, std::time::Duration::ZERO);
            self.review(turn, id);
            missed.extend(self.missed_task(turn, id, worker));
        }
        turn.reply(ticket, Reply::Missed(missed));
    }

    fn missed_task(&mut self, turn: &mut Turn, id: TaskId, worker: Address) -> Option<MissedTask> {
        let task = self.tasks.get(&id)?;
        let replicate = self.replicates.get(&(id, worker))?;
        let need = self.go_on_with(task, replicate)?;
        let assignment = assignment(task, worker);
        if !task.is_final() {
            let entry = Entry::of_pool(Recovering);
            let why = "the worker started anew and asked what it left";
            // One that is recovering already asks a second time.
            let recovers = replicate.recovering_since.is_some()
                || self.set_replicate(turn, id, worker, &entry, why);
            if recovers && let Some(replicate) = self.replicates.get_mut(&(id, worker)) {
                replicate.recovering_since = Some(turn.now);
                turn.replicate_changed(id, worker);
            }
        }
        self.mark_told(turn, id, worker, need.kind);
        Some(MissedTask {
            assignment,
            kind: need.kind,
            block: need.block,
            abort_cause: need.cause,
        })
    }

    fn go_on_with(&self, task: &TaskRecord, replicate: &ReplicateRecord) -> Option<Need> {
        use TaskNotificationType::{
            PleaseAbort, PleaseContribute, PleaseReveal, PleaseUpload, PleaseWait,
        };
        if replicate.is_over() {
            return None;
        }
        if let Some(need) = self.need(task, replicate) {
            return Some(need);
        }
        let relevant = replicate.relevant();
        let just = |kind| {
            Some(Need {
                kind,
                block: None,
                cause: None,
            })
        };
        match task.status {
            TaskStatus::Initializing | TaskStatus::Initialized | TaskStatus::Running => {
                match relevant {
                    Contributed => just(PleaseWait),
                    ContributeAndFinalizeOngoing => just(PleaseContribute),
                    early if early.is_success() && early <= Contributing => just(PleaseContribute),
                    failed if failed.is_failure() => match replicate.next_action() {
                        PleaseAbort => just(PleaseAbort),
                        _ => just(PleaseContribute),
                    },
                    // Further than the task: the chain dropped a block, and what was done will come back.
                    _ => just(PleaseWait),
                }
            }
            TaskStatus::Received => None,
            status => match relevant {
                Revealing if self.may_reveal(task) => Some(Need {
                    kind: PleaseReveal,
                    block: task.consensus_block(),
                    cause: None,
                }),
                // Uploading again does no harm, and only the worker knows the link (spec scheduler-logic Q-59).
                ResultUploading if status == TaskStatus::ResultUploading => just(PleaseUpload),
                Contributed
                | Revealing
                | Revealed
                | ResultUploadRequested
                | ResultUploading
                | ResultUploaded => just(PleaseWait),
                _ => None,
            },
        }
    }
}
