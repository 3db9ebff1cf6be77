//! The WebSocket transport, where the operator allows it: frames are text messages both ways.

use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts as _, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use wire::sockjs::session::{Next, Refused, Transport};
use wire::sockjs::{self, Close, HEARTBEAT};

use super::{LONGEST_BODY, hear};
use crate::api::Api;
use crate::push::{NotServed, Receiving};

pub(super) async fn serve(api: Arc<Api>, session: String, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &api).await {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    let receiving = match api.push.take(&session, Transport::WebSocket) {
        Ok(receiving) => receiving,
        Err(NotServed::Full) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Err(NotServed::Session(Refused::OtherTransport | Refused::Told(_))) => {
            return StatusCode::NOT_FOUND.into_response();
        }
    };
    let running = api.running.token();
    upgrade
        .max_message_size(LONGEST_BODY)
        // Room is made for a frame on the word of its head alone.
        .max_frame_size(LONGEST_BODY)
        .on_upgrade(async move |socket| {
            if let Err(error) = converse(&api, &receiving, socket).await {
                tracing::debug!(session, %error, "a push session's WebSocket broke");
            }
            drop(running);
        })
}

async fn converse(
    api: &Api,
    receiving: &Receiving,
    mut socket: WebSocket,
) -> Result<(), axum::Error> {
    loop {
        loop {
            match receiving.next() {
                Next::Frame(frame) => {
                    socket.send(Message::Text(frame.into())).await?;
                }
                Next::Beat => socket.send(Message::Text(HEARTBEAT.into())).await?,
                Next::Last(frame) => {
                    socket.send(Message::Text(frame.into())).await?;
                    return socket.send(Message::Close(None)).await;
                }
                Next::Nothing => break,
            }
        }
        tokio::select! {
            () = receiving.something() => {}
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) if text.is_empty() => {}
                Some(Ok(Message::Text(text))) => match sockjs::received(&text) {
                    Ok(texts) => hear(api, receiving.line(), &texts).await,
                    Err(_) => receiving.line().end(Close::PROTOCOL_ERROR),
                },
                Some(Ok(Message::Close(_))) | None => return Ok(()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
            },
        }
    }
}
