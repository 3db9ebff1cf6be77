//! The secret managers that the pool's enclaves get their secrets from: which there are, whether each serves what it is set
//! for, and what is asked of them (spec sms §16, blockchain-adapter C).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chassis::env::{self, Kept};
use chassis::health::{Condition, Status};
use engine::Enclave;
use poco::ids::TaskId;
use poco::secrets::RESULT_PROXY_URL;
use poco::tag::TeeFramework;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;
use url::Url;
use wire::error::ClientError;
use wire::registry::{Properties, RegistryClient};
use wire::sms::{NamedSecret, SmsClient};

use crate::authorize::{Authorizer, NotAuthorized};
use crate::config::{RegistrySettings, RemoteSettings};
use crate::preflight::StartError;

/// How long it holds that a secret manager serves what it is set for.
const HOLDS: Duration = Duration::from_secs(60);
/// How long a service that does not is left alone: many tasks may want it at once.
const REST: Duration = Duration::from_secs(5);
/// Enclaves asked for at a time.
const AT_ONCE: usize = 32;
/// How long a secret manager may take to be told something that a task can do without.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// The secret managers.
pub(crate) struct Enclaves {
    known: Mutex<Known>,
    /// Enclaves asked for at a time.
    asking: Semaphore,
    /// Who signs what is asked.
    authorizer: Arc<Authorizer>,
    /// Where results go by default, which post-computation has to know.
    result_proxy: String,
    /// Whether the registry ever answered; none when there is none.
    registry: Option<Arc<AtomicBool>>,
}

struct Known {
    sms: BTreeMap<TeeFramework, Sms>,
    /// Set while the registry has never answered.
    registry: Option<Registry>,
}

struct Registry {
    settings: RegistrySettings,
    client: RegistryClient,
    answers: Arc<AtomicBool>,
    failed: Option<(Instant, ClientError)>,
}

struct Sms {
    client: SmsClient,
    /// As workers are told.
    url: String,
    /// What the last look at it said.
    looked: Option<(Instant, Result<TeeFramework, ClientError>)>,
    /// When it was last told where results go by default, and whether it took that.
    told_proxy: Option<Instant>,
    knows_proxy: bool,
}

/// What a registry tells.
type Told = Vec<(TeeFramework, Kept<Url>)>;

/// A property of a registry that should be a URL.
struct NoUrl {
    name: &'static str,
    value: String,
}

/// Why there is no enclave for a task now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoEnclave {
    /// None is known.
    #[error(
        "no SMS for {framework} is known: set SMS_{framework}, or have the platform registry tell it"
    )]
    NoSms {
        /// The technology.
        framework: TeeFramework,
    },
    /// Nobody said yet which there are.
    #[error("the platform registry does not tell which SMS there is for {framework}: {error}")]
    NoRegistry {
        /// The technology.
        framework: TeeFramework,
        /// What went wrong.
        error: ClientError,
    },
    /// It is one for something else.
    #[error(
        "the SMS at {url} serves {serves}, and SMS_{framework} says that it serves {framework}"
    )]
    OtherFramework {
        /// Where it is.
        url: String,
        /// What it says.
        serves: TeeFramework,
        /// What is wanted.
        framework: TeeFramework,
    },
    /// It does not answer as it should.
    #[error("the SMS for {framework} gives no answer: {error}")]
    Sms {
        /// The technology.
        framework: TeeFramework,
        /// What went wrong.
        error: ClientError,
    },
    /// The pool's wallet did not sign.
    #[error(transparent)]
    Signing(#[from] NotAuthorized),
}

impl Enclaves {
    /// Takes what is set, and asks the registry for the rest. A registry that does not answer is asked again when it is needed.
    pub(crate) async fn open(
        settings: &RemoteSettings,
        authorizer: Arc<Authorizer>,
        result_proxy: String,
    ) -> Result<Self, StartError> {
        let mut known = Known {
            sms: BTreeMap::new(),
            registry: None,
        };
        for (framework, url) in &settings.sms {
            known.add(*framework, url.clone()).map_err(unusable)?;
        }
        let mut registry = None;
        let complete = known.sms.len() == TeeFramework::ALL.len();
        if let Some(settings) = settings.registry.clone().filter(|_| !complete) {
            let client = RegistryClient::new(settings.url.clone()).map_err(unusable)?;
            let answers = Arc::new(AtomicBool::new(false));
            registry = Some(Arc::clone(&answers));
            match client.properties(&settings.stack, &settings.label).await {
                Ok(properties) => {
                    answers.store(true, Ordering::Relaxed);
                    let told = told(&properties).map_err(|wrong| StartError::Registry {
                        url: wire::shown(&settings.url),
                        name: wrong.name,
                        value: wrong.value,
                    })?;
                    known.learn(told).map_err(unusable)?;
                }
                Err(error) => {
                    tracing::warn!(%error, "the platform registry does not answer; it is asked again when a deal demands an enclave");
                    known.registry = Some(Registry {
                        settings,
                        client,
                        answers,
                        failed: None,
                    });
                }
            }
        }
        for (framework, sms) in &known.sms {
            tracing::info!(%framework, sms = %sms.url, "deals that demand this enclave are served");
        }
        Ok(Self {
            known: Mutex::new(known),
            asking: Semaphore::new(AT_ONCE),
            authorizer,
            result_proxy,
            registry,
        })
    }

    /// How the registry is, by the original's name and with its words; none where there is none.
    pub(crate) fn registry_health(&self) -> Option<impl Fn() -> Condition + Send + Sync + 'static> {
        let answers = self.registry.clone()?;
        Some(move || match answers.load(Ordering::Relaxed) {
            true => Condition::up(),
            false => Condition::new(Status::Unknown).with("error", "no property sources located"),
        })
    }

    /// Technologies whose deals are taken on: all of them while nobody said which there are.
    pub(crate) async fn served(&self) -> BTreeSet<TeeFramework> {
        let known = self.known.lock().await;
        if known.registry.is_some() {
            return TeeFramework::ALL.into();
        }
        known.sms.keys().copied().collect()
    }

    /// Asks the registry for what is not known, if it has never answered. Nobody waits for it who needs nothing of it.
    async fn look_for(&self, framework: TeeFramework) -> Result<(), NoEnclave> {
        let (client, settings) = {
            let known = self.known.lock().await;
            let Some(registry) = &known.registry else {
                return Ok(());
            };
            if known.sms.contains_key(&framework) {
                return Ok(());
            }
            match &registry.failed {
                Some((at, error)) if at.elapsed() < REST => {
                    let error = error.clone();
                    return Err(NoEnclave::NoRegistry { framework, error });
                }
                _ => (registry.client.clone(), registry.settings.clone()),
            }
        };
        let answer = client.properties(&settings.stack, &settings.label).await;
        let mut known = self.known.lock().await;
        let learned = answer.and_then(|properties| {
            let told = told(&properties).unwrap_or_else(|NoUrl { name, value }| {
                tracing::error!(
                    property = name,
                    value,
                    "what the platform registry tells is no URL"
                );
                Vec::new()
            });
            known.learn(told)
        });
        learned.map_err(|error| {
            if let Some(registry) = &mut known.registry {
                registry.failed = Some((Instant::now(), error.clone()));
            }
            NoEnclave::NoRegistry { framework, error }
        })
    }

    /// Whether there is a secret manager for this technology that serves it. Nothing is paid for a task before that.
    pub(crate) async fn ready(&self, framework: TeeFramework) -> Result<(), NoEnclave> {
        self.look_for(framework).await?;
        let client = {
            let mut known = self.known.lock().await;
            let sms = known.sms(framework)?;
            let judged = sms.judge(framework);
            let holds = if judged.is_ok() { HOLDS } else { REST };
            match &sms.looked {
                Some((at, _)) if at.elapsed() < holds => return judged,
                _ => sms.client.clone(),
            }
        };
        let serves = client.framework().await;
        let mut known = self.known.lock().await;
        let sms = known.sms(framework)?;
        let before = sms.judge(framework).is_ok();
        sms.looked = Some((Instant::now(), serves));
        let judged = sms.judge(framework);
        match &judged {
            Err(error) if before => {
                tracing::warn!(%framework, %error, "tasks that demand this enclave wait")
            }
            Ok(()) if !before => tracing::info!(%framework, "tasks that demand this enclave go on"),
            _ => {}
        }
        judged
    }

    /// The enclave that must compute a task.
    pub(crate) async fn challenge(
        &self,
        framework: TeeFramework,
        task: TaskId,
    ) -> Result<Enclave, NoEnclave> {
        let failed = |error| NoEnclave::Sms { framework, error };
        self.look_for(framework).await?;
        // A bag that is initialised with one transaction asks for all its enclaves at once.
        let _turn = self.asking.acquire().await.ok();
        let (client, url, tell) = {
            let mut known = self.known.lock().await;
            let sms = known.sms(framework)?;
            let tell = sms
                .told_proxy
                .is_none_or(|at| at.elapsed() > HOLDS && !sms.knows_proxy);
            if tell {
                sms.told_proxy = Some(Instant::now());
            }
            (sms.client.clone(), sms.url.clone(), tell)
        };
        let signature = self.authorizer.for_an_enclave(task)?;
        let challenge = client
            .enclave_challenge(task, &signature)
            .await
            .map_err(failed)?;
        if tell {
            self.tell_proxy(framework, &client).await?;
        }
        Ok(Enclave {
            challenge,
            sms_url: url,
        })
    }

    /// Says where results go by default. Deals that name a proxy of their own do without, so a failure stops nothing.
    async fn tell_proxy(
        &self,
        framework: TeeFramework,
        client: &SmsClient,
    ) -> Result<(), NoEnclave> {
        let secret = NamedSecret {
            owner: self.authorizer.address(),
            name: RESULT_PROXY_URL,
            value: &self.result_proxy,
        };
        let signature = self.authorizer.for_a_secret(secret.name, secret.value)?;
        let telling = tokio::time::timeout(TOLD_WITHIN, client.put_secret(secret, &signature));
        match telling.await {
            Ok(Ok(())) => {
                let mut known = self.known.lock().await;
                known.sms(framework)?.knows_proxy = true;
            }
            Ok(Err(error)) => {
                tracing::warn!(%framework, %error, "the SMS is not told where results go by default; it is told again later");
            }
            Err(_) => {
                tracing::warn!(%framework, "the SMS does not take in time where results go by default; it is told again later");
            }
        }
        Ok(())
    }
}

impl Known {
    fn add(&mut self, framework: TeeFramework, url: Kept<Url>) -> Result<(), ClientError> {
        let sms = Sms {
            client: SmsClient::new(url.value)?,
            url: url.text,
            looked: None,
            told_proxy: None,
            knows_proxy: false,
        };
        self.sms.entry(framework).or_insert(sms);
        Ok(())
    }

    /// What is set here counts more than what the registry tells.
    fn learn(&mut self, told: Told) -> Result<(), ClientError> {
        for (framework, url) in told {
            self.add(framework, url)?;
        }
        if let Some(registry) = self.registry.take() {
            registry.answers.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn sms(&mut self, framework: TeeFramework) -> Result<&mut Sms, NoEnclave> {
        self.sms
            .get_mut(&framework)
            .ok_or(NoEnclave::NoSms { framework })
    }
}

impl Sms {
    fn judge(&self, framework: TeeFramework) -> Result<(), NoEnclave> {
        match &self.looked {
            Some((_, Ok(serves))) if *serves != framework => Err(NoEnclave::OtherFramework {
                url: self.url.clone(),
                serves: *serves,
                framework,
            }),
            Some((_, Err(error))) => Err(NoEnclave::Sms {
                framework,
                error: error.clone(),
            }),
            Some((_, Ok(_))) | None => Ok(()),
        }
    }
}

/// The secret managers among a registry's properties; nothing else of them is taken, so that a registry cannot change how this
/// pool works. Else the first that is no URL.
fn told(properties: &Properties) -> Result<Told, NoUrl> {
    let mut told = Vec::new();
    for (framework, name) in [
        (TeeFramework::Scone, "sms.scone"),
        (TeeFramework::Gramine, "sms.gramine"),
        (TeeFramework::Tdx, "sms.tdx"),
    ] {
        let Some(text) = properties.get(name).map(|text| text.trim()) else {
            continue;
        };
        if text.is_empty() {
            continue;
        }
        let Some(value) = env::url(text) else {
            let value = text.to_owned();
            return Err(NoUrl { name, value });
        };
        let text = text.to_owned();
        told.push((framework, Kept { text, value }));
    }
    Ok(told)
}

fn unusable(error: ClientError) -> StartError {
    StartError::Other(error.to_string())
}
