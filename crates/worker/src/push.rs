//! What the scheduler pushes: a WebSocket opened with the session's token, resumed after a break where it broke (`after`). A link on
//! which nothing comes for a while is dead (Q16) and is opened again. A scheduler that does not push is found out at registration; the
//! watch over the chain then takes its place. The original's SockJS is not spoken yet.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use tokio_util::sync::CancellationToken;
use wire::events::Event;
use wire::token::Token;

use crate::abort::Source;
use crate::patience::Pauses;
use crate::pipeline::Notice;
use crate::tasks::Tasks;

/// A link that is not open by then is given up: something may accept connections there and never answer.
const OPENING: Duration = Duration::from_secs(30);
/// We say something at least this often.
const BEAT: Duration = Duration::from_secs(15);
/// A link that is silent for so long is dead: our beats are answered.
const SILENCE: Duration = Duration::from_secs(45);

/// Listens until the worker stops.
pub async fn listen(tasks: Tasks, stop: CancellationToken) {
    tokio::select! {
        () = forever(&tasks) => {}
        () = stop.cancelled() => {}
    }
}

async fn forever(tasks: &Tasks) {
    let mut after = 0;
    let mut pauses = Pauses::between(Duration::from_millis(200), Duration::from_secs(10));
    loop {
        let before = after;
        let broke = link(tasks, &mut after).await;
        tasks.shared().pushed.store(false, Ordering::Relaxed);
        tracing::info!(
            reason = broke,
            after,
            "the scheduler's notices do not come at the moment"
        );
        if after > before {
            pauses = Pauses::between(Duration::from_millis(200), Duration::from_secs(10));
        }
        pauses.rest(None).await;
    }
}

/// One link, until it breaks; why it did.
async fn link(tasks: &Tasks, after: &mut u64) -> String {
    let session = &tasks.shared().session;
    let token = match session.token(None).await {
        Ok(token) => token,
        Err(error) => return error.to_string(),
    };
    let request = match request(tasks, &token, *after) {
        Ok(request) => request,
        Err(error) => return error,
    };
    let opening = tokio_tungstenite::connect_async(request);
    let opened = match tokio::time::timeout(OPENING, opening).await {
        Ok(opened) => opened,
        Err(_) => return format!("the link did not open within {} s", OPENING.as_secs()),
    };
    let socket = match opened {
        Ok((socket, _)) => socket,
        Err(SocketError::Http(answer)) if answer.status().as_u16() == 401 => {
            return match session.token(Some(&token)).await {
                Ok(_) => "a new login was needed".to_owned(),
                Err(error) => error.to_string(),
            };
        }
        Err(error) => return error.to_string(),
    };
    tasks.shared().pushed.store(true, Ordering::Relaxed);
    tracing::info!(after, "the scheduler's notices come");
    let (mut to, mut from) = socket.split();
    let mut beat = tokio::time::interval(BEAT);
    let mut silent_since = tokio::time::Instant::now();
    loop {
        tokio::select! {
            message = from.next() => {
                silent_since = tokio::time::Instant::now();
                match message {
                    Some(Ok(Message::Text(text))) => take(tasks, after, &text),
                    Some(Ok(Message::Close(_))) | None => return "the scheduler closed the link".to_owned(),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return error.to_string(),
                }
            }
            _ = beat.tick() => {
                if silent_since.elapsed() > SILENCE {
                    return format!("nothing came for {} s", SILENCE.as_secs());
                }
                if let Err(error) = to.send(Message::Ping(Vec::new().into())).await {
                    return error.to_string();
                }
            }
        }
    }
}

fn request(
    tasks: &Tasks,
    token: &Token,
    after: u64,
) -> Result<tokio_tungstenite::tungstenite::handshake::client::Request, String> {
    let url = tasks
        .shared()
        .session
        .client()
        .events_url(after)
        .map_err(|error| error.to_string())?;
    let mut request = url
        .as_str()
        .into_client_request()
        .map_err(|error| error.to_string())?;
    let value = HeaderValue::from_str(&format!("Bearer {}", token.reveal()))
        .map_err(|error| error.to_string())?;
    request.headers_mut().insert("authorization", value);
    Ok(request)
}

fn take(tasks: &Tasks, after: &mut u64, text: &str) {
    let event: Event = match serde_json::from_str(text) {
        Ok(event) => event,
        Err(error) => {
            tracing::warn!(%error, "a notice is not understood");
            return;
        }
    };
    // A scheduler that lost its numbers begins again with low ones.
    *after = event.seq;
    let notification = event.notification;
    if !notification.concerns(tasks.shared().session.wallet()) {
        return;
    }
    let (task, ask) = (
        notification.chain_task_id,
        notification.task_notification_type,
    );
    let notice = Notice {
        ask,
        extra: notification.task_notification_extra,
        source: Source::Events,
    };
    if !tasks.tell(task, notice) {
        tracing::debug!(%task, %ask, "a notice about a task that is not worked on");
    }
}
