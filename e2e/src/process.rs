//! Programs under test as real processes: started with their own output file, killed without warning, started again.

use std::fs::{File, OpenOptions};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// How to start a program: kept, so that it can be started again after a kill.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// What it is called in messages and in the name of its log file.
    pub name: String,
    /// The program's file.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its whole environment, beside `PATH` and `HOME`.
    pub env: Vec<(String, String)>,
    /// The folder it runs in, where its log goes too.
    pub dir: PathBuf,
}

impl Recipe {
    /// Starts the program, its output appended to `<dir>/<name>.log`.
    pub fn start(&self) -> anyhow::Result<Process> {
        let log = self.dir.join(format!("{}.log", self.name));
        let out = OpenOptions::new().create(true).append(true).open(&log)?;
        let err: File = out.try_clone()?;
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .env_clear()
            .envs(
                ["PATH", "HOME", "DOCKER_HOST", "TMPDIR", "WORKERPOOL_LOG"]
                    .iter()
                    .filter_map(|name| std::env::var_os(name).map(|value| (*name, value))),
            )
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0);
        let child = command.spawn().with_context(|| {
            format!(
                "{} could not be started from {}",
                self.name,
                self.program.display()
            )
        })?;
        Ok(Process {
            recipe: self.clone(),
            child,
            log,
        })
    }

    /// The same program with one variable set.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.into()));
        self
    }
}

/// A running program. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    recipe: Recipe,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.recipe.name
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it was started.
    #[must_use]
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Where its output goes.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// `kill -9`, and waits until the process is gone.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// `kill -9`, then starts it again from the same recipe.
    pub fn kill_and_restart(&mut self) -> anyhow::Result<()> {
        self.kill()?;
        *self = self.recipe.start()?;
        Ok(())
    }

    /// Replaces a stopped or running process by one of another recipe.
    pub fn restart_as(&mut self, recipe: Recipe) -> anyhow::Result<()> {
        self.kill()?;
        *self = recipe.start()?;
        Ok(())
    }

    /// Asks it to end (SIGTERM) and waits.
    pub fn terminate(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()?;
        self.wait(patience)
    }

    /// Sends a signal by its name, `STOP` or `CONT`, to the process and all that it started.
    pub fn signal_family(&self, signal: &str) -> anyhow::Result<()> {
        let family = family(self.child.id());
        let status = Command::new("kill")
            .arg(format!("-{signal}"))
            .args(&family)
            .status()?;
        anyhow::ensure!(
            status.success(),
            "{} did not take the signal {signal}",
            self.name()
        );
        Ok(())
    }

    /// Waits for its end by itself.
    pub fn wait(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        let until = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > until {
                bail!(
                    "{} did not end within {} s\n{}",
                    self.name(),
                    patience.as_secs(),
                    self.tail()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// An error that shows the log when the process is gone.
    pub fn must_live(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!(
                "{} ended by itself with {status}\n{}",
                self.name(),
                self.tail()
            );
        }
        Ok(())
    }

    /// All that it has said so far, earlier lives included.
    #[must_use]
    pub fn said(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until it has said all of `words` in one line, counted from the byte `from` of its output; gives that line.
    pub async fn says(
        &self,
        from: usize,
        words: &[&str],
        patience: Duration,
    ) -> anyhow::Result<String> {
        let what = format!("{} saying {words:?}", self.name());
        until(&what, patience, || async {
            let said = self.said();
            let line = said
                .get(from..)
                .unwrap_or_default()
                .lines()
                .find(|line| words.iter().all(|word| line.contains(word)));
            Ok(line.map(str::to_owned))
        })
        .await
        .with_context(|| self.tail())
    }

    /// The last lines of its output.
    #[must_use]
    pub fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(40);
        format!(
            "--- end of {}\n{}",
            self.log.display(),
            lines.get(from..).unwrap_or_default().join("\n")
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // With all that it started: a devnet's node goes with it.
            if let Err(error) = Command::new("kill")
                .arg("-KILL")
                .args(family(self.child.id()))
                .status()
            {
                eprintln!("{} may still run: {error}", self.recipe.name);
            }
            if let Err(error) = self.child.wait() {
                eprintln!("{} could not be waited for: {error}", self.recipe.name);
            }
        }
    }
}

/// A process and all that it started and those started, by their ids.
fn family(id: u32) -> Vec<String> {
    let mut all = vec![id.to_string()];
    let children =
        std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    for child in children
        .split_whitespace()
        .filter_map(|child| child.parse().ok())
    {
        all.extend(family(child));
    }
    all
}

/// Waits until `condition` gives a value. Between two looks it sleeps a little; past `patience` it fails with what was awaited.
pub async fn until<T, F, Fut>(what: &str, patience: Duration, mut condition: F) -> anyhow::Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = anyhow::Result<Option<T>>>,
{
    let end = Instant::now() + patience;
    loop {
        let last_error = match condition().await {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        if Instant::now() > end {
            return match last_error {
                Some(error) => Err(error.context(format!(
                    "{what} did not happen within {} s",
                    patience.as_secs()
                ))),
                None => bail!("{what} did not happen within {} s", patience.as_secs()),
            };
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
