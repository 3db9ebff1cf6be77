//! Containers on a real engine: what a run leaves, how it ends, and what a restart of the worker finds. The image is made here from
//! Debian's static busybox, so no registry is needed. Needs an engine (`DOCKER_HOST`, or the usual socket) and `/bin/busybox`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests stop at what cannot happen"
)]

mod busybox;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bollard::query_parameters::{InspectContainerOptions, InspectNetworkOptions};
use busybox::docker;
use worker::docker::network::{self, Subnet};
use worker::docker::pull::PullError;
use worker::docker::removal::Removed;
use worker::docker::run::{Ended, Finished, RunRequest};
use worker::docker::sandbox::Place;
use worker::docker::{Engine, Limits, Profile};

const IMAGE: &str = "workerpool-test-busybox:1";

fn place(network: &str) -> Place {
    Place {
        network: Some(network.to_owned()),
        dns: Vec::new(),
    }
}

/// One engine, one image, one task's folders; everything it made is removed at the end.
struct World {
    engine: Engine,
    folder: tempfile::TempDir,
    name: String,
}

impl World {
    async fn new(test: &str) -> Self {
        let host = std::env::var("DOCKER_HOST").ok();
        let engine = Engine::connect(host.as_deref())
            .await
            .unwrap_or_else(|error| panic!("{error}; `make setup` installs and starts one"));
        busybox::import(IMAGE).await;
        let folder = tempfile::tempdir().unwrap();
        for name in ["input", "out", "streams"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let world = Self {
            engine,
            folder,
            name: format!("wptest-{test}-{}", std::process::id()),
        };
        world.engine.remove(&world.name).await.unwrap();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn sh(&self, script: &str) -> RunRequest {
        RunRequest {
            name: self.name.clone(),
            task: self.name.clone(),
            image: IMAGE.to_owned(),
            arguments: ["/bin/busybox", "sh", "-c", script]
                .map(str::to_owned)
                .to_vec(),
            env: vec!["IEXEC_OUT=/iexec_out".to_owned()],
            input: self.path("input"),
            output: self.path("out"),
            streams: self.path("streams"),
            place: place("none"),
            profile: Profile::Default,
            limits: Limits {
                memory: 64 << 20,
                pids: 32,
                milli_cpus: 1000,
                disk: 64 << 20,
                logs: 1 << 20,
            },
            gpu: false,
            timeout: Duration::from_secs(60),
        }
    }

    async fn run(&self, script: &str) -> Finished {
        self.run_request(&self.sh(script)).await
    }

    async fn run_request(&self, request: &RunRequest) -> Finished {
        let finished = self.engine.run(request).await.unwrap();
        self.engine.remove(&self.name).await.unwrap();
        finished
    }

    async fn pull(&self, image: &str) -> Result<(), PullError> {
        let minute = Duration::from_secs(60);
        self.engine.pull(image, minute, minute, None).await
    }

    async fn is_running(&self) -> bool {
        let found = docker()
            .inspect_container(&self.name, None::<InspectContainerOptions>)
            .await;
        found
            .ok()
            .and_then(|found| found.state)
            .and_then(|state| state.running)
            == Some(true)
    }

    async fn until_running(&self) {
        while !self.is_running().await {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_run_that_succeeds_leaves_its_output_and_both_streams() {
    let world = World::new("ok").await;
    let finished = world.run("busybox() { /bin/busybox \"$@\"; }; busybox echo out; busybox echo err >&2; busybox echo r > $IEXEC_OUT/r.txt").await;
    assert_eq!((finished.ended, finished.exit_code), (Ended::Exited(0), 0));
    assert!(finished.succeeded());
    assert_eq!(
        std::fs::read_to_string(world.path("out/r.txt")).unwrap(),
        "r\n"
    );
    let streams = finished.streams.unwrap();
    assert_eq!(std::fs::read_to_string(streams.stdout).unwrap(), "out\n");
    assert_eq!(std::fs::read_to_string(streams.stderr).unwrap(), "err\n");
}

#[tokio::test]
async fn a_run_that_fails_has_its_exit_code_and_its_streams() {
    let world = World::new("fails").await;
    let finished = world.run("echo why >&2; exit 3").await;
    assert_eq!(
        (finished.ended, finished.exit_code, finished.succeeded()),
        (Ended::Exited(3), 3, false)
    );
    assert_eq!(
        std::fs::read_to_string(finished.streams.unwrap().stderr).unwrap(),
        "why\n"
    );
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_not_started_and_the_engine_says_why() {
    let world = World::new("nothing").await;
    let request = RunRequest {
        arguments: vec!["/no/such/command".to_owned()],
        ..world.sh("")
    };
    let finished = world.run_request(&request).await;
    assert_eq!(
        (finished.ended, finished.exit_code),
        (Ended::NotStarted, -1)
    );
    assert!(finished.reason.unwrap().contains("/no/such/command"));
}

#[tokio::test]
async fn a_run_past_its_time_is_stopped_at_once() {
    let world = World::new("slow").await;
    let began = Instant::now();
    let request = RunRequest {
        timeout: Duration::from_millis(500),
        ..world.sh("echo begun; exec /bin/busybox sleep 600")
    };
    let finished = world.run_request(&request).await;
    assert_eq!((finished.ended, finished.exit_code), (Ended::TimedOut, -1));
    assert!(began.elapsed() < Duration::from_secs(30));
    assert_eq!(
        std::fs::read_to_string(finished.streams.unwrap().stdout).unwrap(),
        "begun\n"
    );
}

#[tokio::test]
async fn a_run_past_its_memory_is_killed_and_told_as_that() {
    let world = World::new("memory").await;
    // The variable doubles until it does not fit.
    let finished = world
        .run("x=0123456789abcdef; while true; do x=$x$x; done")
        .await;
    assert_eq!(finished.ended, Ended::OutOfMemory);
}

#[tokio::test]
async fn a_run_that_writes_without_end_is_stopped_and_has_no_text() {
    // S7: never cut, since the text may belong to the digest.
    let world = World::new("text").await;
    let finished = world.run("exec /bin/busybox yes 0123456789012345678901234567890123456789012345678901234567890123").await;
    assert_eq!(
        (finished.ended, finished.exit_code, finished.streams),
        (Ended::TooMuchText, -1, None)
    );
}

#[tokio::test]
async fn a_run_that_fills_its_output_folder_is_stopped() {
    let world = World::new("disk").await;
    let mut request = world.sh("/bin/busybox dd if=/dev/zero of=/iexec_out/big bs=1048576 count=8 2>/dev/null; exec /bin/busybox sleep 600");
    request.limits.disk = 1 << 20;
    assert_eq!(world.run_request(&request).await.ended, Ended::TooMuchDisk);
}

#[tokio::test]
async fn a_run_that_fills_its_container_its_input_folder_or_a_volume_is_stopped() {
    let world = World::new("fill").await;
    for target in ["/tmp", "/iexec_in", "/volume"] {
        let mut request = world.sh(&format!(
            "/bin/busybox dd if=/dev/zero of={target}/big bs=1048576 count=8 2>/dev/null; exec /bin/busybox sleep 600"
        ));
        request.image = busybox::with_volume(IMAGE).await;
        request.limits.disk = 1 << 20;
        let ended = world.run_request(&request).await.ended;
        assert_eq!(ended, Ended::TooMuchDisk, "{target}");
        let _ = std::fs::remove_file(world.path("input/big"));
    }
}

#[tokio::test]
async fn what_was_downloaded_for_a_run_does_not_count_against_it() {
    let world = World::new("given").await;
    std::fs::write(world.path("input/dataset"), vec![7u8; 8 << 20]).unwrap();
    let mut request = world.sh("exec /bin/busybox sleep 3");
    request.limits.disk = 1 << 20;
    assert_eq!(world.run_request(&request).await.ended, Ended::Exited(0));
}

/// The names of the volumes that a container has.
async fn volumes_of(container: &str) -> Vec<String> {
    let found = docker()
        .inspect_container(container, None::<InspectContainerOptions>)
        .await
        .unwrap();
    let mounts = found.mounts.unwrap().into_iter();
    mounts.filter_map(|mount| mount.name).collect()
}

#[tokio::test]
async fn the_volumes_of_an_image_go_with_its_container_whether_that_ended_or_runs() {
    // Q39
    let world = World::new("volumes").await;
    let mut request =
        world.sh("echo x > /volume/x; [ ! -e /iexec_in/stay ] || exec /bin/busybox sleep 600");
    request.image = busybox::with_volume(IMAGE).await;
    let is_there = async |volume: &str| docker().inspect_volume(volume).await.is_ok();
    let finished = world.engine.run(&request).await.unwrap();
    assert_eq!(finished.ended, Ended::Exited(0));
    let of_ended = volumes_of(&world.name).await;
    assert_eq!(of_ended.len(), 1);
    assert!(is_there(&of_ended[0]).await);
    world.engine.remove(&world.name).await.unwrap();
    assert!(!is_there(&of_ended[0]).await);

    std::fs::write(world.path("input/stay"), "").unwrap();
    let engine = world.engine.clone();
    let running = tokio::spawn(async move { engine.run(&request).await });
    world.until_running().await;
    let of_running = volumes_of(&world.name).await;
    assert_eq!(of_running.len(), 1);
    assert!(is_there(&of_running[0]).await);
    world.engine.remove(&world.name).await.unwrap();
    assert!(!is_there(&of_running[0]).await);
    assert!(!running.await.unwrap().unwrap().succeeded());
}

#[tokio::test]
async fn a_run_that_prints_a_gigabyte_is_stopped_long_before_it_fills_the_disk() {
    // S7
    let world = World::new("gigabyte").await;
    let mut request = world.sh("/bin/busybox dd if=/dev/zero bs=1048576 count=1024 2>/dev/null | /bin/busybox tr '\\0' x; exec /bin/busybox sleep 600");
    request.limits.logs = 16 << 20;
    let began = Instant::now();
    let finished = world.engine.run(&request).await.unwrap();
    assert_eq!(
        (finished.ended, finished.streams),
        (Ended::TooMuchText, None)
    );
    assert!(began.elapsed() < Duration::from_secs(60));
    let found = docker()
        .inspect_container(&world.name, None::<InspectContainerOptions>)
        .await
        .unwrap();
    let log = PathBuf::from(found.log_path.unwrap());
    let kept: u64 = std::fs::read_dir(log.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(kept < 512 << 20, "the engine keeps {kept} bytes of it");
    world.engine.remove(&world.name).await.unwrap();
}

#[tokio::test]
async fn a_run_that_forks_without_end_harms_nobody_and_is_stopped() {
    let world = World::new("fork").await;
    let bomb = RunRequest {
        timeout: Duration::from_secs(3),
        ..world.sh("f() { f | f & }; while true; do f 2>/dev/null; done")
    };
    let engine = world.engine.clone();
    let bombing = tokio::spawn(async move { engine.run(&bomb).await });
    world.until_running().await;
    // Another application goes on beside it.
    let neighbour = World::new("fork-neighbour").await;
    let finished = neighbour.run("/bin/busybox seq 3").await;
    assert_eq!(finished.ended, Ended::Exited(0));
    let finished = bombing.await.unwrap().unwrap();
    assert!(!finished.succeeded(), "{finished:?}");
    world.engine.remove(&world.name).await.unwrap();
    assert!(!world.is_running().await);
}

#[tokio::test]
async fn a_run_has_few_capabilities_and_no_more_processes_than_it_may() {
    let world = World::new("caps").await;
    let finished = world.run("while read line; do case $line in CapEff*|NoNewPrivs*) echo $line;; esac; done < /proc/self/status").await;
    // CHOWN 0, DAC_OVERRIDE 1, FOWNER 3, KILL 5, SETGID 6, SETUID 7, NET_BIND_SERVICE 10.
    let text = std::fs::read_to_string(finished.streams.unwrap().stdout).unwrap();
    assert_eq!(text, "CapEff: 00000000000004eb\nNoNewPrivs: 1\n");
    let finished = world
        .run("i=0; while [ $i -lt 100 ]; do /bin/busybox sleep 5 & i=$((i+1)); done; wait")
        .await;
    assert_ne!(finished.exit_code, 0, "a hundred processes were allowed");
}

#[tokio::test]
async fn a_restarted_worker_takes_the_run_over_and_finds_all_its_text() {
    let world = World::new("adopt").await;
    // Ends once the test says so, so that it surely runs when the first worker goes away.
    let request = world.sh("echo first; until [ -e /iexec_in/go ]; do /bin/busybox sleep 0.1; done; echo second; exit 7");
    let (engine, first) = (world.engine.clone(), request.clone());
    let killed = tokio::spawn(async move { engine.run(&first).await });
    world.until_running().await;
    killed.abort();
    assert!(killed.await.unwrap_err().is_cancelled());
    std::fs::write(world.path("input/go"), "").unwrap();
    let finished = world.run_request(&request).await;
    assert_eq!((finished.ended, finished.exit_code), (Ended::Exited(7), 7));
    assert_eq!(
        std::fs::read_to_string(finished.streams.unwrap().stdout).unwrap(),
        "first\nsecond\n"
    );
}

#[tokio::test]
async fn a_run_that_ended_while_the_worker_was_away_is_found_and_not_run_again() {
    let world = World::new("ended").await;
    let request = world.sh("echo once >> /iexec_out/runs; exit 4");
    let first = world.engine.run(&request).await.unwrap();
    let second = world.run_request(&request).await;
    assert_eq!(
        (first.ended, second.ended),
        (Ended::Exited(4), Ended::Exited(4))
    );
    assert_eq!(
        std::fs::read_to_string(world.path("out/runs")).unwrap(),
        "once\n"
    );
}

#[tokio::test]
async fn a_run_whose_container_was_removed_is_run_again_from_an_empty_folder() {
    let world = World::new("again").await;
    let request = world.sh("echo once >> /iexec_out/runs; [ ! -e /iexec_out/old ]");
    std::fs::write(world.path("out/old"), "of a run that was cut short").unwrap();
    for _ in 0..2 {
        let finished = world.run_request(&request).await;
        assert_eq!(finished.ended, Ended::Exited(0));
        assert_eq!(
            std::fs::read_to_string(world.path("out/runs")).unwrap(),
            "once\n"
        );
    }
}

#[tokio::test]
async fn a_stopped_container_ends_its_run_and_removing_it_twice_is_no_error() {
    let world = World::new("stop").await;
    let (engine, request) = (
        world.engine.clone(),
        world.sh("exec /bin/busybox sleep 600"),
    );
    let running = tokio::spawn(async move { engine.run(&request).await });
    world.until_running().await;
    world.engine.stop(&world.name).await.unwrap();
    assert_eq!(running.await.unwrap().unwrap().ended, Ended::Exited(137));
    world.engine.remove(&world.name).await.unwrap();
    world.engine.remove(&world.name).await.unwrap();
}

#[tokio::test]
async fn a_container_that_somebody_removes_ends_its_run_at_once() {
    // Q38
    let world = World::new("vanish").await;
    let (engine, request) = (
        world.engine.clone(),
        world.sh("exec /bin/busybox sleep 600"),
    );
    let running = tokio::spawn(async move { engine.run(&request).await });
    world.until_running().await;
    world.engine.remove(&world.name).await.unwrap();
    // Its last state may still be seen.
    let ended = running.await.unwrap().unwrap().ended;
    assert!(
        matches!(ended, Ended::Vanished | Ended::Exited(137)),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_container_whose_name_only_begins_alike_is_another() {
    // Q40
    let world = World::new("alike").await;
    let longer = RunRequest {
        name: format!("{}-2", world.name),
        ..world.sh("exec /bin/busybox sleep 600")
    };
    let engine = world.engine.clone();
    let other = tokio::spawn({
        let (engine, longer) = (engine.clone(), longer.clone());
        async move { engine.run(&longer).await }
    });
    let finished = world.run("echo mine > /iexec_out/mine").await;
    assert_eq!(finished.ended, Ended::Exited(0));
    engine.stop(&longer.name).await.unwrap();
    assert_eq!(other.await.unwrap().unwrap().ended, Ended::Exited(137));
    engine.remove(&longer.name).await.unwrap();
}

#[tokio::test]
async fn an_image_that_a_registry_does_not_have_is_told_from_a_registry_that_does_not_answer() {
    let world = World::new("pull").await;
    // A registry that answers its version check, and 404 with the registry's own words to everything else.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let registry = listener.local_addr().unwrap().to_string();
    let missing = || async {
        let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
        (
            axum::http::StatusCode::NOT_FOUND,
            [("content-type", "application/json")],
            body,
        )
    };
    let router = axum::Router::new()
        .route("/v2/", axum::routing::get(|| async { "{}" }))
        .fallback(missing);
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let image = format!("{registry}/none:1");
    assert!(matches!(
        world.pull(&image).await,
        Err(PullError::NotFound { .. })
    ));
    assert!(!world.engine.has_image(&image).await.unwrap());
    serving.abort();
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let error = world.pull(&format!("{closed}/app:1")).await.unwrap_err();
    assert!(
        matches!(&error, PullError::Unreachable { .. }) && error.may_pass(),
        "{error}"
    );
    assert!(world.engine.has_image(IMAGE).await.unwrap());
}

#[tokio::test]
async fn every_slot_has_a_network_of_its_own_made_once() {
    let world = World::new("net").await;
    let worker = world.name.clone();
    let range: Subnet = "10.214.0.0/24".parse().unwrap();
    let mut subnets = Vec::new();
    for slot in [0, 1, 0] {
        let name = world
            .engine
            .ensure_network(&worker, slot, range)
            .await
            .unwrap();
        assert_eq!(name, network::name(&worker, slot));
        let found = docker()
            .inspect_network(&name, None::<InspectNetworkOptions>)
            .await
            .unwrap();
        subnets.push(
            found.ipam.unwrap().config.unwrap()[0]
                .subnet
                .clone()
                .unwrap(),
        );
    }
    assert_eq!(subnets[0], subnets[2]);
    assert_ne!(subnets[0], subnets[1]);
    assert!(
        subnets
            .iter()
            .all(|subnet| subnet.starts_with("10.214.0.") && subnet.ends_with("/28"))
    );
    // An application runs on it.
    let request = RunRequest {
        place: place(&network::name(&worker, 0)),
        ..world.sh("/bin/busybox ip addr show eth0")
    };
    let text =
        std::fs::read_to_string(world.run_request(&request).await.streams.unwrap().stdout).unwrap();
    assert!(text.contains("10.214.0."), "{text}");
    for slot in [0, 1] {
        world.engine.remove_network(&worker, slot).await.unwrap();
        world.engine.remove_network(&worker, slot).await.unwrap();
    }
}

#[tokio::test]
async fn containers_of_tasks_are_found_by_their_label_and_the_beginning_of_their_name() {
    let world = World::new("list").await;
    world.engine.run(&world.sh("exit 0")).await.unwrap();
    let found = world.engine.task_containers(&world.name).await.unwrap();
    assert_eq!(found, std::slice::from_ref(&world.name));
    assert!(
        world
            .engine
            .task_containers("another-worker-")
            .await
            .unwrap()
            .is_empty()
    );
    world.engine.remove(&world.name).await.unwrap();
    assert!(
        world
            .engine
            .task_containers(&world.name)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_folder_that_an_application_filled_is_removed() {
    let world = World::new("sweep").await;
    let finished = world.run("/bin/busybox mkdir -p /iexec_out/a/b; echo x > /iexec_out/a/b/c; /bin/busybox chmod 000 /iexec_out/a/b").await;
    assert!(finished.succeeded());
    let removed = world
        .engine
        .remove_folder(&world.path("out"), Some(IMAGE))
        .await
        .unwrap();
    assert_eq!(removed, Removed::Gone);
    assert!(!world.path("out").exists());
}
