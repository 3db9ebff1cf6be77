//! Text into frames. It comes in pieces that somebody else cuts, so each byte is looked at once: a frame in hand is kept as far as it was
//! read, and what was searched for an end is not searched again.

use super::{Command, Frame, LONGEST_FRAME, MOST_HEADERS, Malformed};

/// Takes frames out of text that comes in any pieces.
#[derive(Debug, Default)]
pub struct Decoder {
    unread: Unread,
    begun: Option<Begun>,
}

/// A frame as far as it was read.
#[derive(Debug)]
struct Begun {
    frame: Frame,
    has_headers: bool,
}

impl Decoder {
    /// Takes in the next piece.
    ///
    /// # Errors
    /// When what waits would be longer than any frame: take the frames out after each piece.
    pub fn push(&mut self, piece: &str) -> Result<(), Malformed> {
        self.unread.push(piece)
    }

    /// The next whole frame, if there is one. Signs of life between frames are passed over.
    ///
    /// # Errors
    /// When what comes next can never become a frame. Nothing that comes after it is of use.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Malformed> {
        let Some(mut begun) = self.begin()? else {
            return Ok(None);
        };
        match self.unread.read_on(&mut begun)? {
            Some(body) => {
                begun.frame.body = body;
                self.unread.end_frame();
                Ok(Some(begun.frame))
            }
            None => {
                self.begun = Some(begun);
                Ok(None)
            }
        }
    }

    /// The frame in hand, or the next one.
    fn begin(&mut self) -> Result<Option<Begun>, Malformed> {
        if self.begun.is_some() {
            return Ok(self.begun.take());
        }
        self.unread.pass_over_silence();
        let Some(name) = self.unread.line() else {
            return Ok(None);
        };
        let command = Command::parse(name).ok_or_else(|| Malformed::Command(shortened(name)))?;
        Ok(Some(Begun {
            frame: Frame::new(command),
            has_headers: false,
        }))
    }
}

impl Begun {
    fn add(&mut self, header: &str) -> Result<(), Malformed> {
        let split = header.split_once(':').filter(|(name, _)| !name.is_empty());
        let (name, value) = split.ok_or_else(|| Malformed::Header(shortened(header)))?;
        if self.frame.headers.len() >= MOST_HEADERS {
            return Err(Malformed::Headers);
        }
        self.frame.headers.push(if self.frame.command.escapes() {
            (unescape(name)?, unescape(value)?)
        } else {
            (name.to_owned(), value.to_owned())
        });
        Ok(())
    }

    /// How long the body is, where a header says so.
    fn length(&self) -> Option<usize> {
        let length = self.frame.header("content-length")?;
        length.trim().parse().ok()
    }
}

/// Text that came and was not read yet.
#[derive(Debug, Default)]
struct Unread {
    text: String,
    /// Where in the text it begins.
    at: usize,
    /// Bytes of it without the end that is waited for.
    searched: usize,
    /// Bytes of the frame in hand that were read.
    taken: usize,
}

impl Unread {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn push(&mut self, piece: &str) -> Result<(), Malformed> {
        self.text.drain(..self.at);
        self.at = 0;
        let waiting = self.taken.saturating_add(self.text.len());
        if waiting.saturating_add(piece.len()) > LONGEST_FRAME {
            return Err(Malformed::TooLong);
        }
        self.text.push_str(piece);
        Ok(())
    }

    fn pass_over_silence(&mut self) {
        let silence = self.rest().len() - self.rest().trim_start_matches(['\n', '\r']).len();
        if silence > 0 {
            self.at += silence;
            self.end_frame();
        }
    }

    fn end_frame(&mut self) {
        self.taken = 0;
        self.searched = 0;
        if self.at == self.text.len() {
            // Sessions are many and most are silent for long.
            *self = Self::default();
        }
    }

    /// The frame's headers, and then its body; `None` while that is not whole.
    fn read_on(&mut self, begun: &mut Begun) -> Result<Option<String>, Malformed> {
        while !begun.has_headers {
            match self.line() {
                None => return Ok(None),
                Some("") => begun.has_headers = true,
                Some(header) => begun.add(header)?,
            }
        }
        let Some(body) = self.body(begun.length())? else {
            return Ok(None);
        };
        let command = begun.frame.command;
        if !body.is_empty() && !command.may_have_body() {
            return Err(Malformed::Body(command.name()));
        }
        Ok(Some(body.to_owned()))
    }

    /// What stands before the frame's NUL; `None` while that is not there.
    fn body(&mut self, length: Option<usize>) -> Result<Option<&str>, Malformed> {
        let Some(length) = length else {
            return Ok(self.until('\0'));
        };
        if length > LONGEST_FRAME {
            return Err(Malformed::TooLong);
        }
        if self.rest().len() <= length {
            return Ok(None);
        }
        let body = self.at..self.at + length;
        if self.text.get(body.end..body.end + 1) != Some("\0") {
            return Err(Malformed::NotEnded);
        }
        self.at = body.end + 1;
        Ok(self.text.get(body))
    }

    /// The text up to the next line end.
    fn line(&mut self) -> Option<&str> {
        let line = self.until('\n')?;
        Some(line.strip_suffix('\r').unwrap_or(line))
    }

    /// The text up to this letter of one byte, which is passed over.
    fn until(&mut self, end: char) -> Option<&str> {
        let from = self.at + self.searched;
        let Some(found) = self.text.get(from..)?.find(end) else {
            self.searched = self.text.len() - self.at;
            return None;
        };
        let part = self.at..from + found;
        self.at = part.end + 1;
        self.searched = 0;
        self.taken += part.len() + 1;
        self.text.get(part)
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
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
mod tests {
    use super::*;

    #[test]
    fn what_came_is_looked_at_once_whatever_the_pieces() {
        let mut decoder = Decoder::default();
        let mut say = |piece: &str| {
            decoder.push(piece).unwrap();
            assert_eq!(decoder.next_frame(), Ok(None));
            let headers = decoder
                .begun
                .as_ref()
                .map(|begun| begun.frame.headers.len());
            let unread = &decoder.unread;
            (headers, unread.rest().len() - unread.searched)
        };
        assert_eq!(say("SE"), (None, 0));
        assert_eq!(say("ND\n"), (Some(0), 0));
        assert_eq!(say("a:b\nc"), (Some(1), 0));
        assert_eq!(say(""), (Some(1), 0));
        assert_eq!(say(":d\n\n"), (Some(2), 0));
        assert_eq!(say(&"x".repeat(60_000)), (Some(2), 0));
        assert_eq!(say("x"), (Some(2), 0));
        decoder.push("\0").unwrap();
        let frame = decoder.next_frame().unwrap().unwrap();
        assert_eq!((frame.headers.len(), frame.body.len()), (2, 60_001));
        assert_eq!(decoder.unread.text.capacity(), 0);
    }
}
