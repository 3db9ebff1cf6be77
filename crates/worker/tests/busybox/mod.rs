//! An image made of Debian's static busybox, so that no registry is needed.

use bollard::models::{ContainerConfig, ContainerCreateBody};
use bollard::query_parameters::{
    CommitContainerOptions, CreateContainerOptions, CreateImageOptions, RemoveContainerOptions,
};
use bollard::{ClientVersion, Docker};
use futures_util::TryStreamExt;

/// The engine, spoken to in the version that Debian 12's knows.
pub(crate) fn docker() -> Docker {
    let version = ClientVersion {
        major_version: 1,
        minor_version: 41,
    };
    let host =
        std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
    match host.strip_prefix("unix://") {
        Some(_) => Docker::connect_with_unix(&host, 120, &version).unwrap(),
        None => Docker::connect_with_http(&host, 120, &version).unwrap(),
    }
}

/// Imports a tar of `bin/busybox`, with links for the shell, as `image` (`name:tag`), unless that is there already.
#[allow(dead_code, reason = "not every test runs something")]
pub(crate) async fn import(image: &str) {
    if docker().inspect_image(image).await.is_ok() {
        return;
    }
    let busybox = std::fs::read("/bin/busybox")
        .expect("/bin/busybox is there: apt-get install busybox-static");
    let mut tar = Vec::new();
    for (name, mode) in [("bin/", 0o755), ("tmp/", 0o1777)] {
        tar.extend(header(name, 0, mode, b'5', ""));
    }
    tar.extend(header("bin/busybox", busybox.len(), 0o755, b'0', ""));
    tar.extend(&busybox);
    tar.resize(tar.len().next_multiple_of(512), 0);
    tar.extend(header("bin/sh", 0, 0o777, b'2', "busybox"));
    tar.extend(header("bin/chmod", 0, 0o777, b'2', "busybox"));
    tar.resize(tar.len() + 1024, 0);
    send(image, tar).await;
}

/// The image with a volume declared at `/volume`.
#[allow(dead_code, reason = "not every test needs volumes")]
pub(crate) async fn with_volume(image: &str) -> String {
    static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _one = ONE_AT_A_TIME.lock().await;
    let name = "workerpool-test-volume:1".to_owned();
    if docker().inspect_image(&name).await.is_ok() {
        return name;
    }
    let container = format!("wptest-volume-{}", std::process::id());
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        cmd: Some(vec!["/bin/busybox".to_owned()]),
        ..ContainerCreateBody::default()
    };
    let create = CreateContainerOptions {
        name: Some(container.clone()),
        ..CreateContainerOptions::default()
    };
    docker().create_container(Some(create), body).await.unwrap();
    let commit = CommitContainerOptions {
        container: Some(container.clone()),
        repo: Some("workerpool-test-volume".to_owned()),
        tag: Some("1".to_owned()),
        changes: Some("VOLUME /volume".to_owned()),
        ..CommitContainerOptions::default()
    };
    let config = ContainerConfig::default();
    docker().commit_container(commit, config).await.unwrap();
    let force = RemoveContainerOptions {
        force: true,
        ..RemoveContainerOptions::default()
    };
    docker()
        .remove_container(&container, Some(force))
        .await
        .unwrap();
    name
}

/// Imports a tar of nothing but a file with this text, as `image` (`name:tag`).
#[allow(dead_code, reason = "not every test needs images of its own")]
pub(crate) async fn import_file(image: &str, text: &[u8]) {
    let mut tar = header("file", text.len(), 0o644, b'0', "").to_vec();
    tar.extend(text);
    tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
    send(image, tar).await;
}

async fn send(image: &str, tar: Vec<u8>) {
    let (repo, tag) = image.rsplit_once(':').unwrap();
    let options = CreateImageOptions {
        from_src: Some("-".to_owned()),
        repo: Some(repo.to_owned()),
        tag: Some(tag.to_owned()),
        ..CreateImageOptions::default()
    };
    let body = bollard::body_full(tar.into());
    docker()
        .create_image(Some(options), Some(body), None)
        .try_collect::<Vec<_>>()
        .await
        .unwrap();
}

/// A header of the ustar format.
fn header(name: &str, size: usize, mode: u32, kind: u8, link: &str) -> [u8; 512] {
    let mut header = [0u8; 512];
    let mut put =
        |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, &format!("{mode:07o}\0"));
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{size:011o}\0"));
    put(136, "00000000000\0");
    put(148, "        ");
    put(157, link);
    put(257, "ustar\0");
    put(263, "00");
    header[156] = kind;
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}
