//! Whether the disk under a folder has room: the component `diskSpace` of a service's health (spec scheduler-api §4.4).

use std::path::{Path, PathBuf};

use crate::health::{Condition, Indicator, Status};

/// Free bytes below which a disk is as good as full, as in the original.
pub const THRESHOLD: u64 = 10 << 20;

/// The disk under a folder. Asked when somebody looks: the answer comes from the kernel, not from the disk.
#[derive(Debug, Clone)]
pub struct DiskSpace {
    folder: PathBuf,
    threshold: u64,
}

impl DiskSpace {
    /// Down with less than [`THRESHOLD`] bytes free.
    pub fn under(folder: impl Into<PathBuf>) -> Self {
        Self::with_threshold(folder, THRESHOLD)
    }

    /// Down with less than `threshold` bytes free.
    pub fn with_threshold(folder: impl Into<PathBuf>, threshold: u64) -> Self {
        Self {
            folder: folder.into(),
            threshold,
        }
    }
}

impl Indicator for DiskSpace {
    fn condition(&self) -> Condition {
        let room = match room(&self.folder) {
            Ok(room) => room,
            Err(error) => {
                return Condition::down(error)
                    .with("path", self.folder.display().to_string())
                    .with("exists", self.folder.exists());
            }
        };
        let status = if room.free < self.threshold {
            Status::Down
        } else {
            Status::Up
        };
        Condition::new(status)
            .with("total", room.total)
            .with("free", room.free)
            .with("threshold", self.threshold)
            .with("path", self.folder.display().to_string())
            .with("exists", true)
    }
}

/// Bytes of a file system.
struct Room {
    total: u64,
    /// What this user may still write.
    free: u64,
}

fn room(folder: &Path) -> std::io::Result<Room> {
    let found = rustix::fs::statvfs(folder)?;
    Ok(Room {
        total: found.f_blocks.saturating_mul(found.f_frsize),
        free: found.f_bavail.saturating_mul(found.f_frsize),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_with_room_is_up_and_says_how_much() {
        let folder = tempfile::tempdir().unwrap();
        let condition = DiskSpace::with_threshold(folder.path(), 1).condition();
        assert_eq!(condition.status, Status::Up);
        let names: Vec<_> = condition.details.keys().map(String::as_str).collect();
        let mut expected = ["total", "free", "threshold", "path", "exists"];
        expected.sort_unstable();
        let mut found = names.clone();
        found.sort_unstable();
        assert_eq!(found, expected);
        assert!(condition.details["free"].as_u64() <= condition.details["total"].as_u64());
    }

    #[test]
    fn a_disk_without_room_is_down() {
        let folder = tempfile::tempdir().unwrap();
        let full = DiskSpace::with_threshold(folder.path(), u64::MAX);
        assert_eq!(full.condition().status, Status::Down);
    }

    #[test]
    fn a_folder_that_is_gone_is_down() {
        let folder = tempfile::tempdir().unwrap();
        let gone = DiskSpace::under(folder.path().join("gone")).condition();
        assert_eq!(gone.status, Status::Down);
        assert_eq!(gone.details["exists"], false);
    }
}
