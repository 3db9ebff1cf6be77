//! What differs between a recorded answer and ours.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::recording::Exchange;
use crate::support::Answer;

/// Members that are each world's own: they must be there, and of the same kind.
const OWN: [&str; 15] = [
    "chainTaskId",
    "dealId",
    "value",
    "id",
    "timestamp",
    "workerPoolAddress",
    "schedulerPublicAddress",
    "configServerUrl",
    "resultRepositoryURL",
    "askForReplicatePeriod",
    "entropy",
    "blockNumber",
    "workersAddress",
    "participatingChainTaskIds",
    "lastAliveDate",
];

/// One line for each difference.
#[derive(Debug, Default)]
pub(crate) struct Differences(BTreeSet<String>);

impl Differences {
    pub(crate) fn found(self) -> BTreeSet<String> {
        self.0
    }

    pub(crate) fn note(&mut self, row: String) {
        self.0.insert(row);
    }

    /// Compares an answer with the recorded one.
    pub(crate) fn of(&mut self, exchange: &Exchange, answer: &Answer) {
        let name = exchange.name();
        let status = answer.status.as_u16();
        if status != exchange.status {
            return self.note(format!("{name}: {} → {status}", exchange.status));
        }
        let (theirs, ours) = (
            exchange.content_type.as_deref(),
            answer.header("content-type"),
        );
        if theirs != ours {
            self.note(format!("{name} content type: {theirs:?} → {ours:?}"));
        }
        self.of_text(&name, &exchange.response, &answer.text);
    }

    fn of_text(&mut self, name: &str, theirs: &str, ours: &str) {
        let parsed = |text: &str| serde_json::from_str::<Value>(text).ok();
        match (parsed(theirs), parsed(ours)) {
            (Some(theirs), Some(ours)) => self.of_json(name, "", &theirs, &ours),
            (None, None) if kind(theirs) == kind(ours) => {}
            _ => self.note(format!("{name}: {theirs:?} → {ours:?}")),
        }
    }

    /// Compares two JSON values; `at` is the way to them.
    pub(crate) fn of_json(&mut self, name: &str, at: &str, theirs: &Value, ours: &Value) {
        match (theirs, ours) {
            (Value::Object(theirs), Value::Object(ours)) => {
                for (key, value) in theirs {
                    match ours.get(key) {
                        Some(own) => self.of_json(name, &format!("{at}/{key}"), value, own),
                        None => self.note(format!("{name} {at}/{key}: {value} → absent")),
                    }
                }
                for key in ours.keys().filter(|key| !theirs.contains_key(*key)) {
                    self.note(format!("{name} {at}/{key}: absent → there"));
                }
            }
            (Value::Array(theirs), Value::Array(ours)) if theirs.len() == ours.len() => {
                for (place, (theirs, ours)) in theirs.iter().zip(ours).enumerate() {
                    self.of_json(name, &format!("{at}/{place}"), theirs, ours);
                }
            }
            (theirs, ours) if theirs == ours => {}
            (theirs, ours) => {
                let is_own = OWN.iter().any(|own| at.split('/').any(|part| part == *own));
                let same_kind = std::mem::discriminant(theirs) == std::mem::discriminant(ours);
                let same_form = match (theirs.as_str(), ours.as_str()) {
                    (Some(theirs), Some(ours)) => kind(theirs) == kind(ours),
                    _ => true,
                };
                if !(is_own && same_kind && same_form) {
                    self.note(format!("{name} {at}: {theirs} → {ours}"));
                }
            }
        }
    }
}

/// What a text is, where it is different each time.
fn kind(text: &str) -> String {
    let is_hex = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    if let Some(hex) = text.strip_prefix("0x") {
        // Addresses that come from settings keep their spelling.
        let is_lower = is_hex(hex) || hex.len() == 40;
        return format!("hex {} {is_lower}", hex.len());
    }
    if text.starts_with("http://") {
        return "URL".to_owned();
    }
    if text.split('.').count() == 3 && text.starts_with("eyJ") {
        return "token".to_owned();
    }
    if text.len() == 44 && text.ends_with('=') {
        return "challenge".to_owned();
    }
    if text.len() == 24 && is_hex(text) {
        return "object id".to_owned();
    }
    if text.ends_with("+00:00") && text.len() == 29 {
        return "date".to_owned();
    }
    text.to_owned()
}
