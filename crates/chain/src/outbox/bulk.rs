//! Sending many small intents in few transactions. A transaction of many gets a share of a block, what is in flight together
//! no more than nearly a block, and what goes alone goes before it: so whatever else is wanted waits for a block at most,
//! however much of this there is.
//!
//! One that cannot be done spoils it for the others. Before anything is signed that one is found by asking for the gas of
//! halves. What fails in a block all the same is tried again in halves.

use super::{
    Holdup,
    intent::{OutboxRecord, Outcome},
    join::{self, ArrayCall, Pool},
    outgoing::{Purse, Ready},
    round::{Interrupted, Sender, View, settled},
};
use crate::{NodeError, Revert};

/// Percent of a block's gas that everything in flight may have for a further transaction of many to be sent.
const FILLED: u64 = 90;
/// Percent of a block's gas that one transaction of many may have: two of them leave gaps that others fit into.
const SHARE: u64 = 45;
/// Percent of a block's gas that one may have even while what goes alone fills the block.
const LEAST_SHARE: u64 = 20;
/// The most gas of one transaction, whatever a block takes. Chains refuse more than 2^24 (EIP-7825).
const MOST_GAS: u64 = 15_000_000;
/// A block's gas where a node does not tell it.
const UNTOLD: u64 = 15_000_000;
/// Questions for gas in the search for what is refused, before the rest is left for the next round.
const MOST_QUESTIONS: usize = 48;
/// Tries in one round to put together something that can be sent.
const TRIES: usize = 6;

/// The gas of a block and how much of it is spoken for.
#[derive(Debug, Clone, Copy)]
struct Budget {
    block: u64,
    spoken_for: u64,
    /// Transactions of many in flight.
    many: usize,
}

impl Budget {
    fn new(block: u64, spoken_for: u64, many: usize) -> Self {
        Self {
            block: if block == 0 { UNTOLD } else { block },
            spoken_for,
            many,
        }
    }

    /// The gas that the next transaction of many may have.
    fn next(&self) -> u64 {
        let left = self.percent(FILLED).saturating_sub(self.spoken_for);
        let least = if self.many == 0 {
            self.percent(LEAST_SHARE)
        } else {
            0
        };
        left.min(self.percent(SHARE)).max(least).min(MOST_GAS)
    }

    fn spend(&mut self, gas: u64) {
        self.spoken_for = self.spoken_for.saturating_add(gas);
        self.many += 1;
    }

    fn percent(&self, share: u64) -> u64 {
        u64::try_from(u128::from(self.block) * u128::from(share) / 100).unwrap_or(u64::MAX)
    }
}

/// What became of a try to put intents together.
enum Tried {
    Ready(Box<Ready>),
    /// These are to be tried again, in another company.
    Again(Vec<OutboxRecord>),
    /// Nothing more can be found out now.
    Stopped,
}

impl Sender {
    /// Transactions that do many of what waits in `pools`, within what `room` and gas there is. `planned` is the gas of what
    /// goes before them.
    pub(super) async fn joined(
        &mut self,
        pools: Vec<Pool>,
        room: usize,
        planned: u64,
        purse: &mut Purse,
        view: &View,
    ) -> Result<Vec<Ready>, Interrupted> {
        let mut budget = {
            let flights = self.shared.book().flights();
            let gas: u64 = flights.iter().map(|flight| flight.gas).sum();
            let many = flights
                .iter()
                .filter(|flight| join::is_carrier(&flight.key))
                .count();
            Budget::new(view.head.gas_limit, gas.saturating_add(planned), many)
        };
        let mut ready: Vec<Ready> = Vec::new();
        for mut pool in pools {
            let mut tries = 0;
            while ready.len() < room && tries < TRIES {
                let each = self.gas_of_each(pool.call);
                let gas = budget.next();
                if gas < each {
                    break;
                }
                if purse.gas() < each {
                    // Says what is missing.
                    self.pay(purse, each);
                    break;
                }
                let gas = gas.min(purse.gas());
                let most = usize::try_from(gas / each).unwrap_or(usize::MAX);
                let members = pool.take(most);
                if members.is_empty() {
                    break;
                }
                match self.put_together(pool.call, members, gas).await? {
                    Tried::Ready(one) => {
                        if !self.pay(purse, one.gas) {
                            break;
                        }
                        budget.spend(one.gas);
                        ready.push(*one);
                    }
                    Tried::Again(members) => {
                        tries += 1;
                        pool.put_back(members);
                    }
                    Tried::Stopped => return Ok(ready),
                }
            }
        }
        Ok(ready)
    }

    fn gas_of_each(&self, call: ArrayCall) -> u64 {
        let known = self.gas_each.get(&call).copied();
        known.unwrap_or_else(|| call.usual_gas()).max(1)
    }

    async fn put_together(
        &mut self,
        call: ArrayCall,
        members: Vec<OutboxRecord>,
        most: u64,
    ) -> Result<Tried, Interrupted> {
        if members.len() == 1 {
            // Those that are refused are settled then.
            let ready = self.estimate(members).await?.pop();
            return Ok(ready.map_or(Tried::Again(Vec::new()), |one| Tried::Ready(Box::new(one))));
        }
        let Some(carrier) = join::carrier(call, &members) else {
            return Ok(Tried::Stopped);
        };
        let count = members.len();
        match self.gas_for(&carrier.intent).await {
            Ok(gas) => {
                let each = gas.div_ceil(count as u64);
                self.gas_each.insert(call, each);
                if gas > most {
                    return Ok(Tried::Again(members));
                }
                tracing::debug!(intent = carrier.intent.key, tasks = count, gas, "joined");
                Ok(Tried::Ready(Box::new(Ready {
                    record: carrier,
                    gas,
                    members,
                })))
            }
            Err(NodeError::Reverted(Revert::OutOfGas)) => {
                let each = self.gas_of_each(call).saturating_mul(2);
                self.gas_each.insert(call, each);
                Ok(Tried::Again(in_halves(members)))
            }
            Err(NodeError::Reverted(reason)) => {
                tracing::info!(tasks = count, %reason, "some of these cannot be done; looking for them");
                self.without_the_refused(call, members).await
            }
            Err(error) => {
                self.holdup = Some(Holdup::Node(error.to_string()));
                Ok(Tried::Stopped)
            }
        }
    }

    /// Finds those that the contract refuses even alone, settles them, and gives back the others.
    async fn without_the_refused(
        &mut self,
        call: ArrayCall,
        members: Vec<OutboxRecord>,
    ) -> Result<Tried, Interrupted> {
        let mut parts = halves(members);
        let mut refused = Vec::new();
        let mut fine = Vec::new();
        let mut asked = 0;
        while let Some(part) = parts.pop() {
            if asked >= MOST_QUESTIONS {
                fine.extend(part);
                continue;
            }
            asked += 1;
            let intent = match part.as_slice() {
                [alone] => Some(alone.intent.clone()),
                several => join::carrier(call, several).map(|carrier| carrier.intent),
            };
            let Some(intent) = intent else {
                continue;
            };
            match self.gas_for(&intent).await {
                Ok(_) => fine.extend(part),
                Err(NodeError::Reverted(reason)) if part.len() == 1 => {
                    tracing::info!(intent = intent.key, %reason, "not sent: it would fail");
                    let outcome = Outcome::Refused { reason };
                    refused.extend(
                        part.into_iter()
                            .map(|record| settled(record, outcome.clone())),
                    );
                }
                Err(NodeError::Reverted(_)) => parts.extend(halves(part)),
                Err(error) => {
                    self.holdup = Some(Holdup::Node(error.to_string()));
                    self.settle(refused).await?;
                    return Ok(Tried::Stopped);
                }
            }
        }
        fine.sort_by_key(|record| record.accepted);
        if refused.is_empty() {
            // Each can be done, only not with the others.
            return Ok(Tried::Again(in_halves(fine)));
        }
        self.settle(refused).await?;
        Ok(Tried::Again(fine))
    }
}

/// The first half on top: older ones are looked at first.
fn halves(mut records: Vec<OutboxRecord>) -> Vec<Vec<OutboxRecord>> {
    let second = records.split_off(records.len().div_ceil(2));
    [second, records]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect()
}

/// The same, to be sent in half the company. Nothing was sent, so nothing has to be remembered for longer than this run.
fn in_halves(records: Vec<OutboxRecord>) -> Vec<OutboxRecord> {
    join::apart(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_transactions_of_many_fill_a_block_but_for_a_tenth() {
        let mut budget = Budget::new(1000, 0, 0);
        assert_eq!(budget.next(), 450);
        budget.spend(440);
        assert_eq!(budget.next(), 450);
        budget.spend(450);
        assert_eq!(budget.next(), 10);
    }

    #[test]
    fn what_goes_alone_takes_precedence_but_does_not_stop_everything_else() {
        let mut budget = Budget::new(1000, 850, 0);
        assert_eq!(budget.next(), 200);
        budget.spend(200);
        assert_eq!(budget.next(), 0);
    }

    #[test]
    fn no_transaction_is_larger_than_chains_take() {
        assert_eq!(Budget::new(u64::MAX, 0, 0).next(), MOST_GAS);
        assert_eq!(Budget::new(0, 0, 0).next(), UNTOLD * SHARE / 100);
    }
}
