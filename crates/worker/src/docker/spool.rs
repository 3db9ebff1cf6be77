//! Reading a container's two streams. While it runs they are only counted, so that one that writes without end is stopped; when it has
//! ended they are read whole into files beside the task's folders. A text that does not fit is never cut: it belongs to the result's
//! digest when the whole folder is hashed (spec `worker.md` S7), so such a run has no result at all.

use std::path::{Path, PathBuf};

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptions;
use futures_util::StreamExt;
use tokio::fs::File;
use tokio::io::{AsyncWriteExt, BufWriter};

use super::profile::engine_log_bytes;
use super::{DockerError, Engine};

/// Where the text of both streams lies after a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Streams {
    /// Standard output.
    pub stdout: PathBuf,
    /// Standard error.
    pub stderr: PathBuf,
}

impl Streams {
    /// The two files in `folder`.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            stdout: folder.join("stdout.log"),
            stderr: folder.join("stderr.log"),
        }
    }
}

/// What two streams have carried so far, against what they may.
#[derive(Debug)]
struct Count {
    text: u64,
    kept: u64,
    cap: u64,
}

impl Count {
    const fn new(cap: u64) -> Self {
        Self {
            text: 0,
            kept: 0,
            cap,
        }
    }

    /// Adds a piece; false when it was one too many.
    fn add(&mut self, piece: &[u8]) -> bool {
        let length = piece.len() as u64;
        self.text += length;
        // What the engine's own JSON copy takes at most: six bytes a byte, and a line around it. The engine keeps three files and
        // drops the oldest: once this passes two of them, what is read may no longer be the whole text.
        self.kept += 6 * length + 128;
        self.text <= self.cap && self.kept <= 2 * engine_log_bytes(self.cap)
    }
}

impl Engine {
    /// Returns true once the streams carried more than `cap` bytes, false when they ended before.
    pub(super) async fn streams_pass(
        &self,
        container: &str,
        cap: u64,
    ) -> Result<bool, DockerError> {
        let mut count = Count::new(cap);
        let mut pieces = std::pin::pin!(self.docker.logs(container, Some(options(true))));
        while let Some(piece) = pieces.next().await {
            let piece = piece
                .map_err(|error| self.error(format!("follow the logs of {container}"), error))?;
            if !count.add(piece.as_ref()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads both streams of a container that ended into `folder`; `None` when they carried more than `cap` bytes.
    pub(super) async fn read_streams(
        &self,
        container: &str,
        folder: &Path,
        cap: u64,
    ) -> Result<Option<Streams>, DockerError> {
        let streams = Streams::in_folder(folder);
        let mut stdout = create(&streams.stdout).await?;
        let mut stderr = create(&streams.stderr).await?;
        let mut count = Count::new(cap);
        let mut pieces = std::pin::pin!(self.docker.logs(container, Some(options(false))));
        while let Some(piece) = pieces.next().await {
            let piece = piece
                .map_err(|error| self.error(format!("read the logs of {container}"), error))?;
            if !count.add(piece.as_ref()) {
                return Ok(None);
            }
            let (file, path) = match piece {
                LogOutput::StdErr { .. } => (&mut stderr, &streams.stderr),
                _ => (&mut stdout, &streams.stdout),
            };
            file.write_all(piece.as_ref())
                .await
                .map_err(|source| disk("write", path, source))?;
        }
        stdout
            .flush()
            .await
            .map_err(|source| disk("write", &streams.stdout, source))?;
        stderr
            .flush()
            .await
            .map_err(|source| disk("write", &streams.stderr, source))?;
        Ok(Some(streams))
    }
}

async fn create(path: &Path) -> Result<BufWriter<File>, DockerError> {
    File::create(path)
        .await
        .map(BufWriter::new)
        .map_err(|source| disk("create", path, source))
}

fn disk(action: &'static str, path: &Path, source: std::io::Error) -> DockerError {
    DockerError::Disk {
        action,
        path: path.to_path_buf(),
        source,
    }
}

fn options(follow: bool) -> LogsOptions {
    LogsOptions {
        follow,
        stdout: true,
        stderr: true,
        tail: "all".to_owned(),
        ..LogsOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::Count;

    #[test]
    fn a_text_up_to_the_cap_passes_and_one_byte_more_does_not() {
        let mut count = Count::new(1000);
        assert!(count.add(&[b'a'; 600]));
        assert!(count.add(&[b'b'; 400]));
        assert!(!count.add(b"c"));
    }

    #[test]
    fn many_tiny_lines_are_stopped_before_the_engine_drops_the_oldest() {
        let cap = 1 << 20;
        let mut count = Count::new(cap);
        let lines = (0..cap).take_while(|_| count.add(b"\n")).count() as u64;
        assert!(
            lines * 80 < 3 * super::engine_log_bytes(cap),
            "{lines} lines fit into the engine's three files"
        );
        assert!(lines > 10_000);
    }
}
