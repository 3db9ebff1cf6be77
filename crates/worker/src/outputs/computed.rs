//! `computed.json`, the application's word about its result (spec `worker.md` §7.1). It is believed about where the result lies,
//! and checked about everything else.

use std::io::Read;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{OutputError, place};

/// A `computed.json` larger than this is none.
const LIMIT: u64 = 1 << 20;

/// The keys that count; all others are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ComputedFile {
    /// What the digest is taken of, as the application sees it: `/iexec_out/…`.
    pub deterministic_output_path: Option<String>,
    /// For deals with a callback: the bytes that the contract is given, as hexadecimal text.
    pub callback_data: Option<String>,
    /// The task's id.
    pub task_id: Option<String>,
    /// A digest that the application made itself.
    pub result_digest: Option<String>,
    /// An enclave's signature.
    pub enclave_signature: Option<String>,
    /// What went wrong.
    pub error_message: Option<String>,
}

/// Reads `computed.json` in `folder`.
///
/// # Errors
/// It is not there, not a regular file of `folder`, too large, or not a JSON object of texts.
pub fn read(folder: &Path) -> Result<ComputedFile, OutputError> {
    let path = folder.join("computed.json");
    let none = |reason: String| OutputError::NoComputedFile { reason };
    let real = place::inside(folder, &path)
        .ok_or_else(|| none(format!("there is no computed.json in {}", folder.display())))?;
    let file = place::open_regular(&real)
        .map_err(|error| none(format!("computed.json cannot be read: {error}")))?;
    let mut text = String::new();
    let length = file
        .take(LIMIT + 1)
        .read_to_string(&mut text)
        .map_err(|error| none(format!("computed.json cannot be read: {error}")))?;
    if length as u64 > LIMIT {
        return Err(none(format!("computed.json has more than {LIMIT} bytes")));
    }
    parse(&text).map_err(|reason| none(format!("computed.json is not what it should be: {reason}")))
}

/// An object whose known keys are texts; numbers and truths count as their text, as for the original's reader.
fn parse(text: &str) -> Result<ComputedFile, String> {
    let object: Map<String, Value> =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    let get = |key: &str| match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(scalar @ (Value::Number(_) | Value::Bool(_))) => Ok(Some(scalar.to_string())),
        Some(_) => Err(format!("{key} is not a text")),
    };
    Ok(ComputedFile {
        deterministic_output_path: get("deterministic-output-path")?,
        callback_data: get("callback-data")?,
        task_id: get("task-id")?,
        result_digest: get("result-digest")?,
        enclave_signature: get("enclave-signature")?,
        error_message: get("error-message")?,
    })
}

/// Writes `file` as `computed.json` of `folder`, in place of whatever has that name.
///
/// # Errors
/// The folder cannot be written.
pub fn write(folder: &Path, file: &ComputedFile) -> Result<(), OutputError> {
    let path = folder.join("computed.json");
    let bytes = serde_json::to_vec(file).unwrap_or_default();
    super::text::put(&path, &bytes).map_err(|error| OutputError::disk("write", &path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(text: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("computed.json"), text).unwrap();
        folder
    }

    #[test]
    fn unknown_keys_are_ignored_and_missing_ones_are_none() {
        let folder =
            folder(r#"{"deterministic-output-path":"/iexec_out/r.txt","more":[1,2],"task-id":5}"#);
        let file = read(folder.path()).unwrap();
        assert_eq!(
            file.deterministic_output_path.as_deref(),
            Some("/iexec_out/r.txt")
        );
        assert_eq!(
            (file.callback_data, file.task_id),
            (None, Some("5".to_owned()))
        );
    }

    #[test]
    fn an_empty_broken_missing_or_huge_file_counts_as_none() {
        for text in [
            "",
            "{",
            "[]",
            r#"{"callback-data":["0x"]}"#,
            &format!("\"{}\"", "x".repeat(2 << 20)),
        ] {
            assert!(matches!(
                read(folder(text).path()),
                Err(OutputError::NoComputedFile { .. })
            ));
        }
        assert!(read(tempfile::tempdir().unwrap().path()).is_err());
    }

    #[test]
    fn a_computed_file_that_is_no_file_holds_nobody_up_and_counts_as_none() {
        // S5: a pipe would be waited at for ever, a device read for ever.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("computed.json");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        assert!(read(folder.path()).is_err());
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert!(read(folder.path()).is_err());
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(read(folder.path()).is_err());
    }

    #[test]
    fn a_computed_file_that_is_a_link_out_of_the_folder_counts_as_none() {
        // S4: the original reads whatever the link points to.
        let (inner, outer) = (tempfile::tempdir().unwrap(), folder("{}"));
        std::os::unix::fs::symlink(
            outer.path().join("computed.json"),
            inner.path().join("computed.json"),
        )
        .unwrap();
        assert!(matches!(
            read(inner.path()),
            Err(OutputError::NoComputedFile { .. })
        ));
    }
}
