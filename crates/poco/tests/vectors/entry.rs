//! Reading vector files, and values out of their entries.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_signer_local::PrivateKeySigner;
use poco::ids::TaskId;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) id: String,
    pub(crate) inputs: Value,
    pub(crate) expected: Value,
}

impl Entry {
    pub(crate) fn all(file: &str) -> Vec<Self> {
        let path = format!("{FOLDER}/{file}.json");
        serde_json::from_str(&std::fs::read_to_string(&path).expect(&path)).expect(&path)
    }

    /// The names of the vector files there are, sorted.
    pub(crate) fn files() -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(FOLDER)
            .expect(FOLDER)
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".json"))
            .collect();
        names.sort();
        names
    }
}

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");

/// Typed reading of a member; panics with the member's name where there is none of that type.
pub(crate) trait Read {
    fn text(&self, member: &str) -> &str;
    fn word(&self, member: &str) -> B256;
    fn account(&self, member: &str) -> Address;
    fn blob(&self, member: &str) -> Bytes;
    fn number(&self, member: &str) -> u64;
    fn key(&self, member: &str) -> PrivateKeySigner;

    fn task(&self, member: &str) -> TaskId {
        TaskId(self.word(member))
    }

    fn amount(&self, member: &str) -> U256 {
        U256::from(self.number(member))
    }
}

impl Read for Value {
    fn text(&self, member: &str) -> &str {
        self[member].as_str().expect(member)
    }

    fn word(&self, member: &str) -> B256 {
        self.text(member).parse().expect(member)
    }

    fn account(&self, member: &str) -> Address {
        self.text(member).parse().expect(member)
    }

    fn blob(&self, member: &str) -> Bytes {
        blob(&self[member])
    }

    /// A number, or its decimal text.
    fn number(&self, member: &str) -> u64 {
        number(&self[member])
    }

    fn key(&self, member: &str) -> PrivateKeySigner {
        self.text(member).parse().expect(member)
    }
}

pub(crate) fn number(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.parse().expect(text),
        other => other.as_u64().expect("a number"),
    }
}

pub(crate) fn blob(value: &Value) -> Bytes {
    let text = value.as_str().expect("hex");
    poco::hex::decode(text, "a test value").expect(text).into()
}
