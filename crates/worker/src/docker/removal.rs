//! Removing a task's folder, also where an application that ran as root left files that this worker may not touch. Then a helper
//! container, made from the task's own image with the task's folder as its only mount, opens the permissions; where the image has no
//! shell the folder is put aside under another name and the log says so. It never touches anything beside the folder it is given.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::CreateContainerOptions;

use super::{DockerError, Engine};

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
    match tokio::fs::remove_dir_all(folder).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
