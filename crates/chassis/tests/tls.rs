//! TLS by certificate files, over real connections: what is shown, what is refused, who waits for whom, renewal, and the end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops at once on what cannot happen"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use base64::Engine as _;
use chassis::env::{MapEnv, Reader, Role};
use chassis::{Front, FrontNames, Origin, Shutdown, Surface};
use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_RSA_SHA256, date_time_ymd,
};
use reqwest::Client;
use tempfile::{NamedTempFile, TempDir};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{
    ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion, version,
};

const NAMES: FrontNames = FrontNames {
    certificate: "WORKERPOOL_SCHEDULER_TLS_CERTIFICATE",
    key: "WORKERPOOL_SCHEDULER_TLS_KEY",
    forward_headers: "WORKERPOOL_SCHEDULER_FORWARD_HEADERS",
};
/// How often these services look at their files.
const LOOK: Duration = Duration::from_millis(30);
/// How long something may take that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Who vouches for certificates.
struct Voucher {
    issuer: Issuer<'static, KeyPair>,
    root: rcgen::Certificate,
}

impl Voucher {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            root,
        }
    }

    fn vouch(&self, key: &KeyPair) -> String {
        self.vouch_until(key, 2090)
    }

    fn vouch_until(&self, key: &KeyPair, year: i32) -> String {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 1, 1);
        params.signed_by(key, &self.issuer).unwrap().pem()
    }

    /// A client that trusts nobody else, and makes a connection for every request.
    fn client(&self, addr: SocketAddr) -> Client {
        let root = reqwest::Certificate::from_der(self.root.der()).unwrap();
        Client::builder()
            .no_proxy()
            .tls_certs_only([root])
            .resolve("localhost", addr)
            .pool_max_idle_per_host(0)
            .timeout(PATIENCE)
            .build()
            .unwrap()
    }
}

/// A certificate and its key in a folder.
struct Files {
    folder: TempDir,
}

impl Files {
    fn new(certificate: &str, key: &str) -> Self {
        let files = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        files.write("chain.pem", certificate);
        files.write("key.pem", key);
        files
    }

    /// As renewing programs do it: at once.
    fn write(&self, name: &str, text: &str) {
        let new = self.folder.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.folder.path().join(name)).unwrap();
    }

    fn front(&self) -> Front {
        let path = |name| self.folder.path().join(name).display().to_string();
        let env = MapEnv::from([
            ("SERVER_SSL_CERTIFICATE", path("chain.pem")),
            ("SERVER_SSL_CERTIFICATEPRIVATEKEY", path("key.pem")),
        ]);
        let mut read = Reader::new(&env, Role::Scheduler);
        let mut front = Front::read(&mut read, NAMES);
        front.tls.as_mut().unwrap().look_every = LOOK;
        read.finish(|| Ok(front)).unwrap()
    }

    /// What an operator reads, without the folder.
    async fn refusal(&self) -> String {
        let error = self.front().certificates().await.unwrap_err().to_string();
        error.replace(self.folder.path().to_str().unwrap(), "<folder>")
    }
}

struct Service {
    addr: SocketAddr,
    shutdown: Shutdown,
    task: JoinHandle<std::io::Result<()>>,
}

impl Service {
    async fn with(front: Front, routes: Router, drain: Duration) -> Self {
        let certificates = front.certificates().await.unwrap();
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = chassis::listen(local, "WORKERPOOL_TEST_PORT")
            .await
            .unwrap();
        let addr = listener.local_addr().unwrap();
        let door = front.door(listener, certificates);
        let shutdown = Shutdown::new();
        let serving =
            chassis::serve_with(door, routes, Surface::default(), drain, shutdown.clone());
        Self {
            addr,
            shutdown,
            task: tokio::spawn(serving),
        }
    }

    async fn of(files: &Files) -> Self {
        let routes = Router::new()
            .route("/version", get(async || "9.3.0"))
            .route("/origin", get(async |origin: Origin| origin.base));
        Self::with(files.front(), routes, chassis::serve::DRAIN).await
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.addr.port())
    }

    async fn get(&self, trusted: &Voucher, path: &str) -> Result<String, reqwest::Error> {
        let answer = trusted.client(self.addr).get(self.url(path)).send().await?;
        answer.error_for_status()?.text().await
    }

    async fn serves(&self, trusted: &Voucher) {
        assert_eq!(self.get(trusted, "/version").await.unwrap(), "9.3.0");
    }
}

async fn eventually(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let until = tokio::time::Instant::now() + PATIENCE;
    while !is().await {
        assert!(tokio::time::Instant::now() < until, "never: {what}");
        tokio::time::sleep(LOOK).await;
    }
}

fn fitting(voucher: &Voucher) -> Files {
    let key = KeyPair::generate().unwrap();
    Files::new(&voucher.vouch(&key), &key.serialize_pem())
}

#[tokio::test]
async fn clients_that_trust_the_voucher_are_served_and_links_say_https() {
    let (voucher, stranger) = (Voucher::new(), Voucher::new());
    let service = Service::of(&fitting(&voucher)).await;
    service.serves(&voucher).await;
    let origin = service.get(&voucher, "/origin").await.unwrap();
    assert_eq!(origin, service.url(""));
    assert!(service.get(&stranger, "/version").await.is_err());
}

#[tokio::test]
async fn both_versions_of_tls_are_spoken_and_http_1_1_inside() {
    let voucher = Voucher::new();
    let service = Service::of(&fitting(&voucher)).await;
    let spoken = async |only: &'static SupportedProtocolVersion| {
        let mut roots = RootCertStore::empty();
        roots.add(voucher.root.der().clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[only])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let connection = TcpStream::connect(service.addr).await.unwrap();
        let connection = TlsConnector::from(Arc::new(config))
            .connect("localhost".try_into().unwrap(), connection)
            .await
            .unwrap();
        let (_, session) = connection.get_ref();
        let inside = session.alpn_protocol().map(<[u8]>::to_vec);
        (session.protocol_version().unwrap(), inside)
    };
    let http = Some(b"http/1.1".to_vec());
    let old = spoken(&version::TLS12).await;
    assert_eq!(old, (ProtocolVersion::TLSv1_2, http.clone()));
    let new = spoken(&version::TLS13).await;
    assert_eq!(new, (ProtocolVersion::TLSv1_3, http));
}

#[tokio::test]
async fn a_key_may_come_in_each_of_its_forms() {
    let voucher = Voucher::new();
    let pem = |kind: &str, der: &[u8]| {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {kind}-----\n{text}\n-----END {kind}-----\n")
    };
    let elliptic = KeyPair::generate().unwrap();
    let rsa = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    // PKCS#8 is a head and the older form.
    let sec1 = pem("EC PRIVATE KEY", &elliptic.serialized_der()[29..]);
    let pkcs1 = pem("RSA PRIVATE KEY", &rsa.serialized_der()[26..]);
    for (pair, text) in [
        (&elliptic, elliptic.serialize_pem()),
        (&elliptic, sec1),
        (&rsa, rsa.serialize_pem()),
        (&rsa, pkcs1),
    ] {
        let service = Service::of(&Files::new(&voucher.vouch(pair), &text)).await;
        service.serves(&voucher).await;
    }
}

#[tokio::test]
async fn what_cannot_be_used_is_told_with_setting_file_and_mend() {
    let voucher = Voucher::new();
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let (chain, text) = (voucher.vouch(&key), key.serialize_pem());

    insta::assert_snapshot!(Files::new(&chain, &other.serialize_pem()).refusal().await, @r"
    the key in <folder>/key.pem (SERVER_SSL_CERTIFICATEPRIVATEKEY) is not the key of the first certificate in <folder>/chain.pem (SERVER_SSL_CERTIFICATE)
      mend: put the service's own certificate first, and name the key that it was made for
    ");
    let backwards = format!("{}{chain}", voucher.root.pem());
    assert!(
        Files::new(&backwards, &text)
            .refusal()
            .await
            .contains("first certificate")
    );
    insta::assert_snapshot!(Files::new("", &text).refusal().await, @r"
    <folder>/chain.pem (SERVER_SSL_CERTIFICATE) is not a PEM file: no certificate is in it
      mend: name a file that holds the certificate, then those that vouch for it, each between BEGIN CERTIFICATE and END CERTIFICATE
    ");
    insta::assert_snapshot!(Files::new(&chain, &chain).refusal().await, @r"
    <folder>/key.pem (SERVER_SSL_CERTIFICATEPRIVATEKEY) is not a PEM file: no private key is in it
      mend: name a file that holds the key between BEGIN PRIVATE KEY, BEGIN EC PRIVATE KEY or BEGIN RSA PRIVATE KEY and its end
    ");
    let encrypted = text.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    insta::assert_snapshot!(Files::new(&chain, &encrypted).refusal().await, @r"
    the key in <folder>/key.pem (SERVER_SSL_CERTIFICATEPRIVATEKEY) is encrypted
      mend: store it without a password, readable for this program only: openssl pkey -in <folder>/key.pem -out key.pem
    ");
    let cut = &chain[..chain.len() / 2];
    assert!(
        Files::new(cut, &text)
            .refusal()
            .await
            .contains("chain.pem (SERVER_SSL_CERTIFICATE) is not a PEM file")
    );
    let hollow = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(
        Files::new(hollow, &text)
            .refusal()
            .await
            .contains("cannot be used with the key")
    );
    let gone = Files::new(&chain, &text);
    std::fs::remove_file(gone.folder.path().join("key.pem")).unwrap();
    insta::assert_snapshot!(gone.refusal().await, @r"
    <folder>/key.pem (SERVER_SSL_CERTIFICATEPRIVATEKEY) cannot be read: No such file or directory (os error 2)
      mend: correct the path, or let this program read the file
    ");
}

#[tokio::test]
async fn who_says_nothing_keeps_nobody_waiting() {
    let voucher = Voucher::new();
    let service = Service::of(&fitting(&voucher)).await;
    let mut silent = Vec::new();
    for index in 0..50 {
        let mut connection = TcpStream::connect(service.addr).await.unwrap();
        if index % 2 == 0 {
            // The beginning of a handshake that never goes on.
            connection.write_all(&[22, 3, 1, 2]).await.unwrap();
        }
        silent.push(connection);
    }
    let served = tokio::time::timeout(Duration::from_secs(5), service.serves(&voucher));
    served.await.unwrap();
    let ended = async {
        for connection in &mut silent {
            let _ = connection.read_to_end(&mut Vec::new()).await;
        }
    };
    // The limit is 10 s.
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
}

#[tokio::test]
async fn who_speaks_something_else_is_told_so_and_ends_only_himself() {
    let voucher = Voucher::new();
    let service = Service::of(&fitting(&voucher)).await;
    let plain = Client::builder().no_proxy().build().unwrap();
    let url = service
        .url("/version")
        .replace("https://localhost", "http://127.0.0.1");
    let answer = plain.get(url).send().await.unwrap();
    assert_eq!(answer.status(), 400);
    let text = answer.text().await.unwrap();
    assert!(
        text.contains("This combination of host and port requires TLS."),
        "{text}"
    );
    for noise in [&[0; 64][..], b"\x16\x03\x01\x00\x05hello", b"\xff"] {
        let mut connection = TcpStream::connect(service.addr).await.unwrap();
        connection.write_all(noise).await.unwrap();
        connection.shutdown().await.unwrap();
        // An alert, perhaps, and the end.
        let _ = connection.read_to_end(&mut Vec::new()).await;
    }
    service.serves(&voucher).await;
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_without_a_restart() {
    let (before, after) = (Voucher::new(), Voucher::new());
    let files = fitting(&before);
    let service = Service::of(&files).await;
    service.serves(&before).await;
    assert!(service.get(&after, "/version").await.is_err());

    let key = KeyPair::generate().unwrap();
    files.write("chain.pem", &after.vouch(&key));
    // Between the two files nothing fits, and the old one stays.
    tokio::time::sleep(LOOK * 4).await;
    service.serves(&before).await;
    files.write("key.pem", &key.serialize_pem());
    eventually("the new certificate is shown", async || {
        service.get(&after, "/version").await.is_ok()
    })
    .await;
    assert!(service.get(&before, "/version").await.is_err());
}

#[tokio::test]
async fn a_connection_outlives_the_certificate_that_it_began_with() {
    let (before, after) = (Voucher::new(), Voucher::new());
    let files = fitting(&before);
    let service = Service::of(&files).await;
    let root = reqwest::Certificate::from_der(before.root.der()).unwrap();
    let kept = Client::builder()
        .no_proxy()
        .tls_certs_only([root])
        .resolve("localhost", service.addr)
        .build()
        .unwrap();
    let ask = async || kept.get(service.url("/version")).send().await?.text().await;
    assert_eq!(ask().await.unwrap(), "9.3.0");
    let key = KeyPair::generate().unwrap();
    files.write("chain.pem", &after.vouch(&key));
    files.write("key.pem", &key.serialize_pem());
    eventually("the new certificate is shown", async || {
        service.get(&after, "/version").await.is_ok()
    })
    .await;
    assert_eq!(ask().await.unwrap(), "9.3.0");
}

/// What is logged on this thread.
fn heard() -> (NamedTempFile, tracing::subscriber::DefaultGuard) {
    let log = NamedTempFile::new().unwrap();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::INFO)
        .with_writer(Arc::new(log.reopen().unwrap()))
        .finish();
    (log, tracing::subscriber::set_default(subscriber))
}

fn times(log: &NamedTempFile, text: &str) -> usize {
    std::fs::read_to_string(log.path())
        .unwrap()
        .matches(text)
        .count()
}

#[tokio::test]
async fn a_broken_renewal_is_told_once_and_changes_nothing() {
    let voucher = Voucher::new();
    let files = fitting(&voucher);
    let (log, _guard) = heard();
    let told = |log| times(log, "the one from before stays");
    let service = Service::of(&files).await;
    files.write("key.pem", "nothing");
    eventually("it is told", async || told(&log) == 1).await;
    tokio::time::sleep(LOOK * 5).await;
    assert_eq!(told(&log), 1);
    service.serves(&voucher).await;
    // Another change is another warning.
    std::fs::remove_file(files.folder.path().join("key.pem")).unwrap();
    eventually("it is told again", async || told(&log) == 2).await;
    tokio::time::sleep(LOOK * 5).await;
    assert_eq!(told(&log), 2);
    service.serves(&voucher).await;
}

#[tokio::test]
async fn an_expired_certificate_is_warned_of_and_shown() {
    let voucher = Voucher::new();
    let key = KeyPair::generate().unwrap();
    let expired = voucher.vouch_until(&key, 2001);
    let files = Files::new(&expired, &key.serialize_pem());
    let (log, _guard) = heard();
    let service = Service::of(&files).await;
    tokio::time::sleep(LOOK * 4).await;
    assert_eq!(times(&log, "the certificate is expired"), 1);
    assert_eq!(times(&log, "2001-01-01"), 1);
    let careless = Client::builder()
        .no_proxy()
        .tls_danger_accept_invalid_certs(true)
        .build()
        .unwrap();
    let url = service.url("/version").replace("localhost", "127.0.0.1");
    assert_eq!(careless.get(url).send().await.unwrap().status(), 200);
    files.write("chain.pem", &voucher.vouch(&key));
    eventually("the new certificate is shown", async || {
        service.get(&voucher, "/version").await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn at_the_end_what_runs_is_finished_and_nothing_new_is_taken() {
    let voucher = Voucher::new();
    let (begun, mut has_begun) = mpsc::unbounded_channel();
    let (go_on, may_go_on) = mpsc::unbounded_channel::<()>();
    let may_go_on = Arc::new(tokio::sync::Mutex::new(may_go_on));
    let held = async move || {
        begun.send(()).unwrap();
        may_go_on.lock().await.recv().await;
        "finished"
    };
    let routes = Router::new().route("/held", get(held));
    let files = fitting(&voucher);
    let service = Service::with(files.front(), routes, PATIENCE).await;
    // In the middle of a handshake when the end comes: it is dropped.
    let mut halfway = TcpStream::connect(service.addr).await.unwrap();
    let asking = tokio::spawn(
        voucher
            .client(service.addr)
            .get(service.url("/held"))
            .send(),
    );
    has_begun.recv().await.unwrap();
    service.shutdown.trigger();
    eventually("nothing new is taken", async || {
        TcpStream::connect(service.addr).await.is_err()
    })
    .await;
    let _ = halfway.read_to_end(&mut Vec::new()).await;
    assert!(!service.task.is_finished());
    go_on.send(()).unwrap();
    let answer = asking.await.unwrap().unwrap();
    assert_eq!(answer.text().await.unwrap(), "finished");
    service.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_does_not_end_in_time_is_answered_503() {
    let voucher = Voucher::new();
    let (begun, mut has_begun) = mpsc::unbounded_channel();
    let held = async move || {
        begun.send(()).unwrap();
        std::future::pending::<()>().await;
    };
    let routes = Router::new().route("/held", get(held));
    let drain = Duration::from_millis(100);
    let service = Service::with(fitting(&voucher).front(), routes, drain).await;
    let asking = tokio::spawn(
        voucher
            .client(service.addr)
            .get(service.url("/held"))
            .send(),
    );
    has_begun.recv().await.unwrap();
    service.shutdown.trigger();
    assert_eq!(asking.await.unwrap().unwrap().status(), 503);
    service.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_proxy_on_this_machine_is_believed_only_when_the_operator_says_so() {
    let routes = || Router::new().route("/origin", get(async |origin: Origin| origin.base));
    for (forwarded, scheme) in [(true, "https"), (false, "http")] {
        let front = Front {
            tls: None,
            forwarded,
        };
        let service = Service::with(front, routes(), chassis::serve::DRAIN).await;
        let client = Client::builder().no_proxy().build().unwrap();
        let answer = client
            .get(format!("http://{}/origin", service.addr))
            .header("host", "pool.example")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-for", "192.0.2.1");
        let text = answer.send().await.unwrap().text().await.unwrap();
        assert_eq!(text, format!("{scheme}://pool.example"));
    }
}
