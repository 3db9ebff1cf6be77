//! The outbox's front desk: stores intents before it says yes, and tells outcomes.
//!
//! It writes only records that the sending side does not have yet, so the two never write the same one.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::{mpsc, oneshot};

use super::{
    INTENT_PERSISTED, OutboxError, Shared,
    intent::{Intent, OutboxRecord, Outcome, Stage},
    wall_clock,
};

/// Most commands taken into one write.
const TOGETHER: usize = 64;

type Answer = Result<oneshot::Receiver<Outcome>, OutboxError>;

pub(super) enum Command {
    Submit {
        intents: Vec<Intent>,
        reply: oneshot::Sender<Result<(), OutboxError>>,
    },
    Outcome {
        key: String,
        reply: oneshot::Sender<Answer>,
    },
    Find {
        key: String,
        reply: oneshot::Sender<Result<Option<OutboxRecord>, OutboxError>>,
    },
    Forget {
        keys: Vec<String>,
        reply: oneshot::Sender<Result<(), OutboxError>>,
    },
}

/// Serves commands until every handle is gone.
pub(super) async fn run(shared: Arc<Shared>, mut commands: mpsc::Receiver<Command>) {
    let mut together = Vec::with_capacity(TOGETHER);
    while commands.recv_many(&mut together, TOGETHER).await > 0 {
        let mut submissions = Vec::new();
        let mut rest = Vec::new();
        for command in together.drain(..) {
            match command {
                Command::Submit { intents, reply } => submissions.push((intents, reply)),
                other => rest.push(other),
            }
        }
        accept(&shared, submissions).await;
        for command in rest {
            answer(&shared, command).await;
        }
    }
}

async fn answer(shared: &Shared, command: Command) {
    // Whoever asked may have gone.
    match command {
        Command::Submit { .. } => {}
        Command::Outcome { key, reply } => {
            let _ = reply.send(outcome(shared, key).await);
        }
        Command::Find { key, reply } => {
            let _ = reply.send(find(shared, &key).await);
        }
        Command::Forget { keys, reply } => {
            let _ = reply.send(forget(shared, keys).await);
        }
    }
}

type Submission = (Vec<Intent>, oneshot::Sender<Result<(), OutboxError>>);

/// Stores what is new of all submissions in one write, then answers them.
async fn accept(shared: &Shared, submissions: Vec<Submission>) {
    if submissions.is_empty() {
        return;
    }
    let mut new = BTreeMap::new();
    let mut good = Vec::new();
    for (intents, reply) in submissions {
        match news_in(shared, intents, &new).await {
            Ok(records) => {
                new.extend(records);
                good.push(reply);
            }
            Err(error) => {
                let _ = reply.send(Err(error));
            }
        }
    }
    let records: Vec<OutboxRecord> = new.into_values().collect();
    let stored = if records.is_empty() {
        Ok(())
    } else {
        shared.store.put(shared.wallet, records.clone()).await
    };
    if stored.is_ok() && !records.is_empty() {
        shared.settings.pass(INTENT_PERSISTED);
        let mut book = shared.book();
        for record in records {
            book.insert(record);
        }
        drop(book);
        shared.wake.notify_one();
    }
    for reply in good {
        let _ = reply.send(stored.clone().map_err(OutboxError::from));
    }
}

/// The records that one submission adds to `earlier` ones, or why the whole of it is not taken.
async fn news_in(
    shared: &Shared,
    intents: Vec<Intent>,
    earlier: &BTreeMap<String, OutboxRecord>,
) -> Result<BTreeMap<String, OutboxRecord>, OutboxError> {
    let mut new = BTreeMap::new();
    for intent in intents {
        let known = match new.get(&intent.key).or_else(|| earlier.get(&intent.key)) {
            Some(record) => Some(record.clone()),
            None => find(shared, &intent.key).await?,
        };
        let again = match known {
            None => true,
            Some(record) => {
                if record.intent.to != intent.to || record.intent.calldata != intent.calldata {
                    return Err(OutboxError::OtherPayload { key: intent.key });
                }
                // Whoever submits it again will ask for its outcome.
                shared
                    .book()
                    .change(&intent.key, |entry| entry.forgotten = false);
                matches!(&record.stage, Stage::Settled { outcome, .. } if !outcome.is_on_chain())
            }
        };
        if again {
            let record = OutboxRecord::new(intent, wall_clock());
            new.insert(record.intent.key.clone(), record);
        }
    }
    Ok(new)
}

async fn find(shared: &Shared, key: &str) -> Result<Option<OutboxRecord>, OutboxError> {
    if let Some(entry) = shared.book().get(key) {
        return Ok(Some(entry.record.clone()));
    }
    Ok(shared.store.find(shared.wallet, key.to_owned()).await?)
}

async fn outcome(shared: &Shared, key: String) -> Answer {
    let (sender, receiver) = oneshot::channel();
    {
        let mut book = shared.book();
        if let Some(outcome) = book.outcome_of(&key) {
            let _ = sender.send(outcome);
            return Ok(receiver);
        }
        if book.get(&key).is_some() {
            book.change(&key, |entry| entry.waiters.push(sender));
            return Ok(receiver);
        }
    }
    // What is not in the book is settled in the store, or was never submitted.
    match shared.store.find(shared.wallet, key.clone()).await? {
        Some(OutboxRecord {
            stage: Stage::Settled { outcome, .. },
            ..
        }) => {
            let _ = sender.send(outcome);
            Ok(receiver)
        }
        _ => Err(OutboxError::Unknown { key }),
    }
}

async fn forget(shared: &Shared, keys: Vec<String>) -> Result<(), OutboxError> {
    let unused: Vec<String> = {
        let mut book = shared.book();
        keys.into_iter()
            .filter(|key| {
                // What is settled and still watched goes when its block is deep.
                let settled = book.outcome_of(key).is_some();
                book.change(key, |entry| entry.forgotten = settled);
                book.get(key).is_none()
            })
            .collect()
    };
    if unused.is_empty() {
        return Ok(());
    }
    Ok(shared.store.remove(shared.wallet, unused).await?)
}
