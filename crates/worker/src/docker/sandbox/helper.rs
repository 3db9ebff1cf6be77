//! What runs beside applications where the worker has only the container engine: this very program, in an image made of its own file,
//! so that neither a registry nor anything else must be there. It holds a network namespace open, looks at what is around the host, or
//! puts the packet rules into a namespace. It never runs in an application's container, and an application never sees it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    CreateContainerOptions, CreateImageOptions, InspectContainerOptions, ListImagesOptions,
    LogsOptions, RemoveImageOptions, StartContainerOptions,
};
use futures_util::{StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_util::io::ReaderStream;

use super::nft;
use super::rules::Plan;
use super::surroundings::Surroundings;
use crate::clock;
use crate::docker::network::WORKER_LABEL;
use crate::docker::{DockerError, Engine};

/// The repository of the helper's images; the tag says which program they hold.
const REPOSITORY: &str = "workerpool-sandbox";
/// The table inside a namespace.
const TABLE: &str = "workerpool";
/// How long a helper may take for what takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// Images of the helper that are younger than this are left alone.
const RECENT: Duration = Duration::from_secs(3600);

/// The program that a helper container runs, and the words that make it the helper.
#[derive(Debug, Clone)]
pub struct Program {
    file: PathBuf,
    words: Vec<String>,
}

impl Program {
    /// This program, which becomes the helper by these words: it must hand the words behind them to [`main`].
    #[must_use]
    pub fn this(words: &[&str]) -> Self {
        Self {
            file: PathBuf::from("/proc/self/exe"),
            words: words.iter().map(|&word| word.to_owned()).collect(),
        }
    }
}

/// What the helper does, told by `words`; its exit code.
#[must_use]
pub fn main(words: &[String]) -> u8 {
    match words {
        [word] if word == "hold" => loop {
            std::thread::park();
        },
        [word] if word == "look" => match serde_json::to_string(&Surroundings::here()) {
            Ok(text) => {
                println!("{MARK}{text}");
                0
            }
            Err(error) => told(&error),
        },
        [word, plan] if word == "close" => match serde_json::from_str::<Plan>(plan) {
            Ok(plan) => match nft::replace(TABLE, &plan.inside()) {
                Ok(()) => {
                    println!("{MARK}closed");
                    0
                }
                Err(error) => told(&error),
            },
            Err(error) => told(&error),
        },
        _ => told(
            &"the words of a sandbox are `hold`, `look` and `close PLAN`: workers say them, nobody else",
        ),
    }
}

/// Before the line that is the helper's answer.
const MARK: &str = "workerpool-sandbox: ";

fn told(error: &dyn std::fmt::Display) -> u8 {
    eprintln!("{error}");
    1
}

/// An image of the helper that is on the engine.
#[derive(Debug, Clone)]
pub(super) struct Helper {
    image: String,
    command: Vec<String>,
}

/// One container of the helper.
pub(super) struct Task<'a> {
    /// The container's name.
    pub(super) name: &'a str,
    /// Whose it is.
    pub(super) worker: &'a str,
    /// What it does.
    pub(super) words: Vec<String>,
    /// Its network, as the engine's API says it.
    pub(super) network: &'a str,
    /// The DNS servers that its network is to use.
    pub(super) dns: Vec<String>,
    /// It may change its network.
    pub(super) may_change: bool,
}

impl Helper {
    /// The helper's image, made if it is not there.
    pub(super) async fn prepare(engine: &Engine, program: &Program) -> Result<Self, DockerError> {
        let disk = |source| DockerError::Disk {
            action: "read",
            path: program.file.clone(),
            source,
        };
        let file = program.file.clone();
        let (digest, libraries) =
            tokio::task::spawn_blocking(move || Ok((digest_of(&file)?, libraries()?)))
                .await
                .map_err(std::io::Error::other)
                .and_then(|found| found)
                .map_err(disk)?;
        let loader = libraries
            .iter()
            .find(|path| file_name(path).starts_with("ld-"))
            .map(|path| format!("/lib/{}", file_name(path)));
        let mut command = match loader {
            // Linked to libraries, which are in the image too.
            Some(loader) => vec![loader, "--library-path".to_owned(), "/lib".to_owned()],
            None => Vec::new(),
        };
        command.push("/program".to_owned());
        command.extend(program.words.clone());
        let helper = Self {
            image: format!("{REPOSITORY}:{digest}"),
            command,
        };
        if engine.docker.inspect_image(&helper.image).await.is_err() {
            helper
                .import(engine, &program.file, &digest, &libraries)
                .await?;
            helper.forget_older(engine).await;
        }
        Ok(helper)
    }

    async fn import(
        &self,
        engine: &Engine,
        program: &Path,
        digest: &str,
        libraries: &[PathBuf],
    ) -> Result<(), DockerError> {
        let archive = archive(program, libraries)
            .await
            .map_err(|source| DockerError::Disk {
                action: "read",
                path: program.to_path_buf(),
                source,
            })?;
        let options = CreateImageOptions {
            from_src: Some("-".to_owned()),
            repo: Some(REPOSITORY.to_owned()),
            tag: Some(digest.to_owned()),
            ..CreateImageOptions::default()
        };
        let body = bollard::body_try_stream(ReaderStream::with_capacity(archive, 1 << 16));
        let made = engine
            .docker
            .create_image(Some(options), Some(body), None)
            .try_for_each(|_| async { Ok(()) })
            .await;
        made.map_err(|error| engine.error(format!("make the image {}", self.image), error))?;
        tracing::info!(image = self.image, "the sandbox's own image is made");
        Ok(())
    }

    /// Images of earlier versions go, unless something still runs from them. One that was just made may be another worker's, which is
    /// about to run it.
    async fn forget_older(&self, engine: &Engine) {
        let filters = [("reference".to_owned(), vec![REPOSITORY.to_owned()])];
        let options = ListImagesOptions {
            filters: Some(filters.into()),
            ..ListImagesOptions::default()
        };
        let found = engine.docker.list_images(Some(options)).await;
        let recent = clock::now().0.saturating_sub(RECENT.as_millis() as u64) / 1000;
        let is_old = |created: i64| u64::try_from(created).is_ok_and(|created| created < recent);
        let old = found.unwrap_or_default().into_iter();
        let old = old.filter(|image| is_old(image.created));
        for tag in old.flat_map(|image| image.repo_tags) {
            if tag != self.image {
                let removed = engine
                    .docker
                    .remove_image(&tag, None::<RemoveImageOptions>, None)
                    .await;
                tracing::debug!(
                    image = tag,
                    gone = removed.is_ok(),
                    "an older image of the sandbox"
                );
            }
        }
    }

    /// Starts a container; its id.
    pub(super) async fn start(
        &self,
        engine: &Engine,
        task: &Task<'_>,
    ) -> Result<String, DockerError> {
        engine.remove(task.name).await?;
        let cap_add = task.may_change.then(|| vec!["NET_ADMIN".to_owned()]);
        let body = ContainerCreateBody {
            image: Some(self.image.clone()),
            entrypoint: Some(self.command.clone()),
            cmd: Some(task.words.clone()),
            user: Some("0".to_owned()),
            labels: Some([(WORKER_LABEL.to_owned(), task.worker.to_owned())].into()),
            host_config: Some(HostConfig {
                network_mode: Some(task.network.to_owned()),
                dns: (!task.dns.is_empty()).then(|| task.dns.clone()),
                cap_drop: Some(vec!["ALL".to_owned()]),
                cap_add,
                security_opt: Some(vec!["no-new-privileges".to_owned()]),
                readonly_rootfs: Some(true),
                pids_limit: Some(64),
                memory: Some(256 << 20),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptions {
            name: Some(task.name.to_owned()),
            ..CreateContainerOptions::default()
        };
        let created = engine.docker.create_container(Some(options), body).await;
        let created = created
            .map_err(|error| engine.error(format!("create the container {}", task.name), error))?;
        let started = engine
            .docker
            .start_container(&created.id, None::<StartContainerOptions>)
            .await;
        started
            .map_err(|error| engine.error(format!("start the container {}", task.name), error))?;
        Ok(created.id)
    }

    /// Runs a container to its end; the line that it answered.
    pub(super) async fn run(
        &self,
        engine: &Engine,
        task: &Task<'_>,
    ) -> Result<String, DockerError> {
        let ran = tokio::time::timeout(PATIENCE, self.run_to_end(engine, task)).await;
        engine.remove(task.name).await?;
        ran.unwrap_or_else(|_| {
            Err(refused(
                task,
                format!("it did not end within {} s", PATIENCE.as_secs()),
            ))
        })
    }

    async fn run_to_end(&self, engine: &Engine, task: &Task<'_>) -> Result<String, DockerError> {
        let id = self.start(engine, task).await?;
        engine.ended(&id).await;
        let state = engine
            .docker
            .inspect_container(&id, None::<InspectContainerOptions>)
            .await
            .map_err(|error| engine.error(format!("look at the container {}", task.name), error))?
            .state
            .unwrap_or_default();
        let options = LogsOptions {
            stdout: true,
            stderr: true,
            tail: "all".to_owned(),
            ..LogsOptions::default()
        };
        let mut text = String::new();
        let mut pieces = std::pin::pin!(engine.docker.logs(&id, Some(options)));
        while let Some(piece) = pieces.next().await {
            let piece = piece
                .map_err(|error| engine.error(format!("read the logs of {}", task.name), error))?;
            text.push_str(&String::from_utf8_lossy(piece.as_ref()));
        }
        let answer = text.lines().find_map(|line| Some(line.split_once(MARK)?.1));
        match answer {
            Some(answer) if state.exit_code == Some(0) => Ok(answer.to_owned()),
            _ => Err(refused(task, text.trim().to_owned())),
        }
    }
}

fn refused(task: &Task<'_>, reason: String) -> DockerError {
    DockerError::Refused {
        action: format!("run the container {}", task.name),
        reason,
        status: None,
    }
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// The beginning of the file's SHA-256.
fn digest_of(file: &Path) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    std::io::copy(&mut std::fs::File::open(file)?, &mut hash)?;
    let digest = poco::hex::encode(hash.finalize());
    Ok(digest.trim_start_matches("0x").chars().take(16).collect())
}

/// The libraries that this process is linked to, its loader among them; none for a static program.
fn libraries() -> std::io::Result<Vec<PathBuf>> {
    let mut found: Vec<_> = std::fs::read_to_string("/proc/self/maps")?
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5))
        .filter(|path| path.starts_with('/') && path.contains(".so"))
        .map(PathBuf::from)
        .collect();
    found.sort();
    found.dedup();
    Ok(found)
}

/// A tar with the program and its libraries, read while it is sent.
async fn archive(
    program: &Path,
    libraries: &[PathBuf],
) -> std::io::Result<Box<dyn AsyncRead + Send + Unpin>> {
    let mut whole: Box<dyn AsyncRead + Send + Unpin> = Box::new(std::io::Cursor::new(
        header("lib/", 0, 0o755, b'5').to_vec(),
    ));
    let libraries = libraries
        .iter()
        .map(|path| (path.as_path(), format!("lib/{}", file_name(path))));
    for (path, name) in libraries.chain([(program, "program".to_owned())]) {
        let file = File::open(path).await?;
        let size = file.metadata().await?.len();
        let gap = usize::try_from(size.next_multiple_of(512) - size).unwrap_or_default();
        let begin = std::io::Cursor::new(header(&name, size, 0o755, b'0').to_vec());
        let end = std::io::Cursor::new(vec![0; gap]);
        whole = Box::new(whole.chain(begin).chain(file.take(size)).chain(end));
    }
    Ok(Box::new(whole.chain(std::io::Cursor::new(vec![0; 1024]))))
}

/// A header of the ustar format; names are cut at 100 bytes.
fn header(name: &str, size: u64, mode: u32, kind: u8) -> [u8; 512] {
    let mut header = [0u8; 512];
    let mut put = |at: usize, text: &[u8]| {
        for (to, from) in header.iter_mut().skip(at).zip(text) {
            *to = *from;
        }
    };
    put(0, name.as_bytes().get(..100).unwrap_or(name.as_bytes()));
    put(100, format!("{mode:07o}\0").as_bytes());
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    let sum = format!("{sum:06o}\0 ");
    for (to, from) in header.iter_mut().skip(148).zip(sum.as_bytes()) {
        *to = *from;
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_nobody_knows_are_an_error() {
        let main = |words: &[&str]| {
            main(
                &words
                    .iter()
                    .map(|&word| word.to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(main(&[]), 1);
        assert_eq!(main(&["open"]), 1);
        assert_eq!(main(&["close", "not a plan"]), 1);
        assert_eq!(main(&["look"]), 0);
    }

    #[tokio::test]
    async fn the_archive_holds_the_program_and_ends_as_a_tar_must() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("p");
        std::fs::write(&program, "0123456789").unwrap();
        let mut bytes = Vec::new();
        archive(&program, &[])
            .await
            .unwrap()
            .read_to_end(&mut bytes)
            .await
            .unwrap();
        assert_eq!(bytes.len(), 512 + 512 + 512 + 1024);
        assert_eq!(&bytes[512..519], b"program");
        assert_eq!(&bytes[1024..1034], b"0123456789");
        let sum = |header: &[u8]| {
            let blank = |at: usize, byte: u8| if (148..156).contains(&at) { 32 } else { byte };
            header
                .iter()
                .enumerate()
                .map(|(at, &byte)| u32::from(blank(at, byte)))
                .sum::<u32>()
        };
        let written = std::str::from_utf8(&bytes[512 + 148..512 + 154]).unwrap();
        assert_eq!(
            u32::from_str_radix(written, 8).unwrap(),
            sum(&bytes[512..1024])
        );
    }
}
