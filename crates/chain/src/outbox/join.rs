//! Calls that the hub takes many of in one transaction: which they are, how they are put together, and which of those that
//! wait go together next. Values only; nothing is sent here.

use std::collections::{BTreeMap, VecDeque};

use alloy_primitives::{Address, B256, Bytes, Keccak256, U256};
use alloy_sol_types::SolCall;
use poco::{
    contracts::Hub,
    ids::{DealId, TaskId},
};
use serde::{Deserialize, Serialize};

use super::intent::{GasPolicy, Intent, OutboxRecord, Outcome, Stage};

/// The most intents in one transaction, whatever gas there is: results and receipts stay readable.
const MOST_MEMBERS: usize = 200;
/// Above an estimate that has just been made there is little to be surprised by, and a tight limit leaves the rest of the
/// block to others.
const MARGIN: u32 = 1030;

/// A function of the hub that does for many tasks what its sister does for one (spec onchain A11, arrays). All or nothing.
/// What is most urgent comes first: only an initialisation has a worker waiting for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArrayCall {
    /// `initializeArray`, for `initialize`.
    Initialize,
    /// `claimArray`, for `claim`.
    Claim,
    /// `initializeAndClaimArray` of many, for one of one.
    InitializeAndClaim,
}

impl ArrayCall {
    /// The name in keys and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Initialize => "initialize-array",
            Self::Claim => "claim-array",
            Self::InitializeAndClaim => "initialize-and-claim-array",
        }
    }

    /// Gas that each task needs, before any estimate has told.
    pub(super) const fn usual_gas(self) -> u64 {
        match self {
            Self::Initialize => 185_000,
            Self::Claim => 60_000,
            Self::InitializeAndClaim => 250_000,
        }
    }

    fn calldata(self, tasks: &[Joinable]) -> Bytes {
        let deals = || tasks.iter().map(|one| one.deal.0).collect::<Vec<B256>>();
        let indexes = || tasks.iter().map(|one| U256::from(one.index)).collect();
        match self {
            Self::Initialize => Hub::initializeArrayCall {
                dealids: deals(),
                idxs: indexes(),
            }
            .abi_encode(),
            Self::Claim => Hub::claimArrayCall {
                taskids: tasks.iter().map(|one| one.task().0).collect(),
            }
            .abi_encode(),
            Self::InitializeAndClaim => Hub::initializeAndClaimArrayCall {
                dealids: deals(),
                idxs: indexes(),
            }
            .abi_encode(),
        }
        .into()
    }
}

/// With what the keys of the outbox's own intents begin, so that it knows them again after a restart.
const OWN: &str = "joined/";

/// Whether the intent is one of the outbox's own: nobody outside knows its key or waits for it.
pub(super) fn is_carrier(key: &str) -> bool {
    key.starts_with(OWN)
}

/// What an intent does, said so that it can be done together with others: one task of one array call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joinable {
    /// The call that does it for many.
    pub call: ArrayCall,
    /// The task's deal. Deals take turns, so that a large one does not keep the others waiting.
    pub deal: DealId,
    /// The task's absolute index in it.
    pub index: u64,
}

impl Joinable {
    /// The task.
    pub fn task(&self) -> TaskId {
        TaskId::of(self.deal, self.index)
    }
}

/// Waiting intents of one array call to one contract, in order of arrival.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) call: ArrayCall,
    pub(super) records: Vec<OutboxRecord>,
}

/// Splits what waits into what goes alone and what may go together. What would be together with nobody goes alone, as it
/// was asked for.
pub(super) fn sort_out(waiting: Vec<OutboxRecord>) -> (Vec<OutboxRecord>, Vec<Pool>) {
    let mut pools: BTreeMap<(ArrayCall, Address), Vec<OutboxRecord>> = BTreeMap::new();
    let mut sizes: BTreeMap<(ArrayCall, Address), usize> = BTreeMap::new();
    for record in &waiting {
        if let Some(place) = place_of(record) {
            *sizes.entry(place).or_default() += 1;
        }
    }
    let mut alone = Vec::new();
    for record in waiting {
        match place_of(&record).filter(|place| sizes.get(place).is_some_and(|size| *size > 1)) {
            Some(place) => pools.entry(place).or_default().push(record),
            None => alone.push(record),
        }
    }
    let pools = pools
        .into_iter()
        .map(|((call, _), records)| Pool { call, records })
        .collect();
    (alone, pools)
}

fn place_of(record: &OutboxRecord) -> Option<(ArrayCall, Address)> {
    let joins = record.intent.joins?;
    (record.most_together() > 1).then_some((joins.call, record.intent.to))
}

impl Pool {
    /// Lets these wait on, before all others.
    pub(super) fn put_back(&mut self, mut records: Vec<OutboxRecord>) {
        records.append(&mut self.records);
        self.records = records;
    }

    /// Takes out at most `most` that go together next: one of each deal in turn, older ones first.
    pub(super) fn take(&mut self, most: usize) -> Vec<OutboxRecord> {
        let mut order: Vec<DealId> = Vec::new();
        let mut by_deal: BTreeMap<DealId, VecDeque<usize>> = BTreeMap::new();
        for (at, record) in self.records.iter().enumerate() {
            let Some(joins) = record.intent.joins else {
                continue;
            };
            by_deal
                .entry(joins.deal)
                .or_insert_with(|| {
                    order.push(joins.deal);
                    VecDeque::new()
                })
                .push_back(at);
        }
        let mut limit = most.min(MOST_MEMBERS);
        let mut chosen = Vec::new();
        let mut some_left = true;
        while some_left && chosen.len() < limit {
            some_left = false;
            for deal in &order {
                let Some(at) = by_deal.get_mut(deal).and_then(VecDeque::pop_front) else {
                    continue;
                };
                some_left = true;
                let allowed = self
                    .records
                    .get(at)
                    .map_or(0, |record| limit.min(record.most_together()));
                // What may only be in smaller company than this waits for another turn.
                if chosen.len() < allowed {
                    limit = allowed;
                    chosen.push(at);
                }
            }
        }
        chosen.sort_unstable();
        let mut taken = Vec::with_capacity(chosen.len());
        let mut rest = Vec::with_capacity(self.records.len().saturating_sub(chosen.len()));
        let mut chosen = chosen.into_iter().peekable();
        for (at, record) in std::mem::take(&mut self.records).into_iter().enumerate() {
            if chosen.next_if_eq(&at).is_some() {
                taken.push(record);
            } else {
                rest.push(record);
            }
        }
        self.records = rest;
        taken
    }
}

/// One intent that does all of `members`. Its key follows from theirs.
pub(super) fn carrier(call: ArrayCall, members: &[OutboxRecord]) -> Option<OutboxRecord> {
    let first = members.first()?;
    let mut names = Keccak256::new();
    for member in members {
        names.update(&member.intent.key);
        names.update([0]);
    }
    let tasks: Vec<Joinable> = members
        .iter()
        .filter_map(|member| member.intent.joins)
        .collect();
    let intent = Intent {
        key: format!("{OWN}{}:{:#x}", call.name(), names.finalize()),
        to: first.intent.to,
        calldata: call.calldata(&tasks),
        gas: GasPolicy {
            margin: MARGIN,
            ..GasPolicy::estimated()
        },
        deadline: members
            .iter()
            .filter_map(|member| member.intent.deadline)
            .min(),
        joins: None,
    };
    Some(OutboxRecord {
        intent,
        accepted: members
            .iter()
            .map(|member| member.accepted)
            .min()
            .unwrap_or(first.accepted),
        stage: Stage::Waiting,
        together: None,
    })
}

/// The end of a member whose carrier ended like this: of what was logged it has what speaks of its task.
pub(super) fn share_of(member: &OutboxRecord, outcome: &Outcome) -> Outcome {
    let mut outcome = outcome.clone();
    if let (Outcome::Mined { receipt }, Some(joins)) = (&mut outcome, member.intent.joins) {
        let task = joins.task().0;
        receipt.logs.retain(|log| log.topics().contains(&task));
    }
    outcome
}

/// The members of a carrier that did nothing, waiting again in half the company at most: so what spoils it for the others
/// is found, and no payload is sent a second time.
pub(super) fn apart(members: Vec<OutboxRecord>) -> Vec<OutboxRecord> {
    let half = u32::try_from(members.len() / 2).unwrap_or(u32::MAX).max(1);
    members
        .into_iter()
        .map(|member| OutboxRecord {
            stage: Stage::Waiting,
            together: Some(member.together.map_or(half, |before| before.min(half))),
            ..member
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use alloy_primitives::hex;
    use poco::units::Timestamp;

    use super::*;

    const HUB: Address = Address::repeat_byte(0x33);

    fn record(deal: u8, index: u64, together: Option<u32>) -> OutboxRecord {
        let joins = Joinable {
            call: ArrayCall::Initialize,
            deal: DealId(B256::repeat_byte(deal)),
            index,
        };
        OutboxRecord {
            intent: Intent {
                key: format!("initialize:{deal}-{index}"),
                to: HUB,
                calldata: Bytes::from_static(b"alone"),
                gas: GasPolicy::estimated(),
                deadline: Some(Timestamp(1000 + index)),
                joins: Some(joins),
            },
            accepted: Timestamp(index),
            stage: Stage::Waiting,
            together,
        }
    }

    fn keys(records: &[OutboxRecord]) -> Vec<&str> {
        records
            .iter()
            .filter_map(|record| record.intent.key.strip_prefix("initialize:"))
            .collect()
    }

    fn pool(records: Vec<OutboxRecord>) -> Pool {
        let (alone, mut pools) = sort_out(records);
        assert!(alone.is_empty(), "{alone:?}");
        assert_eq!(pools.len(), 1);
        pools.remove(0)
    }

    #[test]
    fn what_is_alone_of_its_kind_goes_alone() {
        let other = OutboxRecord {
            intent: Intent {
                joins: None,
                key: "finalize".into(),
                ..record(1, 1, None).intent
            },
            ..record(1, 1, None)
        };
        let (alone, pools) = sort_out(vec![record(1, 0, None), other, record(1, 2, Some(1))]);
        assert_eq!((alone.len(), pools.len()), (3, 0));
    }

    #[test]
    fn deals_take_turns_so_that_a_small_one_is_in_the_next_transaction() {
        let mut records: Vec<_> = (0..100).map(|index| record(1, index, None)).collect();
        records.push(record(2, 0, None));
        let mut pool = pool(records);
        assert_eq!(keys(&pool.take(4)), ["1-0", "1-1", "1-2", "2-0"]);
        assert_eq!(keys(&pool.take(2)), ["1-3", "1-4"]);
        assert_eq!(pool.records.len(), 95);
    }

    #[test]
    fn nobody_is_in_greater_company_than_allowed() {
        let mut pool = pool(vec![
            record(1, 0, Some(2)),
            record(2, 0, None),
            record(3, 0, Some(2)),
            record(4, 0, None),
        ]);
        assert_eq!(keys(&pool.take(9)), ["1-0", "2-0"]);
        assert_eq!(keys(&pool.take(9)), ["3-0", "4-0"]);
        assert!(pool.take(9).is_empty());
    }

    #[test]
    fn a_carrier_is_the_array_call_of_its_members_and_as_urgent_as_the_most_urgent() {
        let members = [record(0x11, 5, None), record(0x22, 3, None)];
        let carrier = carrier(ArrayCall::Initialize, &members).unwrap();
        assert!(is_carrier(&carrier.intent.key));
        assert_eq!(carrier.intent.deadline, Some(Timestamp(1003)));
        assert_eq!(carrier.accepted, Timestamp(3));
        let word = |number: u64| hex::encode(B256::from(U256::from(number)));
        let expected = [
            "b504681d".to_owned(),
            word(0x40),
            word(0xa0),
            word(2),
            "11".repeat(32),
            "22".repeat(32),
            word(2),
            word(5),
            word(3),
        ]
        .concat();
        assert_eq!(hex::encode(&carrier.intent.calldata), expected);
    }

    #[test]
    fn the_selectors_are_those_of_the_hub() {
        let task = [record(1, 0, None).intent.joins.unwrap()];
        for (call, selector) in [
            (ArrayCall::Initialize, [0xb5, 0x04, 0x68, 0x1d]),
            (ArrayCall::Claim, [0xfa, 0x05, 0x5d, 0x7e]),
            (ArrayCall::InitializeAndClaim, [0xf7, 0x22, 0xcb, 0x32]),
        ] {
            assert_eq!(call.calldata(&task)[..4], selector, "{}", call.name());
        }
    }

    #[test]
    fn other_members_are_another_carrier() {
        let key = |members: &[OutboxRecord]| {
            let carrier = carrier(ArrayCall::Initialize, members).unwrap();
            carrier.intent.key
        };
        let (a, b, c) = (record(1, 0, None), record(1, 1, None), record(1, 2, None));
        assert_eq!(key(&[a.clone(), b.clone()]), key(&[a.clone(), b.clone()]));
        assert_ne!(key(&[a.clone(), b]), key(&[a, c]));
    }

    #[test]
    fn those_of_a_carrier_that_failed_wait_in_half_the_company() {
        let members: Vec<_> = (0..5).map(|index| record(1, index, None)).collect();
        let halved = apart(members);
        assert!(halved.iter().all(|record| record.together == Some(2)));
        let alone = apart(halved[..2].to_vec());
        assert!(alone.iter().all(|record| record.together == Some(1)));
    }
}
