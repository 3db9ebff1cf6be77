//! The push channel with the ears of Spring's client: whatever that would not take fails the test (spec scheduler-api §7.3, §7.6).

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use poco::ids::TaskId;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::{self, World};
use crate::worker::Variant;

/// Longest frame of Spring's STOMP peers, in bytes.
const LONGEST: usize = 64 * 1024;

/// One SockJS session of a Java worker.
pub(crate) struct Channel {
    url: String,
    variant: Variant,
    heard: watch::Receiver<Heard>,
    /// Ends the connection, as a worker that is killed does.
    listening: tokio::task::JoinHandle<()>,
}

/// What came, without signs of life.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard {
    /// Bodies of `MESSAGE` frames, with the session's name for the subscription.
    pub(crate) messages: Vec<(String, String)>,
    /// Other frames, headers and all.
    pub(crate) others: Vec<String>,
    /// Signs of life.
    pub(crate) heartbeats: usize,
    /// The response's end, and the close frame before it if there was one.
    pub(crate) ended: Option<Option<String>>,
}

impl Drop for Channel {
    fn drop(&mut self) {
        let is_broken = self.listening.is_finished() && self.heard.borrow().ended.is_none();
        self.listening.abort();
        assert!(
            !is_broken || std::thread::panicking(),
            "something came that Java would not take"
        );
    }
}

impl Channel {
    /// Asks for `/connect/info`, opens the stream and connects, with the requests of a Java worker.
    pub(crate) async fn open(world: &World, variant: Variant, session: &str) -> Self {
        let client = reqwest::Client::new();
        let info = client
            .get(format!("{}/connect/info", world.base))
            .header("Accept-Encoding", "gzip, x-gzip, deflate")
            .header("User-Agent", variant.streaming_agent())
            .send()
            .await
            .unwrap();
        assert_eq!(info.status(), 200);
        // Spring takes WebSockets for available unless it finds this.
        assert!(info.text().await.unwrap().contains("\"websocket\":false"));

        let url = format!("{}/connect/379/{session}", world.base);
        let stream = client
            .post(format!("{url}/xhr_streaming"))
            .header("Accept-Encoding", "gzip, x-gzip, deflate")
            .header("Content-Length", "0")
            .header("User-Agent", variant.streaming_agent())
            .send()
            .await
            .unwrap();
        assert_eq!(stream.status(), 200);
        assert_eq!(stream.headers().get("content-encoding"), None);
        assert_eq!(
            stream.headers()["content-type"],
            "application/javascript;charset=UTF-8"
        );
        let (sender, heard) = watch::channel(Heard::default());
        let listening = tokio::spawn(listen(stream, Arc::new(sender)));
        let channel = Self {
            url,
            variant,
            heard,
            listening,
        };
        channel
            .say("CONNECT\nheart-beat:10000,10000\naccept-version:1.1,1.2\n\n\0")
            .await;
        let connected = channel.hears(|heard| heard.others.first().cloned()).await;
        assert_eq!(connected, "CONNECTED\nversion:1.2\nheart-beat:0,0\n\n");
        channel
    }

    /// Sends one frame, chunked as Apache's client sends it.
    pub(crate) async fn say(&self, frame: &str) {
        let body = json!([frame]).to_string();
        let (first, rest) = body.split_at(1);
        let pieces: Vec<Result<_, std::io::Error>> =
            vec![Ok(first.to_owned()), Ok(rest.to_owned())];
        let answer = reqwest::Client::new()
            .post(format!("{}/xhr_send", self.url))
            .header("Content-Type", "application/json")
            .header("User-Agent", self.variant.streaming_agent())
            .body(reqwest::Body::wrap_stream(futures_util::stream::iter(
                pieces,
            )))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 204, "Spring takes nothing else");
        assert_eq!(answer.headers().get("content-length"), None);
    }

    pub(crate) async fn subscribe(&self, task: TaskId, id: u32) {
        self.say(&format!(
            "SUBSCRIBE\ndestination:/topic/task/{task}\nid:{id}\n\n\0"
        ))
        .await;
        // Frames are taken in order, so once this is answered the subscription stands.
        let receipt = format!("r{id}-{task}");
        self.say(&format!("SEND\nreceipt:{receipt}\n\n\0")).await;
        self.hears(|heard| {
            let mut others = heard.others.iter();
            others.any(|frame| frame.contains(&receipt)).then_some(())
        })
        .await;
    }

    /// Waits for something.
    pub(crate) async fn hears<T>(&self, find: impl Fn(&Heard) -> Option<T>) -> T {
        let mut heard = self.heard.clone();
        let waiting = async {
            let found = heard.wait_for(|heard| find(heard).is_some()).await;
            find(&found.expect("the stream is followed")).unwrap()
        };
        let waited = tokio::time::timeout(support::PATIENCE, waiting).await;
        waited.unwrap_or_else(|_| panic!("it heard only {:?}", self.heard.borrow()))
    }

    /// Waits for a notification of this kind; its text.
    pub(crate) async fn is_told(&self, kind: &str) -> String {
        self.hears(|heard| {
            let mut texts = heard.messages.iter().map(|(_, text)| text);
            texts.find(|text| text.contains(kind)).cloned()
        })
        .await
    }

    /// How many notifications of this kind came.
    pub(crate) fn times_told(&self, kind: &str) -> usize {
        let heard = self.heard.borrow();
        let texts = heard.messages.iter();
        texts.filter(|(_, text)| text.contains(kind)).count()
    }

    /// Everything that was pushed.
    pub(crate) fn told(&self) -> Vec<String> {
        let heard = self.heard.borrow();
        let texts = heard.messages.iter();
        texts.map(|(_, text)| text.clone()).collect()
    }

    /// Lives on for this long.
    pub(crate) async fn waits(&self, time: Duration) {
        tokio::time::sleep(time).await;
        assert!(self.heard.borrow().ended.is_none(), "the stream ended");
    }
}

/// Follows a stream and takes it apart, strictly.
async fn listen(stream: reqwest::Response, heard: Arc<watch::Sender<Heard>>) {
    let (mut pieces, mut text, mut lines) = (stream.bytes_stream(), String::new(), 0);
    let mut close = None;
    while let Some(Ok(piece)) = pieces.next().await {
        text.push_str(std::str::from_utf8(&piece).unwrap());
        while let Some((line, rest)) = text.split_once('\n') {
            heard.send_modify(|heard| take(heard, lines, line, &mut close));
            lines += 1;
            text = rest.to_owned();
        }
    }
    assert_eq!(text, "", "a frame was cut off");
    heard.send_modify(|heard| heard.ended = Some(close.clone()));
}

fn take(heard: &mut Heard, number: usize, line: &str, close: &mut Option<String>) {
    assert_eq!(*close, None, "nothing follows a close frame");
    match (number, line) {
        (0, prelude) => assert_eq!(prelude, "h".repeat(2048)),
        (1, open) => assert_eq!(open, "o"),
        (_, "h") => heard.heartbeats += 1,
        (_, line) if line.starts_with("c[") => {
            let _: (u16, String) = serde_json::from_str(&line[1..]).unwrap();
            *close = Some(line.to_owned());
        }
        (_, line) => {
            let texts = line.strip_prefix('a').expect("no frame of SockJS");
            is_escaped(texts);
            let texts: Vec<String> = serde_json::from_str(texts).unwrap();
            assert_eq!(texts.len(), 1, "one STOMP frame in each");
            stomp(heard, &texts[0]);
        }
    }
}

/// SockJS wants more characters escaped than JSON does.
fn is_escaped(text: &str) {
    for unit in text.encode_utf16() {
        let special = matches!(unit, 0..=0x1f | 0x200c..=0x200f | 0x2028..=0x202f | 0x2060..=0x206f | 0xd800..=0xdfff | 0xfff0..=0xffff);
        assert!(!special, "{unit:04x} is not escaped in {text}");
    }
}

fn stomp(heard: &mut Heard, frame: &str) {
    assert!(frame.len() <= LONGEST, "a frame of {} bytes", frame.len());
    let frame = frame.strip_suffix('\0').expect("a NUL at its end");
    assert!(!frame.contains(['\0', '\r']));
    let (head, body) = frame.split_once("\n\n").unwrap();
    let mut lines = head.lines();
    let command = lines.next().unwrap();
    let headers: Vec<(&str, &str)> = lines.map(|line| line.split_once(':').unwrap()).collect();
    let header = |name: &str| {
        let mut values = headers.iter().filter(|(one, _)| *one == name);
        let value = values.next().map(|(_, value)| *value);
        assert_eq!(values.next(), None, "{name} twice");
        value
    };
    if command != "MESSAGE" {
        assert!(["CONNECTED", "RECEIPT"].contains(&command), "{frame}");
        assert_eq!(body, "");
        heard.others.push(frame.to_owned());
        return;
    }
    assert_eq!(header("content-type"), Some("application/json"));
    assert_eq!(header("content-length"), Some(&*body.len().to_string()));
    let destination = header("destination").unwrap();
    assert!(header("message-id").is_some());
    let subscription = header("subscription").unwrap().to_owned();
    let json: Value = serde_json::from_str(body).unwrap();
    let task = json["chainTaskId"].as_str().unwrap();
    assert_eq!(destination, format!("/topic/task/{task}"));
    heard.messages.push((subscription, body.to_owned()));
}
