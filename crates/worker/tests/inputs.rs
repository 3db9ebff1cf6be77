//! Datasets and input files from servers that do what they like: what lies in the input folder afterwards, and what is said when nothing
//! does. Of this machine's loopback addresses 127.0.0.2 stands for the internet; 127.0.0.1 is what strangers must not reach.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests stop at what cannot happen"
)]

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, B256, U256};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use poco::deal_params::DealParams;
use poco::ids::{DealId, TaskId};
use poco::tag::Tag;
use poco::units::Timestamp;
use sha2::{Digest, Sha256};
use wire::reach::{Lookup, Reach};
use wire::status::ReplicateStatusCause as Cause;
use worker::description::TaskDescription;
use worker::inputs::{DownloadError, DownloadSettings, Downloader, InputError, fetch, file_name};
use worker::outputs::TaskFolder;

const DATA: &str = "the dataset";

fn sha256(text: &str) -> B256 {
    B256::from_slice(&Sha256::digest(text))
}

/// A server on one of this machine's addresses: what it is asked for, and what it answers.
struct Server {
    base: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn on(
        address: &str,
        answer: impl Fn(&str, usize) -> Response + Send + Sync + 'static,
    ) -> Self {
        let listener = tokio::net::TcpListener::bind((address, 0)).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (list, answer) = (Arc::clone(&asked), Arc::new(answer));
        let routes = Router::new().fallback(move |uri: Uri| {
            let (list, answer) = (Arc::clone(&list), Arc::clone(&answer));
            async move {
                let mut list = list.lock().unwrap();
                list.push(uri.to_string());
                answer(uri.path(), list.len())
            }
        });
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { base, asked }
    }

    /// One that anybody may reach.
    async fn new(answer: impl Fn(&str, usize) -> Response + Send + Sync + 'static) -> Self {
        Self::on("127.0.0.2", answer).await
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn redirect(to: impl AsRef<str>) -> Response {
    let to = to.as_ref().to_owned();
    (StatusCode::FOUND, [(header::LOCATION, to)]).into_response()
}

/// A body without end, a piece at a time as fast as it is taken.
fn endless() -> Response {
    let pieces = stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![0; 64 * 1024])));
    Body::from_stream(pieces).into_response()
}

/// A body that gives a byte every now and then.
fn drips() -> Response {
    let pieces = stream::repeat(()).then(async |()| {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok::<_, std::io::Error>(Bytes::from_static(b"."))
    });
    Body::from_stream(pieces).into_response()
}

/// A body that begins and then stays silent.
fn falls_silent() -> Response {
    let begin = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"begin"))]);
    Body::from_stream(begin.chain(stream::pending())).into_response()
}

/// One task, its folder, and a downloader for it.
struct World {
    base: tempfile::TempDir,
    settings: DownloadSettings,
    task: TaskDescription,
    lookup: Lookup,
}

impl World {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = Timestamp(u64::try_from(now.as_millis()).unwrap());
        let settings = DownloadSettings {
            bytes: 1 << 20,
            total: Duration::from_secs(20),
            idle: Duration::from_secs(5),
            private: false,
            gateways: Vec::new(),
        };
        let task = TaskDescription {
            task: TaskId(B256::repeat_byte(0x11)),
            deal: DealId::default(),
            index: 0,
            bot_first: 0,
            bot_size: 1,
            pool: Address::ZERO,
            image: "image".to_owned(),
            checksum: B256::ZERO,
            dataset: Address::ZERO,
            dataset_uri: String::new(),
            dataset_checksum: B256::ZERO,
            callback: Address::ZERO,
            trust: U256::from(1),
            tag: Tag::NONE,
            params: DealParams::default(),
            max_execution: Duration::from_secs(300),
            contribution_deadline: now.saturating_add(Duration::from_secs(3600)),
            final_deadline: now.saturating_add(Duration::from_secs(7200)),
            worker_stake: U256::ZERO,
        };
        Self {
            base: tempfile::tempdir().unwrap(),
            settings,
            task,
            lookup: Arc::new(|name| Box::pin(async move { panic!("nobody asked for {name}") })),
        }
    }

    fn dataset(mut self, uri: impl Into<String>) -> Self {
        self.task.dataset = Address::repeat_byte(0xDA);
        self.task.dataset_uri = uri.into();
        self.task.dataset_checksum = sha256(DATA);
        self
    }

    fn files(mut self, urls: &[String]) -> Self {
        self.task.params.input_files = urls.to_vec();
        self
    }

    fn folder(&self) -> TaskFolder {
        TaskFolder::of(self.base.path(), self.task.task)
    }

    fn input(&self, name: &str) -> PathBuf {
        self.folder().input().join(name)
    }

    fn data(&self) -> PathBuf {
        self.input(&format!("0x{}", "da".repeat(20)))
    }

    async fn fetch(&self) -> Result<(), InputError> {
        let public = |address: IpAddr| address == IpAddr::from([127, 0, 0, 2]);
        let reach = Reach::with(Arc::clone(&self.lookup), public);
        let downloader = Downloader::within(&self.settings, reach).unwrap();
        fetch(&downloader, &self.settings, &self.task, &self.folder()).await
    }

    /// Why the one input file did not come.
    async fn refused(self, url: String) -> DownloadError {
        let world = self.files(std::slice::from_ref(&url));
        let error = world.fetch().await.unwrap_err();
        assert_eq!(error.cause(), Cause::InputFilesDownloadFailed, "{error}");
        assert!(!world.input(&file_name(&url)).exists());
        match error {
            InputError::File { source, .. } => source,
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_dataset_is_held_to_the_same_limits_as_input_files() {
    let own = Server::on("127.0.0.1", |_, _| "secret".into_response()).await;
    let target = own.url("/latest/meta-data/");
    let server = Server::new(move |path, _| match path {
        "/endless" => endless(),
        _ => redirect(&target),
    })
    .await;
    for uri in [
        server.url("/endless"),
        server.url("/redirects"),
        own.url("/"),
        "file:///etc/passwd".to_owned(),
    ] {
        let world = World::new().dataset(&*uri);
        let error = world.fetch().await.unwrap_err();
        assert_eq!(error.cause(), Cause::DatasetFileDownloadFailed, "{error}");
        assert!(!world.data().exists());
        let InputError::Dataset { source, .. } = error else {
            panic!("{error}");
        };
        let endless = uri.ends_with("/endless");
        let as_expected = match source {
            DownloadError::TooLarge { .. } => endless,
            _ => !endless,
        };
        assert!(as_expected, "{uri}: {source}");
    }
    assert!(own.asked().is_empty());
}

#[tokio::test]
async fn dataset_and_input_files_lie_in_the_input_folder_under_the_protocols_names() {
    let server = Server::new(|path, _| match path {
        "/data" => DATA.into_response(),
        _ => path.to_owned().into_response(),
    })
    .await;
    let files = [
        server.url("/a%20b?c=d"),
        server.url("/é"),
        server.url("/a%20b?c=d"),
    ];
    let world = World::new().dataset(server.url("/data")).files(&files);
    world.fetch().await.unwrap();
    assert_eq!(std::fs::read_to_string(world.data()).unwrap(), DATA);
    let named = |url: &str| world.input(&format!("0x{}", hex(&Sha256::digest(url))));
    assert_eq!(std::fs::read_to_string(named(&files[0])).unwrap(), "/a%20b");
    assert!(named(&files[1]).exists());
    // Nothing else lies there, whoever the image runs as may read it, and a URL that is named twice is fetched once.
    let entries = std::fs::read_dir(world.folder().input()).unwrap();
    assert_eq!(entries.count(), 3);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(world.data()).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o644);
    assert_eq!(server.asked().len(), 3);
    assert!(!world.folder().root().join("incoming").exists());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_dataset_that_is_not_the_one_on_chain_is_a_bad_checksum_and_is_not_left_behind() {
    let server = Server::new(|_, _| "another dataset".into_response()).await;
    let world = World::new().dataset(server.url("/data"));
    let error = world.fetch().await.unwrap_err();
    assert!(matches!(error, InputError::Checksum { .. }), "{error}");
    assert_eq!(error.cause(), Cause::DatasetFileBadChecksum);
    assert!(!error.is_ours());
    assert!(!world.data().exists());
    assert_eq!(
        server.asked().len(),
        1,
        "what is whole is not asked for again"
    );
}

#[tokio::test]
async fn a_checksum_of_zeros_is_one_that_nothing_has() {
    let server = Server::new(|_, _| DATA.into_response()).await;
    let mut world = World::new().dataset(server.url("/data"));
    world.task.dataset_checksum = B256::ZERO;
    assert_eq!(
        world.fetch().await.unwrap_err().cause(),
        Cause::DatasetFileBadChecksum
    );
}

#[tokio::test]
async fn a_body_without_end_is_left_at_the_limit() {
    let server = Server::new(|_, _| endless()).await;
    let error = World::new().refused(server.url("/")).await;
    assert!(
        matches!(
            error,
            DownloadError::TooLarge {
                left: 1_048_576,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_body_that_announces_too_much_is_not_begun() {
    let server = Server::new(|_, _| {
        let length = [(header::CONTENT_LENGTH, (1u64 << 40).to_string())];
        (
            length,
            Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()),
        )
            .into_response()
    })
    .await;
    let error = World::new().refused(server.url("/")).await;
    assert!(matches!(error, DownloadError::TooLarge { .. }), "{error}");
}

#[tokio::test]
async fn the_limit_is_that_of_all_downloads_of_a_task_together() {
    let server = Server::new(|_, _| vec![7u8; 600 << 10].into_response()).await;
    let world = World::new().files(&[server.url("/1"), server.url("/2")]);
    let error = world.fetch().await.unwrap_err();
    assert!(error.to_string().contains("/2"), "{error}");
    assert!(
        error
            .to_string()
            .contains("WORKERPOOL_WORKER_DOWNLOAD_BYTES"),
        "{error}"
    );
}

#[tokio::test]
async fn a_body_that_drips_for_ever_ends_when_the_time_is_over() {
    let server = Server::new(|_, _| drips()).await;
    let mut world = World::new();
    world.settings.total = Duration::from_millis(500);
    let error = world.refused(server.url("/")).await;
    assert!(matches!(error, DownloadError::TooSlow { .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_falls_silent_is_left_and_asked_again() {
    let server = Server::new(|_, time| match time {
        1 => falls_silent(),
        _ => "whole".into_response(),
    })
    .await;
    let url = server.url("/");
    let mut world = World::new().files(std::slice::from_ref(&url));
    world.settings.idle = Duration::from_millis(300);
    world.fetch().await.unwrap();
    let text = std::fs::read_to_string(world.input(&file_name(&url))).unwrap();
    assert_eq!(text, "whole");
}

#[tokio::test]
async fn a_server_that_takes_the_connection_and_says_nothing_is_left() {
    let listener = tokio::net::TcpListener::bind("127.0.0.2:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await.unwrap());
        }
    });
    let mut world = World::new();
    world.settings.total = Duration::from_millis(500);
    let error = world.refused(url).await;
    assert!(matches!(error, DownloadError::TooSlow { .. }), "{error}");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_never_taken_for_a_whole_one() {
    let server = Server::new(|_, time| {
        if time == 1 {
            let broken = stream::iter([
                Ok(Bytes::from_static(b"half")),
                Err(std::io::Error::other("gone")),
            ]);
            Body::from_stream(broken).into_response()
        } else {
            "half and half".into_response()
        }
    })
    .await;
    let url = server.url("/");
    let world = World::new().files(std::slice::from_ref(&url));
    world.fetch().await.unwrap();
    let text = std::fs::read_to_string(world.input(&file_name(&url))).unwrap();
    assert_eq!(text, "half and half");
}

#[tokio::test]
async fn what_a_server_refuses_is_not_asked_for_again_and_what_it_cannot_now_is() {
    let missing = Server::new(|_, _| StatusCode::NOT_FOUND.into_response()).await;
    let error = World::new().refused(missing.url("/")).await;
    assert!(matches!(error, DownloadError::Status { .. }), "{error}");
    assert_eq!(missing.asked().len(), 1);

    let busy = Server::new(|_, time| match time {
        1 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        2 => StatusCode::TOO_MANY_REQUESTS.into_response(),
        _ => "here".into_response(),
    })
    .await;
    let world = World::new().files(&[busy.url("/")]);
    world.fetch().await.unwrap();
    assert_eq!(busy.asked().len(), 3);
}

#[tokio::test]
async fn an_empty_body_counts_as_none() {
    let server = Server::new(|_, _| "".into_response()).await;
    let error = World::new().refused(server.url("/")).await;
    assert!(matches!(error, DownloadError::Empty { .. }), "{error}");
}

#[tokio::test]
async fn five_redirects_are_followed_and_the_sixth_is_not() {
    let server = Server::new(|path, _| {
        let left: u32 = path.trim_start_matches('/').parse().unwrap();
        match left {
            0 => "arrived".into_response(),
            _ => redirect(format!("{}", left - 1)),
        }
    })
    .await;
    World::new()
        .files(&[server.url("/5")])
        .fetch()
        .await
        .unwrap();
    let error = World::new().refused(server.url("/6")).await;
    assert!(matches!(error, DownloadError::TooManyRedirects), "{error}");
}

#[tokio::test]
async fn a_redirect_to_a_private_address_is_not_followed() {
    // S2: the second server stands for the worker's own port, or a cloud's metadata.
    let own = Server::on("127.0.0.1", |_, _| "secret".into_response()).await;
    let target = own.url("/latest/meta-data/");
    let server = Server::new(move |_, _| redirect(&target)).await;
    let error = World::new().refused(server.url("/")).await;
    assert!(matches!(error, DownloadError::Refused(_)), "{error}");
    assert!(
        error
            .to_string()
            .contains("WORKERPOOL_WORKER_ALLOW_PRIVATE_DOWNLOADS"),
        "{error}"
    );
    assert!(own.asked().is_empty());
    assert_eq!(server.asked().len(), 1, "asking again would not help");
}

#[tokio::test]
async fn a_redirect_to_a_file_of_this_machine_is_not_followed() {
    // S1
    for target in ["file:///etc/passwd", "jar:file:///x!/y", "http://", ""] {
        let server = Server::new(move |_, _| redirect(target)).await;
        let error = World::new().refused(server.url("/")).await;
        assert!(
            matches!(
                error,
                DownloadError::Refused(_) | DownloadError::BadRedirect { .. }
            ),
            "{target}: {error}"
        );
    }
}

#[tokio::test]
async fn what_is_no_address_of_the_web_is_refused() {
    // S1
    for url in [
        "file:///etc/passwd",
        "ftp://a/b",
        "/ipfs/Qm",
        "",
        "127.0.0.2",
    ] {
        let error = World::new().refused(url.to_owned()).await;
        assert!(matches!(error, DownloadError::Refused(_)), "{url}: {error}");
    }
}

#[tokio::test]
async fn a_name_that_means_another_address_at_every_look_never_leads_inside() {
    let own = Server::on("127.0.0.1", |_, _| "secret".into_response()).await;
    let port = own.base.rsplit(':').next().unwrap().to_owned();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let mut world = World::new();
    // The connection to the public address is refused by this machine, since nobody listens there; the next look gives the private one.
    world.lookup = Arc::new(move |_| {
        let time = count.fetch_add(1, Ordering::SeqCst);
        let address = if time == 0 {
            [127, 0, 0, 2]
        } else {
            [127, 0, 0, 1]
        };
        Box::pin(async move { Ok(vec![IpAddr::from(address)]) })
    });
    let error = world.refused(format!("http://rebind.test:{port}/")).await;
    assert!(matches!(error, DownloadError::Refused(_)), "{error}");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert!(own.asked().is_empty());
}

#[tokio::test]
async fn a_dataset_of_ipfs_comes_from_the_first_gateway_that_has_the_right_one() {
    // Gateways are the operator's word: they may be on this machine.
    let none = Server::on("127.0.0.1", |_, _| StatusCode::NOT_FOUND.into_response()).await;
    let wrong = Server::on("127.0.0.1", |_, _| "another".into_response()).await;
    let right = Server::on("127.0.0.1", |path, _| match path {
        "/ipfs/QmData" => redirect("/elsewhere"),
        _ => DATA.into_response(),
    })
    .await;
    let gateways = |list: &[&Server]| {
        let urls = list.iter().map(|one| one.base.parse().unwrap());
        urls.collect::<Vec<_>>()
    };
    let mut world = World::new().dataset("/ipfs/QmData");
    world.settings.gateways = gateways(&[&none, &wrong, &right]);
    world.fetch().await.unwrap();
    assert_eq!(std::fs::read_to_string(world.data()).unwrap(), DATA);
    assert_eq!(none.asked(), ["/ipfs/QmData"]);

    let mut world = World::new().dataset("/p2p/QmData");
    world.settings.gateways = gateways(&[&wrong, &none]);
    let error = world.fetch().await.unwrap_err();
    assert_eq!(error.cause(), Cause::DatasetFileBadChecksum, "{error}");

    let mut world = World::new().dataset("/ipfs/QmData");
    world.settings.gateways = gateways(&[&none]);
    let error = world.fetch().await.unwrap_err();
    assert_eq!(error.cause(), Cause::DatasetFileDownloadFailed, "{error}");
}

#[tokio::test]
async fn a_gateway_that_redirects_to_a_private_address_is_not_followed_there() {
    let own = Server::on("127.0.0.1", |_, _| DATA.into_response()).await;
    let target = own.url("/metrics");
    let gateway = Server::on("127.0.0.1", move |_, _| redirect(&target)).await;
    let mut world = World::new().dataset("/ipfs/QmData");
    world.settings.gateways = vec![gateway.base.parse().unwrap()];
    let error = world.fetch().await.unwrap_err();
    assert_eq!(error.cause(), Cause::DatasetFileDownloadFailed, "{error}");
    assert!(own.asked().is_empty());
}

#[tokio::test]
async fn after_a_kill_a_half_is_thrown_away_and_a_whole_is_kept() {
    let server = Server::new(|path, _| match path {
        "/data" => DATA.into_response(),
        _ => "file".into_response(),
    })
    .await;
    let file = server.url("/file");
    let world = World::new()
        .dataset(server.url("/data"))
        .files(std::slice::from_ref(&file));
    // Killed in the middle of the dataset.
    let incoming = world.folder().root().join("incoming");
    std::fs::create_dir_all(&incoming).unwrap();
    std::fs::write(incoming.join("0xda"), "the da").unwrap();
    world.fetch().await.unwrap();
    assert_eq!(server.asked(), ["/data", "/file"]);
    // Killed after all was there.
    world.fetch().await.unwrap();
    assert_eq!(server.asked().len(), 2, "nothing is fetched twice");
    // A dataset that is not what it should be is fetched again.
    std::fs::write(world.data(), "the datasex").unwrap();
    world.fetch().await.unwrap();
    assert_eq!(std::fs::read_to_string(world.data()).unwrap(), DATA);
    assert_eq!(server.asked().len(), 3);
    assert!(!incoming.exists());
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_this_machines_fault_and_no_result() {
    let server = Server::new(|_, _| "file".into_response()).await;
    let world = World::new().files(&[server.url("/")]);
    std::fs::write(world.folder().root(), "a file in the folder's place").unwrap();
    let error = world.fetch().await.unwrap_err();
    assert!(error.is_ours(), "{error}");
    assert_eq!(error.cause(), Cause::PostComputeFailedUnknownIssue);
}
