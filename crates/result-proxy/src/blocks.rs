//! The embedded block store: result archives on the disk, each in a file named by its CID.
//!
//! A file appears under its name only when it is whole and on the disk, and never changes afterwards. It knows nothing of
//! tasks: which archive belongs to which task is kept in the database, and written there after the file. A crash between
//! the two leaves a file that nobody refers to and that the next upload of the same bytes makes again.

use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempPath;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use crate::cid::{Cid, CidHasher};

/// The folder of archives, and the folder beside it where they arrive.
#[derive(Debug, Clone)]
pub(crate) struct Blocks {
    kept: PathBuf,
    arriving: PathBuf,
}

/// An archive on its way to the disk. Dropped, it leaves nothing behind.
pub(crate) struct Arriving {
    file: File,
    path: TempPath,
    cid: CidHasher,
    size: u64,
}

/// An archive that arrived whole and is not yet kept. Dropped, it leaves nothing behind.
pub(crate) struct Arrived {
    file: File,
    path: TempPath,
    /// What it will be found by.
    pub(crate) cid: Cid,
    /// Its bytes.
    pub(crate) size: u64,
}

impl Blocks {
    /// Opens the store in `folder`, and removes what was still arriving when the last process ended. Blocks.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let blocks = Self {
            kept: folder.join("blocks"),
            arriving: folder.join("arriving"),
        };
        std::fs::create_dir_all(&blocks.kept)?;
        match std::fs::remove_dir_all(&blocks.arriving) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => std::fs::create_dir_all(&blocks.arriving)?,
        }
        // The folders themselves must survive a crash, or files in them would not.
        std::fs::File::open(folder)?.sync_all()?;
        Ok(blocks)
    }

    /// Begins to take an archive.
    pub(crate) async fn arrive(&self) -> io::Result<Arriving> {
        let folder = self.arriving.clone();
        let temp = blocking(move || tempfile::NamedTempFile::new_in(folder)).await?;
        let (file, path) = temp.into_parts();
        Ok(Arriving {
            file: File::from_std(file),
            path,
            cid: CidHasher::new(),
            size: 0,
        })
    }

    /// Keeps an archive for good. When this returns, it survives a crash.
    pub(crate) async fn keep(&self, archive: Arrived) -> io::Result<()> {
        archive.file.sync_all().await?;
        let target = self.path(archive.cid);
        let folder = self.kept.clone();
        blocking(move || {
            archive
                .path
                .persist(target)
                .map_err(|failed| failed.error)?;
            std::fs::File::open(folder)?.sync_all()
        })
        .await
    }

    /// Opens an archive, with its size in bytes; `None` when there is none of that CID.
    pub(crate) async fn open_content(&self, cid: Cid) -> io::Result<Option<(File, u64)>> {
        match File::open(self.path(cid)).await {
            Ok(file) => {
                let size = file.metadata().await?.len();
                Ok(Some((file, size)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether an archive of that CID is there.
    pub(crate) async fn has(&self, cid: Cid) -> io::Result<bool> {
        tokio::fs::try_exists(self.path(cid)).await
    }

    fn path(&self, cid: Cid) -> PathBuf {
        self.kept.join(cid.to_string())
    }
}

impl Arriving {
    /// Takes the next bytes.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.cid.update(bytes);
        self.size += bytes.len() as u64;
        self.file.write_all(bytes).await
    }

    /// Ends the archive, which can be read from here on.
    pub(crate) async fn finish(mut self) -> io::Result<Arrived> {
        self.file.flush().await?;
        Ok(Arrived {
            file: self.file,
            path: self.path,
            cid: self.cid.finish(),
            size: self.size,
        })
    }
}

impl Arrived {
    /// Where it can be read until it is kept or dropped.
    pub(crate) fn path(&self) -> PathBuf {
        self.path.to_path_buf()
    }
}

/// Runs what blocks on the disk beside the threads that serve requests.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn arrived(blocks: &Blocks, bytes: &[u8]) -> Arrived {
        let mut arriving = blocks.arrive().await.unwrap();
        for piece in bytes.chunks(5) {
            arriving.write(piece).await.unwrap();
        }
        arriving.finish().await.unwrap()
    }

    fn count(folder: PathBuf) -> usize {
        std::fs::read_dir(folder).unwrap().count()
    }

    #[tokio::test]
    async fn an_archive_is_there_only_once_it_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let blocks = Blocks::open(folder.path()).unwrap();
        let archive = arrived(&blocks, b"hello world\n").await;
        let cid = archive.cid;
        assert_eq!(
            cid.to_string(),
            "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o"
        );
        assert_eq!(std::fs::read(archive.path()).unwrap(), b"hello world\n");
        assert!(!blocks.has(cid).await.unwrap());
        assert!(blocks.open_content(cid).await.unwrap().is_none());

        blocks.keep(archive).await.unwrap();
        assert!(blocks.has(cid).await.unwrap());
        assert_eq!(blocks.open_content(cid).await.unwrap().unwrap().1, 12);
        assert_eq!(count(folder.path().join("arriving")), 0);
    }

    #[tokio::test]
    async fn an_archive_that_is_not_kept_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let blocks = Blocks::open(folder.path()).unwrap();
        drop(arrived(&blocks, b"hello world\n").await);
        assert_eq!(count(folder.path().join("arriving")), 0);
        assert_eq!(count(folder.path().join("blocks")), 0);
    }

    #[tokio::test]
    async fn what_was_arriving_at_a_crash_is_removed_and_what_was_kept_stays() {
        let folder = tempfile::tempdir().unwrap();
        let blocks = Blocks::open(folder.path()).unwrap();
        let archive = arrived(&blocks, b"kept").await;
        let cid = archive.cid;
        blocks.keep(archive).await.unwrap();
        std::fs::write(folder.path().join("arriving/half"), b"half").unwrap();

        let blocks = Blocks::open(folder.path()).unwrap();
        assert_eq!(count(folder.path().join("arriving")), 0);
        assert!(blocks.has(cid).await.unwrap());
    }

    #[tokio::test]
    async fn the_same_bytes_again_are_the_same_archive() {
        let folder = tempfile::tempdir().unwrap();
        let blocks = Blocks::open(folder.path()).unwrap();
        for _ in 0..2 {
            let archive = arrived(&blocks, b"same").await;
            blocks.keep(archive).await.unwrap();
        }
        assert_eq!(count(folder.path().join("blocks")), 1);
    }
}
