//! The steps of a replicate as values, in one table (spec `worker.md` §5.3, `scheduler-api.md` §6.3): what asks for a step, after which
//! steps it may come, what is reported before and after, what does it, and what an abort must undo. The table decides nothing about a
//! particular task.

use futures_util::future::BoxFuture;
use wire::status::{ReplicateStatus, ReplicateStatusCause as Cause, TaskNotificationType as Ask};

use super::work::{Acted, Work};
use crate::journal::{Journal, Outcome, Phase, Step};
use crate::{abort, complete, contribute, contribute_and_finalize, reveal, upload};

/// What an abort in the middle of a step must undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnAbort {
    /// Nothing: the step can simply be left.
    Leave,
    /// The container is stopped and removed.
    StopContainer,
    /// A transaction is under way and cannot be called back: whether it was mined is asked before the result is thrown away.
    AskChain,
    /// The step is not left any more.
    Finish,
}

/// One step.
pub struct Row {
    /// Which.
    pub step: Step,
    /// What asks for it.
    pub asked_by: Ask,
    /// The steps after which it may come; the step's own precondition on chain is its first action.
    pub after: &'static [Step],
    /// Reported before it.
    pub doing: Option<ReplicateStatus>,
    /// Reported when it is done.
    pub done: ReplicateStatus,
    /// Reported when it cannot be done.
    pub failed: ReplicateStatus,
    /// What does it.
    pub action: for<'a> fn(&'a Work, &'a Journal) -> BoxFuture<'a, Acted>,
    /// What an abort in its middle must undo.
    pub on_abort: OnAbort,
    /// Where a test may stop this process: once it is journaled, once acted, once told.
    pub points: [&'static str; 3],
    /// Where else, in the middle of the step.
    pub within: &'static [&'static str],
}

use ReplicateStatus as Is;
use Step::{
    Abort, Complete, Compute, Contribute, ContributeAndFinalize, DownloadApp, DownloadData, Reveal,
    Start, Upload,
};

/// Every step.
pub static TABLE: [Row; 10] = [
    Row {
        step: Start,
        asked_by: Ask::PleaseStart,
        after: &[],
        doing: Some(Is::Starting),
        done: Is::Started,
        failed: Is::StartFailed,
        action: |work, _| Box::pin(super::start::check(work)),
        on_abort: OnAbort::Leave,
        points: [
            "worker:start:begun",
            "worker:start:acted",
            "worker:start:told",
        ],
        within: &[],
    },
    Row {
        step: DownloadApp,
        asked_by: Ask::PleaseDownloadApp,
        after: &[Start],
        doing: Some(Is::AppDownloading),
        done: Is::AppDownloaded,
        failed: Is::AppDownloadFailed,
        action: |work, _| Box::pin(super::download::app(work)),
        on_abort: OnAbort::Leave,
        points: [
            "worker:download-app:begun",
            "worker:download-app:acted",
            "worker:download-app:told",
        ],
        within: &[],
    },
    Row {
        step: DownloadData,
        asked_by: Ask::PleaseDownloadData,
        after: &[DownloadApp],
        doing: Some(Is::DataDownloading),
        done: Is::DataDownloaded,
        failed: Is::DataDownloadFailed,
        action: |work, _| Box::pin(super::download::data(work)),
        on_abort: OnAbort::Leave,
        points: [
            "worker:download-data:begun",
            "worker:download-data:acted",
            "worker:download-data:told",
        ],
        within: &[],
    },
    Row {
        step: Compute,
        asked_by: Ask::PleaseCompute,
        after: &[DownloadData],
        doing: Some(Is::Computing),
        done: Is::Computed,
        failed: Is::ComputeFailed,
        action: |work, journal| Box::pin(super::compute::run(work, journal)),
        on_abort: OnAbort::StopContainer,
        points: [
            "worker:compute:begun",
            "worker:compute:acted",
            "worker:compute:told",
        ],
        within: &[],
    },
    Row {
        step: Contribute,
        asked_by: Ask::PleaseContribute,
        after: &[DownloadApp, DownloadData, Compute],
        doing: Some(Is::Contributing),
        done: Is::Contributed,
        failed: Is::ContributeFailed,
        action: |work, journal| Box::pin(contribute::contribute(work, journal)),
        on_abort: OnAbort::AskChain,
        points: [
            "worker:contribute:begun",
            "worker:contribute:acted",
            "worker:contribute:told",
        ],
        within: &[],
    },
    Row {
        step: Reveal,
        asked_by: Ask::PleaseReveal,
        after: &[Contribute],
        doing: Some(Is::Revealing),
        done: Is::Revealed,
        failed: Is::RevealFailed,
        action: |work, journal| Box::pin(reveal::reveal(work, journal)),
        on_abort: OnAbort::AskChain,
        points: [
            "worker:reveal:begun",
            "worker:reveal:acted",
            "worker:reveal:told",
        ],
        within: &[],
    },
    Row {
        step: Upload,
        asked_by: Ask::PleaseUpload,
        after: &[Reveal],
        doing: Some(Is::ResultUploading),
        done: Is::ResultUploaded,
        failed: Is::ResultUploadFailed,
        action: |work, journal| Box::pin(upload::upload(work, journal)),
        on_abort: OnAbort::Leave,
        points: [
            "worker:upload:begun",
            "worker:upload:acted",
            "worker:upload:told",
        ],
        within: &[],
    },
    // Asked for with PLEASE_CONTRIBUTE too, where it was agreed on: see `Replicate::receive`.
    Row {
        step: ContributeAndFinalize,
        asked_by: Ask::PleaseContributeAndFinalize,
        after: &[Compute],
        doing: Some(Is::ContributeAndFinalizeOngoing),
        done: Is::ContributeAndFinalizeDone,
        failed: Is::ContributeAndFinalizeFailed,
        action: |work, journal| {
            Box::pin(contribute_and_finalize::contribute_and_finalize(
                work, journal,
            ))
        },
        on_abort: OnAbort::AskChain,
        points: [
            "worker:contribute-and-finalize:begun",
            "worker:contribute-and-finalize:acted",
            "worker:contribute-and-finalize:told",
        ],
        within: &[contribute_and_finalize::UPLOADED_POINT],
    },
    Row {
        step: Complete,
        asked_by: Ask::PleaseComplete,
        after: &[Reveal, Upload, ContributeAndFinalize],
        doing: Some(Is::Completing),
        done: Is::Completed,
        failed: Is::CompleteFailed,
        action: |work, journal| Box::pin(complete::complete(work, journal)),
        on_abort: OnAbort::Finish,
        points: [
            "worker:complete:begun",
            "worker:complete:acted",
            "worker:complete:told",
        ],
        within: &[],
    },
    Row {
        step: Abort,
        asked_by: Ask::PleaseAbort,
        after: &[
            Start,
            DownloadApp,
            DownloadData,
            Compute,
            Contribute,
            Reveal,
            Upload,
            ContributeAndFinalize,
        ],
        doing: None,
        done: Is::Aborted,
        failed: Is::Aborted,
        action: |work, journal| Box::pin(abort::abort(work, journal)),
        on_abort: OnAbort::Finish,
        points: [
            "worker:abort:begun",
            "worker:abort:acted",
            "worker:abort:told",
        ],
        within: &[],
    },
];

/// The row of a step.
#[must_use]
pub fn row(step: Step) -> &'static Row {
    // Every step has its row, in the order of the steps: a test holds that.
    let [
        start,
        app,
        data,
        compute,
        contribute,
        reveal,
        upload,
        alone,
        complete,
        abort,
    ] = &TABLE;
    match step {
        Start => start,
        DownloadApp => app,
        DownloadData => data,
        Compute => compute,
        Contribute => contribute,
        Reveal => reveal,
        Upload => upload,
        ContributeAndFinalize => alone,
        Complete => complete,
        Abort => abort,
    }
}

/// The step that a notification asks for; `None` for those that ask for nothing.
#[must_use]
pub fn asked(notification: Ask) -> Option<Step> {
    TABLE
        .iter()
        .find(|row| row.asked_by == notification)
        .map(|row| row.step)
}

/// What comes of a notification for a task whose journal is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reception {
    /// The step begins.
    Begin(Step),
    /// It is under way, or behind us: nothing happens (Q18).
    Ignore,
    /// It comes once the step under way is told.
    Later,
}

/// Whether the step that `notification` asks for may begin.
#[must_use]
pub fn receive(journal: &Journal, notification: Ask) -> Reception {
    let Some(step) = asked(notification) else {
        return Reception::Ignore;
    };
    let told = matches!(journal.phase, Phase::Told(_));
    if step == journal.step && !told {
        return Reception::Ignore;
    }
    if step == Abort {
        return if journal.step < Complete {
            Reception::Begin(Abort)
        } else {
            Reception::Ignore
        };
    }
    if row(step).after.contains(&journal.step) {
        return if told {
            Reception::Begin(step)
        } else {
            Reception::Later
        };
    }
    // Asked again for what it has told: the scheduler does not know it. The chain or the proxy says that it is so already.
    if step == journal.step && told && is_repeatable(step) {
        return Reception::Begin(step);
    }
    // A contribution is asked for while the task is still being worked on, and so on: the steps in between come by themselves.
    if step > journal.step && !told {
        Reception::Later
    } else {
        Reception::Ignore
    }
}

/// Steps that find out by themselves what was done before.
const fn is_repeatable(step: Step) -> bool {
    matches!(
        step,
        Contribute | Reveal | Upload | ContributeAndFinalize | Complete
    )
}

/// What the scheduler would have answered to an outcome that it already knows (spec `scheduler-api.md` §6.3). Its `PLEASE_WAIT` to a
/// repeated report does not say how to go on, and the first answer was lost with the process.
#[must_use]
pub fn next_when_known(outcome: &Outcome) -> Ask {
    let downloads = |causes: &[Cause]| match outcome.cause() {
        Some(cause) if causes.contains(cause) => Ask::PleaseContribute,
        _ => Ask::PleaseAbort,
    };
    match outcome.status {
        Is::Started => Ask::PleaseDownloadApp,
        Is::AppDownloaded => Ask::PleaseDownloadData,
        Is::DataDownloaded => Ask::PleaseCompute,
        Is::Computed => Ask::PleaseContribute,
        Is::AppDownloadFailed => downloads(&[Cause::AppImageDownloadFailed]),
        Is::DataDownloadFailed => downloads(&[
            Cause::DatasetFileDownloadFailed,
            Cause::DatasetFileBadChecksum,
            Cause::InputFilesDownloadFailed,
        ]),
        Is::StartFailed
        | Is::ComputeFailed
        | Is::ContributeFailed
        | Is::RevealFailed
        | Is::ResultUploadFailed
        | Is::ContributeAndFinalizeFailed
        | Is::CompleteFailed => Ask::PleaseAbort,
        _ => Ask::PleaseWait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::tests::journal_at;

    #[test]
    fn every_step_has_its_row_and_every_point_is_listed() {
        for (at, entry) in TABLE.iter().enumerate() {
            assert_eq!(row(entry.step).step, entry.step);
            assert!(TABLE[..at].iter().all(|earlier| earlier.step < entry.step));
        }
        let mut points = vec![crate::ASSIGNED_POINT];
        for row in &TABLE {
            let [begun, acted, told] = row.points;
            points.push(begun);
            points.extend(row.within);
            points.extend([acted, told]);
        }
        points.extend(chain::outbox::PROBES);
        assert_eq!(crate::CRASH_POINTS, points);
    }

    #[test]
    fn each_step_reports_the_statuses_of_the_protocol_around_it() {
        use wire::status::ReplicateStatus as S;
        let reported: Vec<_> = TABLE
            .iter()
            .map(|row| (row.doing, row.done, row.failed))
            .collect();
        assert_eq!(
            reported,
            [
                (Some(S::Starting), S::Started, S::StartFailed),
                (
                    Some(S::AppDownloading),
                    S::AppDownloaded,
                    S::AppDownloadFailed
                ),
                (
                    Some(S::DataDownloading),
                    S::DataDownloaded,
                    S::DataDownloadFailed
                ),
                (Some(S::Computing), S::Computed, S::ComputeFailed),
                (Some(S::Contributing), S::Contributed, S::ContributeFailed),
                (Some(S::Revealing), S::Revealed, S::RevealFailed),
                (
                    Some(S::ResultUploading),
                    S::ResultUploaded,
                    S::ResultUploadFailed
                ),
                (
                    Some(S::ContributeAndFinalizeOngoing),
                    S::ContributeAndFinalizeDone,
                    S::ContributeAndFinalizeFailed
                ),
                (Some(S::Completing), S::Completed, S::CompleteFailed),
                (None, S::Aborted, S::Aborted),
            ]
        );
    }

    #[test]
    fn a_notification_for_a_step_that_runs_is_ignored() {
        // Q18: the original executes it twice.
        let journal = journal_at(Reveal, Phase::Begun);
        assert_eq!(receive(&journal, Ask::PleaseReveal), Reception::Ignore);
        assert_eq!(receive(&journal, Ask::PleaseContribute), Reception::Ignore);
        assert_eq!(receive(&journal, Ask::PleaseUpload), Reception::Later);
        assert_eq!(receive(&journal, Ask::PleaseComplete), Reception::Later);
    }

    #[test]
    fn a_reveal_waits_until_the_contribution_is_told_and_never_comes_before_it() {
        let reported = Phase::Acted(Box::new(Outcome::plain(Is::Contributed)));
        assert_eq!(
            receive(&journal_at(Contribute, reported), Ask::PleaseReveal),
            Reception::Later
        );
        assert_eq!(
            receive(
                &journal_at(Contribute, Phase::Told(Ask::PleaseWait)),
                Ask::PleaseReveal
            ),
            Reception::Begin(Reveal)
        );
        assert_eq!(
            receive(
                &journal_at(Compute, Phase::Told(Ask::PleaseWait)),
                Ask::PleaseReveal
            ),
            Reception::Ignore
        );
    }

    #[test]
    fn a_task_that_is_finished_alone_is_neither_contributed_nor_revealed_beside_it() {
        let told = Phase::Told(Ask::PleaseWait);
        for phase in [Phase::Begun, told.clone()] {
            let journal = journal_at(ContributeAndFinalize, phase);
            for ask in [Ask::PleaseContribute, Ask::PleaseReveal, Ask::PleaseUpload] {
                assert_eq!(receive(&journal, ask), Reception::Ignore, "{ask}");
            }
        }
        let complete = |phase| {
            let journal = journal_at(ContributeAndFinalize, phase);
            receive(&journal, Ask::PleaseComplete)
        };
        // The scheduler sees the end on the chain before it hears of it.
        assert_eq!(complete(Phase::Begun), Reception::Later);
        assert_eq!(complete(told), Reception::Begin(Complete));
    }

    #[test]
    fn an_abort_is_received_at_every_step_but_the_last() {
        for step in [
            Start,
            DownloadApp,
            DownloadData,
            Compute,
            Contribute,
            Reveal,
            Upload,
            ContributeAndFinalize,
        ] {
            for phase in [Phase::Begun, Phase::Told(Ask::PleaseWait)] {
                assert_eq!(
                    receive(&journal_at(step, phase), Ask::PleaseAbort),
                    Reception::Begin(Abort),
                    "{step:?}"
                );
            }
        }
        assert_eq!(
            receive(&journal_at(Complete, Phase::Begun), Ask::PleaseAbort),
            Reception::Ignore
        );
    }

    #[test]
    fn a_report_that_is_already_known_goes_on_as_if_it_were_new() {
        let known = |status| next_when_known(&Outcome::plain(status));
        assert_eq!(known(Is::Started), Ask::PleaseDownloadApp);
        assert_eq!(known(Is::Computed), Ask::PleaseContribute);
        assert_eq!(known(Is::Contributed), Ask::PleaseWait);
        let failed = |cause| next_when_known(&Outcome::because(Is::AppDownloadFailed, cause));
        assert_eq!(failed(Cause::AppImageDownloadFailed), Ask::PleaseContribute);
        assert_eq!(failed(Cause::TaskNotActive), Ask::PleaseAbort);
    }
}
