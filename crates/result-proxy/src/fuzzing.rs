//! What strangers reach inside, for the fuzz target in `fuzz/` and the test of its corpus. Nothing else uses it, and no release has it.

use crate::upload_body::UploadBody;

/// The task and the archive of an upload whose body comes in these pieces; none where it is no upload, or has more than `most` bytes.
pub fn upload<'a>(
    most: u64,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> Option<(Option<String>, Vec<u8>)> {
    let mut body = UploadBody::new(most);
    let mut archive = Vec::new();
    for piece in pieces {
        body.push(piece).ok()?;
        archive.extend(body.take_decoded());
    }
    Some((body.finish().ok()?, archive))
}
