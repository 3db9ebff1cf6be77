//! The network of applications on a real engine: what they reach and what not, in both forms of the packet rules, and what is left
//! behind. Needs root, an engine on this machine, and `/bin/busybox`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests stop at what cannot happen"
)]

mod busybox;
mod outside;

use std::net::TcpListener;
use std::time::Duration;

use bollard::query_parameters::{
    InspectContainerOptions, InspectNetworkOptions, ListContainersOptions,
};
use busybox::docker;
use chassis::env::MapEnv;
use outside::{Outside, PORT};
use worker::Settings;
use worker::config::Containers;
use worker::docker::run::{Ended, Finished, RunRequest};
use worker::docker::sandbox::helper::{self, Program};
use worker::docker::sandbox::{self, Place, Sandbox, SandboxError};
use worker::docker::{Engine, network};

const IMAGE: &str = "workerpool-test-busybox:1";

/// No test by itself: helper containers are made of this very program, and neighbours run it too.
#[test]
fn helper() {
    let words: Vec<String> = std::env::args()
        .skip_while(|word| word != "helper")
        .skip(1)
        .collect();
    match words.first().map(String::as_str) {
        None => {}
        Some("serve") => outside::serve(),
        Some("form") => tell_form(),
        Some(_) => std::process::exit(i32::from(helper::main(&words))),
    }
}

const HELPER: [&str; 3] = ["--exact", "--nocapture", "helper"];

/// One worker's sandbox, and the means to run applications in it; all of it is removed at the end.
struct World {
    engine: Engine,
    worker: String,
    number: u8,
    folder: tempfile::TempDir,
}

impl World {
    async fn new(test: &str, number: u8) -> Self {
        let host = std::env::var("DOCKER_HOST").ok();
        let engine = Engine::connect(host.as_deref())
            .await
            .unwrap_or_else(|error| panic!("{error}; `make setup` installs and starts one"));
        busybox::import(IMAGE).await;
        Self {
            engine,
            worker: format!("wptest-{test}-{}", std::process::id()),
            number,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn settings(&self, more: &[(&str, &str)]) -> Containers {
        let mut env = MapEnv::from([
            ("POOL_ADDRESS", "0x365E7BABAa85eC61Dffe5b520763062e6C29dA27"),
            ("IEXEC_WORKER_WALLET_PATH", "/w.json"),
            ("IEXEC_WORKER_WALLET_PASSWORD", "a real one"),
        ])
        .with(
            "WORKERPOOL_WORKER_SUBNETS",
            format!("10.216.{}.0/24", self.number),
        );
        for (name, value) in more {
            env = env.with(*name, *value);
        }
        Settings::from_env(&env).unwrap().containers
    }

    async fn sandbox(&self, more: &[(&str, &str)]) -> Sandbox {
        let settings = self.settings(more);
        Sandbox::prepare(
            &self.engine,
            &self.worker,
            &settings,
            &Program::this(&HELPER),
        )
        .await
        .unwrap()
    }

    fn request(&self, task: &str, place: Place, script: &str) -> RunRequest {
        let folder = self.folder.path().join(task);
        for name in ["input", "out"] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
        }
        RunRequest {
            name: format!("{}-{task}", self.worker),
            task: task.to_owned(),
            image: IMAGE.to_owned(),
            arguments: ["/bin/busybox", "sh", "-c", script]
                .map(str::to_owned)
                .to_vec(),
            env: Vec::new(),
            input: folder.join("input"),
            output: folder.join("out"),
            streams: folder,
            place,
            profile: worker::docker::Profile::Default,
            limits: self.settings(&[]).limits,
            gpu: false,
            timeout: Duration::from_secs(120),
        }
    }

    async fn run(&self, task: &str, place: Place, script: &str) -> Finished {
        let request = self.request(task, place, script);
        let finished = self.engine.run(&request).await.unwrap();
        self.engine.remove(&request.name).await.unwrap();
        finished
    }

    async fn text(&self, task: &str, place: Place, script: &str) -> String {
        let finished = self.run(task, place, script).await;
        let streams = finished
            .streams
            .unwrap_or_else(|| panic!("{:?}", finished.reason));
        std::fs::read_to_string(streams.stdout).unwrap()
    }

    /// Which of these addresses answer an application that is put there.
    async fn reached(&self, place: Place, addresses: &[String], port: u16) -> Vec<String> {
        let script = format!(
            "for a in {}; do [ \"$(/bin/busybox nc -w 2 $a {port} </dev/null 2>/dev/null)\" = hello ] && echo $a; done; true",
            addresses.join(" ")
        );
        let text = self.text("probe", place, &script).await;
        text.lines().map(str::to_owned).collect()
    }

    async fn bridge_address(&self, slot: u32) -> String {
        let name = network::name(&self.worker, slot);
        let found = docker()
            .inspect_network(&name, None::<InspectNetworkOptions>)
            .await
            .unwrap();
        let subnet = found.ipam.unwrap().config.unwrap()[0]
            .subnet
            .clone()
            .unwrap();
        let subnet: network::Subnet = subnet.parse().unwrap();
        // The engine takes the first address of a subnet that nothing else is said about.
        std::net::Ipv4Addr::from(u32::from(subnet.first()) + 1).to_string()
    }

    /// The containers that are here for this worker's networks.
    async fn holders(&self) -> Vec<String> {
        let options = ListContainersOptions {
            all: true,
            filters: Some(
                [(
                    "label".to_owned(),
                    vec![format!("workerpool.worker={}", self.worker)],
                )]
                .into(),
            ),
            ..ListContainersOptions::default()
        };
        let found = docker().list_containers(Some(options)).await.unwrap();
        found.into_iter().filter_map(|one| one.id).collect()
    }
}

/// What greets whoever reaches this host, on a port of its own.
fn host_greets() -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || outside::greet(&listener));
    port
}

/// The whole of it, in one of the two forms.
async fn all_that_is_local_is_closed(test: &str, number: u8, form: &str) {
    let world = World::new(test, number).await;
    let outside = Outside::new(number, &[&HELPER[..], &["serve"]].concat());
    let dns = outside.neighbour();
    let common = [("WORKERPOOL_WORKER_DNS", dns.as_str())];
    let host_port = host_greets();

    let open = world
        .sandbox(&[&common[..], &[("WORKERPOOL_WORKER_EGRESS_RULES", "off")]].concat())
        .await;
    let place = open.place(0).await.unwrap();
    let mut host = vec![world.bridge_address(0).await, "172.17.0.1".to_owned()];
    let local: Vec<String> = outside
        .local()
        .into_iter()
        .map(|(_, address)| address)
        .collect();
    let (of_host, of_neighbours): (Vec<_>, Vec<_>) = local
        .into_iter()
        .partition(|address| address.ends_with(".1"));
    host.extend(of_host);
    let mut neighbours = of_neighbours;
    let internet = outside.internet();
    neighbours.push(internet.clone());
    // Without rules all of it answers: so what follows is the rules' doing.
    assert_eq!(world.reached(place.clone(), &host, host_port).await, host);
    assert_eq!(world.reached(place, &neighbours, PORT).await, neighbours);

    let rules = [&common[..], &[("WORKERPOOL_WORKER_EGRESS_RULES", form)]].concat();
    let closed = world.sandbox(&rules).await;
    let (place, other) = (
        closed.place(0).await.unwrap(),
        closed.place(1).await.unwrap(),
    );
    assert_eq!(
        world.reached(place.clone(), &host, host_port).await,
        [""; 0]
    );
    assert_eq!(
        world.reached(place.clone(), &neighbours, PORT).await,
        std::slice::from_ref(&internet)
    );

    // Another task, which listens.
    let listening = world.request(
        "other",
        other,
        &format!("/bin/busybox ip -4 addr show eth0; while true; do echo hello | /bin/busybox nc -l -p {PORT}; done"),
    );
    let (engine, name) = (world.engine.clone(), listening.name.clone());
    let running = tokio::spawn(async move { engine.run(&listening).await });
    let address = loop {
        if let Some(address) = address_of(&world, &name, 1).await {
            break address;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(
        world.reached(place.clone(), &[address], PORT).await,
        [""; 0]
    );
    world.engine.remove(&name).await.unwrap();
    running.abort();

    // Names are resolved by a server in the closed network, of which nothing else is open.
    let said = world
        .text(
            "dns",
            place.clone(),
            "/bin/busybox nslookup -type=a some.example; true",
        )
        .await;
    assert!(said.contains("45.79.1.2"), "{said}");

    // What is closed is refused at once, and the application cannot open it.
    let said = world
        .text(
            "undo",
            place.clone(),
            &format!("/bin/busybox time -f %e /bin/busybox nc -w 30 {} {PORT} </dev/null 2>&1; /bin/busybox ip link set eth0 down 2>&1; /bin/busybox ip route del default 2>&1; /bin/busybox grep -v lo /proc/net/if_inet6 || echo no v6", outside.neighbour()),
        )
        .await;
    let seconds: f64 = said.lines().find_map(|line| line.parse().ok()).unwrap();
    assert!(seconds < 0.9, "{said}");
    assert_eq!(said.matches("not permitted").count(), 2, "{said}");
    assert!(said.contains("no v6"), "{said}");

    // A restarted worker finds it all, and nothing is opened meanwhile.
    drop(closed);
    let again = world.sandbox(&rules).await;
    let again_place = again.place(0).await.unwrap();
    assert_eq!(again_place, place);
    assert_eq!(
        world.reached(again_place, &neighbours, PORT).await,
        std::slice::from_ref(&internet)
    );

    // What the operator opens is open, and nothing beside it.
    let lan = format!("{}/32", outside.neighbour());
    let opened = world
        .sandbox(
            &[
                &rules[..],
                &[("WORKERPOOL_WORKER_EGRESS_OPEN", lan.as_str())],
            ]
            .concat(),
        )
        .await;
    let place = opened.place(0).await.unwrap();
    assert_eq!(
        world.reached(place, &neighbours, PORT).await,
        [outside.neighbour(), internet]
    );

    opened.leave().await;
    assert_eq!(world.engine.networks(&world.worker).await.unwrap(), [0; 0]);
    assert_eq!(world.holders().await, [""; 0]);
    assert!(
        !sandbox::tables()
            .unwrap()
            .contains(&sandbox::table(&world.worker))
    );
}

/// The address of a container that runs on a slot's network, or in the namespace of that slot's holder.
async fn address_of(world: &World, name: &str, slot: u32) -> Option<String> {
    let found = docker()
        .inspect_container(name, None::<InspectContainerOptions>)
        .await
        .ok()?;
    if found.state?.running != Some(true) {
        return None;
    }
    let network = network::name(&world.worker, slot);
    let on = docker()
        .inspect_network(&network, None::<InspectNetworkOptions>)
        .await
        .ok()?;
    let (_, one) = on.containers?.into_iter().next()?;
    Some(one.ipv4_address?.split('/').next()?.to_owned())
}

#[tokio::test]
async fn rules_on_the_host_leave_the_internet_and_dns_and_close_all_that_is_local() {
    all_that_is_local_is_closed("host", 211, "host").await;
}

#[tokio::test]
async fn rules_in_the_namespace_leave_the_internet_and_dns_and_close_all_that_is_local() {
    all_that_is_local_is_closed("inside", 212, "namespace").await;
}

#[tokio::test]
async fn on_the_engines_own_host_the_rules_stand_on_the_host() {
    let world = World::new("auto", 213).await;
    let sandbox = world.sandbox(&[]).await;
    assert!(sandbox.form().contains("on the host"), "{}", sandbox.form());
    assert!(
        sandbox::tables()
            .unwrap()
            .contains(&sandbox::table(&world.worker))
    );
    sandbox.leave().await;
}

/// Says which form a worker of this process's rights chooses.
fn tell_form() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let world = World::new("rights", 224).await;
        let sandbox = world.sandbox(&[]).await;
        let place = sandbox.place(0).await.unwrap();
        let gateway = world.bridge_address(0).await;
        let reached = world.reached(place, &[gateway], host_greets()).await;
        println!("\nform: {}, reached: {reached:?}", sandbox.form());
        sandbox.leave().await;
    });
}

#[tokio::test]
async fn a_worker_that_may_not_change_the_hosts_rules_puts_them_into_the_namespaces() {
    let told = std::process::Command::new("setpriv")
        .arg("--bounding-set=-net_admin")
        .arg(std::env::current_exe().unwrap())
        .args(HELPER)
        .arg("form")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(
        text.contains("form: closed by packet rules in the containers' namespaces, reached: []"),
        "{text}"
    );
}

#[tokio::test]
async fn an_application_without_egress_has_nothing_but_its_own_loopback() {
    let world = World::new("none", 214).await;
    for profile in ["default", "compat"] {
        let settings = [
            ("WORKERPOOL_WORKER_EGRESS", "none"),
            ("WORKERPOOL_WORKER_PROFILE", profile),
        ];
        let place = world.sandbox(&settings).await.place(0).await.unwrap();
        let devices = world
            .text("none", place, "/bin/busybox ls /sys/class/net")
            .await;
        assert_eq!(devices, "lo\n");
    }
    assert_eq!(world.engine.networks(&world.worker).await.unwrap(), [0; 0]);
}

#[tokio::test]
async fn the_compat_profile_puts_applications_on_the_engines_default_bridge() {
    let world = World::new("compat", 215).await;
    let sandbox = world
        .sandbox(&[("WORKERPOOL_WORKER_PROFILE", "compat")])
        .await;
    let place = sandbox.place(0).await.unwrap();
    assert_eq!(place, Place::default());
    let port = host_greets();
    let reached = world.reached(place, &["172.17.0.1".to_owned()], port).await;
    assert_eq!(reached, ["172.17.0.1"], "as the original does it");
}

#[tokio::test]
async fn networks_and_rules_that_somebody_removed_are_there_again_before_the_next_task() {
    for (number, form) in [(216, "host"), (217, "namespace")] {
        let world = World::new(&format!("again{number}"), number).await;
        let sandbox = world
            .sandbox(&[("WORKERPOOL_WORKER_EGRESS_RULES", form)])
            .await;
        sandbox.place(0).await.unwrap();
        // Another life of the same worker, which ends in order.
        world
            .sandbox(&[("WORKERPOOL_WORKER_EGRESS_RULES", form)])
            .await
            .leave()
            .await;
        assert_eq!(world.engine.networks(&world.worker).await.unwrap(), [0; 0]);
        let port = host_greets();
        let place = sandbox.place(0).await.unwrap();
        let gateway = world.bridge_address(0).await;
        assert_eq!(
            world.reached(place, &[gateway], port).await,
            [""; 0],
            "{form}"
        );
        sandbox.leave().await;
    }
}

#[tokio::test]
async fn a_holder_that_was_started_anew_is_closed_anew() {
    let world = World::new("anew", 218).await;
    let sandbox = world
        .sandbox(&[("WORKERPOOL_WORKER_EGRESS_RULES", "namespace")])
        .await;
    let place = sandbox.place(0).await.unwrap();
    let holder = place.network.clone().unwrap().replace("container:", "");
    docker()
        .restart_container(
            &holder,
            None::<bollard::query_parameters::RestartContainerOptions>,
        )
        .await
        .unwrap();
    let port = host_greets();
    let gateway = world.bridge_address(0).await;
    // The namespace is another one now, without rules; nobody runs in it before it is closed.
    assert_eq!(
        world
            .reached(place, std::slice::from_ref(&gateway), port)
            .await,
        std::slice::from_ref(&gateway)
    );
    let place = sandbox.place(0).await.unwrap();
    assert_eq!(world.reached(place, &[gateway], port).await, [""; 0]);
    sandbox.leave().await;
}

#[tokio::test]
async fn a_network_that_vanished_is_no_result_of_the_application() {
    let world = World::new("gone", 219).await;
    for network in [
        network::name(&world.worker, 7),
        "container:0123456789ab".to_owned(),
    ] {
        let place = Place {
            network: Some(network.clone()),
            dns: Vec::new(),
        };
        let request = world.request("gone", place, "true");
        let error = world.engine.run(&request).await;
        assert!(error.is_err(), "{network}: {error:?}");
        world.engine.remove(&request.name).await.unwrap();
    }
}

#[tokio::test]
async fn networks_stay_as_long_as_a_tasks_container_is_left() {
    let world = World::new("left", 220).await;
    let sandbox = world.sandbox(&[]).await;
    let place = sandbox.place(0).await.unwrap();
    let request = world.request("left", place, "true");
    let finished = world.engine.run(&request).await.unwrap();
    assert_eq!(finished.ended, Ended::Exited(0));
    sandbox.leave().await;
    assert_eq!(world.engine.networks(&world.worker).await.unwrap(), [0]);
    assert!(
        sandbox::tables()
            .unwrap()
            .contains(&sandbox::table(&world.worker))
    );
    world.engine.remove(&request.name).await.unwrap();
    sandbox.leave().await;
    assert_eq!(world.engine.networks(&world.worker).await.unwrap(), [0; 0]);
    assert!(
        !sandbox::tables()
            .unwrap()
            .contains(&sandbox::table(&world.worker))
    );
}

#[tokio::test]
async fn the_rules_of_a_worker_that_is_gone_are_removed_by_the_next_one() {
    let (gone, next) = (
        World::new("killed", 221).await,
        World::new("next", 222).await,
    );
    let killed = gone.sandbox(&[]).await;
    drop(killed);
    assert!(
        sandbox::tables()
            .unwrap()
            .contains(&sandbox::table(&gone.worker))
    );
    // From here on any sandbox that is put up may remove them.
    gone.engine.remove_network(&gone.worker, 0).await.unwrap();
    let sandbox = next.sandbox(&[]).await;
    let tables = sandbox::tables().unwrap();
    assert!(!tables.contains(&sandbox::table(&gone.worker)));
    assert!(tables.contains(&sandbox::table(&next.worker)));
    sandbox.leave().await;
}

#[tokio::test]
async fn a_worker_that_cannot_close_the_network_says_why_and_what_to_do() {
    let world = World::new("cannot", 223).await;
    let settings = world.settings(&[("WORKERPOOL_WORKER_EGRESS_RULES", "namespace")]);
    let nothing = Program::this(&["--exact", "--nocapture", "helper", "nonsense"]);
    let refused = Sandbox::prepare(&world.engine, &world.worker, &settings, &nothing).await;
    let error = refused.unwrap_err();
    assert!(matches!(error, SandboxError::Open { .. }), "{error}");
    let text = error.to_string();
    for part in [
        "WORKERPOOL_WORKER_EGRESS=none",
        "WORKERPOOL_WORKER_PROFILE=compat",
        "as root",
    ] {
        assert!(text.contains(part), "{text}");
    }
    world.engine.remove_network(&world.worker, 0).await.unwrap();
}
