//! What a task's facts add up to: its state on the chain as far as the cursor has read. Derived, never stored, and never
//! filled from anything but facts.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes};
use poco::status::ChainTaskStatus;
use poco::units::{BlockNumber, Timestamp};
use wire::status::ReplicateStatus;

use crate::input::TaskFact;
use crate::records::ChainFact;

/// A consensus that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Consensus {
    pub(crate) hash: B256,
    pub(crate) block: BlockNumber,
    pub(crate) time: Timestamp,
}

/// One worker's contribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contribution {
    pub(crate) hash: B256,
    pub(crate) weight: u64,
    /// When the engine learned of it.
    pub(crate) seen_at: Timestamp,
    /// Its consensus was reopened (spec onchain A11, `reopen`).
    pub(crate) rejected: bool,
    /// Place among all reveals, and when; reveals are counted from 0.
    pub(crate) revealed: Option<Reveal>,
}

/// When a winner revealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reveal {
    pub(crate) place: usize,
    pub(crate) seen_at: Timestamp,
    pub(crate) digest: B256,
}

/// A task's facts, folded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ChainState {
    pub(crate) initialized: Option<BlockNumber>,
    pub(crate) contributions: BTreeMap<Address, Contribution>,
    pub(crate) consensus: Option<Consensus>,
    pub(crate) reopened: u32,
    pub(crate) finalized: Option<Bytes>,
    /// The worker that contributed and finalised in one transaction, if one did (spec onchain A11).
    pub(crate) alone: Option<Address>,
    pub(crate) claimed: bool,
}

impl ChainState {
    pub(crate) fn fold(facts: &[ChainFact]) -> Self {
        let mut state = Self::default();
        let mut reveals = 0;
        let mut last_contribution = None;
        for fact in facts {
            match &fact.what {
                TaskFact::Initialized => state.initialized = Some(fact.block),
                TaskFact::Contributed {
                    worker,
                    hash,
                    weight,
                } => {
                    last_contribution = Some((fact.tx, *worker));
                    state.contributions.insert(
                        *worker,
                        Contribution {
                            hash: *hash,
                            weight: *weight,
                            seen_at: fact.seen_at,
                            rejected: false,
                            revealed: None,
                        },
                    );
                }
                TaskFact::Consensus { hash } => {
                    state.consensus = Some(Consensus {
                        hash: *hash,
                        block: fact.block,
                        time: fact.time,
                    });
                }
                TaskFact::Revealed { worker, digest } => {
                    if let Some(contribution) = state.contributions.get_mut(worker) {
                        contribution.revealed = Some(Reveal {
                            place: reveals,
                            seen_at: fact.seen_at,
                            digest: *digest,
                        });
                        reveals += 1;
                    }
                }
                TaskFact::Reopened => {
                    if let Some(consensus) = state.consensus.take() {
                        for contribution in state.contributions.values_mut() {
                            if contribution.hash == consensus.hash {
                                contribution.rejected = true;
                            }
                        }
                    }
                    state.reopened += 1;
                }
                TaskFact::Finalized { results } => {
                    state.finalized = Some(results.clone());
                    state.alone = last_contribution
                        .filter(|(tx, _)| *tx == fact.tx)
                        .map(|(_, worker)| worker);
                }
                TaskFact::Claimed => state.claimed = true,
            }
        }
        state
    }

    pub(crate) fn status(&self) -> ChainTaskStatus {
        if self.finalized.is_some() {
            ChainTaskStatus::Completed
        } else if self.claimed {
            ChainTaskStatus::Failed
        } else if self.consensus.is_some() {
            ChainTaskStatus::Revealing
        } else if self.initialized.is_some() {
            ChainTaskStatus::Active
        } else {
            ChainTaskStatus::Unset
        }
    }

    /// Contributions on the standing consensus.
    pub(crate) fn winners(&self) -> impl Iterator<Item = (&Address, &Contribution)> {
        let hash = self.consensus.map(|consensus| consensus.hash);
        self.contributions
            .iter()
            .filter(move |(_, one)| !one.rejected && Some(one.hash) == hash)
    }

    /// What the chain shows a worker to have reached, in order, and since when that is known.
    pub(crate) fn shown(
        &self,
        worker: Address,
    ) -> impl DoubleEndedIterator<Item = (ReplicateStatus, Timestamp)> {
        let one = self.contributions.get(&worker);
        let contributed = one.map(|one| (ReplicateStatus::Contributed, one.seen_at));
        let revealed = one
            .and_then(|one| one.revealed)
            .map(|reveal| (ReplicateStatus::Revealed, reveal.seen_at));
        let steps = if self.alone == Some(worker) {
            let done = ReplicateStatus::ContributeAndFinalizeDone;
            [contributed.map(|(_, seen)| (done, seen)), None]
        } else {
            [contributed, revealed]
        };
        steps.into_iter().flatten()
    }

    pub(crate) fn is_winner(&self, worker: Address) -> bool {
        self.winners().any(|(winner, _)| *winner == worker)
    }

    pub(crate) fn reveals(&self) -> usize {
        self.winners()
            .filter(|(_, one)| one.revealed.is_some())
            .count()
    }

    /// The digest of the result agreed on, once a winner revealed it: the contract takes no other from any of them.
    pub(crate) fn digest(&self) -> Option<B256> {
        self.winners()
            .find_map(|(_, one)| one.revealed.map(|reveal| reveal.digest))
    }

    pub(crate) fn all_revealed(&self) -> bool {
        self.consensus.is_some() && self.winners().all(|(_, one)| one.revealed.is_some())
    }
}
