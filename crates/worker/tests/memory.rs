//! What a download takes of this machine's memory. The one test of its process, whose memory is measured.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests stop at what cannot happen"
)]

use std::time::Duration;

use alloy_primitives::B256;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Path;
use futures_util::stream;
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use wire::reach::Reach;
use worker::inputs::{Budget, DownloadSettings, Downloader};

const MIB: u64 = 1 << 20;
const PIECE: usize = 64 << 10;

/// A piece of a body of any length.
fn piece() -> Bytes {
    Bytes::from_static(&[7; PIECE])
}

/// A server that gives as many MiB as its path says, made as they are taken; its address.
async fn server() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let give = |Path(mib): Path<usize>| async move {
        let pieces = (0..mib * (1 << 20) / PIECE).map(|_| Ok::<_, std::io::Error>(piece()));
        Body::from_stream(stream::iter(pieces))
    };
    let routes = Router::new().route("/{mib}", axum::routing::get(give));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    base
}

/// The most memory that this process had until now, in bytes.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() * 1024
}

#[tokio::test]
async fn a_download_is_never_in_memory_whole() {
    let (base, folder) = (server().await, tempfile::tempdir().unwrap());
    let settings = DownloadSettings {
        bytes: 1024 * MIB,
        total: Duration::from_secs(300),
        idle: Duration::from_secs(60),
        private: true,
        gateways: Vec::new(),
    };
    let downloader = Downloader::within(&settings, Reach::anywhere()).unwrap();
    let get = async |mib: u64| {
        let budget = Budget {
            until: Instant::now() + settings.total,
            bytes: settings.bytes,
        };
        let (url, to) = (format!("{base}/{mib}"), folder.path().join("file"));
        let fetched = downloader.stranger(&url, &to, &budget).await.unwrap();
        assert_eq!(fetched.bytes, mib * MIB);
        assert_eq!(to.metadata().unwrap().len(), mib * MIB);
        fetched.sha256
    };
    // What any download takes: the client, buffers, threads that write.
    get(8).await;
    let before = most_memory();
    let sha256 = get(256).await;
    let grew = most_memory() - before;
    assert!(grew < 32 * MIB, "{} MiB", grew / MIB);
    let mut hash = Sha256::new();
    (0..256 * MIB as usize / PIECE).for_each(|_| hash.update(piece()));
    assert_eq!(sha256, B256::from_slice(&hash.finalize()));
}
