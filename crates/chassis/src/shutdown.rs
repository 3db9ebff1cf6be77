//! The end of a process, asked for by a signal, an operator or an error, seen by everything that runs in it.

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Whether, and when, everything is to end. Clones see the same end.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// One that nobody has asked for.
    pub fn new() -> Self {
        Self::default()
    }

    /// One that SIGTERM and SIGINT ask for. A second signal ends the process at once, with the exit code that a shell gives
    /// to that signal. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the system does not let us listen to signals.
    pub fn on_signals() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = Self::new();
        let asked = shutdown.clone();
        tokio::spawn(async move {
            loop {
                let (name, code) = tokio::select! {
                    _ = terminate.recv() => ("SIGTERM", 128 + 15),
                    _ = interrupt.recv() => ("SIGINT", 128 + 2),
                };
                if asked.is_triggered() {
                    tracing::warn!(signal = name, "asked twice to end, ending at once");
                    std::process::exit(code);
                }
                tracing::info!(signal = name, "ending; a second signal ends at once");
                asked.trigger();
            }
        });
        Ok(shutdown)
    }

    /// Asks for the end.
    pub fn trigger(&self) {
        self.token.cancel();
    }

    /// Whether the end was asked for.
    pub fn is_triggered(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits for the end to be asked for.
    pub fn triggered(&self) -> WaitForCancellationFutureOwned {
        self.token.clone().cancelled_owned()
    }

    /// One for a part of the process: it ends with the whole, or before by itself.
    #[must_use]
    pub fn part(&self) -> Self {
        Self {
            token: self.token.child_token(),
        }
    }

    /// The token itself, for what wants one.
    pub const fn token(&self) -> &CancellationToken {
        &self.token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_ends_with_the_whole_and_not_the_other_way_round() {
        let whole = Shutdown::new();
        let (one, other) = (whole.part(), whole.part());
        one.trigger();
        assert!(!whole.is_triggered() && !other.is_triggered());
        whole.trigger();
        other.triggered().await;
    }
}
