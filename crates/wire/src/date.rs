//! The text form of moments that Java writes: `2023-11-14T22:13:20.123+00:00`, UTC, milliseconds, never `Z` (spec
//! scheduler-api §1.1).
//!
//! Written in exactly that form. Read as any ISO form with or without an offset, or as a number of milliseconds since the
//! epoch, which is what Java workers send. A moment before 1970 is refused: nothing of this protocol is that old.

use std::fmt;

use poco::units::Timestamp;
use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A text that is no moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no date: expected a form like 2023-11-14T22:13:20.123+00:00, 1970 or later")]
pub struct NotADate {
    /// The text given.
    pub text: String,
}

/// The text that Java writes for `moment`. Years past 9999 are written as the last moment of 9999.
pub fn text(moment: Timestamp) -> String {
    const LAST: i128 = 253_402_300_799_999;
    let millis = i128::from(moment.millis()).min(LAST);
    let date = OffsetDateTime::from_unix_timestamp_nanos(millis * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}+00:00",
        date.year(),
        u8::from(date.month()),
        date.day(),
        date.hour(),
        date.minute(),
        date.second(),
        date.millisecond()
    )
}

/// Reads an ISO form: offset `Z`, `+00:00`, `+0000`, `+00`, or none, which means UTC.
///
/// # Errors
/// When the text is no such form, or the moment is before 1970.
pub fn parse(text: &str) -> Result<Timestamp, NotADate> {
    let wrong = || NotADate {
        text: text.to_owned(),
    };
    let (date, clock) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
    let (clock, offset) = match clock.find(['Z', '+', '-']) {
        Some(at) => clock.split_at(at),
        None => (clock, "Z"),
    };
    let offset = match (offset.len(), offset.contains(':')) {
        (3, false) => format!("{offset}:00"),
        (5, false) => {
            let (hours, minutes) = offset.split_at_checked(3).ok_or_else(wrong)?;
            format!("{hours}:{minutes}")
        }
        _ => offset.to_owned(),
    };
    let seconds = if clock.matches(':').count() == 1 {
        ":00"
    } else {
        ""
    };
    let moment = OffsetDateTime::parse(&format!("{date}T{clock}{seconds}{offset}"), &Rfc3339)
        .map_err(|_| wrong())?;
    let millis = moment.unix_timestamp_nanos().div_euclid(1_000_000);
    u64::try_from(millis).map(Timestamp).map_err(|_| wrong())
}

/// `#[serde(with = "wire::date")]` for a [`Timestamp`]: writes the text.
///
/// # Errors
/// Those of the serialiser.
pub fn serialize<S: Serializer>(moment: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text(*moment))
}

/// `#[serde(with = "wire::date")]` for a [`Timestamp`]: reads text or milliseconds.
///
/// # Errors
/// When there is neither.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    optional::deserialize(deserializer)?.ok_or_else(|| D::Error::custom("a date is missing"))
}

/// `#[serde(with = "wire::date::optional", default)]` for an `Option<Timestamp>`: `null` for none.
pub mod optional {
    use super::*;

    /// Writes the text, or `null`.
    ///
    /// # Errors
    /// Those of the serialiser.
    pub fn serialize<S: Serializer>(
        moment: &Option<Timestamp>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match moment {
            Some(moment) => super::serialize(moment, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads text, milliseconds or `null`.
    ///
    /// # Errors
    /// When there is something that is no moment.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        deserializer.deserialize_any(MomentVisitor)
    }
}

struct MomentVisitor;

impl Visitor<'_> for MomentVisitor {
    type Value = Option<Timestamp>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an ISO date, milliseconds since 1970, or null")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E: Error>(self, millis: u64) -> Result<Self::Value, E> {
        Ok(Some(Timestamp(millis)))
    }

    fn visit_i64<E: Error>(self, millis: i64) -> Result<Self::Value, E> {
        u64::try_from(millis)
            .map(|millis| Some(Timestamp(millis)))
            .map_err(|_| E::custom(format!("{millis} is a date before 1970")))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        if let Ok(millis) = text.parse::<u64>() {
            // A bare number of four digits is a year to Java too, but no peer of ours writes one.
            return Ok(Some(Timestamp(millis)));
        }
        parse(text).map(Some).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Timestamp = Timestamp(1_700_000_000_123);

    #[test]
    fn a_moment_is_written_as_java_writes_it() {
        assert_eq!(text(MOMENT), "2023-11-14T22:13:20.123+00:00");
        assert_eq!(text(Timestamp(0)), "1970-01-01T00:00:00.000+00:00");
        assert_eq!(text(Timestamp(u64::MAX)), "9999-12-31T23:59:59.999+00:00");
    }

    #[test]
    fn every_iso_form_of_a_moment_is_read() {
        for form in [
            "2023-11-14T22:13:20.123+00:00",
            "2023-11-14T22:13:20.123Z",
            "2023-11-14T22:13:20.123+0000",
            "2023-11-14T22:13:20.123+00",
            "2023-11-14T22:13:20.123",
            "2023-11-14T23:43:20.123+01:30",
            "2023-11-14T20:13:20.123456789-0200",
        ] {
            assert_eq!(parse(form).unwrap(), MOMENT, "{form}");
        }
        assert_eq!(
            parse("2023-11-14").unwrap(),
            Timestamp::from_secs(1_699_920_000)
        );
    }

    #[test]
    fn milliseconds_are_read_as_a_number_and_as_text() {
        #[derive(serde::Deserialize)]
        struct Holder {
            #[serde(with = "optional", default)]
            date: Option<Timestamp>,
        }
        let read = |json: &str| serde_json::from_str::<Holder>(json).map(|holder| holder.date);
        assert_eq!(read(r#"{"date":1700000000123}"#).unwrap(), Some(MOMENT));
        assert_eq!(read(r#"{"date":"1700000000123"}"#).unwrap(), Some(MOMENT));
        assert_eq!(read(r#"{"date":null}"#).unwrap(), None);
        assert_eq!(read("{}").unwrap(), None);
        assert!(read(r#"{"date":-1}"#).is_err());
        assert!(read(r#"{"date":"yesterday"}"#).is_err());
    }
}
