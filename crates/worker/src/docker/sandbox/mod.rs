//! The network of applications: open to the internet, closed to this host, its local networks, metadata services and other tasks (spec
//! `worker.md` S6). A network alone does not do that: every bridge reaches the host. Packet rules do, in one of two forms: on the host
//! ([`host`]) where the worker may put them there, else inside the containers' namespaces ([`namespace`]). Both are made for a slot and not
//! for a task, so they cost a task nothing. When neither can be had the worker does not start, unless it is told to do without.

pub mod helper;
mod host;
mod namespace;
mod nft;
mod rules;
mod surroundings;

use std::sync::Arc;
use std::time::Duration;

use self::helper::Program;
use self::host::HostRules;
use self::namespace::Namespaces;
use super::{DockerError, Engine, Profile, network};
use crate::config::{Containers, Egress, RulesForm};

/// How often rules on the host are looked after.
const HOST_CHECK: Duration = Duration::from_secs(10);
/// How often the surroundings are looked at where that takes a container.
const NAMESPACE_CHECK: Duration = Duration::from_secs(600);
/// How long the networks may take to be removed when the worker ends.
const LEAVING: Duration = Duration::from_secs(15);

/// Why applications' networks cannot be closed.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Neither form works.
    #[error(
        "applications would reach this host and its local networks: the packet rules cannot be put in place\n  on the host    {host}\n  in namespaces  {namespace}\n  mend           run the worker as root on the container engine's host; or set WORKERPOOL_WORKER_EGRESS=none to give applications no network, or WORKERPOOL_WORKER_PROFILE=compat to run them unconfined"
    )]
    Open {
        /// Why not on the host.
        host: String,
        /// Why not inside namespaces.
        namespace: String,
    },
    /// The engine does not do its part.
    #[error(transparent)]
    Docker(#[from] DockerError),
}

/// Where an application is put.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The network, as the engine's API says it; none is the engine's default.
    pub network: Option<String>,
    /// The DNS servers it asks; none leaves that to the engine.
    pub dns: Vec<String>,
}

/// The networks of one worker's applications. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    engine: Engine,
    worker: String,
    settings: Containers,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// The engine's default bridge, as the original does it.
    Engine,
    /// No network.
    Nothing,
    /// A network a slot, and no rules.
    Unruled,
    Host(Arc<HostRules>),
    Namespace(Box<Namespaces>),
}

impl Sandbox {
    /// Chooses the form and puts the rules in place. `program` is what helper containers run, where they are needed.
    ///
    /// # Errors
    /// The rules cannot be put in place, and nobody said that it is to go without them.
    pub async fn prepare(
        engine: &Engine,
        worker: &str,
        settings: &Containers,
        program: &Program,
    ) -> Result<Self, SandboxError> {
        let form = match (settings.egress, settings.profile, settings.rules) {
            (Egress::None, ..) => Form::Nothing,
            (_, Profile::Compat, _) => Form::Engine,
            (_, _, RulesForm::Off) => {
                tracing::warn!(
                    "WORKERPOOL_WORKER_EGRESS_RULES=off: applications, which strangers chose, reach this host and its local networks"
                );
                Form::Unruled
            }
            (_, _, rules) => ruled(engine, worker, settings, program, rules).await?,
        };
        Ok(Self {
            inner: Arc::new(Inner {
                engine: engine.clone(),
                worker: worker.to_owned(),
                settings: settings.clone(),
                form,
            }),
        })
    }

    /// How applications' networks are closed, for people.
    #[must_use]
    pub fn form(&self) -> &'static str {
        match self.inner.form {
            Form::Engine => "open: the engine's default bridge",
            Form::Nothing => "no network",
            Form::Unruled => "open: a network a slot, without packet rules",
            Form::Host(_) => "closed by packet rules on the host",
            Form::Namespace(_) => "closed by packet rules in the containers' namespaces",
        }
    }

    /// Where the application of this slot is put. It is closed when this returns.
    ///
    /// # Errors
    /// The network cannot be made, or cannot be closed; then no application may be started.
    pub async fn place(&self, slot: u32) -> Result<Place, DockerError> {
        let inner = &self.inner;
        let dns = || {
            inner
                .settings
                .resolvers
                .iter()
                .map(ToString::to_string)
                .collect()
        };
        let on = async || {
            let (worker, range) = (&inner.worker, inner.settings.subnets);
            inner
                .engine
                .ensure_network(worker, slot, range)
                .await
                .map(Some)
        };
        Ok(match &inner.form {
            Form::Engine => Place::default(),
            Form::Nothing => Place {
                network: Some("none".to_owned()),
                dns: Vec::new(),
            },
            Form::Unruled => Place {
                network: on().await?,
                dns: dns(),
            },
            Form::Host(rules) => {
                let network = on().await?;
                // One question to the kernel. Whoever flushes all tables must not open the next task's network.
                closed(rules).await?;
                Place {
                    network,
                    dns: dns(),
                }
            }
            // Its DNS servers are the holder's.
            Form::Namespace(namespaces) => Place {
                network: Some(namespaces.place(slot).await?),
                dns: Vec::new(),
            },
        })
    }

    /// Makes the networks of all slots ahead, so that no first task waits for its own; then looks after the rules as long as the worker
    /// works. Never ends.
    pub async fn keep(&self, slots: u32) {
        for slot in 0..slots {
            if let Err(error) = self.place(slot).await {
                tracing::warn!(slot, %error, "a slot's network is not ready");
            }
        }
        loop {
            match &self.inner.form {
                Form::Host(rules) => {
                    tokio::time::sleep(HOST_CHECK).await;
                    if let Err(error) = closed(rules).await {
                        tracing::error!(%error, "the packet rules are not in place; no task is started until they are");
                    }
                }
                Form::Namespace(namespaces) => {
                    tokio::time::sleep(NAMESPACE_CHECK).await;
                    if let Err(error) = namespaces.refresh().await {
                        tracing::warn!(%error, "what is around the host could not be looked at");
                    }
                }
                _ => std::future::pending().await,
            }
        }
    }

    /// Removes networks and rules, unless a container of a task is left, which the next start finds on its network behind its rules.
    pub async fn leave(&self) {
        let left = tokio::time::timeout(LEAVING, self.remove()).await;
        match left {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "networks stay behind; the next start takes them over")
            }
            Err(_) => tracing::warn!(
                "networks stay behind: the container engine is slow; the next start takes them over"
            ),
        }
    }

    async fn remove(&self) -> Result<(), DockerError> {
        let Inner {
            engine,
            worker,
            form,
            ..
        } = &*self.inner;
        if !engine
            .task_containers(&format!("{worker}-"))
            .await?
            .is_empty()
        {
            return Ok(());
        }
        for slot in engine.networks(worker).await? {
            if let Form::Namespace(namespaces) = form {
                namespaces.remove(slot).await?;
            }
            engine.remove_network(worker, slot).await?;
        }
        if let Form::Host(rules) = form {
            rules.remove().map_err(not_closed)?;
        }
        Ok(())
    }
}

/// The tables of packet rules that workers have on this host, by name.
///
/// # Errors
/// The kernel does not say, for want of a permission or of nf_tables.
pub fn tables() -> std::io::Result<Vec<String>> {
    host::tables()
}

/// The name of the table of this worker's rules, where they stand on the host.
#[must_use]
pub fn table(worker: &str) -> String {
    host::table_of(&network::bridges(worker))
}

/// One of the two forms, or why neither works.
async fn ruled(
    engine: &Engine,
    worker: &str,
    settings: &Containers,
    program: &Program,
    wanted: RulesForm,
) -> Result<Form, SandboxError> {
    engine.ensure_network(worker, 0, settings.subnets).await?;
    let not_tried = || "not tried: WORKERPOOL_WORKER_EGRESS_RULES".to_owned();
    let host = match wanted {
        RulesForm::Namespace => Err(not_tried()),
        _ => on_host(engine, worker, settings),
    };
    let host = match host {
        Ok(rules) => return Ok(Form::Host(Arc::new(rules))),
        Err(why) => why,
    };
    let namespace = match wanted {
        RulesForm::Host => not_tried(),
        _ => {
            tracing::debug!(why = host, "the packet rules are not put on the host");
            match inside(engine, worker, settings, program).await {
                Ok(namespaces) => return Ok(Form::Namespace(Box::new(namespaces))),
                Err(error) if error.is_no_answer() => return Err(error.into()),
                Err(error) => error.to_string(),
            }
        }
    };
    Err(SandboxError::Open { host, namespace })
}

fn on_host(engine: &Engine, worker: &str, settings: &Containers) -> Result<HostRules, String> {
    if !engine.host().starts_with("unix://") {
        return Err(format!(
            "the container engine at {} may be on another host",
            engine.host()
        ));
    }
    let bridge = network::bridge(worker, 0);
    if !HostRules::sees(&bridge) {
        return Err(format!(
            "this process does not see the bridge {bridge}: it does not run in the network of the container engine's host"
        ));
    }
    let rules = HostRules::new(worker, settings);
    rules.ensure().map_err(|error| match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            "this process may not change the packet filter: it lacks CAP_NET_ADMIN".to_owned()
        }
        _ => format!("the kernel's packet filter (nf_tables) does not take the rules: {error}"),
    })?;
    if let Err(error) = rules.sweep() {
        tracing::debug!(%error, "packet rules of workers that are gone stay");
    }
    Ok(rules)
}

/// The namespaces, and the first of them closed: that shows that it works.
async fn inside(
    engine: &Engine,
    worker: &str,
    settings: &Containers,
    program: &Program,
) -> Result<Namespaces, DockerError> {
    let namespaces = Namespaces::prepare(engine, worker, settings, program).await?;
    namespaces.place(0).await?;
    Ok(namespaces)
}

async fn closed(rules: &Arc<HostRules>) -> Result<(), DockerError> {
    let rules = Arc::clone(rules);
    tokio::task::spawn_blocking(move || rules.ensure())
        .await
        .map_err(std::io::Error::other)
        .and_then(|ensured| ensured)
        .map_err(not_closed)
}

fn not_closed(error: std::io::Error) -> DockerError {
    DockerError::Refused {
        action: "close the networks of applications".to_owned(),
        reason: format!("the kernel's packet filter does not take the rules: {error}"),
        status: None,
    }
}
