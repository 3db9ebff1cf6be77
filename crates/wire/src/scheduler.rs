//! What a worker asks of its scheduler (spec worker §3.9, scheduler-api §3).

use std::time::Duration;

use alloy_primitives::Address;
use poco::ids::TaskId;
use poco::units::BlockNumber;
use url::Url;

use crate::error::ClientError;
use crate::features::Features;
use crate::http::{Answer, PATIENCE, Peer, Repeat, Request, json_body};
use crate::message::{
    PublicConfiguration, ReplicateStatusUpdate, ReplicateTaskSummary, Signature, TaskNotification,
    WorkerModel,
};
use crate::status::TaskNotificationType;
use crate::token::Token;

/// A scheduler waits for blocks and reads the chain again before it answers a report: up to 3 × 6 blocks (spec worker §3.7).
const REPORT_PATIENCE: Duration = Duration::from_secs(180);

/// A scheduler, as a worker sees it. Cheap to clone; holds no token and no state of its own.
#[derive(Debug, Clone)]
pub struct SchedulerClient {
    peer: Peer,
}

/// What a scheduler says to a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusAnswer {
    /// 200: it is recorded. None when there is nothing to do next, as after `ABORTED`.
    Accepted(Option<TaskNotificationType>),
    /// 208: it was recorded before. A scheduler of ours tells what to do next, the original says `PLEASE_WAIT`.
    AlreadyKnown(Option<TaskNotificationType>),
    /// 202: it is not recorded, the task is to be aborted.
    Refused(Option<TaskNotificationType>),
}

impl StatusAnswer {
    /// What the worker is told to do next, if anything.
    pub const fn next(self) -> Option<TaskNotificationType> {
        match self {
            Self::Accepted(next) | Self::AlreadyKnown(next) | Self::Refused(next) => next,
        }
    }
}

/// What an ask for work brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supply {
    /// A task, or nothing now.
    pub work: Option<ReplicateTaskSummary>,
    /// The faster paths granted for this call.
    pub granted: Features,
}

impl SchedulerClient {
    /// A client of the scheduler at `base`.
    ///
    /// # Errors
    /// When the system's certificates cannot be read.
    pub fn new(base: Url) -> Result<Self, ClientError> {
        Ok(Self {
            peer: Peer::new(base)?,
        })
    }

    /// Where the scheduler is.
    pub const fn base(&self) -> &Url {
        self.peer.base()
    }

    /// The scheduler's version, `GET /version`.
    ///
    /// # Errors
    /// When there is no such answer.
    pub async fn version(&self) -> Result<String, ClientError> {
        self.peer
            .ask(&Request::get("/version"))
            .await?
            .success()?
            .text("version")
    }

    /// What the scheduler says about itself, `GET /workers/config`.
    ///
    /// # Errors
    /// When there is no such answer.
    pub async fn workers_config(&self) -> Result<PublicConfiguration, ClientError> {
        let answer = self.peer.ask(&Request::get("/workers/config")).await?;
        answer.success()?.json("public configuration")
    }

    /// The text to sign for a login, `GET /workers/challenge`.
    ///
    /// # Errors
    /// [`ClientError::Unauthorized`] when the wallet may not join this pool.
    pub async fn challenge(&self, wallet: Address) -> Result<String, ClientError> {
        let query = [("walletAddress", poco::hex::lower(&wallet))];
        let request = Request {
            query: &query,
            ..Request::get("/workers/challenge")
        };
        self.peer
            .ask(&request)
            .await?
            .success()?
            .text("login challenge")
    }

    /// A token for the signed challenge, `POST /workers/login`.
    ///
    /// # Errors
    /// [`ClientError::Unauthorized`] when wallet or signature are refused.
    pub async fn login(
        &self,
        wallet: Address,
        signature: &Signature,
    ) -> Result<Token, ClientError> {
        let path = "/workers/login";
        let query = [("walletAddress", poco::hex::lower(&wallet))];
        let body = json_body(path, signature)?;
        let request = Request {
            query: &query,
            body,
            ..Request::post(path, Repeat::Safe)
        };
        self.peer
            .ask(&request)
            .await?
            .success()?
            .text("token")
            .map(Token::new)
    }

    /// Says that we are alive, `POST /workers/ping`. The hash of the scheduler's public configuration.
    ///
    /// # Errors
    /// [`ClientError::Unauthorized`] when the token is not valid any more.
    pub async fn ping(&self, token: &Token) -> Result<String, ClientError> {
        let headers = [bearer(token)];
        let request = Request {
            headers: &headers,
            ..Request::post("/workers/ping", Repeat::Safe)
        };
        self.peer
            .ask(&request)
            .await?
            .success()?
            .text("configuration hash")
    }

    /// Says what we are, `POST /workers/register`. The faster paths that the scheduler grants.
    ///
    /// # Errors
    /// [`ClientError::Unauthorized`] when the token is not valid any more.
    pub async fn register(
        &self,
        token: &Token,
        worker: &WorkerModel,
        features: Features,
    ) -> Result<Features, ClientError> {
        let path = "/workers/register";
        let headers = with_features(token, features);
        let body = json_body(path, worker)?;
        let request = Request {
            headers: &headers,
            body,
            ..Request::post(path, Repeat::Safe)
        };
        Ok(granted(&self.peer.ask(&request).await?.success()?))
    }

    /// The tasks that the scheduler believes we compute, `GET /workers/computing`.
    ///
    /// # Errors
    /// [`ClientError::Unauthorized`] when the token is not valid any more.
    pub async fn computing(&self, token: &Token) -> Result<Vec<TaskId>, ClientError> {
        let headers = [bearer(token)];
        let request = Request {
            headers: &headers,
            ..Request::get("/workers/computing")
        };
        self.peer
            .ask(&request)
            .await?
            .success()?
            .json("list of tasks")
    }

    /// Asks for work, `GET /replicates/available`. With `wait` granted the answer may take [`Features::HOLD`].
    ///
    /// Not repeated when the connection breaks: the work may have been given, and comes back with [`Self::interrupted`].
    ///
    /// # Errors
    /// [`ClientError::Unauthorized`], or [`ClientError::Unavailable`] while the scheduler has no chain.
    pub async fn available(
        &self,
        token: &Token,
        head: BlockNumber,
        features: Features,
    ) -> Result<Supply, ClientError> {
        let headers = with_features(token, features);
        let query = [("blockNumber", head.to_string())];
        let request = Request {
            headers: &headers,
            query: &query,
            patience: PATIENCE + Features::HOLD,
            repeat: Repeat::IfNotArrived,
            ..Request::get("/replicates/available")
        };
        let answer = self.peer.ask(&request).await?.success()?;
        let granted = granted(&answer);
        let work = match answer.body.as_slice() {
            [] => None,
            _ => answer.json("replicate to compute")?,
        };
        Ok(Supply { work, granted })
    }

    /// What is to be done about work that we had before we restarted, `GET /replicates/interrupted`.
    ///
    /// # Errors
    /// [`ClientError::Unauthorized`] when the token is not valid any more.
    pub async fn interrupted(
        &self,
        token: &Token,
        head: BlockNumber,
    ) -> Result<Vec<TaskNotification>, ClientError> {
        let headers = [bearer(token)];
        let query = [("blockNumber", head.to_string())];
        let request = Request {
            headers: &headers,
            query: &query,
            // An original marks what it answers as recovering; asking once more is answered the same.
            ..Request::get("/replicates/interrupted")
        };
        self.peer
            .ask(&request)
            .await?
            .success()?
            .json("list of notifications")
    }

    /// Reports a status, `POST /replicates/{chainTaskId}/updateStatus`. May take minutes.
    ///
    /// Not repeated when it may have arrived: what a repeat means is for the worker to judge, who gets
    /// [`StatusAnswer::AlreadyKnown`] then.
    ///
    /// # Errors
    /// [`ClientError::Unauthorized`], or [`ClientError::Unavailable`] while the scheduler cannot verify the report.
    pub async fn update_status(
        &self,
        token: &Token,
        task: TaskId,
        update: &ReplicateStatusUpdate,
    ) -> Result<StatusAnswer, ClientError> {
        let path = format!("/replicates/{task}/updateStatus");
        let headers = [bearer(token)];
        let request = Request {
            headers: &headers,
            body: json_body(&path, update)?,
            patience: REPORT_PATIENCE,
            ..Request::post(&path, Repeat::IfNotArrived)
        };
        let answer = self.peer.ask(&request).await?.success()?;
        let next = match answer.body.as_slice() {
            [] => None,
            _ => answer.json("next action")?,
        };
        match answer.status.as_u16() {
            200 => Ok(StatusAnswer::Accepted(next)),
            208 => Ok(StatusAnswer::AlreadyKnown(next)),
            202 => Ok(StatusAnswer::Refused(next)),
            status => Err(ClientError::NotUnderstood {
                url: answer.url.clone(),
                expected: "answer to a report",
                problem: format!("the status is {status}"),
                body: String::from_utf8_lossy(&answer.body).into_owned(),
            }),
        }
    }

    /// Where the WebSocket of [`crate::events`] is, for what is newer than `after`.
    ///
    /// # Errors
    /// When the scheduler's URL is neither http nor https.
    pub fn events_url(&self, after: u64) -> Result<Url, ClientError> {
        let mut url = self
            .peer
            .url(crate::events::PATH, &[("after", after.to_string())])?;
        let scheme = match url.scheme() {
            "http" => "ws",
            "https" => "wss",
            other => other,
        }
        .to_owned();
        match url.set_scheme(&scheme) {
            Ok(()) => Ok(url),
            Err(()) => Err(ClientError::NotSendable {
                url: url.to_string(),
                problem: "the scheme is neither http nor https".to_owned(),
            }),
        }
    }
}

fn bearer(token: &Token) -> (&'static str, String) {
    ("Authorization", format!("Bearer {}", token.reveal()))
}

fn with_features(token: &Token, features: Features) -> Vec<(&'static str, String)> {
    let mut headers = vec![bearer(token)];
    if !features.is_none() {
        headers.push((Features::HEADER, features.to_string()));
    }
    headers
}

fn granted(answer: &Answer) -> Features {
    answer
        .headers
        .get(Features::HEADER)
        .and_then(|value| value.to_str().ok())
        .map(Features::parse)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
