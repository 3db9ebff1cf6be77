//! Thousands of listeners of one task, and when each of them heard of it.

use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::{StreamExt as _, stream};
use poco::ids::TaskId;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::listener::{ListenError, Listener};

/// Sessions opened at a time.
const AT_ONCE: usize = 64;

/// Listeners that have subscribed.
#[derive(Debug)]
pub struct Audience(Vec<Listener>);

/// When a notification was heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// When each listener heard it, in milliseconds since 1970, the earliest first.
    pub at_ms: Vec<u64>,
    /// Sessions that broke before they heard anything.
    pub broken: usize,
}

impl Audience {
    /// Opens `count` sessions that listen to `task`.
    ///
    /// # Errors
    /// The first session that does not open.
    pub async fn gather(scheduler: &Url, task: TaskId, count: usize) -> Result<Self, ListenError> {
        let client = reqwest::Client::builder()
            .pool_max_idle_per_host(AT_ONCE)
            .build()?;
        let opened: Vec<_> = stream::iter(0..count)
            .map(|_| async {
                let mut listener = Listener::open(&client, scheduler).await?;
                listener.subscribe(task).await?;
                Ok(listener)
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let listeners: Result<Vec<_>, ListenError> = opened.into_iter().collect();
        Ok(Self(listeners?))
    }

    /// Waits until each has heard one notification, or broke.
    pub async fn hear(self) -> Heard {
        let mut waiting: stream::FuturesUnordered<_> = self
            .0
            .into_iter()
            .map(|mut listener| async move {
                let heard = listener.arrival().await;
                (heard.is_ok().then(now_ms), listener)
            })
            .collect();
        let (mut at_ms, mut broken, mut kept) = (Vec::new(), 0, Vec::new());
        while let Some((heard, listener)) = waiting.next().await {
            match heard {
                Some(at) => at_ms.push(at),
                None => broken += 1,
            }
            // Closing a connection takes time that the others would wait for.
            kept.push(listener);
        }
        at_ms.sort_unstable();
        Heard { at_ms, broken }
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
