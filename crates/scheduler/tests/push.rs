//! The push channel of the original over real sockets: what a Java worker sends, and every byte that it is sent (spec scheduler-api §7).

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at once on what cannot happen"
)]

mod support;

use alloy_primitives::B256;
use futures_util::{SinkExt as _, StreamExt as _};
use poco::ids::TaskId;
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use support::{Answer, World};
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::tungstenite::Message;

const SESSION: &str = "/connect/282/cce7356a76e04d568081cec33b0f2b68";
const CONNECT: &str = "CONNECT\nheart-beat:10000,10000\naccept-version:1.1,1.2\n\n\0";
const CONNECTED: &str = "a[\"CONNECTED\\nversion:1.2\\nheart-beat:0,0\\n\\n\\u0000\"]\n";

/// A response that goes on.
struct Stream {
    response: Response,
    read: String,
}

impl Stream {
    async fn open(world: &World, path: &str, method: Method) -> Self {
        let url = format!("{}{path}", world.base);
        let request = Client::new().request(method, url).send();
        Self {
            response: request.await.unwrap(),
            read: String::new(),
        }
    }

    /// Up to and with the next `end`; what there is when the response ends first.
    async fn until(&mut self, end: &str) -> String {
        let next = async {
            loop {
                if let Some(at) = self.read.find(end) {
                    let rest = self.read.split_off(at + end.len());
                    return std::mem::replace(&mut self.read, rest);
                }
                match self.response.chunk().await.unwrap() {
                    Some(bytes) => self.read.push_str(std::str::from_utf8(&bytes).unwrap()),
                    None => return std::mem::take(&mut self.read),
                }
            }
        };
        tokio::time::timeout(support::PATIENCE, next).await.unwrap()
    }

    /// The next frame that is no sign of life.
    async fn frame(&mut self) -> String {
        loop {
            let line = self.until("\n").await;
            if line != "h\n" {
                return line;
            }
        }
    }
}

async fn streaming(world: &World) -> Stream {
    let mut stream = Stream::open(world, &format!("{SESSION}/xhr_streaming"), Method::POST).await;
    assert_eq!(stream.response.status(), 200);
    assert_eq!(stream.until("\n").await, "h".repeat(2048) + "\n");
    stream
}

async fn send(world: &World, frames: &[&str]) -> Answer {
    let body = json!(frames).to_string();
    let path = format!("{SESSION}/xhr_send");
    world.call(Method::POST, &path, &[], Some(&body)).await
}

fn subscribe(task: TaskId, id: u32) -> String {
    format!("SUBSCRIBE\ndestination:/topic/task/{task}\nid:{id}\n\n\0")
}

/// What a `MESSAGE` frame says, and its headers.
fn message(frame: &str) -> (String, Value) {
    let texts: Vec<String> = serde_json::from_str(frame.trim_start_matches('a')).unwrap();
    let (head, body) = texts[0].split_once("\n\n").unwrap();
    let json = serde_json::from_str(body.trim_end_matches('\0')).unwrap();
    (head.to_owned(), json)
}

#[tokio::test]
async fn a_java_worker_s_session_from_info_to_the_notice_that_it_waits_for() {
    let world = World::new().await;
    let info = world.get("/connect/info").await;
    assert_eq!(
        info.header("content-type"),
        Some("application/json;charset=UTF-8")
    );
    let no_cache = "no-store, no-cache, must-revalidate, max-age=0";
    assert_eq!(info.header("cache-control"), Some(no_cache));
    assert_eq!(info.header("pragma"), None);
    let shape = without_its_number(&info.text);
    assert_eq!(
        shape,
        r#"{"entropy":N,"origins":["*:*"],"cookie_needed":true,"websocket":false}"#
    );

    let mut stream = streaming(&world).await;
    let header = |name: &str| stream.response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(
        header("content-type"),
        "application/javascript;charset=UTF-8"
    );
    assert_eq!(header("cache-control"), no_cache);
    assert_eq!(header("transfer-encoding"), "chunked");
    assert_eq!(stream.until("\n").await, "o\n");
    let sent = send(&world, &[CONNECT]).await;
    assert_eq!((sent.status.as_u16(), sent.text.as_str()), (204, ""));
    assert_eq!(
        sent.header("content-type"),
        Some("text/plain;charset=UTF-8")
    );
    assert_eq!(stream.frame().await, CONNECTED);

    let worker = world.registered(1).await;
    let task = support::contributed(&world, &worker).await;
    assert_eq!(send(&world, &[&subscribe(task, 0)]).await.status, 204);
    let block = world.node.consensus(task, B256::repeat_byte(1));
    let frame = stream.frame().await;
    let (head, said) = message(&frame);
    let expected = json!({
        "chainTaskId": task, "workersAddress": [worker.wallet()], "taskNotificationType": "PLEASE_REVEAL",
        "taskNotificationExtra": {"workerpoolAuthorization": null, "smsUrl": null, "blockNumber": block, "taskAbortCause": null},
    });
    assert_eq!(said, expected);
    assert_eq!(
        head,
        format!(
            "MESSAGE\ndestination:/topic/task/{task}\ncontent-type:application/json\nsubscription:0\nmessage-id:cce7356a76e04d568081cec33b0f2b68-0\ncontent-length:{}",
            said.to_string().len()
        )
    );
    assert_eq!(
        send(&world, &["UNSUBSCRIBE\nid:0\n\n\0", "\n"])
            .await
            .status,
        204
    );
}

/// The text of `/connect/info` with `N` for its number.
fn without_its_number(text: &str) -> String {
    let (before, after) = text.split_once(':').unwrap();
    let (number, after) = after.split_once(',').unwrap();
    number.parse::<i32>().unwrap();
    format!("{before}:N,{after}")
}

#[tokio::test]
async fn a_response_ends_after_many_bytes_and_the_next_one_goes_on_without_opening_again() {
    let world = World::new().await;
    let mut stream = streaming(&world).await;
    stream.frame().await;
    send(&world, &[CONNECT]).await;
    stream.frame().await;
    // An answer of 60 kB to each.
    let long = "x".repeat(60_000);
    for _ in 0..4 {
        send(&world, &[&format!("SEND\nreceipt:{long}\n\n\0")]).await;
    }
    for _ in 0..3 {
        assert!(stream.frame().await.contains("RECEIPT"));
    }
    assert_eq!(stream.frame().await, "", "the response ended");
    let mut stream = streaming(&world).await;
    assert!(stream.frame().await.contains("RECEIPT"));
}

#[tokio::test]
async fn one_request_at_a_time_takes_messages_and_the_end_is_told() {
    let mut world = World::new().await;
    let mut stream = streaming(&world).await;
    assert_eq!(stream.frame().await, "o\n");
    let mut second = streaming(&world).await;
    assert_eq!(
        second.frame().await,
        "c[2010,\"Another connection still open\"]\n"
    );
    assert_eq!(second.frame().await, "");
    let polling = world
        .call(Method::POST, &format!("{SESSION}/xhr"), &[], None)
        .await;
    assert_eq!(polling.status, 404);
    world.stop().await;
    assert_eq!(stream.frame().await, "c[1001,\"\"]\n");
    assert_eq!(stream.frame().await, "");
}

#[tokio::test]
async fn a_client_that_breaks_the_protocol_is_told_and_left() {
    let world = World::new().await;
    let mut stream = streaming(&world).await;
    stream.frame().await;
    assert_eq!(send(&world, &["NONSENSE\n\n\0"]).await.status, 204);
    let frame = stream.frame().await;
    assert!(
        frame.starts_with("a[\"ERROR\\nmessage:unknown command"),
        "{frame}"
    );
    assert_eq!(stream.frame().await, "c[1002,\"\"]\n");
    assert_eq!(stream.frame().await, "");
    let mut again = streaming(&world).await;
    assert_eq!(again.frame().await, "c[3000,\"Go away!\"]\n");
}

#[tokio::test]
async fn messages_can_be_fetched_one_response_at_a_time() {
    let world = World::new().await;
    let path = format!("{SESSION}/xhr");
    let poll = async || world.call(Method::POST, &path, &[], None).await.text;
    assert_eq!(poll().await, "o\n");
    send(&world, &[CONNECT, "SEND\nreceipt:1\n\n\0"]).await;
    let both = poll().await;
    assert!(
        both.contains("CONNECTED") && both.contains("RECEIPT"),
        "{both}"
    );
    assert_eq!(both.lines().count(), 1);
    assert_eq!(poll().await, "h\n", "a sign of life ends the response");
}

#[tokio::test]
async fn messages_come_as_server_sent_events_too() {
    let world = World::new().await;
    let mut stream = Stream::open(&world, &format!("{SESSION}/eventsource"), Method::GET).await;
    let kind = stream.response.headers()["content-type"].to_str().unwrap();
    assert_eq!(kind, "text/event-stream;charset=UTF-8");
    assert_eq!(stream.until("\r\n\r\n").await, "\r\ndata: o\r\n\r\n");
    send(&world, &[CONNECT]).await;
    let frame = stream.until("\r\n\r\n").await;
    assert_eq!(frame, format!("data: {}\r\n\r\n", CONNECTED.trim_end()));
}

#[tokio::test]
async fn a_websocket_is_a_transport_where_the_operator_says_so() {
    let world = World::with(&[("WORKERPOOL_SCHEDULER_PUSH_WEBSOCKET", "true")]).await;
    assert!(
        world
            .get("/connect/info")
            .await
            .text
            .contains("\"websocket\":true")
    );
    let url = format!("{}{SESSION}/websocket", world.base.replace("http", "ws"));
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let mut next = async || socket.next().await.unwrap().unwrap().into_text().unwrap();
    assert_eq!(next().await.as_str(), "o");
    let connect = json!([CONNECT]).to_string();
    socket.send(Message::text(connect)).await.unwrap();
    let answer = socket.next().await.unwrap().unwrap().into_text().unwrap();
    assert_eq!(answer.as_str(), CONNECTED.trim_end());
}

#[tokio::test]
async fn no_room_is_made_for_a_message_that_is_too_long_to_be_taken() {
    let world = World::with(&[("WORKERPOOL_SCHEDULER_PUSH_WEBSOCKET", "true")]).await;
    let url = format!("{}{SESSION}/websocket", world.base.replace("http", "ws"));
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    assert!(socket.next().await.unwrap().is_ok());
    // The head of a masked text frame of a MiB, and nothing of the frame itself.
    let head = [0x81, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0, 1, 2, 3, 4];
    socket.get_mut().write_all(&head).await.unwrap();
    // Not a sign of life, which comes to whoever is waited for.
    let answer = tokio::time::timeout(support::PATIENCE, socket.next()).await;
    assert!(matches!(
        answer,
        Ok(None | Some(Err(_) | Ok(Message::Close(_))))
    ));
}

#[tokio::test]
async fn what_is_no_part_of_the_endpoint_is_answered_as_the_original_does() {
    let world = World::new().await;
    let post = Method::POST;
    let rows: &[(Method, &str, Option<&str>, u16, &str)] = &[
        (Method::GET, "/connect", None, 200, "Welcome to SockJS!\n"),
        (Method::GET, "/connect/", None, 200, "Welcome to SockJS!\n"),
        (Method::GET, "/connect/websocket", None, 200, ""),
        (Method::OPTIONS, "/connect/info", None, 204, ""),
        (Method::GET, "/connect/1/a/websocket", None, 404, ""),
        (post.clone(), "/connect/1/a/htmlfile", None, 404, ""),
        (post.clone(), "/connect/1/a.b/xhr_streaming", None, 404, ""),
        (
            post.clone(),
            "/connect/1/unknown/xhr_send",
            Some("[\"x\"]"),
            404,
            "",
        ),
        (
            post.clone(),
            &format!("{SESSION}/xhr_send"),
            None,
            500,
            "Payload expected.",
        ),
        (
            post.clone(),
            &format!("{SESSION}/xhr_send"),
            Some("[1]"),
            500,
            "Broken JSON encoding.",
        ),
        (
            post.clone(),
            &format!("{SESSION}/xhr_send"),
            Some("[]"),
            204,
            "",
        ),
    ];
    let _stream = streaming(&world).await;
    for (method, path, body, status, text) in rows {
        let answer = world.call(method.clone(), path, &[], *body).await;
        assert_eq!(answer.status.as_u16(), *status, "{method} {path}");
        assert_eq!(answer.text, *text, "{method} {path}");
    }
    for (method, path, allowed) in [
        (post, "/connect/info", "GET,OPTIONS"),
        (Method::GET, "/connect/1/a/xhr_send", "POST"),
        (Method::POST, "/connect/1/a/eventsource", "GET"),
    ] {
        let answer = world.call(method, path, &[], None).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.header("allow"), Some(allowed), "{path}");
    }
}

#[tokio::test]
async fn pages_of_other_sites_may_not_connect() {
    let world = World::new().await;
    let own = world.base.clone();
    for (origin, status) in [
        ("https://example.org", 403),
        ("null", 403),
        (own.as_str(), 200),
    ] {
        let answer = world
            .call(Method::GET, "/connect/info", &[("Origin", origin)], None)
            .await;
        assert_eq!(answer.status.as_u16(), status, "{origin}");
        assert_eq!(
            answer.header("access-control-allow-origin"),
            None,
            "{origin}"
        );
    }
}

#[tokio::test]
async fn there_are_never_more_sessions_than_the_operator_allows() {
    let world = World::with(&[("WORKERPOOL_SCHEDULER_PUSH_SESSIONS", "1")]).await;
    let _stream = streaming(&world).await;
    let second = world
        .call(Method::POST, "/connect/1/other/xhr_streaming", &[], None)
        .await;
    assert_eq!(second.status, 503);
    assert_eq!(second.header("retry-after"), None);
}
