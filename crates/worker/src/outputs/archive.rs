//! The archive that is uploaded (spec `worker.md` §7.2, §7.3): one entry a regular file, named from the output folder. The archive is
//! not hashed, so its bytes need not match other workers'; its content must.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::{OutputError, place, size};

/// The longest file name that a result may have, in UTF-16 units (Q50).
const LONGEST_NAME: usize = 31;

/// Refuses names that the network's tools do not take.
///
/// # Errors
/// [`OutputError::LongName`] names the first that is too long.
pub fn check_names(iexec_out: &Path) -> Result<(), OutputError> {
    for path in files(iexec_out)? {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let length = name.encode_utf16().count();
        if length > LONGEST_NAME {
            return Err(OutputError::LongName { name, length });
        }
    }
    Ok(())
}

/// Packs `iexec_out` into `archive`, in place of an older one. Links become empty entries; what is neither a file nor a link is left out.
///
/// # Errors
/// The folder holds more than `limit` bytes, or cannot be read, or the archive cannot be written.
pub fn pack(iexec_out: &Path, archive: &Path, limit: u64) -> Result<(), OutputError> {
    if size::content(iexec_out) > limit {
        return Err(OutputError::TooLarge { limit });
    }
    let failed = |error: std::io::Error| OutputError::disk("write", archive, error);
    let mut zip = ZipWriter::new(BufWriter::new(File::create(archive).map_err(failed)?));
    for path in files(iexec_out)? {
        add(&mut zip, iexec_out, &path).map_err(|error| OutputError::disk("pack", &path, error))?;
    }
    let mut file = zip.finish().map_err(|error| failed(error.into()))?;
    file.flush().map_err(failed)
}

fn add(zip: &mut ZipWriter<BufWriter<File>>, iexec_out: &Path, path: &Path) -> std::io::Result<()> {
    let kind = std::fs::symlink_metadata(path)?.file_type();
    if !kind.is_file() && !kind.is_symlink() {
        return Ok(());
    }
    let name = path
        .strip_prefix(iexec_out)
        .unwrap_or(path)
        .to_string_lossy()
        .into_owned();
    zip.start_file(name, SimpleFileOptions::default().large_file(true))?;
    if kind.is_file() {
        std::io::copy(&mut place::open_regular(path)?, zip)?;
    }
    Ok(())
}

/// Everything below `folder` that is not a folder, sorted; links are not followed.
fn files(folder: &Path) -> Result<Vec<std::path::PathBuf>, OutputError> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        let failed = |error: std::io::Error| OutputError::disk("read", &folder, error);
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_type().map_err(failed)?.is_dir() {
                open.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn entries(archive: &Path) -> Vec<(String, String)> {
        let mut zip = zip::ZipArchive::new(File::open(archive).unwrap()).unwrap();
        (0..zip.len())
            .map(|at| {
                let mut entry = zip.by_index(at).unwrap();
                let mut text = String::new();
                entry.read_to_string(&mut text).unwrap();
                (entry.name().unwrap().into_owned(), text)
            })
            .collect()
    }

    #[test]
    fn files_are_packed_by_their_path_in_the_folder_and_links_are_empty() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("iexec_out");
        std::fs::create_dir_all(out.join("sub")).unwrap();
        std::fs::create_dir_all(out.join("nothing")).unwrap();
        std::fs::write(out.join("sub/b.txt"), "b").unwrap();
        std::fs::write(out.join("a.txt"), "a").unwrap();
        std::fs::write(folder.path().join("secret"), "secret").unwrap();
        std::os::unix::fs::symlink(folder.path().join("secret"), out.join("link")).unwrap();
        assert!(
            std::process::Command::new("mkfifo")
                .arg(out.join("pipe"))
                .status()
                .unwrap()
                .success()
        );
        let archive = folder.path().join("iexec_out.zip");
        pack(&out, &archive, 1 << 20).unwrap();
        let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        assert_eq!(
            entries(&archive),
            [pair("a.txt", "a"), pair("link", ""), pair("sub/b.txt", "b")]
        );
    }

    #[test]
    fn a_result_past_the_limit_is_refused_before_it_is_packed() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("iexec_out");
        std::fs::create_dir(&out).unwrap();
        File::create(out.join("sparse"))
            .unwrap()
            .set_len(1 << 40)
            .unwrap();
        let archive = folder.path().join("iexec_out.zip");
        assert!(matches!(
            pack(&out, &archive, 1 << 20),
            Err(OutputError::TooLarge { limit: 1_048_576 })
        ));
        assert!(!archive.exists());
    }

    #[test]
    fn a_name_of_32_characters_is_too_long_wherever_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path();
        std::fs::create_dir_all(out.join("a-folder-with-a-name-that-is-longer-than-that")).unwrap();
        std::fs::write(out.join("a".repeat(31)), "").unwrap();
        // 16 characters outside the basic plane are 32 units.
        assert!(check_names(out).is_ok());
        std::fs::write(
            out.join("a-folder-with-a-name-that-is-longer-than-that")
                .join("😀".repeat(16)),
            "",
        )
        .unwrap();
        assert!(matches!(
            check_names(out),
            Err(OutputError::LongName { length: 32, .. })
        ));
    }
}
