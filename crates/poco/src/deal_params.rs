//! Deal parameters: what the requester wrote into `deal.params` (spec onchain A9).
//!
//! The text is a JSON object, or anything else and then *it is the arguments*. Which of the two is decided exactly as the
//! Java stack (Jackson) decides, because the arguments reach the application: workers that read them differently never
//! agree on a result. Reading therefore never fails.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// The parameters of a deal. `Default` is "none".
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct DealParams {
    /// The application's command line.
    #[serde(rename = "iexec_args", skip_serializing_if = "Option::is_none")]
    pub args: Option<String>,
    /// URLs to download before the application starts. A `null` in the list is an empty text here: its place counts.
    #[serde(rename = "iexec_input_files", skip_serializing_if = "Vec::is_empty")]
    pub input_files: Vec<String>,
    /// Whether the result is encrypted for the beneficiary.
    #[serde(
        rename = "iexec_result_encryption",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub result_encryption: bool,
    /// `ipfs` or `dropbox`.
    #[serde(
        rename = "iexec_result_storage_provider",
        skip_serializing_if = "Option::is_none"
    )]
    pub result_storage_provider: Option<String>,
    /// URL of a result proxy to use instead of the scheduler's.
    #[serde(
        rename = "iexec_result_storage_proxy",
        skip_serializing_if = "Option::is_none"
    )]
    pub result_storage_proxy: Option<String>,
    /// Requester's secrets for the application: index to the secret's name. A `null` name is an empty text here.
    #[serde(rename = "iexec_secrets", skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// The IPFS id that a bulk request hangs on; empty when it is none.
    #[serde(rename = "bulk_cid", skip_serializing_if = "String::is_empty")]
    pub bulk_cid: String,
}

impl DealParams {
    /// Reads the text of a deal. It is parameters when it begins with a JSON object of known keys whose values convert as
    /// Jackson converts them, or with `null` (no parameters at all: Java dereferences it and gets stuck, onchain C5);
    /// what follows that value is ignored, the last of duplicate keys wins. Otherwise the whole text is the arguments.
    pub fn parse(text: &str) -> Self {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        match Document::deserialize(&mut deserializer) {
            Ok(Document::Fields(fields)) => Self::from_fields(fields),
            Ok(Document::Null) if null_stands_alone(text) => Some(Self::default()),
            _ => None,
        }
        .unwrap_or_else(|| Self {
            args: Some(text.to_owned()),
            ..Self::default()
        })
    }

    /// The JSON text: keys in the specified order; what is absent, empty or false is left out.
    pub fn to_json(&self) -> String {
        // Texts, a list and a map with text keys: there is nothing here that JSON could refuse.
        serde_json::to_string(self).unwrap_or_default()
    }

    fn from_fields(fields: Vec<(String, &RawValue)>) -> Option<Self> {
        let mut params = Self::default();
        for (key, value) in fields {
            let value = value.get();
            match key.as_str() {
                "iexec_args" => params.args = optional_text(value)?,
                "iexec_input_files" => params.input_files = texts(value)?,
                "iexec_result_encryption" => params.result_encryption = truth(value)?,
                "iexec_result_storage_provider" => {
                    params.result_storage_provider = optional_text(value)?;
                }
                "iexec_result_storage_proxy" => params.result_storage_proxy = optional_text(value)?,
                "iexec_secrets" => params.secrets = named_texts(value)?,
                "bulk_cid" => params.bulk_cid = text_or_empty(value)?,
                _ => return None,
            }
        }
        Some(params)
    }
}

/// The two kinds of JSON that can be parameters; all values are kept as source text, duplicates too.
enum Document<'a> {
    Null,
    Fields(Vec<(String, &'a RawValue)>),
}

impl<'de> Deserialize<'de> for Document<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Walk;

        impl<'de> Visitor<'de> for Walk {
            type Value = Document<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object or null")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(Document::Null)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Document::Fields(fields))
            }
        }

        deserializer.deserialize_any(Walk)
    }
}

/// Jackson refuses a `null` that runs on as an identifier (`nullable`), and ignores what follows it otherwise.
fn null_stands_alone(text: &str) -> bool {
    text.trim_start_matches([' ', '\t', '\n', '\r'])
        .strip_prefix("null")
        .is_some_and(|rest| {
            !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$')
        })
}

/// A value asked for as text: strings as they are, numbers and booleans as their source, `null` as none. Objects and
/// arrays do not convert.
fn optional_text(value: &str) -> Option<Option<String>> {
    match value.as_bytes().first()? {
        b'"' => string(value).map(Some),
        b'{' | b'[' => None,
        b'n' => Some(None),
        _ => Some(Some(value.to_owned())),
    }
}

fn text_or_empty(value: &str) -> Option<String> {
    optional_text(value).map(Option::unwrap_or_default)
}

/// A value asked for as a list of texts: an array of what converts to text, or `null`.
fn texts(value: &str) -> Option<Vec<String>> {
    let items: Option<Vec<&RawValue>> = serde_json::from_str(value).ok()?;
    items
        .unwrap_or_default()
        .into_iter()
        .map(|item| text_or_empty(item.get()))
        .collect()
}

/// A value asked for as texts by name: an object of what converts to text, or `null`.
fn named_texts(value: &str) -> Option<BTreeMap<String, String>> {
    match serde_json::from_str(value).ok()? {
        Document::Null => Some(BTreeMap::new()),
        Document::Fields(fields) => fields
            .into_iter()
            .map(|(name, item)| Some((name, text_or_empty(item.get())?)))
            .collect(),
    }
}

/// A value asked for as a boolean: booleans, `null` (false), whole numbers (not zero), and the texts that Jackson knows,
/// with white space around them; a text of white space alone does not convert.
fn truth(value: &str) -> Option<bool> {
    match value.as_bytes().first()? {
        b't' => Some(true),
        b'f' | b'n' => Some(false),
        b'"' => {
            let text = string(value)?;
            // Java's `trim` cuts every character up to the space.
            match text.trim_matches(|c| c <= ' ') {
                "true" | "True" | "TRUE" => Some(true),
                "false" | "False" | "FALSE" | "null" => Some(false),
                "" if text.is_empty() => Some(false),
                _ => None,
            }
        }
        _ => {
            let digits = value.strip_prefix('-').unwrap_or(value);
            digits
                .bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| digits.bytes().any(|b| b != b'0'))
        }
    }
}

/// The text of a JSON string. Half a surrogate pair, which Java keeps and no Rust string can, becomes `?`: that is what
/// Java writes for it wherever the text leaves as UTF-8.
fn string(source: &str) -> Option<String> {
    let bytes = serde_json::from_str::<StringBytes<'_>>(source).ok()?.0;
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        // Half a pair is three bytes that begin with 0xED; each of the three is an invalid chunk of its own.
        if chunk.invalid().first() == Some(&0xed) {
            text.push('?');
        }
    }
    Some(text)
}

/// A JSON string as `serde_json` hands it out when bytes are asked for: half pairs in their three-byte form.
struct StringBytes<'a>(Cow<'a, [u8]>);

impl<'de> Deserialize<'de> for StringBytes<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Take;

        impl<'de> Visitor<'de> for Take {
            type Value = StringBytes<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(StringBytes(Cow::Owned(bytes.to_vec())))
            }

            fn visit_borrowed_bytes<E: de::Error>(
                self,
                bytes: &'de [u8],
            ) -> Result<Self::Value, E> {
                Ok(StringBytes(Cow::Borrowed(bytes)))
            }
        }

        deserializer.deserialize_bytes(Take)
    }
}
