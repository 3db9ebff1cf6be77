//! One SockJS session: what waits for its client, and whether a request is open that takes it there. It knows no socket, and is told the
//! time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Close, OPEN, Text, messages};

/// Messages that wait while no request for them is open.
pub const MOST_WAITING: usize = 100;
/// Bytes that wait for a client which takes them too slowly.
pub const MOST_BYTES: usize = 512 * 1024;
/// How long a session is kept without a request for its messages.
pub const ABSENCE: Duration = Duration::from_secs(5);
/// How long a client may take for what is sent.
pub const SLOWEST: Duration = Duration::from_secs(10);
/// After so long without a frame a sign of life is due. It is looked for every second, so that one comes every 5 seconds.
pub const QUIET: Duration = Duration::from_millis(4500);
/// By when a client must have said something.
pub const SILENCE: Duration = Duration::from_secs(60);
/// After so many bytes of messages a streaming response ends, and the client asks for another.
pub const RESPONSE_BYTES: usize = 128 * 1024;

/// How messages come to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `xhr_streaming`: a response that does not end.
    Streaming,
    /// `xhr`: a response for each batch.
    Polling,
    /// `eventsource`: a stream of server-sent events.
    EventSource,
    /// `websocket`.
    WebSocket,
}

/// Why a request for messages gets none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The session has another transport: 404.
    OtherTransport,
    /// The client is told so in the response's one frame.
    Told(Close),
}

/// What is to be sent next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// This frame.
    Frame(String),
    /// A sign of life.
    Beat,
    /// This frame, and then the response ends, and the session with it.
    Last(String),
    /// Nothing for now.
    Nothing,
}

/// A session.
#[derive(Debug)]
pub struct Session {
    transport: Transport,
    opened: bool,
    /// A request for messages is open.
    is_taken: bool,
    /// When that last changed, or something was taken.
    since: Instant,
    began: Instant,
    /// When the last frame was taken.
    spoke: Instant,
    /// A sign of life is to be sent.
    beats: bool,
    heard: bool,
    waiting: VecDeque<Text>,
    bytes: usize,
    ended: Option<Close>,
}

impl Session {
    /// A session that begins with a request of this kind; say [`Self::begin_taking`] next.
    #[must_use]
    pub const fn new(transport: Transport, now: Instant) -> Self {
        Self {
            transport,
            opened: false,
            is_taken: false,
            since: now,
            began: now,
            spoke: now,
            beats: false,
            heard: false,
            waiting: VecDeque::new(),
            bytes: 0,
            ended: None,
        }
    }

    /// A request for messages is open.
    ///
    /// # Errors
    /// When it gets none: then it is not open.
    pub fn begin_taking(&mut self, transport: Transport, now: Instant) -> Result<(), Refused> {
        if self.transport != transport {
            return Err(Refused::OtherTransport);
        }
        if self.is_taken {
            return Err(Refused::Told(Close::ANOTHER_CONNECTION));
        }
        if self.ended.is_some() && self.waiting.is_empty() {
            return Err(Refused::Told(Close::GO_AWAY));
        }
        self.is_taken = true;
        self.since = now;
        self.spoke = now;
        Ok(())
    }

    /// The open request ended.
    pub const fn end_taking(&mut self, now: Instant) {
        self.is_taken = false;
        self.since = now;
    }

    /// What the open request is to be sent. A polling one takes all messages at once.
    pub fn next(&mut self, now: Instant) -> Next {
        if !self.opened {
            self.opened = true;
            self.spoke = now;
            return Next::Frame(OPEN.to_owned());
        }
        if !self.waiting.is_empty() {
            self.since = now;
        }
        let frame = if self.transport == Transport::Polling && !self.waiting.is_empty() {
            self.bytes = 0;
            let all = std::mem::take(&mut self.waiting);
            Some(messages(&all))
        } else {
            self.waiting.pop_front().map(|text| {
                self.bytes = self.bytes.saturating_sub(text.len());
                if self.waiting.is_empty() {
                    // Sessions are many, and most have nothing waiting most of the time.
                    self.waiting = VecDeque::new();
                }
                messages([&text])
            })
        };
        match (frame, self.ended) {
            (Some(frame), _) => {
                self.spoke = now;
                self.beats = false;
                Next::Frame(frame)
            }
            (None, Some(close)) => Next::Last(close.frame()),
            (None, None) if std::mem::take(&mut self.beats) => {
                self.spoke = now;
                Next::Beat
            }
            (None, None) => Next::Nothing,
        }
    }

    /// Whether the open request was sent nothing for a while: then a sign of life comes next.
    pub fn is_quiet(&mut self, now: Instant) -> bool {
        let quiet = now.saturating_duration_since(self.spoke) >= QUIET;
        if self.is_taken && self.waiting.is_empty() && self.ended.is_none() && quiet {
            self.beats = true;
        }
        self.beats
    }

    /// Puts a message in the line. A client that leaves too many there has its session ended, and may begin another: none is lost unseen.
    pub fn send(&mut self, text: impl Into<Text>) {
        if self.ended.is_some() {
            return;
        }
        let text = text.into();
        self.bytes = self.bytes.saturating_add(text.len());
        let too_many = !self.is_taken && self.waiting.len() >= MOST_WAITING;
        if too_many || self.bytes > MOST_BYTES {
            self.waiting.clear();
            self.bytes = 0;
            return self.end(Close::NOT_TAKEN);
        }
        self.waiting.push_back(text);
    }

    /// The client said something.
    pub const fn hear(&mut self) {
        self.heard = true;
    }

    /// Ends the session once what waits is taken. The first reason counts.
    pub const fn end(&mut self, close: Close) {
        if self.ended.is_none() {
            self.ended = Some(close);
        }
    }

    /// Whether it takes no more messages.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Whether a request for messages is open.
    #[must_use]
    pub const fn is_taken(&self) -> bool {
        self.is_taken
    }

    /// Whether nothing more can come of it, so that it may be forgotten. Ends it where its client is not there as it should be.
    pub fn is_over(&mut self, now: Instant) -> bool {
        if self.is_taken && self.waiting.is_empty() && self.ended.is_none() {
            // It owes nothing yet: what comes next has its whole time.
            self.since = now;
        }
        let waited = now.saturating_duration_since(self.since);
        if !self.is_taken {
            return waited > ABSENCE;
        }
        if !self.waiting.is_empty() && waited > SLOWEST {
            self.waiting.clear();
            self.bytes = 0;
            self.end(Close::NOT_TAKEN);
        }
        if !self.heard && now.saturating_duration_since(self.began) > SILENCE {
            self.end(Close::GO_AWAY);
        }
        // A response that takes not even its end is of no use either.
        self.ended.is_some() && waited > SLOWEST + ABSENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn opened(transport: Transport, now: Instant) -> Session {
        let mut session = Session::new(transport, now);
        session.begin_taking(transport, now).unwrap();
        assert_eq!(session.next(now), Next::Frame("o".into()));
        assert_eq!(session.next(now), Next::Nothing);
        session
    }

    #[test]
    fn it_opens_once_and_messages_come_in_order() {
        let now = Instant::now();
        let mut session = opened(Transport::Streaming, now);
        session.send("one".to_owned());
        session.send("two".to_owned());
        assert_eq!(session.next(now), Next::Frame("a[\"one\"]".into()));
        session.end_taking(now);
        session.send("three".to_owned());
        session.begin_taking(Transport::Streaming, now).unwrap();
        assert_eq!(session.next(now), Next::Frame("a[\"two\"]".into()));
        assert_eq!(session.next(now), Next::Frame("a[\"three\"]".into()));
        assert_eq!(session.next(now), Next::Nothing);
    }

    #[test]
    fn a_polling_request_takes_all_that_waits() {
        let now = Instant::now();
        let mut session = opened(Transport::Polling, now);
        session.send("one".to_owned());
        session.send("two".to_owned());
        assert_eq!(session.next(now), Next::Frame("a[\"one\",\"two\"]".into()));
        assert_eq!(session.next(now), Next::Nothing);
    }

    #[test]
    fn one_request_at_a_time_and_of_one_kind() {
        let now = Instant::now();
        let mut session = opened(Transport::Streaming, now);
        let taking = session.begin_taking(Transport::Streaming, now);
        assert_eq!(taking, Err(Refused::Told(Close::ANOTHER_CONNECTION)));
        let polling = session.begin_taking(Transport::Polling, now);
        assert_eq!(polling, Err(Refused::OtherTransport));
        session.end(Close::GOING_AWAY);
        session.end(Close::PROTOCOL_ERROR);
        assert_eq!(session.next(now), Next::Last("c[1001,\"\"]".into()));
        session.end_taking(now);
        let again = session.begin_taking(Transport::Streaming, now);
        assert_eq!(again, Err(Refused::Told(Close::GO_AWAY)));
    }

    #[test]
    fn what_waits_is_taken_before_the_end() {
        let now = Instant::now();
        let mut session = opened(Transport::Streaming, now);
        session.send("ERROR".to_owned());
        session.end(Close::PROTOCOL_ERROR);
        session.send("too late".to_owned());
        assert_eq!(session.next(now), Next::Frame("a[\"ERROR\"]".into()));
        assert_eq!(session.next(now), Next::Last("c[1002,\"\"]".into()));
    }

    #[test]
    fn a_client_that_leaves_its_messages_lying_has_to_begin_anew() {
        let now = Instant::now();
        let mut away = opened(Transport::Streaming, now);
        away.end_taking(now);
        for _ in 0..=MOST_WAITING {
            assert!(!away.has_ended());
            away.send("x".to_owned());
        }
        assert!(away.has_ended());
        let mut slow = opened(Transport::Streaming, now);
        slow.send("x".repeat(MOST_BYTES));
        assert!(!slow.has_ended());
        slow.send("x".to_owned());
        assert_eq!(slow.next(now), Next::Last(Close::NOT_TAKEN.frame()));
        let mut idle = opened(Transport::Streaming, now);
        idle.hear();
        assert!(!idle.is_over(now + SECOND * 100));
        idle.send("x".to_owned());
        assert!(!idle.is_over(now + SECOND * 101) && !idle.has_ended());
        let mut stuck = opened(Transport::Streaming, now);
        stuck.send("x".to_owned());
        assert!(!stuck.is_over(now + SLOWEST) && !stuck.has_ended());
        assert!(!stuck.is_over(now + SLOWEST + SECOND) && stuck.has_ended());
        assert!(stuck.is_over(now + SLOWEST + ABSENCE + SECOND));
    }

    #[test]
    fn a_quiet_session_gives_a_sign_of_life() {
        let now = Instant::now();
        let mut session = opened(Transport::Streaming, now);
        assert!(!session.is_quiet(now + QUIET - SECOND));
        assert!(session.is_quiet(now + QUIET));
        assert_eq!(session.next(now + QUIET), Next::Beat);
        assert_eq!(session.next(now + QUIET), Next::Nothing);
        assert!(!session.is_quiet(now + QUIET + SECOND));
        // A message is one too.
        assert!(session.is_quiet(now + QUIET * 2));
        session.send("one".to_owned());
        assert_eq!(
            session.next(now + QUIET * 2),
            Next::Frame("a[\"one\"]".into())
        );
        assert_eq!(session.next(now + QUIET * 2), Next::Nothing);
        // Nobody is there to be told.
        session.end_taking(now + QUIET * 2);
        assert!(!session.is_quiet(now + QUIET * 4));
    }

    #[test]
    fn a_client_that_is_away_or_never_says_anything_is_forgotten() {
        let now = Instant::now();
        let mut session = opened(Transport::Streaming, now);
        assert!(!session.is_over(now + SILENCE) && !session.has_ended());
        session.is_over(now + SILENCE + SECOND);
        assert!(session.has_ended());
        let mut session = opened(Transport::Streaming, now);
        session.hear();
        assert!(!session.is_over(now + SILENCE + SECOND) && !session.has_ended());
        session.end_taking(now);
        assert!(!session.is_over(now + ABSENCE));
        assert!(session.is_over(now + ABSENCE + SECOND));
    }
}
