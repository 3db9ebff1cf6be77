//! Reading the chain for the engine: the cursor's facts, completed with what the engine must know about them.
//!
//! A range is told only when everything about it was read; while something cannot be read, the same range is tried again and the
//! cursor's stored position stays before it. So no deal is ever skipped, and none that is broken holds up the others (spec
//! scheduler-logic ).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use alloy_primitives::Address;
use chain::{Cursor, CursorPosition, Fact, Hub, Located, NodeError, Progress};
use chassis::Shutdown;
use engine::{BlockRef, DealDetails, Input, TaskFact};
use futures_util::{StreamExt, stream};
use poco::contracts::Deal;
use poco::deal_params::DealParams;
use poco::ids::DealId;
use poco::tag::Tag;
use poco::units::{BlockNumber, Timestamp};
use store::{Batch, Store, StoreError};

use crate::head::ChainHealth;
use crate::inbox::{Ending, Inbox};
use crate::persist;

/// The name under which the cursor's position is stored.
pub(crate) const CURSOR: &str = "hub";
/// First pause after something could not be read; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Scores read at a time.
const SCORES_TOGETHER: usize = 8;

/// Feeds the engine with what happens on the chain.
pub(crate) struct Watch {
    pub(crate) hub: Hub,
    pub(crate) cursor: Cursor,
    /// Where reading begins when no deal was ever received.
    pub(crate) start: BlockNumber,
    pub(crate) store: Store,
    /// Told how far everything was read.
    pub(crate) health: ChainHealth,
    pub(crate) inbox: Inbox,
    pub(crate) ratios: Option<(u32, u32)>,
    /// The wallet that signs authorizations.
    pub(crate) wallet: Address,
}

/// Why the watch ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WatchError {
    /// The process is ending.
    #[error(transparent)]
    Ending(#[from] Ending),
    /// The stored position cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a range is not ready to be told.
enum Unready {
    /// A node did not answer. `deal` is the one whose details were asked for.
    Node {
        error: NodeError,
        deal: Option<DealId>,
    },
    /// The chain is not the one on which the range was read.
    Moved,
}

impl From<NodeError> for Unready {
    fn from(error: NodeError) -> Self {
        Self::Node { error, deal: None }
    }
}

impl Watch {
    /// Reads until the end is asked for.
    pub(crate) async fn run(mut self, shutdown: Shutdown) -> Result<(), WatchError> {
        let mut pause = Pause::default();
        loop {
            let progress = tokio::select! {
                () = shutdown.triggered() => return Ok(()),
                progress = self.cursor.next() => progress,
            };
            match progress {
                Ok(progress) => {
                    pause = Pause::default();
                    tokio::select! {
                        () = shutdown.triggered() => return Ok(()),
                        told = self.tell(progress) => told?,
                    }
                }
                Err(error) => {
                    pause.tell(&error);
                    tokio::select! {
                        () = shutdown.triggered() => return Ok(()),
                        () = pause.wait() => {}
                    }
                }
            }
        }
    }

    async fn tell(&mut self, progress: Progress) -> Result<(), WatchError> {
        match progress {
            Progress::RolledBack { to, position } => {
                tracing::warn!(
                    block = to.0,
                    "the chain was reorganised: blocks above are forgotten"
                );
                let batch = Batch::new().cursor(CURSOR, position.as_ref());
                self.inbox
                    .tell_stored(Input::RolledBack { to }, batch)
                    .await?;
                self.health.read_to(to);
            }
            Progress::Advanced {
                to,
                head,
                facts,
                position,
            } => {
                let Some(facts) = self.complete_all(facts).await? else {
                    return Ok(());
                };
                let to = BlockRef {
                    number: to.number,
                    hash: to.hash,
                    time: to.timestamp,
                };
                let batch = Batch::new().cursor(CURSOR, Some(&position));
                let number = to.number;
                self.inbox
                    .tell_stored(Input::Advanced { to, head, facts }, batch)
                    .await?;
                self.health.read_to(number);
            }
        }
        Ok(())
    }

    /// Has the cursor go on where everything is stored, as after a start.
    async fn go_back(&mut self) -> Result<(), StoreError> {
        let stored = self.store.cursor(CURSOR).await?;
        let saw_a_deal = persist::saw_a_deal(&self.store).await?;
        self.cursor
            .go_back_to(begin(stored, saw_a_deal, self.start));
        Ok(())
    }

    /// The facts as the engine takes them. None when the chain moved: the cursor then starts again at its stored position.
    async fn complete_all(
        &mut self,
        facts: Vec<Located<Fact>>,
    ) -> Result<Option<Vec<engine::Located>>, WatchError> {
        let mut complete = Vec::with_capacity(facts.len());
        let mut pause = Pause::default();
        let scores = self.scores(&facts).await?;
        for located in facts {
            loop {
                match self.complete(&located, &scores).await {
                    Ok(fact) => {
                        pause = Pause::default();
                        complete.push(engine::Located {
                            block: located.block,
                            time: located.block_time,
                            tx: located.tx,
                            log_index: located.log_index,
                            fact,
                        });
                        break;
                    }
                    Err(Unready::Moved) => {
                        tracing::warn!(
                            block = located.block.0,
                            "the chain moved while a deal was read; reading again"
                        );
                        self.go_back().await?;
                        return Ok(None);
                    }
                    Err(Unready::Node { error, deal }) => {
                        pause.tell(&error);
                        if let Some(deal) = deal {
                            let reason = error.to_string();
                            self.inbox
                                .tell(Input::DealUnreadable { deal, reason })
                                .await?;
                        }
                        pause.wait().await;
                    }
                }
            }
        }
        Ok(Some(complete))
    }

    /// The scores of our workers that contributed, each read once and several at a time: a range may have thousands of
    /// contributions.
    async fn scores(&self, facts: &[Located<Fact>]) -> Result<BTreeMap<Address, u64>, WatchError> {
        let contributed: BTreeSet<Address> = facts
            .iter()
            .filter_map(|located| match located.fact {
                Fact::Contributed { worker, .. } => Some(worker),
                _ => None,
            })
            .collect();
        if contributed.is_empty() {
            return Ok(BTreeMap::new());
        }
        // Facts of other pools' tasks come too; only a worker that registered here can be one of ours.
        let ours = move |engine: &engine::Engine| -> Vec<Address> {
            let registered = |worker: &Address| engine.worker(*worker).is_some();
            contributed.into_iter().filter(registered).collect()
        };
        let mut unread = self.inbox.look(ours).await?;
        let mut scores = BTreeMap::new();
        let mut pause = Pause::default();
        while !unread.is_empty() {
            let answers: Vec<_> = stream::iter(std::mem::take(&mut unread))
                .map(|worker| async move { (worker, self.hub.score(worker).await) })
                .buffered(SCORES_TOGETHER)
                .collect()
                .await;
            let mut failed = None;
            for (worker, answer) in answers {
                match answer {
                    Ok(score) => {
                        scores.insert(worker, score);
                    }
                    Err(error) => {
                        unread.push(worker);
                        failed = Some(error);
                    }
                }
            }
            if let Some(error) = failed {
                pause.tell(&error);
                pause.wait().await;
            }
        }
        Ok(scores)
    }

    async fn complete(
        &mut self,
        located: &Located<Fact>,
        scores: &BTreeMap<Address, u64>,
    ) -> Result<engine::Fact, Unready> {
        let (task, what) = match &located.fact {
            Fact::Deal { deal, .. } => {
                return match self.deal(*deal, located).await {
                    Ok(Ok(details)) => Ok(engine::Fact::Deal(Box::new(details))),
                    Ok(Err(reason)) => Ok(engine::Fact::DealInvalid {
                        deal: *deal,
                        reason,
                    }),
                    Err(Unready::Node { error, .. }) => Err(Unready::Node {
                        error,
                        deal: Some(*deal),
                    }),
                    Err(moved) => Err(moved),
                };
            }
            Fact::Initialized { task } => (*task, TaskFact::Initialized),
            Fact::Contributed { task, worker, hash } => {
                let score = scores.get(worker).copied().unwrap_or(0);
                let weight = poco::consensus::weight(score);
                (
                    *task,
                    TaskFact::Contributed {
                        worker: *worker,
                        hash: *hash,
                        weight,
                    },
                )
            }
            Fact::Consensus { task, hash } => (*task, TaskFact::Consensus { hash: *hash }),
            Fact::Revealed {
                task,
                worker,
                digest,
            } => (
                *task,
                TaskFact::Revealed {
                    worker: *worker,
                    digest: *digest,
                },
            ),
            Fact::Reopened { task } => (*task, TaskFact::Reopened),
            Fact::Finalized { task, results } => (
                *task,
                TaskFact::Finalized {
                    results: results.clone(),
                },
            ),
            Fact::Claimed { task } => (*task, TaskFact::Claimed),
        };
        Ok(engine::Fact::Task { task, what })
    }

    /// A deal with all that the pool needs to know, or why it can provably never be read.
    async fn deal(
        &mut self,
        id: DealId,
        located: &Located<Fact>,
    ) -> Result<Result<DealDetails, String>, Unready> {
        let Some(deal) = self.hub.deal(id).await? else {
            // A node that is behind shows no deal either. Only one that has the very block is believed.
            return match self.hub.node().block(located.block).await? {
                Some(block) if block.hash == located.block_hash => Ok(Err(
                    "the hub announced the deal and does not show it".to_owned(),
                )),
                _ => Err(Unready::Moved),
            };
        };
        let start: u64 = deal.startTime.saturating_to();
        if start == 0 {
            return Ok(Err("the deal has no start time".to_owned()));
        }
        let Ok(category_id) = u64::try_from(deal.category) else {
            return Ok(Err(format!("category {} cannot be", deal.category)));
        };
        let Some(category) = self.hub.recent_category(category_id).await? else {
            return Ok(Err(format!("there is no category {category_id}")));
        };
        let Some(app) = self.hub.recent_app(deal.app.pointer).await? else {
            return Ok(Err(format!("there is no app at {:#x}", deal.app.pointer)));
        };
        let (contribution_ratio, final_ratio) = self.ratios().await?;
        let params = DealParams::parse(&deal.params);
        let refused = self.not_ours(&deal);
        if let Some(reason) = &refused {
            tracing::error!(deal = %id, reason, "a deal is refused");
        }
        Ok(Ok(DealDetails {
            id,
            requester: deal.requester,
            beneficiary: deal.beneficiary,
            app: deal.app.pointer,
            app_image: String::from_utf8_lossy(&app.m_appMultiaddr).into_owned(),
            dataset: some(deal.dataset.pointer),
            callback: some(deal.callback),
            tag: Tag(deal.tag),
            trust: deal.trust.saturating_to::<u64>().max(1),
            category: category_id,
            max_execution: Duration::from_secs(category.workClockTimeRef.saturating_to()),
            start_time: Timestamp::from_secs(start),
            contribution_ratio,
            final_ratio,
            bot_first: deal.botFirst.saturating_to(),
            bot_size: deal.botSize.saturating_to(),
            arguments: params.args,
            storage_provider: params.result_storage_provider,
            storage_proxy: params.result_storage_proxy,
            refused,
        }))
    }

    /// Authorizations are accepted of the pool's owner at the time of the match: whoever bought the pool since must serve what it sells.
    fn not_ours(&self, deal: &Deal) -> Option<String> {
        let owner = deal.workerpool.owner;
        (owner != self.wallet).then(|| {
            format!(
                "when it was made the workerpool {:#x} was owned by {owner:#x}, and this scheduler signs with the wallet {:#x}: run the \
                 scheduler with the owner's wallet (IEXEC_CORE_WALLET_PATH)",
                deal.workerpool.pointer, self.wallet
            )
        })
    }

    /// Deadlines in units of the longest execution time: contributions close, everything ends. Constants of the contract, read
    /// once; never guessed (spec scheduler-logic Q-20).
    async fn ratios(&mut self) -> Result<(u32, u32), NodeError> {
        if let Some(ratios) = self.ratios {
            return Ok(ratios);
        }
        let small = |ratio: u64| u32::try_from(ratio).unwrap_or(u32::MAX);
        let contribution = small(self.hub.contribution_deadline_ratio().await?);
        let last = small(self.hub.final_deadline_ratio().await?);
        self.ratios = Some((contribution, last));
        Ok((contribution, last))
    }
}

fn some(address: Address) -> Option<Address> {
    (!address.is_zero()).then_some(address)
}

/// A growing pause, and one warning for a row of failures.
#[derive(Default)]
struct Pause {
    failures: u32,
}

impl Pause {
    fn tell(&mut self, error: &NodeError) {
        if self.failures == 0 {
            tracing::warn!(%error, "the chain cannot be read; trying again until it can");
        }
        self.failures = self.failures.saturating_add(1);
    }

    async fn wait(&self) {
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.failures.saturating_sub(1).min(8));
        tokio::time::sleep(doubled.min(LONGEST_PAUSE)).await;
    }
}

/// Where the cursor begins (spec scheduler-logic 2.4): once a deal was received the stored position wins over the setting; before
/// that the setting does.
pub(crate) fn begin(
    stored: Option<CursorPosition>,
    saw_a_deal: bool,
    start: BlockNumber,
) -> Option<CursorPosition> {
    let stored = stored?;
    if saw_a_deal {
        if start.0 > stored.number.0.saturating_add(1) {
            tracing::warn!(
                stored = stored.number.0,
                setting = start.0,
                "IEXEC_START_BLOCK_NUMBER is not applied: deals were received before, and reading goes on where it stopped; \
                 to begin at the setting and ignore all deals before it, start with an empty data folder"
            );
        }
        return Some(stored);
    }
    (stored.number.0.saturating_add(1) >= start.0).then_some(stored)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;

    fn at(number: u64) -> Option<CursorPosition> {
        Some(CursorPosition::at(BlockNumber(number), B256::ZERO))
    }

    #[test]
    fn a_pool_that_has_received_a_deal_goes_on_where_it_stopped() {
        assert_eq!(begin(at(100), true, BlockNumber(500)), at(100));
        assert_eq!(begin(at(100), true, BlockNumber(0)), at(100));
    }

    #[test]
    fn before_the_first_deal_a_higher_start_block_counts() {
        assert_eq!(begin(at(100), false, BlockNumber(500)), None);
        assert_eq!(begin(at(100), false, BlockNumber(101)), at(100));
        assert_eq!(begin(at(100), false, BlockNumber(7)), at(100));
        assert_eq!(begin(None, false, BlockNumber(7)), None);
    }
}
