//! Sending what waits: estimate, see that it can be paid for, sign, store, broadcast. What goes alone goes first; what may go
//! together gets what is left of a block.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::{
    Holdup, TX_PERSISTED,
    fees::Offer,
    intent::{Intent, OutboxRecord, Outcome, Stage},
    join,
    round::{Interrupted, Sender, View, settled},
    signing,
};
use crate::{Fees, NodeError, node::CallRequest};

/// Estimations in progress at a time.
const TOGETHER: usize = 16;
/// For how long a tip is offered before the network is asked again; what is offered too little is replaced.
const TIP_GOOD_FOR: Duration = Duration::from_secs(15);
/// For how long what a wallet had is taken for what it has, less what was promised since.
const FUNDS_GOOD_FOR: Duration = Duration::from_secs(60);

/// An intent that passed its estimation.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) record: OutboxRecord,
    pub(super) gas: u64,
    /// Those whose work it does, if it is the outbox's own.
    pub(super) members: Vec<OutboxRecord>,
}

/// What the wallet has, and what of it is promised already, in wei.
#[derive(Debug, Clone, Copy)]
pub(super) struct Purse {
    have: u128,
    need: u128,
    /// Wei per gas.
    price: u128,
}

impl Purse {
    /// Takes out what this much gas may cost, or says what would have to be there.
    fn spend(&mut self, gas: u64) -> Result<(), Holdup> {
        let need = self
            .need
            .saturating_add(self.price.saturating_mul(u128::from(gas)));
        if self.price > 0 && need > self.have {
            return Err(Holdup::Funds {
                have: self.have,
                need,
            });
        }
        self.need = need;
        Ok(())
    }

    /// The gas that can still be paid for.
    pub(super) fn gas(&self) -> u64 {
        let left = self.have.saturating_sub(self.need);
        left.checked_div(self.price)
            .map_or(u64::MAX, |gas| u64::try_from(gas).unwrap_or(u64::MAX))
    }
}

impl Sender {
    /// Estimates, signs, stores and broadcasts intents that wait, oldest first.
    pub(super) async fn send_new(&mut self, view: &View) -> Result<(), Interrupted> {
        let (waiting, in_flight) = self.shared.book().counts();
        let room = self.shared.settings.max_in_flight.saturating_sub(in_flight);
        if waiting == 0 || room == 0 {
            return Ok(());
        }
        let Some(pending) = view.pending else {
            // It came to wait after the chain was looked at.
            self.shared.wake.notify_one();
            return Ok(());
        };
        let Some(offer) = self.offer(view).await? else {
            return Ok(());
        };
        let (mut alone, pools) = join::sort_out(self.shared.book().waiting());
        alone.truncate(room);
        let mut ready = self.estimate(alone).await?;
        if ready.is_empty() && pools.is_empty() {
            return Ok(());
        }
        let planned = ready.iter().map(|one| one.gas).sum();
        let many = if pools.is_empty() {
            0
        } else {
            view.head.gas_limit
        };
        let mut purse = self.purse(offer, many.saturating_add(planned)).await?;
        self.keep_affordable(&mut ready, &mut purse);
        let left = room.saturating_sub(ready.len());
        let planned = ready.iter().map(|one| one.gas).sum();
        ready.extend(self.joined(pools, left, planned, &mut purse, view).await?);
        if ready.is_empty() {
            return Ok(());
        }
        self.sign_and_send(ready, offer, pending, view).await
    }

    /// What to offer now; `None`, with the reason noted, while the cap is below the base fee.
    pub(super) async fn offer(&mut self, view: &View) -> Result<Option<Offer>, NodeError> {
        let fees = self.fees(view).await?;
        let pricing = self.shared.settings.pricing();
        match pricing.offer(fees) {
            Ok(offer) => Ok(Some(offer)),
            Err(too_low) => {
                self.holdup = Some(Holdup::FeeCap {
                    cap: pricing.cap,
                    base: too_low.base,
                });
                Ok(None)
            }
        }
    }

    /// The network's price. A tip is good for a while; a base fee is the head's own.
    async fn fees(&mut self, view: &View) -> Result<Fees, NodeError> {
        if let (Some((at, Fees::Dynamic { tip, .. })), Some(base)) = (self.tip, view.head.base_fee)
            && at.elapsed() < TIP_GOOD_FOR
        {
            return Ok(Fees::Dynamic { base, tip });
        }
        let fees = self.node.fees_at(&view.head).await?;
        self.tip = Some((Instant::now(), fees));
        Ok(fees)
    }

    /// What the wallet can pay with besides what is in flight, so that no nonce is spent on a transaction that no node would
    /// take. `gas` is what is to be paid for now: when there was twice as much a while ago, that is still there.
    async fn purse(&mut self, offer: Offer, gas: u64) -> Result<Purse, NodeError> {
        let price = offer.most();
        if price == 0 {
            return Ok(Purse {
                have: 0,
                need: 0,
                price,
            });
        }
        let need = self
            .shared
            .book()
            .flights()
            .iter()
            .map(|flight| {
                let price = flight.attempts.last().map_or(0, |last| last.offer.most());
                price.saturating_mul(u128::from(flight.gas))
            })
            .fold(0, u128::saturating_add);
        let plenty = price
            .saturating_mul(u128::from(gas))
            .saturating_mul(2)
            .saturating_add(need);
        let known = self
            .funds
            .filter(|(at, left)| at.elapsed() < FUNDS_GOOD_FOR && *left >= plenty);
        let have = match known {
            Some((_, left)) => left,
            None => {
                let balance = self.node.balance(self.shared.wallet).await?.0;
                self.funds = Some((Instant::now(), balance.saturating_sub(need)));
                balance
            }
        };
        Ok(Purse { have, need, price })
    }

    /// Notes that so much may be taken out of the wallet.
    pub(super) fn promise(&mut self, offer: Offer, gas: u64) {
        if let Some((_, left)) = &mut self.funds {
            let most = offer.most().saturating_mul(u128::from(gas));
            *left = left.saturating_sub(most);
        }
    }

    /// As many of `ready` as the wallet can pay for, in their order.
    fn keep_affordable(&mut self, ready: &mut Vec<Ready>, purse: &mut Purse) {
        let mut count = 0;
        for next in ready.iter() {
            if !self.pay(purse, next.gas) {
                break;
            }
            count += 1;
        }
        ready.truncate(count);
    }

    /// Takes the price of this much gas out of the purse; notes it when that cannot be.
    pub(super) fn pay(&mut self, purse: &mut Purse, gas: u64) -> bool {
        match purse.spend(gas) {
            Ok(()) => true,
            Err(holdup) => {
                self.holdup = Some(holdup);
                false
            }
        }
    }

    /// The gas that the intent needs now.
    pub(super) async fn gas_for(&self, intent: &Intent) -> Result<u64, NodeError> {
        let call = self.call_of(intent);
        Ok(intent.gas.limit(self.node.estimate(&call).await?))
    }

    fn call_of(&self, intent: &Intent) -> CallRequest {
        CallRequest {
            from: Some(self.shared.wallet),
            ..CallRequest::new(intent.to, intent.calldata.clone())
        }
    }

    /// Those whose estimation succeeds; those that the contract refuses are settled; the others go on waiting.
    pub(super) async fn estimate(
        &mut self,
        records: Vec<OutboxRecord>,
    ) -> Result<Vec<Ready>, Interrupted> {
        let mut ready = Vec::with_capacity(records.len());
        let mut refused = Vec::new();
        for part in records.chunks(TOGETHER) {
            let mut estimations = JoinSet::new();
            for (index, record) in part.iter().enumerate() {
                let node = self.node.clone();
                let call = self.call_of(&record.intent);
                estimations.spawn(async move { (index, node.estimate(&call).await) });
            }
            let mut answers: Vec<_> = estimations.join_all().await;
            answers.sort_by_key(|(index, _)| *index);
            for (record, (_, answer)) in part.iter().zip(answers) {
                match answer {
                    Ok(estimate) => ready.push(Ready {
                        gas: record.intent.gas.limit(estimate),
                        record: record.clone(),
                        members: Vec::new(),
                    }),
                    Err(NodeError::Reverted(reason)) => {
                        tracing::info!(intent = record.intent.key, %reason, "not sent: it would fail");
                        refused.push(settled(record.clone(), Outcome::Refused { reason }));
                    }
                    Err(error) => self.holdup = Some(Holdup::Node(error.to_string())),
                }
            }
        }
        self.settle(refused).await?;
        Ok(ready)
    }

    /// Gives each its nonce and its signature, stores them all with what they do for others, and only then broadcasts them.
    async fn sign_and_send(
        &mut self,
        ready: Vec<Ready>,
        offer: Offer,
        pending: u64,
        view: &View,
    ) -> Result<(), Interrupted> {
        let chain_id = self.node.chain_id().await?;
        let first = view.mined.max(pending);
        let nonces = self.shared.book().free_nonces(first, ready.len());
        let mut signed = Vec::with_capacity(ready.len());
        let mut stored = Vec::new();
        for (mut one, nonce) in ready.into_iter().zip(nonces) {
            let tx = signing::sign(
                &self.signer,
                chain_id,
                &one.record.intent,
                nonce,
                one.gas,
                offer,
            )?;
            self.promise(offer, one.gas);
            one.record.stage = Stage::Sending {
                nonce,
                gas: one.gas,
                attempts: vec![tx.into()],
            };
            for member in &mut one.members {
                member.stage = Stage::Joined {
                    carrier: one.record.intent.key.clone(),
                };
            }
            stored.extend(one.members.iter().cloned());
            stored.push(one.record.clone());
            signed.push(one);
        }
        self.shared.store.put(self.shared.wallet, stored).await?;
        self.shared.settings.pass(TX_PERSISTED);
        let mut keys = Vec::with_capacity(signed.len());
        {
            let mut book = self.shared.book();
            for one in signed {
                let key = one.record.intent.key.clone();
                let stage = one.record.stage.clone();
                if !one.members.is_empty() {
                    book.join(one.record, one.members);
                }
                book.sign(&key, stage, view.head.number);
                keys.push(key);
            }
        }
        for key in keys {
            self.broadcast(&key, view).await?;
        }
        Ok(())
    }
}
