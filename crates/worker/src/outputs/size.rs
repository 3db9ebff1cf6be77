//! What a folder takes on the disk, counted without following links.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What an entry counts at least: empty files and folders use up the file system too, though they hold nothing.
const LEAST: u64 = 4096;

/// Bytes that the files below `folder` occupy, sparse files by what they really take. Folders nested deeper than a path can name count as
/// more than any limit: nobody could look into them.
#[must_use]
pub fn taken(folder: &Path) -> u64 {
    sum(folder, |metadata| {
        metadata.blocks().saturating_mul(512).max(LEAST)
    })
}

/// Bytes that the regular files below `folder` hold when read.
#[must_use]
pub fn content(folder: &Path) -> u64 {
    sum(folder, |metadata| {
        if metadata.is_file() {
            metadata.len()
        } else {
            0
        }
    })
}

fn sum(folder: &Path, measure: impl Fn(&std::fs::Metadata) -> u64) -> u64 {
    let mut total = 0u64;
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::InvalidFilename => return u64::MAX,
            // It is gone again, or this user may not look into it.
            Err(_) => continue,
        };
        for entry in entries.flatten() {
            // Of the link itself, not of what it points to.
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            total = total.saturating_add(measure(&metadata));
            if metadata.is_dir() {
                open.push(entry.path());
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparse_file_counts_little_on_the_disk_and_much_as_content() {
        let folder = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(folder.path().join("sparse")).unwrap();
        file.set_len(1 << 30).unwrap();
        assert!(taken(folder.path()) < 1 << 20);
        assert_eq!(content(folder.path()), 1 << 30);
    }

    #[test]
    fn empty_files_count_as_what_they_use_up() {
        let folder = tempfile::tempdir().unwrap();
        for name in 0..10 {
            std::fs::write(folder.path().join(name.to_string()), "").unwrap();
        }
        assert_eq!(taken(folder.path()), 10 * LEAST);
    }

    #[tokio::test]
    async fn folders_nested_past_every_path_count_as_more_than_any_limit() {
        let folder = tempfile::tempdir().unwrap();
        crate::docker::removal::tests::nest(folder.path(), 25);
        assert_eq!(taken(folder.path()), u64::MAX);
        crate::docker::removal::tests::remove(folder).await;
    }

    #[test]
    fn a_link_out_of_the_folder_is_not_followed() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(other.path().join("big"), vec![1u8; 100_000]).unwrap();
        std::os::unix::fs::symlink(other.path(), folder.path().join("link")).unwrap();
        assert!(taken(folder.path()) < 50_000);
        assert_eq!(content(folder.path()), 0);
    }
}
