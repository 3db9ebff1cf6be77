//! Durations in the text form of Java: ISO 8601 such as `PT5S` or `PT1M30.5S` (spec scheduler-api §1.1).
//!
//! Written in the largest units as Java does it, hours at most; days are read and never written. Negative durations are
//! refused: nothing of this protocol lasts less than no time.

use std::fmt;
use std::time::Duration;

use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};

/// A text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no duration: expected a form like PT5S, PT1M30S or PT0.5S")]
pub struct NotADuration {
    /// The text given.
    pub text: String,
}

/// The text that Java writes: `PT0S`, `PT5S`, `PT1M`, `PT26H0.5S`.
pub fn text(duration: Duration) -> String {
    let whole = duration.as_secs();
    let (hours, minutes, seconds) = (whole / 3600, whole % 3600 / 60, whole % 60);
    let nanos = duration.subsec_nanos();
    let mut text = String::from("PT");
    if hours > 0 {
        text.push_str(&format!("{hours}H"));
    }
    if minutes > 0 {
        text.push_str(&format!("{minutes}M"));
    }
    if nanos > 0 {
        let fraction = format!("{nanos:09}");
        text.push_str(&format!("{seconds}.{}S", fraction.trim_end_matches('0')));
    } else if seconds > 0 || whole == 0 {
        text.push_str(&format!("{seconds}S"));
    }
    text
}

/// Reads the ISO form, in any letter case, with days, hours, minutes and a decimal fraction of seconds.
///
/// # Errors
/// When the text has another form or its length does not fit.
pub fn parse(text: &str) -> Result<Duration, NotADuration> {
    read_iso(text).ok_or_else(|| NotADuration {
        text: text.to_owned(),
    })
}

fn read_iso(text: &str) -> Option<Duration> {
    let upper = text.trim().to_ascii_uppercase();
    let rest = upper.strip_prefix('P')?;
    let (days, clock) = match rest.split_once('T') {
        Some((_, "")) => return None,
        Some((days, clock)) => (days, clock),
        None if rest.is_empty() => return None,
        None => (rest, ""),
    };
    let mut total = Duration::ZERO;
    if !days.is_empty() {
        total = add_whole(total, days.strip_suffix('D')?, 86_400)?;
    }
    let mut rest = clock;
    for (unit, seconds) in [('H', 3600), ('M', 60)] {
        if let Some((count, after)) = rest.split_once(unit) {
            total = add_whole(total, count, seconds)?;
            rest = after;
        }
    }
    if !rest.is_empty() {
        total = total.checked_add(read_seconds(rest.strip_suffix('S')?)?)?;
    }
    Some(total)
}

fn add_whole(total: Duration, count: &str, seconds: u64) -> Option<Duration> {
    let count: u64 = digits(count)?.parse().ok()?;
    total.checked_add(Duration::from_secs(count.checked_mul(seconds)?))
}

/// `5`, `0.25` or `.5`, down to nanoseconds.
fn read_seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = match text.split_once('.') {
        Some(("", fraction)) => ("0", fraction),
        Some(both) => both,
        None => (text, "0"),
    };
    let whole: u64 = digits(whole)?.parse().ok()?;
    let nanos: u32 = format!("{:0<9}", digits(fraction)?)
        .get(..9)?
        .parse()
        .ok()?;
    Some(Duration::new(whole, nanos))
}

fn digits(text: &str) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

/// `#[serde(with = "wire::duration")]`: writes the ISO text.
///
/// # Errors
/// Those of the serialiser.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text(*duration))
}

/// `#[serde(with = "wire::duration")]`: reads ISO text or a number of seconds, as Java does.
///
/// # Errors
/// When there is neither.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    struct DurationVisitor;

    impl Visitor<'_> for DurationVisitor {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an ISO duration such as PT5S, or a number of seconds")
        }

        fn visit_u64<E: Error>(self, seconds: u64) -> Result<Duration, E> {
            Ok(Duration::from_secs(seconds))
        }

        fn visit_f64<E: Error>(self, seconds: f64) -> Result<Duration, E> {
            Duration::try_from_secs_f64(seconds).map_err(E::custom)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
            match read_seconds(text.trim()) {
                Some(seconds) => Ok(seconds),
                None => parse(text).map_err(E::custom),
            }
        }
    }

    deserializer.deserialize_any(DurationVisitor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_written_as_java_writes_it() {
        for (millis, text_of_java) in [
            (0, "PT0S"),
            (5_000, "PT5S"),
            (500, "PT0.5S"),
            (60_000, "PT1M"),
            (90_250, "PT1M30.25S"),
            (3_600_000, "PT1H"),
            (93_600_000, "PT26H"),
        ] {
            assert_eq!(text(Duration::from_millis(millis)), text_of_java);
            assert_eq!(parse(text_of_java).unwrap(), Duration::from_millis(millis));
        }
    }

    #[test]
    fn days_and_small_letters_are_read() {
        assert_eq!(parse("P1DT1S").unwrap(), Duration::from_secs(86_401));
        assert_eq!(parse("pt5s").unwrap(), Duration::from_secs(5));
        assert_eq!(parse("P2D").unwrap(), Duration::from_secs(172_800));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for wrong in [
            "",
            "P",
            "PT",
            "5",
            "PT5",
            "PT-5S",
            "PTS",
            "PT1S1M",
            "P1S",
            "PT99999999999999999999S",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_number_counts_seconds() {
        #[derive(serde::Deserialize)]
        struct Holder(#[serde(with = "super")] Duration);
        let read = |json: &str| serde_json::from_str::<Holder>(json).map(|holder| holder.0);
        assert_eq!(read("5").unwrap(), Duration::from_secs(5));
        assert_eq!(read("5.000000000").unwrap(), Duration::from_secs(5));
        assert_eq!(read("0.25").unwrap(), Duration::from_millis(250));
        assert_eq!(read("\"PT5s\"").unwrap(), Duration::from_secs(5));
        assert_eq!(read("\"5\"").unwrap(), Duration::from_secs(5));
        assert!(read("-1").is_err());
    }
}
