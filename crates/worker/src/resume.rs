//! Resuming after a restart: reads the journals, asks the scheduler what it thinks was interrupted, starts the actors, and removes the
//! folders of tasks that are over. Which way each replicate goes is decided in [`crate::recovery`]; this does it.

use std::time::Duration;

use poco::units::BlockNumber;
use store::StoreError;
use tokio_util::sync::CancellationToken;
use wire::message::TaskNotification;
use wire::status::TaskNotificationType as Ask;

use crate::abort::Source;
use crate::authorization;
use crate::journal::{self, Journal, Phase, Step};
use crate::patience::Pauses;
use crate::pipeline::Notice;
use crate::pipeline::work::Shared;
use crate::preflight;
use crate::recovery::{self, Resume};
use crate::tasks::Tasks;

/// How often what was left behind is looked for.
const TIDY: Duration = Duration::from_secs(3600);

/// Takes up what was being done when the worker ended (spec `worker.md` §5.10).
///
/// # Errors
/// The journals cannot be read. Then nothing may be done: taking other work would leave reveals undone that are owed.
pub(crate) async fn recover(tasks: &Tasks) -> Result<(), StoreError> {
    let shared = tasks.shared();
    let head = preflight::head(&shared.hub).await;
    let told = interrupted(shared, head).await;
    for mut journal in journal::all(&shared.store).await? {
        let notification = told
            .iter()
            .find(|notification| notification.chain_task_id == journal.task);
        tracing::info!(task = %journal.task, step = ?journal.step, asked = notification.map(|n| n.task_notification_type.name()), "a task is resumed");
        // Only what the scheduler listed is marked as recovering there; all else is announced as usual.
        journal.resumed = notification.is_some();
        if let Some(fresh) = fresh_authorization(shared, notification).await {
            journal.authorization = fresh;
        }
        let slot = journal
            .needs_slot()
            .then(|| shared.slots.take_again(journal.slot));
        journal.slot = slot.as_ref().map(crate::slots::Held::number);
        let task = journal.task;
        let forwarded = notification
            .filter(|notification| is_worth_telling(&journal, notification.task_notification_type))
            .cloned();
        tasks.live(journal, slot);
        if let Some(notification) = forwarded {
            tasks.tell(task, from_recovery(notification));
        }
    }
    sweep(tasks).await;
    for notification in &told {
        if !tasks.knows(notification.chain_task_id) {
            resume_without_journal(tasks, notification).await;
        }
    }
    Ok(())
}

async fn interrupted(shared: &Shared, head: BlockNumber) -> Vec<TaskNotification> {
    let mut pauses = Pauses::new();
    loop {
        match shared
            .session
            .call(|client, token| async move { client.interrupted(&token, head).await })
            .await
        {
            Ok(told) => return told,
            Err(error) if matches!(error.kind(), wire::error::Kind::Retryable) => {
                tracing::warn!(%error, "the scheduler does not say what was interrupted; it is asked again");
            }
            Err(error) => {
                tracing::error!(%error, "the scheduler does not say what was interrupted; the journals alone decide");
                return Vec::new();
            }
        }
        pauses.rest(None).await;
    }
}

async fn fresh_authorization(
    shared: &Shared,
    notification: Option<&TaskNotification>,
) -> Option<wire::message::WorkerpoolAuthorization> {
    let fresh = notification?
        .task_notification_extra
        .as_ref()?
        .workerpool_authorization
        .clone()?;
    let of_this_task = fresh.chain_task_id == notification?.chain_task_id;
    (of_this_task && authorization::check(shared, &fresh).await.is_ok()).then_some(fresh)
}

/// A contribution is asked for also while the task is still being computed; then it comes by itself.
fn is_worth_telling(journal: &Journal, ask: Ask) -> bool {
    ask != Ask::PleaseContribute
        || (journal.step == Step::Contribute && matches!(journal.phase, Phase::Told(_)))
}

fn from_recovery(notification: TaskNotification) -> Notice {
    Notice {
        ask: notification.task_notification_type,
        extra: notification.task_notification_extra,
        source: Source::Recovery,
    }
}

async fn resume_without_journal(tasks: &Tasks, notification: &TaskNotification) {
    let (task, ask) = (
        notification.chain_task_id,
        notification.task_notification_type,
    );
    let authorization = notification
        .task_notification_extra
        .as_ref()
        .and_then(|extra| extra.workerpool_authorization.clone());
    match (recovery::resume(None, Some(ask)), authorization) {
        (Resume::Anew, Some(authorization)) if authorization.chain_task_id == task => {
            tracing::info!(%task, "a task that was given and not written down is begun again");
            tasks.take(authorization, tasks.shared().slots.take_again(None), true);
        }
        (Resume::Anew | Resume::GiveUp, authorization) => {
            tracing::warn!(%task, %ask, "nothing is left of a task; it is given up");
            let authorization = authorization.unwrap_or_default();
            let mut journal = Journal::new(
                wire::message::WorkerpoolAuthorization {
                    chain_task_id: task,
                    ..authorization
                },
                None,
            );
            journal.begin(Step::Abort);
            if let Err(error) = journal::save(&tasks.shared().store, &journal).await {
                tracing::error!(%task, %error, "a journal cannot be written");
                return;
            }
            tasks.live(journal, None);
        }
        (Resume::CarryOn | Resume::Nothing, _) => {}
    }
}

/// Removes now and then what tasks left that could not be removed when they ended, as when the container engine was away.
pub(crate) async fn tidy(tasks: Tasks, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(TIDY) => sweep(&tasks).await,
            () = stop.cancelled() => return,
        }
    }
}

/// Removes the containers and folders of tasks that nobody knows any more.
async fn sweep(tasks: &Tasks) {
    let shared = tasks.shared();
    let prefix = format!("{}-", shared.settings.name);
    match shared.engine.task_containers(&prefix).await {
        Ok(names) => {
            let task_of = |name: &str| recovery::task_named(name.strip_prefix(&prefix)?);
            for name in names
                .iter()
                .filter(|name| task_of(name).is_some_and(|task| !tasks.knows(task)))
            {
                tracing::info!(
                    container = name,
                    "removing the container of a task that is over"
                );
                if let Err(error) = shared.engine.remove(name).await {
                    tracing::warn!(container = name, %error, "a container stays behind");
                }
            }
        }
        Err(error) => tracing::warn!(%error, "containers of tasks that are over stay behind"),
    }
    match recovery::strangers(&shared.folder(), |task| tasks.knows(task)) {
        Ok(strangers) => {
            for folder in strangers {
                tracing::info!(folder = %folder.display(), "removing the folder of a task that is over");
                if let Err(error) = shared.engine.remove_folder(&folder, None).await {
                    tracing::warn!(%error, "a folder stays behind");
                }
            }
        }
        Err(error) => tracing::warn!(%error, "the worker's folder cannot be listed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::tests::journal_at;

    #[test]
    fn a_contribution_is_only_asked_again_of_a_task_that_has_contributed() {
        let told = Phase::Told(Ask::PleaseWait);
        assert!(!is_worth_telling(
            &journal_at(Step::Compute, Phase::Begun),
            Ask::PleaseContribute
        ));
        assert!(is_worth_telling(
            &journal_at(Step::Contribute, told.clone()),
            Ask::PleaseContribute
        ));
        assert!(is_worth_telling(
            &journal_at(Step::Contribute, told),
            Ask::PleaseReveal
        ));
    }
}
