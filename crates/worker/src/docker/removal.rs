//! Removing a task's folder, also where an application that ran as root left files that this worker may not touch. Then a helper
//! container, made from the task's own image with the task's folder as its only mount, opens the permissions; where the image has no
//! shell the folder is put aside under another name and the log says so. It never touches anything beside the folder it is given.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig, ResourcesUlimits};
use bollard::query_parameters::CreateContainerOptions;

use super::{DockerError, Engine};

/// Levels of folders that the system library may be left to remove by itself.
const DEEPEST: u32 = 32;

/// What became of a folder that was to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// It is gone.
    Gone,
    /// It could not be removed and lies here now.
    PutAside(PathBuf),
}

impl Engine {
    /// Removes `folder` and all in it.
    ///
    /// # Errors
    /// It could neither be removed nor put aside.
    pub async fn remove_folder(
        &self,
        folder: &Path,
        image: Option<&str>,
    ) -> Result<Removed, DockerError> {
        let disk = |action, source| DockerError::Disk {
            action,
            path: folder.to_path_buf(),
            source,
        };
        match remove_all(folder).await {
            Ok(()) => return Ok(Removed::Gone),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) => return Err(disk("remove", error)),
        }
        if let Some(image) = image {
            if let Err(error) = self.open_permissions(folder, image).await {
                tracing::debug!(folder = %folder.display(), %error, "the helper container could not open the permissions");
            }
            if remove_all(folder).await.is_ok() {
                return Ok(Removed::Gone);
            }
        }
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let aside = folder.with_file_name(format!(".left-{name}"));
        tokio::fs::rename(folder, &aside)
            .await
            .map_err(|source| disk("put aside", source))?;
        tracing::warn!(
            folder = %aside.display(),
            "an application left files that this user may not remove; remove the folder as root, or run the worker as root"
        );
        Ok(Removed::PutAside(aside))
    }

    /// Leaves `folder` empty and open to whatever user an image runs as.
    ///
    /// # Errors
    /// What was in it can neither be removed nor put aside.
    pub(crate) async fn empty(&self, folder: &Path, image: &str) -> Result<(), DockerError> {
        use std::os::unix::fs::PermissionsExt;
        let disk = |action, source| DockerError::Disk {
            action,
            path: folder.to_path_buf(),
            source,
        };
        self.remove_folder(folder, Some(image)).await?;
        tokio::fs::create_dir_all(folder)
            .await
            .map_err(|source| disk("make", source))?;
        let open = std::fs::Permissions::from_mode(0o777);
        tokio::fs::set_permissions(folder, open)
            .await
            .map_err(|source| disk("open", source))
    }

    /// Makes what an application left readable for this worker, where it does not run as root itself. Contents stay as they are, so the
    /// result's digest does too.
    pub(crate) async fn open_to_us(&self, folder: &Path, image: &str) {
        use std::os::unix::fs::MetadataExt;
        let is_root = std::fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0);
        if !is_root && let Err(error) = self.open_permissions(folder, image).await {
            tracing::warn!(folder = %folder.display(), %error, "files that the application made unreadable for others cannot be read");
        }
    }

    /// Runs `chmod` as root in the task's image, with nothing but the folder mounted and no network.
    async fn open_permissions(&self, folder: &Path, image: &str) -> Result<(), DockerError> {
        let name = format!(
            "workerpool-sweep-{}",
            folder.file_name().unwrap_or_default().to_string_lossy()
        );
        self.remove(&name).await?;
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            user: Some("0".to_owned()),
            entrypoint: Some(
                ["/bin/sh", "-c", "chmod -R a+rwX /sweep"]
                    .map(str::to_owned)
                    .to_vec(),
            ),
            cmd: Some(Vec::new()),
            host_config: Some(HostConfig {
                binds: Some(vec![format!("{}:/sweep", folder.display())]),
                network_mode: Some("none".to_owned()),
                cap_drop: Some(vec!["ALL".to_owned()]),
                cap_add: Some(["DAC_OVERRIDE", "FOWNER"].map(str::to_owned).to_vec()),
                security_opt: Some(vec!["no-new-privileges".to_owned()]),
                pids_limit: Some(32),
                memory: Some(128 << 20),
                // The image is a stranger's, its shell too: it may change permissions here, and write not one byte.
                readonly_rootfs: Some(true),
                ulimits: Some(vec![ResourcesUlimits {
                    name: Some("fsize".to_owned()),
                    soft: Some(0),
                    hard: Some(0),
                }]),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptions {
            name: Some(name.clone()),
            ..CreateContainerOptions::default()
        };
        let created = self.docker.create_container(Some(options), body).await;
        created.map_err(|error| self.error(format!("create the container {name}"), error))?;
        let ran = tokio::time::timeout(Duration::from_secs(120), self.start_and_wait(&name)).await;
        self.remove(&name).await?;
        ran.unwrap_or(Ok(()))
    }

    async fn start_and_wait(&self, name: &str) -> Result<(), DockerError> {
        let started = self
            .docker
            .start_container(
                name,
                None::<bollard::query_parameters::StartContainerOptions>,
            )
            .await;
        started.map_err(|error| self.error(format!("start the container {name}"), error))?;
        self.ended(name).await;
        Ok(())
    }
}

async fn remove_all(folder: &Path) -> io::Result<()> {
    let folder = folder.to_path_buf();
    let removing = tokio::task::spawn_blocking(move || {
        flatten(&folder)?;
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    });
    removing.await.map_err(io::Error::other)?
}

/// Moves what lies deeper than [`DEEPEST`] up to the top. An application can nest folders past every path's length, and the system
/// library's removal recurses: some ten thousand levels overflow its stack, which would end the worker at every start anew.
fn flatten(root: &Path) -> io::Result<()> {
    let mut moved = 0u64;
    let mut open = vec![(root.to_path_buf(), 0)];
    while let Some((folder, depth)) = open.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                continue;
            }
            if depth < DEEPEST {
                open.push((entry.path(), depth + 1));
                continue;
            }
            let up = loop {
                moved += 1;
                let up = root.join(format!(".flat-{moved}"));
                if std::fs::symlink_metadata(&up).is_err() {
                    break up;
                }
            };
            std::fs::rename(entry.path(), &up)?;
            open.push((up, 1));
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Nests `hundreds` times 100 folders below `root`, past what any path can name: the deepest are made first, and moved down.
    pub(crate) fn nest(root: &Path, hundreds: usize) {
        let (top, below) = (root.join("a"), ["a"; 100].join("/"));
        for _ in 0..hundreds {
            let piece = root.join("piece");
            std::fs::create_dir_all(piece.join(&below)).unwrap();
            if top.exists() {
                std::fs::rename(&top, piece.join(&below).join("a")).unwrap();
            }
            std::fs::rename(piece, &top).unwrap();
        }
    }

    /// Removes what [`nest`] made: the temporary folder's own removal recurses.
    pub(crate) async fn remove(folder: tempfile::TempDir) {
        remove_all(&folder.keep()).await.unwrap();
    }

    #[tokio::test]
    async fn folders_nested_past_every_path_are_removed_without_recursion() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("task");
        std::fs::create_dir(&folder).unwrap();
        nest(&folder, 400);
        remove_all(&folder).await.unwrap();
        assert!(!folder.exists());
        remove_all(&folder).await.unwrap();
    }
}
