//! One container from creation to its end. The end is an event of the engine, not a poll; the time limit, the streams' cap and the
//! output folder's size are watched beside it. A container of exactly this name that is already there is taken over, so that a worker
//! that was killed finds its run again. It never removes a container by itself: the caller does, once what it left is on the disk.

use std::path::PathBuf;
use std::time::Duration;

use bollard::errors::Error as Bollard;
use bollard::models::{ContainerCreateBody, ContainerState, ContainerStateStatusEnum, HostConfig};
use bollard::query_parameters::{
    CreateContainerOptions, InspectContainerOptions, ListContainersOptions, RemoveContainerOptions,
    StartContainerOptions, StopContainerOptions, WaitContainerOptions,
};
use futures_util::StreamExt;
use poco::units::Timestamp;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::profile::{all_gpus, host_config};
use super::sandbox::Place;
pub use super::spool::Streams;
use super::{DockerError, Engine, Limits, Profile, disk};

/// The label that says which task a container works for.
pub const TASK_LABEL: &str = "workerpool.task";

/// What to run, and within which bounds.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// The container's name, unique on this engine.
    pub name: String,
    /// The task's id, kept as a label.
    pub task: String,
    /// The image's reference, as it stands on chain.
    pub image: String,
    /// Arguments; none leaves the image's own command.
    pub arguments: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// The host's folder behind `/iexec_in`.
    pub input: PathBuf,
    /// The host's folder behind `/iexec_out`.
    pub output: PathBuf,
    /// The host's folder for the two streams, outside what the application sees.
    pub streams: PathBuf,
    /// The network it is put on.
    pub place: Place,
    /// How tightly it is held.
    pub profile: Profile,
    /// What it may use.
    pub limits: Limits,
    /// It gets the machine's GPUs.
    pub gpu: bool,
    /// How long it may run.
    pub timeout: Duration,
}

/// How a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Exited(i64),
    /// Stopped at its time limit.
    TimedOut,
    /// Killed by the kernel at its memory limit.
    OutOfMemory,
    /// Stopped because its streams carried more than they may.
    TooMuchText,
    /// Stopped because its output, or its own layer, grew past the limit.
    TooMuchDisk,
    /// It could not be created or started: the image's command does not exist, for instance.
    NotStarted,
    /// It vanished while it ran: somebody removed it.
    Vanished,
}

/// What a run left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// How it ended.
    pub ended: Ended,
    /// The code to report: the application's own, or -1 where it has none (spec `worker.md` §6.5).
    pub exit_code: i64,
    /// How long it ran.
    pub elapsed: Duration,
    /// The text of its streams; `None` where there is none that is whole.
    pub streams: Option<Streams>,
    /// The engine's words where it could not be started.
    pub reason: Option<String>,
}

impl Finished {
    const fn without_a_trace(ended: Ended, reason: Option<String>) -> Self {
        Self {
            ended,
            exit_code: -1,
            elapsed: Duration::ZERO,
            streams: None,
            reason,
        }
    }

    fn not_started(reason: String) -> Self {
        Self::without_a_trace(Ended::NotStarted, Some(reason))
    }

    const fn vanished() -> Self {
        Self::without_a_trace(Ended::Vanished, None)
    }

    /// True when the application ended by itself with code 0.
    #[must_use]
    pub const fn succeeded(&self) -> bool {
        matches!(self.ended, Ended::Exited(0))
    }
}

impl Engine {
    /// Runs the container to its end, or takes over the one of this name and waits for its end.
    ///
    /// Dropping the returned future leaves the container as it is.
    ///
    /// # Errors
    /// The engine does not answer, or its files cannot be written. A later call takes the container over.
    pub async fn run(&self, request: &RunRequest) -> Result<Finished, DockerError> {
        let ran = match self.state_of(&request.name).await? {
            Some(state) if was_started(&state) && !was_cut_short(&state, booted()) => {
                tracing::info!(container = request.name, status = ?state.status, "taking over a container that is already there");
                self.ran_for(&state).await
            }
            other => {
                if other.is_some() {
                    self.remove(&request.name).await?;
                }
                // A run that was cut short, or whose container somebody removed, left files that this one would not have made.
                self.empty(&request.output, &request.image).await?;
                disk::note_given(request).await?;
                match self.launch(request).await {
                    Ok(()) => {}
                    Err(error @ (DockerError::NoAnswer { .. } | DockerError::Disk { .. })) => {
                        return Err(error);
                    }
                    // Its network went away under it: that is not the application's doing, and must not become its result.
                    Err(error) if is_about_the_network(&error) => {
                        self.remove(&request.name).await?;
                        return Err(error);
                    }
                    Err(error) => return Ok(Finished::not_started(error.to_string())),
                }
                Duration::ZERO
            }
        };
        let stopped = self.watch(request, ran).await?;
        self.conclude(request, stopped).await
    }

    async fn launch(&self, request: &RunRequest) -> Result<(), DockerError> {
        let options = CreateContainerOptions {
            name: Some(request.name.clone()),
            ..CreateContainerOptions::default()
        };
        let body = ContainerCreateBody {
            image: Some(request.image.clone()),
            cmd: (!request.arguments.is_empty()).then(|| request.arguments.clone()),
            env: Some(request.env.clone()),
            labels: Some([(TASK_LABEL.to_owned(), request.task.clone())].into()),
            host_config: Some(HostConfig {
                device_requests: request.gpu.then(all_gpus),
                ..host_config(
                    request.profile,
                    &request.limits,
                    &request.input,
                    &request.output,
                    &request.place,
                )
            }),
            ..ContainerCreateBody::default()
        };
        let created = self.docker.create_container(Some(options), body).await;
        created
            .map_err(|error| self.error(format!("create the container {}", request.name), error))?;
        let started = self
            .docker
            .start_container(&request.name, None::<StartContainerOptions>)
            .await;
        started.map_err(|error| self.error(format!("start the container {}", request.name), error))
    }

    /// How long a container has been running, by the engine's own clock: this machine's may be another one, or be set meanwhile.
    async fn ran_for(&self, state: &ContainerState) -> Duration {
        let told = self.docker.info().await.ok();
        let now = told
            .and_then(|info| instant(info.system_time.as_deref()?))
            .unwrap_or_else(now);
        started_at(state).map_or(Duration::ZERO, |started| now.since(started))
    }

    /// Waits until the container, which has run for `ran` already, ended; says why if it was this that stopped it.
    async fn watch(
        &self,
        request: &RunRequest,
        ran: Duration,
    ) -> Result<Option<Ended>, DockerError> {
        let exit = self.ended(&request.name);
        let text = self.text_passes(&request.name, request.limits.logs);
        let disk = self.disk_passes(request);
        tokio::pin!(exit, text, disk);
        let why = tokio::select! {
            () = &mut exit => return Ok(None),
            () = &mut text => Ended::TooMuchText,
            () = &mut disk => Ended::TooMuchDisk,
            () = tokio::time::sleep(request.timeout.saturating_sub(ran)) => Ended::TimedOut,
        };
        tracing::info!(container = request.name, ?why, "stopping a container");
        self.stop(&request.name).await?;
        exit.await;
        Ok(Some(why))
    }

    async fn conclude(
        &self,
        request: &RunRequest,
        stopped: Option<Ended>,
    ) -> Result<Finished, DockerError> {
        let Some(state) = self.state_of(&request.name).await? else {
            return Ok(Finished::vanished());
        };
        let elapsed = match (started_at(&state), finished_at(&state)) {
            (Some(started), Some(finished)) => finished.since(started),
            _ => Duration::ZERO,
        };
        let read = self.read_streams(&request.name, &request.streams, request.limits.logs);
        let streams = match read.await {
            // Somebody is removing it.
            Err(DockerError::Refused {
                status: Some(404 | 409),
                ..
            }) => return Ok(Finished::vanished()),
            read => read?,
        };
        let code = state.exit_code.unwrap_or(-1);
        let ended = stopped.unwrap_or_else(|| {
            if streams.is_none() {
                Ended::TooMuchText
            } else if state.oom_killed == Some(true) {
                Ended::OutOfMemory
            } else if elapsed >= request.timeout && code == 137 {
                // A worker that was killed after it had stopped the container finds it like this.
                Ended::TimedOut
            } else {
                Ended::Exited(code)
            }
        });
        let exit_code = match ended {
            Ended::Exited(code) => code,
            Ended::OutOfMemory => code,
            _ => -1,
        };
        Ok(Finished {
            ended,
            exit_code,
            elapsed,
            streams,
            reason: state.error.filter(|text| !text.is_empty()),
        })
    }

    /// Resolves when the container no longer runs. An engine that goes away for a while does not end it: the container lives on.
    pub(super) async fn ended(&self, name: &str) {
        let mut pause = Backoff::new();
        loop {
            let options = WaitContainerOptions {
                condition: "not-running".to_owned(),
            };
            let mut exits = std::pin::pin!(self.docker.wait_container(name, Some(options)));
            match exits.next().await {
                Some(Ok(_) | Err(Bollard::DockerContainerWaitError { .. })) => return,
                Some(Err(Bollard::DockerResponseServerError {
                    status_code: 404, ..
                })) => return,
                Some(Err(error)) => {
                    tracing::warn!(container = name, %error, "the wait for a container broke off; it is taken up again")
                }
                None => {}
            }
            pause.rest().await;
        }
    }

    async fn text_passes(&self, name: &str, cap: u64) {
        let mut pause = Backoff::new();
        loop {
            match self.streams_pass(name, cap).await {
                Ok(true) => return,
                Ok(false) => std::future::pending().await,
                Err(error) => {
                    tracing::debug!(container = name, %error, "the streams are followed again");
                    pause.rest().await;
                }
            }
        }
    }

    /// Stops the container at once; one that is not there, or already ended, is no error.
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn stop(&self, name: &str) -> Result<(), DockerError> {
        let options = StopContainerOptions {
            t: Some(0),
            ..StopContainerOptions::default()
        };
        match self.docker.stop_container(name, Some(options)).await {
            Ok(())
            | Err(Bollard::DockerResponseServerError {
                status_code: 304 | 404,
                ..
            }) => Ok(()),
            Err(error) => Err(self.error(format!("stop the container {name}"), error)),
        }
    }

    /// Removes the container with its anonymous volumes, running or not; one that is not there is no error (Q39).
    ///
    /// # Errors
    /// The engine does not answer, or cannot.
    pub async fn remove(&self, name: &str) -> Result<(), DockerError> {
        let options = RemoveContainerOptions {
            v: true,
            force: true,
            ..RemoveContainerOptions::default()
        };
        match self.docker.remove_container(name, Some(options)).await {
            // 409: its removal is already under way.
            Ok(())
            | Err(Bollard::DockerResponseServerError {
                status_code: 404 | 409,
                ..
            }) => Ok(()),
            Err(error) => Err(self.error(format!("remove the container {name}"), error)),
        }
    }

    /// The names of the containers that were made for tasks and begin with `prefix`, running or not.
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn task_containers(&self, prefix: &str) -> Result<Vec<String>, DockerError> {
        let filters = [("label".to_owned(), vec![TASK_LABEL.to_owned()])];
        let options = ListContainersOptions {
            all: true,
            filters: Some(filters.into()),
            ..ListContainersOptions::default()
        };
        let found = self.docker.list_containers(Some(options)).await;
        let found = found.map_err(|error| self.error("list its containers", error))?;
        let names = found
            .into_iter()
            .filter_map(|container| container.names)
            .flatten();
        let names = names.map(|name| name.trim_start_matches('/').to_owned());
        Ok(names.filter(|name| name.starts_with(prefix)).collect())
    }

    /// The state of the container of exactly this name (Q40), `None` when there is none.
    async fn state_of(&self, name: &str) -> Result<Option<ContainerState>, DockerError> {
        match self
            .docker
            .inspect_container(name, None::<InspectContainerOptions>)
            .await
        {
            Ok(found)
                if found
                    .name
                    .as_deref()
                    .map(|found| found.trim_start_matches('/'))
                    == Some(name) =>
            {
                Ok(Some(found.state.unwrap_or_default()))
            }
            Ok(_) => Ok(None),
            Err(Bollard::DockerResponseServerError {
                status_code: 404, ..
            }) => Ok(None),
            Err(error) => Err(self.error(format!("look up the container {name}"), error)),
        }
    }
}

fn is_about_the_network(error: &DockerError) -> bool {
    let DockerError::Refused { reason, .. } = error else {
        return false;
    };
    let reason = reason.to_lowercase();
    let is_gone = |what: &str| reason.contains(what);
    (is_gone("network") && is_gone("not found"))
        || is_gone("cannot join network")
        || is_gone("no such container")
}

fn was_started(state: &ContainerState) -> bool {
    use ContainerStateStatusEnum::{EXITED, PAUSED, RESTARTING, RUNNING};
    matches!(state.status, Some(RUNNING | EXITED | PAUSED | RESTARTING))
        && started_at(state).is_some()
}

/// Whether the machine went down under the container: the engine then gives it an end that is not the application's.
fn was_cut_short(state: &ContainerState, booted: Option<Timestamp>) -> bool {
    let is_before = |time: Option<Timestamp>| time.is_some_and(|time| Some(time) < booted);
    state.status == Some(ContainerStateStatusEnum::EXITED)
        && is_before(started_at(state))
        && !is_before(finished_at(state))
}

/// When this machine was started.
fn booted() -> Option<Timestamp> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    let seconds = text.lines().find_map(|line| line.strip_prefix("btime "))?;
    seconds.trim().parse().ok().map(Timestamp::from_secs)
}

fn started_at(state: &ContainerState) -> Option<Timestamp> {
    state.started_at.as_deref().and_then(instant)
}

fn finished_at(state: &ContainerState) -> Option<Timestamp> {
    state.finished_at.as_deref().and_then(instant)
}

/// The engine's times; the year 1 stands for never.
fn instant(text: &str) -> Option<Timestamp> {
    let nanos = OffsetDateTime::parse(text, &Rfc3339)
        .ok()?
        .unix_timestamp_nanos();
    u64::try_from(nanos / 1_000_000)
        .ok()
        .filter(|&millis| millis > 0)
        .map(Timestamp)
}

fn now() -> Timestamp {
    crate::clock::now()
}

/// Pauses that grow from 100 ms to 10 s.
struct Backoff(Duration);

impl Backoff {
    const fn new() -> Self {
        Self(Duration::from_millis(100))
    }

    async fn rest(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(Duration::from_secs(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_times_are_read_and_its_never_is_none() {
        assert_eq!(
            instant("2023-11-14T22:13:20.123456789Z"),
            Some(Timestamp(1_700_000_000_123))
        );
        assert_eq!(instant("0001-01-01T00:00:00Z"), None);
        assert_eq!(instant("soon"), None);
    }

    #[test]
    fn a_run_under_which_the_machine_went_down_is_not_taken_for_one_that_ended() {
        let state = |finished: &str| ContainerState {
            status: Some(ContainerStateStatusEnum::EXITED),
            started_at: Some("2023-11-14T22:00:00Z".to_owned()),
            finished_at: Some(finished.to_owned()),
            ..ContainerState::default()
        };
        let booted = instant("2023-11-14T23:00:00Z");
        assert!(was_cut_short(&state("2023-11-14T23:00:09Z"), booted));
        assert!(!was_cut_short(&state("2023-11-14T22:59:00Z"), booted));
        assert!(!was_cut_short(&state("2023-11-14T23:00:09Z"), None));
        assert!(super::booted().is_some_and(|booted| booted < now()));
    }

    #[test]
    fn a_container_that_was_only_created_is_not_taken_over() {
        let state = ContainerState {
            status: Some(ContainerStateStatusEnum::CREATED),
            ..ContainerState::default()
        };
        assert!(!was_started(&state));
        let started_at = Some("2023-11-14T22:13:20Z".to_owned());
        let state = ContainerState {
            status: Some(ContainerStateStatusEnum::EXITED),
            started_at,
            ..ContainerState::default()
        };
        assert!(was_started(&state));
    }
}
