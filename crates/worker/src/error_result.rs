//! The result that stands for a download that failed (spec `worker.md` §7.5): a text that every worker must write to the byte, since its
//! hash is what they agree on. Workers of different versions word it differently, hence the setting.

use std::path::Path;

use wire::status::{ReplicateStatus, ReplicateStatusCause};

use crate::outputs::computed::{self, ComputedFile};
use crate::outputs::{OutputError, text};

/// Whose wording the text has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wording {
    /// Releases up to 9.0.1.
    V8,
    /// Release 9.1.0.
    V9_1,
    /// Release 9.2.0.
    V9_2,
}

impl std::str::FromStr for Wording {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "8" | "8.x" | "9.0" => Ok(Self::V8),
            "9.1" => Ok(Self::V9_1),
            "9.2" => Ok(Self::V9_2),
            _ => Err("expected 8.x, 9.1 or 9.2".to_owned()),
        }
    }
}

/// The exact text of `error.txt`, without a final line break.
#[must_use]
pub fn wording(wording: Wording, status: ReplicateStatus, cause: &ReplicateStatusCause) -> String {
    let what = match wording {
        Wording::V8 => {
            format!("Error occurred while computing the task [error:{status}, cause:{cause}]")
        }
        Wording::V9_1 => {
            format!("Errors occurred while computing the task [error:{status}, causes:[{cause}]]")
        }
        Wording::V9_2 => {
            format!(
                "Errors occurred while computing the task [error:{status}, causes:[WorkflowError[cause={cause}, message=]]]"
            )
        }
    };
    format!("[IEXEC] {what}")
}

/// Writes `error.txt` and the `computed.json` that points to it into the output folder.
///
/// # Errors
/// The folder cannot be written.
pub fn write(
    iexec_out: &Path,
    version: Wording,
    status: ReplicateStatus,
    cause: &ReplicateStatusCause,
) -> Result<(), OutputError> {
    let path = iexec_out.join("error.txt");
    let line = wording(version, status, cause);
    text::put(&path, line.as_bytes()).map_err(|error| OutputError::disk("write", &path, error))?;
    let deterministic_output_path = Some("/iexec_out/error.txt".to_owned());
    computed::write(
        iexec_out,
        &ComputedFile {
            deterministic_output_path,
            ..ComputedFile::default()
        },
    )
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};
    use wire::status::ReplicateStatusCause as Cause;

    use super::*;

    fn hash(version: Wording, status: ReplicateStatus, cause: &Cause) -> String {
        poco::hex::encode(Sha256::digest(wording(version, status, cause)))
    }

    #[test]
    fn the_default_wording_hashes_to_what_the_original_contributes() {
        let data = ReplicateStatus::DataDownloadFailed;
        let rows = [
            (
                ReplicateStatus::AppDownloadFailed,
                Cause::AppImageDownloadFailed,
                "0x6b234cc858ad3404f912dd7f119afe2178251bec64cb25e5cbeba61dd764fc5d",
            ),
            (
                data,
                Cause::DatasetFileDownloadFailed,
                "0x8e3ac3704dc9fd9bdec06799b85a570e7f67f3ff8cd751b11af241dddbe4996e",
            ),
            (
                data,
                Cause::DatasetFileBadChecksum,
                "0xc276b4a3cbe341163601818dfa3d7f5f8db8cc35f00c9c30666864e39c96b565",
            ),
            (
                data,
                Cause::InputFilesDownloadFailed,
                "0x0667139fc3aade5e376044a41fbf2b37df1f191ee28f04debc01c1d5c64c0a54",
            ),
        ];
        for (status, cause, expected) in rows {
            assert_eq!(hash(Wording::V9_2, status, &cause), expected, "{cause}");
        }
    }

    #[test]
    fn older_wordings_hash_to_what_older_workers_contribute() {
        let (status, cause) = (
            ReplicateStatus::DataDownloadFailed,
            Cause::InputFilesDownloadFailed,
        );
        assert_eq!(
            hash(Wording::V8, status, &cause),
            "0xa0974c89407e891d5143fcb72f98eba226476d54eb86034267d3189a96721de1"
        );
        assert_eq!(
            hash(Wording::V9_1, status, &cause),
            "0x66cae7b0ac6cacabd76711a63082f82f299d8e614b370b4445d88ab3bbf959c4"
        );
    }

    #[test]
    fn the_error_result_has_the_digest_of_its_text() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("iexec_out");
        std::fs::create_dir(&out).unwrap();
        write(
            &out,
            Wording::V9_2,
            ReplicateStatus::AppDownloadFailed,
            &Cause::AppImageDownloadFailed,
        )
        .unwrap();
        let computed = computed::read(&out).unwrap();
        let digest = crate::outputs::digest::of(&computed, &out, false).unwrap();
        assert_eq!(
            digest.to_string(),
            "0x6b234cc858ad3404f912dd7f119afe2178251bec64cb25e5cbeba61dd764fc5d"
        );
    }
}
