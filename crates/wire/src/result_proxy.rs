//! What workers and schedulers ask of a result proxy (spec result-proxy §3, §11). Its token goes into `Authorization` bare.

use std::path::Path;
use std::time::Duration;

use poco::ids::TaskId;
use poco::signing::Sig;
use reqwest::{Method, StatusCode};
use url::Url;

use crate::error::ClientError;
use crate::http::{Payload, Peer, Repeat, Request, json_body};
use crate::message::WorkerpoolAuthorization;
use crate::reach::Reach;
use crate::token::Token;

/// Time for an archive to get there and be stored.
const UPLOAD_PATIENCE: Duration = Duration::from_secs(600);

/// A result proxy. Cheap to clone; holds no token.
#[derive(Debug, Clone)]
pub struct ResultProxyClient {
    peer: Peer,
}

impl ResultProxyClient {
    /// A client of the result proxy at `base`.
    ///
    /// # Errors
    /// When the system's certificates cannot be read.
    pub fn new(base: Url) -> Result<Self, ClientError> {
        Ok(Self {
            peer: Peer::new(base)?,
        })
    }

    /// A client of the result proxy that a stranger says is at `base`: it connects to what `reach` allows and nothing else.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when `base` itself shows that it is not allowed; later calls fail with the same.
    pub fn of_stranger(base: Url, reach: &Reach) -> Result<Self, ClientError> {
        Ok(Self {
            peer: Peer::of_stranger(base, reach)?,
        })
    }

    /// Where the proxy is.
    pub const fn base(&self) -> &Url {
        self.peer.base()
    }

    /// The proxy's version, `GET /version`.
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

    /// A token for one who may compute a task, `POST /v1/results/token`. `signature` is over the authorization's hash, by its
    /// wallet.
    ///
    /// # Errors
    /// [`ClientError::Unauthorized`] when any check fails.
    pub async fn token(
        &self,
        authorization: &WorkerpoolAuthorization,
        signature: &Sig,
    ) -> Result<Token, ClientError> {
        let path = "/v1/results/token";
        let headers = [("Authorization", signature.to_string())];
        let body = json_body(path, authorization)?;
        let request = Request {
            headers: &headers,
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

    /// Uploads the archive file of a standard task, `POST /v1/results`. Its link, `/ipfs/<cid>`. `digest` is the result's. The file is
    /// read while it is sent and never in memory whole.
    ///
    /// Not repeated when it may have arrived: the original then answers 401 (spec result-proxy §11.5), which only
    /// [`Self::ipfs_hash`] can tell from a refusal.
    ///
    /// # Errors
    /// [`ClientError::Unauthorized`] when the token is not valid or this result may not be uploaded (now);
    /// [`ClientError::NotSendable`] when the file cannot be read.
    pub async fn upload(
        &self,
        token: &Token,
        task: TaskId,
        archive: &Path,
        digest: &str,
    ) -> Result<String, ClientError> {
        let path = "/v1/results";
        let body = upload::Upload::of(task, archive, digest)
            .await
            .map_err(|problem| ClientError::NotSendable {
                url: path.to_owned(),
                problem,
            })?;
        let make = || body.stream();
        let headers = [authorization(token)];
        let request = Request {
            headers: &headers,
            body: Some(Payload::Stream {
                length: body.length(),
                make: &make,
            }),
            patience: UPLOAD_PATIENCE,
            ..Request::post(path, Repeat::IfNotArrived)
        };
        self.peer
            .ask(&request)
            .await?
            .success()?
            .text("link to the result")
    }

    /// Whether there is a result for `task`, `HEAD /v1/results/{task}`.
    ///
    /// # Errors
    /// [`ClientError::Unauthorized`] when the token is not valid.
    pub async fn has_result(&self, token: &Token, task: TaskId) -> Result<bool, ClientError> {
        let path = format!("/v1/results/{task}");
        let headers = [authorization(token)];
        let request = Request {
            method: Method::HEAD,
            headers: &headers,
            ..Request::get(&path)
        };
        let answer = self.peer.ask(&request).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        answer.success().map(|_| true)
    }

    /// The CID of the result of `task`, `GET /v1/results/{task}/ipfshash`; none when there is no result.
    ///
    /// # Errors
    /// When there is no such answer.
    pub async fn ipfs_hash(&self, task: TaskId) -> Result<Option<String>, ClientError> {
        let answer = self
            .peer
            .ask(&Request::get(&format!("/v1/results/{task}/ipfshash")))
            .await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        answer.success()?.text("content id").map(Some)
    }
}

fn authorization(token: &Token) -> (&'static str, String) {
    ("Authorization", token.reveal().to_owned())
}

mod upload;

#[cfg(test)]
mod tests;
