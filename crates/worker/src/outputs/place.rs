//! Finding a file that the application named, and opening it, without ever leaving its folder. The container has ended when this runs,
//! so nothing moves underneath.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// `O_NONBLOCK`: a FIFO that took a file's place does not hold the opener for ever.
const NONBLOCK: i32 = 0o4000;

/// The place that `declared`, a path as the application sees it, has on this machine; `None` when there is nothing, or when it lies
/// outside `iexec_out`, be it by `..` or by a link.
///
/// The text is appended to the folder above `iexec_out`, as the original does, so it must begin with `/iexec_out`.
#[must_use]
pub fn resolve(iexec_out: &Path, declared: &str) -> Option<PathBuf> {
    let above = iexec_out.parent()?;
    let mut joined = above.as_os_str().to_owned();
    joined.push(declared);
    inside(iexec_out, Path::new(&joined))
}

/// The canonical form of `path` when that is `folder` or lies in it.
#[must_use]
pub fn inside(folder: &Path, path: &Path) -> Option<PathBuf> {
    let root = folder.canonicalize().ok()?;
    let real = path.canonicalize().ok()?;
    real.starts_with(&root).then_some(real)
}

/// Opens a regular file for reading; anything else (folder, FIFO, device, socket) is refused.
///
/// # Errors
/// It is not there, not readable, or not a regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let irregular = || io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
    // Asked before it is opened too: opening alone can make a device do something.
    if !std::fs::metadata(path)?.is_file() {
        return Err(irregular());
    }
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(NONBLOCK)
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(irregular())
    }
}
