//! The figures one by one, under the names that the original's library gives them: `/actuator/metrics`. They are read from the text that
//! Prometheus gets, so both say the same.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// One figure, as the original's framework shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meter {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base_unit: Option<&'static str>,
    measurements: Vec<Measurement>,
    available_tags: Vec<AvailableTag>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Measurement {
    statistic: &'static str,
    value: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct AvailableTag {
    tag: String,
    values: BTreeSet<String>,
}

/// A family of samples in the text.
#[derive(Debug, Default)]
struct Family<'a> {
    kind: &'a str,
    help: Option<&'a str>,
    samples: Vec<Sample<'a>>,
}

#[derive(Debug)]
struct Sample<'a> {
    /// What the sample's name has after the family's.
    ending: &'a str,
    tags: BTreeMap<&'a str, String>,
    value: f64,
}

/// Names in order.
pub(super) fn names(text: &str) -> BTreeSet<String> {
    families(text)
        .into_iter()
        .filter(|(_, family)| !family.samples.is_empty())
        .map(|(name, _)| dotted(name))
        .collect()
}

/// The figure called `name`, summed over the samples that have all of `tags`; none when there is no such sample.
pub(super) fn meter(text: &str, name: &str, tags: &[(&str, &str)]) -> Option<Meter> {
    let families = families(text);
    let (family_name, family) = families.iter().find(|(one, _)| dotted(one) == name)?;
    let has_tags = |sample: &&Sample<'_>| {
        let has =
            |(tag, value): &(&str, &str)| sample.tags.get(tag).is_some_and(|one| one == value);
        tags.iter().all(has)
    };
    let samples: Vec<_> = family.samples.iter().filter(has_tags).collect();
    if samples.is_empty() {
        return None;
    }
    let sum = |ending: &str| {
        samples
            .iter()
            .filter(|one| one.ending == ending)
            .map(|one| one.value)
            .sum()
    };
    let statistics: &[(&'static str, &str)] = match family.kind {
        "counter" => &[("COUNT", "_total")],
        "histogram" => &[("COUNT", "_count"), ("TOTAL_TIME", "_sum")],
        _ => &[("VALUE", "")],
    };
    let mut available: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (tag, value) in samples.iter().flat_map(|sample| &sample.tags) {
        let asked_for = tags.iter().any(|(one, _)| one == tag);
        if !asked_for && *tag != "le" {
            available.entry(tag).or_default().insert(value.clone());
        }
    }
    Some(Meter {
        name: name.to_owned(),
        description: family.help.map(str::to_owned),
        base_unit: family_name.ends_with("_seconds").then_some("seconds"),
        measurements: statistics
            .iter()
            .map(|(statistic, ending)| Measurement {
                statistic,
                value: sum(ending),
            })
            .collect(),
        available_tags: available
            .into_iter()
            .map(|(tag, values)| AvailableTag {
                tag: tag.to_owned(),
                values,
            })
            .collect(),
    })
}

/// The name of the original's library: the unit is said apart.
fn dotted(name: &str) -> String {
    name.strip_suffix("_seconds")
        .unwrap_or(name)
        .replace('_', ".")
}

fn families(text: &str) -> Vec<(&str, Family<'_>)> {
    let mut families: Vec<(&str, Family<'_>)> = Vec::new();
    for line in text.lines() {
        if let Some(told) = line.strip_prefix("# ") {
            let mut words = told.splitn(3, ' ');
            let (Some(what), Some(name)) = (words.next(), words.next()) else {
                continue;
            };
            if families.last().is_none_or(|(last, _)| *last != name) {
                families.push((name, Family::default()));
            }
            if let Some((_, family)) = families.last_mut() {
                match what {
                    "TYPE" => family.kind = words.next().unwrap_or_default(),
                    "HELP" => family.help = words.next().map(|help| help.trim_end_matches('.')),
                    _ => {}
                }
            }
        } else if let Some((name, family)) = families.last_mut()
            && let Some(sample) = sample(name, line)
        {
            family.samples.push(sample);
        }
    }
    families
}

/// `name_ending{tag="value",…} 1.0`
fn sample<'a>(family: &str, line: &'a str) -> Option<Sample<'a>> {
    let rest = line.strip_prefix(family)?;
    let at = rest.find(['{', ' '])?;
    let (ending, mut rest) = rest.split_at(at);
    let mut tags = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while let Some((tag, value)) = rest.split_once("=\"") {
            let (text, after) = unquoted(value)?;
            tags.insert(tag, text);
            match after.strip_prefix(',') {
                Some(next) => rest = next,
                None => {
                    rest = after;
                    break;
                }
            }
        }
        rest = rest.strip_prefix('}')?;
    }
    let value = rest.trim().split(' ').next()?.parse().ok()?;
    Some(Sample {
        ending,
        tags,
        value,
    })
}

/// A text up to its closing quote, and what follows.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut plain = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((plain, text.get(at + 1..)?)),
            '\\' => match characters.next()?.1 {
                'n' => plain.push('\n'),
                other => plain.push(other),
            },
            other => plain.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# HELP iexec_core_tasks_count tasks per status.
# TYPE iexec_core_tasks_count gauge
iexec_core_tasks_count{period="current",status="RUNNING"} 2
iexec_core_tasks_count{period="current",status="FAILED"} 3
# HELP iexec_core_deals deals handled.
# TYPE iexec_core_deals counter
iexec_core_deals_total 5
# HELP http_server_requests_seconds Time to answer a request.
# TYPE http_server_requests_seconds histogram
http_server_requests_seconds_sum{method="GET",uri="/a\"b",status="200"} 0.5
http_server_requests_seconds_count{method="GET",uri="/a\"b",status="200"} 4
http_server_requests_seconds_bucket{le="0.005",method="GET",uri="/a\"b",status="200"} 4
# EOF
"#;

    fn shown(name: &str, tags: &[(&str, &str)]) -> String {
        meter(TEXT, name, tags)
            .map_or_else(String::new, |meter| serde_json::to_string(&meter).unwrap())
    }

    #[test]
    fn figures_have_the_original_s_names() {
        let expected = [
            "http.server.requests",
            "iexec.core.deals",
            "iexec.core.tasks.count",
        ];
        assert_eq!(names(TEXT), expected.map(str::to_owned).into());
    }

    #[test]
    fn a_figure_is_summed_over_the_tags_that_are_asked_for() {
        assert_eq!(
            shown("iexec.core.tasks.count", &[]),
            r#"{"name":"iexec.core.tasks.count","description":"tasks per status","measurements":[{"statistic":"VALUE","value":5.0}],"availableTags":[{"tag":"period","values":["current"]},{"tag":"status","values":["FAILED","RUNNING"]}]}"#
        );
        assert_eq!(
            shown("iexec.core.tasks.count", &[("status", "RUNNING")]),
            r#"{"name":"iexec.core.tasks.count","description":"tasks per status","measurements":[{"statistic":"VALUE","value":2.0}],"availableTags":[{"tag":"period","values":["current"]}]}"#
        );
        assert_eq!(shown("iexec.core.tasks.count", &[("status", "NONE")]), "");
        assert_eq!(shown("iexec.core", &[]), "");
    }

    #[test]
    fn counters_and_timers_are_counted() {
        assert_eq!(
            shown("iexec.core.deals", &[]),
            r#"{"name":"iexec.core.deals","description":"deals handled","measurements":[{"statistic":"COUNT","value":5.0}],"availableTags":[]}"#
        );
        assert_eq!(
            shown("http.server.requests", &[("uri", "/a\"b")]),
            r#"{"name":"http.server.requests","description":"Time to answer a request","baseUnit":"seconds","measurements":[{"statistic":"COUNT","value":4.0},{"statistic":"TOTAL_TIME","value":0.5}],"availableTags":[{"tag":"method","values":["GET"]},{"tag":"status","values":["200"]}]}"#
        );
    }
}
