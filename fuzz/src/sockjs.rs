//! SockJS: where a request goes, what a client posts, and what it is sent. The input is the path of a request, and after its first line end
//! what the client posts there.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use alloy_primitives::Address;
use poco::ids::TaskId;
use scheduler::fuzzing::Channel;
use wire::message::TaskNotification;
use wire::sockjs::session::{
    MOST_BYTES, MOST_WAITING, Next, QUIET, Refused, SLOWEST, Session, Transport,
};
use wire::sockjs::{self, Close, Escaped, OPEN, Purpose, Text};
use wire::status::TaskNotificationType;
use wire::stomp::{Decoder, LONGEST_FRAME};

/// What a client posts at most, as the scheduler's route takes it.
const LONGEST_BODY: usize = 256 * 1024;
const TRANSPORTS: [Transport; 4] = [
    Transport::Streaming,
    Transport::Polling,
    Transport::EventSource,
    Transport::WebSocket,
];

pub fn run(data: &[u8]) {
    let line_end = data.iter().position(|byte| *byte == b'\n');
    let (path, body) = data.split_at(line_end.unwrap_or(data.len()));
    let path = String::from_utf8_lossy(path);
    let body = body.strip_prefix(b"\n").unwrap_or(body);
    let transport = goes_to(&path);
    let text = String::from_utf8_lossy(body);
    any_text_comes_back(&text);
    every_client_is_sent_whole_frames(transport, &text);
    a_session_loses_nothing(transport, body);
}

/// The transport that the path asks for.
fn goes_to(path: &str) -> Transport {
    let mut parts = path.split('/').skip(2);
    let mut part = || parts.next().unwrap_or_default();
    match sockjs::purpose(part(), part(), part()) {
        Some(Purpose::Takes(transport)) => transport,
        Some(Purpose::Says) | None => Transport::Streaming,
    }
}

fn texts(frame: &str) -> Vec<String> {
    assert!(!frame.contains(['\n', '\r', '\0']), "{frame:?}");
    let array = frame.strip_prefix('a').expect("a frame with messages");
    sockjs::received(array).expect("an array of texts")
}

fn any_text_comes_back(text: &str) {
    let message = Text {
        own: text.to_owned(),
        shared: Escaped::of(text),
    };
    let frame = sockjs::messages([&message]);
    assert!(frame.len() <= 12 * text.len() + 5);
    assert_eq!(texts(&frame), [text.repeat(2)]);
    if let Ok(received) = sockjs::received(text) {
        let messages: Vec<Text> = received.iter().cloned().map(Text::from).collect();
        assert_eq!(texts(&sockjs::messages(&messages)), received);
    }
}

/// Two clients at the push channel: one posts the text as SockJS has it, the other as one message.
fn every_client_is_sent_whole_frames(transport: Transport, text: &str) {
    let channel = Channel::new(2);
    let now = Instant::now();
    let mut tasks = Vec::new();
    let mut taking = Vec::new();
    for (id, texts) in [
        ("posts", sockjs::received(text).unwrap_or_default()),
        ("says:\\\n\"", vec![text.to_owned()]),
    ] {
        taking.push(channel.take(id, transport).expect("the first request"));
        assert!(channel.take(id, transport).is_none(), "one at a time");
        let is_taken = text.len() <= LONGEST_BODY;
        for text in texts.iter().filter(|_| is_taken) {
            tasks.extend(channel.hear(id, text));
        }
    }
    assert!(channel.take("third", transport).is_none(), "there are two");
    tasks.sort_unstable();
    tasks.dedup();
    for task in tasks.iter().take(10) {
        channel.publish(&notification(*task));
    }
    for client in &taking {
        takes_whole_frames(|| client.next());
    }
    drop(taking);
    channel.sweep(now + Duration::from_secs(3600));
    assert!(channel.is_empty(), "who is gone is forgotten");
}

fn notification(task: TaskId) -> TaskNotification {
    TaskNotification {
        chain_task_id: task,
        workers_address: Some(vec![Address::repeat_byte(1)]),
        task_notification_type: TaskNotificationType::PleaseReveal,
        task_notification_extra: None,
    }
}

fn takes_whole_frames(mut next: impl FnMut() -> Next) {
    assert_eq!(next(), Next::Frame(OPEN.to_owned()));
    let mut length = 0;
    loop {
        let (frame, is_last) = match next() {
            Next::Frame(frame) => (frame, false),
            Next::Last(frame) => (frame, true),
            Next::Beat => continue,
            Next::Nothing => break,
        };
        length += frame.len();
        if is_last {
            assert!(frame.starts_with("c["), "{frame}");
            break;
        }
        for text in texts(&frame) {
            if text.len() <= LONGEST_FRAME {
                let mut decoder = Decoder::default();
                decoder.push(&text).expect("it is short enough");
                let whole = decoder.next_frame().expect("what we send is a frame");
                super::stomp::comes_back(&whole.expect("and a whole one"));
                assert_eq!(decoder.next_frame(), Ok(None), "{text:?}");
            }
        }
    }
    assert!(length <= 8 * MOST_BYTES, "{length} bytes for one client");
}

/// A session beside what it should be: each byte is something that happens to it.
fn a_session_loses_nothing(transport: Transport, actions: &[u8]) {
    let mut now = Instant::now();
    let mut session = Session::new(transport, now);
    let mut waiting: VecDeque<String> = VecDeque::new();
    let mut bytes = 0;
    let (mut opened, mut taken, mut since) = (false, false, now);
    // When it last said something, and whether a sign of life is due.
    let (mut spoke, mut beats) = (now, false);
    for (number, action) in actions.iter().enumerate() {
        match action % 8 {
            0 | 1 => {
                let length = usize::from(*action) * usize::from(*action);
                let text = format!("{number}{}", "x".repeat(length));
                if !session.has_ended() {
                    waiting.push_back(text.clone());
                    bytes += text.len();
                    let too_many = !taken && waiting.len() > MOST_WAITING;
                    let is_too_much = too_many || bytes > MOST_BYTES;
                    session.send(text);
                    assert_eq!(session.has_ended(), is_too_much);
                    if is_too_much {
                        waiting.clear();
                    }
                } else {
                    session.send(text);
                }
            }
            2 => {
                let other = TRANSPORTS[usize::from(*action >> 3) % 4];
                let begun = session.begin_taking(other, now);
                match begun {
                    Ok(()) => assert!(!taken && other == transport),
                    Err(Refused::OtherTransport) => assert_ne!(other, transport),
                    Err(Refused::Told(Close::ANOTHER_CONNECTION)) => assert!(taken),
                    Err(Refused::Told(_)) => {
                        assert!(session.has_ended() && waiting.is_empty());
                    }
                }
                if begun.is_ok() {
                    (taken, since, spoke) = (true, now, now);
                }
            }
            3 => {
                session.end_taking(now);
                (taken, since) = (false, now);
            }
            4 => match session.next(now) {
                Next::Frame(frame) if !opened => {
                    assert_eq!(frame, OPEN);
                    (opened, spoke) = (true, now);
                }
                Next::Frame(frame) => {
                    (since, spoke, beats) = (now, now, false);
                    for text in texts(&frame) {
                        bytes -= text.len();
                        assert_eq!(waiting.pop_front(), Some(text));
                    }
                }
                Next::Last(_) => {
                    assert!(session.has_ended() && waiting.is_empty());
                }
                Next::Beat => {
                    assert!(beats && waiting.is_empty() && !session.has_ended());
                    (spoke, beats) = (now, false);
                }
                Next::Nothing => assert!(opened && waiting.is_empty() && !beats),
            },
            5 => session.hear(),
            6 => {
                now += Duration::from_millis(u64::from(*action) * 100);
                if taken && waiting.is_empty() && !session.has_ended() {
                    // Nothing is owed yet.
                    since = now;
                }
                session.is_over(now);
                if taken && !waiting.is_empty() && now - since > SLOWEST {
                    assert!(session.has_ended(), "its client is too slow");
                    waiting.clear();
                }
                let live = taken && waiting.is_empty() && !session.has_ended();
                beats |= live && now - spoke >= QUIET;
                assert_eq!(session.is_quiet(now), beats);
            }
            _ => session.end(Close::PROTOCOL_ERROR),
        }
        assert_eq!(session.is_taken(), taken);
    }
}
