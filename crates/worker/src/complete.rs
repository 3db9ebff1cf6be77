//! Forgetting a task that is done: its container, if one is left, and its folder. Everything is tried, whatever fails (Q28).

use wire::status::ReplicateStatus;

use crate::docker::removal::Removed;
use crate::journal::{Journal, Outcome};
use crate::pipeline::work::{Acted, Work};

/// Cleans up.
pub(crate) async fn complete(work: &Work, journal: &Journal) -> Acted {
    let status = if clean(work, journal).await {
        ReplicateStatus::Completed
    } else {
        ReplicateStatus::CompleteFailed
    };
    Outcome::plain(status).into()
}

/// Removes what the task left on this machine; false when its folder is still there.
pub(crate) async fn clean(work: &Work, journal: &Journal) -> bool {
    let engine = &work.shared.engine;
    // Under its usual name also when the journal was lost.
    let usual = format!("{}-{}", work.shared.settings.name, work.task);
    let container = journal.container.clone().unwrap_or(usual);
    if let Err(error) = engine.remove(&container).await {
        tracing::warn!(task = %work.task, container, %error, "a container stays behind");
    }
    match engine
        .remove_folder(work.folder.root(), journal.image.as_deref())
        .await
    {
        Ok(Removed::Gone | Removed::PutAside(_)) => true,
        Err(error) => {
            tracing::warn!(task = %work.task, %error, "the task's folder stays behind");
            false
        }
    }
}
