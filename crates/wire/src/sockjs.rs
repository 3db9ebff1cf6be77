//! SockJS frames, as the push channel of the original sends them (spec scheduler-api §7.2, §7.3), and the session behind them.

pub mod session;

use std::fmt::Write as _;
use std::sync::Arc;

use self::session::Transport;

/// What every streaming response begins with, so that clients and proxies see that it has begun.
pub const PRELUDE_LETTERS: usize = 2048;

/// Bytes of a session's id, and of the number of a server.
const LONGEST_ID: usize = 128;

/// The first frame of a session.
pub const OPEN: &str = "o";
/// A sign of life.
pub const HEARTBEAT: &str = "h";

/// Why a session ends, as its client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close {
    /// As a WebSocket's.
    pub code: u16,
    /// In words.
    pub reason: &'static str,
}

impl Close {
    /// The server ends.
    pub const GOING_AWAY: Self = Self {
        code: 1001,
        reason: "",
    };
    /// The client broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self {
        code: 1002,
        reason: "",
    };
    /// A second request for messages while one is open.
    pub const ANOTHER_CONNECTION: Self = Self {
        code: 2010,
        reason: "Another connection still open",
    };
    /// A request for messages of a session that is over.
    pub const GO_AWAY: Self = Self {
        code: 3000,
        reason: "Go away!",
    };
    /// The client takes its messages too slowly, or not at all.
    pub const NOT_TAKEN: Self = Self {
        code: 1008,
        reason: "",
    };

    /// The frame that says so.
    #[must_use]
    pub fn frame(self) -> String {
        format!("c[{},\"{}\"]", self.code, self.reason)
    }
}

/// A text as it stands in a frame: made once where it goes to many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Escaped(Option<Arc<str>>);

impl Escaped {
    /// The text, escaped.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut escaped = String::with_capacity(text.len());
        escape(text, &mut escaped);
        Self(Some(escaped.into()))
    }

    fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }
}

/// One message: what is its own, and after that what it shares with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Not escaped yet.
    pub own: String,
    /// What follows.
    pub shared: Escaped,
}

impl Text {
    fn len(&self) -> usize {
        self.own.len().saturating_add(self.shared.as_str().len())
    }
}

impl From<String> for Text {
    fn from(own: String) -> Self {
        Self {
            own,
            shared: Escaped::default(),
        }
    }
}

/// A frame with these messages.
pub fn messages<'a>(texts: impl IntoIterator<Item = &'a Text>) -> String {
    let mut frame = String::from("a[");
    for (place, text) in texts.into_iter().enumerate() {
        if place > 0 {
            frame.push(',');
        }
        frame.push('"');
        escape(&text.own, &mut frame);
        frame.push_str(text.shared.as_str());
        frame.push('"');
    }
    frame.push(']');
    frame
}

/// What a request of a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The client says something: `xhr_send`.
    Says,
    /// It takes what it is sent.
    Takes(Transport),
}

/// What a request to `/{server}/{session}/{name}` is for; `None` where there is nothing.
#[must_use]
pub fn purpose(server: &str, session: &str, name: &str) -> Option<Purpose> {
    let is_odd = |part: &str| part.is_empty() || part.contains('.') || part.len() > LONGEST_ID;
    if is_odd(server) || is_odd(session) {
        return None;
    }
    Some(match name {
        "xhr_send" => Purpose::Says,
        "xhr_streaming" => Purpose::Takes(Transport::Streaming),
        "xhr" => Purpose::Takes(Transport::Polling),
        "eventsource" => Purpose::Takes(Transport::EventSource),
        "websocket" => Purpose::Takes(Transport::WebSocket),
        _ => return None,
    })
}

/// What a client sent: an array of texts.
///
/// # Errors
/// When it is no such thing.
pub fn received(body: &str) -> Result<Vec<String>, serde_json::Error> {
    serde_json::from_str(body)
}

/// As JSON, with escapes for what transports are known to spoil besides.
fn escape(text: &str, to: &mut String) {
    for letter in text.chars() {
        match letter {
            '"' => to.push_str("\\\""),
            '\\' => to.push_str("\\\\"),
            '\n' => to.push_str("\\n"),
            '\r' => to.push_str("\\r"),
            '\t' => to.push_str("\\t"),
            '\u{8}' => to.push_str("\\b"),
            '\u{c}' => to.push_str("\\f"),
            letter if is_spoiled(letter) => {
                let mut units = [0; 2];
                for unit in letter.encode_utf16(&mut units) {
                    // Writing to text cannot fail.
                    let _ = write!(to, "\\u{unit:04x}");
                }
            }
            letter => to.push(letter),
        }
    }
}

const fn is_spoiled(letter: char) -> bool {
    matches!(letter,
        '\0'..='\u{1f}' | '\u{200c}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{2060}'..='\u{206f}' | '\u{fff0}'..='\u{ffff}'
            | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> String {
        let texts: Vec<Text> = texts
            .iter()
            .map(|text| Text::from((*text).to_owned()))
            .collect();
        messages(&texts)
    }

    #[test]
    fn what_goes_to_many_is_escaped_once_and_stands_behind_what_is_each_one_s_own() {
        let shared = Escaped::of("\"all\"\0");
        let one = Text {
            own: "one\n".into(),
            shared: shared.clone(),
        };
        assert_eq!(messages([&one]), of(&["one\n\"all\"\0"]));
        assert_eq!(one.len(), 4 + 13);
        assert_eq!(shared.as_str(), r#"\"all\"\u0000"#);
    }

    #[test]
    fn a_frame_is_the_original_s_to_the_byte() {
        assert_eq!(
            of(&["CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\0"]),
            r#"a["CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\u0000"]"#
        );
        assert_eq!(
            of(&["\"\\\u{1f}é\u{200d}\u{2028}\u{ffff}😀", ""]),
            r#"a["\"\\\u001fé\u200d\u2028\uffff\ud83d\ude00",""]"#
        );
        assert_eq!(Close::GO_AWAY.frame(), r#"c[3000,"Go away!"]"#);
        assert_eq!(Close::GOING_AWAY.frame(), r#"c[1001,""]"#);
    }

    #[test]
    fn any_text_comes_back_from_its_frame() {
        let text: String = (0..=0x1_1000).filter_map(char::from_u32).collect();
        let frame = of(&[text.as_str(), "more"]);
        assert!(!frame.contains(['\n', '\r', '\0']));
        let back = received(frame.strip_prefix('a').unwrap()).unwrap();
        assert_eq!(back, [text.as_str(), "more"]);
    }

    #[test]
    fn what_is_no_array_of_texts_is_refused() {
        for body in [
            "",
            "x",
            "\"text\"",
            "[1]",
            "[null]",
            "{}",
            "[\"a\"",
            "[\"\\ud800\"]",
        ] {
            assert!(received(body).is_err(), "{body}");
        }
        assert_eq!(received("[]").unwrap(), [""; 0]);
    }
}
