//! The text that is written on the chain as a task's `results` (spec onchain B9): where the result is to be found.

use serde::Deserialize;

/// Where a result is. `Display` is the exact text that goes on the chain, spaces included.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ResultLink {
    /// `ipfs`, `dropbox` or `ethereum`; other programs may write anything.
    pub storage: String,
    /// The place: a path, or for `ethereum` the callback address.
    #[serde(default)]
    pub location: String,
}

impl std::fmt::Display for ResultLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The JSON form of a string is the string in quotes for everything we put here; quotes inside stay harmless.
        let storage = serde_json::Value::from(self.storage.as_str());
        let location = serde_json::Value::from(self.location.as_str());
        write!(f, "{{ \"storage\": {storage}, \"location\": {location} }}")
    }
}

/// The link of a result on IPFS: `{ "storage": "ipfs", "location": "/ipfs/<cid>" }`.
pub fn ipfs(cid: &str) -> String {
    link("ipfs", format!("/ipfs/{cid}"))
}

/// The link of a result on Dropbox: its location is `/results/<task>`.
pub fn dropbox(task: crate::ids::TaskId) -> String {
    link("dropbox", format!("/results/{task}"))
}

/// The link of a result that goes to a contract: its location is that contract's address.
pub fn callback(receiver: alloy_primitives::Address) -> String {
    link("ethereum", crate::hex::lower(&receiver))
}

/// Reads a link. `None` for text that is not JSON of this shape, which the SDK shows as storage `none`.
pub fn parse(text: &str) -> Option<ResultLink> {
    serde_json::from_str(text).ok()
}

fn link(storage: &str, location: String) -> String {
    ResultLink {
        storage: storage.to_owned(),
        location,
    }
    .to_string()
}
