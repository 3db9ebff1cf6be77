//! Frames on their way to a client: how each transport writes them, and when its response ends.

use std::convert::Infallible;

use axum::body::Bytes;
use futures_util::stream::{self, Stream};
use wire::sockjs::session::{Next, RESPONSE_BYTES};
use wire::sockjs::{HEARTBEAT, PRELUDE_LETTERS};

use crate::push::Receiving;

/// How a transport writes frames.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    pub(super) content_type: &'static str,
    before: &'static str,
    after: &'static str,
    prelude: Prelude,
    /// A response ends after one frame.
    one: bool,
}

#[derive(Debug, Clone, Copy)]
enum Prelude {
    None,
    Letters,
    LineEnd,
}

impl Form {
    pub(super) const STREAMING: Self = Self {
        content_type: "application/javascript;charset=UTF-8",
        before: "",
        after: "\n",
        prelude: Prelude::Letters,
        one: false,
    };

    pub(super) const POLLING: Self = Self {
        prelude: Prelude::None,
        one: true,
        ..Self::STREAMING
    };

    pub(super) const EVENTS: Self = Self {
        content_type: "text/event-stream;charset=UTF-8",
        before: "data: ",
        after: "\r\n\r\n",
        prelude: Prelude::LineEnd,
        one: false,
    };

    fn prelude(self) -> String {
        match self.prelude {
            Prelude::None => String::new(),
            Prelude::Letters => "h".repeat(PRELUDE_LETTERS) + "\n",
            Prelude::LineEnd => "\r\n".to_owned(),
        }
    }

    fn write(self, frame: &str, to: &mut String) {
        to.push_str(self.before);
        to.push_str(frame);
        to.push_str(self.after);
    }

    /// A response of this one frame.
    pub(super) fn alone(self, frame: &str) -> String {
        let mut text = self.prelude();
        self.write(frame, &mut text);
        text
    }

    /// The response's body, as long as it lasts.
    pub(super) fn stream(
        self,
        receiving: Receiving,
    ) -> impl Stream<Item = Result<Bytes, Infallible>> + use<> {
        let sending = Sending {
            form: self,
            receiving,
            sent: 0,
            stage: Stage::Prelude,
        };
        stream::unfold(sending, async |mut sending| {
            let bytes = sending.next().await?;
            Some((Ok(bytes), sending))
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Prelude,
    Frames,
    Over,
}

struct Sending {
    form: Form,
    receiving: Receiving,
    /// Bytes of message frames.
    sent: usize,
    stage: Stage,
}

impl Sending {
    async fn next(&mut self) -> Option<Bytes> {
        if self.stage == Stage::Prelude {
            self.stage = Stage::Frames;
            let prelude = self.form.prelude();
            if !prelude.is_empty() {
                return Some(prelude.into());
            }
        }
        while self.stage == Stage::Frames {
            let text = self.waiting();
            if !text.is_empty() {
                return Some(text.into());
            }
            if self.stage == Stage::Over {
                break;
            }
            self.receiving.something().await;
        }
        None
    }

    /// What can be sent at once. Ends the response where it is to end after that.
    fn waiting(&mut self) -> String {
        let mut text = String::new();
        loop {
            match self.receiving.next() {
                Next::Frame(frame) => {
                    self.form.write(&frame, &mut text);
                    self.sent += frame.len();
                    if self.form.one || self.sent >= RESPONSE_BYTES {
                        self.stage = Stage::Over;
                        return text;
                    }
                }
                Next::Beat => {
                    self.form.write(HEARTBEAT, &mut text);
                    if self.form.one {
                        self.stage = Stage::Over;
                        return text;
                    }
                }
                Next::Last(frame) => {
                    self.form.write(&frame, &mut text);
                    self.stage = Stage::Over;
                    return text;
                }
                Next::Nothing => return text,
            }
        }
    }
}
