//! Ends a process of ours when we are killed ourselves, even by `kill -9`: a waiting shell at the other end of a pipe that only we hold open.
//!
//! Does nothing in an orderly end: then the guard is dismissed first.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

/// A shell that kills `$1` as soon as its input ends.
const SCRIPT: &str = "read -r never; kill -KILL \"$1\"";

/// Watches over one child process. Dismissed when dropped.
#[derive(Debug)]
pub(crate) struct Guard {
    shell: Child,
}

impl Guard {
    /// Guards `child`; the error is the system's when it has no shell.
    pub(crate) fn of(child: &Child) -> std::io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "guard", &child.id().to_string()]);
        // A group of its own: what ends our group must not end the guard before its work.
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        Ok(Self {
            shell: command.spawn()?,
        })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ended_already = self.shell.kill();
        let _reaped = self.shell.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep").arg("1000").spawn().unwrap()
    }

    #[test]
    fn a_guarded_process_ends_when_its_owner_is_gone() {
        let mut child = sleeper();
        let mut guard = Guard::of(&child).unwrap();
        drop(guard.shell.stdin.take());
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }

    #[test]
    fn a_dismissed_guard_leaves_its_process_alone() {
        let mut child = sleeper();
        drop(Guard::of(&child).unwrap());
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
