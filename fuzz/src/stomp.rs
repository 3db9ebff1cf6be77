//! STOMP: text into frames, and what frames do to a session. The input is the text that a client sends.

use wire::stomp::broker::{Client, Effect, MOST_SUBSCRIPTIONS};
use wire::stomp::{Command, Decoder, Frame, LONGEST_FRAME, MOST_HEADERS, Malformed};

const CONNECT: &str = "CONNECT\naccept-version:1.2\n\n\0";

pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let whole = frames([text.as_ref()].into_iter());
    let bits = frames(bits(&text));
    if text.len() <= LONGEST_FRAME {
        // Else it depends on the pieces whether one is too long.
        assert_eq!(whole, bits);
    }
    for frame in &bits.0 {
        comes_back(frame);
    }
    client_is_answered_alike("", &text);
    client_is_answered_alike(CONNECT, &text);
}

/// The text in pieces: letter by letter, or where it is long in some hundreds.
fn bits(text: &str) -> impl Iterator<Item = &str> {
    let most = 1 + text.len() / 400;
    let mut length = 0;
    text.split_inclusive(move |letter: char| {
        length = (length + letter.len_utf8()) % most;
        length < letter.len_utf8()
    })
}

/// The frames of a text in pieces, and what ended them.
fn frames<'a>(pieces: impl Iterator<Item = &'a str>) -> (Vec<Frame>, Option<Malformed>) {
    let mut decoder = Decoder::default();
    let mut frames = Vec::new();
    for piece in pieces {
        let mut frame = decoder.push(piece).and_then(|()| decoder.next_frame());
        loop {
            match frame {
                Ok(None) => break,
                Ok(Some(read)) => frames.push(read),
                Err(malformed) => return (frames, Some(malformed)),
            }
            frame = decoder.next_frame();
        }
    }
    (frames, None)
}

/// A frame that was read reads the same after it was written.
pub fn comes_back(frame: &Frame) {
    let is_connect = matches!(frame.command, Command::Connect | Command::Connected);
    if is_connect && frame.headers.iter().any(|(_, value)| value.ends_with('\r')) {
        // These two have no escapes, so that a line end cannot be written.
        return;
    }
    let added = usize::from(!frame.body.is_empty() && frame.header("content-length").is_none());
    let text = frame.to_string();
    if text.len() > LONGEST_FRAME || frame.headers.len() + added > MOST_HEADERS {
        return;
    }
    let (again, malformed) = frames([text.as_str()].into_iter());
    assert_eq!(malformed, None, "{text:?}");
    let [again] = again.as_slice() else {
        panic!("one frame became {}: {text:?}", again.len());
    };
    assert_eq!(again.command, frame.command);
    assert_eq!(again.body, frame.body);
    assert_eq!(again.headers.len(), frame.headers.len() + added);
    assert!(again.headers.starts_with(&frame.headers), "{text:?}");
}

fn client_is_answered_alike(before: &str, text: &str) {
    let (mut one, mut other) = (Client::default(), Client::default());
    let mut at_once = one.receive(before);
    at_once.extend(one.receive(text));
    let mut bit_by_bit = other.receive(before);
    for bit in bits(text) {
        bit_by_bit.extend(other.receive(bit));
    }
    if text.len() <= LONGEST_FRAME {
        assert_eq!(at_once, bit_by_bit);
        assert_eq!(one.subscriptions(), other.subscriptions());
    }
    is_bounded(&one, &at_once, before.len() + text.len());
    is_bounded(&other, &bit_by_bit, before.len() + text.len());
}

fn is_bounded(client: &Client, effects: &[Effect], sent: usize) {
    assert!(client.subscriptions().len() <= MOST_SUBSCRIPTIONS);
    let kept = client.subscriptions().iter();
    let kept: usize = kept.map(|(id, topic)| id.len() + topic.len()).sum();
    assert!(kept <= MOST_SUBSCRIPTIONS * 1024, "{kept} bytes are kept");
    let answered: usize = effects.iter().map(length).sum();
    assert!(answered <= 2 * sent + 2048, "{answered} answer {sent}");
    if let Some(end) = effects.iter().position(|effect| *effect == Effect::Ends) {
        assert_eq!(end + 1, effects.len(), "nothing follows the end");
        assert!(!client.is_connected());
    }
}

fn length(effect: &Effect) -> usize {
    match effect {
        Effect::Send(frame) | Effect::Connects { answer: frame, .. } => {
            comes_back(frame);
            frame.to_string().len()
        }
        _ => 0,
    }
}
