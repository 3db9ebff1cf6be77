//! `GET /workers/events?after=<seq>`: notices over a WebSocket, resumable (our own feature `events`).
//!
//! Each text frame is one event. What the worker missed since `after` comes first; when that is not kept any more, or nothing
//! was ever seen, the newest come from the store and the engine tells it again what it needs to know now.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::Address;
use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::get;
use chassis::extract::Query;
use engine::Input;
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use wire::features::Features;

use super::{Api, ApiError, Worker, granting};
use crate::notices::Told;

/// A sign of life on a silent connection, so that both ends notice when it broke.
const PING: Duration = Duration::from_secs(20);
/// What workers send is only signs of life.
const LONGEST_MESSAGE: usize = 4096;

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route(wire::events::PATH, get(events))
}

#[derive(Deserialize)]
pub(super) struct After {
    #[serde(default)]
    pub(super) after: u64,
}

async fn events(
    State(api): State<Arc<Api>>,
    Worker(worker): Worker,
    Query(After { after }): Query<After>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let running = api.running.token();
    let response = upgrade
        .max_message_size(LONGEST_MESSAGE)
        .max_frame_size(LONGEST_MESSAGE)
        .on_upgrade(move |socket| async move {
            let shutdown = api.shutdown.clone();
            let stream = Stream {
                api,
                worker,
                socket,
                seen: after,
            };
            tokio::select! {
                () = shutdown.triggered() => {}
                ended = stream.serve() => {
                    if let Err(error) = ended {
                        tracing::debug!(worker = %worker, ?error, "a worker's event stream ended");
                    }
                }
            }
            drop(running);
        });
    granting(
        Features {
            events: true,
            ..Features::NONE
        },
        response,
    )
}

struct Stream {
    api: Arc<Api>,
    worker: Address,
    socket: WebSocket,
    /// The newest number that was sent, or passed over because it is not for this worker.
    seen: u64,
}

/// Why a stream ended.
#[derive(Debug)]
#[expect(dead_code, reason = "shown in the log")]
enum Ended {
    Socket(axum::Error),
    Api(ApiError),
}

impl Stream {
    async fn serve(mut self) -> Result<(), Ended> {
        // Listening begins before the store is read, so that nothing falls between.
        let mut pushed = self.api.notices.listen();
        self.catch_up().await?;
        let mut ping = tokio::time::interval(PING);
        ping.reset();
        loop {
            tokio::select! {
                told = pushed.recv() => match told {
                    Ok(told) => self.send(&told).await?,
                    Err(RecvError::Lagged(_)) => self.catch_up().await?,
                    Err(RecvError::Closed) => return Ok(()),
                },
                message = self.socket.recv() => match message {
                    Some(Ok(Message::Close(_))) | None => return Ok(()),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(Ended::Socket(error)),
                },
                _ = ping.tick() => {
                    self.socket.send(Message::Ping(Vec::new().into())).await.map_err(Ended::Socket)?;
                }
            }
        }
    }

    async fn catch_up(&mut self) -> Result<(), Ended> {
        let missed = self.api.notices.missed(self.worker, self.seen).await;
        let missed = missed.map_err(|error| Ended::Api(error.into()))?;
        if !missed.complete {
            // Whatever was counted, it was not by this database.
            self.seen = 0;
        }
        for told in &missed.told {
            self.send(told).await?;
        }
        self.seen = self.seen.max(missed.up_to);
        if !missed.complete {
            let worker = self.worker;
            let told = self.api.inbox.tell(Input::Listens { worker }).await;
            told.map_err(|error| Ended::Api(error.into()))?;
        }
        Ok(())
    }

    async fn send(&mut self, told: &Told) -> Result<(), Ended> {
        let seq = told.event.seq;
        if seq <= self.seen {
            return Ok(());
        }
        self.seen = seq;
        if !told.concerns(self.worker) {
            return Ok(());
        }
        match serde_json::to_string(told.event.as_ref()) {
            Ok(text) => self
                .socket
                .send(Message::Text(text.into()))
                .await
                .map_err(Ended::Socket),
            Err(error) => Err(Ended::Api(ApiError::internal(&error, wire::events::PATH))),
        }
    }
}
