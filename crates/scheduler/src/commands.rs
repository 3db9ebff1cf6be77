//! Doing what the engine wants done: transactions by the outbox or by a blockchain adapter, questions to the result proxy, to secret
//! managers and to the chain.
//!
//! Each command comes back as one input. Transactions that are wanted at one moment are handed over together, so that the
//! outbox can send them together, and tasks are read a few at a time: a deal may have ten thousand of them. An error of a
//! peer is told as such and never taken for an answer.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alloy_primitives::{Bytes, U256};
use alloy_sol_types::SolCall;
use chain::{ArrayCall, GasPolicy, Hub, Intent, Joinable, NodeError, OutboxError, OutboxHandle};
use chassis::Shutdown;
use engine::{Action, Command, CommandKey, Input, Outcome, TaskView};
use poco::contracts::Hub as Abi;
use poco::ids::TaskId;
use poco::status::ChainTaskStatus;
use poco::tag::TeeFramework;
use poco::units::Timestamp;
use store::Batch;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use url::Url;
use wire::adapter::AdapterClient;
use wire::error::ClientError;
use wire::reach::Reach;

use crate::authorize::{Authorizer, NotAuthorized};
use crate::crash;
use crate::enclaves::{Enclaves, NoEnclave};
use crate::inbox::Inbox;

pub(crate) mod adapter;
mod uploaded;

/// Questions put to a peer before it counts as not answering.
const TRIES: u32 = 3;
/// Pause between them.
const PAUSE: Duration = Duration::from_secs(1);
/// Tasks read from the chain at a time.
const READINGS: usize = 32;

/// Does commands. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Commands {
    inner: Arc<Inner>,
    readings: Arc<Semaphore>,
}

pub(crate) struct Inner {
    pub(crate) outbox: OutboxHandle,
    pub(crate) hub: Hub,
    pub(crate) authorizer: Arc<Authorizer>,
    /// The result proxy of deals that name none.
    pub(crate) proxy: Url,
    /// Where deals may say that another one is.
    pub(crate) proxy_reach: Reach,
    /// What sends `initialize` and `finalize`, if not the outbox.
    pub(crate) adapter: Option<AdapterClient>,
    /// Whose turn it is with the adapter: initialisations, and finalisations.
    pub(crate) adapter_turns: (Semaphore, Semaphore),
    /// The secret managers.
    pub(crate) enclaves: Enclaves,
    pub(crate) inbox: Inbox,
    pub(crate) running: TaskTracker,
    pub(crate) shutdown: Shutdown,
    pub(crate) underway: Mutex<HashSet<CommandKey>>,
}

/// Why a command has no answer.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    #[error(transparent)]
    Peer(#[from] ClientError),
    #[error(transparent)]
    Enclave(#[from] NoEnclave),
    #[error("the blockchain adapter is still at it")]
    StillUnderWay,
    #[error(transparent)]
    Authorization(#[from] NotAuthorized),
    #[error("the chain shows status {0}, which no task has")]
    Status(u8),
}

impl Commands {
    pub(crate) fn new(inner: Inner) -> Self {
        Self {
            inner: Arc::new(inner),
            readings: Arc::new(Semaphore::new(READINGS)),
        }
    }

    /// Begins the commands, but for those that are under way.
    pub(crate) fn begin(&self, commands: Vec<Command>) {
        let fresh: Vec<Command> = {
            let mut underway = self.underway();
            let fresh = commands
                .into_iter()
                .filter(|command| underway.insert(command.key));
            fresh.collect()
        };
        let (together, apart): (Vec<_>, Vec<_>) = fresh.into_iter().partition(|command| {
            self.of_adapter(&command.action).is_none() && joinable(&command.action).is_some()
        });
        for command in apart {
            self.spawn(async move |this: Self| this.carry_out(command).await);
        }
        // What has to wait for a secret manager keeps nothing else waiting.
        let (waiting, together): (Vec<_>, Vec<_>) = together.into_iter().partition(demands_enclave);
        for group in [together, waiting] {
            if !group.is_empty() {
                self.spawn(async move |this: Self| this.carry_out_together(group).await);
            }
        }
    }

    /// Does it beside everything else, until the end is asked for.
    fn spawn<F>(&self, work: impl FnOnce(Self) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let shutdown = self.inner.shutdown.clone();
        let work = work(self.clone());
        self.inner.running.spawn(async move {
            tokio::select! {
                () = shutdown.triggered() => {}
                () = work => {}
            }
        });
    }

    /// Hands all over in one write, then waits for each.
    async fn carry_out_together(self, commands: Vec<Command>) {
        let mut intents = Vec::with_capacity(commands.len());
        for Command { key, action } in &commands {
            chassis::crash::point(crash::around(key.purpose).0);
            match self.intent(*key, action.clone()).await {
                Ok(intent) => intents.push(intent),
                // Cannot be: nobody is asked for what these are made of. By itself it says why.
                Err(_) => break,
            }
        }
        let handed_over = if intents.len() == commands.len() {
            self.inner.outbox.submit_all(intents).await.is_ok()
        } else {
            false
        };
        for command in commands {
            if handed_over {
                chassis::crash::point(crash::around(command.key.purpose).1);
                self.spawn(async move |this: Self| {
                    let result = this.outcome(command.key).await;
                    this.come_back(command.key, true, result).await;
                });
            } else {
                // One of them keeps the others out: each by itself finds out whether it is the one.
                self.spawn(async move |this: Self| this.carry_out(command).await);
            }
        }
    }

    async fn carry_out(&self, command: Command) {
        let Command { key, action } = command;
        let (before, after) = crash::around(key.purpose);
        chassis::crash::point(before);
        let sends = !matches!(
            action,
            Action::CheckUploaded { .. } | Action::EnclaveChallenge { .. } | Action::ReadTask
        );
        let result = match action {
            Action::CheckUploaded {
                proxy,
                enclave_challenge,
            } => {
                self.check_uploaded(key.task, proxy, enclave_challenge)
                    .await
            }
            Action::EnclaveChallenge { framework } => self.challenge(key.task, framework).await,
            Action::ReadTask => {
                // Never closed, and if it were, reading at once would do no harm.
                let _turn = self.readings.acquire().await.ok();
                read_task(&self.inner.hub, key.task).await
            }
            action => self.transact(key, action, after).await,
        };
        if !sends {
            chassis::crash::point(after);
        }
        self.come_back(key, sends, result).await;
    }

    /// Tells what became of a command, and then that nobody needs what the outbox has of it any more.
    async fn come_back(&self, key: CommandKey, sends: bool, result: Result<Outcome, Unanswered>) {
        let outcome = match result {
            Ok(outcome) => outcome,
            // The process is ending; the command is given out again after the next start.
            Err(Unanswered::Outbox(OutboxError::Stopped)) => return,
            Err(error) => {
                // Of a bag each task would say what is said once where it is found.
                if matches!(error, Unanswered::Enclave(_)) {
                    tracing::debug!(command = %key, task = %key.task, %error, "a command has no answer yet");
                } else {
                    tracing::warn!(command = %key, task = %key.task, %error, "a command has no answer yet");
                }
                Outcome::Unreachable {
                    reason: error.to_string(),
                }
            }
        };
        let settled = sends && !matches!(outcome, Outcome::Unreachable { .. });
        // Removed first: the answer may make the engine give the same command again.
        self.underway().remove(&key);
        let told = self
            .inner
            .inbox
            .tell_stored(Input::Done { key, outcome }, Batch::new())
            .await;
        if told.is_ok()
            && settled
            && let Err(error) = self.inner.outbox.forget(vec![key.to_string()]).await
        {
            tracing::debug!(command = %key, %error, "a settled transaction stays in the outbox");
        }
    }

    /// Has the transaction sent, and says what came of it. `after` is passed once the outbox has it.
    async fn transact(
        &self,
        key: CommandKey,
        action: Action,
        after: &'static str,
    ) -> Result<Outcome, Unanswered> {
        if let Some((adapter, command)) = self.of_adapter(&action) {
            self.check_enclave(&action).await?;
            let outcome = self.by_adapter(adapter, key.task, &command).await;
            chassis::crash::point(after);
            return outcome;
        }
        match self.submit(key, action).await {
            Ok(()) => {}
            // What is under way stays under way: the engine has since come to want it with another payload, and gets that one
            // under the next key if this one fails.
            Err(Unanswered::Outbox(error @ OutboxError::OtherPayload { .. })) => {
                tracing::info!(command = %key, task = %key.task, %error, "waiting for the earlier transaction");
            }
            Err(error) => return Err(error),
        }
        chassis::crash::point(after);
        self.outcome(key).await
    }

    /// The enclave of a task. A secret manager that does not give it is asked again after a while, by the next try.
    async fn challenge(
        &self,
        task: TaskId,
        framework: TeeFramework,
    ) -> Result<Outcome, Unanswered> {
        match self.inner.enclaves.challenge(framework, task).await {
            Ok(enclave) => Ok(Outcome::Challenged(enclave)),
            Err(error) => {
                tracing::warn!(%task, %error, "a task has no enclave yet");
                Ok(Outcome::Refused {
                    reason: error.to_string(),
                })
            }
        }
    }

    async fn submit(&self, key: CommandKey, action: Action) -> Result<(), Unanswered> {
        let intent = self.intent(key, action).await?;
        Ok(self.inner.outbox.submit(intent).await?)
    }

    async fn intent(&self, key: CommandKey, action: Action) -> Result<Intent, Unanswered> {
        self.check_enclave(&action).await?;
        let joins = joinable(&action);
        let (calldata, gas, deadline) = self.transaction(key.task, action).await?;
        Ok(Intent {
            key: key.to_string(),
            to: self.inner.hub.address(),
            calldata: calldata.into(),
            gas,
            deadline,
            joins,
        })
    }

    async fn outcome(&self, key: CommandKey) -> Result<Outcome, Unanswered> {
        Ok(match self.inner.outbox.outcome(&key.to_string()).await? {
            chain::Outcome::Mined { receipt } => Outcome::Mined {
                block: receipt.block,
            },
            chain::Outcome::Reverted { reason, .. } => Outcome::Reverted {
                reason: reason.to_string(),
            },
            chain::Outcome::Refused { reason } => Outcome::Refused {
                reason: reason.to_string(),
            },
            chain::Outcome::Expired => Outcome::Expired,
        })
    }

    /// Nothing is paid for a task that demands an enclave while there is nobody to give it one.
    async fn check_enclave(&self, action: &Action) -> Result<(), Unanswered> {
        if let Action::Initialize {
            framework: Some(framework),
            ..
        } = action
        {
            self.inner.enclaves.ready(*framework).await?;
        }
        Ok(())
    }

    /// Calldata, gas policy and deadline of a transaction.
    async fn transaction(
        &self,
        task: TaskId,
        action: Action,
    ) -> Result<(Vec<u8>, GasPolicy, Option<Timestamp>), Unanswered> {
        let estimated = GasPolicy::estimated();
        Ok(match action {
            Action::Initialize {
                deal, index, until, ..
            } => {
                let call = Abi::initializeCall {
                    dealid: deal.0,
                    idx: U256::from(index),
                };
                (call.abi_encode(), estimated, Some(until))
            }
            Action::Finalize {
                link,
                callback_data,
                calls_back,
                until,
            } => {
                let extra = if calls_back {
                    self.inner.hub.callback_gas().await?
                } else {
                    0
                };
                let callback = callback_data
                    .map(|data| poco::lax_hex::decode(&data))
                    .unwrap_or_default();
                let call = Abi::finalizeCall {
                    taskid: task.0,
                    results: Bytes::from(link.into_bytes()),
                    resultsCallback: callback.into(),
                };
                (call.abi_encode(), estimated.plus(extra), Some(until))
            }
            Action::Reopen { until } => (
                Abi::reopenCall { taskid: task.0 }.abi_encode(),
                estimated,
                Some(until),
            ),
            Action::Claim {
                deal,
                index,
                initialize_first: true,
            } => {
                let call = Abi::initializeAndClaimArrayCall {
                    dealids: vec![deal.0],
                    idxs: vec![U256::from(index)],
                };
                (call.abi_encode(), estimated, None)
            }
            Action::Claim { .. } => (
                Abi::claimCall { taskid: task.0 }.abi_encode(),
                estimated,
                None,
            ),
            // Not transactions; never come here.
            Action::CheckUploaded { .. } | Action::EnclaveChallenge { .. } | Action::ReadTask => {
                (Vec::new(), estimated, None)
            }
        })
    }

    fn underway(&self) -> std::sync::MutexGuard<'_, HashSet<CommandKey>> {
        self.inner
            .underway
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn demands_enclave(command: &Command) -> bool {
    matches!(
        command.action,
        Action::Initialize {
            framework: Some(_),
            ..
        }
    )
}

/// What the action does, if one transaction can do it for many tasks.
const fn joinable(action: &Action) -> Option<Joinable> {
    match action {
        Action::Initialize { deal, index, .. } => Some(Joinable {
            call: ArrayCall::Initialize,
            deal: *deal,
            index: *index,
        }),
        Action::Claim {
            deal,
            index,
            initialize_first,
        } => Some(Joinable {
            call: if *initialize_first {
                ArrayCall::InitializeAndClaim
            } else {
                ArrayCall::Claim
            },
            deal: *deal,
            index: *index,
        }),
        _ => None,
    }
}

/// The task as the chain shows it after its head: a node that does not have that block yet has no answer.
async fn read_task(hub: &Hub, task: TaskId) -> Result<Outcome, Unanswered> {
    let at = hub.node().head().await?.number;
    Ok(Outcome::Read(match hub.task_at(task, at).await? {
        None => TaskView {
            at,
            status: ChainTaskStatus::Unset,
            reveals: 0,
            results: Bytes::new(),
        },
        Some(found) => TaskView {
            at,
            status: ChainTaskStatus::try_from(found.status)
                .map_err(|_| Unanswered::Status(found.status))?,
            reveals: found.revealCounter.saturating_to(),
            results: found.results,
        },
    }))
}

#[cfg(test)]
mod tests;
