//! What a process says while it runs, on standard error. For people by default, one JSON object a line with
//! `WORKERPOOL_LOG_FORMAT=json`; colours only on a terminal and without `NO_COLOR`.
//!
//! How much it says: `WORKERPOOL_LOG`, a filter such as `info` or `warn,scheduler=debug`; else the original's
//! `IEXEC_LOG_LEVEL`; else `info`.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::env::{ConfigErrors, Env, Reader, Role};

/// How to speak.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Voice {
    filter: String,
    json: bool,
    colours: bool,
}

impl Voice {
    fn read(env: &dyn Env, terminal: bool) -> Result<Self, ConfigErrors> {
        let mut read = Reader::new(env, Role::Workerpool);
        let level = read
            .var("IEXEC_LOG_LEVEL")
            .parsed("trace, debug, info, warn, error or off", level)
            .or("info".to_owned());
        let filter = read
            .var("WORKERPOOL_LOG")
            .parsed("a filter such as info or warn,scheduler=debug", |text| {
                EnvFilter::try_new(text).is_ok().then(|| text.to_owned())
            })
            .or(level);
        let json = read
            .var("WORKERPOOL_LOG_FORMAT")
            .parsed("text or json", |text| match text {
                "text" => Some(false),
                "json" => Some(true),
                _ => None,
            })
            .or(false);
        let plain = env.get("NO_COLOR").is_some_and(|value| !value.is_empty());
        read.finish(|| {
            Ok(Self {
                filter,
                json,
                colours: terminal && !plain,
            })
        })
    }

    /// What was asked for, and no secrets.
    fn whole_filter(&self) -> EnvFilter {
        let text = format!("{},{NEVER_CHATTY}", self.filter);
        EnvFilter::try_new(text).unwrap_or_else(|_| EnvFilter::new("info"))
    }
}

/// Targets that would show whole URLs, keys of nodes included, at lower levels: never below `info`.
const NEVER_CHATTY: &str = "alloy_transport_http=info,alloy_rpc_client=info";

/// The original's level names; it has no `off` for `fatal`, which is an error here.
fn level(text: &str) -> Option<String> {
    let level = text.to_ascii_lowercase();
    match level.as_str() {
        "trace" | "debug" | "info" | "warn" | "error" | "off" => Some(level),
        "fatal" => Some("error".to_owned()),
        _ => None,
    }
}

/// Begins to log for this process. Doing it again changes nothing.
///
/// # Errors
/// When a variable that says how to log cannot be used.
pub fn init(env: &dyn Env) -> Result<(), ConfigErrors> {
    let voice = Voice::read(env, std::io::stderr().is_terminal())?;
    let filter = voice.whole_filter();
    let speech = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(voice.colours);
    // A test harness or an embedding program may have begun already; then its way of logging stays.
    let _already = if voice.json {
        speech
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .try_init()
    } else {
        speech.try_init()
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::MapEnv;

    fn voice(variables: &[(&str, &str)], terminal: bool) -> Voice {
        Voice::read(&variables.iter().copied().collect::<MapEnv>(), terminal).unwrap()
    }

    #[test]
    fn the_level_comes_from_our_filter_or_the_originals_level() {
        assert_eq!(voice(&[], true).filter, "info");
        assert_eq!(voice(&[("IEXEC_LOG_LEVEL", "DEBUG")], true).filter, "debug");
        let both = [
            ("IEXEC_LOG_LEVEL", "DEBUG"),
            ("WORKERPOOL_LOG", "warn,scheduler=trace"),
        ];
        assert_eq!(voice(&both, true).filter, "warn,scheduler=trace");
    }

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        assert!(voice(&[], true).colours);
        assert!(!voice(&[], false).colours);
        assert!(!voice(&[("NO_COLOR", "1")], true).colours);
        assert!(voice(&[("NO_COLOR", "")], true).colours);
    }

    #[test]
    fn a_format_that_does_not_exist_is_refused() {
        assert!(voice(&[("WORKERPOOL_LOG_FORMAT", "json")], true).json);
        let error =
            Voice::read(&MapEnv::from([("WORKERPOOL_LOG_FORMAT", "xml")]), true).unwrap_err();
        assert!(
            error.to_string().contains("must be text or json"),
            "{error}"
        );
    }

    #[test]
    fn urls_with_keys_are_not_logged_however_much_is_asked_for() {
        let env = MapEnv::from([("WORKERPOOL_LOG", "trace,alloy_transport_http=trace")]);
        let filter = Voice::read(&env, false).unwrap().whole_filter().to_string();
        assert!(filter.contains("alloy_transport_http=info"), "{filter}");
        assert!(!filter.contains("alloy_transport_http=trace"), "{filter}");
    }
}
