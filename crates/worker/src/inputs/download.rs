//! One URL into one file. The body goes to the disk as it comes, and is hashed on the way; nothing is ever in memory whole. Every
//! redirect is a new URL that is checked like the first.

use std::error::Error as _;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use alloy_primitives::B256;
use reqwest::header::LOCATION;
use reqwest::{Client, Response, StatusCode};
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncWriteExt, BufWriter};
use tokio::time::{Instant, timeout_at};
use url::Url;
use wire::reach::{Reach, Refusal, refusal_in};

use super::{Budget, DownloadSettings};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// Redirects that are followed.
const REDIRECTS: u32 = 5;

/// Downloads for one worker. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Downloader {
    /// Connects to what a stranger may name.
    limited: Client,
    /// Connects to what the operator named.
    trusted: Client,
    reach: Reach,
    idle: Duration,
}

/// What came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetched {
    /// How many bytes.
    pub bytes: u64,
    /// Their hash.
    pub sha256: B256,
}

/// Why nothing came.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The URL, or one that it was redirected to, must not be connected to.
    #[error(
        "{0}; to allow private addresses on a test network set WORKERPOOL_WORKER_ALLOW_PRIVATE_DOWNLOADS=true"
    )]
    Refused(Refusal),
    /// It was passed on and on.
    #[error("it was redirected more than {REDIRECTS} times")]
    TooManyRedirects,
    /// A redirect that says nowhere.
    #[error("it was redirected to {to:?}, which is no URL")]
    BadRedirect {
        /// What stands there.
        to: String,
    },
    /// The server said no, or that it cannot.
    #[error("{url} answered {status}")]
    Status {
        /// Who.
        url: Url,
        /// What.
        status: StatusCode,
    },
    /// No connection, or one that broke.
    #[error("{url}: {problem}")]
    Broken {
        /// Where.
        url: Url,
        /// The innermost cause.
        problem: String,
    },
    /// The server said nothing for too long.
    #[error("{url} was silent for {} s (WORKERPOOL_WORKER_DOWNLOAD_IDLE_TIMEOUT)", .after.as_secs())]
    Silent {
        /// Who.
        url: Url,
        /// How long.
        after: Duration,
    },
    /// The time of all downloads is over.
    #[error(
        "{url} did not end in the time that the task's downloads have (WORKERPOOL_WORKER_DOWNLOAD_TIMEOUT, or the contribution deadline)"
    )]
    TooSlow {
        /// Who.
        url: Url,
    },
    /// There is more than may come.
    #[error(
        "{url} has more than the {left} bytes that the task's downloads may still have (WORKERPOOL_WORKER_DOWNLOAD_BYTES)"
    )]
    TooLarge {
        /// Who.
        url: Url,
        /// What was left.
        left: u64,
    },
    /// The body was empty, which counts as none (spec `worker.md` §6.7).
    #[error("{url} gave nothing")]
    Empty {
        /// Who.
        url: Url,
    },
    /// There was no place to ask.
    #[error("there is no gateway to ask (WORKERPOOL_WORKER_IPFS_GATEWAYS)")]
    Nowhere,
    /// What came could not be written, or no client can be made here.
    #[error("cannot write {path}: {source}")]
    Disk {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl DownloadError {
    /// True when the same may succeed a little later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Broken { .. } | Self::Silent { .. } => true,
            Self::Status { status, .. } => {
                status.is_server_error()
                    || matches!(
                        *status,
                        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
                    )
            }
            _ => false,
        }
    }

    /// True when this machine is at fault.
    #[must_use]
    pub const fn is_ours(&self) -> bool {
        matches!(self, Self::Disk { .. })
    }
}

impl Downloader {
    /// A downloader as the operator wants it.
    ///
    /// # Errors
    /// The system's certificates cannot be read.
    pub fn new(settings: &DownloadSettings) -> Result<Self, reqwest::Error> {
        Self::within(settings, Reach::of(settings.private))
    }

    /// A downloader that connects, for strangers, to what `reach` allows.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn within(settings: &DownloadSettings, reach: Reach) -> Result<Self, reqwest::Error> {
        let agent = concat!("workerpool/", env!("CARGO_PKG_VERSION"));
        let client = |reach: &Reach| {
            let builder = reach.client().connect_timeout(CONNECT);
            builder.user_agent(agent).build()
        };
        Ok(Self {
            limited: client(&reach)?,
            trusted: client(&Reach::anywhere())?,
            reach,
            idle: settings.idle,
        })
    }

    /// Gets what a stranger's `url` names into the new file `to`.
    ///
    /// # Errors
    /// Why not; `to` may then hold a part.
    pub async fn stranger(
        &self,
        url: &str,
        to: &Path,
        budget: &Budget,
    ) -> Result<Fetched, DownloadError> {
        let url = self.reach.url(url).map_err(DownloadError::Refused)?;
        self.get(url, None, to, budget).await
    }

    /// Gets what lies at `url`, a place that the operator named, into the new file `to`. Where that server redirects to is a stranger's
    /// word again, except to itself.
    ///
    /// # Errors
    /// As [`Self::stranger`].
    pub async fn operator(
        &self,
        url: &Url,
        to: &Path,
        budget: &Budget,
    ) -> Result<Fetched, DownloadError> {
        self.get(url.clone(), Some(url), to, budget).await
    }

    async fn get(
        &self,
        mut url: Url,
        mut trusted: Option<&Url>,
        to: &Path,
        budget: &Budget,
    ) -> Result<Fetched, DownloadError> {
        for _ in 0..=REDIRECTS {
            // Once a server has passed us on to a stranger, it is the stranger who speaks.
            trusted = trusted.filter(|one| one.origin() == url.origin());
            let client = if trusted.is_some() {
                &self.trusted
            } else {
                self.reach.check(&url).map_err(DownloadError::Refused)?;
                &self.limited
            };
            let answer = self.ask(client, &url, budget).await?;
            match next(&url, &answer)? {
                Some(next) => {
                    tracing::debug!(%url, %next, "a download is redirected");
                    url = next;
                }
                None => return self.store(url, answer, to, budget).await,
            }
        }
        Err(DownloadError::TooManyRedirects)
    }

    async fn ask(
        &self,
        client: &Client,
        url: &Url,
        budget: &Budget,
    ) -> Result<Response, DownloadError> {
        let sending = client.get(url.clone()).send();
        // A connection has its own limit, and the answer's beginning may take as long as a silence in its middle.
        let answer = self.in_time(url, budget, CONNECT + self.idle, sending);
        answer.await?.map_err(|error| broken(url, &error))
    }

    async fn store(
        &self,
        url: Url,
        mut answer: Response,
        to: &Path,
        budget: &Budget,
    ) -> Result<Fetched, DownloadError> {
        if !answer.status().is_success() {
            let status = answer.status();
            return Err(DownloadError::Status { url, status });
        }
        let left = budget.bytes;
        if answer.content_length().is_some_and(|length| length > left) {
            return Err(DownloadError::TooLarge { url, left });
        }
        let disk = |source| DownloadError::Disk {
            path: to.to_path_buf(),
            source,
        };
        let mut file = BufWriter::with_capacity(1 << 20, File::create(to).await.map_err(disk)?);
        let mut hash = Sha256::new();
        let mut bytes = 0u64;
        loop {
            let piece = self
                .in_time(&url, budget, self.idle, answer.chunk())
                .await?;
            let Some(piece) = piece.map_err(|error| broken(&url, &error))? else {
                break;
            };
            bytes = bytes.saturating_add(piece.len() as u64);
            if bytes > left {
                return Err(DownloadError::TooLarge { url, left });
            }
            hash.update(&piece);
            file.write_all(&piece).await.map_err(disk)?;
        }
        if bytes == 0 {
            return Err(DownloadError::Empty { url });
        }
        file.flush().await.map_err(disk)?;
        let file = file.into_inner();
        // Whatever user the image runs as reads it; nobody else of this machine reaches it through the task's folder.
        let readable = std::fs::Permissions::from_mode(0o644);
        file.set_permissions(readable).await.map_err(disk)?;
        // On the disk before it gets its name: a file of that name is whole, also after the power failed.
        file.sync_all().await.map_err(disk)?;
        Ok(Fetched {
            bytes,
            sha256: B256::from_slice(&hash.finalize()),
        })
    }

    /// Waits for a part of an answer no longer than a silence may be, and not past the end of the budget.
    async fn in_time<T>(
        &self,
        url: &Url,
        budget: &Budget,
        silence: Duration,
        part: impl Future<Output = T>,
    ) -> Result<T, DownloadError> {
        let silent = Instant::now() + silence;
        let url = || url.clone();
        timeout_at(silent.min(budget.until), part)
            .await
            .map_err(|_| {
                if budget.until <= silent {
                    DownloadError::TooSlow { url: url() }
                } else {
                    DownloadError::Silent {
                        url: url(),
                        after: silence,
                    }
                }
            })
    }
}

/// Where an answer points, if it is one that does.
fn next(url: &Url, answer: &Response) -> Result<Option<Url>, DownloadError> {
    if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let to = answer.headers().get(LOCATION);
    let to = String::from_utf8_lossy(to.map_or(b"", |to| to.as_bytes()));
    match url.join(&to) {
        Ok(next) if !to.is_empty() => Ok(Some(next)),
        _ => Err(DownloadError::BadRedirect {
            to: to.chars().take(200).collect(),
        }),
    }
}

fn broken(url: &Url, error: &reqwest::Error) -> DownloadError {
    if let Some(refusal) = refusal_in(error) {
        return DownloadError::Refused(refusal.clone());
    }
    let mut root = error.source();
    while let Some(inner) = root.and_then(std::error::Error::source) {
        root = Some(inner);
    }
    DownloadError::Broken {
        url: url.clone(),
        problem: root.map_or_else(|| error.to_string(), ToString::to_string),
    }
}
