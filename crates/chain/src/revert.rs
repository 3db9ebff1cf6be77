//! Why a contract call failed, read from the data that comes with the error (spec onchain A18).
//!
//! Nodes wrap that data in several ways; this module knows the common ones. It never judges what a revert means for a
//! task: it only says it in words.

use alloy_primitives::{Bytes, FixedBytes, U256, hex};
use alloy_sol_types::{Panic, Revert as ErrorString, SolError};
use poco::contracts::Hub;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The reason a contract gave (or did not give) for refusing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revert {
    /// `require` with a text: `Error(string)`.
    Message(String),
    /// An assertion of the language: overflow 0x11, index 0x32, assertion 0x01, …
    Panic(U256),
    /// A custom error of the contract, in words when it is one of the hub's, and its raw data.
    Custom {
        /// `Name(arguments)` when the error is known.
        name: Option<String>,
        /// The first four bytes of `data`.
        selector: FixedBytes<4>,
        /// Selector and arguments as they came.
        data: Bytes,
    },
    /// No data at all: nearly every precondition of the task functions fails like this.
    Empty,
    /// The call used up all the gas it was given.
    OutOfGas,
    /// The node gave words of its own and no data.
    Other(String),
}

impl Revert {
    /// Reads return data of a failed call.
    pub fn decode(data: &[u8]) -> Self {
        let Some((selector, _)) = data.split_first_chunk::<4>() else {
            return if data.is_empty() {
                Self::Empty
            } else {
                Self::Other(hex::encode_prefixed(data))
            };
        };
        if let Ok(error) = ErrorString::abi_decode(data) {
            return Self::Message(error.reason);
        }
        if let Ok(panic) = Panic::abi_decode(data) {
            return Self::Panic(panic.code);
        }
        Self::Custom {
            name: known_error(data),
            selector: FixedBytes(*selector),
            data: Bytes::copy_from_slice(data),
        }
    }

    /// Reads an error answer of a node; `None` when it does not speak of a reverted call.
    pub(crate) fn from_answer(code: i64, message: &str, data: Option<&Value>) -> Option<Self> {
        let lower = message.to_lowercase();
        if lower.contains("out of gas") || lower.contains("gas required exceeds") {
            return Some(Self::OutOfGas);
        }
        let bytes = data.and_then(revert_bytes);
        let says_so = code == 3
            || lower.contains("revert")
            || lower.contains("vm execution error")
            || lower.contains("invalid opcode");
        if !says_so {
            return None;
        }
        match bytes {
            Some(bytes) if !bytes.is_empty() => Some(Self::decode(&bytes)),
            _ => Some(reason_in_words(message)),
        }
    }
}

/// The text after `execution reverted:`, for nodes that send no data.
fn reason_in_words(message: &str) -> Revert {
    let after = message
        .split_once("reverted:")
        .or_else(|| message.split_once("revert:"))
        .map_or("", |(_, text)| text.trim());
    match after {
        "" | "0x" => Revert::Empty,
        text => Revert::Message(text.trim_matches('"').to_owned()),
    }
}

/// Finds the hex of the return data: plain, behind `Reverted `, or inside an object of a wrapping service.
fn revert_bytes(data: &Value) -> Option<Vec<u8>> {
    match data {
        Value::String(text) => {
            let text = text.trim().trim_matches('"');
            let text = text.strip_prefix("Reverted ").unwrap_or(text);
            text.starts_with("0x").then(|| hex::decode(text).ok())?
        }
        Value::Object(members) => ["data", "result", "return", "originalError"]
            .iter()
            .filter_map(|name| members.get(*name))
            .find_map(revert_bytes),
        _ => None,
    }
}

fn known_error(data: &[u8]) -> Option<String> {
    if let Ok(error) = Hub::IncompatibleDatasetOrder::abi_decode(data) {
        return Some(format!("IncompatibleDatasetOrder({})", error.reason));
    }
    if let Ok(error) = Hub::UnsupportedOperation::abi_decode(data) {
        return Some(format!("UnsupportedOperation({})", error.selector));
    }
    if Hub::CallerIsNotTheRequester::abi_decode(data).is_ok() {
        return Some("CallerIsNotTheRequester()".to_owned());
    }
    Hub::OperationFailed::abi_decode(data)
        .is_ok()
        .then(|| "OperationFailed()".to_owned())
}

impl std::fmt::Display for Revert {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Message(text) => write!(f, "\"{text}\""),
            Self::Panic(code) => write!(f, "panic 0x{code:02x}"),
            Self::Custom {
                name: Some(name), ..
            } => f.write_str(name),
            Self::Custom { data, .. } => write!(f, "custom error {data}"),
            Self::Empty => f.write_str("without a reason"),
            Self::OutOfGas => f.write_str("out of gas"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn encoded(text: &str) -> Vec<u8> {
        ErrorString::from(text).abi_encode()
    }

    #[test]
    fn a_require_with_text_is_read_as_its_text() {
        let revert = Revert::decode(&encoded("iExecV5-matchOrders-0x06"));
        assert_eq!(revert, Revert::Message("iExecV5-matchOrders-0x06".into()));
        assert_eq!(revert.to_string(), "\"iExecV5-matchOrders-0x06\"");
    }

    #[test]
    fn a_panic_is_read_as_its_code() {
        let data = Panic {
            code: U256::from(0x11),
        }
        .abi_encode();
        assert_eq!(Revert::decode(&data), Revert::Panic(U256::from(0x11)));
        assert_eq!(Revert::decode(&data).to_string(), "panic 0x11");
    }

    #[test]
    fn an_error_of_the_hub_has_its_name_and_another_keeps_its_selector() {
        let known = Hub::IncompatibleDatasetOrder {
            reason: "tag".into(),
        }
        .abi_encode();
        assert_eq!(
            Revert::decode(&known).to_string(),
            "IncompatibleDatasetOrder(tag)"
        );
        let Revert::Custom { name, selector, .. } = Revert::decode(&[1, 2, 3, 4, 5]) else {
            panic!("an unknown selector is a custom error")
        };
        assert_eq!((name, selector), (None, FixedBytes([1, 2, 3, 4])));
    }

    #[test]
    fn no_data_is_a_revert_without_a_reason() {
        assert_eq!(Revert::decode(&[]), Revert::Empty);
        assert_eq!(
            Revert::from_answer(3, "execution reverted", Some(&json!("0x"))),
            Some(Revert::Empty)
        );
    }

    // C1: the original turned all bytes of the data, selector and padding included, into text.
    #[test]
    fn every_wrapping_of_the_data_gives_the_same_reason() {
        let plain = hex::encode_prefixed(encoded("task-pending"));
        let expected = Some(Revert::Message("task-pending".into()));
        for (code, message, data) in [
            (3, "execution reverted: task-pending", json!(plain)),
            (
                -32015,
                "VM execution error.",
                json!(format!("Reverted {plain}")),
            ),
            (-32000, "execution reverted", json!({"data": plain})),
            (
                -32000,
                "execution reverted",
                json!({"originalError": {"data": plain}}),
            ),
        ] {
            assert_eq!(Revert::from_answer(code, message, Some(&data)), expected);
        }
        assert_eq!(
            Revert::from_answer(-32000, "execution reverted: task-pending", None),
            expected
        );
    }

    #[test]
    fn an_error_about_the_node_is_not_a_revert() {
        assert_eq!(Revert::from_answer(-32000, "header not found", None), None);
        assert_eq!(
            Revert::from_answer(-32005, "rate limited", Some(&json!("0x"))),
            None
        );
    }
}
