//! Thousands of listeners of some tasks, and when each of them heard of its own. Each is one connection, read without a look at more than it must
//! see: a load generator that takes part of the scheduler's processor measures itself.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::{StreamExt as _, stream};
use poco::ids::TaskId;
use reqwest::{Client, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use url::Url;
use wire::stomp::{Command, Frame};

use crate::listener::{ListenError, fresh};

/// Sessions opened at a time.
const AT_ONCE: usize = 64;

/// Listeners that have subscribed.
#[derive(Debug)]
pub struct Audience {
    ears: Vec<Ear>,
    /// How many tasks they listen to.
    tasks: usize,
}

/// When notifications were heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// For each task, in the order given: when each of its listeners heard of it, in milliseconds since 1970.
    pub at_ms: Vec<Vec<u64>>,
    /// Sessions that broke before they heard anything.
    pub broken: usize,
}

impl Audience {
    /// Opens `count` sessions that listen to `tasks`, each to one of them in turn, of the scheduler at `address`, which is also at `scheduler`.
    ///
    /// # Errors
    /// The first session that does not open.
    pub async fn gather(
        scheduler: &Url,
        address: SocketAddr,
        tasks: &[TaskId],
        count: usize,
    ) -> Result<Self, ListenError> {
        let client = Client::builder().pool_max_idle_per_host(AT_ONCE).build()?;
        let in_turn = tasks.iter().copied().enumerate().cycle().take(count);
        let opened: Vec<_> = stream::iter(in_turn)
            .map(|which| Ear::open(&client, scheduler, address, which))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let ears: Result<Vec<_>, ListenError> = opened.into_iter().collect();
        Ok(Self {
            ears: ears?,
            tasks: tasks.len(),
        })
    }

    /// Waits until each has heard one notification, or broke.
    pub async fn hear(self) -> Heard {
        let mut waiting: stream::FuturesUnordered<_> = self
            .ears
            .into_iter()
            .map(|mut ear| async move {
                let heard = ear.until(b"MESSAGE").await;
                (heard.is_ok().then(now_ms), ear)
            })
            .collect();
        let mut at_ms = vec![Vec::new(); self.tasks];
        let (mut broken, mut kept) = (0, Vec::new());
        while let Some((heard, ear)) = waiting.next().await {
            match (heard, at_ms.get_mut(ear.task)) {
                (Some(at), Some(of_task)) => of_task.push(at),
                _ => broken += 1,
            }
            // Closing a connection takes time that the others would wait for.
            kept.push(ear);
        }
        Heard { at_ms, broken }
    }
}

/// A session's stream.
#[derive(Debug)]
struct Ear {
    stream: TcpStream,
    /// Which of the tasks it listens to.
    task: usize,
}

impl Ear {
    async fn open(
        client: &Client,
        scheduler: &Url,
        address: SocketAddr,
        (number, task): (usize, TaskId),
    ) -> Result<Self, ListenError> {
        let session = fresh();
        let stream = TcpStream::connect(address).await.map_err(broke)?;
        let mut ear = Self {
            stream,
            task: number,
        };
        let request = format!(
            "POST /connect/{session}/xhr_streaming HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n"
        );
        let sent = ear.stream.write_all(request.as_bytes());
        sent.await.map_err(broke)?;
        ear.until(b"\no\n").await?;
        let connect = Frame::new(Command::Connect).with("accept-version", "1.2");
        let subscribe = Frame::new(Command::Subscribe)
            .with("destination", format!("/topic/task/{task}"))
            .with("id", "0");
        let answer = client
            .post(format!("{scheduler}connect/{session}/xhr_send"))
            .json(&[connect.to_string(), subscribe.to_string()])
            .send()
            .await?;
        if answer.status() != StatusCode::NO_CONTENT {
            return Err(ListenError::Refused("xhr_send", answer.status()));
        }
        ear.until(b"CONNECTED").await?;
        Ok(ear)
    }

    /// Reads until these bytes have come.
    async fn until(&mut self, wanted: &[u8]) -> Result<(), ListenError> {
        let mut seen = Vec::new();
        loop {
            let read = self.stream.read_buf(&mut seen).await.map_err(broke)?;
            if read == 0 {
                return Err(ListenError::Ended("the response ended".to_owned()));
            }
            if seen.windows(wanted.len()).any(|part| part == wanted) {
                return Ok(());
            }
            // What is wanted may come in two parts.
            let kept = seen.len().saturating_sub(wanted.len());
            seen.drain(..kept);
        }
    }
}

fn broke(error: std::io::Error) -> ListenError {
    ListenError::Ended(error.to_string())
}

fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
