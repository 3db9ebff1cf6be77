//! Finding out what became of transactions: receipts, confirmations, and what a reorganisation took back.

use std::time::Instant;

use alloy_primitives::B256;

use super::{
    RECEIPT_SEEN,
    book::Flight,
    intent::{OutboxRecord, Outcome, Stage, Watched},
    join,
    round::{Interrupted, Sender, View},
};
use crate::{NodeError, Receipt, Revert, node::CallRequest};

/// The least number of block times for which a used-up nonce without a receipt of ours is put down to a slow node.
const DOUBT: u32 = 3;

impl Sender {
    /// Looks for receipts of everything whose nonce is used up, and settles what is deep enough.
    pub(super) async fn settle_mined(&mut self, view: &View) -> Result<(), Interrupted> {
        let flights = self.shared.book().flights();
        let mut done = Vec::new();
        for flight in &flights {
            if flight.nonce >= view.mined {
                // Doubt counts from the last time that the nonce was seen free: nodes take turns in answering.
                self.shared
                    .book()
                    .change(&flight.key, |entry| entry.displaced_since = None);
                continue;
            }
            let seen = match self.receipts.remove(&flight.key) {
                Some(receipt) => Some(receipt),
                None => self.receipt_of(flight).await?,
            };
            match seen {
                Some(receipt) => {
                    if let Some(record) = self.confirmed(flight, receipt, view).await {
                        done.push(record);
                    }
                }
                None => self.doubt(flight).await?,
            }
        }
        Ok(self.settle(done).await?)
    }

    /// The receipt of whichever transaction of this nonce was mined.
    async fn receipt_of(&self, flight: &Flight) -> Result<Option<Receipt>, NodeError> {
        for hash in flight.hashes_newest_first() {
            if let Some(receipt) = self.node.receipt(hash).await? {
                return Ok(Some(receipt));
            }
        }
        Ok(None)
    }

    /// The settled record, once the block has as many blocks on top as the setting wants.
    async fn confirmed(
        &mut self,
        flight: &Flight,
        receipt: Receipt,
        view: &View,
    ) -> Option<OutboxRecord> {
        let mut first_look = false;
        self.shared.book().change(&flight.key, |entry| {
            first_look = !entry.receipt_seen;
            entry.receipt_seen = true;
            entry.displaced_since = None;
            entry.vanished_since = None;
        });
        if first_look {
            tracing::info!(
                intent = flight.key,
                tx = %receipt.tx,
                block = receipt.block.0,
                succeeded = receipt.succeeded,
                "transaction mined"
            );
            self.shared.settings.pass(RECEIPT_SEEN);
        }
        let depth = view.head.number.0.saturating_sub(receipt.block.0);
        if depth < self.shared.settings.confirmations {
            return None;
        }
        let record = self
            .shared
            .book()
            .get(&flight.key)
            .map(|entry| entry.record.clone())?;
        let watched = Watched {
            nonce: flight.nonce,
            gas: flight.gas,
            block: receipt.block,
            attempts: flight.attempts.clone(),
        };
        let outcome = if receipt.succeeded {
            Outcome::Mined { receipt }
        } else {
            let reason = self.why_reverted(&record, flight, &receipt).await;
            tracing::warn!(intent = flight.key, tx = %receipt.tx, %reason, "transaction failed on the chain");
            Outcome::Reverted { reason, receipt }
        };
        Some(OutboxRecord {
            stage: Stage::Settled {
                outcome,
                watched: Some(watched),
            },
            ..record
        })
    }

    /// Repeats a failed transaction as a call on the state before its block. That is only nearly the state it met.
    async fn why_reverted(
        &self,
        record: &OutboxRecord,
        flight: &Flight,
        receipt: &Receipt,
    ) -> Revert {
        if receipt.gas_used >= flight.gas {
            return Revert::OutOfGas;
        }
        let call = CallRequest {
            from: Some(self.shared.wallet),
            gas: Some(flight.gas),
            ..CallRequest::new(record.intent.to, record.intent.calldata.clone())
        };
        let before = poco::units::BlockNumber(receipt.block.0.saturating_sub(1));
        match self.node.call_raw(&call, Some(before)).await {
            Err(NodeError::Reverted(reason)) => reason,
            Ok(_) => Revert::Other("the call succeeds on the block before".to_owned()),
            Err(error) => Revert::Other(format!("the reason cannot be read: {error}")),
        }
    }

    /// The nonce is used up and none of our transactions is in a block: either this node is slow, or another program
    /// used the wallet. Only after some blocks of certainty the intent goes back to the queue, for a new nonce; none of
    /// its old transactions can be mined any more.
    async fn doubt(&mut self, flight: &Flight) -> Result<(), Interrupted> {
        let mut since = None;
        self.shared.book().change(&flight.key, |entry| {
            since = Some(*entry.displaced_since.get_or_insert_with(Instant::now));
        });
        let settings = &self.shared.settings;
        let patience = (settings.block_time * DOUBT).max(settings.stuck_after);
        if since.is_none_or(|since| since.elapsed() < patience) {
            return Ok(());
        }
        let ours: Vec<B256> = flight.hashes_newest_first().collect();
        let wallet = self.shared.wallet;
        if !self.node.is_displaced(wallet, flight.nonce, &ours).await? {
            return Ok(());
        }
        tracing::warn!(
            intent = flight.key,
            nonce = flight.nonce,
            "another transaction took this nonce; another program uses this wallet"
        );
        self.back_to_queue(flight).await
    }

    async fn back_to_queue(&mut self, flight: &Flight) -> Result<(), Interrupted> {
        let Some(mut record) = self
            .shared
            .book()
            .get(&flight.key)
            .map(|entry| entry.record.clone())
        else {
            return Ok(());
        };
        record.stage = Stage::Waiting;
        self.shared
            .store
            .put(self.shared.wallet, vec![record])
            .await?;
        self.shared.book().change(&flight.key, |entry| {
            entry.record.stage = Stage::Waiting;
            entry.taken = false;
            entry.sent_at = None;
            entry.displaced_since = None;
        });
        Ok(())
    }

    /// Broadcasts again what was settled and vanished, puts it back in flight when that does not help, and stops watching
    /// what is deep.
    pub(super) async fn watch_settled(&mut self, view: &View) -> Result<(), Interrupted> {
        let mut deep = Vec::new();
        let watched = self.shared.book().watched();
        for record in watched {
            let Stage::Settled {
                outcome,
                watched: Some(watched),
            } = &record.stage
            else {
                continue;
            };
            if watched.nonce >= view.mined {
                self.vanished(&record, outcome, watched).await?;
                continue;
            }
            let was_gone = self
                .shared
                .book()
                .get(&record.intent.key)
                .is_some_and(|entry| entry.vanished_since.is_some());
            if was_gone {
                // Mined again, by whichever node, in another block: it may have ended otherwise than before.
                self.under_way_again(&record, watched).await?;
                continue;
            }
            let depth = self.shared.settings.watch_depth;
            if view.head.number.0 >= watched.block.0.saturating_add(depth) {
                let outcome = outcome.clone();
                deep.push(super::round::settled(record, outcome));
            }
        }
        self.archive(deep).await
    }

    /// A settled transaction is not on the chain any more. For a while its bytes are broadcast again: the node may only be
    /// behind. Then it is under way again like any other, so that it can be replaced when fees rose: what holds its nonce
    /// holds up everything behind it.
    async fn vanished(
        &mut self,
        record: &OutboxRecord,
        outcome: &Outcome,
        watched: &Watched,
    ) -> Result<(), Interrupted> {
        let every = self.shared.settings.rebroadcast_every;
        let patience = self.shared.settings.block_time * DOUBT;
        let (mut due, mut lasting) = (false, false);
        self.shared.book().change(&record.intent.key, |entry| {
            let since = *entry.vanished_since.get_or_insert_with(Instant::now);
            lasting = since.elapsed() >= patience;
            due = entry.sent_at.is_none_or(|sent| sent.elapsed() >= every);
        });
        if lasting {
            tracing::warn!(
                intent = record.intent.key,
                nonce = watched.nonce,
                "a mined transaction left the chain; it is under way again"
            );
            return self.under_way_again(record, watched).await;
        }
        let mined = outcome.receipt().map(|receipt| receipt.tx);
        let attempt = watched
            .attempts
            .iter()
            .find(|attempt| Some(attempt.hash) == mined)
            .or_else(|| watched.attempts.last());
        if due
            && let Some(attempt) = attempt
            && self.would_pass(record).await
        {
            tracing::warn!(
                intent = record.intent.key,
                tx = %attempt.hash,
                "a mined transaction left the chain; broadcasting it again"
            );
            self.shared.book().change(&record.intent.key, |entry| {
                entry.sent_at = Some(Instant::now());
            });
            if let Err(error) = self.node.send_raw(&attempt.raw).await {
                tracing::debug!(intent = record.intent.key, %error, "not taken yet");
            }
        }
        Ok(())
    }

    /// Puts a settled record back in flight, with the transactions that it had.
    async fn under_way_again(
        &mut self,
        record: &OutboxRecord,
        watched: &Watched,
    ) -> Result<(), Interrupted> {
        let record = OutboxRecord {
            stage: Stage::Sending {
                nonce: watched.nonce,
                gas: watched.gas,
                attempts: watched.attempts.clone(),
            },
            ..record.clone()
        };
        self.shared
            .store
            .put(self.shared.wallet, vec![record.clone()])
            .await?;
        self.shared.book().revive(record);
        Ok(())
    }

    /// Whether the payload would succeed now. What left the chain may stand on what others' wallets sent, and that comes back in its own
    /// time: sent too early it would be mined and fail. A node that does not answer says nothing against it.
    pub(super) async fn would_pass(&self, record: &OutboxRecord) -> bool {
        let call = CallRequest {
            from: Some(self.shared.wallet),
            ..CallRequest::new(record.intent.to, record.intent.calldata.clone())
        };
        match self.node.estimate(&call).await {
            Err(NodeError::Reverted(reason)) => {
                tracing::debug!(intent = record.intent.key, %reason, "not sent again yet: it would fail");
                false
            }
            _ => true,
        }
    }

    /// The records and those that ended with them.
    fn with_members(&self, records: Vec<OutboxRecord>) -> Vec<OutboxRecord> {
        let mut all = Vec::with_capacity(records.len());
        for record in records {
            if let Stage::Settled { outcome, .. } = &record.stage {
                let members = self.shared.book().members_of(&record.intent.key);
                all.extend(members.into_iter().map(|member| {
                    let outcome = join::share_of(&member, outcome);
                    super::round::settled(member, outcome)
                }));
            }
            all.push(record);
        }
        all
    }

    /// Stores that these need no more watching, and deletes those that nobody needs.
    async fn archive(&mut self, records: Vec<OutboxRecord>) -> Result<(), Interrupted> {
        if records.is_empty() {
            return Ok(());
        }
        let records = self.with_members(records);
        let (gone, kept): (Vec<_>, Vec<_>) = {
            let book = self.shared.book();
            records
                .iter()
                .cloned()
                .partition(|record| book.is_forgotten(&record.intent.key))
        };
        let (store, wallet) = (&self.shared.store, self.shared.wallet);
        if !kept.is_empty() {
            store.put(wallet, kept).await?;
        }
        if !gone.is_empty() {
            let keys = gone.into_iter().map(|record| record.intent.key).collect();
            store.remove(wallet, keys).await?;
        }
        let mut book = self.shared.book();
        for record in records {
            book.settle(record);
        }
        Ok(())
    }
}
