//! Images on a real engine, from a real registry: who signs in where, what is pulled, checked and kept, and what is removed. Needs an
//! engine and Debian's `docker-registry`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests stop at what cannot happen"
)]

mod busybox;
mod registries;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256};
use bollard::auth::DockerCredentials;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    CreateContainerOptions, PushImageOptions, RemoveImageOptions, TagImageOptions,
};
use busybox::docker;
use chassis::env::MapEnv;
use futures_util::TryStreamExt;
use poco::ids::TaskId;
use store::{Identity, Store};
use wire::message::WorkerpoolAuthorization;
use worker::Settings;
use worker::config::Images;
use worker::docker::Engine;
use worker::docker::cache::ImageCache;
use worker::docker::pull::PullError;
use worker::journal::{self, Journal};

const MINUTE: Duration = Duration::from_secs(60);
const MIB: usize = 1 << 20;
/// `ann` with the password `s3cr3t`.
const HTPASSWD: &str = "ann:$2b$05$abcdefghijklmnopqrstuu9Avu/WgbsK7g7xfCY1X3pdjsTgxqQLS\n";

/// A registry of the test's own on the loopback, which needs no TLS.
struct Registry {
    address: String,
    process: Child,
    _folder: tempfile::TempDir,
}

impl Registry {
    async fn start(private: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let (config, passwords) = (folder.path().join("c.yml"), folder.path().join("htpasswd"));
        std::fs::write(&passwords, HTPASSWD).unwrap();
        let auth = if private {
            format!(
                "auth:\n  htpasswd:\n    realm: test\n    path: {}\n",
                passwords.display()
            )
        } else {
            String::new()
        };
        let root = folder.path().join("images");
        let text = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n{auth}",
            root.display()
        );
        std::fs::write(&config, text).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry is there: apt-get install docker-registry");
        let began = Instant::now();
        while reqwest::get(format!("http://{address}/v2/")).await.is_err() {
            assert!(began.elapsed() < MINUTE, "the registry does not answer");
            tokio::task::yield_now().await;
        }
        Self {
            address,
            process,
            _folder: folder,
        }
    }

    /// Makes an image of about `mib` MiB there, which the engine then does not have; its digest.
    async fn image(&self, name: &str, mib: usize) -> (String, B256) {
        let image = format!("{}/{name}", self.address);
        // Not to be compressed, and of no other image.
        let seed = format!("{image} {}", std::process::id());
        let text: Vec<u8> = (0..mib * MIB / 32)
            .flat_map(|n| <sha2::Sha256 as sha2::Digest>::digest(format!("{seed} {n}")))
            .collect();
        busybox::import_file(&image, &text).await;
        let ann = DockerCredentials {
            username: Some("ann".to_owned()),
            password: Some("s3cr3t".to_owned()),
            ..DockerCredentials::default()
        };
        let (repository, tag) = image.rsplit_once(':').unwrap();
        let options = PushImageOptions {
            tag: Some(tag.to_owned()),
            ..PushImageOptions::default()
        };
        let steps: Vec<_> = docker()
            .push_image(repository, Some(options), Some(ann))
            .try_collect()
            .await
            .unwrap();
        drop(steps);
        let found = docker().inspect_image(&image).await.unwrap();
        let digest = found.repo_digests.unwrap()[0]
            .rsplit_once(':')
            .unwrap()
            .1
            .to_owned();
        forget(&image).await;
        (image, digest.parse().unwrap())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn forget(image: &str) {
    let _ = docker()
        .remove_image(image, None::<RemoveImageOptions>, None)
        .await;
}

async fn is_here(image: &str) -> bool {
    docker().inspect_image(image).await.is_ok()
}

async fn engine() -> Engine {
    let host = std::env::var("DOCKER_HOST").ok();
    Engine::connect(host.as_deref())
        .await
        .unwrap_or_else(|error| panic!("{error}; `make setup` installs and starts one"))
}

fn settings(more: &[(&str, &str)]) -> Images {
    let mut env = MapEnv::from([
        ("POOL_ADDRESS", "0x365E7BABAa85eC61Dffe5b520763062e6C29dA27"),
        ("IEXEC_WORKER_WALLET_PATH", "/w.json"),
        ("IEXEC_WORKER_WALLET_PASSWORD", "a real one"),
        ("WORKERPOOL_WORKER_IMAGES_WATERMARK", "off"),
    ]);
    for (name, value) in more {
        env = env.with(*name, *value);
    }
    Settings::from_env(&env).unwrap().images
}

/// Somebody who signs in to the registry.
fn as_ann<'a>(registry: &'a str, password: &'a str) -> [(&'a str, &'a str); 3] {
    [
        ("IEXEC_WORKER_DOCKER_REGISTRY_ADDRESS_1", registry),
        ("IEXEC_WORKER_DOCKER_REGISTRY_USERNAME_1", "ann"),
        ("IEXEC_WORKER_DOCKER_REGISTRY_PASSWORD_1", password),
    ]
}

fn store(folder: &Path) -> Store {
    let identity = Identity {
        role: "worker".to_owned(),
        chain_id: 1,
        hub: Address::ZERO,
        pool: None,
    };
    Store::open(folder, &identity).unwrap()
}

async fn cache(store: &Store, settings: &Images) -> ImageCache {
    ImageCache::open(&engine().await, store, settings)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_private_registry_gives_its_images_to_who_signs_in_and_to_nobody_else() {
    let registry = Registry::start(true).await;
    let (image, _) = registry.image("private:1", 1).await;
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let others = "other.example".to_owned();
    for (address, password) in [(&registry.address, "wrong"), (&others, "s3cr3t")] {
        let images = cache(&store, &settings(&as_ann(address, password))).await;
        let refused = images.pull(&image, MINUTE).await.unwrap_err();
        assert!(
            matches!(refused, PullError::Credentials { .. }),
            "{refused:?}"
        );
        assert!(!format!("{refused} {refused:?}").contains(password));
        assert!(!is_here(&image).await);
    }
    let images = cache(&store, &settings(&as_ann(&registry.address, "s3cr3t"))).await;
    images.pull(&image, MINUTE).await.unwrap();
    assert!(is_here(&image).await);
    forget(&image).await;
}

#[tokio::test]
async fn credentials_are_told_to_their_own_registry_only() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let ((other, told_other), (own, told_own)) = (
        registries::eavesdropper().await,
        registries::eavesdropper().await,
    );
    let images = cache(&store, &settings(&as_ann(&own, "s3cr3t"))).await;
    for address in [&other, &own] {
        let refused = images.pull(&format!("{address}/app:1"), MINUTE).await;
        assert!(
            matches!(refused, Err(PullError::Credentials { .. })),
            "{refused:?}"
        );
    }
    let told_other = told_other.lock().unwrap();
    assert!(
        !told_other.is_empty() && told_other.iter().all(String::is_empty),
        "{told_other:?}"
    );
    let told_own = told_own.lock().unwrap();
    assert!(
        told_own.iter().any(|said| said.contains("Basic ")),
        "{told_own:?}"
    );
}

#[tokio::test]
async fn a_pull_that_stands_still_is_stopped() {
    let address = registries::of_one_layer(registries::halting).await;
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let images = cache(
        &store,
        &settings(&[("WORKERPOOL_WORKER_PULL_STALL", "PT2S")]),
    )
    .await;
    let began = Instant::now();
    let stopped = images
        .pull(&format!("{address}/slow:1"), MINUTE)
        .await
        .unwrap_err();
    assert!(
        matches!(stopped, PullError::Stalled { .. }) && stopped.may_pass(),
        "{stopped:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn a_pull_that_never_stands_still_and_never_ends_is_stopped_at_its_limit() {
    let address = registries::of_one_layer(registries::dripping).await;
    let image = format!("{address}/dripping:1");
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    // Longer than that it is silent never.
    let stall = [("WORKERPOOL_WORKER_PULL_STALL", "PT3S")];
    let images = cache(&store, &settings(&stall)).await;
    let (began, limit) = (Instant::now(), Duration::from_secs(6));
    let stopped = images.pull(&image, limit).await.unwrap_err();
    let took = began.elapsed();
    assert!(
        matches!(stopped, PullError::TimedOut { after, .. } if after == limit),
        "{stopped:?}"
    );
    assert!(!stopped.may_pass() && !stopped.is_ours());
    let text = format!("the image {image} did not arrive from {address} within 6 s");
    assert_eq!(stopped.to_string(), text);
    assert!(took >= limit && took < Duration::from_secs(20), "{took:?}");
    assert!(!is_here(&image).await);
}

#[tokio::test]
async fn references_without_tag_and_with_a_digest_are_pulled_and_the_digest_is_checked() {
    // Q33, S11
    let registry = Registry::start(false).await;
    let (image, digest) = registry.image("app:latest", 1).await;
    let (other, _) = registry.image("app:other", 1).await;
    let name = image.trim_end_matches(":latest").to_owned();
    let hex = poco::hex::encode(digest);
    let pinned = format!("{name}@sha256:{}", hex.trim_start_matches("0x"));
    let both = format!("{image}@sha256:{}", hex.trim_start_matches("0x"));
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let checked = cache(
        &store,
        &settings(&[("WORKERPOOL_WORKER_CHECK_IMAGE_DIGEST", "true")]),
    )
    .await;
    let unchecked = cache(&store, &settings(&[])).await;
    for reference in [&name, &pinned, &both] {
        checked.pull(reference, MINUTE).await.unwrap();
        assert!(checked.has(reference).await.unwrap(), "{reference}");
        let id = checked.runnable(reference, digest).await.unwrap().unwrap();
        assert!(id.starts_with("sha256:"), "{id}");
        assert_eq!(
            checked
                .runnable(reference, B256::repeat_byte(1))
                .await
                .unwrap(),
            None
        );
        // Many developers wrote nothing, or anything.
        let reference_itself = Some(reference.clone());
        assert_eq!(
            checked.runnable(reference, B256::ZERO).await.unwrap(),
            reference_itself
        );
        let anything = unchecked
            .runnable(reference, B256::repeat_byte(1))
            .await
            .unwrap();
        assert_eq!(anything, reference_itself);
    }
    checked.pull(&other, MINUTE).await.unwrap();
    assert_eq!(checked.runnable(&other, digest).await.unwrap(), None);
    assert_eq!(
        checked
            .runnable("app-that-is-not-here", digest)
            .await
            .unwrap(),
        None
    );
    // What is pinned and here is not asked for again.
    drop(registry);
    checked.pull(&pinned, MINUTE).await.unwrap();
    assert!(checked.pull(&other, MINUTE).await.is_err());
    for reference in [&other, &image, &pinned] {
        forget(reference).await;
    }
}

#[tokio::test]
async fn images_go_that_were_not_used_for_the_longest_time_but_none_that_is_needed_or_anothers() {
    let registry = Registry::start(false).await;
    let mut names = Vec::new();
    for name in ["a:1", "b:1", "c:1", "d:1", "e:1"] {
        names.push(registry.image(name, 4).await.0);
    }
    let [a, b, c, d, e] = <[String; 5]>::try_from(names).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let keep_all = cache(&store, &settings(&[])).await;
    // The operator's own, under a name that a deal names too.
    engine().await.pull(&e, MINUTE, MINUTE, None).await.unwrap();
    for image in [&a, &b, &c, &d, &e] {
        keep_all.pull(image, MINUTE).await.unwrap();
    }
    // The oldest is in use by a container that ended, the next is wanted by a task.
    let container = format!("wptest-image-{}", std::process::id());
    let body = ContainerCreateBody {
        image: Some(a.clone()),
        cmd: Some(vec!["/nothing".to_owned()]),
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptions {
        name: Some(container.clone()),
        ..CreateContainerOptions::default()
    };
    docker()
        .create_container(Some(options), body)
        .await
        .unwrap();
    let authorization = WorkerpoolAuthorization {
        chain_task_id: TaskId(B256::repeat_byte(7)),
        ..WorkerpoolAuthorization::default()
    };
    let wants_b = Journal {
        image: Some(b.clone()),
        ..Journal::new(authorization, None)
    };
    journal::save(&store, &wants_b).await.unwrap();
    drop(keep_all);
    // After a restart it is still known what was pulled.
    let three = cache(
        &store,
        &settings(&[("WORKERPOOL_WORKER_IMAGES_WATERMARK", "13m")]),
    )
    .await;
    assert_eq!(three.evict().await.unwrap(), std::slice::from_ref(&c));
    assert_eq!(
        three.evict().await.unwrap(),
        [""; 0],
        "the watermark is reached"
    );
    let none = cache(
        &store,
        &settings(&[("WORKERPOOL_WORKER_IMAGES_WATERMARK", "1k")]),
    )
    .await;
    assert_eq!(none.evict().await.unwrap(), std::slice::from_ref(&d));
    assert!(is_here(&a).await && is_here(&b).await && is_here(&e).await);
    assert!(!is_here(&c).await && !is_here(&d).await);
    // Once nobody needs them they go too; the operator's stays.
    engine().await.remove(&container).await.unwrap();
    journal::forget(&store, wants_b.task).await.unwrap();
    assert_eq!(none.evict().await.unwrap(), [a.clone(), b.clone()]);
    assert!(!is_here(&a).await && !is_here(&b).await && is_here(&e).await);
    assert_eq!(none.evict().await.unwrap(), [""; 0]);
    forget(&e).await;
}

#[tokio::test]
async fn a_name_that_somebody_gave_to_another_image_is_not_taken_from_it() {
    let registry = Registry::start(false).await;
    let (image, _) = registry.image("moved:1", 1).await;
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let images = cache(
        &store,
        &settings(&[("WORKERPOOL_WORKER_IMAGES_WATERMARK", "1k")]),
    )
    .await;
    images.pull(&image, MINUTE).await.unwrap();
    let own = format!("wptest-own-{}:1", std::process::id());
    busybox::import_file(&own, b"mine").await;
    let (repo, tag) = image.rsplit_once(':').unwrap();
    let options = TagImageOptions {
        repo: Some(repo.to_owned()),
        tag: Some(tag.to_owned()),
    };
    docker().tag_image(&own, Some(options)).await.unwrap();
    images.evict().await.unwrap();
    let (named, mine) = (
        docker().inspect_image(&image).await,
        docker().inspect_image(&own).await,
    );
    assert_eq!(named.unwrap().id, mine.unwrap().id);
    forget(&image).await;
    forget(&own).await;
}

#[tokio::test]
async fn what_a_pull_brought_that_a_kill_cut_short_is_known_as_ours() {
    let registry = Registry::start(false).await;
    let (image, _) = registry.image("cut:1", 8).await;
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let images = cache(&store, &settings(&[])).await;
    // Killed as soon as it is written down that it pulls.
    let pulling = images.pull(&image, MINUTE);
    let written = async {
        loop {
            let found: Option<serde_json::Value> =
                store.get(store::Collection::Meta, "images").await.unwrap();
            if found.is_some() {
                break;
            }
        }
    };
    tokio::select! {
        biased;
        () = written => {}
        pulled = pulling => panic!("not cut short: {pulled:?}"),
    }
    // The engine had got it all the same.
    engine()
        .await
        .pull(&image, MINUTE, MINUTE, None)
        .await
        .unwrap();
    let images = cache(
        &store,
        &settings(&[("WORKERPOOL_WORKER_IMAGES_WATERMARK", "1k")]),
    )
    .await;
    assert_eq!(images.evict().await.unwrap(), std::slice::from_ref(&image));
    assert!(!is_here(&image).await);
}
