//! A setting's value: its kind, its limits, and what it is when it is not set.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use alloy_primitives::Address;
use url::Url;

use super::errors::{ConfigError, Noted};
use super::reader::{Found, Reader, Var};
use super::{Secret, parse};

type Parse<T> = Box<dyn Fn(&str) -> Option<T>>;

/// A setting that was looked up and waits to be told what it is when it is not set.
#[must_use = "a setting is read by `or`, `or_text`, `required` or `optional`"]
pub struct Setting<'r, 'e, T> {
    reader: &'r mut Reader<'e>,
    name: &'static str,
    found: Option<Found>,
    secret: bool,
    expected: String,
    parse: Parse<T>,
}

/// A value together with the very text that was given, for what must be passed on letter by letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept<T> {
    /// The text given.
    pub text: String,
    /// What it means.
    pub value: T,
}

impl<'r, 'e> Var<'r, 'e> {
    /// A value that `parse` reads; `expected` says what it must be, as in "a port, 0 to 65535".
    pub fn parsed<T>(
        mut self,
        expected: impl Into<String>,
        parse: impl Fn(&str) -> Option<T> + 'static,
    ) -> Setting<'r, 'e, T> {
        let found = self.find(false);
        Setting {
            reader: self.reader,
            name: self.name,
            found,
            secret: false,
            expected: format!("must be {}", expected.into()),
            parse: Box::new(move |text| parse(text.trim())),
        }
    }

    /// A value that reads itself.
    pub fn parse<T: FromStr>(self, expected: impl Into<String>) -> Setting<'r, 'e, T> {
        self.parsed(expected, |text| text.parse().ok())
    }

    /// Any text.
    pub fn text(self) -> Setting<'r, 'e, String> {
        self.parsed("a text", |text| Some(text.to_owned()))
    }

    /// A TCP port.
    pub fn port(self) -> Setting<'r, 'e, u16> {
        self.parse("a port, 0 to 65535")
    }

    /// A whole number of the wanted size.
    pub fn number<T: FromStr>(self) -> Setting<'r, 'e, T> {
        self.parse("a whole number")
    }

    /// A number that may have a fraction; neither infinite nor "not a number".
    pub fn float(self) -> Setting<'r, 'e, f64> {
        self.parsed("a number", |text| {
            text.parse().ok().filter(|number: &f64| number.is_finite())
        })
    }

    /// `true` or `false`, also `yes`, `no`, `on`, `off`, `1`, `0`.
    pub fn boolean(self) -> Setting<'r, 'e, bool> {
        self.parsed("true or false", parse::boolean)
    }

    /// An http or https URL.
    pub fn url(self) -> Setting<'r, 'e, Url> {
        self.parsed("an http:// or https:// URL", parse::url)
    }

    /// One or more http or https URLs, separated by commas.
    pub fn urls(self) -> Setting<'r, 'e, Vec<Url>> {
        self.parsed(
            "one or more http:// or https:// URLs, separated by commas",
            |text| {
                parse::list(text)
                    .map(parse::url)
                    .collect::<Option<Vec<_>>>()
                    .filter(|list| !list.is_empty())
            },
        )
    }

    /// A length of time: `PT5S`, `5s`, `500ms`, `2m`, `1h`, `3d`, or a bare number of milliseconds.
    pub fn duration(self) -> Setting<'r, 'e, Duration> {
        self.parsed(
            "a duration such as PT5S, 5s, 500ms or 5000 (milliseconds)",
            parse::duration,
        )
    }

    /// An address on the chain, in any letter case.
    pub fn address(self) -> Setting<'r, 'e, Address> {
        self.parsed("an address, 0x and 40 hex digits", |text| {
            poco::hex::address(text)
                .ok()
                .filter(|_| text.starts_with("0x"))
        })
    }

    /// A list separated by commas; blanks around and empty elements do not count.
    pub fn list(self) -> Setting<'r, 'e, Vec<String>> {
        self.parsed("a list separated by commas", |text| {
            Some(parse::list(text).map(str::to_owned).collect())
        })
    }

    /// A path of the file system.
    pub fn path(self) -> Setting<'r, 'e, PathBuf> {
        self.parsed("a path", |text| Some(PathBuf::from(text)))
    }

    /// A secret: kept letter by letter, hidden in errors, and also read from the file that `<NAME>_FILE` names, less the line
    /// end at its end.
    pub fn secret(mut self) -> Setting<'r, 'e, Secret> {
        let found = self.find(true).or_else(|| self.secret_in_file());
        Setting {
            reader: self.reader,
            name: self.name,
            found,
            secret: true,
            expected: "must be a text".to_owned(),
            parse: Box::new(|text| Some(Secret::new(text))),
        }
    }

    fn secret_in_file(&mut self) -> Option<Found> {
        let file = self.file_of(&format!("{}_FILE", self.name))?;
        match self.reader.env().file(file.text.trim()) {
            Ok(mut text) => {
                let end = text.trim_end_matches(['\r', '\n']).len();
                text.truncate(end);
                Some(Found {
                    name: file.name,
                    text,
                })
            }
            Err(error) => {
                self.reader.note(ConfigError {
                    name: file.name,
                    value: Some(format!("{:?}", file.text)),
                    expected: format!("must be a file that can be read ({error})"),
                });
                None
            }
        }
    }
}

impl<T: 'static> Setting<'_, '_, T> {
    /// The variable that sets it, under the name that wins; its first name when nothing does.
    pub fn set_by(&self) -> &str {
        self.found.as_ref().map_or(self.name, |found| &found.name)
    }

    /// Narrows what is accepted; `expected` says what it must be, as in "greater than 0".
    pub fn check(self, expected: impl Into<String>, fits: impl Fn(&T) -> bool + 'static) -> Self {
        let parse = self.parse;
        Self {
            expected: format!("must be {}", expected.into()),
            parse: Box::new(move |text| parse(text).filter(&fits)),
            ..self
        }
    }

    /// The value, or `default` when it is not set. (Also when it is wrong, which is noted.)
    pub fn or(self, default: T) -> T {
        self.read().ok().flatten().unwrap_or(default)
    }

    /// The value, or none when it is not set. (Also when it is wrong, which is noted.)
    pub fn optional(self) -> Option<T> {
        self.read().ok().flatten()
    }

    /// The value, which must be set. The result is taken apart in [`Reader::finish`].
    ///
    /// # Errors
    /// When it is not set or wrong; this is noted.
    pub fn required(self) -> Result<T, Noted> {
        let missing = ConfigError {
            name: self.name.to_owned(),
            value: None,
            expected: self.expected.clone(),
        };
        let (value, reader) = self.read_keeping()?;
        value.ok_or_else(|| {
            reader.note(missing);
            Noted(())
        })
    }

    /// The value, or what `default` means when it is not set. The result is taken apart in [`Reader::finish`].
    ///
    /// # Errors
    /// When the value is wrong; this is noted.
    pub fn or_text(mut self, default: &str) -> Result<T, Noted> {
        if self.found.is_none() {
            self.found = Some(Found {
                name: self.name.to_owned(),
                text: default.to_owned(),
            });
        }
        self.required()
    }

    fn read(self) -> Result<Option<T>, Noted> {
        self.read_keeping().map(|(value, _)| value)
    }
}

impl<'r, 'e, T: 'static> Setting<'r, 'e, T> {
    /// The value together with the text given.
    pub fn kept(self) -> Setting<'r, 'e, Kept<T>> {
        let parse = self.parse;
        Setting {
            reader: self.reader,
            name: self.name,
            found: self.found,
            secret: self.secret,
            expected: self.expected,
            parse: Box::new(move |text| {
                parse(text).map(|value| Kept {
                    text: text.trim().to_owned(),
                    value,
                })
            }),
        }
    }

    fn read_keeping(self) -> Result<(Option<T>, &'r mut Reader<'e>), Noted> {
        let Some(found) = self.found else {
            return Ok((None, self.reader));
        };
        match (self.parse)(&found.text) {
            Some(value) => Ok((Some(value), self.reader)),
            None => {
                let shown = if self.secret {
                    "hidden".to_owned()
                } else {
                    format!("{:?}", found.text)
                };
                self.reader.note(ConfigError {
                    name: found.name,
                    value: Some(shown),
                    expected: self.expected,
                });
                Err(Noted(()))
            }
        }
    }
}
