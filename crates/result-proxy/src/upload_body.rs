//! Reads the JSON body of an upload piece by piece, so that an archive is never in memory whole.
//!
//! The `zip` member may be a Base64 text (Java worker) or an array of numbers (enclave images); both are decoded as they
//! arrive (spec result-proxy §3.2). Of the other members only `chainTaskId` is kept. Touches no network and no disk: bytes
//! go in by [`UploadBody::push`], decoded ones are taken out after each call.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Padding is mandatory; leftover bits of the last character are ignored, as Java does.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);
/// Base64 characters decoded at a time; a multiple of four.
const BASE64_GROUP: usize = 16 * 1024;
/// Most bytes of a member's name, or of the value of any member but `zip`.
const MEMBER_CAP: usize = 64 * 1024;

/// Why a body is not an upload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    /// Not the JSON it should be.
    #[error("the upload is not the JSON expected: {what} at byte {at}")]
    Unreadable {
        /// What is wrong.
        what: &'static str,
        /// Position in the body.
        at: u64,
    },
    /// The decoded archive, or the body that carries it, is over the cap.
    #[error("the archive is larger than the {most} bytes this proxy takes")]
    TooLarge {
        /// Most bytes of a decoded archive.
        most: u64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    FirstName,
    Name {
        escaped: bool,
    },
    NextName,
    Colon,
    Value,
    /// A value that is not the archive, kept as text until it ends.
    Other {
        depth: u32,
        text: bool,
        escaped: bool,
    },
    Base64,
    /// After a backslash in the Base64 text, with the characters of the escape so far.
    Base64Escape,
    ArrayFirst,
    ArrayItem,
    Number,
    ArrayComma,
    AfterValue,
    End,
}

/// The reader of one body.
pub(crate) struct UploadBody {
    state: State,
    most: u64,
    received: u64,
    decoded_total: u64,
    decoded: Vec<u8>,
    /// Characters of the name, value, number or Base64 group under way.
    pending: Vec<u8>,
    escape: Vec<u8>,
    padded: bool,
    name: String,
    zip_seen: bool,
    task: Option<String>,
}

impl UploadBody {
    /// A reader that takes at most `most` bytes of decoded archive.
    pub(crate) fn new(most: u64) -> Self {
        Self {
            state: State::Start,
            most,
            received: 0,
            decoded_total: 0,
            decoded: Vec::new(),
            pending: Vec::new(),
            escape: Vec::new(),
            padded: false,
            name: String::new(),
            zip_seen: false,
            task: None,
        }
    }

    /// Takes the next bytes of the body.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Result<(), BodyError> {
        // The longest encoding of a byte is four characters in an array; the rest is room for the other members and for
        // spaces, of which there must be an end too.
        let longest = self.most.saturating_mul(6).saturating_add(1 << 20);
        if self.received.saturating_add(bytes.len() as u64) > longest {
            return Err(BodyError::TooLarge { most: self.most });
        }
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.state == State::Base64 {
                let plain = bytes.iter().take_while(|byte| is_base64(**byte)).count();
                if plain > 0 {
                    let (run, rest) = bytes.split_at(plain);
                    self.base64(run)?;
                    self.received += plain as u64;
                    bytes = rest;
                    continue;
                }
            }
            self.step(byte)?;
            self.received += 1;
            bytes = rest;
        }
        Ok(())
    }

    /// Archive bytes decoded since the last call.
    pub(crate) fn take_decoded(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.decoded)
    }

    /// Ends the body; the answer is its `chainTaskId`, if it had one.
    pub(crate) fn finish(self) -> Result<Option<String>, BodyError> {
        if self.state == State::End {
            Ok(self.task)
        } else {
            Err(self.wrong("it ends too early"))
        }
    }

    fn step(&mut self, byte: u8) -> Result<(), BodyError> {
        let space = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        match self.state {
            State::Name { escaped } => self.name_byte(byte, escaped),
            State::Other {
                depth,
                text,
                escaped,
            } => self.other_byte(byte, depth, text, escaped),
            State::Base64 => self.base64_byte(byte),
            State::Base64Escape => self.escape_byte(byte),
            State::Number => self.number_byte(byte, space),
            _ if space => Ok(()),
            State::Start => self.expect(byte, b'{', State::FirstName, "an object is expected"),
            State::FirstName if byte == b'}' => self.go(State::End),
            State::FirstName | State::NextName => {
                self.pending = vec![byte];
                let name = State::Name { escaped: false };
                self.expect(byte, b'"', name, "a member's name is expected")
            }
            State::Colon => self.expect(byte, b':', State::Value, "a colon is expected"),
            State::Value => self.value_byte(byte),
            State::ArrayFirst if byte == b']' => self.go(State::AfterValue),
            State::ArrayFirst | State::ArrayItem => {
                self.pending = vec![byte];
                self.go(State::Number)
            }
            State::ArrayComma | State::AfterValue => self.separator(byte),
            State::End => Err(self.wrong("something follows the object")),
        }
    }

    fn go(&mut self, state: State) -> Result<(), BodyError> {
        self.state = state;
        Ok(())
    }

    fn expect(
        &mut self,
        byte: u8,
        wanted: u8,
        next: State,
        what: &'static str,
    ) -> Result<(), BodyError> {
        if byte == wanted {
            self.go(next)
        } else {
            Err(self.wrong(what))
        }
    }

    fn wrong(&self, what: &'static str) -> BodyError {
        BodyError::Unreadable {
            what,
            at: self.received,
        }
    }

    fn separator(&mut self, byte: u8) -> Result<(), BodyError> {
        match (self.state, byte) {
            (State::ArrayComma, b',') => self.go(State::ArrayItem),
            (State::ArrayComma, b']') => self.go(State::AfterValue),
            (State::AfterValue, b',') => self.go(State::NextName),
            (State::AfterValue, b'}') => self.go(State::End),
            _ => Err(self.wrong("a comma or a closing bracket is expected")),
        }
    }

    fn name_byte(&mut self, byte: u8, escaped: bool) -> Result<(), BodyError> {
        self.keep(byte)?;
        if escaped || byte != b'"' {
            return self.go(State::Name {
                escaped: !escaped && byte == b'\\',
            });
        }
        let name = serde_json::from_slice(&self.pending);
        self.name = name.map_err(|_| self.wrong("a member's name is malformed"))?;
        self.go(State::Colon)
    }

    fn value_byte(&mut self, byte: u8) -> Result<(), BodyError> {
        self.pending.clear();
        if self.name != "zip" {
            self.state = State::Other {
                depth: 0,
                text: false,
                escaped: false,
            };
            return self.other_byte(byte, 0, false, false);
        }
        if self.zip_seen {
            return Err(self.wrong("the archive is there twice"));
        }
        match byte {
            b'"' => {
                self.zip_seen = true;
                self.go(State::Base64)
            }
            b'[' => {
                self.zip_seen = true;
                self.go(State::ArrayFirst)
            }
            // An absent archive; the check of the value tells `null` from nonsense.
            b'n' => {
                self.pending.push(byte);
                self.go(State::Other {
                    depth: 0,
                    text: false,
                    escaped: false,
                })
            }
            _ => Err(self.wrong("the archive must be a Base64 text or an array of bytes")),
        }
    }

    fn other_byte(
        &mut self,
        byte: u8,
        depth: u32,
        text: bool,
        escaped: bool,
    ) -> Result<(), BodyError> {
        if text {
            self.keep(byte)?;
            let closes = !escaped && byte == b'"';
            if closes && depth == 0 {
                return self.other_ends();
            }
            let escaped = !escaped && byte == b'\\';
            return self.go(State::Other {
                depth,
                text: !closes,
                escaped,
            });
        }
        match byte {
            b',' | b'}' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => {
                self.other_ends()?;
                self.step(byte)
            }
            b'{' | b'[' => {
                self.keep(byte)?;
                self.go(State::Other {
                    depth: depth + 1,
                    text,
                    escaped,
                })
            }
            b'}' | b']' => {
                self.keep(byte)?;
                match depth {
                    0 => Err(self.wrong("a bracket closes nothing")),
                    1 => self.other_ends(),
                    _ => self.go(State::Other {
                        depth: depth - 1,
                        text,
                        escaped,
                    }),
                }
            }
            _ => {
                self.keep(byte)?;
                self.go(State::Other {
                    depth,
                    text: byte == b'"',
                    escaped,
                })
            }
        }
    }

    fn other_ends(&mut self) -> Result<(), BodyError> {
        let value: serde_json::Value = serde_json::from_slice(&self.pending)
            .map_err(|_| self.wrong("a member's value is malformed"))?;
        match self.name.as_str() {
            "chainTaskId" => match value {
                serde_json::Value::String(task) => self.task = Some(task),
                serde_json::Value::Null => {}
                _ => return Err(self.wrong("chainTaskId must be a text")),
            },
            "zip" if !value.is_null() => return Err(self.wrong("the archive is malformed")),
            _ => {}
        }
        self.pending.clear();
        self.go(State::AfterValue)
    }

    fn keep(&mut self, byte: u8) -> Result<(), BodyError> {
        if self.pending.len() >= MEMBER_CAP {
            return Err(self.wrong("a member other than the archive is too long"));
        }
        self.pending.push(byte);
        Ok(())
    }

    fn base64_byte(&mut self, byte: u8) -> Result<(), BodyError> {
        match byte {
            b'"' => {
                self.decode_group()?;
                self.go(State::AfterValue)
            }
            b'\\' => {
                self.escape.clear();
                self.go(State::Base64Escape)
            }
            b' ' => Ok(()),
            _ => Err(self.wrong("the archive is not Base64")),
        }
    }

    /// JSON may write `/` as `\/` and any character as `\u00xx`; line ends between groups are skipped, as Java does.
    fn escape_byte(&mut self, byte: u8) -> Result<(), BodyError> {
        self.escape.push(byte);
        let plain = match self.escape.as_slice() {
            [b'/'] => b'/',
            [b'n' | b'r' | b't'] => return self.go(State::Base64),
            [b'u'] | [b'u', _] | [b'u', _, _] | [b'u', _, _, _] => return Ok(()),
            [b'u', digits @ ..] => std::str::from_utf8(digits)
                .ok()
                .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
                .and_then(|digits| u8::from_str_radix(digits, 16).ok())
                .filter(|byte| is_base64(*byte))
                .ok_or_else(|| self.wrong("the archive is not Base64"))?,
            _ => return Err(self.wrong("the archive is not Base64")),
        };
        self.base64(&[plain])?;
        self.go(State::Base64)
    }

    fn base64(&mut self, mut run: &[u8]) -> Result<(), BodyError> {
        while !run.is_empty() {
            if self.padded && !run.iter().all(|byte| *byte == b'=') {
                return Err(self.wrong("the archive goes on after its padding"));
            }
            if self.pending.len() == BASE64_GROUP {
                self.decode_group()?;
            }
            let room = (BASE64_GROUP - self.pending.len()).min(run.len());
            let (now, later) = run.split_at(room);
            self.padded |= now.contains(&b'=');
            self.pending.extend_from_slice(now);
            run = later;
        }
        Ok(())
    }

    fn decode_group(&mut self) -> Result<(), BodyError> {
        let bytes = BASE64
            .decode(&self.pending)
            .map_err(|_| self.wrong("the archive is not padded Base64"))?;
        self.pending.clear();
        self.decoded_total += bytes.len() as u64;
        self.decoded.extend_from_slice(&bytes);
        self.within_cap()
    }

    fn number_byte(&mut self, byte: u8, space: bool) -> Result<(), BodyError> {
        if !space && byte != b',' && byte != b']' {
            if self.pending.len() >= 4 {
                return Err(self.wrong("an element of the archive is not a byte"));
            }
            self.pending.push(byte);
            return Ok(());
        }
        let value = byte_of(&self.pending)
            .ok_or_else(|| self.wrong("an element of the archive is not a byte"))?;
        self.pending.clear();
        self.decoded.push(value);
        self.decoded_total += 1;
        self.within_cap()?;
        self.state = State::ArrayComma;
        if space { Ok(()) } else { self.separator(byte) }
    }

    fn within_cap(&self) -> Result<(), BodyError> {
        if self.decoded_total > self.most {
            return Err(BodyError::TooLarge { most: self.most });
        }
        Ok(())
    }
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

/// −128…255, and `null` for 0 (spec result-proxy §3.2).
fn byte_of(text: &[u8]) -> Option<u8> {
    if text == b"null" {
        return Some(0);
    }
    let text = std::str::from_utf8(text).ok()?;
    let digits = text.strip_prefix('-').unwrap_or(text);
    let leading_zero = digits.len() > 1 && digits.starts_with('0');
    if leading_zero || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: i16 = text.parse().ok()?;
    u8::try_from(number)
        .ok()
        .or_else(|| i8::try_from(number).ok().map(i8::cast_unsigned))
}

#[cfg(test)]
mod tests;
