//! A Java worker of version 8 or 9: sends what that version sends, to the letter, and takes only what that version decodes.

use alloy_primitives::B256;
use alloy_signer_local::PrivateKeySigner;
use poco::ids::TaskId;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::channel::Channel;
use crate::jackson::Bodies;
use crate::support::{Answer, TestWorker, World};

/// Which worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// 8.0 to 8.6.
    Eight,
    /// From 9.0 on.
    Nine,
}

pub(crate) const BOTH: [Variant; 2] = [Variant::Eight, Variant::Nine];

impl Variant {
    /// What Feign's client calls itself: Java does, with its version.
    fn agent(self) -> &'static str {
        match self {
            Self::Eight => "Java/11.0.24",
            Self::Nine => "Java/17.0.15",
        }
    }

    /// What the client of the push channel calls itself.
    pub(crate) fn streaming_agent(self) -> &'static str {
        match self {
            Self::Eight => "Apache-HttpClient/4.5.14 (Java/11.0.24)",
            Self::Nine => "Apache-HttpClient/5.3.1 (Java/17.0.15)",
        }
    }

    /// What it registers with.
    fn machine(self, wallet: &str, cpus: u32) -> String {
        let tdx = match self {
            Self::Eight => "",
            Self::Nine => r#","tdxEnabled":true"#,
        };
        format!(
            r#"{{"name":"worker1","walletAddress":"{wallet}","os":"Linux","cpu":"amd64","cpuNb":{cpus},"memorySize":0,"teeEnabled":false,"gpuEnabled":false{tdx}}}"#
        )
    }

    /// The report of an app that ended with this exit code.
    pub(crate) fn ended(self, code: i32) -> (&'static str, Value) {
        let logs = json!({"stdout": "hello\n", "stderr": "warn\n"});
        match (self, code) {
            (Self::Eight, 0) => ("COMPUTED", json!({"computeLogs": logs})),
            (Self::Eight, _) => {
                let cause = "APP_COMPUTE_FAILED";
                let details = json!({"cause": cause, "exitCode": code, "computeLogs": logs});
                ("COMPUTE_FAILED", details)
            }
            (Self::Nine, _) => ("COMPUTED", json!({"exitCode": code, "computeLogs": logs})),
        }
    }
}

/// Bodies as Jackson decodes them in workers: members that are not named here are refused.
mod strict {
    use super::{Deserialize, Value};

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub(super) struct Signature {
        pub(super) value: String,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    #[expect(dead_code, reason = "that it is there is what counts")]
    pub(super) struct Authorization9 {
        pub(super) chain_task_id: String,
        deal_id: String,
        task_index: i32,
        pub(super) worker_wallet: String,
        pub(super) enclave_challenge: String,
        pub(super) signature: Signature,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub(super) struct Authorization8 {
        pub(super) chain_task_id: String,
        pub(super) worker_wallet: String,
        pub(super) enclave_challenge: String,
        pub(super) signature: Signature,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    #[expect(dead_code, reason = "that it is there is what counts")]
    pub(super) struct Summary {
        pub(super) workerpool_authorization: Value,
        sms_url: Option<String>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    #[expect(dead_code, reason = "that it is there is what counts")]
    pub(super) struct Configuration9 {
        worker_pool_address: String,
        pub(super) scheduler_public_address: String,
        config_server_url: String,
        #[serde(rename = "resultRepositoryURL")]
        result_repository_url: String,
        ask_for_replicate_period: u64,
        required_worker_version: String,
    }

    /// Of 8.4 and before; from 8.5 on `configServerUrl` may be there too.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    #[expect(dead_code, reason = "that it is there is what counts")]
    pub(super) struct Configuration8 {
        worker_pool_address: String,
        pub(super) scheduler_public_address: String,
        blockchain_adapter_url: String,
        #[serde(rename = "resultRepositoryURL")]
        result_repository_url: String,
        ask_for_replicate_period: u64,
        required_worker_version: String,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    #[expect(dead_code, reason = "that it is there is what counts")]
    pub(super) struct Notification {
        pub(super) chain_task_id: String,
        workers_address: Vec<String>,
        task_notification_type: String,
        pub(super) task_notification_extra: Extra,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    #[expect(dead_code, reason = "that it is there is what counts")]
    pub(super) struct Extra {
        pub(super) workerpool_authorization: Value,
        sms_url: Option<String>,
        block_number: u64,
        task_abort_cause: Option<String>,
    }
}

/// A worker that has logged in.
pub(crate) struct JavaWorker {
    pub(crate) variant: Variant,
    pub(crate) key: PrivateKeySigner,
    pub(crate) token: String,
    scheduler: String,
}

impl JavaWorker {
    /// Reads the configuration, fires the requests that come before the token, logs in and registers.
    pub(crate) async fn start(
        world: &World,
        variant: Variant,
        seed: u8,
        cpus: u32,
        bodies: &mut Bodies,
    ) -> Self {
        let mut worker = Self {
            variant,
            key: PrivateKeySigner::from_slice(&[seed; 32]).unwrap(),
            token: String::new(),
            scheduler: String::new(),
        };
        let configuration = worker.get(world, "/workers/config").await;
        bodies.add_for(variant, "/workers/config", &configuration);
        worker.scheduler = match variant {
            Variant::Eight => {
                decoded::<strict::Configuration8>(&configuration).scheduler_public_address
            }
            Variant::Nine => {
                decoded::<strict::Configuration9>(&configuration).scheduler_public_address
            }
        };
        // Its timers run before it has a token, and 401 would make it log in twice (§2.5).
        let early = worker.post(world, "/workers/ping", "").await;
        assert_eq!(early.status, 400);
        let early = worker.ask(world).await;
        assert_eq!(early.status, 400);

        worker.log_in(world).await;
        let version = worker.get(world, "/version").await;
        assert_eq!(
            version.header("content-type"),
            Some("text/plain;charset=UTF-8")
        );
        let body = variant.machine(&worker.wallet(), cpus);
        let registered = worker.post(world, "/workers/register", &body).await;
        assert_eq!(registered.status, 200, "{}", registered.text);
        let ping = worker.post(world, "/workers/ping", "").await;
        assert_eq!((ping.status.as_u16(), ping.text.len()), (200, 66));
        assert_eq!(
            ping.header("content-type"),
            Some("text/plain;charset=UTF-8")
        );
        worker
    }

    /// A worker that has its token already.
    pub(crate) async fn again(world: &World, variant: Variant, worker: &TestWorker) -> Self {
        let configuration = world.get("/workers/config").await.json();
        let scheduler = configuration["schedulerPublicAddress"].as_str().unwrap();
        Self {
            variant,
            key: worker.key.clone(),
            token: worker.token.clone(),
            scheduler: scheduler.to_owned(),
        }
    }

    pub(crate) async fn log_in(&mut self, world: &World) {
        self.token.clear();
        let path = format!("/workers/challenge?walletAddress={}", self.wallet());
        let challenge = self.get(world, &path).await.text;
        let digest = poco::login::digest(&challenge);
        let signature = poco::signing::sign_raw(&self.key, digest).unwrap();
        let body = json!({"value": signature.to_string()}).to_string();
        let path = format!("/workers/login?walletAddress={}", self.wallet());
        let token = self.post(world, &path, &body).await;
        assert_eq!(token.status, 200, "{}", token.text);
        self.token = token.text;
    }

    pub(crate) fn wallet(&self) -> String {
        poco::hex::lower(&self.key.address())
    }

    /// One request as Feign sends it: a header without value is dropped, and a body is always said to be JSON.
    pub(crate) async fn send(
        &self,
        world: &World,
        method: Method,
        path: &str,
        body: &str,
    ) -> Answer {
        let mut request = reqwest::Client::new()
            .request(method, format!("{}{path}", world.base))
            .header("Content-Type", "application/json")
            .header("Accept", "*/*")
            .header("User-Agent", self.variant.agent());
        if !self.token.is_empty() {
            request = request.header("Authorization", format!("Bearer {}", self.token));
        }
        let response = request.body(body.to_owned()).send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        assert_eq!(headers.get("retry-after"), None, "Feign would loop");
        let text = response.text().await.unwrap();
        Answer {
            status,
            headers,
            text,
        }
    }

    pub(crate) async fn get(&self, world: &World, path: &str) -> Answer {
        self.send(world, Method::GET, path, "").await
    }

    pub(crate) async fn post(&self, world: &World, path: &str, body: &str) -> Answer {
        self.send(world, Method::POST, path, body).await
    }

    pub(crate) async fn ask(&self, world: &World) -> Answer {
        let block = world.node.head();
        let path = format!("/replicates/available?blockNumber={block}");
        self.get(world, &path).await
    }

    /// Asks, and is given this task.
    pub(crate) async fn is_given(&self, world: &World, task: TaskId, bodies: &mut Bodies) {
        let given = self.ask(world).await;
        assert_eq!(given.status, 200, "{:?} is given nothing", self.variant);
        bodies.add_for(self.variant, "/replicates/available", &given);
        let summary: strict::Summary = decoded(&given);
        assert_eq!(
            self.verified(summary.workerpool_authorization),
            task.to_string()
        );
    }

    /// The task of an authorization that the pool's owner signed for this worker.
    fn verified(&self, authorization: Value) -> String {
        let (task, wallet, enclave, signature) = match self.variant {
            Variant::Eight => {
                let one: strict::Authorization8 = serde_json::from_value(authorization).unwrap();
                (
                    one.chain_task_id,
                    one.worker_wallet,
                    one.enclave_challenge,
                    one.signature,
                )
            }
            Variant::Nine => {
                let one: strict::Authorization9 = serde_json::from_value(authorization).unwrap();
                (
                    one.chain_task_id,
                    one.worker_wallet,
                    one.enclave_challenge,
                    one.signature,
                )
            }
        };
        assert_eq!(wallet, self.wallet(), "Java compares text");
        let enclave = poco::hex::address(&enclave).unwrap();
        let hash = poco::authorization::hash(self.key.address(), task.parse().unwrap(), enclave);
        let owner = poco::hex::address(&self.scheduler).unwrap();
        assert!(poco::signing::is_valid_prefixed(
            hash,
            &signature.value,
            owner
        ));
        task
    }

    /// Asks what it left unfinished: task, kind and extra of each.
    pub(crate) async fn interrupted(&self, world: &World, bodies: &mut Bodies) -> Vec<Value> {
        let path = format!("/replicates/interrupted?blockNumber={}", world.node.head());
        let answer = self.get(world, &path).await;
        assert_eq!(answer.status, 200);
        bodies.add_for(self.variant, "/replicates/interrupted", &answer);
        for one in decoded::<Vec<strict::Notification>>(&answer) {
            let task = self.verified(one.task_notification_extra.workerpool_authorization);
            assert_eq!(task, one.chain_task_id);
        }
        decoded(&answer)
    }

    /// Posts a status with all members that Java writes; the answer must be a next action.
    pub(crate) async fn report(
        &self,
        world: &World,
        task: TaskId,
        status: &str,
        details: Value,
        bodies: &mut Bodies,
    ) -> (u16, String) {
        let answer = self.post_report(world, task, &body(status, &details)).await;
        bodies.add_for(self.variant, "/updateStatus", &answer);
        let action: String = decoded(&answer);
        (answer.status.as_u16(), action)
    }

    pub(crate) async fn post_report(&self, world: &World, task: TaskId, body: &str) -> Answer {
        let path = format!("/replicates/{task}/updateStatus");
        self.post(world, &path, body).await
    }

    /// Opens the push channel and listens to a task.
    pub(crate) async fn listens(&self, world: &World, session: &str, task: TaskId) -> Channel {
        let channel = Channel::open(world, self.variant, session).await;
        channel.subscribe(task, 0).await;
        channel
    }

    /// Posts each status and expects its next action.
    pub(crate) async fn reports(
        &self,
        world: &World,
        task: TaskId,
        steps: &[(&str, &str)],
        bodies: &mut Bodies,
    ) {
        for (status, next) in steps {
            let answer = self.report(world, task, status, Value::Null, bodies).await;
            assert_eq!(answer, (200, (*next).to_owned()), "{status}");
        }
    }

    /// From STARTING to CONTRIBUTED with this result.
    pub(crate) async fn contributes(
        &self,
        world: &World,
        task: TaskId,
        result: B256,
        bodies: &mut Bodies,
    ) {
        self.reports(world, task, &TO_COMPUTING, bodies).await;
        let (status, details) = self.variant.ended(0);
        let computed = self.report(world, task, status, details, bodies).await;
        assert_eq!(computed, (200, "PLEASE_CONTRIBUTE".to_owned()));
        let steps = [("CONTRIBUTING", "PLEASE_CONTINUE")];
        self.reports(world, task, &steps, bodies).await;
        let block = world.node.contribute(task, self.key.address(), result);
        let contributed = self
            .report(world, task, "CONTRIBUTED", receipt(block), bodies)
            .await;
        assert_eq!(contributed, (200, "PLEASE_WAIT".to_owned()));
    }
}

pub(crate) const TO_COMPUTING: [(&str, &str); 7] = [
    ("STARTING", "PLEASE_CONTINUE"),
    ("STARTED", "PLEASE_DOWNLOAD_APP"),
    ("APP_DOWNLOADING", "PLEASE_CONTINUE"),
    ("APP_DOWNLOADED", "PLEASE_DOWNLOAD_DATA"),
    ("DATA_DOWNLOADING", "PLEASE_CONTINUE"),
    ("DATA_DOWNLOADED", "PLEASE_COMPUTE"),
    ("COMPUTING", "PLEASE_CONTINUE"),
];

/// The details of a transaction.
pub(crate) fn receipt(block: u64) -> Value {
    json!({"chainReceipt": {"blockNumber": block, "txHash": B256::repeat_byte(0xee)}})
}

/// A report with every member in Java's order, nulls and all.
pub(crate) fn body(status: &str, details: &Value) -> String {
    let success = wire::status::ReplicateStatus::ALL
        .iter()
        .any(|one| one.name() == status && one.is_success());
    let details = match details {
        Value::Null => "null".to_owned(),
        details => {
            let members = [
                "chainReceipt",
                "resultLink",
                "chainCallbackData",
                "errorMessage",
                "cause",
                "computeLogs",
                "exitCode",
                "teeSessionGenerationError",
            ];
            let members = members.map(|name| format!("\"{name}\":{}", details[name]));
            format!("{{{}}}", members.join(","))
        }
    };
    format!(
        r#"{{"status":"{status}","modifier":null,"date":null,"details":{details},"success":{success}}}"#
    )
}

fn decoded<T: for<'de> Deserialize<'de>>(answer: &Answer) -> T {
    assert_eq!(answer.header("content-type"), Some("application/json"));
    serde_json::from_str(&answer.text)
        .unwrap_or_else(|error| panic!("Java would not take this: {error}: {}", answer.text))
}
