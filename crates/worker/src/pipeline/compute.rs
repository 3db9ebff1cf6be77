//! Running the application and taking its result (spec `worker.md` §5.5, §6, §7.2). How it ended does not decide whether there is a
//! result: an application that fails after it wrote `computed.json` has one. Only a run that was cut short by this worker's own limits
//! has none, since another worker's limits may be others.

use std::time::Duration;

use wire::message::{ComputeLogs, ReplicateStatusDetails};
use wire::status::{ReplicateStatus, ReplicateStatusCause as Cause};

use super::work::{Acted, Learned, OF_LATE, Work};
use crate::description::TaskDescription;
use crate::docker::run::{Ended, Finished, RunRequest};
use crate::docker::{DockerError, args, env};
use crate::durations::Stage;
use crate::journal::{Journal, Outcome};
use crate::outputs::{OutputError, TaskFolder, archive, computed, digest, text};
use crate::patience::Pauses;

/// The container's name: the worker's and the task's (spec `worker.md` §6.2).
pub(super) fn container_name(work: &Work) -> String {
    format!("{}-{}", work.shared.settings.name, work.task)
}

pub(super) async fn run(work: &Work, journal: &Journal) -> Acted {
    let failed = |cause| Outcome::because(ReplicateStatus::ComputeFailed, cause);
    let description = match work.description().await {
        Ok(description) => description,
        Err(cause) => return failed(cause).into(),
    };
    if let Some(cause) = work.cannot_contribute(Some(journal), OF_LATE).await {
        return failed(cause).into();
    }
    let finished = match run_until_deadline(work, journal, description).await {
        Ok(finished) => finished,
        Err(cause) => return failed(cause).into(),
    };
    tracing::info!(
        task = %work.task, ended = ?finished.ended, exit_code = finished.exit_code,
        elapsed_ms = finished.elapsed.as_millis() as u64, reason = finished.reason, "the application ended"
    );
    work.shared
        .metrics
        .ran(Stage::App, work.task, finished.elapsed);
    if matches!(
        finished.ended,
        Ended::TooMuchText | Ended::TooMuchDisk | Ended::OutOfMemory | Ended::Vanished
    ) {
        return failed(Cause::AppComputeFailed).into();
    }
    work.shared
        .engine
        .open_to_us(&work.folder.iexec_out(), &description.image)
        .await;
    let Some((logs, result)) = take_when_there_is_room(work, description, &finished).await else {
        return failed(Cause::PostComputeFailedUnknownIssue).into();
    };
    let learned = result.unwrap_or_else(|error| {
        // Logged only, as the original does: the contribution then fails with DETERMINISM_HASH_NOT_FOUND.
        tracing::warn!(task = %work.task, %error, "there is no result to contribute");
        Learned::default()
    });
    let details = ReplicateStatusDetails {
        exit_code: i32::try_from(finished.exit_code).ok(),
        compute_logs: Some(logs),
        ..ReplicateStatusDetails::default()
    };
    Acted {
        outcome: Outcome::with(ReplicateStatus::Computed, details),
        learned,
    }
}

/// Runs the container, or takes over the one that runs. An engine that is away is waited for as long as a contribution is possible.
async fn run_until_deadline(
    work: &Work,
    journal: &Journal,
    description: &TaskDescription,
) -> Result<Finished, Cause> {
    let mut pauses = Pauses::new();
    loop {
        let error = match attempt(work, journal, description).await {
            Ok(Some(finished)) => return Ok(finished),
            Ok(None) => return Err(Cause::AppNotFoundLocally),
            Err(error) => error,
        };
        tracing::warn!(task = %work.task, %error, "the container engine does not do what it should; trying again");
        if !pauses.rest(Some(description.contribution_deadline)).await {
            return Err(Cause::AppComputeFailed);
        }
    }
}

/// `None` when the image is not here.
async fn attempt(
    work: &Work,
    journal: &Journal,
    description: &TaskDescription,
) -> Result<Option<Finished>, DockerError> {
    let (engine, settings, folder) = (&work.shared.engine, &work.shared.settings, &work.folder);
    let images = &work.shared.images;
    let Some(image) = images
        .runnable(&description.image, description.checksum)
        .await?
    else {
        return Ok(None);
    };
    let made = folder.make();
    made.map_err(|source| DockerError::Disk {
        action: "make",
        path: folder.root().to_path_buf(),
        source,
    })?;
    let place = work.shared.sandbox.place(journal.slot.unwrap_or(0)).await?;
    let request = RunRequest {
        name: container_name(work),
        task: work.task.to_string(),
        image,
        arguments: args::tokenise(description.params.args.as_deref().unwrap_or_default()),
        env: env::of(description),
        input: folder.input(),
        output: folder.iexec_out(),
        streams: folder.root().to_path_buf(),
        place,
        profile: settings.containers.profile,
        limits: settings.containers.limits,
        gpu: settings.gpu && description.tag.gpu(),
        timeout: description.max_execution,
    };
    engine.run(&request).await.map(Some)
}

/// Takes logs and result. While the disk is full it waits for room, as long as there is something to contribute to; `None` when that broke
/// off by a bug.
async fn take_when_there_is_room(
    work: &Work,
    description: &TaskDescription,
    finished: &Finished,
) -> Option<(ComputeLogs, Result<Learned, OutputError>)> {
    let (callback, limit) = (
        description.has_callback(),
        work.shared.settings.result_bytes,
    );
    let mut pauses = Pauses::between(Duration::from_secs(1), Duration::from_secs(10));
    loop {
        let (folder, kept) = (work.folder.clone(), finished.clone());
        let taking = tokio::task::spawn_blocking(move || {
            (logs(&kept), take_result(&folder, &kept, callback, limit))
        });
        let (logs, result) = match taking.await {
            Ok(taken) => taken,
            Err(error) => {
                tracing::error!(task = %work.task, %error, "taking the result broke off");
                return None;
            }
        };
        match &result {
            Err(error) if error.is_full_disk() => {
                tracing::error!(
                    task = %work.task, %error,
                    "no space is left on the disk for a result: free some below IEXEC_WORKER_BASE_DIR; the result waits"
                );
                if !pauses.rest(Some(description.contribution_deadline)).await {
                    return Some((logs, result));
                }
            }
            _ => return Some((logs, result)),
        }
    }
}

fn logs(finished: &Finished) -> ComputeLogs {
    let tail =
        |path: Option<&std::path::PathBuf>| path.map(|path| text::tail(path)).unwrap_or_default();
    let streams = finished.streams.as_ref();
    ComputeLogs {
        wallet_address: None,
        stdout: tail(streams.map(|streams| &streams.stdout)),
        stderr: tail(streams.map(|streams| &streams.stderr)),
    }
}

/// What spec `worker.md` §7.2 does after a run. Doing it again after a restart gives the same.
fn take_result(
    folder: &TaskFolder,
    finished: &Finished,
    callback: bool,
    limit: u64,
) -> Result<Learned, OutputError> {
    let out = folder.iexec_out();
    if finished.succeeded()
        && let Some(streams) = &finished.streams
    {
        for (stream, name) in [
            (&streams.stdout, "stdout.txt"),
            (&streams.stderr, "stderr.txt"),
        ] {
            text::keep(stream, &out, name)
                .map_err(|error| OutputError::disk("write", &out.join(name), error))?;
        }
    }
    archive::check_names(&out)?;
    archive::pack(&out, &folder.archive(), limit)?;
    let computed = computed::read(&out)?;
    computed::write(&folder.output(), &computed)?;
    let digest = digest::of(&computed, &out, callback)?;
    Ok(Learned {
        digest: Some(digest),
        callback_data: computed.callback_data,
        ..Learned::default()
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use poco::ids::TaskId;

    use super::*;
    use crate::docker::run::Finished;

    fn finished(folder: &TaskFolder, code: i64, stdout: &str) -> Finished {
        let streams = crate::outputs::text::tests::streams(folder.root(), stdout, "");
        Finished {
            ended: Ended::Exited(code),
            exit_code: code,
            elapsed: Duration::ZERO,
            streams: Some(streams),
            reason: None,
        }
    }

    fn folder(base: &tempfile::TempDir) -> TaskFolder {
        let folder = TaskFolder::of(base.path(), TaskId::default());
        folder.make().unwrap();
        folder
    }

    #[test]
    fn an_application_that_succeeds_has_its_streams_in_its_result() {
        let base = tempfile::tempdir().unwrap();
        let folder = folder(&base);
        let out = folder.iexec_out();
        std::fs::write(out.join("r.txt"), "r").unwrap();
        std::fs::write(
            out.join("computed.json"),
            r#"{"deterministic-output-path":"/iexec_out/r.txt"}"#,
        )
        .unwrap();
        let learned = take_result(&folder, &finished(&folder, 0, "hello"), false, 1 << 20).unwrap();
        assert_eq!(
            learned.digest.unwrap().to_string(),
            poco::hex::encode(<sha2::Sha256 as sha2::Digest>::digest("r"))
        );
        assert_eq!(
            std::fs::read_to_string(out.join("stdout.txt")).unwrap(),
            "hello"
        );
        assert!(!out.join("stderr.txt").exists());
        assert!(folder.archive().exists() && folder.computed().exists());
        // Doing it again after a restart changes nothing.
        assert_eq!(
            take_result(&folder, &finished(&folder, 0, "hello"), false, 1 << 20).unwrap(),
            learned
        );
    }

    #[test]
    fn an_application_that_fails_after_it_wrote_its_result_has_one_without_its_streams() {
        let base = tempfile::tempdir().unwrap();
        let folder = folder(&base);
        std::fs::write(
            folder.iexec_out().join("computed.json"),
            r#"{"deterministic-output-path":"/iexec_out"}"#,
        )
        .unwrap();
        assert!(
            take_result(&folder, &finished(&folder, 3, "hello"), false, 1 << 20)
                .unwrap()
                .digest
                .is_some()
        );
        assert!(!folder.iexec_out().join("stdout.txt").exists());
    }

    #[test]
    fn a_file_of_a_terabyte_that_holds_nothing_is_refused_before_it_is_read() {
        // S5: it takes no room on the disk, and would for ever be packed and hashed.
        let base = tempfile::tempdir().unwrap();
        let folder = folder(&base);
        let out = folder.iexec_out();
        let sparse = std::fs::File::create(out.join("sparse")).unwrap();
        sparse.set_len(1 << 40).unwrap();
        std::fs::write(
            out.join("computed.json"),
            r#"{"deterministic-output-path":"/iexec_out/sparse"}"#,
        )
        .unwrap();
        let taken = take_result(&folder, &finished(&folder, 0, "hello"), false, 1 << 20);
        assert!(
            matches!(taken, Err(OutputError::TooLarge { .. })),
            "{taken:?}"
        );
        assert!(!folder.archive().exists());
    }

    #[test]
    fn a_folder_in_the_place_of_a_stream_leaves_no_result() {
        // S3
        let base = tempfile::tempdir().unwrap();
        let folder = folder(&base);
        std::fs::create_dir(folder.iexec_out().join("stdout.txt")).unwrap();
        let taken = take_result(&folder, &finished(&folder, 0, "hello"), false, 1 << 20);
        assert!(matches!(taken, Err(OutputError::Disk { .. })), "{taken:?}");
    }

    #[test]
    fn a_callbacks_bytes_are_the_result_and_nothing_else_is() {
        let base = tempfile::tempdir().unwrap();
        let folder = folder(&base);
        let computed = r#"{"callback-data":"0xc0ffee","deterministic-output-path":"/iexec_out"}"#;
        std::fs::write(folder.iexec_out().join("computed.json"), computed).unwrap();
        let learned = take_result(&folder, &finished(&folder, 0, ""), true, 1 << 20).unwrap();
        let digest = alloy_primitives::keccak256([0xc0, 0xff, 0xee]);
        assert_eq!(learned.digest, Some(digest));
        assert_eq!(learned.callback_data.as_deref(), Some("0xc0ffee"));
    }

    #[test]
    fn an_application_that_writes_no_computed_file_has_no_result() {
        let base = tempfile::tempdir().unwrap();
        let folder = folder(&base);
        let taken = take_result(&folder, &finished(&folder, 0, "hello"), false, 1 << 20);
        assert!(matches!(taken, Err(OutputError::NoComputedFile { .. })));
    }
}
