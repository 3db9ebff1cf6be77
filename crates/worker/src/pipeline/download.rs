//! Getting what the application needs (spec `worker.md` §5.5). An image that does not come is a result of its own, which every worker
//! finds alike and contributes; datasets and input files are refused at the start of the task, so there is nothing else to get.

use std::time::Duration;

use wire::status::{ReplicateStatus, ReplicateStatusCause as Cause};

use super::work::{Acted, Learned, Work};
use crate::docker::image::{PullError, pull_timeout};
use crate::journal::Outcome;
use crate::outputs::{OutputError, computed, digest};
use crate::patience::Pauses;
use crate::{error_result, outputs};

pub(super) async fn app(work: &Work) -> Acted {
    let failed = |cause| Outcome::because(ReplicateStatus::AppDownloadFailed, cause);
    let description = match work.description().await {
        Ok(description) => description,
        Err(cause) => return failed(cause).into(),
    };
    if let Some(cause) = work.cannot_contribute(None).await {
        return failed(cause).into();
    }
    let settings = &work.shared.settings;
    let limit = pull_timeout(
        description.max_execution,
        settings.pull_shortest,
        settings.pull_longest,
    );
    let pulled = pull(work, &description.image, limit).await;
    if let Err(error) = &pulled {
        tracing::warn!(task = %work.task, image = description.image, %error, "the application's image does not come");
    }
    let ours = pulled.is_err_and(|error| error.is_ours());
    // Whatever the pull said: what counts is whether the image is here.
    match has_image(work, &description.image).await {
        Some(true) => Outcome::plain(ReplicateStatus::AppDownloaded).into(),
        Some(false) if !ours => {
            error_hook(
                work,
                description.has_callback(),
                ReplicateStatus::AppDownloadFailed,
                Cause::AppImageDownloadFailed,
            )
            .await
        }
        // This worker's engine or disk fails: that says nothing about the image, and must not become a result.
        _ => failed(Cause::PostComputeFailedUnknownIssue).into(),
    }
}

/// Pulls; a registry that cannot be reached is asked again a few times.
async fn pull(work: &Work, image: &str, limit: Duration) -> Result<(), PullError> {
    let mut pauses = Pauses::between(Duration::from_secs(2), Duration::from_secs(8));
    let mut last = work.shared.engine.pull(image, limit).await;
    for _ in 0..2 {
        match &last {
            Err(error) if error.may_pass() => {
                tracing::info!(task = %work.task, %error, "pulling again")
            }
            _ => break,
        }
        pauses.rest(None).await;
        last = work.shared.engine.pull(image, limit).await;
    }
    last
}

/// `None` when the engine does not answer for a while.
async fn has_image(work: &Work, image: &str) -> Option<bool> {
    let mut pauses = Pauses::new();
    for _ in 0..5 {
        match work.shared.engine.has_image(image).await {
            Ok(there) => return Some(there),
            Err(error) => {
                tracing::warn!(task = %work.task, %error, "the container engine does not say which images it has")
            }
        }
        pauses.rest(None).await;
    }
    None
}

/// The start refused every task that has data to download.
pub(super) async fn data(work: &Work) -> Acted {
    match work.cannot_contribute(None).await {
        Some(cause) => Outcome::because(ReplicateStatus::DataDownloadFailed, cause).into(),
        None => Outcome::plain(ReplicateStatus::DataDownloaded).into(),
    }
}

/// Turns a download that failed into a result that can be contributed.
///
/// Not for a deal with a callback: its digest is that of the callback's bytes, an error has none, and no other could be finalized.
async fn error_hook(work: &Work, callback: bool, status: ReplicateStatus, cause: Cause) -> Acted {
    let (folder, wording, limit) = (
        work.folder.clone(),
        work.shared.settings.wording,
        work.shared.settings.result_bytes,
    );
    let reason = cause.clone();
    let made = tokio::task::spawn_blocking(move || -> Result<_, OutputError> {
        folder
            .make()
            .map_err(|error| OutputError::disk("make", folder.root(), error))?;
        let out = folder.iexec_out();
        error_result::write(&out, wording, status, &reason)?;
        outputs::archive::pack(&out, &folder.archive(), limit)?;
        let computed = computed::read(&out)?;
        computed::write(&folder.output(), &computed)?;
        digest::of(&computed, &out, callback)
    });
    match made
        .await
        .map_err(|error| error.to_string())
        .and_then(|made| made.map_err(|error| error.to_string()))
    {
        Ok(digest) => Acted {
            outcome: Outcome::because(status, cause),
            learned: Learned {
                digest: Some(digest),
                ..Learned::default()
            },
        },
        Err(error) => {
            tracing::error!(task = %work.task, error, "the failure does not become a result");
            Outcome::because(status, Cause::PostComputeFailedUnknownIssue).into()
        }
    }
}
