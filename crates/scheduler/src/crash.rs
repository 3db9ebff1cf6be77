//! The instants at which the kill tests stop this process. Each name stands here once; `chassis::crash::point` does nothing
//! unless the test build asks for one of them.

use engine::Purpose;

/// Inputs were handled, nothing of what they changed is stored.
pub(crate) const BEFORE_COMMIT: &str = "scheduler-before-commit";
/// Changes are stored, nobody knows yet.
pub(crate) const COMMITTED: &str = "scheduler-committed-before-replies";
/// Callers have their answers, no notice is pushed.
pub(crate) const REPLIED: &str = "scheduler-replied-before-notices";
/// Notices are pushed, no command is begun.
pub(crate) const NOTIFIED: &str = "scheduler-notified-before-commands";
/// A new worker's challenge is stored, and not told.
pub(crate) const CHALLENGED: &str = "scheduler-challenge-stored";
/// The used challenge is gone, and the token is not told.
pub(crate) const LOGGED_IN: &str = "scheduler-challenge-used";

/// Every crash point of this process.
pub const CRASH_POINTS: &[&str] = &[
    BEFORE_COMMIT,
    COMMITTED,
    REPLIED,
    NOTIFIED,
    CHALLENGED,
    LOGGED_IN,
    "scheduler-before-initialize",
    "scheduler-after-initialize",
    "scheduler-before-finalize",
    "scheduler-after-finalize",
    "scheduler-before-reopen",
    "scheduler-after-reopen",
    "scheduler-before-claim",
    "scheduler-after-claim",
    "scheduler-before-check-uploaded",
    "scheduler-after-check-uploaded",
    "scheduler-before-enclave-challenge",
    "scheduler-after-enclave-challenge",
    "scheduler-before-read-task",
    "scheduler-after-read-task",
    "outbox.intent_persisted",
    "outbox.tx_persisted",
    "outbox.broadcast",
    "outbox.receipt_seen",
];

/// The points before and after a command of this purpose is handed over: to the outbox, the result proxy or the node.
pub(crate) const fn around(purpose: Purpose) -> (&'static str, &'static str) {
    match purpose {
        Purpose::Initialize => ("scheduler-before-initialize", "scheduler-after-initialize"),
        Purpose::Finalize => ("scheduler-before-finalize", "scheduler-after-finalize"),
        Purpose::Reopen => ("scheduler-before-reopen", "scheduler-after-reopen"),
        Purpose::Claim => ("scheduler-before-claim", "scheduler-after-claim"),
        Purpose::CheckUploaded => (
            "scheduler-before-check-uploaded",
            "scheduler-after-check-uploaded",
        ),
        Purpose::EnclaveChallenge => (
            "scheduler-before-enclave-challenge",
            "scheduler-after-enclave-challenge",
        ),
        Purpose::ReadTask => ("scheduler-before-read-task", "scheduler-after-read-task"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_of_a_command_is_in_the_table() {
        for purpose in [
            Purpose::Initialize,
            Purpose::Finalize,
            Purpose::Reopen,
            Purpose::Claim,
            Purpose::CheckUploaded,
            Purpose::EnclaveChallenge,
            Purpose::ReadTask,
        ] {
            let (before, after) = around(purpose);
            assert!(
                CRASH_POINTS.contains(&before) && CRASH_POINTS.contains(&after),
                "{purpose:?}"
            );
        }
    }

    #[test]
    fn every_point_of_the_outbox_is_in_the_table() {
        for point in chain::outbox::PROBES {
            assert!(CRASH_POINTS.contains(point), "{point}");
        }
    }

    #[test]
    fn no_name_stands_twice() {
        let names: std::collections::BTreeSet<_> = CRASH_POINTS.iter().collect();
        assert_eq!(names.len(), CRASH_POINTS.len());
    }
}
