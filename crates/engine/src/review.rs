//! Looking at one task: makes every step that its record, the chain's facts and the time call for, and sets when to look
//! again. Looking twice does nothing the second time.

use poco::ids::TaskId;
use poco::status::ChainTaskStatus;
use poco::units::Timestamp;
use wire::status::{ReplicateStatus, TaskStatus};

use crate::deadlines::HOPELESS;
use crate::deeds::CLAIM_TRIES;
use crate::demand::Demand;
use crate::engine::{Alarm, Engine};
use crate::input::TaskView;
use crate::output::{Change, Purpose};
use crate::records::{ReplicateRecord, TaskRecord};
use crate::report::LINK_BYTES;
use crate::tell::Audience;
use crate::turn::Turn;

/// Where RUNNING is behind on the road of a task.
const RUNNING: usize = 3;

/// More steps than any task can take at once.
const STEPS_AT_ONCE: usize = 32;

impl Engine {
    pub(crate) fn review(&mut self, turn: &mut Turn, id: TaskId) {
        self.fill(turn, id);
        for _ in 0..STEPS_AT_ONCE {
            if !self.step_once(turn, id) {
                break;
            }
            self.fill(turn, id);
        }
        self.after_end(turn, id);
        self.tell(turn, id, Audience::WhoeverIsDue);
        self.sort_in(turn, id);
        self.schedule(turn, id);
        // What this review changed itself it has seen.
        turn.review.remove(&id);
    }

    /// Makes the next step, if one is due.
    fn step_once(&mut self, turn: &mut Turn, id: TaskId) -> bool {
        let Some(task) = self.tasks.get(&id) else {
            return false;
        };
        if task.is_final() {
            return false;
        }
        if task.chain.finalized.is_some() {
            return self.complete(turn, id, "finalised on the chain");
        }
        if task.chain.claimed {
            let reason = "claimed on the chain after the final deadline";
            self.fail(turn, id, TaskStatus::FinalDeadlineReached, reason);
            return true;
        }
        if self.see_to_final_deadline(turn, id) {
            return true;
        }
        let Some(task) = self.tasks.get(&id) else {
            return false;
        };
        match task.status {
            TaskStatus::Received | TaskStatus::Initializing => self.see_to_initialization(turn, id),
            TaskStatus::Initialized | TaskStatus::Running => self.see_to_contributions(turn, id),
            TaskStatus::Reopening => self.see_to_reopening(turn, id),
            TaskStatus::ConsensusReached
            | TaskStatus::AtLeastOneRevealed
            | TaskStatus::ResultUploading
            | TaskStatus::ResultUploaded
            | TaskStatus::Finalizing => self.see_to_result(turn, id),
            _ => false,
        }
    }

    fn see_to_final_deadline(&mut self, turn: &mut Turn, id: TaskId) -> bool {
        let Some(task) = self.tasks.get(&id) else {
            return false;
        };
        let (deadline, created) = (task.final_deadline, task.created_at);
        let over = self.is_over(turn, id, deadline, |view| {
            view.status != ChainTaskStatus::Completed
        });
        if over {
            let reason = "the final deadline passed without a result on the chain";
            self.fail(turn, id, TaskStatus::FinalDeadlineReached, reason);
            return true;
        }
        let hopeless = deadline.max(created).saturating_add(HOPELESS);
        if turn.now < hopeless || (self.catching_up && self.chain_up) {
            return false;
        }
        let completed = self
            .view_since(id, deadline)
            .is_some_and(|view| view.status == ChainTaskStatus::Completed);
        if completed {
            return self.complete(turn, id, "the chain shows it completed");
        }
        let reason = "the final deadline passed, and the chain cannot be read";
        self.fail(turn, id, TaskStatus::FinalDeadlineReached, reason);
        true
    }

    fn see_to_initialization(&mut self, turn: &mut Turn, id: TaskId) -> bool {
        let Some(task) = self.tasks.get(&id) else {
            return false;
        };
        if task.lacks_enclave() {
            return self.see_to_enclave(turn, id);
        }
        if task.chain.initialized.is_some() {
            let steps: &[TaskStatus] = match task.status {
                TaskStatus::Received => &[TaskStatus::Initializing, TaskStatus::Initialized],
                _ => &[TaskStatus::Initialized],
            };
            return self.advance(turn, id, steps, "initialised on the chain");
        }
        let deadline = task.contribution_deadline;
        if self.is_over(turn, id, deadline, takes_contributions) {
            let reason = match (self.tasks.get(&id), self.vanished(id)) {
                (_, true) => "its deal vanished in a reorganisation of the chain".to_owned(),
                (Some(task), _) => match &task.initialize.last_failure {
                    Some(failure) => format!(
                        "it was not initialised before contributions closed: initialize {failure}"
                    ),
                    None => "it was not initialised before contributions closed".to_owned(),
                },
                (None, _) => return false,
            };
            self.fail(turn, id, TaskStatus::InitializeFailed, &reason);
            return true;
        }
        let initializing = self
            .tasks
            .get(&id)
            .is_some_and(|task| task.status == TaskStatus::Initializing);
        if initializing && !self.vanished(id) {
            self.drive(turn, id, Purpose::Initialize);
        }
        false
    }

    /// An enclave is asked for once the chain shows the task: before that no SMS would know it (spec scheduler-logic R-14).
    fn see_to_enclave(&mut self, turn: &mut Turn, id: TaskId) -> bool {
        let Some(task) = self.tasks.get(&id) else {
            return false;
        };
        if task.status == TaskStatus::Received {
            let why = "initialised on the chain; its enclave is asked for";
            return self.advance(turn, id, &[TaskStatus::Initializing], why);
        }
        let deadline = task.contribution_deadline;
        if self.is_over(turn, id, deadline, takes_contributions) {
            let failure = self
                .tasks
                .get(&id)
                .and_then(|task| task.challenge.last_failure.clone());
            let reason = format!(
                "no enclave was known for it before contributions closed: enclave-challenge {}",
                failure.as_deref().unwrap_or("has no answer")
            );
            self.fail(turn, id, TaskStatus::InitializeFailed, &reason);
            return true;
        }
        self.drive(turn, id, Purpose::EnclaveChallenge);
        false
    }

    fn vanished(&self, id: TaskId) -> bool {
        self.tasks
            .get(&id)
            .is_some_and(|task| self.deal_vanished(task.deal))
    }

    fn see_to_contributions(&mut self, turn: &mut Turn, id: TaskId) -> bool {
        let Some(task) = self.tasks.get(&id) else {
            return false;
        };
        if task.chain.initialized.is_none() {
            let why = "the chain dropped the initialisation";
            self.fall_back(turn, id, TaskStatus::Initializing, why);
            return true;
        }
        let consensus = task.chain.consensus.is_some();
        if task.status == TaskStatus::Initialized {
            let begun = consensus
                || !task.chain.contributions.is_empty()
                || self.replicates_of(id).any(has_started);
            if begun {
                let why = "a worker started";
                return self.advance(turn, id, &[TaskStatus::Running], why);
            }
        } else if consensus {
            let why = "consensus on the chain";
            return self.advance(turn, id, &[TaskStatus::ConsensusReached], why);
        }
        if self.everybody_failed(turn.now, id) {
            let reason = "every worker that could run it, and is there, failed to";
            self.fail(turn, id, TaskStatus::RunningFailed, reason);
            return true;
        }
        let Some(task) = self.tasks.get(&id) else {
            return false;
        };
        let deadline = task.contribution_deadline;
        if self.is_over(turn, id, deadline, takes_contributions) {
            let reason = self.why_no_consensus(id);
            self.fail(turn, id, TaskStatus::ContributionTimeout, &reason);
            return true;
        }
        false
    }

    /// A running task that demands an enclave is given up when whoever is there and has such an enclave failed before it
    /// contributed (spec scheduler-logic §3.7, Q-08: others do not count, and nobody is not everybody).
    fn everybody_failed(&self, now: Timestamp, id: TaskId) -> bool {
        let Some(task) = self.tasks.get(&id) else {
            return false;
        };
        if task.status != TaskStatus::Running || task.enclave.is_none() {
            return false;
        }
        // Who is there shows only after a while; and who may not be given work is nobody that failed.
        let settled = now >= self.began.saturating_add(self.settings.worker_silence);
        if !settled || self.catching_up || self.pool.draining_since.is_some() {
            return false;
        }
        // One that fell silent may come back with its result.
        if self
            .replicates_of(id)
            .any(|one| !one.is_over() && one.may_contribute())
        {
            return false;
        }
        let demand = Demand::of(task.tag);
        let mut somebody = false;
        for worker in self.workers.values() {
            if !demand.is_met_by(&worker.profile) || !self.is_alive(worker.worker, now) {
                continue;
            }
            somebody = true;
            let failed = self
                .replicates
                .get(&(id, worker.worker))
                .is_some_and(failed_early);
            if !failed {
                return false;
            }
        }
        somebody
    }

    fn why_no_consensus(&self, id: TaskId) -> String {
        let given = self.replicates_of(id).count();
        let contributed = self
            .tasks
            .get(&id)
            .map_or(0, |task| task.chain.contributions.len());
        if let Some(task) = self.tasks.get(&id).filter(|_| given + contributed == 0) {
            return self.why_not_begun(task);
        }
        format!(
            "contributions closed without consensus: {given} replicate(s) given, {contributed} contributed"
        )
    }

    fn see_to_result(&mut self, turn: &mut Turn, id: TaskId) -> bool {
        let Some(task) = self.tasks.get(&id) else {
            return false;
        };
        if task.chain.consensus.is_none() {
            return self.lost_consensus(turn, id);
        }
        if task.status != TaskStatus::ConsensusReached && task.chain.reveals() == 0 {
            let why = "the chain dropped the reveal";
            self.fall_back(turn, id, TaskStatus::ConsensusReached, why);
            return true;
        }
        match task.status {
            TaskStatus::ConsensusReached => self.see_to_reveal(turn, id),
            TaskStatus::AtLeastOneRevealed | TaskStatus::ResultUploading => {
                self.see_to_upload(turn, id)
            }
            TaskStatus::ResultUploaded => {
                let may = self.may_finalize(task);
                may && self.advance(
                    turn,
                    id,
                    &[TaskStatus::Finalizing],
                    "result and reveals are there",
                )
            }
            _ => {
                if self.may_finalize(task) {
                    self.drive(turn, id, Purpose::Finalize);
                }
                false
            }
        }
    }

    /// The contract's own conditions (spec onchain A11, `finalize`), so that nothing is sent that can only fail.
    fn may_finalize(&self, task: &TaskRecord) -> bool {
        let reveals_closed = task
            .reveal_deadline()
            .is_some_and(|deadline| self.chain_clock() >= deadline);
        task.chain.status() == ChainTaskStatus::Revealing
            && task.chain.reveals() > 0
            && (task.chain.all_revealed() || reveals_closed)
    }

    fn complete(&mut self, turn: &mut Turn, id: TaskId, why: &str) -> bool {
        const ROAD: [TaskStatus; 7] = [
            TaskStatus::Initializing,
            TaskStatus::Initialized,
            TaskStatus::Running,
            TaskStatus::ConsensusReached,
            TaskStatus::Finalizing,
            TaskStatus::Finalized,
            TaskStatus::Completed,
        ];
        self.take_over_results(turn, id);
        let Some(task) = self.tasks.get(&id) else {
            return false;
        };
        let alone = task.chain.alone.is_some();
        let skip = match task.status {
            TaskStatus::Received => 0,
            TaskStatus::Initializing => 1,
            TaskStatus::Initialized => 2,
            TaskStatus::Running | TaskStatus::Reopening => RUNNING,
            TaskStatus::Finalizing => 5,
            _ => 4,
        };
        let in_one_step = |status: &TaskStatus| {
            matches!(
                status,
                TaskStatus::ConsensusReached | TaskStatus::Finalizing
            )
        };
        let road: Vec<TaskStatus> = ROAD
            .into_iter()
            .skip(skip)
            .filter(|status| !(alone && skip <= RUNNING && in_one_step(status)))
            .collect();
        self.advance(turn, id, &road, why)
    }

    /// What a worker finalised with is known from the chain alone (spec scheduler-logic §4.4).
    fn take_over_results(&mut self, turn: &mut Turn, id: TaskId) {
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        let link = task
            .chain
            .finalized
            .as_ref()
            .filter(|results| task.chain.alone.is_some() && !results.is_empty())
            .and_then(|results| std::str::from_utf8(results).ok());
        if let Some(link) = link.filter(|link| link.len() <= LINK_BYTES) {
            task.result_link = Some(link.to_owned());
            turn.task_changed(id);
        }
    }

    /// What is left to do for a task that ended: its slots are freed, the chain is followed to its own end, and at last the
    /// task leaves memory.
    fn after_end(&mut self, turn: &mut Turn, id: TaskId) {
        let Some(task) = self.tasks.get(&id) else {
            return;
        };
        if !task.is_final() {
            return;
        }
        // The block with our finalisation may have been dropped after the task had ended.
        let again = task.status == TaskStatus::Completed && self.may_finalize(task);
        let claimable = self.is_claimable(task);
        for worker in self.workers_of(id) {
            self.free_slot(turn, id, worker);
        }
        if again && !claimable {
            self.drive(turn, id, Purpose::Finalize);
        }
        if claimable && !self.catching_up {
            self.drive(turn, id, Purpose::Claim);
        }
        if self.may_retire(turn.now, id) {
            self.retire(turn, id);
        }
    }

    /// Whether an ended task can be claimed now (spec onchain A11, `claim`).
    fn is_claimable(&self, task: &TaskRecord) -> bool {
        self.will_be_claimed(task) && self.chain_clock() >= task.final_deadline
    }

    /// Whether an ended task still lives on the chain, so that it must be claimed for its stakes to come free. Also one that
    /// was completed, when the chain dropped its finalisation for good.
    pub(crate) fn will_be_claimed(&self, task: &TaskRecord) -> bool {
        self.settings.claim
            && task.is_final()
            && !task.chain.status().is_final()
            && !self.deal_vanished(task.deal)
            && task.claim.attempt < CLAIM_TRIES
    }

    fn may_retire(&self, now: Timestamp, id: TaskId) -> bool {
        let Some(task) = self.tasks.get(&id) else {
            return false;
        };
        let rested = task
            .ended_at
            .is_some_and(|ended| now >= ended.saturating_add(self.settings.keep_ended));
        rested && !self.will_be_claimed(task)
    }

    fn retire(&mut self, turn: &mut Turn, id: TaskId) {
        let workers = self.workers_of(id);
        let Some(mut task) = self.tasks.remove(&id) else {
            return;
        };
        task.retired = true;
        for worker in workers {
            self.refused.remove(&(id, worker));
            if let Some(replicate) = self.replicates.remove(&(id, worker)) {
                turn.store(Change::Replicate(Box::new(replicate)));
            }
            if let Some(tasks) = self.tasks_of_worker.get_mut(&worker) {
                tasks.remove(&id);
                if tasks.is_empty() {
                    self.tasks_of_worker.remove(&worker);
                }
            }
        }
        if let Some(tasks) = self.tasks_of_deal.get_mut(&task.deal) {
            tasks.remove(&id);
            let expanded = self
                .deals
                .get(&task.deal)
                .is_some_and(|deal| deal.is_expanded());
            if tasks.is_empty() && expanded {
                self.tasks_of_deal.remove(&task.deal);
                self.deals.remove(&task.deal);
            }
        }
        self.readings.remove(&id);
        self.checks.remove(&id);
        self.alarms.clear(&Alarm::Check(id));
        turn.store(Change::Task(Box::new(task)));
    }

    /// Keeps the lists that a task is found in.
    fn sort_in(&mut self, turn: &mut Turn, id: TaskId) {
        self.offer(turn, id);
        let Some(task) = self.tasks.get(&id) else {
            self.backlog.forget(id);
            return;
        };
        let standing = self.standing(task);
        self.backlog.sort_in(task, standing);
    }
}

/// Whether the chain shows a task that can still be without consensus.
fn takes_contributions(view: &TaskView) -> bool {
    matches!(
        view.status,
        ChainTaskStatus::Unset | ChainTaskStatus::Active
    )
}

/// STARTED or later, and not further than a contribution (spec scheduler-logic §3.6, R-13).
fn has_started(replicate: &ReplicateRecord) -> bool {
    replicate.history.iter().any(|step| {
        step.status >= ReplicateStatus::Started && step.status <= ReplicateStatus::Contributed
    })
}

/// Whether a worker failed before it contributed, and did not go on from there.
fn failed_early(replicate: &ReplicateRecord) -> bool {
    use ReplicateStatus::{
        Aborted, AppDownloadFailed, ComputeFailed, DataDownloadFailed, Failed, StartFailed,
    };
    let failures = [
        StartFailed,
        AppDownloadFailed,
        DataDownloadFailed,
        ComputeFailed,
    ];
    match replicate.relevant() {
        Aborted | Failed => failures.iter().any(|one| replicate.passed(*one)),
        // Some failures are contributed, as results.
        status => failures.contains(&status) && !replicate.may_contribute(),
    }
}
