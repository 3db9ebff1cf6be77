//! What a scheduler asks of a blockchain adapter, which sends `initialize` and `finalize` for it (spec blockchain-adapter A2, A5).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use poco::ids::{DealId, TaskId};
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::ClientError;
use crate::http::{Answer, Peer, Repeat, Request, json_body};

/// A blockchain adapter.
#[derive(Debug, Clone)]
pub struct AdapterClient {
    peer: Peer,
    authorization: String,
}

/// What the adapter is asked to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdapterCommand {
    /// `initialize`.
    Initialize {
        /// The deal.
        deal: DealId,
        /// The absolute index in it.
        index: u64,
    },
    /// `finalize`.
    Finalize(FinalizeArgs),
}

/// The body of a `finalize`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FinalizeArgs {
    /// The result link's exact text; may be empty.
    pub result_link: String,
    /// The callback data as hex text.
    pub callback_data: Option<String>,
}

/// How far a command of the adapter's is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AdapterStatus {
    /// Accepted.
    Received,
    /// Being sent.
    Processing,
    /// Its transaction is in a block.
    Success,
    /// It will not be.
    Failure,
}

impl AdapterClient {
    /// A client of the adapter at `base`, with the credentials that it asks for.
    ///
    /// # Errors
    /// When the system's certificates cannot be read.
    pub fn new(base: Url, username: &str, password: &str) -> Result<Self, ClientError> {
        let credentials = STANDARD.encode(format!("{username}:{password}"));
        Ok(Self {
            peer: Peer::new(base)?,
            authorization: format!("Basic {credentials}"),
        })
    }

    /// The adapter's version, `GET /version`.
    ///
    /// # Errors
    /// When there is no such answer; [`ClientError::Unauthorized`] when the credentials are wrong.
    pub async fn version(&self) -> Result<String, ClientError> {
        let headers = self.headers();
        let request = Request {
            headers: &headers,
            ..Request::get("/version")
        };
        self.peer.ask(&request).await?.success()?.text("version")
    }

    /// Has the command done. Says whether the adapter accepted it: it does not when it has such a command already, when its own
    /// checks fail, and when it names the task otherwise than we do.
    ///
    /// # Errors
    /// When there is no such answer.
    pub async fn request(
        &self,
        task: TaskId,
        command: &AdapterCommand,
    ) -> Result<bool, ClientError> {
        let headers = self.headers();
        let answer = match command {
            AdapterCommand::Initialize { deal, index } => {
                let query = [
                    ("chainDealId", deal.to_string()),
                    ("taskIndex", index.to_string()),
                ];
                let request = Request {
                    query: &query,
                    headers: &headers,
                    ..Request::post("/v1/tasks/initialize", Repeat::IfNotArrived)
                };
                self.peer.ask(&request).await?
            }
            AdapterCommand::Finalize(args) => {
                let path = format!("/v1/tasks/finalize/{task}");
                let body = json_body(&path, args)?;
                let request = Request {
                    headers: &headers,
                    body,
                    ..Request::post(&path, Repeat::IfNotArrived)
                };
                self.peer.ask(&request).await?
            }
        };
        if answer.status == StatusCode::BAD_REQUEST {
            return Ok(false);
        }
        let answer = answer.success()?;
        let named = answer.text("task id")?;
        Ok(named.trim().parse() == Ok(task))
    }

    /// How far a command is; none when the adapter never accepted it.
    ///
    /// # Errors
    /// When there is no such answer.
    pub async fn status(
        &self,
        task: TaskId,
        command: &AdapterCommand,
    ) -> Result<Option<AdapterStatus>, ClientError> {
        let name = match command {
            AdapterCommand::Initialize { .. } => "initialize",
            AdapterCommand::Finalize(_) => "finalize",
        };
        let path = format!("/v1/tasks/{name}/{task}/status");
        let headers = self.headers();
        let request = Request {
            headers: &headers,
            ..Request::get(&path)
        };
        let answer: Answer = self.peer.ask(&request).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        answer.success()?.json("command status").map(Some)
    }

    fn headers(&self) -> [(&'static str, String); 1] {
        [("Authorization", self.authorization.clone())]
    }
}

#[cfg(test)]
mod tests;
