//! The result's upload: one worker at a time among those that revealed, the first to reveal first; the next one when it does
//! not get there. And asking the result proxy whether a claimed upload is there.

use std::time::Duration;

use alloy_primitives::Address;
use poco::ids::TaskId;
use poco::units::Timestamp;
use wire::status::ReplicateStatus::{
    Aborted, Failed, ResultUploadFailed, ResultUploadRequested, ResultUploaded, ResultUploading,
    Revealed, WorkerLost,
};
use wire::status::TaskStatus;

use crate::engine::{Alarm, Engine};
use crate::input::{Outcome, Ticket};
use crate::output::{Action, Command, CommandKey, Purpose};
use crate::records::{ReplicateRecord, TaskRecord, Uploader};
use crate::replicate::Entry;
use crate::turn::Turn;

/// Time before a result proxy that did not answer is asked again.
const CHECK_AGAIN: Duration = Duration::from_secs(2);

/// A question to the result proxy.
#[derive(Debug, Clone, Default)]
pub(crate) struct Check {
    attempt: u32,
    running: bool,
    /// Who waited when it was put: a later claim may be about a later upload.
    asked_for: Vec<Ticket>,
}

impl Engine {
    /// Picks an uploader, replaces one that does not get there, takes over an uploaded result. Says whether the task moved.
    pub(crate) fn see_to_upload(&mut self, turn: &mut Turn, id: TaskId) -> bool {
        if let Some(done) = self.uploaded_replicate(id) {
            let (link, data) = (done.result_link.clone(), done.callback_data.clone());
            if let Some(task) = self.tasks.get_mut(&id) {
                task.result_link = link;
                task.callback_data = data;
                let steps: &[TaskStatus] = match task.status {
                    TaskStatus::AtLeastOneRevealed => {
                        &[TaskStatus::ResultUploading, TaskStatus::ResultUploaded]
                    }
                    _ => &[TaskStatus::ResultUploaded],
                };
                return self.advance(turn, id, steps, "the result is there");
            }
        }
        let Some(task) = self.tasks.get(&id) else {
            return false;
        };
        let Some(uploader) = task.uploader else {
            return match self.next_uploader(task, turn.now) {
                Some(worker) => self.ask_to_upload(turn, id, worker),
                None => self.give_up_upload(turn, id),
            };
        };
        if self.gets_there(uploader, id, turn.now) {
            return false;
        }
        match self.next_uploader(task, turn.now) {
            Some(worker) => {
                self.dismiss_uploader(turn, id, uploader);
                self.ask_to_upload(turn, id, worker)
            }
            // Nobody else can: a late or lost one may still come back with it.
            None => self.give_up_upload(turn, id),
        }
    }

    fn uploaded_replicate(&self, id: TaskId) -> Option<&ReplicateRecord> {
        let task = self.tasks.get(&id)?;
        let uploader = task.uploader.map(|one| one.worker);
        let has = |one: &&ReplicateRecord| {
            let there = if task.calls_back {
                // What was uploaded for a consensus that the chain dropped is not the result of the one that followed.
                task.is_agreed(one.callback_data.as_deref()) == Some(true)
            } else {
                one.result_link.is_some()
            };
            one.passed(ResultUploaded) && there
        };
        self.replicates_of(id)
            .find(|one| has(one) && Some(one.worker) == uploader)
            .or_else(|| self.replicates_of(id).find(has))
    }

    fn gets_there(&self, uploader: Uploader, id: TaskId, now: Timestamp) -> bool {
        let Some(replicate) = self.replicates.get(&(id, uploader.worker)) else {
            return false;
        };
        let late = now
            >= uploader
                .asked_at
                .saturating_add(self.settings.upload_patience);
        let at_it = matches!(
            replicate.relevant(),
            Revealed | ResultUploadRequested | ResultUploading
        );
        at_it && !late && replicate.current() != WorkerLost
    }

    /// Of the living workers that revealed and were not asked yet, the first to reveal. When there is none and the one that
    /// was asked last is gone, one that was asked before and never began.
    fn next_uploader(&self, task: &TaskRecord, now: Timestamp) -> Option<Address> {
        let last_is_gone = task
            .uploader
            .is_none_or(|one| !self.is_alive(one.worker, now));
        task.chain
            .winners()
            .filter_map(|(worker, one)| {
                let status = self.replicates.get(&(task.id, *worker))?.relevant();
                let asked_before = match status {
                    Revealed => false,
                    ResultUploadRequested if last_is_gone => true,
                    _ => return None,
                };
                Some((asked_before, one.revealed?.place, *worker))
            })
            .filter(|(_, _, worker)| {
                self.is_alive(*worker, now) && task.uploader.is_none_or(|one| one.worker != *worker)
            })
            .min()
            .map(|(_, _, worker)| worker)
    }

    fn ask_to_upload(&mut self, turn: &mut Turn, id: TaskId, worker: Address) -> bool {
        let entry = Entry::of_pool(ResultUploadRequested);
        let why = "it revealed, and is asked for the result";
        if let Some(replicate) = self.replicates.get_mut(&(id, worker))
            && replicate.relevant() == ResultUploadRequested
        {
            // Asked again: it must be told again too.
            replicate.told = None;
            turn.replicate_changed(id, worker);
        } else if !self.set_replicate(turn, id, worker, &entry, why) {
            return false;
        }
        if let Some(task) = self.tasks.get_mut(&id) {
            task.uploader = Some(Uploader {
                worker,
                asked_at: turn.now,
            });
        }
        self.advance(
            turn,
            id,
            &[TaskStatus::ResultUploading],
            "one worker is asked for the result",
        )
    }

    fn dismiss_uploader(&mut self, turn: &mut Turn, id: TaskId, uploader: Uploader) {
        if let Some(task) = self.tasks.get_mut(&id) {
            task.uploader = None;
        }
        let entry = Entry::of_pool(ResultUploadFailed);
        let uploading = self
            .replicates
            .get(&(id, uploader.worker))
            .is_some_and(|one| one.current() == ResultUploading);
        if uploading {
            let why = "it did not get there in time";
            self.set_replicate(turn, id, uploader.worker, &entry, why);
        }
    }

    /// Ends the task when everybody who could bring the result has given it up.
    fn give_up_upload(&mut self, turn: &mut Turn, id: TaskId) -> bool {
        let Some(task) = self.tasks.get(&id) else {
            return false;
        };
        let reveals_closed = task
            .reveal_deadline()
            .is_some_and(|deadline| self.pool.head.is_some_and(|head| head.time >= deadline));
        if !task.chain.all_revealed() && !reveals_closed {
            return false;
        }
        let hopeless = task
            .chain
            .winners()
            .filter(|(_, one)| one.revealed.is_some())
            .all(|(worker, _)| {
                self.replicates
                    .get(&(id, *worker))
                    .is_none_or(|one| matches!(one.relevant(), Aborted | Failed))
            });
        if !hopeless {
            return false;
        }
        let reason = "every worker that revealed gave the result up";
        self.fail(turn, id, TaskStatus::ResultUploadTimeout, reason);
        true
    }

    /// Asks the result proxy about a task, unless a question runs.
    pub(crate) fn want_check(&mut self, turn: &mut Turn, id: TaskId) {
        let proxy = self
            .tasks
            .get(&id)
            .and_then(|task| self.deals.get(&task.deal))
            .and_then(|deal| deal.details.storage_proxy.clone());
        let enclave_challenge = self
            .tasks
            .get(&id)
            .and_then(|task| task.enclave.as_ref())
            .map_or(Address::ZERO, |enclave| enclave.challenge);
        let waiting = self.waiting_for_upload(id);
        let check = self.checks.entry(id).or_default();
        if check.running {
            return;
        }
        check.running = true;
        check.asked_for = waiting;
        check.attempt += 1;
        turn.command(Command {
            key: CommandKey {
                purpose: Purpose::CheckUploaded,
                task: id,
                attempt: check.attempt,
            },
            action: Action::CheckUploaded {
                proxy,
                enclave_challenge,
            },
        });
    }

    pub(crate) fn checked(&mut self, turn: &mut Turn, key: CommandKey, outcome: &Outcome) {
        let Some(check) = self.checks.get_mut(&key.task) else {
            return;
        };
        if check.attempt != key.attempt || !check.running {
            return;
        }
        check.running = false;
        let asked_for = std::mem::take(&mut check.asked_for);
        if let Outcome::Uploaded(uploaded) = outcome {
            self.judge_uploads(turn, &asked_for, *uploaded);
        }
        // Not answered, or somebody else began to wait meanwhile.
        if !self.waiting_for_upload(key.task).is_empty() {
            let again = turn.now.saturating_add(CHECK_AGAIN);
            self.alarms.set(Alarm::Check(key.task), again);
        }
    }

    pub(crate) fn check_again(&mut self, turn: &mut Turn, id: TaskId) {
        if !self.waiting_for_upload(id).is_empty() {
            self.want_check(turn, id);
        }
    }
}
