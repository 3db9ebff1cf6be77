//! Watching what a running application takes of the disk, where the file system has no quota to hold it: its output and input folders,
//! its container's own layer, and the volumes that its image declares. It says when one of them passes the limit; it stops nothing.

use std::path::PathBuf;
use std::time::Duration;

use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::InspectContainerOptions;

use super::run::RunRequest;
use super::{DockerError, Engine};
use crate::outputs::size;

/// How often it is looked.
const BEAT: Duration = Duration::from_secs(1);

impl Engine {
    /// Returns once the container of `request` takes more of the disk than it may.
    pub(super) async fn disk_passes(&self, request: &RunRequest) {
        let limit = request.limits.disk;
        let given = given(request).await;
        loop {
            tokio::time::sleep(BEAT).await;
            let options = InspectContainerOptions { size: true };
            let found = self
                .docker
                .inspect_container(&request.name, Some(options))
                .await;
            let found = found.unwrap_or_default();
            let layer = u64::try_from(found.size_rw.unwrap_or(0)).unwrap_or(0);
            let parts = [
                ("output", taken(vec![request.output.clone()]).await),
                (
                    "input",
                    taken(vec![request.input.clone()])
                        .await
                        .saturating_sub(given),
                ),
                ("layer", layer),
                ("volumes", taken(volumes(found)).await),
            ];
            if let Some((part, bytes)) = parts.into_iter().find(|(_, bytes)| *bytes > limit) {
                tracing::warn!(
                    container = request.name,
                    part,
                    bytes,
                    limit_bytes = limit,
                    "a container fills the disk"
                );
                return;
            }
        }
    }
}

/// Notes what the input folder takes before the application runs: what was downloaded for it is not its doing.
pub(super) async fn note_given(request: &RunRequest) -> Result<(), DockerError> {
    let bytes = taken(vec![request.input.clone()]).await;
    let path = note(request);
    let written = tokio::fs::write(&path, bytes.to_string()).await;
    written.map_err(|source| DockerError::Disk {
        action: "write",
        path,
        source,
    })
}

/// What was noted, also in an earlier life of this process.
async fn given(request: &RunRequest) -> u64 {
    let noted = tokio::fs::read_to_string(note(request)).await;
    match noted.ok().and_then(|text| text.trim().parse().ok()) {
        Some(bytes) => bytes,
        None => taken(vec![request.input.clone()]).await,
    }
}

fn note(request: &RunRequest) -> PathBuf {
    request.streams.join("input.bytes")
}

/// The host's folders of the container's anonymous volumes; where this user may not look into them they count as nothing.
fn volumes(container: ContainerInspectResponse) -> Vec<PathBuf> {
    let mounts = container.mounts.unwrap_or_default().into_iter();
    mounts
        .filter(|mount| mount.typ.as_deref() == Some("volume"))
        .filter_map(|mount| mount.source.map(PathBuf::from))
        .collect()
}

async fn taken(folders: Vec<PathBuf>) -> u64 {
    let count = move || {
        folders
            .iter()
            .fold(0u64, |sum, folder| sum.saturating_add(size::taken(folder)))
    };
    tokio::task::spawn_blocking(count).await.unwrap_or(0)
}
