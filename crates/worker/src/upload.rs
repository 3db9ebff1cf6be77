//! Handing the result over (spec `worker.md` §10, `result-proxy.md` §11.1). An answer that was lost, or a refusal because the result is
//! there already, is no failure: the proxy is asked for its link first. It never uploads what it did not contribute.

use std::net::IpAddr;

use url::Url;
use wire::error::{ClientError, Kind};
use wire::message::{ReplicateStatusDetails, ResultModel};
use wire::result_proxy::ResultProxyClient;
use wire::status::{ReplicateStatus, ReplicateStatusCause as Cause};

use crate::description::TaskDescription;
use crate::journal::{Journal, Outcome};
use crate::outputs::computed;
use crate::patience::Pauses;
use crate::pipeline::work::{Acted, Work};

/// How often a proxy may refuse before its word is final.
const REFUSALS: u32 = 6;

/// Uploads, or finds that it was done.
pub(crate) async fn upload(work: &Work, journal: &Journal) -> Acted {
    let failed = || {
        Outcome::because(
            ReplicateStatus::ResultUploadFailed,
            Cause::ResultLinkMissing,
        )
    };
    let link = match link(work, journal).await {
        Ok(link) => link,
        Err(reason) => {
            tracing::warn!(task = %work.task, reason, "the result is not uploaded");
            return failed().into();
        }
    };
    // As the original: the callback's data as it stands in computed.json; null when it has no such key, empty without the file.
    let callback = match computed::read(&work.folder.output()) {
        Ok(computed) => computed.callback_data,
        Err(_) => Some(journal.callback_data.clone().unwrap_or_default()),
    };
    let details = ReplicateStatusDetails {
        result_link: Some(link),
        chain_callback_data: callback,
        ..ReplicateStatusDetails::default()
    };
    Outcome::with(ReplicateStatus::ResultUploaded, details).into()
}

async fn link(work: &Work, journal: &Journal) -> Result<String, String> {
    let description = work
        .description()
        .await
        .map_err(|cause| format!("the task's description cannot be read: {cause}"))?;
    if description.has_callback() {
        return Ok(poco::result_link::callback(description.callback));
    }
    let provider = description
        .params
        .result_storage_provider
        .as_deref()
        .unwrap_or_default();
    if provider != "ipfs" {
        // Q66: a standard task's result goes to IPFS or nowhere.
        return Err(format!(
            "the deal wants its result stored with {provider:?}; standard results go to ipfs only"
        ));
    }
    let proxy = proxy(work, description).await?;
    let client = ResultProxyClient::new(proxy).map_err(|error| error.to_string())?;
    let mut pauses = Pauses::new();
    let mut refused = 0;
    loop {
        let error = match attempt_upload(work, journal, &client).await {
            Ok(link) => return Ok(link),
            Err(error) => error,
        };
        // Refused, or no answer: it may be there all the same, from an earlier life of this process or from another worker.
        match client.ipfs_hash(work.task).await {
            Ok(Some(hash)) => return Ok(poco::result_link::ipfs(&hash)),
            Ok(None) => {
                tracing::warn!(task = %work.task, %error, "the result proxy does not take the result")
            }
            Err(second) => {
                tracing::warn!(task = %work.task, %error, %second, "the result proxy does not answer")
            }
        }
        // A proxy that is away is waited for: the result is revealed, and nobody but the revealers has it. One that refuses is asked a few
        // times more, since its node may be behind ours.
        if error.is_refusal() {
            refused += 1;
        }
        if refused == REFUSALS || !pauses.rest(Some(description.final_deadline)).await {
            return Err(error.to_string());
        }
    }
}

/// Why one attempt came to nothing.
#[derive(Debug, thiserror::Error)]
enum AttemptError {
    #[error(transparent)]
    Proxy(#[from] ClientError),
    #[error("{0}")]
    Ours(String),
}

impl AttemptError {
    /// The proxy answered, and asking again will hardly change its mind; nor will what is wrong here mend itself.
    fn is_refusal(&self) -> bool {
        match self {
            Self::Proxy(ClientError::Unauthorized { .. }) | Self::Ours(_) => true,
            Self::Proxy(error) => matches!(error.kind(), Kind::Terminal | Kind::Bug),
        }
    }
}

async fn attempt_upload(
    work: &Work,
    journal: &Journal,
    client: &ResultProxyClient,
) -> Result<String, AttemptError> {
    let authorization = &journal.authorization;
    let signature = poco::signing::sign_prefixed(&work.shared.signer, authorization.hash())
        .map_err(|error| AttemptError::Ours(error.to_string()))?;
    let token = client.token(authorization, &signature).await?;
    let archive = work.folder.archive();
    let zip = tokio::fs::read(&archive).await.map_err(|error| {
        AttemptError::Ours(format!("cannot read {}: {error}", archive.display()))
    })?;
    let digest = journal.digest.unwrap_or_default().to_string();
    let sent = client
        .upload(&token, &ResultModel::standard(work.task, zip, digest))
        .await?;
    // The link on chain names what the proxy has, whatever form its answer had.
    match client.ipfs_hash(work.task).await {
        Ok(Some(hash)) => Ok(poco::result_link::ipfs(&hash)),
        _ => sent
            .rsplit('/')
            .next()
            .filter(|cid| !cid.is_empty())
            .map(poco::result_link::ipfs)
            .ok_or_else(|| AttemptError::Ours(format!("no link in {sent:?}"))),
    }
}

/// The proxy that the deal names, if that is one a stranger may send us to (S15), else the pool's own.
async fn proxy(work: &Work, description: &TaskDescription) -> Result<Url, String> {
    let own = work.shared.proxy.clone();
    let named = description
        .params
        .result_storage_proxy
        .as_deref()
        .map(str::trim)
        .filter(|url| !url.is_empty());
    let Some(named) = named else {
        return own
            .ok_or_else(|| "neither the deal nor the scheduler names a result proxy".to_owned());
    };
    let url: Url = named
        .parse()
        .map_err(|_| format!("the deal's result proxy {named:?} is not a URL"))?;
    if own.as_ref().is_some_and(|own| own.origin() == url.origin())
        || work.shared.settings.private_proxies
    {
        return Ok(url);
    }
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!(
            "the deal's result proxy {named:?} is neither http nor https"
        ));
    }
    let host = url
        .host_str()
        .unwrap_or_default()
        .trim_matches(['[', ']'])
        .to_owned();
    let port = url.port_or_known_default().unwrap_or(443);
    let found = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| format!("the deal's result proxy {named:?} is not found: {error}"))?;
    match found
        .map(|address| address.ip())
        .find(|&address| !is_public(address))
    {
        Some(address) => Err(format!(
            "the deal's result proxy {named:?} is in a private network ({address}); set WORKERPOOL_WORKER_ALLOW_PRIVATE_PROXIES=true to allow that"
        )),
        None => Ok(url),
    }
}

/// An address that anybody could reach: not this machine, its network, or a place that only it can see (S2).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let benchmark = a == 198 && (b == 18 || b == 19);
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.is_multicast()
                || a == 0
                || a >= 240
                || shared
                || benchmark)
        }
        IpAddr::V6(v6) => match v6.to_ipv4() {
            Some(v4) => is_public(IpAddr::V4(v4)),
            None => {
                // NAT64 and 6to4 carry an IPv4 address on to where only this machine's network may reach.
                let carries_v4 = matches!(v6.segments(), [0x64, 0xff9b, ..] | [0x2002, ..]);
                !(carries_v4
                    || v6.is_unique_local()
                    || v6.is_unicast_link_local()
                    || v6.is_multicast()
                    || v6.is_unspecified()
                    || v6.is_loopback())
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{AttemptError, is_public};
    use wire::error::ClientError;

    #[test]
    fn a_proxy_that_is_away_is_waited_for_and_one_that_refuses_is_not() {
        let answered = |status| {
            AttemptError::from(ClientError::Status {
                url: "http://proxy/v1/results".to_owned(),
                status,
                body: String::new(),
            })
        };
        assert!(!answered(503).is_refusal());
        assert!(answered(413).is_refusal() && answered(400).is_refusal());
        assert!(AttemptError::Ours("cannot read".to_owned()).is_refusal());
    }

    #[test]
    fn a_deal_cannot_send_a_worker_into_its_own_network() {
        // S15
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "172.16.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "::1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "224.0.0.1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in ["1.1.1.1", "2606:4700::1111", "172.32.0.1"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }
}
