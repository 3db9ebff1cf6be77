//! The content identifier (CID) that kubo's default import gives a file, computed while the bytes stream by.
//!
//! Version 0 only: UnixFS chunks of 256 KiB, a balanced tree of at most 174 children a node, SHA-256, base58
//! (spec result-proxy §7). Holds one chunk and a few dozen links in memory, whatever the size of the file. It keeps no
//! content and knows no disk.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Bytes in a chunk, the last one of a file excepted.
const CHUNK: usize = 262_144;
/// Most children of an inner node.
const WIDTH: usize = 174;
/// Multihash prefix: SHA-256 (0x12), 32 bytes (0x20).
const MULTIHASH: [u8; 2] = [0x12, 0x20];

/// A CID of version 0: `Qm…`, 46 characters, the base58 of a SHA-256 multihash.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Cid([u8; 32]);

/// The text is not a CID of version 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a CID of version 0 (46 characters that start with Qm)")]
pub(crate) struct NotACid(pub String);

impl fmt::Display for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut multihash = MULTIHASH.to_vec();
        multihash.extend_from_slice(&self.0);
        f.write_str(&bs58::encode(multihash).into_string())
    }
}

impl fmt::Debug for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Cid {
    type Err = NotACid;

    fn from_str(text: &str) -> Result<Self, NotACid> {
        let wrong = || NotACid(text.chars().take(80).collect());
        if text.len() != 46 {
            return Err(wrong());
        }
        let bytes = bs58::decode(text).into_vec().map_err(|_| wrong())?;
        let hash = bytes.strip_prefix(&MULTIHASH).ok_or_else(wrong)?;
        Ok(Self(hash.try_into().map_err(|_| wrong())?))
    }
}

impl TryFrom<String> for Cid {
    type Error = NotACid;

    fn try_from(text: String) -> Result<Self, NotACid> {
        text.parse()
    }
}

impl From<Cid> for String {
    fn from(cid: Cid) -> Self {
        cid.to_string()
    }
}

/// What a parent writes down about a child.
#[derive(Clone, Copy)]
struct Link {
    hash: [u8; 32],
    /// File bytes below the child.
    content: u64,
    /// Encoded size of the child's node plus that of all nodes below it.
    total: u64,
}

/// Computes the [`Cid`] of bytes given piece by piece.
pub(crate) struct CidHasher {
    chunk: Vec<u8>,
    /// Children that wait for a parent, leaves first. A full level is folded into one child of the next.
    levels: Vec<Vec<Link>>,
}

impl Default for CidHasher {
    fn default() -> Self {
        Self::new()
    }
}

impl CidHasher {
    /// A hasher that has seen no byte.
    pub(crate) fn new() -> Self {
        Self {
            chunk: Vec::with_capacity(CHUNK),
            levels: Vec::new(),
        }
    }

    /// Takes the next bytes of the file.
    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            // A full chunk is closed only when a byte follows, so that the last chunk is never an empty one.
            if self.chunk.len() == CHUNK {
                self.close_chunk();
            }
            let room = (CHUNK - self.chunk.len()).min(bytes.len());
            let (now, later) = bytes.split_at(room);
            self.chunk.extend_from_slice(now);
            bytes = later;
        }
    }

    /// The CID of all bytes taken.
    pub(crate) fn finish(mut self) -> Cid {
        self.close_chunk();
        let mut height = 0;
        while let Some(level) = self.levels.get_mut(height) {
            let links = std::mem::take(level);
            let is_top = height + 1 == self.levels.len();
            match (links.as_slice(), is_top) {
                ([root], true) => return Cid(root.hash),
                ([], _) => {}
                (children, _) => {
                    let node = inner_node(children);
                    self.push(height + 1, node);
                }
            }
            height += 1;
        }
        // Not reached: `close_chunk` left at least one link, and folding never empties the top level.
        Cid(Sha256::digest([]).into())
    }

    fn close_chunk(&mut self) {
        let link = leaf_node(&self.chunk);
        self.chunk.clear();
        self.push(0, link);
    }

    fn push(&mut self, height: usize, link: Link) {
        let full = match self.levels.get_mut(height) {
            None => {
                self.levels.push(vec![link]);
                return;
            }
            Some(level) if level.len() == WIDTH => std::mem::replace(level, vec![link]),
            Some(level) => {
                level.push(link);
                return;
            }
        };
        let parent = inner_node(&full);
        self.push(height + 1, parent);
    }
}

/// A dag-pb node without links whose data is a UnixFS file with its bytes inside.
fn leaf_node(chunk: &[u8]) -> Link {
    let size = chunk.len() as u64;
    let mut unixfs = vec![0x08, 0x02];
    if !chunk.is_empty() {
        bytes_field(&mut unixfs, 0x12, chunk);
    }
    varint_field(&mut unixfs, 0x18, size);
    let mut node = Vec::with_capacity(unixfs.len() + 8);
    bytes_field(&mut node, 0x0a, &unixfs);
    Link {
        hash: Sha256::digest(&node).into(),
        content: size,
        total: node.len() as u64,
    }
}

/// A dag-pb node with a link for each child, links first, then a UnixFS file that says how many bytes each holds.
fn inner_node(children: &[Link]) -> Link {
    let content = children.iter().map(|child| child.content).sum();
    let below: u64 = children.iter().map(|child| child.total).sum();
    let mut node = Vec::new();
    let mut unixfs = vec![0x08, 0x02];
    varint_field(&mut unixfs, 0x18, content);
    for child in children {
        let mut multihash = MULTIHASH.to_vec();
        multihash.extend_from_slice(&child.hash);
        let mut link = Vec::new();
        bytes_field(&mut link, 0x0a, &multihash);
        bytes_field(&mut link, 0x12, b"");
        varint_field(&mut link, 0x18, child.total);
        bytes_field(&mut node, 0x12, &link);
        varint_field(&mut unixfs, 0x20, child.content);
    }
    bytes_field(&mut node, 0x0a, &unixfs);
    Link {
        hash: Sha256::digest(&node).into(),
        content,
        total: node.len() as u64 + below,
    }
}

fn bytes_field(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    varint_field(out, tag, value.len() as u64);
    out.extend_from_slice(value);
}

fn varint_field(out: &mut Vec<u8>, tag: u8, mut value: u64) {
    out.push(tag);
    loop {
        let seven = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.push(seven);
            return;
        }
        out.push(seven | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The CID of `size` bytes of which byte i is i mod 251, fed in pieces that match no boundary.
    fn pattern(size: usize) -> String {
        let period: Vec<u8> = (0..251 * 400).map(|i| (i % 251) as u8).collect();
        let mut hasher = CidHasher::new();
        let mut left = size;
        while left > 0 {
            let take = left.min(period.len());
            hasher.update(&period[..take]);
            left -= take;
        }
        hasher.finish().to_string()
    }

    fn of(bytes: &[u8]) -> String {
        let mut hasher = CidHasher::new();
        hasher.update(bytes);
        hasher.finish().to_string()
    }

    #[test]
    fn an_empty_file_is_one_empty_chunk() {
        assert_eq!(of(b""), "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH");
    }

    #[test]
    fn a_short_text_is_a_leaf_that_is_the_root() {
        assert_eq!(
            of(b"hello world\n"),
            "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o"
        );
    }

    #[test]
    fn a_full_chunk_is_still_one_leaf() {
        assert_eq!(
            pattern(262_144),
            "QmeqfRyS3vkku7n6krqC3DgGMex3x2sCpSeKMDmrG13QQq"
        );
    }

    #[test]
    fn one_byte_more_makes_two_leaves_and_a_root() {
        assert_eq!(
            pattern(262_145),
            "QmUSjGawaz4ptvREcMKSMJneWCa5j8dAz2wSAAvHtW2rnB"
        );
    }

    #[test]
    fn four_full_chunks_share_a_root() {
        assert_eq!(
            pattern(1_048_576),
            "QmXgkY4miMKJBrg8YYke4xw6C2n8WNsUc1GXLhN84k4QM3"
        );
    }

    #[test]
    fn a_hundred_and_seventy_four_chunks_still_share_a_root() {
        assert_eq!(
            pattern(45_613_056),
            "QmXCym15aFeWjAWyPFaAgwVmkuKB7EBsV77Skt54KmxChF"
        );
    }

    #[test]
    fn one_byte_more_makes_a_third_level() {
        assert_eq!(
            pattern(45_613_057),
            "QmTedsTekQQkgACJXb1sPZSW8bLdS9LPMrT7L4YdjNRd4n"
        );
    }

    #[test]
    fn only_the_text_of_a_version_0_cid_is_read_as_one() {
        let text = "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o";
        assert_eq!(text.parse::<Cid>().unwrap().to_string(), text);
        for wrong in [
            "",
            "..",
            "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5",
            "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff0o",
            "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy",
            "../../../../../../../../../../../../etc/passwd",
        ] {
            assert_eq!(wrong.parse::<Cid>(), Err(NotACid(wrong.to_owned())));
        }
    }
}
