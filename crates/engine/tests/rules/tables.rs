//! The tables of steps, whole.

use engine::{next_action, replicate_may_become, task_may_become};
use wire::status::ReplicateStatus::{self, *};
use wire::status::TaskNotificationType::{
    PleaseAbort, PleaseCompute, PleaseContinue, PleaseContribute, PleaseDownloadApp,
    PleaseDownloadData, PleaseWait,
};
use wire::status::{ReplicateStatusCause, TaskStatus};

/// Spec scheduler-api §6.1, row by row: from, specific targets, RECOVERING, FAILED. Ours is the way back to contributing alone.
const ROWS: &[(ReplicateStatus, &[ReplicateStatus], bool, bool)] = &[
    (Created, &[Starting], true, true),
    (Starting, &[Started, StartFailed], true, true),
    (StartFailed, &[], false, true),
    (Started, &[AppDownloading], true, true),
    (
        AppDownloading,
        &[AppDownloaded, AppDownloadFailed],
        true,
        true,
    ),
    (AppDownloadFailed, &[Contributing], true, true),
    (AppDownloaded, &[DataDownloading], true, true),
    (
        DataDownloading,
        &[DataDownloaded, DataDownloadFailed],
        true,
        true,
    ),
    (DataDownloadFailed, &[Contributing], true, true),
    (DataDownloaded, &[Computing], true, true),
    (Computing, &[Computed, ComputeFailed], true, true),
    (ComputeFailed, &[], false, true),
    (
        Computed,
        &[Contributing, ContributeAndFinalizeOngoing],
        true,
        true,
    ),
    (Contributing, &[Contributed, ContributeFailed], true, true),
    (ContributeFailed, &[], false, true),
    (Contributed, &[Revealing], true, true),
    (Revealing, &[Revealed, RevealFailed], true, true),
    (RevealFailed, &[], false, true),
    (Revealed, &[ResultUploadRequested, Completing], true, false),
    (ResultUploadRequested, &[ResultUploading], true, false),
    (
        ResultUploading,
        &[ResultUploaded, ResultUploadFailed],
        true,
        false,
    ),
    (ResultUploadFailed, &[Completing], true, false),
    (ResultUploaded, &[Completing], true, false),
    (
        ContributeAndFinalizeOngoing,
        &[
            ContributeAndFinalizeDone,
            ContributeAndFinalizeFailed,
            Contributing,
        ],
        true,
        true,
    ),
    (ContributeAndFinalizeFailed, &[], true, true),
    (ContributeAndFinalizeDone, &[Completing], true, false),
    (Completing, &[Completed, CompleteFailed], true, false),
    (CompleteFailed, &[], false, false),
    (Aborted, &[Completed], false, true),
];

#[test]
fn replicates_take_the_steps_of_the_table_and_no_others() {
    for (from, targets, recovering, failed) in ROWS {
        for to in ReplicateStatus::ALL {
            let expected = targets.contains(to)
                || (*to == Recovering && *recovering)
                || (*to == Failed && *failed)
                || *to == WorkerLost
                || (*to == Aborted && *from != Aborted);
            assert_eq!(replicate_may_become(*from, *to), expected, "{from} -> {to}");
        }
    }
}

#[test]
fn a_lost_or_recovering_replicate_may_go_on_anywhere() {
    for to in ReplicateStatus::ALL {
        assert_eq!(
            replicate_may_become(WorkerLost, *to),
            *to != WorkerLost,
            "{to}"
        );
        let not_back = !matches!(to, Created | Starting);
        assert_eq!(replicate_may_become(Recovering, *to), not_back, "{to}");
    }
}

#[test]
fn a_completed_or_failed_replicate_goes_nowhere() {
    for from in [Completed, Failed] {
        for to in ReplicateStatus::ALL {
            assert!(!replicate_may_become(from, *to), "{from} -> {to}");
        }
    }
}

#[test]
fn every_status_has_its_next_action() {
    // Spec scheduler-api §6.3. Q-37, scheduler-api Q15: where the original answers nothing, a worker is told to wait.
    for status in ReplicateStatus::ALL {
        let expected = match status {
            Started => PleaseDownloadApp,
            AppDownloaded => PleaseDownloadData,
            DataDownloaded => PleaseCompute,
            Computed => PleaseContribute,
            Starting
            | AppDownloading
            | DataDownloading
            | Computing
            | Contributing
            | Revealing
            | ResultUploading
            | ContributeAndFinalizeOngoing
            | Completing => PleaseContinue,
            StartFailed
            | AppDownloadFailed
            | DataDownloadFailed
            | ComputeFailed
            | ContributeFailed
            | RevealFailed
            | ResultUploadFailed
            | ContributeAndFinalizeFailed
            | CompleteFailed => PleaseAbort,
            _ => PleaseWait,
        };
        assert_eq!(next_action(*status, None), expected, "{status}");
    }
}

#[test]
fn downloads_that_fail_for_everybody_are_contributed_as_a_result() {
    use ReplicateStatusCause as Cause;
    let contributed = [
        (AppDownloadFailed, Cause::AppImageDownloadFailed),
        (DataDownloadFailed, Cause::DatasetFileDownloadFailed),
        (DataDownloadFailed, Cause::DatasetFileBadChecksum),
        (DataDownloadFailed, Cause::InputFilesDownloadFailed),
    ];
    for (status, cause) in contributed {
        assert_eq!(next_action(status, Some(&cause)), PleaseContribute);
    }
    assert_eq!(
        next_action(AppDownloadFailed, Some(&Cause::DatasetFileBadChecksum)),
        PleaseAbort
    );
}

#[test]
fn every_task_status_but_the_last_leads_somewhere() {
    for from in TaskStatus::ALL {
        let leads = TaskStatus::ALL.iter().any(|to| task_may_become(*from, *to));
        assert_eq!(leads, !from.is_final(), "{from}");
    }
}
