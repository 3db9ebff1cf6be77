//! Exchanges between the original programs, one a line.

use std::collections::BTreeMap;

use serde::Deserialize;

/// One request of a Java worker and the Java scheduler's answer.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Exchange {
    /// `worker1` to `worker3`.
    pub(crate) worker: String,
    pub(crate) method: String,
    pub(crate) path: String,
    /// The request's headers, without those of the connection and of the session.
    pub(crate) headers: BTreeMap<String, String>,
    /// A token came with it.
    pub(crate) token: bool,
    pub(crate) request: String,
    pub(crate) status: u16,
    /// The answer's content type.
    #[serde(rename = "type")]
    pub(crate) content_type: Option<String>,
    pub(crate) response: String,
    /// Of a stream that stays open: its frames, without prelude and signs of life.
    pub(crate) frames: Option<Vec<String>>,
}

impl Exchange {
    /// The status that a report is about.
    pub(crate) fn reported(&self) -> Option<String> {
        let body: serde_json::Value = serde_json::from_str(&self.request).ok()?;
        let is_report = self.path.ends_with("/updateStatus");
        is_report.then(|| body["status"].as_str().unwrap().to_owned())
    }

    /// What was asked for, without what is different each time.
    pub(crate) fn name(&self) -> String {
        let path = self.path.split('?').next().unwrap();
        let parts: Vec<&str> = path.split('/').collect();
        let name: Vec<&str> = parts
            .iter()
            .enumerate()
            .map(|(at, part)| match parts[at.saturating_sub(1)] {
                "replicates" if part.starts_with("0x") => "{task}",
                _ if at >= 2 && parts[1] == "connect" && at < 4 && parts.len() > 4 => "{}",
                _ => part,
            })
            .collect();
        let report = self.reported().map(|status| format!(" {status}"));
        format!(
            "{} {}{}",
            self.method,
            name.join("/"),
            report.unwrap_or_default()
        )
    }
}

pub(crate) fn exchanges(text: &str) -> Vec<Exchange> {
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
