//! The body of an upload (spec result-proxy §3.2): JSON with the archive in Base64, made from the file piece by piece while it is sent.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;
use poco::ids::TaskId;
use reqwest::Body;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, BufReader};

use crate::message::ResultModel;

/// Bytes of the archive in one piece. A multiple of three, so that only the last piece is padded.
const PIECE: usize = 48 * 1024;

/// One upload; gives its body as often as it is asked for.
pub(super) struct Upload {
    file: Arc<PathBuf>,
    /// Bytes of the file.
    size: u64,
    /// The JSON before the archive and after it.
    head: String,
    tail: String,
}

/// Where the making of a body is.
enum Place {
    Head,
    /// Bytes that are still to be read.
    File(BufReader<File>, u64),
    End,
}

impl Upload {
    /// The upload of the file `archive`.
    ///
    /// # Errors
    /// In words: the file cannot be read.
    pub(super) async fn of(task: TaskId, archive: &Path, digest: &str) -> Result<Self, String> {
        let unreadable = |error: io::Error| format!("cannot read {}: {error}", archive.display());
        let found = tokio::fs::metadata(archive).await.map_err(unreadable)?;
        let around = ResultModel::standard(task, Vec::new(), digest.to_owned());
        let around = serde_json::to_string(&around).map_err(|error| error.to_string())?;
        let (head, tail) = around
            .split_once(r#""zip":""#)
            .ok_or("an upload has no place for its archive")?;
        Ok(Self {
            file: Arc::new(archive.to_owned()),
            size: found.len(),
            head: format!(r#"{head}"zip":""#),
            tail: tail.to_owned(),
        })
    }

    /// Bytes of the body.
    pub(super) fn length(&self) -> u64 {
        let text = self.size.div_ceil(3) * 4;
        text + self.head.len() as u64 + self.tail.len() as u64
    }

    /// The body from its beginning.
    pub(super) fn stream(&self) -> Body {
        let (file, size) = (Arc::clone(&self.file), self.size);
        let (head, tail) = (self.head.clone(), self.tail.clone());
        let pieces = stream::try_unfold(Place::Head, move |place| {
            let (file, head, tail) = (Arc::clone(&file), head.clone(), tail.clone());
            async move {
                Ok::<_, io::Error>(match place {
                    Place::Head => {
                        let file = BufReader::with_capacity(PIECE, File::open(&*file).await?);
                        Some((head, Place::File(file, size)))
                    }
                    Place::File(_, 0) => Some((tail, Place::End)),
                    Place::File(mut file, left) => {
                        // A file that grew is cut, one that shrank ends the body with an error: its length was announced.
                        let count = left.min(PIECE as u64);
                        let mut piece = vec![0; usize::try_from(count).unwrap_or(PIECE)];
                        file.read_exact(&mut piece).await?;
                        Some((STANDARD.encode(piece), Place::File(file, left - count)))
                    }
                    Place::End => None,
                })
            }
        });
        Body::wrap_stream(pieces)
    }
}
