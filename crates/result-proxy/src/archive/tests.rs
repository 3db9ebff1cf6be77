use std::io::Write as _;

use alloy_primitives::{b256, keccak256};
use zip::write::{SimpleFileOptions, ZipWriter};

use super::*;

const LIMITS: Limits = Limits {
    entries: 50,
    unpacked: 1 << 20,
};
/// SHA-256 of `A result`.
const A_RESULT: B256 = b256!("d885f429a59e0816822fc0927be6a6af20ade2c79db49df6c6022f79cb27ac16");

/// An archive in the making.
struct Zip(ZipWriter<std::io::Cursor<Vec<u8>>>);

impl Zip {
    /// With a `computed.json` that names `output`.
    fn naming(output: &str) -> Self {
        let computed =
            serde_json::json!({ "deterministic-output-path": output, "callback-data": null });
        Self(ZipWriter::new(std::io::Cursor::default())).file("computed.json", computed.to_string())
    }

    fn bare() -> Self {
        Self(ZipWriter::new(std::io::Cursor::default()))
    }

    fn file(mut self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.0
            .start_file(name, SimpleFileOptions::default())
            .unwrap();
        self.0.write_all(content.as_ref()).unwrap();
        self
    }

    fn folder(mut self, name: &str) -> Self {
        self.0
            .add_directory(name, SimpleFileOptions::default())
            .unwrap();
        self
    }

    fn link(mut self, name: &str, target: &str) -> Self {
        self.0
            .add_symlink(name, target, SimpleFileOptions::default())
            .unwrap();
        self
    }

    fn bytes(self) -> Vec<u8> {
        self.0.finish().unwrap().into_inner()
    }

    fn digest(self) -> Result<B256, ArchiveError> {
        digest_of(&self.bytes())
    }
}

fn digest_of(bytes: &[u8]) -> Result<B256, ArchiveError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    digest(file.path(), LIMITS)
}

/// Writes `to` wherever `from` stands, in the headers too.
fn forged(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while let Some(found) = bytes[at..]
        .windows(from.len())
        .position(|w| w == from.as_bytes())
    {
        at += found;
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        at += to.len();
    }
    bytes
}

fn sha256(content: &str) -> [u8; 32] {
    Sha256::digest(content).into()
}

#[test]
fn a_file_is_digested_by_sha256() {
    let zip = Zip::naming("/iexec_out/result.txt").file("result.txt", "A result");
    assert_eq!(zip.digest().unwrap(), A_RESULT);
}

#[test]
fn an_empty_file_has_the_digest_of_nothing() {
    let zip = Zip::naming("/iexec_out/deep/result.txt").file("deep/result.txt", "");
    assert_eq!(
        zip.digest().unwrap(),
        b256!("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    );
}

#[test]
fn a_folder_is_digested_by_its_direct_files_in_order() {
    let zip = Zip::naming("/iexec_out/out")
        .file("out/b.txt", "Another result")
        .file("out/sub/c.txt", "does not count")
        .file("outer.txt", "does not count either")
        .file("out/a.txt", "A result");
    let expected = keccak256([sha256("A result"), sha256("Another result")].concat());
    assert_eq!(
        expected,
        b256!("cc77508549295dd5de5876a2f4f00d4c3c27a547c6403450e43ab4de191bf1bc"),
        "v:digest-tree"
    );
    assert_eq!(zip.digest().unwrap(), expected);
}

#[test]
fn names_sort_by_utf16_units_as_java_sorts_them() {
    // U+1F600 is D83D DE00 in UTF-16 and so comes before U+FF5E; by bytes it comes after.
    let zip = Zip::naming("/iexec_out/out")
        .file("out/\u{ff5e}", "second")
        .file("out/\u{1f600}", "first");
    let expected = keccak256([sha256("first"), sha256("second")].concat());
    assert_eq!(zip.digest().unwrap(), expected);
}

#[test]
fn the_output_folder_itself_includes_computed_json() {
    for path in ["/iexec_out", "/iexec_out/", "//iexec_out/./"] {
        let zip = Zip::naming(path).file("z.txt", "A result");
        let computed =
            serde_json::json!({ "deterministic-output-path": path, "callback-data": null });
        let expected = keccak256([sha256(&computed.to_string()), A_RESULT.0].concat());
        assert_eq!(zip.digest().unwrap(), expected, "{path}");
    }
}

#[test]
fn an_empty_folder_counts_only_if_the_archive_has_it() {
    let zip = Zip::naming("/iexec_out/empty").folder("empty/");
    assert_eq!(zip.digest().unwrap(), keccak256([]));
    assert!(matches!(
        Zip::naming("/iexec_out/empty").digest(),
        Err(ArchiveError::NoOutput(_))
    ));
}

#[test]
fn a_path_outside_the_output_folder_gives_no_digest() {
    for path in [
        "/iexec_out/absent.txt",
        "/iexec_out/../result.txt",
        "iexec_out/result.txt",
        "/result.txt",
        "/etc/passwd",
        "/iexec_out/result.txt/x",
        "",
        "/",
    ] {
        let refused = Zip::naming(path).file("result.txt", "A result").digest();
        assert!(
            matches!(refused, Err(ArchiveError::NoOutput(_))),
            "{path}: {refused:?}"
        );
    }
}

#[test]
fn an_archive_without_a_usable_computed_json_gives_no_digest() {
    let refused = Zip::bare().file("result.txt", "A result").digest();
    assert!(matches!(refused, Err(ArchiveError::NoComputedFile)));
    let large = format!("{{\"callback-data\":\"{}\"}}", "0".repeat(1 << 20));
    for computed in [
        "",
        "nonsense",
        "{}",
        r#"{"deterministic-output-path":null}"#,
        &large,
    ] {
        let refused = digest_of_large(&Zip::bare().file("computed.json", computed).bytes());
        assert!(
            matches!(refused, Err(ArchiveError::BadComputedFile(_))),
            "{refused:?}"
        );
    }
}

fn digest_of_large(bytes: &[u8]) -> Result<B256, ArchiveError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    digest(
        file.path(),
        Limits {
            entries: 50,
            unpacked: 1 << 30,
        },
    )
}

#[test]
fn a_symbolic_link_is_refused_wherever_it_points() {
    for target in ["/etc/passwd", "result.txt"] {
        let zip = Zip::naming("/iexec_out/result.txt")
            .file("result.txt", "A result")
            .link("link", target);
        assert!(matches!(zip.digest(), Err(ArchiveError::Link(name)) if name == "link"));
    }
}

#[test]
fn a_path_that_leaves_the_archive_is_refused() {
    for (from, to) in [
        ("xx/escape", "../escape"),
        ("aaa/xx/escape", "aaa/../escape"),
        ("xescape", "/escape"),
        ("aa/xescape", "aa//escape"),
        ("a/x/escape", "a/./escape"),
        ("aa/escape", "aa\\escape"),
    ] {
        let zip = Zip::naming("/iexec_out/result.txt")
            .file("result.txt", "A result")
            .file(from, "");
        let refused = digest_of(&forged(&zip.bytes(), from, to));
        assert!(
            matches!(&refused, Err(ArchiveError::Path(_))),
            "{to}: {refused:?}"
        );
    }
}

#[test]
fn an_archive_that_two_readers_would_read_differently_is_refused() {
    let twice = Zip::naming("/iexec_out/result.txt")
        .file("result.txt", "A result")
        .file("resulx.txt", "Another result")
        .bytes();
    let refused = digest_of(&forged(&twice, "resulx.txt", "result.txt"));
    assert!(
        matches!(refused, Err(ArchiveError::Ambiguous(_))),
        "{refused:?}"
    );
    let both = Zip::naming("/iexec_out/both")
        .file("both", "A result")
        .file("both/inner", "");
    assert!(matches!(both.digest(), Err(ArchiveError::Ambiguous(name)) if name == "both"));
}

#[test]
fn a_decompression_bomb_is_stopped_at_the_cap() {
    let bomb = Zip::naming("/iexec_out/result.txt")
        .file("result.txt", "A result")
        .file("bomb", vec![0; 5 << 20])
        .bytes();
    assert!(
        bomb.len() < 20_000,
        "it is small on the wire: {}",
        bomb.len()
    );
    let refused = digest_of(&bomb).unwrap_err();
    assert!(matches!(refused, ArchiveError::TooLarge { .. }) && refused.is_too_large());
}

#[test]
fn an_archive_of_too_many_entries_is_refused_before_they_are_read() {
    let mut zip = Zip::naming("/iexec_out/result.txt").file("result.txt", "A result");
    for i in 0..49 {
        zip = zip.file(&format!("{i}"), "");
    }
    let refused = zip.digest().unwrap_err();
    assert!(matches!(
        refused,
        ArchiveError::TooManyEntries {
            found: 51,
            most: 50
        }
    ));
    assert!(refused.is_too_large());
}

#[test]
fn what_is_not_a_whole_zip_is_refused() {
    let whole = Zip::naming("/iexec_out/result.txt")
        .file("result.txt", "A result")
        .bytes();
    let mut corrupt = whole.clone();
    let at = whole.windows(8).position(|w| w == b"A result");
    // Deflated or stored, the bytes after the first local header's name belong to some entry's content.
    let at = at.unwrap_or(60);
    corrupt[at] ^= 0xff;
    for (what, bytes) in [
        ("empty", &[][..]),
        ("text", b"not a zip at all, but long enough to be one"),
        ("cut short", &whole[..whole.len() - 30]),
        ("corrupt", &corrupt),
    ] {
        let refused = digest_of(bytes);
        assert!(
            matches!(
                refused,
                Err(ArchiveError::Unreadable(_) | ArchiveError::BadComputedFile(_))
            ),
            "{what}: {refused:?}"
        );
    }
}

#[test]
fn entries_written_as_a_stream_are_read() {
    // Java's writer gives sizes after the content (data descriptors), as does this one without seeking.
    let mut zip = ZipWriter::new_stream(Vec::new());
    let computed = r#"{"deterministic-output-path":"/iexec_out/result.txt"}"#;
    for (name, content) in [("result.txt", "A result"), ("computed.json", computed)] {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(content.as_bytes()).unwrap();
    }
    let bytes = zip.finish().unwrap().into_inner();
    assert_eq!(digest_of(&bytes).unwrap(), A_RESULT);
}

/// The entry of the protocol's vectors that the original's own test uploads; `poco` keeps it.
#[test]
fn the_archive_of_the_protocols_vectors_has_its_digest() {
    use base64::Engine as _;
    let vectors: Vec<serde_json::Value> = serde_json::from_str(include_str!(
        "../../../poco/tests/vectors/result-digest.json"
    ))
    .unwrap();
    let vector = vectors
        .iter()
        .find(|vector| vector["id"] == "result-proxy-zip");
    let (inputs, expected) = vector.map(|v| (&v["inputs"], &v["expected"])).unwrap();
    let archive = base64::engine::general_purpose::STANDARD
        .decode(inputs["zipBase64"].as_str().unwrap())
        .unwrap();
    let digest = digest_of(&archive).unwrap();
    assert_eq!(expected["resultDigest"], format!("{digest:#x}"));
    let task: B256 = inputs["chainTaskId"].as_str().unwrap().parse().unwrap();
    let hash = poco::contribution::result_hash(poco::ids::TaskId(task), digest);
    assert_eq!(expected["resultHash"], format!("{hash:#x}"));
}
