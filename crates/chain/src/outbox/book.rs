//! The outbox's working set in memory: every live record, who waits for its outcome, and which nonces are taken.
//!
//! Nothing here is asynchronous and nothing is decided here about sending; the store always knows it before the book.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use alloy_primitives::B256;
use poco::units::BlockNumber;
use tokio::sync::oneshot;

use super::{
    Holdup,
    intent::{Attempt, OutboxRecord, Outcome, Stage},
    join,
    signing::Signed,
};

/// A live record and what only this process knows about it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) record: OutboxRecord,
    pub(super) waiters: Vec<oneshot::Sender<Outcome>>,
    /// Order of arrival.
    pub(super) turn: u64,
    /// When the newest attempt was signed, or loaded.
    pub(super) signed_at: Instant,
    /// The chain's height when the newest attempt was signed; 0 when loaded.
    pub(super) signed_at_block: u64,
    /// When a transaction of it was last handed to the nodes by this process.
    pub(super) sent_at: Option<Instant>,
    /// Whether a node took one of its transactions from this process.
    pub(super) taken: bool,
    /// Why the nodes do not take its newest transaction.
    pub(super) declined: Option<Holdup>,
    /// The nodes asked for a higher fee.
    pub(super) too_cheap: bool,
    /// Its receipt was seen.
    pub(super) receipt_seen: bool,
    /// Nobody needs its record once its block is deep.
    pub(super) forgotten: bool,
    /// Since when its settled transaction is not on the chain any more; kept until one of its transactions is found in a block again.
    pub(super) vanished_since: Option<Instant>,
    /// Since when its nonce is used up although none of its transactions is found in a block.
    pub(super) displaced_since: Option<Instant>,
}

impl Entry {
    fn new(record: OutboxRecord, turn: u64) -> Self {
        Self {
            forgotten: join::is_carrier(&record.intent.key),
            record,
            waiters: Vec::new(),
            turn,
            signed_at: Instant::now(),
            signed_at_block: 0,
            sent_at: None,
            taken: false,
            declined: None,
            too_cheap: false,
            receipt_seen: false,
            vanished_since: None,
            displaced_since: None,
        }
    }
}

/// A record in flight, copied out of the book so that nothing is locked while the network is asked.
#[derive(Debug, Clone)]
pub(super) struct Flight {
    pub(super) key: String,
    pub(super) nonce: u64,
    pub(super) gas: u64,
    pub(super) attempts: Vec<Attempt>,
}

impl Flight {
    pub(super) fn hashes_newest_first(&self) -> impl Iterator<Item = B256> {
        self.attempts.iter().rev().map(|attempt| attempt.hash)
    }
}

#[derive(Debug, Default)]
pub(super) struct Book {
    entries: BTreeMap<String, Entry>,
    /// The members of each carrier, by its key.
    members: BTreeMap<String, Vec<String>>,
    turns: u64,
}

impl Book {
    pub(super) fn load(mut records: Vec<OutboxRecord>) -> Self {
        records.sort_by(|a, b| (a.accepted, &a.intent.key).cmp(&(b.accepted, &b.intent.key)));
        let mut book = Self::default();
        let carriers: BTreeSet<String> = records
            .iter()
            .map(|record| record.intent.key.clone())
            .collect();
        for mut record in records {
            match &record.stage {
                Stage::Joined { carrier } if carriers.contains(carrier) => {
                    let key = record.intent.key.clone();
                    book.members.entry(carrier.clone()).or_default().push(key);
                }
                // They are stored together, so this cannot be; the contract refuses what is done already.
                Stage::Joined { .. } => record.stage = Stage::Waiting,
                _ => {}
            }
            book.insert(record);
        }
        book
    }

    /// Notes that `carrier`, which is stored, does what `members` want.
    pub(super) fn join(&mut self, carrier: OutboxRecord, members: Vec<OutboxRecord>) {
        let key = carrier.intent.key.clone();
        let names = members
            .iter()
            .map(|member| member.intent.key.clone())
            .collect();
        for member in members {
            let name = member.intent.key.clone();
            self.change(&name, |entry| entry.record = member);
        }
        self.members.insert(key, names);
        self.insert(carrier);
    }

    /// The records that `carrier` does in one; none when it is an intent like any other.
    pub(super) fn members_of(&self, carrier: &str) -> Vec<OutboxRecord> {
        self.members
            .get(carrier)
            .into_iter()
            .flatten()
            .filter_map(|key| self.entries.get(key))
            .map(|entry| entry.record.clone())
            .collect()
    }

    /// Notes that the carrier does nothing for anybody any more.
    pub(super) fn disband(&mut self, carrier: &str) {
        self.members.remove(carrier);
    }

    /// How the intent ended, if it has; a member ends as its carrier does.
    pub(super) fn outcome_of(&self, key: &str) -> Option<Outcome> {
        let entry = self.entries.get(key)?;
        match &entry.record.stage {
            Stage::Settled { outcome, .. } => Some(outcome.clone()),
            Stage::Joined { carrier } => {
                let outcome = self.outcome_of(carrier)?;
                Some(join::share_of(&entry.record, &outcome))
            }
            Stage::Waiting | Stage::Sending { .. } => None,
        }
    }

    pub(super) fn insert(&mut self, record: OutboxRecord) {
        self.turns += 1;
        let entry = Entry::new(record, self.turns);
        self.entries.insert(entry.record.intent.key.clone(), entry);
    }

    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    pub(super) fn change(&mut self, key: &str, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entries.get_mut(key) {
            change(entry);
        }
    }

    /// Whether there is anything to do or to watch.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Intents with nothing signed, in order of arrival.
    pub(super) fn waiting(&self) -> Vec<OutboxRecord> {
        let mut waiting: Vec<_> = self
            .entries
            .values()
            .filter(|entry| entry.record.stage == Stage::Waiting)
            .collect();
        waiting.sort_by_key(|entry| entry.turn);
        waiting
            .into_iter()
            .map(|entry| entry.record.clone())
            .collect()
    }

    /// Records in flight, by nonce.
    pub(super) fn flights(&self) -> Vec<Flight> {
        let mut flights: Vec<_> = self.entries.values().filter_map(flight_of).collect();
        flights.sort_by_key(|flight| flight.nonce);
        flights
    }

    /// Settled records whose block is young.
    pub(super) fn watched(&self) -> Vec<OutboxRecord> {
        self.entries
            .values()
            .map(|entry| &entry.record)
            .filter(|record| matches!(record.stage, Stage::Settled { .. }))
            .cloned()
            .collect()
    }

    /// Puts in the stored `record`, which left the chain and is under way again. Who asks for its outcome waits.
    pub(super) fn revive(&mut self, record: OutboxRecord) {
        let key = record.intent.key.clone();
        self.change(&key, |entry| {
            entry.record = record;
            entry.receipt_seen = false;
            entry.displaced_since = None;
        });
    }

    /// Whether nobody needs the record of `key` once it is deep.
    pub(super) fn is_forgotten(&self, key: &str) -> bool {
        self.entries.get(key).is_some_and(|entry| entry.forgotten)
    }

    /// Whether something is under way, or gone from the chain.
    pub(super) fn is_busy(&self) -> bool {
        self.counts() != (0, 0)
            || self
                .entries
                .values()
                .any(|entry| entry.vanished_since.is_some())
    }

    /// Whether at most `most` records are in flight, each handed to the nodes by this process within `young` and taken, and nothing that
    /// was settled is gone from the chain.
    pub(super) fn goes_well(&self, most: usize, young: Duration) -> bool {
        let mut in_flight = 0;
        self.entries.values().all(|entry| {
            let well = match entry.record.stage {
                Stage::Sending { .. } => {
                    in_flight += 1;
                    entry.sent_at.is_some()
                        && entry.taken
                        && !entry.too_cheap
                        && entry.declined.is_none()
                        && entry.signed_at.elapsed() < young
                }
                Stage::Waiting | Stage::Joined { .. } | Stage::Settled { .. } => true,
            };
            well && in_flight <= most
                && entry.vanished_since.is_none()
                && entry.displaced_since.is_none()
        })
    }

    pub(super) fn counts(&self) -> (usize, usize) {
        let mut counts = (0, 0);
        for entry in self.entries.values() {
            match entry.record.stage {
                Stage::Waiting => counts.0 += 1,
                Stage::Sending { .. } => counts.1 += 1,
                Stage::Joined { .. } | Stage::Settled { .. } => {}
            }
        }
        counts
    }

    /// The `count` lowest nonces from `first` on that no record holds. Filling holes first leaves no gap behind.
    pub(super) fn free_nonces(&self, first: u64, count: usize) -> Vec<u64> {
        let taken: BTreeSet<u64> = self
            .entries
            .values()
            .filter_map(|entry| entry.record.nonce())
            .collect();
        (first..)
            .filter(|nonce| !taken.contains(nonce))
            .take(count)
            .collect()
    }

    /// Notes that a first or a further transaction of `key` is signed and stored.
    pub(super) fn sign(&mut self, key: &str, stage: Stage, head: BlockNumber) {
        self.change(key, |entry| {
            entry.record.stage = stage;
            entry.signed_at = Instant::now();
            entry.signed_at_block = head.0;
            entry.sent_at = None;
            entry.declined = None;
            entry.too_cheap = false;
        });
    }

    /// Puts in the stored `record`, tells the waiters, also those of its members, and forgets it when nothing is left to watch.
    pub(super) fn settle(&mut self, record: OutboxRecord) {
        let key = record.intent.key.clone();
        let live = record.is_live();
        self.change(&key, |entry| entry.record = record);
        self.tell(&key);
        let members = self.members.get(&key).cloned().unwrap_or_default();
        for member in &members {
            self.tell(member);
        }
        if !live {
            self.members.remove(&key);
            self.entries.remove(&key);
        }
    }

    /// Tells those who wait for it how the intent ended, if it has.
    fn tell(&mut self, key: &str) {
        let Some(outcome) = self.outcome_of(key) else {
            return;
        };
        self.change(key, |entry| {
            for waiter in entry.waiters.drain(..) {
                // Whoever waited may have gone.
                let _ = waiter.send(outcome.clone());
            }
        });
    }
}

fn flight_of(entry: &Entry) -> Option<Flight> {
    match &entry.record.stage {
        Stage::Sending {
            nonce,
            gas,
            attempts,
        } => Some(Flight {
            key: entry.record.intent.key.clone(),
            nonce: *nonce,
            gas: *gas,
            attempts: attempts.clone(),
        }),
        Stage::Waiting | Stage::Joined { .. } | Stage::Settled { .. } => None,
    }
}

impl From<Signed> for Attempt {
    fn from(signed: Signed) -> Self {
        Self {
            hash: signed.hash,
            raw: signed.raw,
            offer: signed.offer,
        }
    }
}
