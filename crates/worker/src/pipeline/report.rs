//! Telling the scheduler a status (spec `worker.md` §5.2): again and again with growing pauses until it answers, the task is over, or the
//! worker stops (Q13: the original hammers).

use std::time::Duration;
use tokio_util::sync::CancellationToken;

use wire::message::ReplicateStatusUpdate;
use wire::scheduler::StatusAnswer;

use super::work::Work;
use crate::clock;
use crate::journal::{Journal, Outcome};
use crate::patience::Pauses;

/// How long a task whose deadline is not known is reported about.
const WITHOUT_DEADLINE: Duration = Duration::from_secs(3600);

/// What came of a report.
pub(super) enum Reported {
    /// The scheduler answered.
    Answer(StatusAnswer),
    /// It did not, and the task's final deadline has passed.
    TooLate,
    /// The worker stops.
    Stopped,
}

pub(super) async fn send(
    work: &Work,
    journal: &Journal,
    outcome: &Outcome,
    stop: &CancellationToken,
) -> Reported {
    let deadline = journal
        .final_deadline
        .unwrap_or_else(|| clock::now().saturating_add(WITHOUT_DEADLINE));
    let update = ReplicateStatusUpdate {
        details: outcome.details.clone(),
        ..ReplicateStatusUpdate::new(outcome.status)
    };
    let mut pauses = Pauses::new();
    loop {
        let call = work.shared.session.call(|client, token| {
            let update = update.clone();
            async move { client.update_status(&token, work.task, &update).await }
        });
        let error = tokio::select! {
            answer = call => match answer {
                Ok(answer) => {
                    tracing::info!(task = %work.task, status = %outcome.status, ?answer, "reported");
                    return Reported::Answer(answer);
                }
                Err(error) => error,
            },
            () = super::stopped(stop, journal.step) => return Reported::Stopped,
        };
        tracing::warn!(task = %work.task, status = %outcome.status, %error, "the scheduler does not take a report; it is sent again");
        tokio::select! {
            in_time = pauses.rest(Some(deadline)) => if !in_time { return Reported::TooLate },
            () = stop.cancelled() => return Reported::Stopped,
        }
    }
}
