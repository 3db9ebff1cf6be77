//! Runs the node's program: started apart from our input and our process group, stopped in order, killed when dropped or when
//! we are killed.
//!
//! Knows nothing of contracts.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use url::Url;

use crate::DevnetError;
use crate::accounts::MNEMONIC;
use crate::guard::Guard;
use crate::rpc::Rpc;
use crate::settings::{AnvilSettings, Profile, TokenMode};

/// A loaded state of many blocks takes a moment; a healthy start takes a tenth of a second.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// Writing a large state at the end takes a moment too.
const STOP_PATIENCE: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(10);
/// Tries to find a port that is still free when the node takes it.
const PORT_TRIES: u32 = 20;

/// How a node mines.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mining {
    /// At once, for deploying.
    Instant,
    /// In the profile's rhythm.
    Profile(Profile, Duration),
}

/// How to start one.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    pub(crate) program: &'a Path,
    pub(crate) settings: &'a AnvilSettings,
    pub(crate) mode: TokenMode,
    pub(crate) chain_id: u64,
    pub(crate) accounts: u32,
    pub(crate) mining: Mining,
    pub(crate) load: Option<&'a Path>,
    pub(crate) dump: Option<&'a Path>,
}

/// A running node of ours.
#[derive(Debug)]
pub(crate) struct Anvil {
    guard: Option<Guard>,
    child: Child,
    pub(crate) rpc: Rpc,
    log: PathBuf,
    _port: PortLease,
    _own_log: Option<tempfile::TempPath>,
}

impl Launch<'_> {
    /// Starts the program and waits until it answers.
    pub(crate) async fn start(&self) -> Result<Anvil, DevnetError> {
        let port = PortLease::take(&self.settings.host, self.settings.port)?;
        let (log_file, log, own_log) = self.log()?;
        let url = node_url(&self.settings.host, port.port)?;
        let mut command = Command::new(self.program);
        command.args(self.arguments(port.port));
        let stderr = log_file
            .try_clone()
            .map_err(DevnetError::file("use", &log))?;
        command
            .stdin(Stdio::null())
            .stdout(log_file)
            .stderr(stderr)
            .process_group(0);
        let unstartable = |source| DevnetError::AnvilUnstartable {
            program: self.program.to_owned(),
            source,
        };
        let mut child = command.spawn().map_err(unstartable)?;
        let guard = Guard::of(&child).map_err(|source| {
            let _not_without_guard = child.kill().and_then(|()| child.wait());
            DevnetError::File {
                what: "run",
                path: PathBuf::from("/bin/sh"),
                source,
            }
        })?;
        let mut anvil = Anvil {
            guard: Some(guard),
            child,
            rpc: Rpc::new(url),
            log,
            _port: port,
            _own_log: own_log,
        };
        anvil.wait_until_it_answers(self.chain_id).await?;
        Ok(anvil)
    }

    fn log(&self) -> Result<(File, PathBuf, Option<tempfile::TempPath>), DevnetError> {
        if let Some(path) = &self.settings.log {
            return Ok((
                File::create(path).map_err(DevnetError::file("create", path))?,
                path.clone(),
                None,
            ));
        }
        let named = tempfile::Builder::new()
            .prefix("anvil-")
            .suffix(".log")
            .tempfile();
        let (file, path) = named
            .map_err(DevnetError::file("create a file in", std::env::temp_dir()))?
            .into_parts();
        Ok((file, path.to_path_buf(), Some(path)))
    }

    fn arguments(&self, port: u16) -> Vec<String> {
        let mut arguments: Vec<String> = Vec::new();
        let mut add = |words: &[&str]| arguments.extend(words.iter().map(|&word| word.to_owned()));
        add(&[
            "--silent",
            "--host",
            &self.settings.host,
            "--port",
            &port.to_string(),
            "--chain-id",
            &self.chain_id.to_string(),
        ]);
        add(&[
            "--accounts",
            &self.accounts.to_string(),
            "--mnemonic",
            MNEMONIC,
        ]);
        if self.mode == TokenMode::Native {
            // As Bellecour: gas costs nothing, and blocks have no base fee.
            add(&["--hardfork", "berlin", "--gas-price", "0"]);
        }
        if let Mining::Profile(profile, block_time) = self.mining {
            add(&["--block-time", &block_time.as_secs_f64().to_string()]);
            match profile {
                Profile::Functional => add(&["--mixed-mining"]),
                Profile::Load => add(&["--disable-block-gas-limit", "--prune-history"]),
            }
        }
        if let Some(path) = self.load {
            add(&["--load-state", &path.to_string_lossy()]);
        }
        if let Some(path) = self.dump {
            add(&["--dump-state", &path.to_string_lossy()]);
        }
        arguments
    }
}

impl Anvil {
    async fn wait_until_it_answers(&mut self, chain_id: u64) -> Result<(), DevnetError> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return Err(self.end(&status));
            }
            if let Ok(found) = self.rpc.chain_id().await {
                let url = self.rpc.url().clone();
                return if found == chain_id {
                    Ok(())
                } else {
                    Err(DevnetError::OtherChain {
                        url,
                        found,
                        expected: chain_id,
                    })
                };
            }
            if start.elapsed() > START_PATIENCE {
                let (url, log) = (self.rpc.url().clone(), self.log.clone());
                return Err(DevnetError::AnvilSilent {
                    url,
                    waited_s: START_PATIENCE.as_secs(),
                    log,
                });
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Whether the program has ended, and how.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().ok().flatten()?;
        // Its number may belong to another process from now on.
        self.guard = None;
        Some(status)
    }

    /// Why a program that has ended did so.
    pub(crate) fn end(&mut self, status: &ExitStatus) -> DevnetError {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text
            .lines()
            .rev()
            .filter(|line| !line.trim().is_empty())
            .take(4)
            .collect();
        let last_words = if lines.is_empty() {
            "none".to_owned()
        } else {
            lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
        };
        // The file with the words must outlive the error that points to it.
        if let Some(own) = self._own_log.take() {
            let _kept = own.keep();
        }
        DevnetError::AnvilEnded {
            status: status.to_string(),
            last_words,
            log: self.log.clone(),
        }
    }

    /// Asks the program to end, which writes its state if it was told to, and waits for it.
    pub(crate) async fn stop(mut self) -> Result<(), DevnetError> {
        if let Some(status) = self.ended() {
            return Err(self.end(&status));
        }
        kill_process(Pid::from_child(&self.child), Signal::TERM)
            .map_err(|error| DevnetError::file("signal the writer of", &self.log)(error.into()))?;
        let start = Instant::now();
        while self.ended().is_none() {
            if start.elapsed() > STOP_PATIENCE {
                let (url, log) = (self.rpc.url().clone(), self.log.clone());
                return Err(DevnetError::AnvilSilent {
                    url,
                    waited_s: STOP_PATIENCE.as_secs(),
                    log,
                });
            }
            tokio::time::sleep(GLANCE).await;
        }
        Ok(())
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.guard = None;
            let _ended_meanwhile = self.child.kill();
            let _reaped = self.child.wait();
        }
    }
}

fn node_url(host: &str, port: u16) -> Result<Url, DevnetError> {
    let reachable = if host == "0.0.0.0" { "127.0.0.1" } else { host };
    let given = format!("http://{reachable}:{port}");
    Url::parse(&given).map_err(|_| DevnetError::BadSetting {
        setting: "the host",
        given: host.to_owned(),
        why: "an IP address is expected",
    })
}

/// A port that other chains of ours leave alone: between choosing a free port and the node's listening another process could
/// choose it too.
#[derive(Debug)]
struct PortLease {
    port: u16,
    _lock: Option<File>,
}

impl PortLease {
    fn take(host: &str, wanted: u16) -> Result<Self, DevnetError> {
        let taken = || DevnetError::PortTaken {
            host: host.to_owned(),
            port: wanted,
        };
        for _ in 0..PORT_TRIES {
            let free = TcpListener::bind((host, wanted)).and_then(|free| free.local_addr());
            let port = free.map_err(|_| taken())?.port();
            if wanted != 0 {
                return Ok(Self { port, _lock: None });
            }
            let Ok(lock) = lease_file(port) else {
                // Somebody else's folder: without leases a rare clash ends with the node's own error.
                return Ok(Self { port, _lock: None });
            };
            if lock.try_lock().is_ok() {
                return Ok(Self {
                    port,
                    _lock: Some(lock),
                });
            }
        }
        Err(taken())
    }
}

fn lease_file(port: u16) -> std::io::Result<File> {
    let folder = std::env::temp_dir().join("workerpool-devnet-ports");
    std::fs::create_dir_all(&folder)?;
    File::options()
        .create(true)
        .append(true)
        .open(folder.join(port.to_string()))
}
