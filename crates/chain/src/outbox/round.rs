//! The outbox's working rounds: look at the chain, settle what is mined, keep alive what is not, send what is new.
//!
//! A round reads the chain once and acts on that view. It may be cut off anywhere: what it wants to send is stored
//! before it is sent, and the next round finds out what became of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use alloy_signer_local::PrivateKeySigner;

use super::{
    BROADCAST, Holdup, OutboxStoreError, Shared,
    intent::{OutboxRecord, Outcome, Stage},
    join::{self, ArrayCall},
    wall_clock,
};
use crate::{Block, Fees, Node, NodeError, Receipt, Revert, SendError, SendRefusal};

/// The shortest pause between two looks.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
/// Blocks between two looks while nothing is under way: a reorganisation is noticed long before it is out of reach.
pub(super) const WATCH_EVERY: u32 = 16;

/// The chain as one round sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    pub(super) head: Block,
    /// Nonces below are used up.
    pub(super) mined: u64,
    /// The first nonce that no transaction in the node's pool continues, where it was asked for.
    pub(super) pending: Option<u64>,
}

/// The nonce that the next block may take, and since when it is the next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Front {
    pub(super) nonce: u64,
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
    /// Gas for each task of an array call, as the last estimate told.
    pub(super) gas_each: BTreeMap<ArrayCall, u64>,
    /// What the network wanted as a tip, and when it was asked.
    pub(super) tip: Option<(Instant, Fees)>,
    /// What the wallet had, and when it was asked; less the most that was promised since.
    pub(super) funds: Option<(Instant, u128)>,
    /// When the chain's whole view of the wallet was asked for last; none when it must be before anything else.
    pub(super) looked: Option<Instant>,
    /// When blocks were last taken back.
    pub(super) moved: Option<Instant>,
    /// Receipts that the look at the chain found already, by intent.
    pub(super) receipts: BTreeMap<String, Receipt>,
    /// The last rest was ended by a wake: somebody tells us of blocks.
    woken: bool,
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
            gas_each: BTreeMap::new(),
            tip: None,
            funds: None,
            looked: None,
            moved: None,
            receipts: BTreeMap::new(),
            woken: false,
        }
    }

    pub(super) async fn run(&mut self) {
        loop {
            self.holdup = None;
            if let Err(interrupted) = self.round().await {
                self.looked = None;
                self.holdup = Some(match interrupted {
                    Interrupted::Node(error) => Holdup::Node(error.to_string()),
                    Interrupted::Store(error) => Holdup::Store(error.to_string()),
                    Interrupted::Signer(_) => Holdup::Signer(interrupted.to_string()),
                });
            }
            self.report();
            self.rest().await;
        }
    }

    /// Until it is time to look again: at the next block, as far as we are told of it. Where nothing is under way and what was settled
    /// is only watched for a reorganisation, now and then is enough.
    async fn rest(&mut self) {
        let idle = self.shared.book().is_empty();
        if idle {
            self.shared.wake.notified().await;
            return;
        }
        let block_time = self.shared.settings.block_time;
        let since = Instant::now();
        let watch = block_time * WATCH_EVERY;
        loop {
            let pause = if !self.is_busy() {
                watch.saturating_sub(since.elapsed())
            } else if self.woken {
                block_time * 2
            } else {
                block_time / 2
            };
            let waking =
                tokio::time::timeout(pause.max(SHORTEST_PAUSE), self.shared.wake.notified());
            self.woken = waking.await.is_ok();
            let moved = self.shared.moved.swap(false, Ordering::Relaxed);
            if moved {
                self.looked = None;
                self.moved = Some(Instant::now());
            }
            if self.is_busy() || moved || since.elapsed() >= watch {
                return;
            }
        }
    }

    fn is_busy(&self) -> bool {
        self.shared.book().is_busy()
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
                    entry.declined = None;
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
                (self.looked, self.funds, self.tip) = (None, None, None);
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
                    SendRefusal::InsufficientFunds => {
                        let have = self.node.balance(self.shared.wallet).await?.0;
                        let need = newest.offer.most().saturating_mul(u128::from(flight.gas));
                        self.note_declined(key, Holdup::Funds { have, need });
                        Ok(())
                    }
                    _ => {
                        self.note_declined(key, Holdup::Declined(text));
                        Ok(())
                    }
                }
            }
        }
    }

    /// Notes why the nodes do not take a transaction, for as long as they do not.
    fn note_declined(&mut self, key: &str, holdup: Holdup) {
        self.shared
            .book()
            .change(key, |entry| entry.declined = Some(holdup.clone()));
        self.holdup = Some(holdup);
    }

    fn flight(&self, key: &str) -> Option<super::book::Flight> {
        self.shared
            .book()
            .flights()
            .into_iter()
            .find(|flight| flight.key == key)
    }

    /// Stores settled records, then tells their outcome. The members of a carrier that did nothing wait again, in smaller
    /// company.
    pub(super) async fn settle(
        &mut self,
        mut records: Vec<OutboxRecord>,
    ) -> Result<(), OutboxStoreError> {
        if records.is_empty() {
            return Ok(());
        }
        let failed: Vec<String> = records
            .iter()
            .filter(|record| is_in_vain(record))
            .map(|record| record.intent.key.clone())
            .collect();
        for carrier in &failed {
            let members = self.shared.book().members_of(carrier);
            tracing::info!(
                intent = carrier,
                tasks = members.len(),
                "trying again in smaller parts"
            );
            records.extend(join::apart(members));
        }
        self.shared
            .store
            .put(self.shared.wallet, records.clone())
            .await?;
        let spent = self.note_settled(records, &failed);
        if !spent.is_empty() {
            // Nobody can ask for them, and nothing of them is on the chain.
            self.shared.store.remove(self.shared.wallet, spent).await?;
        }
        Ok(())
    }

    /// Takes over into the book what is stored, and says which carriers are of no use any more.
    fn note_settled(&self, records: Vec<OutboxRecord>, failed: &[String]) -> Vec<String> {
        let mut count = 0;
        let mut spent = Vec::new();
        let mut book = self.shared.book();
        for carrier in failed {
            book.disband(carrier);
        }
        for record in records {
            let key = record.intent.key.clone();
            if join::is_carrier(&key) {
                count += book.members_of(&key).len() as u64;
                spent.extend((!record.is_live()).then_some(key));
            } else if matches!(record.stage, Stage::Settled { .. }) {
                count += 1;
            }
            book.settle(record);
        }
        drop(book);
        self.shared
            .status
            .send_modify(|status| status.settled += count);
        spent
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

/// Whether this is a carrier that ended without doing what its members want.
fn is_in_vain(record: &OutboxRecord) -> bool {
    join::is_carrier(&record.intent.key)
        && matches!(&record.stage, Stage::Settled { outcome, .. } if !matches!(outcome, Outcome::Mined { .. }))
}

/// A refusal in a node's own words.
pub(super) fn refused(text: String) -> Outcome {
    Outcome::Refused {
        reason: Revert::Other(text),
    }
}
