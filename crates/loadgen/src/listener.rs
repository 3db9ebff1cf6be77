//! A Java worker's side of the push channel: a SockJS session over `xhr_streaming`, with STOMP in it (spec scheduler-api §7).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use poco::ids::TaskId;
use reqwest::{Client, Response, StatusCode};
use url::Url;
use wire::message::TaskNotification;
use wire::sockjs::{self, HEARTBEAT, OPEN, PRELUDE_LETTERS};
use wire::stomp::{Command, Decoder, Frame};

/// Silence after which a session counts as broken: three signs of life that did not come.
const SILENCE: Duration = Duration::from_secs(15);

/// Why a session is over.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The connection broke, or was never made.
    #[error("the connection broke: {0}")]
    Connection(#[from] reqwest::Error),
    /// The server says no.
    #[error("{0} is answered {1}")]
    Refused(&'static str, StatusCode),
    /// The server ended the session.
    #[error("the session was ended: {0}")]
    Ended(String),
    /// Nothing was heard, not even a sign of life.
    #[error("nothing was heard for {} s", SILENCE.as_secs())]
    Silent,
    /// What came is no SockJS or no STOMP.
    #[error("not understood: {0}")]
    NotUnderstood(String),
}

/// A session.
#[derive(Debug)]
pub struct Listener {
    client: Client,
    session: String,
    stream: Response,
    unread: String,
    frames: Decoder,
    subscriptions: u32,
}

impl Listener {
    /// Opens a session and waits until it may subscribe.
    ///
    /// # Errors
    /// When it does not come to that.
    pub async fn open(client: &Client, scheduler: &Url) -> Result<Self, ListenError> {
        let session = format!("{}connect/{}", scheduler, fresh());
        let stream = open_stream(client, &session).await?;
        let mut listener = Self {
            client: client.clone(),
            session,
            stream,
            unread: String::new(),
            frames: Decoder::default(),
            subscriptions: 0,
        };
        match listener.line().await? {
            Some(line) if line == OPEN => {}
            other => {
                return Err(ListenError::NotUnderstood(format!(
                    "{other:?} for the open frame"
                )));
            }
        }
        let connect = Frame::new(Command::Connect)
            .with("heart-beat", "10000,10000")
            .with("accept-version", "1.1,1.2");
        listener.send(&connect).await?;
        let answer = listener.frame().await?;
        if answer.command == Command::Connected {
            Ok(listener)
        } else {
            Err(ListenError::Ended(answer.to_string()))
        }
    }

    /// Listens to a task's topic.
    ///
    /// # Errors
    /// When the session is over.
    pub async fn subscribe(&mut self, task: TaskId) -> Result<(), ListenError> {
        let frame = Frame::new(Command::Subscribe)
            .with("destination", format!("/topic/task/{task}"))
            .with("id", self.subscriptions.to_string());
        self.subscriptions += 1;
        self.send(&frame).await
    }

    /// Waits for the next notification.
    ///
    /// # Errors
    /// When the session is over.
    pub async fn next(&mut self) -> Result<TaskNotification, ListenError> {
        loop {
            let frame = self.frame().await?;
            match frame.command {
                Command::Message => {
                    return serde_json::from_str(&frame.body)
                        .map_err(|error| ListenError::NotUnderstood(error.to_string()));
                }
                Command::Error => return Err(ListenError::Ended(frame.to_string())),
                _ => {}
            }
        }
    }

    async fn send(&self, frame: &Frame) -> Result<(), ListenError> {
        let request = self.client.post(format!("{}/xhr_send", self.session));
        let answer = request.json(&[frame.to_string()]).send().await?;
        match answer.status() {
            StatusCode::NO_CONTENT => Ok(()),
            status => Err(ListenError::Refused("xhr_send", status)),
        }
    }

    async fn frame(&mut self) -> Result<Frame, ListenError> {
        let not_understood =
            |error: &dyn std::fmt::Display| ListenError::NotUnderstood(error.to_string());
        loop {
            if let Some(frame) = self
                .frames
                .next_frame()
                .map_err(|error| not_understood(&error))?
            {
                return Ok(frame);
            }
            let Some(line) = self.line().await? else {
                // The response was long enough; the next one goes on.
                self.stream = open_stream(&self.client, &self.session).await?;
                continue;
            };
            if line == HEARTBEAT {
                continue;
            }
            let Some(messages) = line.strip_prefix('a') else {
                return Err(ListenError::Ended(line));
            };
            for text in sockjs::received(messages).map_err(|error| not_understood(&error))? {
                self.frames
                    .push(&text)
                    .map_err(|error| not_understood(&error))?;
            }
        }
    }

    /// The next line that is no prelude; `None` at the end of the response.
    async fn line(&mut self) -> Result<Option<String>, ListenError> {
        loop {
            if let Some((line, rest)) = self.unread.split_once('\n') {
                let line = line.to_owned();
                self.unread = rest.to_owned();
                if line.len() == PRELUDE_LETTERS && line.starts_with('h') {
                    continue;
                }
                return Ok(Some(line));
            }
            let chunk = tokio::time::timeout(SILENCE, self.stream.chunk()).await;
            match chunk.map_err(|_| ListenError::Silent)?? {
                Some(bytes) => self.unread.push_str(&String::from_utf8_lossy(&bytes)),
                None => return Ok(None),
            }
        }
    }
}

async fn open_stream(client: &Client, session: &str) -> Result<Response, ListenError> {
    let answer = client
        .post(format!("{session}/xhr_streaming"))
        .send()
        .await?;
    match answer.status() {
        StatusCode::OK => Ok(answer),
        status => Err(ListenError::Refused("xhr_streaming", status)),
    }
}

/// A server number and a session id that nobody else has.
pub(crate) fn fresh() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let process = u64::from(std::process::id());
    format!("{}/{process:016x}{number:016x}", number % 1000)
}
