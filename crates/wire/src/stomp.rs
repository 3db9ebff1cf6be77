//! STOMP frames, 1.0 to 1.2, as the push channel of the original speaks them (spec scheduler-api §7.6): text frames inside SockJS messages.
//!
//! Only bytes into frames and frames into bytes: what a frame means to a session is in [`broker`].

pub mod broker;
mod decoder;

use std::fmt;

pub use decoder::Decoder;

/// The longest frame that either side takes, in bytes; both peers of the original have the same limit.
pub const LONGEST_FRAME: usize = 64 * 1024;

/// Headers of one frame. Peers send less than ten; each costs more memory than its bytes.
pub const MOST_HEADERS: usize = 100;

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

/// The frame with its NUL at the end. A body has its length beside it, unless a header says it already.
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
        if !self.body.is_empty() && self.header("content-length").is_none() {
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
    /// More of them than a frame may have.
    #[error("a frame of more than {MOST_HEADERS} headers")]
    Headers,
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

#[cfg(test)]
mod tests;
