//! What lies around the containers' host in a test: a network namespace that stands for the local network and for the internet behind
//! it, with something that answers on every address. Needs root and `ip`.

use std::io::Write;
use std::net::{TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};

/// The port on which everything answers.
pub(crate) const PORT: u16 = 7070;
/// What the name server says about every name.
pub(crate) const ANSWER: [u8; 4] = [45, 79, 1, 2];

/// A host's neighbourhood of its own, told apart by `number`.
pub(crate) struct Outside {
    number: u8,
    namespace: String,
    server: Child,
}

impl Outside {
    /// Makes it. `words` make this program call [`serve`].
    pub(crate) fn new(number: u8, words: &[&str]) -> Self {
        let namespace = format!("wptest-{}-{number}", std::process::id());
        let (host, peer) = (format!("wpt{number}-h"), format!("wpt{number}-p"));
        let inside = |words: &str| {
            ip(&format!("netns exec {namespace} ip {words}"));
        };
        let _ = Command::new("ip").args(["link", "del", &host]).output();
        ip(&format!("netns add {namespace}"));
        ip(&format!(
            "link add {host} type veth peer name {peer} netns {namespace}"
        ));
        for (prefix, length) in prefixes(number) {
            ip(&format!("addr add {prefix}.1/{length} dev {host}"));
            inside(&format!("addr add {prefix}.2/{length} dev {peer}"));
        }
        ip(&format!("link set {host} up"));
        inside(&format!("link set {peer} up"));
        inside("link set lo up");
        inside(&format!("addr add 45.78.{number}.1/32 dev lo"));
        ip(&format!(
            "route add 45.78.{number}.1/32 via 192.168.{number}.2"
        ));
        let mut server = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{namespace}"))
            .arg(std::env::current_exe().unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .args(words)
            .spawn()
            .expect("nsenter is there: apt-get install util-linux");
        assert!(server.try_wait().unwrap().is_none());
        Self {
            number,
            namespace,
            server,
        }
    }

    /// A neighbour in the local network, which is also its name server.
    pub(crate) fn neighbour(&self) -> String {
        format!("192.168.{}.2", self.number)
    }

    /// Something on the internet.
    pub(crate) fn internet(&self) -> String {
        format!("45.78.{}.1", self.number)
    }

    /// Every address of the neighbourhood that applications must not reach, and what it stands for.
    pub(crate) fn local(&self) -> Vec<(&'static str, String)> {
        let number = self.number;
        vec![
            ("a neighbour with a private address", self.neighbour()),
            (
                "a neighbour with a link-local address",
                format!("169.254.{number}.2"),
            ),
            (
                "a neighbour with a carrier's address",
                format!("100.77.{number}.2"),
            ),
            (
                "a neighbour with a public address",
                format!("45.77.{number}.2"),
            ),
            (
                "the host by a private address",
                format!("192.168.{number}.1"),
            ),
            (
                "the host by a link-local address",
                format!("169.254.{number}.1"),
            ),
            ("the host by a public address", format!("45.77.{number}.1")),
        ]
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = Command::new("ip")
            .args(["netns", "del", &self.namespace])
            .output();
    }
}

fn prefixes(number: u8) -> [(String, u8); 4] {
    [
        (format!("192.168.{number}"), 24),
        (format!("169.254.{number}"), 24),
        (format!("100.77.{number}"), 24),
        (format!("45.77.{number}"), 24),
    ]
}

fn ip(words: &str) {
    let done = Command::new("ip")
        .args(words.split(' '))
        .output()
        .expect("ip is there: apt-get install iproute2");
    assert!(
        done.status.success(),
        "ip {words}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

/// Says hello to everybody on [`PORT`], for ever.
pub(crate) fn greet(listener: &TcpListener) {
    for stream in listener.incoming() {
        let _ = stream.and_then(|mut stream| stream.write_all(b"hello\n"));
    }
}

/// Answers on every address of this network namespace: greetings on [`PORT`], and names on the port of DNS.
pub(crate) fn serve() {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).unwrap();
    std::thread::spawn(move || greet(&listener));
    let socket = UdpSocket::bind("0.0.0.0:53").unwrap();
    let mut question = [0u8; 512];
    loop {
        let (length, from) = socket.recv_from(&mut question).unwrap();
        let mut answer = question[..length].to_vec();
        // A response with one answer: the name by pointer, type A, class IN, a minute, four bytes.
        answer[2] |= 0x80;
        answer.truncate(12 + name_length(&question[12..length]) + 4);
        let is_v4 = answer[answer.len() - 3] == 1;
        answer[6..12].copy_from_slice(&[0, u8::from(is_v4), 0, 0, 0, 0]);
        if is_v4 {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            answer.extend(ANSWER);
        }
        socket.send_to(&answer, from).unwrap();
    }
}

fn name_length(name: &[u8]) -> usize {
    let mut at = 0;
    while name[at] != 0 {
        at += 1 + usize::from(name[at]);
    }
    at + 1
}
