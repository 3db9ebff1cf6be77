//! Whether a result is there: asked of the result proxy that its deal names.

use alloy_primitives::Address;
use engine::Outcome;
use poco::ids::TaskId;
use url::Url;
use wire::error::ClientError;
use wire::result_proxy::ResultProxyClient;

use super::{Commands, PAUSE, TRIES, Unanswered};

impl Commands {
    /// Whether the result proxy has the task's result (spec result-proxy §11.3).
    pub(super) async fn check_uploaded(
        &self,
        task: TaskId,
        proxy: Option<String>,
        enclave_challenge: Address,
    ) -> Result<Outcome, Unanswered> {
        let Some(client) = self.proxy_of(task, proxy)? else {
            return Ok(Outcome::Uploaded(false));
        };
        let (authorization, signature) = self
            .inner
            .authorizer
            .for_the_result_proxy(task, enclave_challenge)?;
        let mut tries = 0;
        loop {
            tries += 1;
            let answer = async {
                // What a standard result is called is told to everybody. Only the proxy knows of others, and tells who may know.
                if matches!(client.ipfs_hash(task).await, Ok(Some(_))) {
                    return Ok(true);
                }
                let token = client.token(&authorization, &signature).await?;
                client.has_result(&token, task).await
            };
            match answer.await {
                Ok(there) => return Ok(Outcome::Uploaded(there)),
                Err(error @ ClientError::Refused { .. }) => {
                    tracing::info!(%task, %error, "nothing can be uploaded to the deal's result proxy");
                    return Ok(Outcome::Uploaded(false));
                }
                Err(error) if tries >= TRIES => return Err(error.into()),
                Err(error) => tracing::debug!(%task, %error, "the result proxy is asked again"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// A client of the result proxy that the deal names, else of the pool's own; none when a stranger must not send us there (spec
    /// worker S15).
    pub(super) fn proxy_of(
        &self,
        task: TaskId,
        named: Option<String>,
    ) -> Result<Option<ResultProxyClient>, ClientError> {
        let own = &self.inner.proxy;
        let Some(named) = named.filter(|text| !text.trim().is_empty()) else {
            return ResultProxyClient::new(own.clone()).map(Some);
        };
        if let Ok(url) = Url::parse(named.trim())
            && url.origin() == own.origin()
        {
            return ResultProxyClient::new(url).map(Some);
        }
        let reach = &self.inner.proxy_reach;
        match reach.url(&named) {
            Ok(url) => ResultProxyClient::of_stranger(url, reach).map(Some),
            Err(refusal) => {
                tracing::info!(%task, %refusal, "nothing can be uploaded to the deal's result proxy");
                Ok(None)
            }
        }
    }
}
