//! Keeping transactions alive until they are mined: broadcasting again, replacing what sticks, taking back what no node
//! will ever take.

use std::time::Instant;

use super::{
    Holdup, TX_PERSISTED,
    book::Flight,
    intent::{Attempt, Stage},
    round::{Interrupted, Sender, View, refused, settled},
    signing,
};

/// Blocks that must have gone by without a transaction before it is taken for stuck.
const PASSED_OVER: u64 = 2;

/// What a transaction in flight needs now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Care {
    Nothing,
    Broadcast,
    Replace,
}

impl Sender {
    /// Goes through the transactions that are not mined, in the order of their nonces.
    pub(super) async fn keep_alive(&mut self, view: &View) -> Result<(), Interrupted> {
        let flights = self.shared.book().flights();
        let unmined: Vec<_> = flights
            .into_iter()
            .filter(|flight| flight.nonce >= view.mined)
            .collect();
        self.notice_gap(&unmined, view);
        for flight in unmined {
            self.holdup = self.holdup.take().or_else(|| self.why_declined(&flight));
            match self.care_for(&flight, view) {
                Care::Nothing => {}
                Care::Broadcast => {
                    if self.may_go_again(&flight).await {
                        self.broadcast(&flight.key, view).await?;
                    }
                }
                Care::Replace => self.replace(&flight, view).await?,
            }
        }
        Ok(())
    }

    fn why_declined(&self, flight: &Flight) -> Option<Holdup> {
        self.shared.book().get(&flight.key)?.declined.clone()
    }

    /// Whether what left the chain may be sent again now. For a while it waits for what it stands on; then it goes as it is, since it holds
    /// up everything behind its nonce.
    async fn may_go_again(&self, flight: &Flight) -> bool {
        let patience = self.shared.settings.stuck_after;
        let record = {
            let book = self.shared.book();
            book.get(&flight.key)
                .filter(|entry| {
                    entry
                        .vanished_since
                        .is_some_and(|since| since.elapsed() < patience)
                })
                .map(|entry| entry.record.clone())
        };
        match record {
            Some(record) => self.would_pass(&record).await,
            None => true,
        }
    }

    fn care_for(&self, flight: &Flight, view: &View) -> Care {
        let book = self.shared.book();
        let Some(entry) = book.get(&flight.key) else {
            return Care::Nothing;
        };
        // Nothing sent by this process yet: a transaction of an earlier run, or one that a crash kept from going out.
        let Some(sent_at) = entry.sent_at else {
            return Care::Broadcast;
        };
        let next_in_line = flight.nonce == view.mined;
        let since_signed = entry.signed_at.elapsed();
        let waited = if next_in_line {
            since_signed.min(self.front.since.elapsed())
        } else {
            since_signed
        };
        let offered = flight.attempts.last().map_or(0, |last| last.offer.most());
        let below_base_fee = view.head.base_fee.is_some_and(|base| offered < base);
        // A chain that makes no blocks is not to be outbid.
        let passed_over = view.head.number.0
            >= entry
                .signed_at_block
                .max(self.front.block)
                .saturating_add(PASSED_OVER);
        // One that the wallet cannot pay for would be worse off with a higher fee.
        let unpaid = matches!(entry.declined, Some(Holdup::Funds { .. }));
        let stuck = passed_over
            && !unpaid
            && waited >= self.shared.settings.stuck_after
            && (next_in_line || below_base_fee);
        if entry.too_cheap || stuck {
            Care::Replace
        } else if sent_at.elapsed() >= self.shared.settings.rebroadcast_every {
            Care::Broadcast
        } else {
            Care::Nothing
        }
    }

    /// Signs the same payload again at the same nonce for a higher fee; without room below the cap the old one is
    /// broadcast again.
    async fn replace(&mut self, flight: &Flight, view: &View) -> Result<(), Interrupted> {
        let Some(old) = flight.attempts.last().map(|last| last.offer) else {
            return Ok(());
        };
        let Some(fresh) = self.offer(view).await? else {
            return self.broadcast_when_due(flight, view).await;
        };
        let pricing = self.shared.settings.pricing();
        let Some(offer) = pricing.replacement(old, fresh) else {
            self.holdup = Some(Holdup::StuckAtCap {
                nonce: flight.nonce,
            });
            return self.broadcast_when_due(flight, view).await;
        };
        let Some(mut record) = self
            .shared
            .book()
            .get(&flight.key)
            .map(|entry| entry.record.clone())
        else {
            return Ok(());
        };
        let chain_id = self.node.chain_id().await?;
        let signed = signing::sign(
            &self.signer,
            chain_id,
            &record.intent,
            flight.nonce,
            flight.gas,
            offer,
        )?;
        tracing::info!(
            intent = flight.key,
            tx = %signed.hash,
            nonce = flight.nonce,
            "replacing a transaction that is not mined, for a higher fee"
        );
        self.promise(offer, flight.gas);
        let mut attempts = flight.attempts.clone();
        attempts.push(Attempt::from(signed));
        record.stage = Stage::Sending {
            nonce: flight.nonce,
            gas: flight.gas,
            attempts,
        };
        let stage = record.stage.clone();
        self.shared
            .store
            .put(self.shared.wallet, vec![record])
            .await?;
        self.shared.settings.pass(TX_PERSISTED);
        self.shared
            .book()
            .sign(&flight.key, stage, view.head.number);
        self.shared
            .status
            .send_modify(|status| status.replacements += 1);
        self.broadcast(&flight.key, view).await
    }

    async fn broadcast_when_due(
        &mut self,
        flight: &Flight,
        view: &View,
    ) -> Result<(), Interrupted> {
        let every = self.shared.settings.rebroadcast_every;
        let due = self
            .shared
            .book()
            .get(&flight.key)
            .and_then(|entry| entry.sent_at)
            .is_none_or(|sent: Instant| sent.elapsed() >= every);
        if due {
            self.broadcast(&flight.key, view).await?;
        }
        Ok(())
    }

    /// Every node says that the newest transaction can never be taken. It is taken back: a replacement alone, or the
    /// whole intent when it was the only one. The nonce is then free and is the first to be given out again.
    pub(super) async fn withdraw(
        &mut self,
        flight: &Flight,
        text: String,
        view: &View,
    ) -> Result<(), Interrupted> {
        for hash in flight.hashes_newest_first() {
            if self.node.knows(hash).await? {
                self.holdup = Some(Holdup::Declined(text));
                return Ok(());
            }
        }
        let taken_before = self
            .shared
            .book()
            .get(&flight.key)
            .map(|entry| (entry.taken, entry.record.clone()));
        let Some((taken, mut record)) = taken_before else {
            return Ok(());
        };
        let older = flight
            .attempts
            .split_last()
            .map_or_else(Vec::new, |(_, older)| older.to_vec());
        if !older.is_empty() {
            record.stage = Stage::Sending {
                nonce: flight.nonce,
                gas: flight.gas,
                attempts: older,
            };
            let stage = record.stage.clone();
            self.shared
                .store
                .put(self.shared.wallet, vec![record])
                .await?;
            self.shared
                .book()
                .sign(&flight.key, stage, view.head.number);
            self.holdup = Some(Holdup::Declined(text));
            return Ok(());
        }
        if taken {
            self.holdup = Some(Holdup::Declined(text));
            return Ok(());
        }
        tracing::warn!(
            intent = flight.key,
            reason = text,
            "no node can take this transaction"
        );
        Ok(self.settle(vec![settled(record, refused(text))]).await?)
    }

    /// Says so when the nonce next in line is held by nobody.
    fn notice_gap(&mut self, unmined: &[Flight], view: &View) {
        let Some(lowest) = unmined.first() else {
            return;
        };
        let waited = self.front.since.elapsed() >= self.shared.settings.stuck_after;
        if lowest.nonce > view.mined && view.pending == Some(view.mined) && waited {
            // A settled transaction that a reorganisation took back may hold it: that one is broadcast again.
            let nobodys = self.shared.book().free_nonces(view.mined, 1) == [view.mined];
            if nobodys {
                self.holdup = Some(Holdup::NonceGap { nonce: view.mined });
            }
        }
    }
}
