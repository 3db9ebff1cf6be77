//! A result archive on its way to the result proxy (spec result-proxy §3.2).

use std::fmt;

use poco::ids::{DealId, TaskId};
use serde::{Deserialize, Deserializer, Serialize};

use crate::lenient;

/// Body of `POST /v1/results`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResultModel {
    /// The task; 32 zero bytes when absent.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub chain_task_id: TaskId,
    /// Ignored by the proxy.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub deal_id: DealId,
    /// Ignored by the proxy.
    #[serde(default, deserialize_with = "lenient::number")]
    pub task_index: u32,
    /// Deprecated.
    #[serde(default)]
    pub image: Option<String>,
    /// Deprecated.
    #[serde(default)]
    pub cmd: Option<String>,
    /// The archive: written as base64, read as base64 or as an array of numbers.
    #[serde(default, with = "zip_bytes")]
    pub zip: Vec<u8>,
    /// The result's digest, as the enclave signed it.
    #[serde(default)]
    pub determinist_hash: Option<String>,
    /// The enclave's signature; 65 zero bytes for standard tasks.
    #[serde(default = "no_signature", deserialize_with = "signature_or_none")]
    pub enclave_signature: String,
}

impl ResultModel {
    /// The archive of a standard task as workers send it: no deal, no index, no signature (spec result-proxy §3.2).
    pub fn standard(task: TaskId, zip: Vec<u8>, digest: String) -> Self {
        Self {
            chain_task_id: task,
            deal_id: DealId::default(),
            task_index: 0,
            image: None,
            cmd: None,
            zip,
            determinist_hash: Some(digest),
            enclave_signature: no_signature(),
        }
    }

    /// Whether `enclaveSignature` says that there is none.
    pub fn has_enclave_signature(&self) -> bool {
        self.enclave_signature != no_signature()
    }
}

impl fmt::Debug for ResultModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResultModel")
            .field("chain_task_id", &self.chain_task_id)
            .field("zip", &format_args!("{} bytes", self.zip.len()))
            .field("determinist_hash", &self.determinist_hash)
            .finish_non_exhaustive()
    }
}

fn no_signature() -> String {
    format!("0x{}", "0".repeat(130))
}

fn signature_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_else(no_signature))
}

/// Bytes as Java writes them (standard base64, padded) and as both workers and post-compute programs send them: base64, or
/// an array of numbers −128…255 in which `null` is 0. `null` for the whole is no bytes.
pub mod zip_bytes {
    use std::fmt;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::{Error, SeqAccess, Unexpected, Visitor};
    use serde::{Deserializer, Serializer};

    /// Most bytes set aside on the word of the sender.
    const MOST_AHEAD: usize = 1 << 20;

    /// Writes base64.
    ///
    /// # Errors
    /// Those of the serialiser.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    /// Reads base64 or an array of numbers.
    ///
    /// # Errors
    /// When there is neither: padding is mandatory, numbers must fit a byte.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_any(BytesVisitor)
    }

    struct BytesVisitor;

    impl<'de> Visitor<'de> for BytesVisitor {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bytes as padded base64 or as an array of numbers from -128 to 255")
        }

        fn visit_unit<E: Error>(self) -> Result<Vec<u8>, E> {
            Ok(Vec::new())
        }

        fn visit_none<E: Error>(self) -> Result<Vec<u8>, E> {
            Ok(Vec::new())
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Vec<u8>, E> {
            // The decoder's own error would name a byte of the archive; the length is all that helps.
            STANDARD.decode(text).map_err(|error| {
                E::custom(format!(
                    "{} characters that are no padded base64: {error}",
                    text.len()
                ))
            })
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<Vec<u8>, A::Error> {
            let mut bytes = Vec::with_capacity(numbers.size_hint().unwrap_or(0).min(MOST_AHEAD));
            while let Some(number) = numbers.next_element::<Option<i64>>()? {
                let number = number.unwrap_or(0);
                let byte = u8::try_from(number)
                    .or_else(|_| i8::try_from(number).map(|signed| signed.to_le_bytes()[0]))
                    .map_err(|_| A::Error::invalid_value(Unexpected::Signed(number), &self))?;
                bytes.push(byte);
            }
            Ok(bytes)
        }
    }
}
