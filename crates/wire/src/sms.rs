//! What a scheduler asks of a secret management service, one for each enclave technology (spec sms §4, §16).

use alloy_primitives::Address;
use poco::ids::TaskId;
use poco::signing::Sig;
use poco::tag::TeeFramework;
use reqwest::{Method, StatusCode};
use url::Url;

use crate::error::ClientError;
use crate::http::{Payload, Peer, Repeat, Request};

/// A secret management service.
#[derive(Debug, Clone)]
pub struct SmsClient {
    peer: Peer,
}

/// A secret of an account, by its name (`web2`).
#[derive(Debug, Clone, Copy)]
pub struct NamedSecret<'a> {
    /// Whose it is.
    pub owner: Address,
    /// Its name.
    pub name: &'a str,
    /// What it is.
    pub value: &'a str,
}

impl SmsClient {
    /// A client of the service at `base`.
    ///
    /// # Errors
    /// When the system's certificates cannot be read.
    pub fn new(base: Url) -> Result<Self, ClientError> {
        Ok(Self {
            peer: Peer::new(base)?,
        })
    }

    /// The one technology that it serves, `GET /tee/framework`.
    ///
    /// # Errors
    /// When there is no such answer.
    pub async fn framework(&self) -> Result<TeeFramework, ClientError> {
        self.peer
            .ask(&Request::get("/tee/framework"))
            .await?
            .success()?
            .json("enclave technology")
    }

    /// The address whose key the enclave of a task must hold, `POST /tee/challenges/{task}`; the same for each call. `signature`
    /// is over [`poco::authorization::enclave_challenge_hash`], by the owner of the task's pool.
    ///
    /// # Errors
    /// When there is no such answer: 401 while the service does not see the task on the chain, or for a wrong signature.
    pub async fn enclave_challenge(
        &self,
        task: TaskId,
        signature: &Sig,
    ) -> Result<Address, ClientError> {
        let path = format!("/tee/challenges/{task}");
        let headers = [("Authorization", signature.to_string())];
        let request = Request {
            headers: &headers,
            ..Request::post(&path, Repeat::Safe)
        };
        let answer = self.peer.ask(&request).await?.success()?;
        let text = answer.text("enclave challenge")?;
        match poco::hex::address(text.trim()) {
            Ok(address) if !address.is_zero() => Ok(address),
            _ => Err(answer.not_understood("enclave challenge", "it is no address".to_owned())),
        }
    }

    /// Sees to it that the secret is there with this value: `HEAD`, then `PUT` or `POST /secrets/web2`. `signature` is over
    /// [`poco::secrets::named_hash`], by its owner.
    ///
    /// # Errors
    /// When one of the calls has no such answer.
    pub async fn put_secret(
        &self,
        secret: NamedSecret<'_>,
        signature: &Sig,
    ) -> Result<(), ClientError> {
        let query = [
            ("ownerAddress", poco::hex::lower(&secret.owner)),
            ("secretName", secret.name.to_owned()),
        ];
        let path = "/secrets/web2";
        let exists = Request {
            method: Method::HEAD,
            query: &query,
            ..Request::get(path)
        };
        let answer = self.peer.ask(&exists).await?;
        let method = match answer.status {
            StatusCode::NOT_FOUND => Method::POST,
            _ => {
                answer.success()?;
                Method::PUT
            }
        };
        let headers = [("Authorization", signature.to_string())];
        let put = Request {
            method,
            query: &query,
            headers: &headers,
            body: Some(Payload::Bytes(secret.value.as_bytes().to_vec())),
            ..Request::get(path)
        };
        let answer = self.peer.ask(&put).await?;
        match answer.status {
            // Two of us at once, or the first try's answer was lost.
            StatusCode::CONFLICT => Ok(()),
            _ => answer.success().map(drop),
        }
    }
}

#[cfg(test)]
mod tests;
