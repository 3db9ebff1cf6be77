//! Application images built from nothing but Debian's static busybox and a script, and pushed to the test's registry.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// The demo's application: `e2e/app/hello.sh`.
pub const HELLO: &str = include_str!("../app/hello.sh");

/// An application that fails in the way its first argument names: `e2e/app/faults.sh`.
pub const FAULTS: &str = include_str!("../app/faults.sh");

const APPLETS: [&str; 11] = [
    "sh",
    "cut",
    "sha256sum",
    "sleep",
    "ln",
    "cat",
    "ls",
    "head",
    "yes",
    "mkfifo",
    "truncate",
];

/// Builds the image `name` with `script` as its entry point and pushes it to the registry that its name begins with. The local copy is
/// removed, so that a worker has to pull it.
pub fn build_and_push(script: &str, name: &str) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin)?;
    std::fs::copy("/bin/busybox", bin.join("busybox")).context(
        "/bin/busybox is missing: install it with `make setup` (Debian's busybox-static)",
    )?;
    for applet in APPLETS {
        symlink("busybox", bin.join(applet))?;
    }
    let app = folder.path().join("app.sh");
    std::fs::write(&app, script)?;
    std::fs::set_permissions(&app, std::fs::Permissions::from_mode(0o755))?;

    let mut tar = Command::new("tar")
        .args(["--create", "--owner=0", "--group=0", "--directory"])
        .arg(folder.path())
        .arg(".")
        .stdout(Stdio::piped())
        .spawn()?;
    let archive = tar.stdout.take().context("tar has no output")?;
    docker_with_input(
        &["import", "--change", "ENTRYPOINT [\"/app.sh\"]", "-", name],
        archive,
    )?;
    tar.wait()?;
    docker(&["push", "--quiet", name])?;
    remove(name)
}

/// Removes the local copy of an image, if there is one.
pub fn remove(name: &str) -> anyhow::Result<()> {
    if Command::new("docker")
        .args(["image", "inspect", name])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?
        .success()
    {
        docker(&["image", "rm", "--force", name])?;
    }
    Ok(())
}

/// Whether the engine has a local copy of the image.
pub fn is_here(name: &str) -> anyhow::Result<bool> {
    Ok(Command::new("docker")
        .args(["image", "inspect", name])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?
        .success())
}

/// Removes the containers and networks of the workers whose names begin with `prefix`: what a killed worker leaves behind.
pub fn sweep(dir: &Path, prefix: &str) -> anyhow::Result<()> {
    let containers = docker(&["ps", "--all", "--format", "{{.Names}}"])?;
    remove_all(
        &containers,
        &format!("{prefix}-"),
        &["rm", "--force", "--volumes"],
    )
    .and_then(|()| {
        // Those that hold a slot's network open, where its rules stand inside.
        let holders = format!("workerpool-net-{prefix}-");
        remove_all(&containers, &holders, &["rm", "--force"])
    })
    .and_then(|()| {
        let networks = docker(&["network", "ls", "--format", "{{.Name}}"])?;
        remove_all(
            &networks,
            &format!("workerpool-{prefix}-"),
            &["network", "rm"],
        )
    })
    .with_context(|| format!("while sweeping after {}", dir.display()))
}

fn remove_all(names: &str, prefix: &str, command: &[&str]) -> anyhow::Result<()> {
    let ours: Vec<&str> = names
        .lines()
        .filter(|name| name.starts_with(prefix))
        .collect();
    if !ours.is_empty() {
        docker(&[command, &ours].concat())?;
    }
    Ok(())
}

fn docker(args: &[&str]) -> anyhow::Result<String> {
    docker_with_input(args, Stdio::null())
}

fn docker_with_input(args: &[&str], input: impl Into<Stdio>) -> anyhow::Result<String> {
    let output = Command::new("docker")
        .args(args)
        .stdin(input)
        .output()
        .context("the docker command is missing: install it with `make setup`")?;
    if !output.status.success() {
        bail!(
            "docker {} failed: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
