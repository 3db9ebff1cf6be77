//! After a restart: what the journals say, what the scheduler says (`GET /replicates/interrupted`), and how each replicate goes on
//! (spec `worker.md` §5.10). Work is resumed wherever it stood; what cannot be resumed is reported `ABORTED`, so that the scheduler does
//! not wait for it. Folders are only removed when they are named like a task and nothing knows that task (S8).

use std::path::{Path, PathBuf};

use poco::ids::TaskId;
use wire::status::TaskNotificationType as Ask;

use crate::journal::Journal;

/// How a replicate goes on after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// Its journal says how; what the scheduler asked for is received as any notification.
    CarryOn,
    /// There is no journal, and nothing was contributed: it is begun again.
    Anew,
    /// It is given up.
    GiveUp,
    /// There is nothing to do.
    Nothing,
}

/// How a replicate goes on that the journal, the scheduler, or both know.
#[must_use]
pub fn resume(journal: Option<&Journal>, told: Option<Ask>) -> Resume {
    match (journal, told) {
        // Whatever the step, its journal is at least as fresh as what the scheduler knows. An abort is received as any other.
        (Some(_), _) => Resume::CarryOn,
        // Given, and killed before it was written down.
        (None, Some(Ask::PleaseContribute | Ask::PleaseStart)) => Resume::Anew,
        // Nothing is left to reveal, upload or clean.
        (None, Some(Ask::PleaseReveal | Ask::PleaseUpload | Ask::PleaseAbort)) => Resume::GiveUp,
        (None, _) => Resume::Nothing,
    }
}

/// The folders of tasks that nobody knows any more.
///
/// # Errors
/// The worker's folder cannot be listed.
pub fn strangers(
    worker_folder: &Path,
    known: impl Fn(TaskId) -> bool,
) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(worker_folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let task = name.to_str().and_then(task_named);
        // Not following links: a link that is named like a task is not a task's folder.
        if let Some(task) = task
            && entry.file_type()?.is_dir()
            && !known(task)
        {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// The task that `name` is the id of: `0x` and 64 lower-case hexadecimal digits, nothing else (S8).
pub(crate) fn task_named(name: &str) -> Option<TaskId> {
    let digits = name.strip_prefix("0x")?;
    let lower = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    (digits.len() == 64 && digits.bytes().all(lower)).then(|| name.parse().ok())?
}

#[cfg(test)]
pub(crate) mod tests {
    use alloy_primitives::{Address, B256};
    use wire::message::WorkerpoolAuthorization;
    use wire::status::ReplicateStatus;

    use super::*;
    use crate::journal::{Outcome, Phase, Step};
    use crate::pipeline::table::{self, TABLE};

    /// A journal of task 0x11… at a step.
    pub(crate) fn journal_at(step: Step, phase: Phase) -> Journal {
        let authorization = WorkerpoolAuthorization {
            chain_task_id: TaskId(B256::repeat_byte(0x11)),
            worker_wallet: Address::repeat_byte(7),
            ..WorkerpoolAuthorization::default()
        };
        Journal {
            step,
            phase,
            ..Journal::new(authorization, None)
        }
    }

    #[test]
    fn a_journal_survives_being_written_down_at_every_step() {
        for row in &TABLE {
            let told = Phase::Told(row.asked_by);
            for phase in [
                Phase::Begun,
                Phase::Acted(Box::new(Outcome::plain(row.done))),
                told,
            ] {
                let journal = journal_at(row.step, phase);
                let text = serde_json::to_string(&journal).unwrap();
                assert_eq!(serde_json::from_str::<Journal>(&text).unwrap(), journal);
            }
        }
    }

    #[test]
    fn work_with_a_journal_is_carried_on_whatever_the_scheduler_says() {
        let journal = journal_at(Step::Compute, Phase::Begun);
        for told in [
            None,
            Some(Ask::PleaseContribute),
            Some(Ask::PleaseAbort),
            Some(Ask::PleaseWait),
        ] {
            assert_eq!(resume(Some(&journal), told), Resume::CarryOn);
        }
    }

    #[test]
    fn work_without_a_journal_is_begun_again_or_given_up_never_left_recovering() {
        assert_eq!(resume(None, Some(Ask::PleaseContribute)), Resume::Anew);
        for told in [Ask::PleaseReveal, Ask::PleaseUpload, Ask::PleaseAbort] {
            assert_eq!(resume(None, Some(told)), Resume::GiveUp);
        }
        assert_eq!(resume(None, Some(Ask::PleaseWait)), Resume::Nothing);
    }

    #[test]
    fn a_replicate_told_to_contribute_in_the_middle_of_computing_finishes_computing_first() {
        let journal = journal_at(Step::Compute, Phase::Begun);
        assert_eq!(
            table::receive(&journal, Ask::PleaseContribute),
            table::Reception::Later
        );
        let computed = journal_at(Step::Compute, Phase::Told(Ask::PleaseContribute));
        assert_eq!(
            table::receive(&computed, Ask::PleaseContribute),
            table::Reception::Begin(Step::Contribute)
        );
        assert_eq!(computed.reported, None::<ReplicateStatus>);
    }

    #[test]
    fn only_folders_named_like_a_task_nobody_knows_are_strangers() {
        // S8: the original removes every folder of a base folder that was set wrong.
        let folder = tempfile::tempdir().unwrap();
        let known = TaskId(B256::repeat_byte(0xaa));
        let stranger = TaskId(B256::repeat_byte(0xbb));
        let upper = format!("0x{}", "CC".repeat(32));
        for name in [
            known.to_string(),
            stranger.to_string(),
            upper,
            "data".to_owned(),
            "0x12".to_owned(),
            format!("x{stranger}"),
        ] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        std::fs::write(
            folder
                .path()
                .join(TaskId(B256::repeat_byte(0xdd)).to_string()),
            "a file",
        )
        .unwrap();
        std::os::unix::fs::symlink(
            "/",
            folder
                .path()
                .join(TaskId(B256::repeat_byte(0xee)).to_string()),
        )
        .unwrap();
        let found = strangers(folder.path(), |task| task == known).unwrap();
        assert_eq!(found, [folder.path().join(stranger.to_string())]);
    }
}
