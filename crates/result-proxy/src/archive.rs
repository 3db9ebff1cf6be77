//! Reads a result archive (a zip of `iexec_out`) and recomputes the digest that its worker put on chain.
//!
//! Nothing is extracted: every entry is decompressed once, in a stream, and forgotten. That reading also proves that the
//! whole archive can be read by whoever downloads it. What could hurt a reader (links, paths that leave the folder,
//! too many entries, a decompression bomb) is refused. It decides nothing about who may upload.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::ops::Bound;
use std::path::Path;

use alloy_primitives::B256;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use zip::ZipReadOptions;
use zip::read::Config;
use zip::result::ZipError;
use zip::unstable::read::ZipIterable;

/// The name of the file in which an application says where its result is.
const COMPUTED_FILE: &str = "computed.json";
/// The folder that the archive is a copy of, as the application's container sees it.
const OUT_FOLDER: &str = "iexec_out";
/// Longest path of an entry, in bytes: what Linux can open.
const PATH_CAP: usize = 4096;
/// `computed.json` holds a few short strings; callback data is the longest of them.
const COMPUTED_FILE_CAP: u64 = 1 << 20;

/// How much an archive may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most entries, directories included.
    pub entries: usize,
    /// Most bytes of all files together once decompressed.
    pub unpacked: u64,
}

/// Why an archive gives no digest.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// Not a zip, cut short, corrupt, encrypted or compressed by a method that is not read here.
    #[error("the archive cannot be read as a zip: {0}")]
    Unreadable(ZipError),
    /// The disk under the archive failed; nothing is wrong with the archive.
    #[error("reading the stored archive failed: {0}")]
    Disk(io::Error),
    /// A symbolic link.
    #[error("the entry {0:?} is a symbolic link; an archive may hold files and folders only")]
    Link(String),
    /// A path that leaves the folder, or that two systems would read differently.
    #[error("the entry {0:?} does not name a path inside the archive")]
    Path(String),
    /// Two entries of one name, or a file with entries below it.
    #[error("the entry {0:?} is there twice, or is both a file and a folder")]
    Ambiguous(String),
    /// More entries than allowed.
    #[error("the archive has {found} entries, more than the {most} allowed")]
    TooManyEntries {
        /// Entries in the archive.
        found: usize,
        /// [`Limits::entries`].
        most: usize,
    },
    /// More bytes than allowed once decompressed.
    #[error("the archive unpacks to more than the {most} bytes allowed")]
    TooLarge {
        /// [`Limits::unpacked`].
        most: u64,
    },
    /// `computed.json` is missing.
    #[error("the archive has no computed.json at its top")]
    NoComputedFile,
    /// `computed.json` is not what it should be.
    #[error("computed.json of the archive cannot be used: {0}")]
    BadComputedFile(String),
    /// The deterministic path is not in the archive.
    #[error("computed.json names {0:?} as its deterministic output, which is not in the archive")]
    NoOutput(String),
}

impl ArchiveError {
    /// Whether the archive is refused for its size alone.
    pub(crate) fn is_too_large(&self) -> bool {
        matches!(self, Self::TooManyEntries { .. } | Self::TooLarge { .. })
    }
}

/// The keys of `computed.json` that matter here (spec result-proxy §6.2). The digest it may carry is not trusted.
#[derive(Deserialize)]
struct ComputedFile {
    #[serde(rename = "deterministic-output-path")]
    deterministic_output_path: Option<String>,
}

/// What one pass over the archive learned.
#[derive(Default)]
struct Contents {
    /// Every file by its path, with the SHA-256 of its bytes.
    files: BTreeMap<String, B256>,
    /// Folders that have an entry of their own.
    folders: BTreeSet<String>,
    computed: Option<Vec<u8>>,
}

/// The result digest of the archive at `path`: SHA-256 of the deterministic file, or Keccak-256 over the SHA-256 of the
/// deterministic folder's direct files (spec result-proxy §6). Blocks; large archives take seconds.
pub(crate) fn digest(path: &Path, limits: Limits) -> Result<B256, ArchiveError> {
    let contents = read(path, limits)?;
    let computed = contents
        .computed
        .as_deref()
        .ok_or(ArchiveError::NoComputedFile)?;
    let computed: ComputedFile = serde_json::from_slice(computed)
        .map_err(|error| ArchiveError::BadComputedFile(error.to_string()))?;
    let named = computed.deterministic_output_path.ok_or_else(|| {
        ArchiveError::BadComputedFile("deterministic-output-path is not set".into())
    })?;
    let inside = inside_archive(&named).ok_or_else(|| ArchiveError::NoOutput(named.clone()))?;

    if let Some(digest) = contents.files.get(&inside) {
        return Ok(*digest);
    }
    if contents.has_folder(&inside) {
        return Ok(folder_digest(&contents.files, &inside));
    }
    Err(ArchiveError::NoOutput(named))
}

/// Where `/iexec_out/…` lies in the archive; the folder itself is the empty path.
fn inside_archive(named: &str) -> Option<String> {
    let absolute = named.strip_prefix('/')?;
    let mut parts = absolute
        .split('/')
        .filter(|part| !matches!(*part, "" | "."));
    if parts.next()? != OUT_FOLDER {
        return None;
    }
    let parts: Vec<&str> = parts.collect();
    (!parts.contains(&"..")).then(|| parts.join("/"))
}

fn folder_digest(files: &BTreeMap<String, B256>, folder: &str) -> B256 {
    let prefix = if folder.is_empty() {
        String::new()
    } else {
        format!("{folder}/")
    };
    // Folders in the folder contribute nothing, so only its files count.
    let children = files.iter().filter_map(|(path, digest)| {
        let name = path.strip_prefix(&prefix)?;
        (!name.contains('/')).then_some((name, Some(*digest)))
    });
    poco::digest::folder(children)
}

fn read(path: &Path, limits: Limits) -> Result<Contents, ArchiveError> {
    let index = File::open(path).map_err(ArchiveError::Disk)?;
    let bodies = File::open(path).map_err(ArchiveError::Disk)?;
    let mut archive = ZipIterable::try_new(index, Config::default()).map_err(unreadable)?;
    if archive.len() > limits.entries {
        return Err(ArchiveError::TooManyEntries {
            found: archive.len(),
            most: limits.entries,
        });
    }
    let mut contents = Contents::default();
    let mut budget = Budget {
        left: limits.unpacked,
        most: limits.unpacked,
    };
    let mut entries = archive
        .files_with_reader(bodies, ZipReadOptions::new())
        .map_err(unreadable)?;
    while let Some(entry) = entries.next() {
        let mut entry = entry.map_err(unreadable)?;
        let name = entry.name().map_err(unreadable)?.into_owned();
        if entry.is_symlink() {
            return Err(ArchiveError::Link(name));
        }
        let is_folder = entry.is_dir();
        let path = checked_path(&name)?;
        if is_folder {
            contents.folders.insert(path);
            continue;
        }
        let keep = (path == COMPUTED_FILE).then_some(COMPUTED_FILE_CAP);
        let (digest, kept) = hash(&mut entry, &mut budget, keep)?;
        contents.computed = kept.or(contents.computed);
        contents.add_file(path, digest)?;
    }
    contents.checked()
}

impl Contents {
    fn add_file(&mut self, path: String, digest: B256) -> Result<(), ArchiveError> {
        match self.files.insert(path.clone(), digest) {
            None => Ok(()),
            Some(_) => Err(ArchiveError::Ambiguous(path)),
        }
    }

    /// Whether a folder is there, by an entry of its own or by something in it.
    fn has_folder(&self, path: &str) -> bool {
        path.is_empty() || self.folders.contains(path) || self.has_something_below(path)
    }

    fn has_something_below(&self, path: &str) -> bool {
        let below = format!("{path}/");
        let from = (Bound::Included(below.as_str()), Bound::Unbounded);
        let file = self.files.range::<str, _>(from).next();
        let folder = self.folders.range::<str, _>(from).next();
        file.is_some_and(|(path, _)| path.starts_with(&below))
            || folder.is_some_and(|path| path.starts_with(&below))
    }

    fn checked(self) -> Result<Self, ArchiveError> {
        match self.files.keys().find(|path| self.has_folder(path)) {
            Some(both) => Err(ArchiveError::Ambiguous(both.clone())),
            None => Ok(self),
        }
    }
}

/// The entry's path without a closing slash, if every system would put it at the same place inside the folder.
fn checked_path(name: &str) -> Result<String, ArchiveError> {
    let path = name.strip_suffix('/').unwrap_or(name);
    let harmless = |part: &str| !part.is_empty() && part != "." && part != "..";
    let plain = path.len() <= PATH_CAP && !path.contains(['\0', '\\']);
    if plain && path.split('/').all(harmless) {
        Ok(path.to_owned())
    } else {
        Err(ArchiveError::Path(name.chars().take(200).collect()))
    }
}

/// An error of the operating system is the disk's; every other one is the archive's.
fn unreadable(error: ZipError) -> ArchiveError {
    match error {
        ZipError::Io(error) if error.raw_os_error().is_some() => ArchiveError::Disk(error),
        error => ArchiveError::Unreadable(error),
    }
}

/// Decompressed bytes that may still come. What the archive says about its sizes is never believed.
struct Budget {
    left: u64,
    most: u64,
}

/// Reads the entry to its end; with `keep`, also returns its bytes if they are no more than that.
fn hash(
    entry: &mut impl Read,
    budget: &mut Budget,
    keep: Option<u64>,
) -> Result<(B256, Option<Vec<u8>>), ArchiveError> {
    let mut hasher = Sha256::new();
    let mut kept = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = match entry.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(ZipError::Io(error))),
        };
        budget.left = budget
            .left
            .checked_sub(count as u64)
            .ok_or(ArchiveError::TooLarge { most: budget.most })?;
        let piece = buffer.get(..count).unwrap_or_default();
        hasher.update(piece);
        if let Some(cap) = keep {
            kept.extend_from_slice(piece);
            if kept.len() as u64 > cap {
                return Err(ArchiveError::BadComputedFile(format!(
                    "it is larger than {cap} bytes"
                )));
            }
        }
    }
    let digest = B256::from_slice(&hasher.finalize());
    Ok((digest, keep.map(|_| kept)))
}

#[cfg(test)]
mod tests;
