//! The outbox's working rounds: look at the chain, settle what is mined, keep alive what is not, send what is new.
//!
//! A round reads the chain once and acts on that view. It may be cut off anywhere: what it wants to send is stored
//! before it is sent, and the next round finds out what became of it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_signer_local::PrivateKeySigner;
use tokio::task::JoinSet;

use super::{
    BROADCAST, Holdup, OutboxStoreError, Shared, TX_PERSISTED,
    fees::Offer,
    intent::{OutboxRecord, Outcome, Stage},
    signing, wall_clock,
};
use crate::{Block, Node, NodeError, Revert, SendError, SendRefusal, node::CallRequest};

/// Estimations in progress at a time.
const TOGETHER: usize = 16;
/// The shortest pause between two looks.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// The chain as one round sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    pub(super) head: Block,
    /// Nonces below are used up.
    pub(super) mined: u64,
    /// The first nonce that no transaction in the node's pool continues.
    pub(super) pending: u64,
}

/// The nonce that the next block may take, and since when it is the next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Front {
    nonce: u64,
    pub(super) since: Instant,
    pub(super) block: u64,
}

/// Why a round ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum Interrupted {
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error(transparent)]
    Store(#[from] OutboxStoreError),
    #[error("a transaction cannot be signed: {0}")]
    Signer(#[from] alloy_signer::Error),
}

pub(super) struct Sender {
    pub(super) shared: Arc<Shared>,
    pub(super) node: Node,
    pub(super) signer: PrivateKeySigner,
    /// The nonce next in line.
    pub(super) front: Front,
    /// What this round found to be in the way.
    pub(super) holdup: Option<Holdup>,
}

/// An intent that passed its estimation.
struct Ready {
    record: OutboxRecord,
    gas: u64,
}

impl Sender {
    pub(super) fn new(shared: Arc<Shared>, node: Node, signer: PrivateKeySigner) -> Self {
        Self {
            shared,
            node,
            signer,
            front: Front {
                nonce: 0,
                since: Instant::now(),
                block: 0,
            },
            holdup: None,
        }
    }

    pub(super) async fn run(&mut self) {
        loop {
            self.holdup = None;
            if let Err(interrupted) = self.round().await {
                self.holdup = Some(match interrupted {
                    Interrupted::Node(error) => Holdup::Node(error.to_string()),
                    Interrupted::Store(error) => Holdup::Store(error.to_string()),
                    Interrupted::Signer(_) => Holdup::Signer(interrupted.to_string()),
                });
            }
            self.report();
            let idle = self.shared.book().is_empty();
            let pause = (self.shared.settings.block_time / 2).max(SHORTEST_PAUSE);
            if idle {
                self.shared.wake.notified().await;
            } else {
                // Either way it is time to look again.
                let _ = tokio::time::timeout(pause, self.shared.wake.notified()).await;
            }
        }
    }

    async fn round(&mut self) -> Result<(), Interrupted> {
        // Before the node is asked: it may be down for long.
        self.expire().await?;
        if self.shared.book().is_empty() {
            return Ok(());
        }
        let view = self.look().await?;
        self.settle_mined(&view).await?;
        self.watch_settled(&view).await?;
        self.keep_alive(&view).await?;
        self.send_new(&view).await
    }

    async fn look(&mut self) -> Result<View, NodeError> {
        let wallet = self.shared.wallet;
        let (head, mined, pending) = tokio::try_join!(
            self.node.head(),
            self.node.transaction_count(wallet),
            self.node.pending_count(wallet),
        )?;
        if self.front.nonce != mined {
            self.front = Front {
                nonce: mined,
                since: Instant::now(),
                block: head.number.0,
            };
        }
        Ok(View {
            head,
            mined,
            pending,
        })
    }

    /// Ends intents whose deadline passed while nothing of them was signed.
    async fn expire(&mut self) -> Result<(), Interrupted> {
        let now = wall_clock();
        let late: Vec<_> = self
            .shared
            .book()
            .waiting()
            .into_iter()
            .filter(|record| {
                record
                    .intent
                    .deadline
                    .is_some_and(|deadline| deadline <= now)
            })
            .map(|record| settled(record, Outcome::Expired))
            .collect();
        Ok(self.settle(late).await?)
    }

    /// Estimates, signs, stores and broadcasts intents that wait, oldest first.
    async fn send_new(&mut self, view: &View) -> Result<(), Interrupted> {
        let (waiting, in_flight) = self.shared.book().counts();
        let room = self.shared.settings.max_in_flight.saturating_sub(in_flight);
        if waiting == 0 || room == 0 {
            return Ok(());
        }
        let Some(offer) = self.offer(view).await? else {
            return Ok(());
        };
        let mut chosen = self.shared.book().waiting();
        chosen.truncate(room);
        let ready = self.estimate(chosen).await?;
        let ready = self.affordable(ready, offer).await?;
        if ready.is_empty() {
            return Ok(());
        }
        let chain_id = self.node.chain_id().await?;
        let first = view.mined.max(view.pending);
        let nonces = self.shared.book().free_nonces(first, ready.len());
        let mut records = Vec::with_capacity(ready.len());
        for (Ready { mut record, gas }, nonce) in ready.into_iter().zip(nonces) {
            let signed = signing::sign(&self.signer, chain_id, &record.intent, nonce, gas, offer)?;
            record.stage = Stage::Sending {
                nonce,
                gas,
                attempts: vec![signed.into()],
            };
            records.push(record);
        }
        self.shared
            .store
            .put(self.shared.wallet, records.clone())
            .await?;
        self.shared.settings.pass(TX_PERSISTED);
        let mut keys = Vec::with_capacity(records.len());
        {
            let mut book = self.shared.book();
            for record in records {
                book.sign(&record.intent.key, record.stage, view.head.number);
                keys.push(record.intent.key);
            }
        }
        for key in keys {
            self.broadcast(&key, view).await?;
        }
        Ok(())
    }

    /// What to offer now; `None`, with the reason noted, while the cap is below the base fee.
    pub(super) async fn offer(&mut self, view: &View) -> Result<Option<Offer>, NodeError> {
        let fees = self.node.fees_at(&view.head).await?;
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

    /// Those whose estimation succeeds; those that the contract refuses are settled; the others go on waiting.
    async fn estimate(&mut self, records: Vec<OutboxRecord>) -> Result<Vec<Ready>, Interrupted> {
        let wallet = self.shared.wallet;
        let mut ready = Vec::with_capacity(records.len());
        let mut refused = Vec::new();
        for part in records.chunks(TOGETHER) {
            let mut estimations = JoinSet::new();
            for (index, record) in part.iter().enumerate() {
                let node = self.node.clone();
                let call = CallRequest {
                    from: Some(wallet),
                    ..CallRequest::new(record.intent.to, record.intent.calldata.clone())
                };
                estimations.spawn(async move { (index, node.estimate(&call).await) });
            }
            let mut answers: Vec<_> = estimations.join_all().await;
            answers.sort_by_key(|(index, _)| *index);
            for (record, (_, answer)) in part.iter().zip(answers) {
                match answer {
                    Ok(estimate) => ready.push(Ready {
                        gas: record.intent.gas.limit(estimate),
                        record: record.clone(),
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

    /// As many of `ready` as the wallet can pay for besides what is in flight, so that no nonce is spent on one that
    /// no node would take.
    async fn affordable(
        &mut self,
        mut ready: Vec<Ready>,
        offer: Offer,
    ) -> Result<Vec<Ready>, NodeError> {
        if ready.is_empty() || offer.most() == 0 {
            return Ok(ready);
        }
        let have = self.node.balance(self.shared.wallet).await?.0;
        let mut need: u128 = self
            .shared
            .book()
            .flights()
            .iter()
            .map(|flight| {
                let price = flight.attempts.last().map_or(0, |last| last.offer.most());
                price.saturating_mul(u128::from(flight.gas))
            })
            .fold(0, u128::saturating_add);
        let mut count = 0;
        for next in &ready {
            need = need.saturating_add(offer.most().saturating_mul(u128::from(next.gas)));
            if need > have {
                self.holdup = Some(Holdup::Funds { have, need });
                break;
            }
            count += 1;
        }
        ready.truncate(count);
        Ok(ready)
    }

    /// Hands the newest transaction of `key` to the nodes. That one declines it is no failure of the round.
    pub(super) async fn broadcast(&mut self, key: &str, view: &View) -> Result<(), Interrupted> {
        let Some(flight) = self.flight(key) else {
            return Ok(());
        };
        let Some(newest) = flight.attempts.last() else {
            return Ok(());
        };
        let sent = self.node.send_raw(&newest.raw).await;
        let now = Instant::now();
        match sent {
            Ok(_) => {
                let mut first_time = false;
                self.shared.book().change(key, |entry| {
                    first_time = !entry.taken || entry.sent_at.is_none();
                    entry.taken = true;
                    entry.sent_at = Some(now);
                });
                if first_time {
                    tracing::info!(
                        intent = key,
                        tx = %newest.hash,
                        nonce = flight.nonce,
                        "transaction broadcast"
                    );
                    self.shared
                        .status
                        .send_modify(|status| status.broadcasts += 1);
                }
                self.shared.settings.pass(BROADCAST);
                Ok(())
            }
            Err(SendError::Node(error)) => {
                // It may have been taken: only the chain can tell. The others would fare no better now.
                self.shared
                    .book()
                    .change(key, |entry| entry.sent_at = Some(now));
                Err(error.into())
            }
            Err(SendError::Declined { refusal, text, .. }) => {
                let too_cheap = refusal == SendRefusal::FeeTooLow;
                self.shared.book().change(key, |entry| {
                    entry.sent_at = Some(now);
                    entry.too_cheap |= too_cheap;
                });
                match refusal {
                    // The next round looks for the receipts of all its transactions before anything else.
                    SendRefusal::NonceTooLow => {
                        self.shared.wake.notify_one();
                        Ok(())
                    }
                    SendRefusal::Invalid => self.withdraw(&flight, text, view).await,
                    _ => {
                        self.holdup = Some(Holdup::Declined(text));
                        Ok(())
                    }
                }
            }
        }
    }

    fn flight(&self, key: &str) -> Option<super::book::Flight> {
        self.shared
            .book()
            .flights()
            .into_iter()
            .find(|flight| flight.key == key)
    }

    /// Stores settled records, then tells their outcome.
    pub(super) async fn settle(
        &mut self,
        records: Vec<OutboxRecord>,
    ) -> Result<(), OutboxStoreError> {
        if records.is_empty() {
            return Ok(());
        }
        self.shared
            .store
            .put(self.shared.wallet, records.clone())
            .await?;
        let count = records.len() as u64;
        let mut book = self.shared.book();
        for record in records {
            book.settle(record);
        }
        drop(book);
        self.shared
            .status
            .send_modify(|status| status.settled += count);
        Ok(())
    }

    fn report(&mut self) {
        let (waiting, in_flight) = self.shared.book().counts();
        let holdup = self.holdup.take();
        let wallet = poco::hex::lower(&self.shared.wallet);
        self.shared.status.send_if_modified(|status| {
            let same_kind = match (&status.holdup, &holdup) {
                (Some(old), Some(new)) => std::mem::discriminant(old) == std::mem::discriminant(new),
                (None, None) => true,
                _ => false,
            };
            match &holdup {
                Some(holdup) if !same_kind => {
                    tracing::warn!(wallet, waiting, in_flight, reason = %holdup, "transactions are held up");
                }
                None if !same_kind => {
                    tracing::info!(wallet, waiting, in_flight, "transactions go out again");
                }
                _ => {}
            }
            let changed = (status.waiting, status.in_flight) != (waiting, in_flight)
                || status.holdup != holdup;
            status.waiting = waiting;
            status.in_flight = in_flight;
            status.holdup = holdup;
            changed
        });
    }
}

/// The record with its end; nothing of it is on the chain.
pub(super) fn settled(record: OutboxRecord, outcome: Outcome) -> OutboxRecord {
    OutboxRecord {
        stage: Stage::Settled {
            outcome,
            watched: None,
        },
        ..record
    }
}

/// A refusal in a node's own words.
pub(super) fn refused(text: String) -> Outcome {
    Outcome::Refused {
        reason: Revert::Other(text),
    }
}
