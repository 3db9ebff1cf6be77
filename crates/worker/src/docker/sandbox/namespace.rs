//! The rules inside network namespaces, where the worker has only the engine's socket. One container a slot holds a namespace open on the
//! slot's network, a short helper that may change it puts the rules in, and applications join it afterwards. They lack the capability to
//! undo anything. It costs a task nothing: the namespace lives as long as the slot.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bollard::errors::Error as Bollard;
use bollard::query_parameters::InspectContainerOptions;

use super::helper::{Helper, Program, Task};
use super::rules::Plan;
use super::surroundings::Surroundings;
use crate::config::Containers;
use crate::docker::{DockerError, Engine};

/// A run of one holder: its id, and when it was started. Started anew it has another namespace, without rules.
type Life = (String, String);

/// The namespaces of one worker's slots.
#[derive(Debug)]
pub(super) struct Namespaces {
    engine: Engine,
    worker: String,
    settings: Containers,
    helper: Helper,
    state: Mutex<State>,
    /// One slot's namespace is made at a time.
    making: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    plan: Plan,
    closed: HashMap<u32, Life>,
}

impl Namespaces {
    /// Makes the helper's image where it is missing, and looks at what is around the host.
    pub(super) async fn prepare(
        engine: &Engine,
        worker: &str,
        settings: &Containers,
        program: &Program,
    ) -> Result<Self, DockerError> {
        let namespaces = Self {
            helper: Helper::prepare(engine, program).await?,
            engine: engine.clone(),
            worker: worker.to_owned(),
            settings: settings.clone(),
            state: Mutex::default(),
            making: tokio::sync::Mutex::default(),
        };
        let plan = namespaces.look().await?;
        tracing::info!(dns = ?plan.resolvers, "packet rules inside the containers' network namespaces close this host and its local networks");
        namespaces.state().plan = plan;
        Ok(namespaces)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn holder(&self, slot: u32) -> String {
        format!("workerpool-net-{}-{slot}", self.worker)
    }

    /// The plan by what is around the host now.
    async fn look(&self) -> Result<Plan, DockerError> {
        let mut found = self.look_from("host").await?;
        if found.resolvers.is_empty() && self.settings.resolvers.is_empty() {
            // The host asks a server on its loopback; which one the engine gives to containers only a container sees.
            match self.look_from("bridge").await {
                Ok(inside) => found.resolvers = inside.resolvers,
                Err(error) => {
                    tracing::warn!(%error, "which DNS servers containers ask is not known; set WORKERPOOL_WORKER_DNS if names are not resolved in applications");
                }
            }
        }
        let settings = &self.settings;
        Ok(found.plan(&settings.resolvers, &settings.open, settings.subnets))
    }

    async fn look_from(&self, network: &str) -> Result<Surroundings, DockerError> {
        let name = format!("workerpool-look-{}", self.worker);
        let task = Task {
            name: &name,
            worker: &self.worker,
            words: vec!["look".to_owned()],
            network,
            dns: Vec::new(),
            may_change: false,
        };
        let answer = self.helper.run(&self.engine, &task).await?;
        serde_json::from_str(&answer).map_err(|error| DockerError::Refused {
            action: "look at the host's network".to_owned(),
            reason: format!("the helper's answer cannot be read: {error}"),
            status: None,
        })
    }

    /// What an application of this slot joins: a namespace that is closed.
    pub(super) async fn place(&self, slot: u32) -> Result<String, DockerError> {
        let _making = self.making.lock().await;
        let holder = self.holder(slot);
        let life = match self.life(&holder).await? {
            Some(life) => life,
            None => {
                let network = self
                    .engine
                    .ensure_network(&self.worker, slot, self.settings.subnets)
                    .await?;
                let task = Task {
                    name: &holder,
                    worker: &self.worker,
                    words: vec!["hold".to_owned()],
                    network: &network,
                    dns: self
                        .settings
                        .resolvers
                        .iter()
                        .map(ToString::to_string)
                        .collect(),
                    may_change: false,
                };
                self.helper.start(&self.engine, &task).await?;
                self.life(&holder)
                    .await?
                    .ok_or_else(|| DockerError::Refused {
                        action: format!("keep the container {holder} running"),
                        reason: "it ended at once".to_owned(),
                        status: None,
                    })?
            }
        };
        let joined = format!("container:{}", life.0);
        if self.state().closed.get(&slot) != Some(&life) {
            self.close(slot, &joined).await?;
            self.state().closed.insert(slot, life);
        }
        Ok(joined)
    }

    async fn close(&self, slot: u32, joined: &str) -> Result<(), DockerError> {
        let plan = serde_json::to_string(&self.state().plan).unwrap_or_default();
        let name = format!("workerpool-close-{}-{slot}", self.worker);
        let task = Task {
            name: &name,
            worker: &self.worker,
            words: vec!["close".to_owned(), plan],
            network: joined,
            dns: Vec::new(),
            may_change: true,
        };
        self.helper.run(&self.engine, &task).await.map(drop)
    }

    /// The present run of a holder; `None` when it does not run.
    async fn life(&self, holder: &str) -> Result<Option<Life>, DockerError> {
        match self
            .engine
            .docker
            .inspect_container(holder, None::<InspectContainerOptions>)
            .await
        {
            Ok(found) => {
                let state = found.state.unwrap_or_default();
                let started = state.started_at.unwrap_or_default();
                Ok((state.running == Some(true)).then(|| (found.id.unwrap_or_default(), started)))
            }
            Err(Bollard::DockerResponseServerError {
                status_code: 404, ..
            }) => Ok(None),
            Err(error) => Err(self
                .engine
                .error(format!("look up the container {holder}"), error)),
        }
    }

    /// Looks again at what is around the host, and closes every namespace anew where that changed.
    pub(super) async fn refresh(&self) -> Result<(), DockerError> {
        let plan = self.look().await?;
        let _making = self.making.lock().await;
        if self.state().plan == plan {
            return Ok(());
        }
        tracing::info!(
            "the host's addresses, networks or DNS servers changed: applications' networks are closed anew"
        );
        self.state().plan = plan;
        let slots: Vec<u32> = self.state().closed.drain().map(|(slot, _)| slot).collect();
        for slot in slots {
            if let Some(life) = self.life(&self.holder(slot)).await? {
                self.close(slot, &format!("container:{}", life.0)).await?;
                self.state().closed.insert(slot, life);
            }
        }
        Ok(())
    }

    /// Removes the slot's holder, and with it the namespace.
    pub(super) async fn remove(&self, slot: u32) -> Result<(), DockerError> {
        self.state().closed.remove(&slot);
        self.engine.remove(&self.holder(slot)).await
    }
}
