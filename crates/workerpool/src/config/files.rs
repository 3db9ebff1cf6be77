//! What a file of settings holds: one environment for a `.env`, one for each service of a compose file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Deserialize;

/// Variables that go together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Where they stand.
    pub(crate) name: String,
    /// The image that is given them, in a compose file.
    pub(crate) image: Option<String>,
    /// They themselves.
    pub(crate) variables: BTreeMap<String, String>,
}

/// A compose file, as much of it as says what a service is given.
#[derive(Debug, Deserialize)]
struct Compose {
    services: BTreeMap<String, Service>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Service {
    image: Option<String>,
    environment: Option<Environment>,
    env_file: Option<OneOrMany>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Environment {
    Lines(Vec<String>),
    Map(BTreeMap<String, Option<Value>>),
}

/// YAML reads `1` and `true` as what they are.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Value {
    Bool(bool),
    Whole(i64),
    Number(f64),
    Text(String),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Whole(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
}

/// What stands in the file. A compose file is known by its name, and takes what it does not say itself from the `.env` beside it.
pub(crate) fn units(path: &Path) -> anyhow::Result<Vec<Unit>> {
    let is_yaml = path
        .extension()
        .is_some_and(|extension| extension == "yml" || extension == "yaml");
    let name = path.display().to_string();
    if !is_yaml {
        let variables = env_file(path)?;
        return Ok(vec![Unit {
            name,
            image: None,
            variables,
        }]);
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("{name} cannot be read"))?;
    let compose: Compose =
        serde_saphyr::from_str(&text).with_context(|| format!("{name} is no compose file"))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let beside = folder.join(".env");
    let outer = match beside.is_file() {
        true => env_file(&beside)?,
        false => BTreeMap::new(),
    };
    compose
        .services
        .into_iter()
        .map(|(service, found)| unit(&name, &service, found, folder, &outer))
        .collect()
}

fn unit(
    file: &str,
    service: &str,
    found: Service,
    folder: &Path,
    outer: &BTreeMap<String, String>,
) -> anyhow::Result<Unit> {
    let name = format!("{file}, service {service}");
    let filled = |text: &str| interpolated(text, outer).with_context(|| name.clone());
    let mut variables = BTreeMap::new();
    let files = match found.env_file {
        None => Vec::new(),
        Some(OneOrMany::One(file)) => vec![file],
        Some(OneOrMany::Many(files)) => files,
    };
    for file in files {
        variables.extend(env_file(&folder.join(filled(&file)?))?);
    }
    match found.environment {
        None => {}
        Some(Environment::Lines(lines)) => {
            for line in lines {
                match line.split_once('=') {
                    Some((key, value)) => variables.insert(key.to_owned(), filled(value)?),
                    // Passed on from where compose runs, which is the `.env` as far as is known here.
                    None => outer
                        .get(&line)
                        .and_then(|value| variables.insert(line, value.clone())),
                };
            }
        }
        Some(Environment::Map(map)) => {
            for (key, value) in map {
                let value = match value {
                    Some(value) => filled(&value.to_string())?,
                    None => match outer.get(&key) {
                        Some(value) => value.clone(),
                        None => continue,
                    },
                };
                variables.insert(key, value);
            }
        }
    }
    let image = found.image.map(|image| filled(&image)).transpose()?;
    Ok(Unit {
        name,
        image,
        variables,
    })
}

/// The lines `NAME=value` of a file, read as compose reads them.
fn env_file(path: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let name = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("{name} cannot be read"))?;
    let mut variables = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (key, value) = line
            .split_once('=')
            .with_context(|| format!("{name}, line {number} is no NAME=value"))?;
        let value = env_value(value.trim(), &variables)
            .with_context(|| format!("{name}, line {number}"))?;
        variables.insert(key.trim().to_owned(), value);
    }
    Ok(variables)
}

/// A value without its quotes, or without the comment after it. Only single quotes keep variables from being replaced.
fn env_value(text: &str, variables: &BTreeMap<String, String>) -> anyhow::Result<String> {
    if let Some(quoted) = text.strip_prefix('\'') {
        let (value, _) = quoted.split_once('\'').context("a quote is not closed")?;
        return Ok(value.to_owned());
    }
    if let Some(quoted) = text.strip_prefix('"') {
        let (value, _) = quoted.split_once('"').context("a quote is not closed")?;
        return interpolated(&value.replace("\\n", "\n"), variables);
    }
    let value = text.split_once(" #").map_or(text, |(value, _)| value);
    interpolated(value.trim_end(), variables)
}

/// The text with `$NAME`, `${NAME}`, `${NAME:-default}` and their kin replaced, as compose does it.
fn interpolated(text: &str, variables: &BTreeMap<String, String>) -> anyhow::Result<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let after = after.strip_prefix('$').unwrap_or(after);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let (expression, after) = match after.strip_prefix('{') {
            Some(after) => after
                .split_once('}')
                .with_context(|| format!("a brace is not closed in {text:?}"))?,
            None => {
                let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
                after.split_at(after.find(|letter| !is_name(letter)).unwrap_or(after.len()))
            }
        };
        out.push_str(&replacement(expression, variables)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn replacement(expression: &str, variables: &BTreeMap<String, String>) -> anyhow::Result<String> {
    let end = expression
        .find([':', '-', '?', '+'])
        .unwrap_or(expression.len());
    let (name, rule) = expression.split_at(end);
    let counts_empty = !rule.starts_with(':');
    let value = variables
        .get(name)
        .filter(|value| counts_empty || !value.is_empty());
    let rule = rule.strip_prefix(':').unwrap_or(rule);
    Ok(match (value, rule.split_at_checked(1)) {
        (Some(_), Some(("+", other))) => other.to_owned(),
        (None, Some(("-", default))) => default.to_owned(),
        (None, Some(("?", message))) => bail!("{name} is not set: {message}"),
        (Some(value), _) => value.clone(),
        (None, _) => String::new(),
    })
}

/// The files that are checked when none is named.
pub(crate) fn usual() -> Vec<PathBuf> {
    let names = [
        "compose.yaml",
        "compose.yml",
        "docker-compose.yml",
        "docker-compose.yaml",
        ".env",
    ];
    let here = names
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.is_file());
    here.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outer() -> BTreeMap<String, String> {
        [("PORT", "1"), ("EMPTY", ""), ("POOL", "0xab")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn variables_are_replaced_as_compose_does_it() {
        for (text, expected) in [
            ("a$PORT/b", "a1/b"),
            ("${PORT}0", "10"),
            ("${NONE:-x}${EMPTY:-y}${EMPTY-z}", "xy"),
            ("${NONE}|${PORT:+set}", "|set"),
            ("$$PORT", "$PORT"),
            ("${NONE:-http://x:1}", "http://x:1"),
        ] {
            assert_eq!(interpolated(text, &outer()).unwrap(), expected, "{text}");
        }
        let error = interpolated("${NONE:?say it}", &outer()).unwrap_err();
        assert_eq!(error.to_string(), "NONE is not set: say it");
        assert!(interpolated("${PORT", &outer()).is_err());
    }

    #[test]
    fn each_service_has_what_compose_would_give_it() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write(
            ".env",
            "POOL=0xab\nPASSED=on\n# a comment\nQUOTED=\"two words\" # said\nexport PLAIN = three more words # said\nKEPT='$POOL'\n",
        );
        write("core.env", "FROM_FILE=1\nBOTH=file\n");
        write(
            "compose.yml",
            "services:\n  core:\n    image: iexechub/iexec-core:${TAG:-9.3.0}\n    env_file: core.env\n    environment:\n      - POOL_ADDRESS=$POOL\n      - PASSED\n      - BOTH=own\n      - SAID=${QUOTED} ${PLAIN} ${KEPT}\n  worker:\n    environment:\n      CPUS: 2\n      GPU: false\n      NOTHING:\n",
        );
        let units = units(&folder.path().join("compose.yml")).unwrap();
        let (core, worker) = (&units[0], &units[1]);
        assert!(
            core.name.ends_with("compose.yml, service core"),
            "{}",
            core.name
        );
        assert_eq!(core.image.as_deref(), Some("iexechub/iexec-core:9.3.0"));
        let shown = |unit: &Unit| -> Vec<String> {
            let pairs = unit.variables.iter();
            pairs
                .map(|(name, value)| format!("{name}={value}"))
                .collect()
        };
        assert_eq!(
            shown(core),
            [
                "BOTH=own",
                "FROM_FILE=1",
                "PASSED=on",
                "POOL_ADDRESS=0xab",
                "SAID=two words three more words $POOL"
            ]
        );
        assert_eq!(shown(worker), ["CPUS=2", "GPU=false"]);
    }
}
