//! Transactions for tasks, and asking for their enclaves: one try at a time, each under its own key, again after a wait when one does not go through; under
//! the same key as long as the one sent may still be mined. That a transaction was mined moves nothing: its fact does. So
//! whoever initialises or finalises, it counts the same.

use std::time::Duration;

use poco::ids::TaskId;
use poco::units::{BlockNumber, Timestamp};

use crate::engine::Engine;
use crate::input::Outcome;
use crate::output::{Action, Command, CommandKey, Purpose};
use crate::records::{Deed, DeedPhase, TaskRecord};
use crate::turn::Turn;

/// Tries after which a claim is given up: the money stays where it is, and the chain lets anybody claim.
pub(crate) const CLAIM_TRIES: u32 = 50;

/// Blocks after which nobody expects a dropped transaction to be mined again.
const SETTLED: u64 = 64;

impl TaskRecord {
    pub(crate) fn deed(&self, purpose: Purpose) -> Option<&Deed> {
        match purpose {
            Purpose::Initialize => Some(&self.initialize),
            Purpose::Finalize => Some(&self.finalize),
            Purpose::Reopen => Some(&self.reopen),
            Purpose::Claim => Some(&self.claim),
            Purpose::EnclaveChallenge => Some(&self.challenge),
            Purpose::CheckUploaded | Purpose::ReadTask => None,
        }
    }

    pub(crate) fn deed_mut(&mut self, purpose: Purpose) -> Option<&mut Deed> {
        match purpose {
            Purpose::Initialize => Some(&mut self.initialize),
            Purpose::Finalize => Some(&mut self.finalize),
            Purpose::Reopen => Some(&mut self.reopen),
            Purpose::Claim => Some(&mut self.claim),
            Purpose::EnclaveChallenge => Some(&mut self.challenge),
            Purpose::CheckUploaded | Purpose::ReadTask => None,
        }
    }

    /// Blocks in which its transactions were mined.
    pub(crate) fn mined_in(&self) -> impl Iterator<Item = BlockNumber> {
        [&self.initialize, &self.finalize, &self.reopen, &self.claim]
            .into_iter()
            .filter_map(|deed| match deed.phase {
                DeedPhase::Mined { block } => Some(block),
                _ => None,
            })
    }

    /// When the failed try of some deed is to be repeated.
    pub(crate) fn retries(&self) -> impl Iterator<Item = Timestamp> {
        [
            &self.initialize,
            &self.finalize,
            &self.reopen,
            &self.claim,
            &self.challenge,
        ]
        .into_iter()
        .filter_map(|deed| match deed.phase {
            DeedPhase::Failed { retry_at } => Some(retry_at),
            _ => None,
        })
    }
}

impl Engine {
    /// Sees to it that the transaction is under way. To be called as long as its fact is missing and wanted.
    pub(crate) fn drive(&mut self, turn: &mut Turn, id: TaskId, purpose: Purpose) {
        if purpose == Purpose::Initialize && self.give_up(turn, id) {
            return;
        }
        let head = self.pool.head.map(|head| head.number);
        let first = self.settings.retry_first;
        let Some(deed) = self
            .tasks
            .get_mut(&id)
            .and_then(|task| task.deed_mut(purpose))
        else {
            return;
        };
        match deed.phase {
            DeedPhase::Idle => self.attempt(turn, id, purpose),
            DeedPhase::Failed { retry_at } if retry_at <= turn.now => {
                self.attempt(turn, id, purpose);
            }
            DeedPhase::Mined { block } if head.is_some_and(|head| head >= block) => {
                // Its block was read and the fact is not there: the chain dropped that block. The transaction is still
                // valid and sent again as it is, so the next try is the same: another one would be a second transaction
                // for the same deed. Only one that is told to be in a block this old will never bring its fact.
                let lost = head.is_some_and(|head| head.0 >= block.0.saturating_add(SETTLED));
                if !lost {
                    deed.attempt = deed.attempt.saturating_sub(1);
                }
                deed.phase = DeedPhase::Failed {
                    retry_at: turn.now.saturating_add(first),
                };
                turn.task_changed(id);
            }
            DeedPhase::Asked { .. } | DeedPhase::Mined { .. } | DeedPhase::Failed { .. } => {}
        }
    }

    fn attempt(&mut self, turn: &mut Turn, id: TaskId, purpose: Purpose) {
        if !self.has_turn(id, purpose) {
            return;
        }
        let Some(action) = self.action(id, purpose) else {
            return;
        };
        let Some(deed) = self
            .tasks
            .get_mut(&id)
            .and_then(|task| task.deed_mut(purpose))
        else {
            return;
        };
        deed.attempt += 1;
        deed.phase = DeedPhase::Asked { at: turn.now };
        let key = CommandKey {
            purpose,
            task: id,
            attempt: deed.attempt,
        };
        turn.task_changed(id);
        self.give_out(turn, Command { key, action });
    }

    fn give_out(&mut self, turn: &mut Turn, command: Command) {
        if command.key.purpose == Purpose::Claim {
            self.backlog.claims(command.key.task);
        }
        turn.command(command);
    }

    /// Gives out again what was commanded before a restart, under the same key.
    pub(crate) fn resume(&mut self, turn: &mut Turn, id: TaskId, purpose: Purpose) {
        let Some(deed) = self.tasks.get(&id).and_then(|task| task.deed(purpose)) else {
            return;
        };
        if let (DeedPhase::Asked { .. }, Some(action)) = (deed.phase, self.action(id, purpose)) {
            let key = CommandKey {
                purpose,
                task: id,
                attempt: deed.attempt,
            };
            self.give_out(turn, Command { key, action });
        }
    }

    fn action(&self, id: TaskId, purpose: Purpose) -> Option<Action> {
        let task = self.tasks.get(&id)?;
        match purpose {
            Purpose::Initialize => Some(Action::Initialize {
                deal: task.deal,
                index: task.index,
                until: self.last_start(task),
                framework: task.tag.tee_framework(),
            }),
            Purpose::Finalize => Some(Action::Finalize {
                link: task.result_link.clone().unwrap_or_default(),
                // Without a callback the contract takes none (spec onchain A11, `finalize`).
                callback_data: task.callback_data.clone().filter(|_| task.calls_back),
                calls_back: task.calls_back,
                until: task.final_deadline,
            }),
            Purpose::Reopen => Some(Action::Reopen {
                until: task.contribution_deadline,
            }),
            Purpose::Claim => Some(Action::Claim {
                deal: task.deal,
                index: task.index,
                initialize_first: task.chain.initialized.is_none(),
            }),
            Purpose::EnclaveChallenge => task
                .tag
                .tee_framework()
                .map(|framework| Action::EnclaveChallenge { framework }),
            Purpose::CheckUploaded | Purpose::ReadTask => None,
        }
    }

    pub(crate) fn done(&mut self, turn: &mut Turn, key: CommandKey, outcome: Outcome) {
        match key.purpose {
            Purpose::ReadTask => self.read_done(turn, key, outcome),
            Purpose::CheckUploaded => self.checked(turn, key, &outcome),
            _ => self.deed_done(turn, key, outcome),
        }
    }

    fn deed_done(&mut self, turn: &mut Turn, key: CommandKey, outcome: Outcome) {
        if key.purpose == Purpose::Claim {
            self.backlog.claimed(key.task);
        }
        let unanswered = matches!(outcome, Outcome::Unreachable { .. });
        let wait = self.wait_after(key, unanswered);
        let Some(task) = self.tasks.get_mut(&key.task) else {
            return;
        };
        let Some(deed) = task.deed_mut(key.purpose) else {
            return;
        };
        // An answer to an earlier try, or a second answer, says nothing new.
        if deed.attempt != key.attempt || !matches!(deed.phase, DeedPhase::Asked { .. }) {
            return;
        }
        turn.task_changed(key.task);
        deed.unanswered = if unanswered { deed.unanswered + 1 } else { 0 };
        let (what, reason) = match outcome {
            Outcome::Mined { block } => {
                deed.phase = DeedPhase::Mined { block };
                self.mined.insert((block, key.task));
                return;
            }
            Outcome::Reverted { reason } => ("reverted", reason),
            Outcome::Refused { reason } if key.purpose == Purpose::EnclaveChallenge => {
                ("was not given", reason)
            }
            Outcome::Refused { reason } => ("was not sent", reason),
            Outcome::Expired => ("was not mined in time", String::new()),
            Outcome::Unreachable { reason } => {
                // Nobody knows what became of this try, so the next one is the same: under another key it could be done
                // twice.
                deed.attempt = deed.attempt.saturating_sub(1);
                ("has no outcome yet", reason)
            }
            Outcome::Challenged(enclave) => {
                deed.phase = DeedPhase::Idle;
                deed.last_failure = None;
                task.enclave = Some(enclave);
                return;
            }
            Outcome::Uploaded(_) | Outcome::Read(_) => return,
        };
        deed.phase = DeedPhase::Failed {
            retry_at: turn.now.saturating_add(wait),
        };
        let failure = format!("{what}: {reason}");
        // The same reason over and over is told once.
        if deed.last_failure.as_ref() != Some(&failure) {
            deed.last_failure = Some(failure.clone());
            let text = format!("{} {failure}; it is tried again", key.purpose.name());
            self.note_task(turn, key.task, text);
        }
    }

    fn wait_after(&self, key: CommandKey, unanswered: bool) -> Duration {
        let most = match key.purpose {
            // Whoever did not answer may do so any moment.
            _ if unanswered => self.settings.retry_first.saturating_mul(4),
            // Nobody waits for it, and it may stay impossible for good.
            Purpose::Claim => self.settings.retry_most.saturating_mul(10),
            _ => self.settings.retry_most,
        };
        let before = self
            .tasks
            .get(&key.task)
            .and_then(|task| task.deed(key.purpose))
            .map_or(0, |deed| deed.unanswered);
        let tries = key.attempt.saturating_sub(1).saturating_add(before);
        let doubled = tries.min(16);
        self.settings
            .retry_first
            .saturating_mul(1 << doubled)
            .min(most)
    }

    /// Looks again at tasks with a mined transaction whose block the cursor has passed.
    pub(crate) fn review_mined(&mut self, turn: &mut Turn, head: BlockNumber) {
        while let Some((block, task)) = self.mined.first().copied()
            && block <= head
        {
            self.mined.remove(&(block, task));
            turn.review.insert(task);
        }
    }
}
