//! Getting what the application needs (spec `worker.md` §5.5): image, dataset, input files. What does not come is a result of its own,
//! which every worker finds alike and contributes. A fault of this machine never becomes one.

use std::time::{Duration, Instant};

use wire::status::{ReplicateStatus, ReplicateStatusCause as Cause};

use super::work::{Acted, Learned, OF_LATE, Work};
use crate::description::TaskDescription;
use crate::docker::pull::{PullError, pull_timeout};
use crate::inputs::{self, Downloader};
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
    if let Some(cause) = work.cannot_contribute(None, OF_LATE).await {
        return failed(cause).into();
    }
    let settings = &work.shared.settings;
    let limit = pull_timeout(
        description.max_execution,
        settings.images.pull_shortest,
        settings.images.pull_longest,
    );
    let pulled = pull(work, &description.image, limit).await;
    if let Err(error) = &pulled {
        tracing::warn!(task = %work.task, image = description.image, %error, "the application's image does not come");
    }
    let ours = pulled.is_err_and(|error| error.is_ours());
    // Whatever the pull said: what counts is whether the image is here.
    match has_image(work, &description.image).await {
        // Where digests are checked another image is not run. Nor is that a result: workers that do not check have one.
        Some(true) if !is_the_right_one(work, description).await => {
            failed(Cause::AppImageDownloadFailed).into()
        }
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
    let mut last = work.shared.images.pull(image, limit).await;
    for _ in 0..2 {
        match &last {
            Err(error) if error.may_pass() => {
                tracing::info!(task = %work.task, %error, "pulling again")
            }
            _ => break,
        }
        pauses.rest(None).await;
        last = work.shared.images.pull(image, limit).await;
    }
    last
}

/// Whether the image that is here may be run. An engine that is away is asked again when the task computes.
async fn is_the_right_one(work: &Work, description: &TaskDescription) -> bool {
    let images = &work.shared.images;
    let found = images
        .runnable(&description.image, description.checksum)
        .await;
    !matches!(found, Ok(None))
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

/// Dataset and input files. One that was got in an earlier life of this process is not got again.
pub(super) async fn data(work: &Work) -> Acted {
    let failed = |cause| Outcome::because(ReplicateStatus::DataDownloadFailed, cause);
    let description = match work.description().await {
        Ok(description) => description,
        Err(cause) => return failed(cause).into(),
    };
    if let Some(cause) = work.cannot_contribute(None, OF_LATE).await {
        return failed(cause).into();
    }
    if !inputs::are_wanted(description) {
        return Outcome::plain(ReplicateStatus::DataDownloaded).into();
    }
    let settings = &work.shared.settings.downloads;
    let downloader = match Downloader::new(settings) {
        Ok(downloader) => downloader,
        Err(error) => {
            tracing::error!(task = %work.task, %error, "nothing can be downloaded on this machine");
            return failed(Cause::PostComputeFailedUnknownIssue).into();
        }
    };
    let began = Instant::now();
    let fetched = inputs::fetch(&downloader, settings, description, &work.folder).await;
    let elapsed_ms = began.elapsed().as_millis() as u64;
    let error = match fetched {
        Ok(()) => {
            tracing::info!(task = %work.task, elapsed_ms, "dataset and input files are here");
            return Outcome::plain(ReplicateStatus::DataDownloaded).into();
        }
        Err(error) => error,
    };
    tracing::warn!(task = %work.task, elapsed_ms, %error, "the task's data does not come");
    if error.is_ours() {
        return failed(Cause::PostComputeFailedUnknownIssue).into();
    }
    let status = ReplicateStatus::DataDownloadFailed;
    error_hook(work, description.has_callback(), status, error.cause()).await
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
