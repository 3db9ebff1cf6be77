//! What every step of a task works with: the worker's shared parts, and what is known about this task.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alloy_primitives::U256;
use alloy_signer_local::PrivateKeySigner;
use chain::{Hub, OutboxHandle};
use poco::contracts::Task;
use poco::ids::TaskId;
use poco::units::{BlockNumber, Timestamp};
use store::Store;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use url::Url;
use wire::status::ReplicateStatusCause as Cause;

use crate::config::Settings;
use crate::description::TaskDescription;
use crate::docker::Engine;
use crate::docker::cache::ImageCache;
use crate::docker::sandbox::Sandbox;
use crate::guards::{self, ChainFacts, Facts};
use crate::journal::{Journal, Outcome, Step};
use crate::metrics::Metrics;
use crate::newest::Newest;
use crate::outputs::TaskFolder;
use crate::session::Session;
use crate::slots::Slots;
use crate::stake::{Seen, StakeWanted};
use crate::{clock, contribute_and_finalize, patience, upload};

/// How old what the chain said about a task may be where a wrong guess costs no money but a minute's work or an upload: the scheduler tells
/// of a consensus, the outbox sends only what the chain would take, and what it refuses is judged by what the chain says then.
pub(crate) const OF_LATE: Duration = Duration::from_secs(60);

/// What all tasks of this worker share.
pub struct Shared {
    /// How the operator set it.
    pub settings: Settings,
    /// The wallet that signs.
    pub signer: PrivateKeySigner,
    /// The session with the scheduler.
    pub session: Session,
    /// The chain.
    pub hub: Hub,
    /// What sends transactions.
    pub outbox: OutboxHandle,
    /// The containers.
    pub engine: Engine,
    /// The networks of applications.
    pub sandbox: Sandbox,
    /// The applications' images.
    pub images: ImageCache,
    /// The journals.
    pub store: Store,
    /// The slots.
    pub slots: Slots,
    /// The newest block, where the node pushes it.
    pub newest: Newest,
    /// What is counted.
    pub metrics: Metrics,
    /// The pool's own result proxy.
    pub proxy: Option<Url>,
    /// Gas is free on this chain.
    pub sidechain: bool,
    /// About how long a block takes.
    pub block_time: Duration,
    /// What a task locked for which the wallet had too little stake, until it has that much.
    pub stake_wanted: StakeWanted,
    /// What the wallet was seen to have.
    pub seen: Seen,
    /// The scheduler pushes notifications, so the chain need not be watched for them.
    pub pushed: std::sync::atomic::AtomicBool,
    /// The scheduler lets tasks be finished with one transaction where they allow it.
    pub caf: std::sync::atomic::AtomicBool,
    /// Result proxies that took no result before its contribution.
    pub early: upload::EarlyRefusals,
}

impl Shared {
    /// The folder that holds the task folders.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.settings.folder()
    }

    /// The newest block; `None` when the chain does not answer.
    pub async fn head(&self) -> Option<BlockNumber> {
        self.head_within(Duration::ZERO).await
    }

    /// A block that was the newest within `age`; `None` when the chain does not answer.
    pub async fn head_within(&self, age: Duration) -> Option<BlockNumber> {
        let known = self.newest.block().or_else(|| self.newest.within(age));
        if known.is_some() {
            return known;
        }
        let read = patience::read("latest block", self.block_time, || self.hub.node().head());
        let head = read.await?.number;
        self.newest.learn(head);
        Some(head)
    }

    /// Whether the wallet can pay for a transaction, as far as was seen of late (spec `worker.md` §9.6).
    pub async fn has_gas(&self) -> bool {
        self.sidechain || self.seen.had_gas() || self.has_gas_now().await
    }

    /// Whether the wallet can pay for a transaction now. A chain that does not answer says nothing against it.
    pub async fn has_gas_now(&self) -> bool {
        if self.sidechain {
            return true;
        }
        let wallet = self.session.wallet();
        let balance = patience::read("balance", self.block_time, || {
            self.hub.node().balance(wallet)
        })
        .await;
        let enough = balance.map(|balance| enough(balance.0, self.settings.gas_price_cap.0));
        self.seen.note_gas(enough == Some(true));
        enough.unwrap_or(true)
    }

    /// The wallet's free stake, in nRLC: what was seen within `age` if it covers `wanted`, else what the chain says, which is waited for
    /// until `until`.
    async fn deposit(&self, wanted: U256, age: Duration, until: Timestamp) -> Option<U256> {
        if !age.is_zero()
            && let Some(seen) = self.seen.stake_for(wanted)
        {
            return Some(seen);
        }
        let wallet = self.session.wallet();
        let read = || self.hub.account(wallet);
        let account = patience::read_until("account", self.block_time, Some(until), read).await?;
        self.seen.note_stake(account.stake);
        Some(account.stake)
    }
}

/// One million gas at the price cap is what one transaction is taken to cost; a cap of 0 means that gas is free (Q64).
fn enough(balance: u128, cap: u128) -> bool {
    balance >= cap.saturating_mul(1_000_000)
}

/// One task.
pub struct Work {
    /// The worker's shared parts.
    pub shared: Arc<Shared>,
    /// Which task.
    pub task: TaskId,
    /// Its folders.
    pub folder: TaskFolder,
    /// When the chain forgets the task, if an earlier life of this process learned that.
    until: Option<Timestamp>,
    description: OnceCell<Arc<TaskDescription>>,
    /// The task as the chain had it last, and when that was asked.
    view: Mutex<Option<(Instant, Task)>>,
}

/// What a step came to, and what it found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acted {
    /// What is reported.
    pub outcome: Outcome,
    /// What is written into the journal with it.
    pub learned: Learned,
}

/// What a step found out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Learned {
    /// The result's digest.
    pub digest: Option<alloy_primitives::B256>,
    /// The callback's data.
    pub callback_data: Option<String>,
    /// The application's image.
    pub image: Option<String>,
    /// When the chain forgets the task.
    pub final_deadline: Option<poco::units::Timestamp>,
    /// It did not go with one transaction, and may still go the classic way: the outcome is not reported.
    pub classic: bool,
}

impl From<Outcome> for Acted {
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            learned: Learned::default(),
        }
    }
}

impl Work {
    /// The work on `task`.
    #[must_use]
    pub fn new(shared: Arc<Shared>, task: TaskId, until: Option<Timestamp>) -> Self {
        let folder = TaskFolder::of(&shared.folder(), task);
        Self {
            shared,
            task,
            folder,
            until,
            description: OnceCell::new(),
            view: Mutex::default(),
        }
    }

    /// The task's description, read once.
    ///
    /// # Errors
    /// `CHAIN_UNREACHABLE` or `TASK_DESCRIPTION_NOT_FOUND` (Q19).
    pub async fn description(&self) -> Result<&Arc<TaskDescription>, Cause> {
        let read = async || {
            let hub = &self.shared.hub;
            let pause = self.shared.block_time;
            let asked = Instant::now();
            match patience::read_until("task description", pause, self.until, || {
                TaskDescription::read(hub, self.task)
            })
            .await
            {
                Some(Some((description, task))) => {
                    self.keep(asked, &task);
                    Ok(Arc::new(description))
                }
                Some(None) => Err(Cause::TaskDescriptionNotFound),
                None => Err(Cause::ChainUnreachable),
            }
        };
        self.description.get_or_try_init(read).await
    }

    /// Whether the task may be finished with one transaction: both sides agreed, its deal allows it, and there is a result and time.
    pub async fn may_finish_alone(&self, journal: &Journal) -> bool {
        if journal.classic || journal.digest.is_none() || !self.shared.caf.load(Ordering::Relaxed) {
            return false;
        }
        self.description().await.is_ok_and(|description| {
            let eligible = contribute_and_finalize::is_eligible(description);
            let until = contribute_and_finalize::upload_until(description, self.shared.block_time);
            eligible && clock::now() < until
        })
    }

    /// Whether a contribution to the task will lock stake, as far as is known now.
    fn locks_stake(&self, journal: Option<&Journal>, description: &TaskDescription) -> bool {
        let classic = journal.is_some_and(|one| one.classic || one.step == Step::Contribute);
        let granted = self.shared.caf.load(Ordering::Relaxed);
        classic || !granted || !contribute_and_finalize::is_eligible(description)
    }

    /// Why this worker cannot contribute, as the chain said within `age` (spec `worker.md` §5.4); a no is never an old one. A chain that
    /// is away is waited for as long as there is something to contribute to.
    pub async fn cannot_contribute(
        &self,
        journal: Option<&Journal>,
        age: Duration,
    ) -> Option<Cause> {
        let mut found = self.what_forbids(journal, age).await?;
        let of_the_chain = !matches!(
            found.0,
            Cause::WorkerpoolAuthorizationNotFound | Cause::ChainUnreachable
        );
        if of_the_chain && !age.is_zero() {
            found = self.what_forbids(journal, Duration::ZERO).await?;
        }
        let (cause, chain) = found;
        if let (Cause::StakeTooLow, Some(chain)) = (&cause, chain) {
            let (wanted, wallet) = (&self.shared.stake_wanted, self.shared.session.wallet());
            wanted.note(self.task, wallet, chain.deposit, chain.worker_stake);
        }
        Some(cause)
    }

    async fn what_forbids(
        &self,
        journal: Option<&Journal>,
        age: Duration,
    ) -> Option<(Cause, Option<ChainFacts>)> {
        let facts = Facts {
            chain: self.chain_facts(journal, age).await,
            authorized: journal
                .is_none_or(|journal| !journal.authorization.signature.value.is_empty()),
            wallet: self.shared.session.wallet(),
            now: clock::now(),
        };
        guards::cannot_contribute(&facts).map(|cause| (cause, facts.chain))
    }

    /// The task as the chain has it. One that is not there was there when its authorization was checked: the chain took blocks back, or
    /// the node is behind, and it is waited for until nothing can be contributed to it any more.
    pub(crate) async fn task_on_chain(&self, until: Timestamp) -> Option<Task> {
        let shared = &self.shared;
        let mut pauses = patience::Pauses::between(shared.block_time, Duration::from_secs(10));
        loop {
            let (read, asked) = (|| shared.hub.task(self.task), Instant::now());
            match patience::read_until("task", shared.block_time, Some(until), read).await? {
                Some(task) => {
                    self.keep(asked, &task);
                    return Some(task);
                }
                None => tracing::warn!(
                    task = %self.task,
                    "the chain does not have the task any more: it took blocks back, or the node is behind; waiting for it"
                ),
            }
            if !pauses.rest(Some(until)).await {
                return None;
            }
        }
    }

    /// The task as the chain had it within `age`; see [`Work::task_on_chain`].
    pub(crate) async fn task_within(&self, age: Duration, until: Timestamp) -> Option<Task> {
        match self.seen_within(age) {
            Some(task) => Some(task),
            None => self.task_on_chain(until).await,
        }
    }

    /// Whether this wallet is among those who contributed, as the chain had it within `age`.
    pub(crate) async fn has_taken_part(&self, age: Duration) -> bool {
        let Ok(description) = self.description().await else {
            return false;
        };
        let wallet = self.shared.session.wallet();
        self.task_within(age, description.contribution_deadline)
            .await
            .is_some_and(|task| task.contributors.contains(&wallet))
    }

    fn seen_within(&self, age: Duration) -> Option<Task> {
        let view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        let (asked, task) = view.as_ref()?;
        (asked.elapsed() < age).then(|| task.clone())
    }

    /// Remembers what the chain said to a question of `asked`.
    fn keep(&self, asked: Instant, task: &Task) {
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = Some((asked, task.clone()));
    }

    async fn chain_facts(&self, journal: Option<&Journal>, age: Duration) -> Option<ChainFacts> {
        let description = self.description().await.ok()?;
        let until = description.contribution_deadline;
        let task = self.task_within(age, until).await?;
        let (deposit, worker_stake) = if self.locks_stake(journal, description) {
            let wanted = description.worker_stake;
            (self.shared.deposit(wanted, age, until).await?, wanted)
        } else {
            (U256::ZERO, U256::ZERO)
        };
        Some(ChainFacts {
            status: task.status.try_into().ok()?,
            contribution_deadline: crate::description::seconds(task.contributionDeadline),
            contributors: task.contributors,
            deposit,
            worker_stake,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::enough;

    #[test]
    fn one_million_gas_at_the_cap_is_enough_and_a_cap_of_zero_needs_nothing() {
        assert!(enough(22_000_000_000_000_000, 22_000_000_000));
        assert!(!enough(21_999_999_999_999_999, 22_000_000_000));
        // Q64: the original divides by zero.
        assert!(enough(0, 0));
    }
}
