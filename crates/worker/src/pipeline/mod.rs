//! One replicate's life: an actor with a mailbox that goes through the table of steps, writes each step down before and after, tells the
//! scheduler, and does what it answers (spec `worker.md` §5, §13). An abort reaches it in the middle of a step. It never goes back a
//! step, and never throws a result away for which the chain may still want a reveal.

mod compute;
mod download;
mod report;
mod start;
pub mod table;
pub mod watch;
pub mod work;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use store::StoreError;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wire::message::TaskNotificationExtra;
use wire::scheduler::StatusAnswer;
use wire::status::{
    ReplicateStatus, ReplicateStatusCause as Cause, TaskAbortCause, TaskNotificationType as Ask,
};

use self::report::Reported;
use self::table::{OnAbort, Reception, Row};
use self::work::{Acted, Work};
use crate::abort::{self, Source};
use crate::contribute_and_finalize;
use crate::journal::{self, Journal, Phase, Step};
use crate::slots::Held;

/// How long a short step may go on after the worker was told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// How long a reveal waits for its announcement to be heard.
const ANNOUNCEMENT: Duration = Duration::from_secs(60);

/// Something a task is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What to do.
    pub ask: Ask,
    /// What is needed to do it.
    pub extra: Option<TaskNotificationExtra>,
    /// Who says so.
    pub source: Source,
}

/// One replicate at work.
pub struct Replicate {
    /// What the steps work with.
    pub work: Arc<Work>,
    /// Where it stands.
    pub journal: Journal,
    /// The slot it computes on.
    pub slot: Option<Held>,
    /// What it is told.
    pub mailbox: mpsc::Receiver<Notice>,
    /// The worker stops.
    pub stop: CancellationToken,
    /// What was told before its time.
    pub later: VecDeque<Notice>,
    /// What the scheduler should have been told before the step, and could not.
    pub unannounced: Option<ReplicateStatus>,
}

/// What ended a step.
enum Ended {
    Acted(Acted),
    Aborted(Notice),
    Stopped,
}

impl Replicate {
    /// Lives until the task is over, or the worker stops. Its journal says which.
    ///
    /// # Errors
    /// The journal cannot be written: then nothing more may be done.
    pub async fn live(mut self) -> Result<(), StoreError> {
        while !self.stop.is_cancelled() {
            let goes_on = match self.journal.phase.clone() {
                Phase::Begun => self.act().await?,
                Phase::Acted(_) => self.tell().await?,
                Phase::Told(next) => self.follow(next).await?,
            };
            if !goes_on {
                break;
            }
        }
        Ok(())
    }

    /// Announces the step, does it, and writes down what it came to. False when the worker stops.
    async fn act(&mut self) -> Result<bool, StoreError> {
        let row = table::row(self.journal.step);
        let [begun, acted_point, _] = row.points;
        chassis::crash::point(begun);
        // A replicate that is being recovered may not go back to STARTING (spec scheduler-api §6.1); STARTED is allowed.
        let announced = row
            .doing
            .filter(|_| !(self.journal.resumed && row.step == Step::Start));
        if let Some(doing) = announced {
            match self.announce(row.step, doing).await {
                Reported::Answer(StatusAnswer::Refused(_))
                    if row.step == Step::ContributeAndFinalize =>
                {
                    return self.go_classic(None).await;
                }
                Reported::Answer(StatusAnswer::Refused(_)) => {
                    let notice = Notice {
                        ask: Ask::PleaseAbort,
                        extra: None,
                        source: Source::Answer,
                    };
                    if abort::is_confirmed(&self.work, &self.journal, &notice).await {
                        return self.begin_abort(&notice).await;
                    }
                }
                Reported::Answer(_) => {}
                Reported::TooLate => return self.begin_abort(&own_abort()).await,
                Reported::Stopped => return Ok(false),
            }
        }
        let acted = match self.run(row).await {
            Ended::Acted(acted) => acted,
            Ended::Aborted(notice) => return self.begin_abort(&notice).await,
            Ended::Stopped => return Ok(false),
        };
        chassis::crash::point(acted_point);
        let Acted { outcome, learned } = acted;
        if learned.classic {
            return self.go_classic(outcome.cause()).await;
        }
        tracing::info!(task = %self.work.task, step = ?row.step, status = %outcome.status, cause = outcome.cause().map(Cause::name), "a step is done");
        self.journal.digest = learned.digest.or(self.journal.digest);
        self.journal.callback_data = learned
            .callback_data
            .or_else(|| self.journal.callback_data.take());
        self.journal.image = learned.image.or_else(|| self.journal.image.take());
        self.journal.final_deadline = learned.final_deadline.or(self.journal.final_deadline);
        self.journal.phase = Phase::Acted(Box::new(outcome));
        self.journal.resumed = false;
        if row.step == Step::Compute {
            self.journal.slot = None;
        }
        self.save().await?;
        if row.step == Step::Compute {
            // The result is on the disk and in the journal: the next task may compute while this one is told and goes on the chain.
            self.slot = None;
        }
        Ok(true)
    }

    /// Says that a step begins. A scheduler that is away holds up everything but a reveal, which the chain takes for a while only, and
    /// whose omission costs the stake: that is announced afterwards.
    async fn announce(&mut self, step: Step, doing: ReplicateStatus) -> Reported {
        let outcome = journal::Outcome::plain(doing);
        let sending = report::send(&self.work, &self.journal, &outcome, &self.stop);
        if step != Step::Reveal {
            return sending.await;
        }
        match tokio::time::timeout(ANNOUNCEMENT, sending).await {
            Ok(reported) => reported,
            Err(_) => {
                tracing::warn!(task = %self.work.task, "the scheduler does not hear of the reveal, which does not wait for it");
                self.unannounced = Some(doing);
                Reported::Answer(StatusAnswer::Accepted(None))
            }
        }
    }

    /// Contributes alone what was not to be finished in one transaction: not granted any more, or it did not go.
    async fn go_classic(&mut self, cause: Option<&Cause>) -> Result<bool, StoreError> {
        tracing::info!(task = %self.work.task, cause = cause.map(Cause::name), "the task goes the classic way");
        self.journal.classic = true;
        let notice = Notice {
            ask: Ask::PleaseContribute,
            extra: None,
            source: Source::Answer,
        };
        self.begin(Step::Contribute, &notice).await?;
        Ok(true)
    }

    /// Does the step, listening meanwhile.
    async fn run(&mut self, row: &'static Row) -> Ended {
        let (work, journal, stop) = (
            Arc::clone(&self.work),
            self.journal.clone(),
            self.stop.clone(),
        );
        let mut action = (row.action)(&work, &journal);
        let stopped = stopped(&stop, row.step);
        tokio::pin!(stopped);
        loop {
            tokio::select! {
                acted = &mut action => return Ended::Acted(acted),
                Some(notice) = self.mailbox.recv() => match table::receive(&self.journal, notice.ask) {
                    Reception::Begin(Step::Abort) if row.on_abort != OnAbort::Finish => {
                        if abort::is_confirmed(&work, &journal, &notice).await {
                            return Ended::Aborted(notice);
                        }
                        tracing::warn!(task = %work.task, source = ?notice.source, "an abort is not followed: the chain does not confirm it");
                    }
                    Reception::Begin(_) | Reception::Later => self.later.push_back(notice),
                    Reception::Ignore => {}
                },
                () = &mut stopped => return Ended::Stopped,
            }
        }
    }

    /// Removes the container once its results are on the disk and in the journal. That takes as long as a report, and is done beside it.
    async fn remove_container(work: &Work, container: Option<String>) {
        if let Some(container) = container
            && let Err(error) = work.shared.engine.remove(&container).await
        {
            tracing::warn!(task = %work.task, container, %error, "a container stays behind");
        }
    }

    /// Tells the scheduler what the step came to, and writes down its answer. False when the task is over or the worker stops.
    async fn tell(&mut self) -> Result<bool, StoreError> {
        let Phase::Acted(outcome) = self.journal.phase.clone() else {
            return Ok(true);
        };
        let row = table::row(self.journal.step);
        let [_, _, told] = row.points;
        if let Some(doing) = self.unannounced.take() {
            let doing = journal::Outcome::plain(doing);
            if let Reported::Stopped =
                report::send(&self.work, &self.journal, &doing, &self.stop).await
            {
                return Ok(false);
            }
        }
        let over = matches!(row.step, Step::Complete | Step::Abort);
        // Written down with the answer; a process that was killed before tries again.
        let container = self
            .journal
            .container
            .take_if(|_| row.step == Step::Compute);
        let (reported, ()) = tokio::join!(
            report::send(&self.work, &self.journal, &outcome, &self.stop),
            Self::remove_container(&self.work, container)
        );
        let next = match reported {
            Reported::Answer(answer) => next_after(answer, &outcome),
            Reported::TooLate if over => Ask::PleaseWait,
            Reported::TooLate => return self.begin_abort(&own_abort()).await,
            Reported::Stopped => return Ok(false),
        };
        chassis::crash::point(told);
        if over {
            journal::forget(&self.work.shared.store, self.work.task).await?;
            let keys = [Step::Contribute, Step::Reveal, Step::ContributeAndFinalize]
                .map(|step| self.transaction(step));
            let keys = keys.into_iter().flatten().collect();
            if let Err(error) = self.work.shared.outbox.forget(keys).await {
                tracing::debug!(task = %self.work.task, %error, "the records of the task's transactions stay");
            }
            tracing::info!(task = %self.work.task, status = %outcome.status, "the task is over");
            return Ok(false);
        }
        self.journal.reported = Some(outcome.status);
        self.journal.phase = Phase::Told(next);
        self.save().await?;
        Ok(true)
    }

    /// Does what the scheduler answered, or waits for what it says next. False when the worker stops.
    async fn follow(&mut self, next: Ask) -> Result<bool, StoreError> {
        let notice = Notice {
            ask: next,
            extra: None,
            source: Source::Answer,
        };
        if self.receive(notice).await? {
            return Ok(true);
        }
        if table::asked(next).is_some() {
            // It asked for something that cannot be: from here on only the chain and new notices count.
            self.journal.phase = Phase::Told(Ask::PleaseWait);
            self.save().await?;
        }
        let Some(notice) = self.next_notice().await else {
            return Ok(false);
        };
        self.receive(notice).await?;
        Ok(true)
    }

    /// The next thing that this task is told, by the scheduler or by the chain. `None` when the worker stops.
    async fn next_notice(&mut self) -> Option<Notice> {
        if let Some(notice) = self.later.pop_front() {
            return Some(notice);
        }
        let mut watch = watch::Watch::new(Arc::clone(&self.work), self.journal.clone());
        tokio::select! {
            Some(notice) = self.mailbox.recv() => Some(notice),
            notice = watch.next() => Some(notice),
            () = self.stop.cancelled() => None,
        }
    }

    /// Takes a notice; true when a step began because of it.
    async fn receive(&mut self, notice: Notice) -> Result<bool, StoreError> {
        let step = match table::receive(&self.journal, notice.ask) {
            Reception::Begin(step) => step,
            Reception::Later => {
                self.later.push_back(notice);
                return Ok(false);
            }
            Reception::Ignore => return Ok(false),
        };
        if step == Step::Abort {
            if !abort::is_confirmed(&self.work, &self.journal, &notice).await {
                tracing::warn!(task = %self.work.task, source = ?notice.source, "an abort is not followed: the chain does not confirm it");
                return Ok(false);
            }
            return self.begin_abort(&notice).await;
        }
        let alone = step == Step::Contribute && self.journal.step == Step::Compute;
        let step = if alone && self.work.may_finish_alone(&self.journal).await {
            Step::ContributeAndFinalize
        } else {
            step
        };
        self.begin(step, &notice).await?;
        Ok(true)
    }

    /// The outbox's key of a step's transaction.
    fn transaction(&self, step: Step) -> Option<String> {
        let task = self.work.task;
        match step {
            Step::Contribute => Some(format!("contribute:{task}")),
            Step::Reveal => Some(format!("reveal:{task}")),
            Step::ContributeAndFinalize => Some(contribute_and_finalize::key(task)),
            _ => None,
        }
    }

    async fn begin(&mut self, step: Step, notice: &Notice) -> Result<(), StoreError> {
        self.journal.begin(step);
        if !self.journal.needs_slot() && self.slot.is_some() {
            // An error result is contributed without computing: it must not keep other tasks waiting until the consensus.
            self.journal.slot = None;
            self.slot = None;
        }
        if step == Step::Compute {
            self.journal.container = Some(compute::container_name(&self.work));
        }
        if let Some(key) = self.transaction(step) {
            self.journal.transaction = Some(key);
        }
        if step == Step::Reveal {
            self.journal.consensus_block = notice
                .extra
                .as_ref()
                .map(|extra| extra.block_number)
                .filter(|&block| block > 0);
        }
        self.save().await
    }

    async fn begin_abort(&mut self, notice: &Notice) -> Result<bool, StoreError> {
        let cause = notice
            .extra
            .as_ref()
            .and_then(|extra| extra.task_abort_cause)
            .unwrap_or(TaskAbortCause::Unknown);
        self.journal.abort_cause = Some(match cause {
            TaskAbortCause::ContributionTimeout => Cause::ContributionTimeout,
            TaskAbortCause::ConsensusReached => Cause::ConsensusReached,
            TaskAbortCause::Unknown => Cause::Unknown,
        });
        self.journal.begin(Step::Abort);
        self.save().await?;
        Ok(true)
    }

    async fn save(&self) -> Result<(), StoreError> {
        journal::save(&self.work.shared.store, &self.journal).await
    }
}

/// The task's time is over by this worker's own clock.
fn own_abort() -> Notice {
    Notice {
        ask: Ask::PleaseAbort,
        extra: None,
        source: Source::OwnWatch,
    }
}

/// What the scheduler wants next; what it would have wanted where it says that it knew already.
fn next_after(answer: StatusAnswer, outcome: &journal::Outcome) -> Ask {
    match answer {
        StatusAnswer::Accepted(next) => next.unwrap_or(Ask::PleaseWait),
        StatusAnswer::AlreadyKnown(Some(next)) if table::asked(next).is_some() => next,
        StatusAnswer::AlreadyKnown(_) => table::next_when_known(outcome),
        StatusAnswer::Refused(next) => next.unwrap_or(Ask::PleaseAbort),
    }
}

/// Resolves when a step must be left because the worker stops: at once where the step goes on by itself or is done again anyway, after a
/// while where it is short.
async fn stopped(stop: &CancellationToken, step: Step) {
    stop.cancelled().await;
    if !matches!(step, Step::DownloadApp | Step::DownloadData | Step::Compute) {
        tokio::time::sleep(GRACE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Outcome;

    #[test]
    fn the_schedulers_answer_is_followed_and_a_refusal_without_words_is_an_abort() {
        let computed = Outcome::plain(ReplicateStatus::Computed);
        assert_eq!(
            next_after(
                StatusAnswer::Accepted(Some(Ask::PleaseContribute)),
                &computed
            ),
            Ask::PleaseContribute
        );
        // Q14: an empty answer means done, not "ask again".
        assert_eq!(
            next_after(
                StatusAnswer::Accepted(None),
                &Outcome::plain(ReplicateStatus::Aborted)
            ),
            Ask::PleaseWait
        );
        assert_eq!(
            next_after(StatusAnswer::Refused(None), &computed),
            Ask::PleaseAbort
        );
    }

    #[test]
    fn a_report_whose_first_answer_was_lost_goes_on_from_the_second() {
        let computed = Outcome::plain(ReplicateStatus::Computed);
        assert_eq!(
            next_after(StatusAnswer::AlreadyKnown(Some(Ask::PleaseWait)), &computed),
            Ask::PleaseContribute
        );
        assert_eq!(
            next_after(
                StatusAnswer::AlreadyKnown(Some(Ask::PleaseAbort)),
                &computed
            ),
            Ask::PleaseAbort
        );
        let contributed = Outcome::plain(ReplicateStatus::Contributed);
        assert_eq!(
            next_after(
                StatusAnswer::AlreadyKnown(Some(Ask::PleaseWait)),
                &contributed
            ),
            Ask::PleaseWait
        );
    }
}
