//! An application that does nothing, and the same container by `docker run`: what a worker adds is measured against that.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

/// The application: it writes an empty result and ends.
pub(crate) const SCRIPT: &str = r#"#!/bin/busybox sh
: > "$IEXEC_OUT/nothing"
printf '{"deterministic-output-path":"/iexec_out/nothing"}' > "$IEXEC_OUT/computed.json"
"#;

/// A container of a worker, as the engine describes it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    host: Value,
    env: Vec<String>,
}

/// Watches the engine until a container of the workers whose names begin with `prefix` is there, and describes it.
pub(crate) fn catch(prefix: &str, patience: Duration) -> anyhow::Result<Seen> {
    let end = Instant::now() + patience;
    while Instant::now() < end {
        let ids = docker(&[
            "ps",
            "--all",
            "--quiet",
            "--filter",
            &format!("name={prefix}"),
        ])?;
        if let Some(id) = ids.lines().next()
            && let Ok(text) = docker(&["inspect", id])
        {
            let told: Value = serde_json::from_str(&text)?;
            let container = told.get(0).context("the engine describes no container")?;
            let env = container
                .pointer("/Config/Env")
                .and_then(Value::as_array)
                .context("the container has no environment")?;
            return Ok(Seen {
                host: container
                    .get("HostConfig")
                    .cloned()
                    .context("the container has no host configuration")?,
                env: env
                    .iter()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect(),
            });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("no container of {prefix} was seen")
}

/// The same container by `docker run`.
#[derive(Debug)]
pub(crate) struct Bare {
    arguments: Vec<String>,
    output: PathBuf,
}

impl Bare {
    /// As `seen`, with folders of its own under `dir`, from `image`. One container is made and compared with the one that was seen:
    /// what is measured must be the same.
    pub(crate) fn like(seen: &Seen, dir: &Path, image: &str) -> anyhow::Result<Self> {
        let (input, output) = (dir.join("bare/in"), dir.join("bare/out"));
        std::fs::create_dir_all(&input)?;
        std::fs::create_dir_all(&output)?;
        let mut arguments = flags(&seen.host);
        for (host, container) in [(&input, "/iexec_in"), (&output, "/iexec_out")] {
            arguments.extend([
                "--volume".to_owned(),
                format!("{}:{container}", host.display()),
            ]);
        }
        for variable in &seen.env {
            arguments.extend(["--env".to_owned(), variable.clone()]);
        }
        arguments.push(image.to_owned());
        let bare = Self { arguments, output };
        bare.is_like(seen)?;
        Ok(bare)
    }

    fn is_like(&self, seen: &Seen) -> anyhow::Result<()> {
        let mut words = vec!["create"];
        words.extend(self.arguments.iter().map(String::as_str));
        let id = docker(&words)?;
        let id = id.trim();
        let told: Value = serde_json::from_str(&docker(&["inspect", id])?)?;
        docker(&["rm", "--force", id])?;
        let mine = told
            .pointer("/0/HostConfig")
            .and_then(Value::as_object)
            .context("the engine describes no container")?;
        let theirs = seen.host.as_object().context("no host configuration")?;
        for (name, value) in theirs {
            // The folders are its own by intention; for "no console" and "no restart" each client has other words.
            let differs = !matches!(name.as_str(), "Binds" | "ConsoleSize" | "RestartPolicy");
            let other = mine.get(name).unwrap_or(&Value::Null);
            ensure!(
                !differs || plain(other) == plain(value) || (is_empty(value) && is_empty(other)),
                "`docker run` cannot be made like the worker's container: {name} is {value} there and {other} here"
            );
        }
        Ok(())
    }

    /// Runs it once, from the start of the command to its end; `removed` includes that the engine takes it away again (`--rm`).
    pub(crate) fn run(&self, removed: bool) -> anyhow::Result<Duration> {
        for file in std::fs::read_dir(&self.output)? {
            std::fs::remove_file(file?.path())?;
        }
        let name = format!("bare-{}", std::process::id());
        let mut words = vec!["run", "--name", &name];
        if removed {
            words.push("--rm");
        }
        words.extend(self.arguments.iter().map(String::as_str));
        let start = Instant::now();
        docker(&words)?;
        let took = start.elapsed();
        if !removed {
            docker(&["rm", "--force", &name])?;
        }
        ensure!(
            self.output.join("computed.json").exists(),
            "the bare container left no result"
        );
        Ok(took)
    }
}

/// Lists in order of their texts, and capabilities without the prefix that the command line puts before them.
fn plain(value: &Value) -> Value {
    let Value::Array(all) = value else {
        return value.clone();
    };
    let mut all: Vec<String> = all
        .iter()
        .map(|one| one.as_str().map_or(one.to_string(), str::to_owned))
        .map(|text| text.trim_start_matches("CAP_").to_owned())
        .collect();
    all.sort();
    all.into()
}

/// Null, zero, empty or false: the engine's word for "not set" depends on who asks.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.is_empty(),
        Value::Bool(true) => false,
    }
}

/// The host configuration as options of `docker run`.
fn flags(host: &Value) -> Vec<String> {
    let mut flags = Vec::new();
    let mut add = |name: &str, value: String| flags.extend([name.to_owned(), value]);
    let text = |name: &str| {
        host.get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    let number = |name: &str| {
        host.get(name)
            .and_then(Value::as_i64)
            .filter(|number| *number != 0)
    };
    let texts = |name: &str| {
        let all = host
            .get(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        all.filter_map(Value::as_str)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let pairs = |pointer: &str| {
        let all = host
            .pointer(pointer)
            .and_then(Value::as_object)
            .into_iter()
            .flatten();
        all.filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?)))
            .collect::<Vec<_>>()
    };
    for (name, flag) in [
        ("CapAdd", "--cap-add"),
        ("CapDrop", "--cap-drop"),
        ("SecurityOpt", "--security-opt"),
        ("Dns", "--dns"),
        ("DnsOptions", "--dns-option"),
        ("DnsSearch", "--dns-search"),
        ("ExtraHosts", "--add-host"),
        ("GroupAdd", "--group-add"),
    ] {
        for value in texts(name) {
            add(flag, value);
        }
    }
    for (name, flag) in [
        ("NetworkMode", "--network"),
        ("IpcMode", "--ipc"),
        ("Runtime", "--runtime"),
    ] {
        if let Some(value) = text(name).filter(|value| *value != "default") {
            add(flag, value.to_owned());
        }
    }
    for (name, flag) in [
        ("Memory", "--memory"),
        ("MemorySwap", "--memory-swap"),
        ("MemoryReservation", "--memory-reservation"),
        ("PidsLimit", "--pids-limit"),
        ("ShmSize", "--shm-size"),
        ("CpuShares", "--cpu-shares"),
    ] {
        if let Some(value) = number(name) {
            add(flag, value.to_string());
        }
    }
    if let Some(nano) = number("NanoCpus") {
        add("--cpus", (nano as f64 / 1e9).to_string());
    }
    if let Some(driver) = host.pointer("/LogConfig/Type").and_then(Value::as_str) {
        add("--log-driver", driver.to_owned());
    }
    for option in pairs("/LogConfig/Config") {
        add("--log-opt", option);
    }
    for option in pairs("/Sysctls") {
        add("--sysctl", option);
    }
    for option in pairs("/StorageOpt") {
        add("--storage-opt", option);
    }
    let mounts = host
        .get("Tmpfs")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    for (place, options) in mounts {
        add(
            "--tmpfs",
            format!("{place}:{}", options.as_str().unwrap_or_default()),
        );
    }
    let limits = host
        .get("Ulimits")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    for limit in limits {
        let part = |name: &str| limit.get(name).map(ToString::to_string).unwrap_or_default();
        let name = part("Name");
        let name = name.trim_matches('"');
        add(
            "--ulimit",
            format!("{name}={}:{}", part("Soft"), part("Hard")),
        );
    }
    for (name, flag) in [("ReadonlyRootfs", "--read-only"), ("Init", "--init")] {
        if host.get(name) == Some(&Value::Bool(true)) {
            flags.push(flag.to_owned());
        }
    }
    flags
}

fn docker(words: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("docker")
        .args(words)
        .stdin(Stdio::null())
        .output()
        .context("the docker command is missing: install it with `make setup`")?;
    if !output.status.success() {
        bail!(
            "docker {} failed: {}",
            words.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_host_configuration_becomes_options_and_what_is_not_set_becomes_none() {
        let host = json!({
            "Binds": ["/a:/b"], "NetworkMode": "net-0", "CapDrop": ["ALL"], "CapAdd": ["CHOWN", "KILL"], "Memory": 1024, "MemorySwap": 1024,
            "NanoCpus": 1_500_000_000_i64, "PidsLimit": 64, "SecurityOpt": ["no-new-privileges"], "CpuShares": 0, "ReadonlyRootfs": false,
            "LogConfig": {"Type": "json-file", "Config": {"max-file": "3"}}, "Runtime": "runc", "Tmpfs": {"/tmp": "size=1m"},
        });
        let flags = flags(&host).join(" ");
        for wanted in [
            "--cap-add CHOWN --cap-add KILL --cap-drop ALL",
            "--security-opt no-new-privileges",
            "--network net-0",
            "--memory 1024 --memory-swap 1024 --pids-limit 64",
            "--cpus 1.5",
            "--log-driver json-file --log-opt max-file=3",
            "--tmpfs /tmp:size=1m",
        ] {
            assert!(flags.contains(wanted), "{wanted} in {flags}");
        }
        assert!(!flags.contains("--cpu-shares") && !flags.contains("--read-only"));
        assert!(!flags.contains("/a:/b"), "the folders are its own");
    }

    #[test]
    fn the_order_of_capabilities_and_their_prefix_are_the_clients_affair() {
        let (theirs, mine) = (json!(["KILL", "CHOWN"]), json!(["CAP_CHOWN", "CAP_KILL"]));
        assert_eq!(plain(&theirs), plain(&mine));
        assert_ne!(plain(&json!(["KILL"])), plain(&mine));
    }

    #[test]
    fn not_set_has_many_words() {
        for empty in [
            json!(null),
            json!(0),
            json!(""),
            json!([]),
            json!({}),
            json!(false),
        ] {
            assert!(is_empty(&empty), "{empty}");
        }
        for set in [json!(1), json!("x"), json!(["x"]), json!(true)] {
            assert!(!is_empty(&set), "{set}");
        }
    }
}
