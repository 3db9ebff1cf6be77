//! What workers report: each status is checked against the table and, where it claims something about the chain or the result
//! proxy, against what is known there. What is not known yet is waited for, within the client's patience.

use alloy_primitives::Address;
use poco::status::ChainTaskStatus;
use poco::units::BlockNumber;
use wire::status::ReplicateStatus::{self, *};
use wire::status::{ReplicateStatusCause, StatusModifier, TaskNotificationType};

use crate::engine::Engine;
use crate::input::{Logs, Report};
use crate::output::{Change, Refusal, Reply};
use crate::parked::Waits;
use crate::records::{ReplicateRecord, TaskRecord, Topic};
use crate::replicate::{Entry, replicate_may_become, step_of};
use crate::turn::{About, Turn};

/// UTF-16 units kept of each of an app's outputs, the last ones (spec scheduler-api §5.6).
const LOG_UNITS: usize = 100_000;

/// Longest result link taken, in bytes: the pool pays for each of them on the chain, and a real one has less than 100.
pub(crate) const LINK_BYTES: usize = 1024;

/// What becomes of a report now.
pub(crate) enum Verdict {
    /// It is accepted as a new status.
    Accept,
    /// It is answered and changes nothing.
    Answer(Reply),
    /// It cannot be judged yet.
    Wait(Waits),
}

impl Engine {
    pub(crate) fn reported(&mut self, turn: &mut Turn, report: Report) {
        self.seen(turn, report.worker);
        let arrived = self.pool.head.map(|head| head.number);
        match self.judge(&report, None, arrived) {
            Verdict::Accept => self.accept(turn, report),
            Verdict::Answer(reply) => self.answer(turn, &report, reply),
            Verdict::Wait(waits) => self.park_report(turn, report, waits),
        }
    }

    /// Weighs a report. `uploaded` is the result proxy's answer, when it was asked; `arrived` the head when it came.
    pub(crate) fn judge(
        &self,
        report: &Report,
        uploaded: Option<bool>,
        arrived: Option<BlockNumber>,
    ) -> Verdict {
        let refuse = |refusal| Verdict::Answer(Reply::Refused(refusal));
        let key = (report.task, report.worker);
        let (Some(replicate), Some(task)) =
            (self.replicates.get(&key), self.tasks.get(&report.task))
        else {
            return refuse(Refusal::UnknownReplicate);
        };
        let to = report.status;
        if matches!(
            to,
            Created | WorkerLost | Recovering | ResultUploadRequested
        ) {
            return refuse(Refusal::NotTheWorkersToSay);
        }
        if !self.chain_up {
            return Verdict::Wait(Waits::Chain);
        }
        if replicate.passed(to) {
            return self.repeated(task, replicate, to);
        }
        let from = replicate.current();
        if !replicate_may_become(from, to) {
            return refuse(Refusal::IllegalStep {
                from: from.name(),
                to: to.name(),
            });
        }
        if self.slot_gone(replicate, to) {
            return refuse(Refusal::SlotGone);
        }
        match to {
            ContributeFailed | RevealFailed => refuse(Refusal::TransactionFailed),
            Contributed => {
                let there = task.chain.contributions.contains_key(&report.worker);
                self.judge_chain(report, there, arrived)
            }
            Revealed => {
                let there = task
                    .chain
                    .contributions
                    .get(&report.worker)
                    .is_some_and(|one| one.revealed.is_some());
                self.judge_chain(report, there, arrived)
            }
            ResultUploaded | ResultUploadFailed => self.judge_upload(task, report, uploaded),
            ContributeAndFinalizeOngoing if !self.offers_caf(task, report.worker) => {
                refuse(Refusal::NotOffered)
            }
            ContributeAndFinalizeDone => {
                let there = task.chain.alone == Some(report.worker);
                match self.judge_chain(report, there, arrived) {
                    Verdict::Accept if self.upload_can_be_checked(task) => match uploaded {
                        None => Verdict::Wait(Waits::Upload),
                        Some(true) => Verdict::Accept,
                        Some(false) => refuse(Refusal::NotUploaded),
                    },
                    verdict => verdict,
                }
            }
            _ => Verdict::Accept,
        }
    }

    /// Whether a worker may finish a task with one transaction: both sides agreed on it, and the contract allows it (spec
    /// onchain A11). A callback stays with the pool, which pays its gas and checks its bytes first; but every Java worker
    /// with an enclave finishes tasks of trust 1 so, and is told to (spec scheduler-api §6.3).
    fn offers_caf(&self, task: &TaskRecord, worker: Address) -> bool {
        let knows = self
            .workers
            .get(&worker)
            .is_some_and(|record| record.profile.caf);
        let agreed = self.settings.caf && knows;
        let standard = task.enclave.is_none() && !task.calls_back && agreed;
        let open = nobody_contributed(task) && self.chain_clock() < task.contribution_deadline;
        task.trust == 1 && (standard || task.enclave.is_some()) && open
    }

    /// A status that is in the history already: told again, usually because an answer was lost. The worker gets the next
    /// action of where it is (spec scheduler-api Q16).
    fn repeated(
        &self,
        task: &TaskRecord,
        replicate: &ReplicateRecord,
        status: ReplicateStatus,
    ) -> Verdict {
        if replicate.relevant() != status {
            return Verdict::Answer(Reply::AlreadyKnown(TaskNotificationType::PleaseWait));
        }
        if self.slot_gone(replicate, status) {
            return Verdict::Answer(Reply::Refused(Refusal::SlotGone));
        }
        let action = after(task, replicate);
        Verdict::Answer(Reply::AlreadyKnown(action))
    }

    /// A worker that was lost or started anew goes on computing, but its slot was given away.
    fn slot_gone(&self, replicate: &ReplicateRecord, status: ReplicateStatus) -> bool {
        let needs = status.is_success() && status < Computed;
        let slots = self
            .workers
            .get(&replicate.worker)
            .map_or(0, |worker| worker.profile.slots());
        needs && !replicate.holds_slot && self.running(replicate.worker) >= slots
    }

    fn judge_chain(&self, report: &Report, there: bool, arrived: Option<BlockNumber>) -> Verdict {
        if there {
            return Verdict::Accept;
        }
        let head = self.head_number();
        if let Some(claimed) = report.details.block {
            let far = head.0.saturating_add(self.settings.blocks_in_an_hour());
            if claimed.0 > far {
                return Verdict::Answer(Reply::Refused(Refusal::AbsurdBlock { claimed, head }));
            }
        }
        // Without a receipt the next blocks are waited for, as many as the original did.
        let block = report
            .details
            .block
            .unwrap_or_else(|| BlockNumber(arrived.unwrap_or(head).0.saturating_add(6)));
        if head < block {
            return Verdict::Wait(Waits::Block);
        }
        Verdict::Answer(Reply::Refused(Refusal::NotOnChain { read_to: head }))
    }

    fn judge_upload(&self, task: &TaskRecord, report: &Report, uploaded: Option<bool>) -> Verdict {
        let refuse = |refusal| Verdict::Answer(Reply::Refused(refusal));
        let success = report.status == ResultUploaded;
        if success {
            let (given, what) = if task.calls_back {
                (&report.details.callback_data, "the callback data")
            } else {
                (&report.details.result_link, "the result link")
            };
            if given.as_ref().is_none_or(String::is_empty) {
                return refuse(Refusal::Incomplete { what });
            }
            let bytes = report.details.result_link.as_ref().map_or(0, String::len);
            if bytes > LINK_BYTES {
                let most = LINK_BYTES;
                return refuse(Refusal::LinkTooLong { bytes, most });
            }
            if task.calls_back {
                match task.is_agreed(report.details.callback_data.as_deref()) {
                    // The chain dropped the reveal; it will come back, or the task goes back too.
                    None => return Verdict::Wait(Waits::Block),
                    Some(false) => return refuse(Refusal::OtherResult),
                    Some(true) => {}
                }
            }
        }
        let uploaded = if self.upload_can_be_checked(task) {
            uploaded
        } else {
            // A callback goes to the chain and other storages are not ours to read (spec scheduler-logic R-01): the worker's word,
            // whichever it is, is all there is.
            Some(success)
        };
        match (success, uploaded) {
            (_, None) => Verdict::Wait(Waits::Upload),
            (true, Some(true)) | (false, Some(false)) => Verdict::Accept,
            (true, Some(false)) => refuse(Refusal::NotUploaded),
            (false, Some(true)) => refuse(Refusal::Uploaded),
        }
    }

    pub(crate) fn upload_can_be_checked(&self, task: &TaskRecord) -> bool {
        let provider = self
            .deals
            .get(&task.deal)
            .and_then(|deal| deal.details.storage_provider.as_deref());
        !task.calls_back && provider == Some("ipfs")
    }

    /// Gives an answer that changes no status. Why a worker was refused is recorded (spec scheduler-api Q17).
    pub(crate) fn answer(&mut self, turn: &mut Turn, report: &Report, reply: Reply) {
        match &reply {
            // Anybody can name a task that is not theirs; that is not worth a record.
            Reply::Refused(Refusal::UnknownReplicate) => {}
            Reply::Refused(refusal) => {
                let cause = report
                    .details
                    .cause
                    .as_ref()
                    .map(|cause| format!(", cause {}", cause.name()))
                    .unwrap_or_default();
                let text = format!(
                    "report of {} refused: {refusal}{cause}",
                    report.status.name()
                );
                let about = About::replicate(report.task, report.worker);
                // A worker that repeats what was refused adds nothing to the record.
                let why = (report.status, std::mem::discriminant(refusal));
                let key = (report.task, report.worker);
                if self.refused.insert(key, why) != Some(why) {
                    self.note(turn, Topic::Replicate, about, text);
                }
            }
            Reply::AlreadyKnown(_) => self.heard_again(turn, report),
            _ => {}
        }
        turn.reply(report.ticket, reply);
    }

    /// A repeated status says that the worker is at it.
    fn heard_again(&mut self, turn: &mut Turn, report: &Report) {
        let key = (report.task, report.worker);
        let Some(replicate) = self.replicates.get_mut(&key) else {
            return;
        };
        if replicate.relevant() != report.status {
            return;
        }
        if replicate.recovering_since.take().is_some() {
            turn.replicate_changed(key.0, key.1);
        }
        self.regain_slot(turn, report);
    }

    fn regain_slot(&mut self, turn: &mut Turn, report: &Report) {
        let key = (report.task, report.worker);
        let wants = self
            .replicates
            .get(&key)
            .is_some_and(|one| one.needs_slot() && !one.holds_slot);
        let ended = self.tasks.get(&key.0).is_none_or(|task| task.is_final());
        if wants && !ended {
            self.take_slot(turn, key.0, key.1);
        }
    }

    pub(crate) fn accept(&mut self, turn: &mut Turn, report: Report) {
        let (id, worker) = (report.task, report.worker);
        let calls_back = self.tasks.get(&id).is_some_and(|task| task.calls_back);
        let Some(replicate) = self.replicates.get_mut(&(id, worker)) else {
            return;
        };
        let before = replicate.current();
        let entry = Entry {
            status: report.status,
            by: StatusModifier::Worker,
            cause: report.details.cause.clone(),
        };
        let mut step = step_of(&entry, turn.now);
        step.block = report.details.block;
        step.exit_code = report.details.exit_code;
        replicate.history.push(step);
        replicate.recovering_since = None;
        if matches!(report.status, ResultUploaded | ContributeAndFinalizeDone) {
            replicate
                .result_link
                .clone_from(&report.details.result_link);
            let data = report.details.callback_data.clone();
            replicate.callback_data = data.filter(|_| calls_back);
        }
        let logs = logs_to_keep(&report).filter(|_| !replicate.has_logs);
        if let Some(logs) = logs {
            replicate.has_logs = true;
            turn.store(Change::Logs {
                task: id,
                worker,
                logs,
            });
        }
        turn.replicate_changed(id, worker);
        self.regain_slot(turn, &report);
        self.settle_slot(turn, id, worker);
        let cause = report
            .details
            .cause
            .as_ref()
            .map(|cause| format!(", cause {}", cause.name()))
            .unwrap_or_default();
        self.note(
            turn,
            Topic::Replicate,
            About::replicate(id, worker),
            format!(
                "{} -> {}: the worker says so{cause}",
                before.name(),
                report.status.name()
            ),
        );
        let action = match (self.tasks.get(&id), self.replicates.get(&(id, worker))) {
            (Some(task), Some(replicate)) => after(task, replicate),
            _ => TaskNotificationType::PleaseWait,
        };
        turn.reply(report.ticket, Reply::Accepted(action));
    }
}

/// What a worker should do next: by its own status, unless the task went on or ended without it.
fn after(task: &TaskRecord, replicate: &ReplicateRecord) -> TaskNotificationType {
    let status = replicate.relevant();
    let winding_up = replicate.is_over() || status == Completing;
    let failed = task.is_final() && task.failure.is_some();
    let passed_by = task.chain.consensus.is_some() && !task.chain.is_winner(replicate.worker);
    if !winding_up && (failed || passed_by) {
        TaskNotificationType::PleaseAbort
    } else if status == Computed
        && task.trust == 1
        && task.enclave.is_some()
        && nobody_contributed(task)
    {
        TaskNotificationType::PleaseContributeAndFinalize
    } else {
        replicate.next_action()
    }
}

fn nobody_contributed(task: &TaskRecord) -> bool {
    let chain = &task.chain;
    chain.status() == ChainTaskStatus::Active && chain.contributions.is_empty()
}

fn logs_to_keep(report: &Report) -> Option<Logs> {
    let kept = match report.status {
        Computed => true,
        ComputeFailed => report.details.cause == Some(ReplicateStatusCause::AppComputeFailed),
        _ => false,
    };
    let logs = report.details.logs.as_ref().filter(|_| kept)?;
    Some(Logs {
        stdout: logs.stdout.as_deref().map(last_units),
        stderr: logs.stderr.as_deref().map(last_units),
    })
}

/// The end of a text, as many whole characters as fit into [`LOG_UNITS`].
fn last_units(text: &str) -> String {
    let mut units = 0;
    let kept: Vec<char> = text
        .chars()
        .rev()
        .take_while(|character| {
            units += character.len_utf16();
            units <= LOG_UNITS
        })
        .collect();
    kept.into_iter().rev().collect()
}
