//! Which generation of Java programs asks. Workers refuse members that they do not know, and some of ours came only with version 9.

use axum::Json;
use axum::http::HeaderMap;
use axum::http::header::USER_AGENT;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

use super::ApiError;

/// What a caller can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Generation {
    /// Java workers of version 8.
    Eight,
    /// Everybody else.
    Current,
}

impl Generation {
    /// Version 8 runs on Java 11, on which nothing later starts, and Java's own HTTP client says which Java it is.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let agent = headers
            .get(USER_AGENT)
            .and_then(|value| value.to_str().ok());
        let is_eight =
            agent.is_some_and(|agent| agent == "Java/11" || agent.starts_with("Java/11."));
        if is_eight { Self::Eight } else { Self::Current }
    }

    /// 200 with this body, in the form that the caller can read.
    pub(super) fn json(self, body: &impl Serialize) -> Result<Response, ApiError> {
        if self == Self::Current {
            return Ok(Json(body).into_response());
        }
        let mut body =
            serde_json::to_value(body).map_err(|error| ApiError::internal(&error, ""))?;
        to_version_8(&mut body);
        Ok(Json(body).into_response())
    }
}

/// Takes out what came with version 9, and calls the rest by its older names.
fn to_version_8(body: &mut Value) {
    match body {
        Value::Object(members) => {
            members.values_mut().for_each(to_version_8);
            older(members);
        }
        Value::Array(elements) => elements.iter_mut().for_each(to_version_8),
        _ => {}
    }
}

fn older(members: &mut Map<String, Value>) {
    // Of an authorization; neither is signed.
    members.remove("dealId");
    members.remove("taskIndex");
    // Of the public configuration. From 8.5 on workers know both names, before that only this one.
    if let Some(url) = members.remove("configServerUrl") {
        members.insert("blockchainAdapterUrl".to_owned(), url);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_java_11_is_version_8() {
        let of = |agent: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(USER_AGENT, agent.parse().unwrap());
            Generation::of(&headers)
        };
        for eight in ["Java/11", "Java/11.0.24"] {
            assert_eq!(of(eight), Generation::Eight, "{eight}");
        }
        for other in [
            "Java/17.0.15",
            "Java/110",
            "Apache-HttpClient/4.5.14 (Java/11.0.24)",
            "curl/8",
        ] {
            assert_eq!(of(other), Generation::Current, "{other}");
        }
        assert_eq!(Generation::of(&HeaderMap::new()), Generation::Current);
    }
}
