//! A disk of a few megabytes that a test can fill and empty again: a tmpfs, mounted for as long as the value lives. Needs root or sudo.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// The disk. Unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    folder: PathBuf,
    _parent: tempfile::TempDir,
}

impl SmallDisk {
    /// Mounts a disk of so many MiB.
    pub fn mount(mebibytes: u32) -> anyhow::Result<Self> {
        let parent = tempfile::Builder::new()
            .prefix("workerpool-disk-")
            .tempdir()?;
        let folder = parent.path().join("disk");
        std::fs::create_dir(&folder)?;
        let size = format!("size={mebibytes}m,mode=0777");
        privileged(&["mount", "-t", "tmpfs", "-o", &size, "tmpfs"], &folder)?;
        Ok(Self {
            folder,
            _parent: parent,
        })
    }

    /// Where it is mounted.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Leaves no byte free.
    pub fn fill(&self) -> anyhow::Result<()> {
        let mut file = std::fs::File::create(self.ballast())?;
        for block in [1 << 16, 1 << 12, 1] {
            let zeros = vec![0_u8; block];
            // It ends with "no space left", which is what is wanted.
            while file.write_all(&zeros).is_ok() {}
        }
        Ok(())
    }

    /// Takes away what [`SmallDisk::fill`] put there.
    pub fn free(&self) -> anyhow::Result<()> {
        Ok(std::fs::remove_file(self.ballast())?)
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: who is being killed may still have a file open.
        if let Err(error) = privileged(&["umount", "--lazy"], &self.folder) {
            eprintln!("{} stays mounted: {error:#}", self.folder.display());
        }
    }
}

fn privileged(command: &[&str], folder: &Path) -> anyhow::Result<()> {
    let id = Command::new("id").arg("-u").output()?;
    let words: Vec<&str> = match id.stdout.trim_ascii() {
        b"0" => command.to_vec(),
        _ => [&["sudo"], command].concat(),
    };
    let (program, args) = words.split_first().context("an empty command")?;
    let output = Command::new(program).args(args).arg(folder).output()?;
    ensure!(
        output.status.success(),
        "{} failed: {}",
        words.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
