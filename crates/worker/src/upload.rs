//! Handing the result over (spec `worker.md` §10, `result-proxy.md` §11.1). An answer that was lost, or a refusal because the result is
//! there already, is no failure: the proxy is asked for its link first. It never uploads what it did not contribute.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use poco::units::Timestamp;
use url::Url;
use wire::error::{ClientError, Kind};
use wire::message::ReplicateStatusDetails;
use wire::reach::{Reach, Refusal};
use wire::result_proxy::ResultProxyClient;
use wire::status::{ReplicateStatus, ReplicateStatusCause as Cause};

use crate::clock;
use crate::description::TaskDescription;
use crate::journal::{Journal, Outcome};
use crate::outputs::computed;
use crate::patience::Pauses;
use crate::pipeline::work::{Acted, Work};

/// How often a proxy may refuse before its word is final.
const REFUSALS: u32 = 6;

/// How often it may refuse a result that is not on chain yet: it may be one that never takes such, or its node a block behind.
const EARLY_REFUSALS: u32 = 2;

/// How long a proxy that is away is waited for before the contribution.
const EARLY_PATIENCE: Duration = Duration::from_secs(30);

/// How long after a refusal no early result is offered to that proxy.
const EARLY_AGAIN: Duration = Duration::from_secs(600);

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

/// Hands the result over before anything of it is on chain, for the link that the one transaction will name (spec `result-proxy.md` §5,
/// 4d). The link is that of this very archive: another worker's may hold another result. A proxy that is away is not waited for as
/// after a reveal, since the contribution can do without it.
pub(crate) async fn early(
    work: &Work,
    journal: &Journal,
    description: &TaskDescription,
    until: Timestamp,
) -> Result<String, NotEarly> {
    let other = |reason| NotEarly {
        reason,
        refused_by: None,
    };
    let client = proxy_of(work, description).map_err(other)?;
    let proxy = client.base().clone();
    if work.shared.early.are_fresh(&proxy) {
        return Err(other("this result proxy took none of late".to_owned()));
    }
    let wait_until = until.min(clock::now().saturating_add(EARLY_PATIENCE));
    let mut pauses = Pauses::between(Duration::from_millis(500), Duration::from_secs(8));
    let mut refused = 0;
    loop {
        // An upload that has begun may take its time, as long as a contribution is possible after it.
        let left = until.since(clock::now());
        let sent = tokio::time::timeout(left, send_archive(work, journal, &client));
        let error = match sent.await {
            Ok(Ok(answer)) => {
                return link_in(&answer).map_err(|error| other(error.to_string()));
            }
            Ok(Err(error)) => error,
            Err(_) => {
                let late = "it would not be over before contributions close";
                return Err(other(late.to_owned()));
            }
        };
        if error.is_refusal() {
            refused += 1;
        }
        if refused == EARLY_REFUSALS || !pauses.rest(Some(wait_until)).await {
            let unauthorized =
                matches!(error, AttemptError::Proxy(ClientError::Unauthorized { .. }));
            return Err(NotEarly {
                reason: error.to_string(),
                refused_by: unauthorized.then_some(proxy),
            });
        }
    }
}

/// A result is not taken before its contribution.
pub(crate) struct NotEarly {
    /// Why.
    pub(crate) reason: String,
    /// The result proxy that said no without a reason, if one did: it may be one that never takes such.
    pub(crate) refused_by: Option<Url>,
}

/// The result proxies that refused a result before its contribution, as those of the original do: an archive is not sent to them twice.
#[derive(Debug, Default)]
pub struct EarlyRefusals(Mutex<HashMap<Url, Instant>>);

impl EarlyRefusals {
    /// Remembers a refusal for a while.
    pub(crate) fn note(&self, proxy: Url) {
        self.all().insert(proxy, Instant::now());
    }

    fn are_fresh(&self, proxy: &Url) -> bool {
        let mut all = self.all();
        all.retain(|_, at| at.elapsed() < EARLY_AGAIN);
        all.contains_key(proxy)
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Url, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn link(work: &Work, journal: &Journal) -> Result<String, String> {
    let description = work
        .description()
        .await
        .map_err(|cause| format!("the task's description cannot be read: {cause}"))?;
    if description.has_callback() {
        return Ok(poco::result_link::callback(description.callback));
    }
    let client = proxy_of(work, description)?;
    upload_until_over(work, journal, description, &client).await
}

/// A client of the proxy that takes the task's result.
fn proxy_of(work: &Work, description: &TaskDescription) -> Result<ResultProxyClient, String> {
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
    proxy(work, description)
}

async fn upload_until_over(
    work: &Work,
    journal: &Journal,
    description: &TaskDescription,
    client: &ResultProxyClient,
) -> Result<String, String> {
    let mut pauses = Pauses::new();
    let mut refused = 0;
    loop {
        let error = match attempt_upload(work, journal, client).await {
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
    let sent = send_archive(work, journal, client).await?;
    // The link on chain names what the proxy has, whatever form its answer had.
    match client.ipfs_hash(work.task).await {
        Ok(Some(hash)) => Ok(poco::result_link::ipfs(&hash)),
        _ => link_in(&sent),
    }
}

/// The link that the proxy's answer to an upload names.
fn link_in(answer: &str) -> Result<String, AttemptError> {
    answer
        .rsplit('/')
        .next()
        .filter(|cid| is_cid(cid))
        .map(poco::result_link::ipfs)
        .ok_or_else(|| {
            let shown: String = answer.chars().take(200).collect();
            AttemptError::Ours(format!("no link in {shown:?}"))
        })
}

/// Whether a proxy's word can be the name of a result. The link costs gas by its length, and a deal may name any proxy.
fn is_cid(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Logs in at the proxy and sends the archive; the proxy's answer.
async fn send_archive(
    work: &Work,
    journal: &Journal,
    client: &ResultProxyClient,
) -> Result<String, AttemptError> {
    let authorization = &journal.authorization;
    let signature = poco::signing::sign_prefixed(&work.shared.signer, authorization.hash())
        .map_err(|error| AttemptError::Ours(error.to_string()))?;
    let token = client.token(authorization, &signature).await?;
    let (archive, digest) = (
        work.folder.archive(),
        journal.digest.unwrap_or_default().to_string(),
    );
    Ok(client.upload(&token, work.task, &archive, &digest).await?)
}

/// A client of the proxy that the deal names, if that is one a stranger may send us to (S15), else of the pool's own.
fn proxy(work: &Work, description: &TaskDescription) -> Result<ResultProxyClient, String> {
    let own = work.shared.proxy.as_ref();
    let Some(named) = named_proxy(description) else {
        let own = own.cloned();
        let own =
            own.ok_or_else(|| "neither the deal nor the scheduler names a result proxy".to_owned());
        return ResultProxyClient::new(own?).map_err(|error| error.to_string());
    };
    let reach = Reach::of(work.shared.settings.private_proxies);
    let client = match Url::parse(named) {
        Ok(url) if is_own(own, &url) => ResultProxyClient::new(url),
        _ => {
            let url = reach.url(named).map_err(|refusal| not_asked(&refusal))?;
            ResultProxyClient::of_stranger(url, &reach)
        }
    };
    client.map_err(|error| error.to_string())
}

/// Why the result proxy that the deal names would not be uploaded to, as far as that is known now. Asked before anything is done for the
/// task: a result that can go nowhere is not worth computing.
pub(crate) async fn refused_proxy(work: &Work, description: &TaskDescription) -> Option<String> {
    if description.has_callback() {
        return None;
    }
    let named = named_proxy(description)?;
    if Url::parse(named).is_ok_and(|url| is_own(work.shared.proxy.as_ref(), &url)) {
        return None;
    }
    let reach = Reach::of(work.shared.settings.private_proxies);
    let refusal = match reach.url(named) {
        Ok(url) => reach.refusal(&url).await,
        Err(refusal) => Some(refusal),
    };
    refusal.as_ref().map(not_asked)
}

fn named_proxy(description: &TaskDescription) -> Option<&str> {
    let named = description.params.result_storage_proxy.as_deref()?;
    Some(named.trim()).filter(|url| !url.is_empty())
}

/// The pool's own proxy is always allowed, whoever names it.
fn is_own(own: Option<&Url>, url: &Url) -> bool {
    own.is_some_and(|own| own.origin() == url.origin())
}

fn not_asked(refusal: &Refusal) -> String {
    let mend = match refusal {
        Refusal::Private { .. } => {
            "; set WORKERPOOL_WORKER_ALLOW_PRIVATE_PROXIES=true to allow that on a test network"
        }
        Refusal::NotHttp { .. } => "",
    };
    format!("the deal's result proxy: {refusal}{mend}")
}

#[cfg(test)]
mod tests {
    use super::{AttemptError, EarlyRefusals, is_own, link_in};
    use url::Url;
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
    fn the_link_names_what_the_proxy_answered_unless_that_is_no_name() {
        let link = r#"{ "storage": "ipfs", "location": "/ipfs/QmTest" }"#;
        assert_eq!(link_in("/ipfs/QmTest").unwrap(), link);
        // It would stand on the chain, at this worker's expense.
        let long = format!("/ipfs/{}", "Q".repeat(129));
        for answer in ["", "/ipfs/", "/ipfs/Qm\"Test", "<html>", long.as_str()] {
            assert!(link_in(answer).is_err(), "{answer}");
        }
    }

    #[test]
    fn a_proxy_that_took_no_early_result_is_not_sent_another_for_a_while() {
        let url = |text: &str| text.parse::<Url>().unwrap();
        let refusals = EarlyRefusals::default();
        refusals.note(url("http://proxy:13200"));
        assert!(refusals.are_fresh(&url("http://proxy:13200")));
        assert!(!refusals.are_fresh(&url("http://another:13200")));
    }

    #[test]
    fn the_pools_own_proxy_is_known_by_its_origin() {
        let url = |text: &str| text.parse::<Url>().unwrap();
        let own = url("http://127.0.0.1:13200");
        assert!(is_own(Some(&own), &url("http://127.0.0.1:13200/")));
        assert!(!is_own(Some(&own), &url("http://127.0.0.1:13000/")));
        assert!(!is_own(Some(&own), &url("https://127.0.0.1:13200/")));
        assert!(!is_own(None, &url("http://127.0.0.1:13200/")));
    }
}
