//! Reading what Java's decoder reads: numbers and booleans given as text, and `null` for "the default" (spec scheduler-api
//! §1.1).
//!
//! Only for reading; what we write is strict. A value that does not fit its type is an error, never cut.

use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::str::FromStr;

use alloy_primitives::Address;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// The value, or the default for `null`.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A whole number, as number or text; zero for `null` or an empty text.
pub(crate) fn number<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i128> + Default,
{
    optional_number(deserializer).map(Option::unwrap_or_default)
}

/// A whole number, as number or text; none for `null` or an empty text.
pub(crate) fn optional_number<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i128>,
{
    let number = deserializer.deserialize_any(ScalarVisitor::<i128>::new("a whole number"))?;
    number
        .map(|number| {
            T::try_from(number).map_err(|_| D::Error::custom(format!("{number} does not fit here")))
        })
        .transpose()
}

/// A boolean, as such or as text; false for `null` or an empty text.
pub(crate) fn boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    deserializer
        .deserialize_any(ScalarVisitor::<Truth>::new("a boolean"))
        .map(|truth| truth.is_some_and(|truth| truth.0))
}

/// An address in any letter case; the zero address for `null` or an empty text.
pub(crate) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
    optional_address(deserializer).map(Option::unwrap_or_default)
}

/// An address in any letter case; none for `null` or an empty text.
pub(crate) fn optional_address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Address>, D::Error> {
    match Option::<String>::deserialize(deserializer)? {
        Some(text) if !text.is_empty() => poco::hex::address(&text)
            .map(Some)
            .map_err(D::Error::custom),
        _ => Ok(None),
    }
}

/// Text that may be absent; none for `null` or an empty text.
pub(crate) fn optional_parsed<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    match Option::<String>::deserialize(deserializer)? {
        Some(text) if !text.is_empty() => text.parse().map(Some).map_err(D::Error::custom),
        _ => Ok(None),
    }
}

/// `true` or `false` in any letter case, which `bool` itself does not read.
struct Truth(bool);

impl FromStr for Truth {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.eq_ignore_ascii_case("true") {
            Ok(Self(true))
        } else if text.eq_ignore_ascii_case("false") {
            Ok(Self(false))
        } else {
            Err(())
        }
    }
}

/// A scalar made of text that JSON gives as number, boolean or text.
struct ScalarVisitor<T> {
    expected: &'static str,
    made: PhantomData<T>,
}

impl<T> ScalarVisitor<T> {
    const fn new(expected: &'static str) -> Self {
        Self {
            expected,
            made: PhantomData,
        }
    }
}

impl<T: FromStr> Visitor<'_> for ScalarVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_unit<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_none<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Option<T>, E> {
        self.visit_str(if value { "true" } else { "false" })
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Option<T>, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Option<T>, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Option<T>, E> {
        // Java takes 5.0 for 5, and so do we; 5.5 is refused.
        self.visit_str(&value.to_string())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Option<T>, E> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        text.parse()
            .map(Some)
            .map_err(|_| E::custom(format!("{text:?} is not {}", self.expected)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Shape {
        #[serde(default, deserialize_with = "number")]
        count: u32,
        #[serde(default, deserialize_with = "boolean")]
        flag: bool,
        #[serde(default, deserialize_with = "optional_number")]
        code: Option<i32>,
    }

    fn read(json: &str) -> Result<Shape, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn numbers_and_booleans_are_read_from_text_too() {
        let expected = Shape {
            count: 5,
            flag: true,
            code: Some(-1),
        };
        assert_eq!(
            read(r#"{"count":5,"flag":true,"code":-1}"#).unwrap(),
            expected
        );
        assert_eq!(
            read(r#"{"count":"5","flag":"TRUE","code":"-1"}"#).unwrap(),
            expected
        );
        assert_eq!(
            read(r#"{"count":5.0,"flag":"true","code":-1,"unknown":{}}"#).unwrap(),
            expected
        );
    }

    #[test]
    fn null_and_absent_mean_the_default() {
        let expected = Shape {
            count: 0,
            flag: false,
            code: None,
        };
        assert_eq!(
            read(r#"{"count":null,"flag":null,"code":null}"#).unwrap(),
            expected
        );
        assert_eq!(read("{}").unwrap(), expected);
    }

    #[test]
    fn a_number_that_does_not_fit_is_an_error() {
        assert!(
            read(r#"{"count":-1}"#)
                .unwrap_err()
                .to_string()
                .contains("-1 does not fit")
        );
        assert!(read(r#"{"count":5.5}"#).is_err());
        assert!(read(r#"{"count":"many"}"#).is_err());
    }
}
