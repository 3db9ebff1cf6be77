//! What an app printed, and how a part of a TEE task says why it ended (spec scheduler-api §5.6).

use alloy_primitives::Address;
use poco::ids::TaskId;
use serde::{Deserialize, Serialize};

use crate::lenient;
use crate::status::ReplicateStatusCause;

/// What one worker's run of an app printed. Absent or empty members are not written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComputeLogs {
    /// Who computed; the scheduler sets it from the token, whatever was sent.
    #[serde(
        default,
        serialize_with = "poco::hex::lower_address_opt::serialize",
        deserialize_with = "lenient::optional_address",
        skip_serializing_if = "Option::is_none"
    )]
    pub wallet_address: Option<Address>,
    /// Standard output.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub stdout: String,
    /// Standard error.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub stderr: String,
}

impl ComputeLogs {
    /// UTF-16 units kept of each stream, by worker and scheduler alike.
    pub const MAX_UNITS: usize = 100_000;

    /// Each stream cut to its last [`Self::MAX_UNITS`] UTF-16 units; a character that the cut would split is dropped.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        keep_last_units(&mut self.stdout, Self::MAX_UNITS);
        keep_last_units(&mut self.stderr, Self::MAX_UNITS);
        self
    }
}

fn keep_last_units(text: &mut String, most: usize) {
    if text.len() <= most {
        // UTF-8 never needs fewer bytes than UTF-16 needs units.
        return;
    }
    let mut units = 0;
    let from = text
        .char_indices()
        .rev()
        .take_while(|(_, character)| {
            units += character.len_utf16();
            units <= most
        })
        .last()
        .map_or(text.len(), |(at, _)| at);
    text.drain(..from);
}

/// Answer of `GET /tasks/{chainTaskId}/logs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskLogsModel {
    /// The task.
    pub chain_task_id: TaskId,
    /// One entry for each worker that sent logs.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub compute_logs_list: Vec<ComputeLogs>,
}

/// What a pre- or post-compute stage posts to its worker's own API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitMessage {
    /// Why it ended.
    pub cause: Option<ReplicateStatusCause>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounded(stdout: String) -> String {
        ComputeLogs {
            stdout,
            ..ComputeLogs::default()
        }
        .bounded()
        .stdout
    }

    #[test]
    fn logs_keep_their_end() {
        let text = format!("start{}end", "x".repeat(ComputeLogs::MAX_UNITS - 3));
        assert_eq!(
            bounded(text),
            format!("{}end", "x".repeat(ComputeLogs::MAX_UNITS - 3))
        );
        assert_eq!(bounded("short".to_owned()), "short");
    }

    #[test]
    fn logs_are_measured_in_utf16_units() {
        // Two bytes each, one unit: fits whole.
        let accents = "é".repeat(ComputeLogs::MAX_UNITS);
        assert_eq!(bounded(accents.clone()), accents);
        // Two units each: the odd one out is not split.
        let faces = format!("{}x", "😀".repeat(ComputeLogs::MAX_UNITS / 2));
        assert_eq!(
            bounded(faces),
            format!("{}x", "😀".repeat(ComputeLogs::MAX_UNITS / 2 - 1))
        );
    }
}
