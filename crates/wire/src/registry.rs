//! What a scheduler asks of a platform registry, which is a Spring Cloud Config server: the properties of a stack (spec
//! blockchain-adapter C).

use std::collections::BTreeMap;

use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::error::ClientError;
use crate::http::{Peer, Request};

/// The form in which values come with where they stand; servers that do not know it answer the plain one.
const ACCEPT: &str = "application/vnd.spring-cloud.config-server.v2+json, application/json";

/// A platform registry.
#[derive(Debug, Clone)]
pub struct RegistryClient {
    peer: Peer,
}

/// Properties by their dotted names.
pub type Properties = BTreeMap<String, String>;

#[derive(Deserialize)]
struct Environment {
    #[serde(rename = "propertySources")]
    sources: Vec<Source>,
}

#[derive(Deserialize)]
struct Source {
    source: BTreeMap<String, Value>,
}

impl RegistryClient {
    /// A client of the registry at `base`.
    ///
    /// # Errors
    /// When the system's certificates cannot be read.
    pub fn new(base: Url) -> Result<Self, ClientError> {
        Ok(Self {
            peer: Peer::new(base)?,
        })
    }

    /// The properties of a stack, `GET /application/{stack}[/{label}]`: an empty stack is the default one; of several labels,
    /// separated by commas, the first that is known counts.
    ///
    /// # Errors
    /// When there is no such answer.
    pub async fn properties(&self, stack: &str, label: &str) -> Result<Properties, ClientError> {
        let stack = match stack.trim() {
            "" => "default",
            stack => stack,
        };
        let labels = label
            .split(',')
            .map(str::trim)
            .filter(|label| !label.is_empty());
        let paths = labels.map(|label| format!("/{}", segment(&label.replace('/', "(_)"))));
        let mut paths: Vec<String> = paths.collect();
        if paths.is_empty() {
            paths.push(String::new());
        }
        let headers = [("Accept", ACCEPT.to_owned())];
        let mut last = None;
        for label in paths {
            let path = format!("/application/{}{label}", segment(stack));
            let request = Request {
                headers: &headers,
                ..Request::get(&path)
            };
            let answer = self.peer.ask(&request).await?;
            if answer.status == StatusCode::OK {
                let environment: Environment = answer.json("environment of a registry")?;
                return Ok(first_wins(environment));
            }
            last = Some(answer);
        }
        match last.map(|answer| answer.success()) {
            Some(Err(error)) => Err(error),
            // A 2xx that is no 200.
            Some(Ok(answer)) => {
                Err(answer.not_understood("environment of a registry", "it is no 200".to_owned()))
            }
            None => Ok(Properties::new()),
        }
    }
}

/// A segment of a path, escaped.
fn segment(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
        .replace("%2C", ",")
}

/// A source that comes first overrides those after it. A value is plain, or says where it stands.
fn first_wins(environment: Environment) -> Properties {
    let mut properties = Properties::new();
    for (name, value) in environment.sources.into_iter().flat_map(|one| one.source) {
        let value = match value {
            Value::Object(mut located) => located.remove("value").unwrap_or_default(),
            value => value,
        };
        let text = match value {
            Value::String(text) => text,
            Value::Null => String::new(),
            other => other.to_string(),
        };
        properties.entry(name).or_insert(text);
    }
    properties
}

#[cfg(test)]
mod tests;
