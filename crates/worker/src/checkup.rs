//! Asking the container engine and the chain's node whether they answer: now and then, and soon after somebody looked at the worker's
//! health or figures, so that who watches sees the present and who does not costs the node almost nothing.

use std::sync::Arc;
use std::time::Duration;

use chain::Block;
use chassis::health::Condition;
use poco::units::Timestamp;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::clock;
use crate::pipeline::work::Shared;
use crate::vitals::{Vital, Vitals};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two questions to the engine, which is on this machine.
const ENGINE: Rhythm = Rhythm {
    least: Duration::from_secs(1),
    most: Duration::from_secs(10),
};
/// Between two questions to the node, whose answers may be counted and billed.
const NODE: Rhythm = Rhythm {
    least: Duration::from_secs(5),
    most: Duration::from_secs(60),
};
/// The same while the node does not answer.
const NODE_AWAY: Rhythm = Rhythm {
    least: Duration::from_secs(1),
    most: Duration::from_secs(5),
};
/// A newest block older than this, and than so many blocks take, is no sign of life.
const STALE: (Duration, u32) = (Duration::from_secs(60), 12);

/// Time between two questions: the least, when somebody looks, and the most.
#[derive(Debug, Clone, Copy)]
struct Rhythm {
    least: Duration,
    most: Duration,
}

impl Rhythm {
    async fn rest(self, since: Instant, vital: &Vital) {
        tokio::select! {
            () = sleep(self.most) => {}
            () = vital.looked_at() => sleep_until(since + self.least).await,
        }
    }
}

/// Keeps what is shown of the container engine fresh, for ever.
pub(crate) async fn engine(shared: Arc<Shared>, vitals: Vitals) {
    loop {
        let asked = Instant::now();
        match timeout(PATIENCE, shared.engine.ping()).await {
            Ok(Ok(())) => vitals.docker.well(),
            Ok(Err(error)) => vitals.docker.unwell(error),
            Err(_) => vitals.docker.unwell(silence("the container engine")),
        }
        ENGINE.rest(asked, &vitals.docker).await;
    }
}

/// Keeps what is shown of the chain's node fresh, for ever.
pub(crate) async fn node(shared: Arc<Shared>, vitals: Vitals) {
    let mut counted = None;
    loop {
        let asked = Instant::now();
        // A block that the node pushed need not be asked for, as long as it answers something else.
        let pushed = shared.newest.header();
        let mut count = match pushed {
            Some(_) => count_transactions(&shared, counted).await,
            None => None,
        };
        let head = match pushed.filter(|_| count.is_some()) {
            Some(head) => Ok(Ok(head)),
            None => timeout(PATIENCE, shared.hub.node().head()).await,
        };
        let rhythm = match head {
            Ok(Ok(head)) => {
                shared.newest.learn(head.number);
                shared.metrics.head(head.number.0);
                vitals
                    .chain
                    .set(condition(&head, clock::now(), shared.block_time));
                if count.is_none() {
                    count = count_transactions(&shared, counted).await;
                }
                counted = count.or(counted);
                NODE
            }
            Ok(Err(error)) => {
                vitals.chain.unwell(error);
                NODE_AWAY
            }
            Err(_) => {
                vitals.chain.unwell(silence("the chain's node"));
                NODE_AWAY
            }
        };
        rhythm.rest(asked, &vitals.chain).await;
    }
}

fn silence(who: &str) -> String {
    format!("{who} has not answered for {} s", PATIENCE.as_secs())
}

/// The wallet's transactions, mined and with those that wait. What is mined is asked only when it can differ from what was last seen
/// (spec `worker.md` §3.6).
async fn count_transactions(shared: &Shared, seen: Option<(u64, u64)>) -> Option<(u64, u64)> {
    let (node, wallet) = (shared.hub.node(), shared.session.wallet());
    let pending = timeout(PATIENCE, node.pending_count(wallet))
        .await
        .ok()?
        .ok()?;
    let counted = match seen {
        Some((latest, before)) if latest == before && before == pending => (latest, pending),
        _ => {
            let latest = timeout(PATIENCE, node.transaction_count(wallet)).await;
            (latest.ok()?.ok()?, pending)
        }
    };
    shared.metrics.wallet(counted.0, counted.1);
    Some(counted)
}

/// A node that answers with old blocks is as good as none. The two clocks are compared, so their difference is worth seeing.
fn condition(head: &Block, now: Timestamp, block_time: Duration) -> Condition {
    let age = Duration::from_millis(now.millis().saturating_sub(head.timestamp.millis()));
    let most = STALE.0.max(block_time.saturating_mul(STALE.1));
    let condition = if age > most {
        Condition::out_of_service().with(
            "reason",
            format!(
                "the newest block is {} s old: the node is behind, or a clock is wrong",
                age.as_secs()
            ),
        )
    } else {
        Condition::up()
    };
    let shown = i128::from(now.millis()) - i128::from(head.timestamp.millis());
    condition
        .with("latestBlock", head.number.0)
        .with("latestBlockAgeMs", i64::try_from(shown).unwrap_or(i64::MAX))
}

#[cfg(test)]
pub(crate) mod tests {
    use chassis::health::Status;
    use poco::units::BlockNumber;

    use super::*;

    /// Block 7.
    pub(crate) fn block(timestamp: Timestamp) -> Block {
        Block {
            number: BlockNumber(7),
            timestamp,
            hash: Default::default(),
            parent: Default::default(),
            base_fee: None,
            gas_limit: 0,
        }
    }

    #[test]
    fn old_blocks_are_no_sign_of_life() {
        let now = Timestamp::from_secs(1_000);
        let shown = |seconds, block_time| {
            condition(
                &block(Timestamp::from_secs(seconds)),
                now,
                Duration::from_secs(block_time),
            )
        };
        assert_eq!(shown(999, 1).status, Status::Up);
        assert_eq!(shown(999, 1).details["latestBlockAgeMs"], 1_000);
        assert_eq!(shown(940, 1).status, Status::Up);
        assert_eq!(shown(939, 1).status, Status::OutOfService);
        assert_eq!(
            shown(939, 12).status,
            Status::Up,
            "blocks that take long may be older"
        );
        // A clock that is behind the chain's is seen, and stops nothing.
        let ahead = shown(1_300, 1);
        assert_eq!(ahead.status, Status::Up);
        assert_eq!(ahead.details["latestBlockAgeMs"], -300_000);
    }

    #[tokio::test(start_paused = true)]
    async fn who_looks_has_the_question_asked_sooner_and_never_too_often() {
        let vital = Vital::unknown();
        let rested = |looked: bool| {
            let vital = vital.clone();
            async move {
                let began = Instant::now();
                if looked {
                    let _ = vital.shown();
                }
                NODE.rest(began, &vital).await;
                began.elapsed()
            }
        };
        assert_eq!(rested(false).await, NODE.most);
        assert_eq!(rested(true).await, NODE.least);
        assert_eq!(rested(false).await, NODE.most, "one look is one question");
    }
}
