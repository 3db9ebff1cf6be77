//! Plays the recorded workers: sends what they sent, with keys, tokens, tasks and blocks of this world, and lets happen on the chain what had
//! happened there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::B256;
use alloy_signer_local::{MnemonicBuilder, PrivateKeySigner};
use futures_util::StreamExt as _;
use poco::ids::TaskId;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::compare::Differences;
use crate::jackson::Bodies;
use crate::recording::Exchange;
use crate::support::{self, Answer, World};

/// The devnet's words; worker n has account n + 4.
const WORDS: &str = "test test test test test test test test test test test junk";
const RESULT: B256 = B256::repeat_byte(1);

/// One Java worker.
struct Worker {
    key: PrivateKeySigner,
    challenge: String,
    token: String,
    /// The frames of its newest stream.
    stream: Option<Frames>,
    /// The path of its newest session.
    session: String,
}

/// What came over a stream so far, without signs of life.
type Frames = watch::Receiver<Vec<String>>;

/// A recording on its way through a world.
pub(crate) struct Story {
    pub(crate) world: World,
    name: String,
    trust: u64,
    workers: BTreeMap<String, Worker>,
    /// Recorded tasks, and ours.
    tasks: BTreeMap<String, TaskId>,
    /// Contributions so far.
    contributed: u64,
    /// Who was told to upload where another was in the recording.
    uploader: Option<String>,
    /// A reveal is on the chain that its worker did not live to report.
    revealed_unseen: bool,
    /// Blocks come, as they do on a chain.
    _blocks: AbortOnDrop,
}

/// Ends a task of the runtime with its owner.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Story {
    /// A world in which the workers are where the recording finds them.
    pub(crate) async fn begin(name: &str, trust: u64, exchanges: &[Exchange]) -> Self {
        let world = World::new().await;
        let node = world.node.clone();
        let blocks = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                node.mine(&[]);
            }
        });
        let mut story = Self {
            world,
            revealed_unseen: false,
            _blocks: AbortOnDrop(blocks),
            name: name.to_owned(),
            trust,
            workers: BTreeMap::new(),
            tasks: BTreeMap::new(),
            contributed: 0,
            uploader: None,
        };
        for number in 1..=3u32 {
            let key = MnemonicBuilder::from_phrase_nth(WORDS, number + 4);
            let worker = Worker {
                key,
                challenge: String::new(),
                token: String::new(),
                stream: None,
                session: String::new(),
            };
            story.workers.insert(format!("worker{number}"), worker);
        }
        let began_before = |name: &str| {
            let mut own = exchanges.iter().filter(|one| one.worker == name);
            own.next().is_some_and(|one| one.path != "/workers/config")
        };
        for name in ["worker1", "worker2", "worker3"] {
            if began_before(name) {
                story.prepare(name, exchanges).await;
            }
        }
        story
    }

    /// Logs a worker in and registers it, with the session that it has in the recording.
    async fn prepare(&mut self, name: &str, exchanges: &[Exchange]) {
        let wallet = self.wallet(name);
        let path = format!("/workers/challenge?walletAddress={wallet}");
        let challenge = self.world.get(&path).await.text;
        self.workers.get_mut(name).unwrap().challenge = challenge;
        let path = format!("/workers/login?walletAddress={wallet}");
        let answer = self
            .world
            .call(Method::POST, &path, &[], Some(&self.signed(name)))
            .await;
        self.workers.get_mut(name).unwrap().token = answer.text;
        let machine = json!({"name": name, "walletAddress": wallet, "os": "Linux", "cpu": "amd64", "cpuNb": 1, "memorySize": 0,
            "teeEnabled": false, "gpuEnabled": false});
        let bearer = self.bearer(name);
        let headers = [("Authorization", bearer.as_str())];
        let body = machine.to_string();
        let registered = self
            .world
            .call(Method::POST, "/workers/register", &headers, Some(&body))
            .await;
        assert_eq!(registered.status, 200);
        let own = |one: &&Exchange| {
            one.worker == name
                && one.path.starts_with("/connect/")
                && one.path.ends_with("/xhr_send")
        };
        let Some(first) = exchanges.iter().find(own) else {
            return;
        };
        let session = first.path.trim_end_matches("/xhr_send").to_owned();
        self.listen(name, &session).await;
        let connect = json!(["CONNECT\naccept-version:1.1,1.2\n\n\0"]).to_string();
        let path = format!("{session}/xhr_send");
        self.world
            .call(Method::POST, &path, &[], Some(&connect))
            .await;
    }

    fn wallet(&self, name: &str) -> String {
        poco::hex::lower(&self.workers[name].key.address())
    }

    fn bearer(&self, name: &str) -> String {
        format!("Bearer {}", self.workers[name].token)
    }

    fn signed(&self, name: &str) -> String {
        let worker = &self.workers[name];
        let digest = poco::login::digest(&worker.challenge);
        json!({"value": poco::signing::sign_raw(&worker.key, digest).unwrap().to_string()})
            .to_string()
    }

    /// Opens the stream of a session and keeps what comes.
    async fn listen(&mut self, name: &str, session: &str) {
        let url = format!("{}{session}/xhr_streaming", self.world.base);
        let answer = reqwest::Client::new().post(url).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let (sender, frames) = watch::channel(Vec::new());
        let sender = Arc::new(sender);
        tokio::spawn(async move {
            let (mut bytes, mut text) = (answer.bytes_stream(), String::new());
            while let Some(Ok(piece)) = bytes.next().await {
                text.push_str(std::str::from_utf8(&piece).unwrap());
                while let Some((line, rest)) = text.split_once('\n') {
                    if line != "h" && line.len() != 2048 {
                        sender.send_modify(|frames| frames.push(line.to_owned()));
                    }
                    text = rest.to_owned();
                }
            }
        });
        let worker = self.workers.get_mut(name).unwrap();
        worker.stream = Some(frames);
        worker.session = session.to_owned();
    }

    /// Waits until a worker was told this about its task, as a Java worker does before it acts.
    async fn is_told(&self, name: &str, what: &str) {
        let mut frames = self.workers[name].stream.clone().unwrap();
        let told = frames.wait_for(|frames| frames.iter().any(|frame| frame.contains(what)));
        let told = tokio::time::timeout(support::PATIENCE, told).await;
        assert!(told.is_ok(), "{}: {name} was not told {what}", self.name);
    }

    /// Lets happen what happened before the worker said this; who says it.
    async fn before(&mut self, exchange: &Exchange) -> (String, Option<u64>) {
        let name = exchange.worker.clone();
        let address = self.workers[&name].key.address();
        let task = self.tasks.values().last().copied();
        let node = &self.world.node;
        match (exchange.reported().as_deref(), task) {
            (Some("CONTRIBUTED"), Some(task)) => {
                self.contributed += 1;
                return (name, Some(node.contribute(task, address, RESULT)));
            }
            (Some("REVEALING"), Some(task)) => {
                let enough = if self.trust > 1 { 2 } else { 1 };
                if self.contributed == enough {
                    self.contributed = 0;
                    node.consensus(task, RESULT);
                }
                self.is_told(&name, "PLEASE_REVEAL").await;
            }
            (Some("REVEALED"), Some(task)) => {
                return (name, Some(node.reveal(task, address, B256::repeat_byte(2))));
            }
            (Some("RESULT_UPLOADING"), Some(_)) => {
                let who = self.whoever_is_told("PLEASE_UPLOAD").await;
                self.uploader = Some(who.clone());
                return (who, None);
            }
            (Some("RESULT_UPLOADED"), Some(task)) => {
                node.chain().uploaded.insert(task);
                return (self.uploader.clone().unwrap(), None);
            }
            (Some("COMPLETING"), Some(_)) => self.is_told(&name, "PLEASE_COMPLETE").await,
            // It was killed after it had revealed, and before it could say so.
            (None, Some(task))
                if exchange.path.starts_with("/replicates/interrupted")
                    && !self.revealed_unseen =>
            {
                self.revealed_unseen = true;
                node.reveal(task, address, B256::repeat_byte(2));
                self.world.task_becomes(task, "RESULT_UPLOADING").await;
            }
            _ => {}
        }
        (name, None)
    }

    /// The worker that the scheduler tells this.
    async fn whoever_is_told(&self, what: &str) -> String {
        support::eventually(what, async || {
            let told = |frames: &Frames| frames.borrow().iter().any(|frame| frame.contains(what));
            let mut workers = self.workers.iter();
            // Everybody hears it; who is meant stands in it.
            let (_, frames) = workers.find_map(|(name, worker)| {
                let frames = worker.stream.as_ref()?;
                told(frames).then(|| (name.clone(), frames.borrow().clone()))
            })?;
            let frame = frames.into_iter().find(|frame| frame.contains(what))?;
            let mut names = self.workers.keys();
            names
                .find(|name| frame.contains(&self.wallet(name)))
                .cloned()
        })
        .await
    }

    /// Says what the worker said, and compares the answer.
    pub(crate) async fn play(
        &mut self,
        exchange: &Exchange,
        differences: &mut Differences,
        bodies: &mut Bodies,
    ) {
        let is_ask = exchange.path.starts_with("/replicates/available");
        if is_ask && exchange.status == 200 && self.tasks.is_empty() {
            self.world.deal(1, self.trust).await;
        }

        let (name, block) = self.before(exchange).await;
        if exchange.path.ends_with("/xhr_streaming") {
            let session = exchange.path.trim_end_matches("/xhr_streaming").to_owned();
            return self.listen(&name, &session).await;
        }
        let answer = self.say(&name, exchange, block).await;
        if exchange.path.starts_with("/workers/challenge") {
            self.workers
                .get_mut(&name)
                .unwrap()
                .challenge
                .clone_from(&answer.text);
        }
        if exchange.path.starts_with("/workers/login") {
            self.workers
                .get_mut(&name)
                .unwrap()
                .token
                .clone_from(&answer.text);
        }
        if is_ask && exchange.status == 200 && answer.status == 200 {
            let theirs: Value = serde_json::from_str(&exchange.response).unwrap();
            let id = |value: &Value| {
                value["workerpoolAuthorization"]["chainTaskId"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            };
            self.tasks
                .insert(id(&theirs), id(&answer.json()).parse().unwrap());
        }
        bodies.add(&exchange.path, answer.status.as_u16(), &answer.text);
        differences.of(exchange, &answer);
    }

    async fn say(&self, name: &str, exchange: &Exchange, block: Option<u64>) -> Answer {
        let ours = |text: &str| {
            let mut text = text.to_owned();
            for (theirs, ours) in &self.tasks {
                text = text.replace(theirs, &ours.to_string());
            }
            text
        };
        let mut body = ours(&exchange.request);
        if exchange.path.starts_with("/workers/login") {
            body = self.signed(name);
        }
        if let Some(block) = block {
            let mut report: Value = serde_json::from_str(&body).unwrap();
            report["details"]["chainReceipt"]["blockNumber"] = json!(block);
            body = report.to_string();
        }
        let mut path = ours(&exchange.path);
        if path.starts_with("/connect/") && path.ends_with("/xhr_send") {
            path = format!("{}/xhr_send", self.workers[name].session);
        }
        if let Some((before, _)) = path.split_once("?blockNumber=") {
            path = format!("{before}?blockNumber={}", self.world.node.head());
        }
        let method: Method = exchange.method.parse().unwrap();
        let mut request = reqwest::Client::builder()
            .timeout(Duration::from_secs(60))
            .build()
            .unwrap()
            .request(method, format!("{}{path}", self.world.base));
        for (header, value) in &exchange.headers {
            request = request.header(header, value);
        }
        if exchange.token {
            request = request.header("Authorization", self.bearer(name));
        }
        let response = request.body(body).send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        Answer {
            status,
            headers,
            text,
        }
    }

    /// Compares what was pushed.
    pub(crate) async fn end(self, differences: &mut Differences, bodies: &mut Bodies) {
        for worker in self.workers.values() {
            let Some(stream) = &worker.stream else {
                continue;
            };
            let frames = stream.borrow().clone();
            assert_eq!(frames.first().map(String::as_str), Some("o"));
            let connected = r#"a["CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\u0000"]"#;
            assert_eq!(frames.get(1).map(String::as_str), Some(connected));
            for frame in &frames[2..] {
                of_message(frame, differences, bodies);
            }
        }
    }
}

/// Compares a pushed message with the one that the original pushes for it, of which each kind stands in the recordings.
fn of_message(frame: &str, differences: &mut Differences, bodies: &mut Bodies) {
    let (head, ours) = message(frame);
    bodies.add_push(&ours.to_string());
    let kind = ours["taskNotificationType"].as_str().unwrap().to_owned();
    let recorded = crate::STORIES
        .iter()
        .flat_map(|(_, text)| crate::exchanges(text))
        .flat_map(|one| one.frames.unwrap_or_default())
        .find(|frame| frame.contains(&kind));
    let recorded = recorded.unwrap_or_else(|| panic!("{kind} was never recorded"));
    let (their_head, theirs) = message(&recorded);
    let names = |head: &str| -> Vec<String> {
        let lines = head.lines();
        lines
            .map(|line| line.split(':').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&head), names(&their_head), "{frame}");
    differences.of_json(&format!("push {kind}"), "", &theirs, &ours);
}

fn message(frame: &str) -> (String, Value) {
    let texts: Vec<String> = serde_json::from_str(frame.trim_start_matches('a')).unwrap();
    let (head, body) = texts[0].split_once("\n\n").unwrap();
    let json = serde_json::from_str(body.trim_end_matches('\0')).unwrap();
    (head.to_owned(), json)
}
