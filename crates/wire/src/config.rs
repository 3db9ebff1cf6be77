//! What schedulers and workers ask of a config server (spec blockchain-adapter B).

use url::Url;

use crate::error::ClientError;
use crate::http::{Peer, Request};
use crate::message::PublicChainConfig;

/// A config server.
#[derive(Debug, Clone)]
pub struct ConfigClient {
    peer: Peer,
}

impl ConfigClient {
    /// A client of the config server at `base`.
    ///
    /// # Errors
    /// When the system's certificates cannot be read.
    pub fn new(base: Url) -> Result<Self, ClientError> {
        Ok(Self {
            peer: Peer::new(base)?,
        })
    }

    /// Where the config server is.
    pub const fn base(&self) -> &Url {
        self.peer.base()
    }

    /// The chain everybody is on, `GET /config/chain`. A plain Spring config server, which answers this path with a document
    /// of another shape (spec blockchain-adapter B3), is an error.
    ///
    /// # Errors
    /// When there is no such answer.
    pub async fn chain(&self) -> Result<PublicChainConfig, ClientError> {
        let answer = self
            .peer
            .ask(&Request::get("/config/chain"))
            .await?
            .success()?;
        let config: PublicChainConfig = answer.json("chain configuration")?;
        if config.chain_id == 0 {
            return Err(ClientError::NotUnderstood {
                url: answer.url.clone(),
                expected: "chain configuration",
                problem: "there is no chainId in it; a platform registry is not a config server"
                    .to_owned(),
                body: String::from_utf8_lossy(&answer.body)
                    .chars()
                    .take(300)
                    .collect(),
            });
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests;
