//! What an operator sets about downloads.

use std::time::Duration;

use chassis::env::Reader;
use url::Url;

use crate::config::bytes;

/// The gateways that the original asks for datasets of IPFS, in its order (spec `worker.md` §6.7).
const GATEWAYS: [&str; 3] = [
    "https://ipfs-gateway.v8-bellecour.iex.ec",
    "https://gateway.ipfs.io",
    "https://gateway.pinata.cloud",
];

/// Limits of downloads, and where they may go.
#[derive(Debug, Clone)]
pub struct DownloadSettings {
    /// Bytes that all downloads of one task may have together.
    pub bytes: u64,
    /// How long all downloads of one task may take together.
    pub total: Duration,
    /// How long a server may be silent.
    pub idle: Duration,
    /// Requesters may name addresses of private networks.
    pub private: bool,
    /// Where datasets of IPFS are asked for, in this order. The operator's own word: these may be in a private network.
    pub gateways: Vec<Url>,
}

impl DownloadSettings {
    /// Reads them.
    pub(crate) fn read(read: &mut Reader<'_>) -> Self {
        let no_zero = "a duration greater than 0, such as PT30M";
        let gateways = read.var("WORKERPOOL_WORKER_IPFS_GATEWAYS").urls();
        let gateways = gateways.or(GATEWAYS
            .iter()
            .filter_map(|gateway| gateway.parse().ok())
            .collect());
        Self {
            gateways,
            bytes: bytes(read, "WORKERPOOL_WORKER_DOWNLOAD_BYTES", 10 << 30),
            total: read
                .var("WORKERPOOL_WORKER_DOWNLOAD_TIMEOUT")
                .duration()
                .check(no_zero, |limit| !limit.is_zero())
                .or(Duration::from_secs(1800)),
            idle: read
                .var("WORKERPOOL_WORKER_DOWNLOAD_IDLE_TIMEOUT")
                .duration()
                .check(no_zero, |limit| !limit.is_zero())
                .or(Duration::from_secs(60)),
            private: read
                .var("WORKERPOOL_WORKER_ALLOW_PRIVATE_DOWNLOADS")
                .boolean()
                .or(false),
        }
    }
}
