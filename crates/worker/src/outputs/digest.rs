//! The result's digest for standard tasks (spec `worker.md` §7.4): what the worker contributes, and what every other worker must get to
//! the bit. Files are hashed as a stream. A place outside the folder, or something that is not a file, counts as if it were not there.

use std::io::Read;
use std::path::Path;

use alloy_primitives::B256;
use sha2::{Digest, Sha256};

use super::computed::ComputedFile;
use super::{OutputError, place};

/// The digest that `computed` announces for what lies in `iexec_out`.
///
/// # Errors
/// [`OutputError::NoDigest`] says what is missing.
pub fn of(computed: &ComputedFile, iexec_out: &Path, callback: bool) -> Result<B256, OutputError> {
    if let Some(own) = computed
        .result_digest
        .as_deref()
        .filter(|text| !text.is_empty())
    {
        // Q43: kept, since other workers do the same; the result proxy compares it with the archive.
        tracing::warn!(
            digest = own,
            "the application made its own result digest; it is used as it is"
        );
        return own.parse().map_err(|_| {
            none(format!(
                "the application's result-digest {own:?} is not 32 bytes of hexadecimal text"
            ))
        });
    }
    if callback {
        // Q45: no key is no digest.
        let data = computed
            .callback_data
            .as_deref()
            .filter(|data| !data.is_empty());
        let bytes = data.map(poco::digest::callback_bytes);
        return bytes
            .map(|bytes| poco::digest::callback(&bytes))
            .ok_or_else(|| {
                none("the deal has a callback, and computed.json has no callback-data".to_owned())
            });
    }
    let declared = computed
        .deterministic_output_path
        .as_deref()
        .unwrap_or_default();
    if declared.is_empty() {
        return Err(none(
            "computed.json has no deterministic-output-path".to_owned(),
        ));
    }
    let place = place::resolve(iexec_out, declared).ok_or_else(|| {
        none(format!(
            "deterministic-output-path {declared} is missing, or lies outside the output folder"
        ))
    })?;
    let disk = |error: std::io::Error| OutputError::disk("read", &place, error);
    if place.is_dir() {
        folder(iexec_out, &place).map_err(disk)
    } else {
        file(&place).map_err(|error| {
            none(format!(
                "deterministic-output-path {declared} cannot be hashed: {error}"
            ))
        })
    }
}

fn none(reason: String) -> OutputError {
    OutputError::NoDigest { reason }
}

/// SHA-256 of a regular file's content.
fn file(path: &Path) -> std::io::Result<B256> {
    let mut file = place::open_regular(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0u8; 64 * 1024];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(B256::from_slice(&hash.finalize()));
        }
        hash.update(buffer.get(..count).unwrap_or_default());
    }
}

/// Keccak over the hashes of the direct children; what is not a readable file of this result adds nothing.
fn folder(iexec_out: &Path, path: &Path) -> std::io::Result<B256> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let hash = match place::inside(iexec_out, &entry.path()).map(|real| file(&real)) {
            // Other workers may read what this user may not: a digest without it would be a wrong one.
            Some(Err(error)) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                return Err(error);
            }
            hashed => hashed.and_then(Result::ok),
        };
        children.push((entry.file_name().to_string_lossy().into_owned(), hash));
    }
    Ok(poco::digest::folder(children))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;

    struct Out {
        folder: tempfile::TempDir,
    }

    impl Out {
        fn new(files: &[(&str, &str)]) -> Self {
            let out = Self {
                folder: tempfile::tempdir().unwrap(),
            };
            std::fs::create_dir(out.path()).unwrap();
            for (name, text) in files {
                let path = out.path().join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            out
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("iexec_out")
        }

        fn digest(&self, declared: &str) -> Result<String, OutputError> {
            let computed = ComputedFile {
                deterministic_output_path: Some(declared.to_owned()),
                ..ComputedFile::default()
            };
            of(&computed, &self.path(), false).map(|digest| digest.to_string())
        }
    }

    #[test]
    fn a_file_has_the_digest_of_its_content() {
        let out = Out::new(&[("empty", ""), ("a.txt", "a")]);
        let empty = "0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(out.digest("/iexec_out/empty").unwrap(), empty);
        assert_eq!(
            out.digest("/iexec_out/./a.txt").unwrap(),
            poco::hex::encode(Sha256::digest("a"))
        );
    }

    #[test]
    fn a_folder_hashes_its_direct_children_in_order_and_a_folder_in_it_adds_nothing() {
        let out = Out::new(&[("r/a.txt", "a"), ("r/B.txt", "b"), ("r/sub/deep", "x")]);
        std::fs::remove_file(out.path().join("r/sub/deep")).unwrap();
        assert_eq!(
            out.digest("/iexec_out/r").unwrap(),
            "0x0f37367a629552a9b68f64ce688d1eb0a4820ad50ac4baed79496c8fb93fa1b7"
        );
        let empty = Out::new(&[]);
        assert_eq!(
            empty.digest("/iexec_out").unwrap(),
            "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
        );
    }

    #[test]
    fn a_path_or_link_that_leaves_the_folder_is_missing() {
        // S4: the original hashes what it points to, a way to ask for the hash of any file of the machine.
        let out = Out::new(&[("in.txt", "in")]);
        std::fs::write(out.folder.path().join("secret"), "secret").unwrap();
        symlink(out.folder.path().join("secret"), out.path().join("leak")).unwrap();
        symlink(out.folder.path(), out.path().join("up")).unwrap();
        symlink("in.txt", out.path().join("alias")).unwrap();
        for declared in [
            "/iexec_out/leak",
            "/iexec_out/../secret",
            "/secret",
            "/iexec_out/up/secret",
            "/iexec_out/none",
            "",
            "/etc/passwd",
        ] {
            assert!(
                matches!(out.digest(declared), Err(OutputError::NoDigest { .. })),
                "{declared}"
            );
        }
        assert_eq!(
            out.digest("/iexec_out/alias").unwrap(),
            out.digest("/iexec_out/in.txt").unwrap()
        );
    }

    #[test]
    fn a_link_out_of_the_folder_adds_nothing_to_a_folders_digest() {
        let (plain, linked) = (Out::new(&[("r/a", "a")]), Out::new(&[("r/a", "a")]));
        std::fs::write(linked.folder.path().join("secret"), "secret").unwrap();
        symlink(
            linked.folder.path().join("secret"),
            linked.path().join("r/b"),
        )
        .unwrap();
        assert_eq!(
            plain.digest("/iexec_out/r").unwrap(),
            linked.digest("/iexec_out/r").unwrap()
        );
    }

    #[test]
    fn a_fifo_holds_nobody_up_and_has_no_digest() {
        // S5
        let out = Out::new(&[]);
        let made = std::process::Command::new("mkfifo")
            .arg(out.path().join("pipe"))
            .status()
            .unwrap();
        assert!(made.success());
        assert!(matches!(
            out.digest("/iexec_out/pipe"),
            Err(OutputError::NoDigest { .. })
        ));
    }

    #[test]
    fn pipes_and_links_to_devices_add_nothing_to_a_folders_digest() {
        // S5
        let (plain, odd) = (Out::new(&[("r/a", "a")]), Out::new(&[("r/a", "a")]));
        let made = std::process::Command::new("mkfifo")
            .arg(odd.path().join("r/pipe"))
            .status()
            .unwrap();
        assert!(made.success());
        symlink("/dev/zero", odd.path().join("r/zero")).unwrap();
        symlink("r", odd.path().join("r/round")).unwrap();
        std::os::unix::net::UnixListener::bind(odd.path().join("r/socket")).unwrap();
        assert_eq!(
            plain.digest("/iexec_out/r").unwrap(),
            odd.digest("/iexec_out/r").unwrap()
        );
        assert!(matches!(
            odd.digest("/iexec_out/r/zero"),
            Err(OutputError::NoDigest { .. })
        ));
    }

    #[test]
    fn a_link_to_the_folder_itself_stays_in_it_and_a_chain_of_links_out_does_not() {
        // S4
        let out = Out::new(&[("r/a", "a")]);
        symlink(out.path(), out.path().join("self")).unwrap();
        symlink("../../..", out.path().join("r/far")).unwrap();
        symlink("r/far/etc/passwd", out.path().join("chain")).unwrap();
        symlink("loop", out.path().join("loop")).unwrap();
        assert_eq!(
            out.digest("/iexec_out/self/r").unwrap(),
            out.digest("/iexec_out/r").unwrap()
        );
        for declared in ["/iexec_out/chain", "/iexec_out/loop", "/iexec_out/r/far"] {
            assert!(
                matches!(out.digest(declared), Err(OutputError::NoDigest { .. })),
                "{declared}"
            );
        }
    }

    #[test]
    fn a_callback_has_the_digest_of_its_bytes_and_none_without_data() {
        let out = Out::new(&[]);
        let data = format!("0x{}01", "00".repeat(31));
        let computed = ComputedFile {
            callback_data: Some(data),
            ..ComputedFile::default()
        };
        assert_eq!(
            of(&computed, &out.path(), true).unwrap().to_string(),
            "0xb10e2d527612073b26eecdfd717e6a320cf44b4afac2b0732d9fcbe2b7fa0cf6"
        );
        // Q45: the original throws and the task hangs.
        for data in [None, Some(String::new())] {
            let computed = ComputedFile {
                callback_data: data,
                ..ComputedFile::default()
            };
            assert!(matches!(
                of(&computed, &out.path(), true),
                Err(OutputError::NoDigest { .. })
            ));
        }
    }
}
