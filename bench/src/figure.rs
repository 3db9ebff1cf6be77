//! What a benchmark says: a number, what it was aimed at, whether that holds, and how it was measured.

use serde::Serialize;

/// What a value should be, in the value's unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Aim {
    /// Not more than this.
    AtMost(f64),
    /// Not less than this.
    AtLeast(f64),
    /// Only told.
    None,
}

impl Aim {
    const fn number(self) -> Option<f64> {
        match self {
            Self::AtMost(number) | Self::AtLeast(number) => Some(number),
            Self::None => None,
        }
    }

    fn holds(self, value: f64) -> Option<bool> {
        match self {
            Self::AtMost(most) => Some(value <= most),
            Self::AtLeast(least) => Some(value >= least),
            Self::None => None,
        }
    }
}

/// One entry of `target/bench.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Figure {
    /// What is measured; stable from one version to the next.
    pub(crate) name: String,
    /// The measured value; null when it could not be measured.
    pub(crate) value: Option<f64>,
    /// The value's unit.
    pub(crate) unit: &'static str,
    #[serde(serialize_with = "number")]
    aim: Aim,
    /// Whether it is as aimed; null where nothing was aimed at.
    pub(crate) holds: Option<bool>,
    /// How it was measured, or why it could not be.
    pub(crate) method: String,
}

fn number<S: serde::Serializer>(aim: &Aim, serializer: S) -> Result<S::Ok, S::Error> {
    aim.number().serialize(serializer)
}

impl Figure {
    /// A measured value, and in words how.
    #[must_use]
    pub(crate) fn new(
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        aim: Aim,
        method: impl Into<String>,
    ) -> Self {
        let value = rounded(value);
        Self {
            name: name.into(),
            value: Some(value),
            unit,
            aim,
            holds: aim.holds(value),
            method: method.into(),
        }
    }

    /// A benchmark that could not be run.
    #[must_use]
    pub(crate) fn failed(name: &str, why: &str) -> Self {
        Self {
            name: name.to_owned(),
            value: None,
            unit: "",
            aim: Aim::None,
            holds: Some(false),
            method: format!("could not be measured: {why}"),
        }
    }

    /// The line for people: name, value, aim, whether it holds.
    #[must_use]
    pub(crate) fn line(&self) -> String {
        let value = self.value.map_or("-".to_owned(), grouped);
        let aim = match self.aim {
            Aim::AtMost(most) => format!("at most {}", grouped(most)),
            Aim::AtLeast(least) => format!("at least {}", grouped(least)),
            Aim::None => String::new(),
        };
        let holds = match self.holds {
            Some(true) => "holds",
            Some(false) => "MISSED",
            None => "",
        };
        format!(
            "{:<38} {value:>14} {:<10} {aim:<20} {holds}",
            self.name, self.unit
        )
        .trim_end()
        .to_owned()
    }
}

/// Four significant digits: more would be noise. Whole numbers stay whole.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let digits = 3 - value.abs().log10().floor() as i32;
    if digits <= 0 {
        return value.round();
    }
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

/// With blanks between thousands.
fn grouped(value: f64) -> String {
    let text = value.to_string();
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut out = String::new();
    for (place, digit) in whole.chars().enumerate() {
        let left = whole.len() - place;
        if place > 0 && left.is_multiple_of(3) && !out.ends_with('-') {
            out.push(' ');
        }
        out.push(digit);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aim_holds_at_its_very_value_and_not_beyond() {
        let at = |value, aim| Figure::new("x", value, "s", aim, "").holds;
        assert_eq!(at(1.0, Aim::AtMost(1.0)), Some(true));
        assert_eq!(at(1.1, Aim::AtMost(1.0)), Some(false));
        assert_eq!(at(0.9, Aim::AtLeast(1.0)), Some(false));
        assert_eq!(at(1.0, Aim::AtLeast(1.0)), Some(true));
        assert_eq!(at(1.0, Aim::None), None);
    }

    #[test]
    fn the_entry_has_the_six_members_that_readers_expect() {
        let entry = serde_json::to_value(Figure::new("x", 12.34567, "ms", Aim::AtMost(20.0), "so"));
        let expected = serde_json::json!({"name": "x", "value": 12.35, "unit": "ms", "aim": 20.0, "holds": true, "method": "so"});
        assert_eq!(entry.unwrap(), expected);
        let failed = serde_json::to_value(Figure::failed("x", "no chain")).unwrap();
        assert_eq!(failed["value"], serde_json::Value::Null);
        assert_eq!(failed["holds"], false);
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(grouped(1_026_295.0), "1 026 295");
        assert_eq!(grouped(999.0), "999");
        assert_eq!(grouped(0.25), "0.25");
        assert_eq!(grouped(-1234.5), "-1 234.5");
        assert_eq!(rounded(1_026_295.4), 1_026_295.0);
        assert_eq!(rounded(0.012_345), 0.012_35);
    }
}
