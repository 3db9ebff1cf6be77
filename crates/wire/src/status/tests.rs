use super::*;

const REPLICATE_NAMES: &str = "CREATED STARTING START_FAILED STARTED APP_DOWNLOADING APP_DOWNLOAD_FAILED APP_DOWNLOADED DATA_DOWNLOADING DATA_DOWNLOAD_FAILED DATA_DOWNLOADED COMPUTING COMPUTE_FAILED COMPUTED CONTRIBUTING CONTRIBUTE_FAILED CONTRIBUTED REVEALING REVEAL_FAILED REVEALED RESULT_UPLOAD_REQUESTED RESULT_UPLOADING RESULT_UPLOAD_FAILED RESULT_UPLOADED CONTRIBUTE_AND_FINALIZE_ONGOING CONTRIBUTE_AND_FINALIZE_FAILED CONTRIBUTE_AND_FINALIZE_DONE COMPLETING COMPLETE_FAILED COMPLETED FAILED ABORTED RECOVERING WORKER_LOST";
const TASK_NAMES: &str = "RECEIVED INITIALIZING INITIALIZED INITIALIZE_FAILED RUNNING RUNNING_FAILED CONTRIBUTION_TIMEOUT CONSENSUS_REACHED REOPENING REOPENED REOPEN_FAILED AT_LEAST_ONE_REVEALED RESULT_UPLOADING RESULT_UPLOADED RESULT_UPLOAD_TIMEOUT FINALIZING FINALIZED FINALIZE_FAILED FINAL_DEADLINE_REACHED COMPLETED FAILED";

fn names<T: fmt::Display>(all: &[T]) -> String {
    all.iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn names_and_order_are_those_of_the_original() {
    assert_eq!(names(ReplicateStatus::ALL), REPLICATE_NAMES);
    assert_eq!(names(TaskStatus::ALL), TASK_NAMES);
    assert!(ReplicateStatus::ALL.is_sorted());
    assert_eq!(ReplicateStatus::WorkerLost as u8, 32);
    assert_eq!(TaskStatus::Failed as u8, 20);
}

#[test]
fn every_status_reads_back_from_its_json() {
    for status in ReplicateStatus::ALL {
        let json = serde_json::to_string(status).unwrap();
        assert_eq!(json, format!("\"{status}\""));
        assert_eq!(
            serde_json::from_str::<ReplicateStatus>(&json).unwrap(),
            *status
        );
    }
}

#[test]
fn an_unknown_status_is_an_error_that_names_it() {
    let error = serde_json::from_str::<ReplicateStatus>("\"SLEEPING\"").unwrap_err();
    assert!(
        error
            .to_string()
            .contains("\"SLEEPING\" is not a ReplicateStatus"),
        "{error}"
    );
}

#[test]
fn uploading_is_not_called_a_success() {
    assert!(!ReplicateStatus::ResultUploading.is_success());
    assert!(!ReplicateStatus::ResultUploaded.is_success());
    assert!(ReplicateStatus::Completing.is_success());
    assert_eq!(ReplicateStatus::SUCCESS.len(), 17);
}

#[test]
fn four_failures_come_before_a_result() {
    let early: Vec<_> = ReplicateStatus::ALL
        .iter()
        .filter(|status| status.is_failed_before_computed())
        .collect();
    assert_eq!(
        names(&early),
        "START_FAILED APP_DOWNLOAD_FAILED DATA_DOWNLOAD_FAILED COMPUTE_FAILED"
    );
}

#[test]
fn missing_statuses_are_those_between_two_successes() {
    use ReplicateStatus::*;
    assert_eq!(
        ReplicateStatus::missing(Computed, Revealing),
        &[Contributing, Contributed, Revealing]
    );
    assert!(ReplicateStatus::missing(Revealing, Computed).is_empty());
    assert!(ReplicateStatus::missing(Computed, Computed).is_empty());
    assert!(ReplicateStatus::missing(Computed, ResultUploaded).is_empty());
}

#[test]
fn an_aborted_replicate_is_not_final() {
    assert!(!ReplicateStatus::Aborted.is_final());
    assert!(ReplicateStatus::Failed.is_final());
    assert_eq!(
        names(
            &TaskStatus::ALL
                .iter()
                .filter(|status| status.is_final())
                .collect::<Vec<_>>()
        ),
        "COMPLETED FAILED"
    );
}
