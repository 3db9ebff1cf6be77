//! The application's streams as files of its result, and their ends for the scheduler (spec `worker.md` §6.5). Bytes that are no UTF-8
//! become U+FFFD over the whole stream, never piece by piece (Q37). Nothing is written through a link that the application left (Q41).

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// How many UTF-16 units of each stream the scheduler keeps.
pub const TAIL_UNITS: usize = 100_000;

/// Writes a stream's text as `name` into the output folder, unless it is empty.
///
/// # Errors
/// The stream cannot be read, or a folder has the file's name.
pub fn keep(stream: &Path, folder: &Path, name: &str) -> io::Result<()> {
    if std::fs::metadata(stream)?.len() == 0 {
        return Ok(());
    }
    let source = BufReader::new(File::open(stream)?);
    replace(&folder.join(name), |to| lossy_copy(source, to))
}

/// Writes `bytes` as a new regular file.
pub(crate) fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, |to| to.write_all(bytes))
}

/// Makes a new regular file at `path` in place of whatever file or link has that name.
fn replace(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // `create_new` opens nothing that exists, a dangling link included.
    let mut file = BufWriter::new(OpenOptions::new().write(true).create_new(true).open(path)?);
    fill(&mut file)?;
    file.flush()
}

/// Copies bytes as UTF-8, replacing what is none.
fn lossy_copy(mut from: impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut pending: Vec<u8> = Vec::new();
    let mut buffer = vec![0u8; 64 * 1024];
    loop {
        let count = from.read(&mut buffer)?;
        pending.extend_from_slice(buffer.get(..count).unwrap_or_default());
        let whole = if count == 0 {
            pending.len()
        } else {
            complete(&pending)
        };
        let rest = pending.split_off(whole);
        to.write_all(String::from_utf8_lossy(&pending).as_bytes())?;
        pending = rest;
        if count == 0 {
            return Ok(());
        }
    }
}

/// How many bytes stand before a character that may go on in the next piece.
fn complete(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        match std::str::from_utf8(bytes.get(at..).unwrap_or_default()) {
            Ok(_) => return bytes.len(),
            Err(error) => match error.error_len() {
                Some(length) => at += error.valid_up_to() + length,
                None => return at + error.valid_up_to(),
            },
        }
    }
}

/// The last [`TAIL_UNITS`] UTF-16 units of a stream; empty when it cannot be read.
#[must_use]
pub fn tail(stream: &Path) -> String {
    read_tail(stream).unwrap_or_default()
}

fn read_tail(stream: &Path) -> io::Result<String> {
    let mut file = File::open(stream)?;
    let length = file.metadata()?.len();
    // No character takes more than three bytes for each of its units.
    let wanted = 3 * TAIL_UNITS as u64 + 3;
    file.seek(SeekFrom::Start(length.saturating_sub(wanted)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(last_units(&text, TAIL_UNITS).to_owned())
}

/// The longest end of `text` with at most `units` UTF-16 units.
fn last_units(text: &str, units: usize) -> &str {
    let mut left = units;
    let mut start = text.len();
    for (at, c) in text.char_indices().rev() {
        let Some(rest) = left.checked_sub(c.len_utf16()) else {
            break;
        };
        left = rest;
        start = at;
    }
    text.get(start..).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Two streams as a run leaves them.
    pub(crate) fn streams(
        folder: &Path,
        stdout: &str,
        stderr: &str,
    ) -> crate::docker::run::Streams {
        let streams = crate::docker::run::Streams::in_folder(folder);
        std::fs::write(&streams.stdout, stdout).unwrap();
        std::fs::write(&streams.stderr, stderr).unwrap();
        streams
    }

    #[test]
    fn a_character_that_is_cut_by_two_reads_stays_whole() {
        // Q37: the original decodes frame by frame.
        struct Pieces(Vec<Vec<u8>>);
        impl Read for Pieces {
            fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
                if self.0.is_empty() {
                    return Ok(0);
                }
                let piece = self.0.remove(0);
                to[..piece.len()].copy_from_slice(&piece);
                Ok(piece.len())
            }
        }
        let mut to = Vec::new();
        lossy_copy(
            Pieces(vec![
                vec![b'a', 0xe2, 0x82],
                vec![0xac, b'b', 0xff],
                vec![b'c', 0xf0, 0x9f],
            ]),
            &mut to,
        )
        .unwrap();
        assert_eq!(String::from_utf8(to).unwrap(), "a€b\u{fffd}c\u{fffd}");
    }

    #[test]
    fn the_tail_counts_utf16_units_and_never_cuts_a_pair() {
        assert_eq!(last_units("abc😀", 2), "😀");
        assert_eq!(last_units("abc😀", 1), "");
        assert_eq!(last_units("abc😀", 3), "c😀");
        assert_eq!(last_units("ab", 9), "ab");
    }

    #[test]
    fn a_stream_is_never_written_through_a_link_of_the_application() {
        // Q41: the original, as root, overwrites what the link points to.
        let (folder, victim) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let target = victim.path().join("precious");
        std::fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, folder.path().join("stdout.txt")).unwrap();
        let stream = victim.path().join("stream");
        std::fs::write(&stream, "hello").unwrap();
        keep(&stream, folder.path(), "stdout.txt").unwrap();
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious");
        assert!(
            std::fs::symlink_metadata(folder.path().join("stdout.txt"))
                .unwrap()
                .is_file()
        );
    }

    #[test]
    fn an_empty_stream_makes_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let stream = folder.path().join("stream");
        std::fs::write(&stream, "").unwrap();
        keep(&stream, folder.path(), "stdout.txt").unwrap();
        assert!(!folder.path().join("stdout.txt").exists());
    }
}
