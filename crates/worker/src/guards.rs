//! Whether a contribution can still be made (spec `worker.md` §5.4). The order of the questions is part of the protocol: the first that
//! is answered "no" becomes the cause that the scheduler reads. Nothing is read here; an answer that could not be had is told as such,
//! never taken for a yes or a no.

use alloy_primitives::{Address, U256};
use poco::status::ChainTaskStatus;
use poco::units::Timestamp;
use wire::status::ReplicateStatusCause as Cause;

/// What is known when the question is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// A workerpool authorization for this task is on file.
    pub authorized: bool,
    /// The task as the chain has it; `None` when the chain did not answer.
    pub chain: Option<ChainFacts>,
    /// This worker's wallet.
    pub wallet: Address,
    /// Now.
    pub now: Timestamp,
}

/// What the chain says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainFacts {
    /// The task's status.
    pub status: ChainTaskStatus,
    /// Until when contributions are taken.
    pub contribution_deadline: Timestamp,
    /// Who contributed.
    pub contributors: Vec<Address>,
    /// The wallet's free stake, in nRLC.
    pub deposit: U256,
    /// What a contribution locks, in nRLC.
    pub worker_stake: U256,
}

/// Why this worker cannot contribute; `None` when it can.
#[must_use]
pub fn cannot_contribute(facts: &Facts) -> Option<Cause> {
    if !facts.authorized {
        return Some(Cause::WorkerpoolAuthorizationNotFound);
    }
    let Some(chain) = &facts.chain else {
        return Some(Cause::ChainUnreachable);
    };
    if chain.deposit < chain.worker_stake {
        return Some(Cause::StakeTooLow);
    }
    if chain.status != ChainTaskStatus::Active {
        return Some(Cause::TaskNotActive);
    }
    if facts.now >= chain.contribution_deadline {
        return Some(Cause::ContributionTimeout);
    }
    chain
        .contributors
        .contains(&facts.wallet)
        .then_some(Cause::ContributionAlreadySet)
}

/// Why a task in which a contribution is possible cannot be finished with one transaction; `None` when it can. `eligible` says whether its
/// deal allows it.
#[must_use]
pub fn cannot_finalize_alone(facts: &Facts, eligible: bool) -> Option<Cause> {
    if !eligible {
        return Some(Cause::TrustNot1);
    }
    let Some(chain) = &facts.chain else {
        return Some(Cause::ChainUnreachable);
    };
    (!chain.contributors.is_empty()).then_some(Cause::TaskAlreadyContributed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Facts in which everything is wrong at once.
    fn all_wrong() -> Facts {
        let wallet = Address::repeat_byte(7);
        Facts {
            authorized: false,
            chain: Some(ChainFacts {
                status: ChainTaskStatus::Revealing,
                contribution_deadline: Timestamp::from_secs(10),
                contributors: vec![wallet],
                deposit: U256::from(1),
                worker_stake: U256::from(2),
            }),
            wallet,
            now: Timestamp::from_secs(10),
        }
    }

    #[test]
    fn the_first_thing_that_is_wrong_is_the_cause() {
        type Mend = fn(&mut Facts);
        let rows: [(Cause, Mend); 5] = [
            (Cause::WorkerpoolAuthorizationNotFound, |facts| {
                facts.authorized = true
            }),
            (Cause::StakeTooLow, |facts| {
                facts.chain.as_mut().unwrap().deposit = U256::from(2)
            }),
            (Cause::TaskNotActive, |facts| {
                facts.chain.as_mut().unwrap().status = ChainTaskStatus::Active
            }),
            (Cause::ContributionTimeout, |facts| {
                facts.now = Timestamp(9_999)
            }),
            (Cause::ContributionAlreadySet, |facts| {
                facts.chain.as_mut().unwrap().contributors.clear()
            }),
        ];
        let mut facts = all_wrong();
        for (cause, mend) in rows {
            assert_eq!(cannot_contribute(&facts), Some(cause));
            mend(&mut facts);
        }
        assert_eq!(cannot_contribute(&facts), None);
    }

    #[test]
    fn a_task_that_somebody_contributed_to_is_not_finished_alone() {
        let mut facts = all_wrong();
        assert_eq!(cannot_finalize_alone(&facts, false), Some(Cause::TrustNot1));
        let already = Some(Cause::TaskAlreadyContributed);
        assert_eq!(cannot_finalize_alone(&facts, true), already);
        facts.chain.as_mut().unwrap().contributors.clear();
        assert_eq!(cannot_finalize_alone(&facts, true), None);
        facts.chain = None;
        let away = Some(Cause::ChainUnreachable);
        assert_eq!(cannot_finalize_alone(&facts, true), away);
    }

    #[test]
    fn a_chain_that_does_not_answer_is_told_as_that_after_the_authorization_only() {
        let mut facts = all_wrong();
        facts.chain = None;
        assert_eq!(
            cannot_contribute(&facts),
            Some(Cause::WorkerpoolAuthorizationNotFound)
        );
        facts.authorized = true;
        assert_eq!(cannot_contribute(&facts), Some(Cause::ChainUnreachable));
    }
}
