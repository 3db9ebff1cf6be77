//! A wall clock that is wrong, for one process, and can be set while it runs: a library that is loaded before all others adds what stands
//! in a file to every reading. The product knows nothing of it. Made with the C compiler that building the product needs anyway.

use std::path::PathBuf;
use std::process::Command;

use anyhow::ensure;

const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static volatile const long *seconds;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("SKEWED_CLOCK");
    int file = path ? open(path, O_RDONLY) : -1;
    if (file < 0) return;
    void *page = mmap(0, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED) seconds = page;
    close(file);
}

int clock_gettime(clockid_t id, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, at);
    if (result == 0 && id == CLOCK_REALTIME && seconds) at->tv_sec += *seconds;
    return result;
}
"#;

/// The clock of the processes that are started with [`SkewedClock::settings`].
#[derive(Debug)]
pub struct SkewedClock {
    folder: tempfile::TempDir,
}

impl SkewedClock {
    /// A clock that goes right at first.
    pub fn new() -> anyhow::Result<Self> {
        let clock = Self {
            folder: tempfile::tempdir()?,
        };
        let source = clock.folder.path().join("clock.c");
        std::fs::write(&source, SOURCE)?;
        clock.set(0)?;
        let output = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(clock.library())
            .arg(&source)
            .arg("-ldl")
            .output()?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(clock)
    }

    /// What a process needs to have this clock.
    #[must_use]
    pub fn settings(&self) -> Vec<(String, String)> {
        vec![
            ("LD_PRELOAD".into(), self.library().display().to_string()),
            ("SKEWED_CLOCK".into(), self.skew().display().to_string()),
        ]
    }

    /// Puts the clock so many seconds ahead of the right time, or behind it.
    pub fn set(&self, seconds: i64) -> anyhow::Result<()> {
        use std::io::{Seek as _, Write as _};
        // In place: the processes have the file mapped.
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.skew())?;
        file.rewind()?;
        file.write_all(&seconds.to_ne_bytes())?;
        Ok(())
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("clock.so")
    }

    fn skew(&self) -> PathBuf {
        self.folder.path().join("skew")
    }
}
