//! Archives that workers could send, good and bad.

use std::io::{Cursor, Write as _};

use zip::write::{SimpleFileOptions, ZipWriter};

/// An archive of these files.
pub(crate) fn of(files: &[(&str, &[u8])]) -> Vec<u8> {
    finish(files, |_| {})
}

/// What a worker sends whose application wrote `text` to its one result file.
pub(crate) fn result(text: &str) -> Vec<u8> {
    of(&[("computed.json", COMPUTED), ("result.txt", text.as_bytes())])
}

/// The same result in an archive of other bytes.
pub(crate) fn result_packed_otherwise(text: &str) -> Vec<u8> {
    of(&[("result.txt", text.as_bytes()), ("computed.json", COMPUTED)])
}

/// A right result beside a symbolic link.
pub(crate) fn with_link(text: &str) -> Vec<u8> {
    finish(
        &[("computed.json", COMPUTED), ("result.txt", text.as_bytes())],
        |zip| {
            zip.add_symlink("link", "/etc/passwd", SimpleFileOptions::default())
                .unwrap();
        },
    )
}

/// A right result beside a file that is small on the wire only.
pub(crate) fn bomb(text: &str, unpacked: usize) -> Vec<u8> {
    of(&[
        ("computed.json", COMPUTED),
        ("result.txt", text.as_bytes()),
        ("bomb", &vec![0; unpacked]),
    ])
}

/// Bytes that do not compress.
pub(crate) fn noise(size: usize) -> Vec<u8> {
    let mut state = 1u64;
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(size).collect()
}

const COMPUTED: &[u8] =
    br#"{"deterministic-output-path":"/iexec_out/result.txt","callback-data":null}"#;

fn finish(files: &[(&str, &[u8])], more: impl FnOnce(&mut ZipWriter<Cursor<Vec<u8>>>)) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::default());
    for (name, content) in files {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
    }
    more(&mut zip);
    zip.finish().unwrap().into_inner()
}
