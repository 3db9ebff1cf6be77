//! STOMP frames, 1.0 to 1.2, as the push channel of the original speaks them (spec scheduler-api §7.6): text frames inside SockJS messages.
//!
//! Only bytes into frames and frames into bytes: what a frame means to a session is in [`broker`].

pub mod broker;

use std::fmt;

/// The longest frame that either side takes, in bytes; both peers of the original have the same limit.
pub const LONGEST_FRAME: usize = 64 * 1024;

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// A client begins; `STOMP` means the same.
    Connect,
    /// A client says something to a destination.
    Send,
    /// A client wants to hear what is said to a destination.
    Subscribe,
    /// And no longer.
    Unsubscribe,
    /// A client says that it got a message.
    Ack,
    /// A client says that it did not take a message.
    Nack,
    /// A transaction begins.
    Begin,
    /// A transaction ends.
    Commit,
    /// A transaction ends with nothing done.
    Abort,
    /// A client ends.
    Disconnect,
    /// The answer to [`Self::Connect`].
    Connected,
    /// What was said to a destination.
    Message,
    /// The answer to a frame that wanted one.
    Receipt,
    /// The session ends because of this.
    Error,
}

const NAMES: [(&str, Command); 15] = [
    ("CONNECT", Command::Connect),
    ("STOMP", Command::Connect),
    ("SEND", Command::Send),
    ("SUBSCRIBE", Command::Subscribe),
    ("UNSUBSCRIBE", Command::Unsubscribe),
    ("ACK", Command::Ack),
    ("NACK", Command::Nack),
    ("BEGIN", Command::Begin),
    ("COMMIT", Command::Commit),
    ("ABORT", Command::Abort),
    ("DISCONNECT", Command::Disconnect),
    ("CONNECTED", Command::Connected),
    ("MESSAGE", Command::Message),
    ("RECEIPT", Command::Receipt),
    ("ERROR", Command::Error),
];

impl Command {
    fn parse(name: &str) -> Option<Self> {
        let known = NAMES.iter().find(|(known, _)| *known == name);
        known.map(|(_, command)| *command)
    }

    fn name(self) -> &'static str {
        let known = NAMES.iter().find(|(_, command)| *command == self);
        known.map_or("", |(name, _)| name)
    }

    /// Headers of these two are as they stand: 1.0 had no escapes.
    const fn escapes(self) -> bool {
        !matches!(self, Self::Connect | Self::Connected)
    }

    const fn may_have_body(self) -> bool {
        matches!(self, Self::Send | Self::Message | Self::Error)
    }
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is for.
    pub command: Command,
    /// In order; of several with one name the first counts.
    pub headers: Vec<(String, String)>,
    /// Empty for most.
    pub body: String,
}

impl Frame {
    /// A frame without headers.
    #[must_use]
    pub const fn new(command: Command) -> Self {
        Self {
            command,
            headers: Vec::new(),
            body: String::new(),
        }
    }

    /// With one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The first header of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// The frame with its NUL at the end. A body has its length beside it.
impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.command.name())?;
        for (name, value) in &self.headers {
            if self.command.escapes() {
                writeln!(f, "{}:{}", escape(name), escape(value))?;
            } else {
                writeln!(f, "{name}:{value}")?;
            }
        }
        if !self.body.is_empty() {
            writeln!(f, "content-length:{}", self.body.len())?;
        }
        write!(f, "\n{}\0", self.body)
    }
}

/// Why bytes are no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Nobody knows this command.
    #[error("unknown command {0:?}")]
    Command(String),
    /// Not `name:value`.
    #[error("a header without a name: {0:?}")]
    Header(String),
    /// A backslash before a letter that has no meaning there.
    #[error("an escape that is none in {0:?}")]
    Escape(String),
    /// A body that does not end where its length says.
    #[error("the frame does not end after its content-length")]
    NotEnded,
    /// A body where there is none.
    #[error("a {0} frame with a body")]
    Body(&'static str),
    /// More than a frame may have.
    #[error("a frame of more than {LONGEST_FRAME} bytes")]
    TooLong,
}

/// Takes frames out of text that comes in any pieces.
#[derive(Debug, Default)]
pub struct Decoder {
    pending: String,
}

impl Decoder {
    /// Takes in the next piece.
    ///
    /// # Errors
    /// When what waits would be longer than any frame: take the frames out after each piece.
    pub fn push(&mut self, piece: &str) -> Result<(), Malformed> {
        if self.pending.len().saturating_add(piece.len()) > LONGEST_FRAME {
            return Err(Malformed::TooLong);
        }
        self.pending.push_str(piece);
        Ok(())
    }

    /// The next whole frame, if there is one. Signs of life between frames are passed over.
    ///
    /// # Errors
    /// When what comes next can never become a frame.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Malformed> {
        let silence = self.pending.len() - self.pending.trim_start_matches(['\n', '\r']).len();
        self.pending.drain(..silence);
        let Some((frame, used)) = decode(&self.pending)? else {
            return Ok(None);
        };
        self.pending.drain(..used);
        if self.pending.is_empty() {
            // Sessions are many and most are silent for long.
            self.pending = String::new();
        }
        Ok(Some(frame))
    }
}

/// The frame at the beginning of `text` and how many bytes it takes; `None` while it is not whole.
fn decode(text: &str) -> Result<Option<(Frame, usize)>, Malformed> {
    let Some((name, mut rest)) = line(text) else {
        return Ok(None);
    };
    let command = Command::parse(name).ok_or_else(|| Malformed::Command(shortened(name)))?;
    let mut frame = Frame::new(command);
    loop {
        let Some((header, after)) = line(rest) else {
            return Ok(None);
        };
        rest = after;
        if header.is_empty() {
            break;
        }
        let split = header.split_once(':').filter(|(name, _)| !name.is_empty());
        let (name, value) = split.ok_or_else(|| Malformed::Header(shortened(header)))?;
        frame.headers.push(if command.escapes() {
            (unescape(name)?, unescape(value)?)
        } else {
            (name.to_owned(), value.to_owned())
        });
    }
    let length = frame
        .header("content-length")
        .and_then(|length| length.trim().parse::<usize>().ok());
    let Some(body) = body(rest, length)? else {
        return Ok(None);
    };
    if !body.is_empty() && !command.may_have_body() {
        return Err(Malformed::Body(command.name()));
    }
    body.clone_into(&mut frame.body);
    let after_body = rest.len() - body.len() - 1;
    Ok(Some((frame, text.len() - after_body)))
}

/// What stands before the frame's NUL; `None` while that is not there.
fn body(rest: &str, length: Option<usize>) -> Result<Option<&str>, Malformed> {
    let Some(length) = length else {
        return Ok(rest.split_once('\0').map(|(body, _)| body));
    };
    if length > LONGEST_FRAME {
        return Err(Malformed::TooLong);
    }
    if rest.len() <= length {
        return Ok(None);
    }
    match rest.split_at_checked(length) {
        Some((body, after)) if after.starts_with('\0') => Ok(Some(body)),
        _ => Err(Malformed::NotEnded),
    }
}

/// The text up to the next line end, and what follows it.
fn line(text: &str) -> Option<(&str, &str)> {
    let (line, rest) = text.split_once('\n')?;
    Some((line.strip_suffix('\r').unwrap_or(line), rest))
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' => escaped.push_str("\\\\"),
            ':' => escaped.push_str("\\c"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

fn unescape(text: &str) -> Result<String, Malformed> {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            plain.push(letter);
            continue;
        }
        plain.push(match letters.next() {
            Some('\\') => '\\',
            Some('c') => ':',
            Some('n') => '\n',
            Some('r') => '\r',
            _ => return Err(Malformed::Escape(shortened(text))),
        });
    }
    Ok(plain)
}

#[cfg(test)]
mod tests;
