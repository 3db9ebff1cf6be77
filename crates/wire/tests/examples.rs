//! Every JSON example of the documents (spec scheduler-api §3–§5, §7.7, result-proxy §3) reads, and is written again to the letter. Those of
//! scheduler-api are named by their sections; what is no message (§1.4, §4.4) is tested where it is made.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops at once on what cannot happen"
)]

use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::message::*;
use wire::status::{ReplicateStatus, ReplicateStatusCause, TaskAbortCause, TaskNotificationType};

const TASK: &str = "0x65bc5e94ed1486b940bd6cc0013c418efad58a0a52a3d08cee89faaa21970426";
const DEAL: &str = "0xc5d99a2bb0c4b1c5b1d5b8a1a0b6a9f0e2f0f9c4d9b0b3a1c2d3e4f5a6b7c8d9";
const WORKER: &str = "0x1a69b2eb604db8eba185df03ea4f5288dcbbd248";
const ZERO: &str = "0x0000000000000000000000000000000000000000";

/// Puts the long values in, and takes the line ends of the source out.
fn example(text: &str) -> String {
    let lines: String = text.lines().map(str::trim_start).collect();
    let signature = format!("0x{}", "bd".repeat(65));
    lines
        .replace("TASK", TASK)
        .replace("DEAL", DEAL)
        .replace("WORKER", WORKER)
        .replace("ENCLAVE", ZERO)
        .replace("SIGNATURE", &signature)
        .replace("TAG", &format!("0x{}", "0".repeat(64)))
}

/// Reads `text` and writes it again: the same to the letter.
fn reads_and_writes<T: DeserializeOwned + Serialize>(text: &str) -> T {
    let text = example(text);
    let value: T = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(serde_json::to_string(&value).unwrap(), text);
    value
}

#[test]
fn section_3_4_a_registered_worker() {
    let worker: RegisteredWorker = reads_and_writes(
        r#"{"id":"6650c0ffee0123456789abcd","name":"worker-1","walletAddress":"WORKER","os":"Linux","cpu":"amd64",
        "cpuNb":3,"maxNbTasks":3,"memorySize":15,"gpuEnabled":false,"teeEnabled":false,"tdxEnabled":true,
        "participatingChainTaskIds":[],"computingChainTaskIds":[],"lastAliveDate":null,"lastReplicateDemandDate":null,
        "excludedTags":["0x0000000000000000000000000000000000000000000000000000000000000003","0x0000000000000000000000000000000000000000000000000000000000000005"]}"#,
    );
    assert_eq!(worker.max_nb_tasks, 3);
}

#[test]
fn section_3_7_a_task_to_compute() {
    let summary: ReplicateTaskSummary = reads_and_writes(
        r#"{"workerpoolAuthorization":{"chainTaskId":"TASK",
        "dealId":"DEAL","taskIndex":0,
        "workerWallet":"WORKER","enclaveChallenge":"ENCLAVE",
        "signature":{"value":"SIGNATURE"}},
        "smsUrl":null}"#,
    );
    assert_eq!(
        summary.workerpool_authorization.chain_task_id.to_string(),
        TASK
    );
    assert_eq!(
        format!("{:#x}", summary.workerpool_authorization.hash()),
        "0xa8580e250bd316fe58377a271d40da4d14de570d668009368339c144ff064ccc",
        "spec scheduler-api §13"
    );
}

const NOTIFICATION: &str = r#"{"chainTaskId":"TASK","workersAddress":["WORKER"],"taskNotificationType":"PLEASE_CONTRIBUTE",
    "taskNotificationExtra":{"workerpoolAuthorization":{"chainTaskId":"TASK","dealId":"DEAL","taskIndex":0,
    "workerWallet":"WORKER","enclaveChallenge":"ENCLAVE","signature":{"value":"SIGNATURE"}},
    "smsUrl":null,"blockNumber":0,"taskAbortCause":null}"#;

#[test]
fn section_3_8_a_notification_is_written_without_the_member_that_breaks_java_workers() {
    // Q13: a top-level taskAbortCause makes a Java worker refuse the whole list.
    let ours: TaskNotification = reads_and_writes(&format!("{NOTIFICATION}}}"));
    let from_java: TaskNotification = serde_json::from_str(&example(&format!(
        r#"{NOTIFICATION},"taskAbortCause":"UNKNOWN"}}"#
    )))
    .unwrap();
    assert_eq!(from_java, ours);
    let list: Vec<TaskNotification> = reads_and_writes(&format!("[{NOTIFICATION}}}]"));
    assert_eq!(list, [ours]);
}

#[test]
fn section_3_2_a_signature() {
    // That of challenge A in §13.
    let signature: Signature = reads_and_writes(
        r#"{"value":"0xa8b882428ac69c86328d890751df082972f8b259ebbc7671eb9102e16e24eec620a892707a7c73b96e4952be814693a8d8fbd47b907d0245f45e8d777181e4271c"}"#,
    );
    assert_eq!(signature.value.len(), 132);
}

#[test]
fn section_3_6_tasks_that_are_computed() {
    let tasks: Vec<poco::ids::TaskId> = reads_and_writes(r#"["TASK"]"#);
    assert_eq!(tasks[0].to_string(), TASK);
}

#[test]
fn section_4_2_a_challenge_for_logs() {
    let data: poco::challenge::TypedData = reads_and_writes(
        r#"{"types":{"EIP712Domain":[{"name":"name","type":"string"},{"name":"version","type":"string"},{"name":"chainId","type":"uint256"}],
        "Challenge":[{"name":"challenge","type":"string"}]},
        "primaryType":"Challenge","domain":{"name":"iExec Core","version":"1","chainId":134},
        "message":{"challenge":"q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="}}"#,
    );
    assert_eq!(
        format!("{:#x}", poco::challenge::Challenge::from(data).digest()),
        "0xd83d4a8942882c0cd508566bde2de5739b3f0643fc0cbd139bb3e37fb82a980e",
        "§13"
    );
}

#[test]
fn section_5_3_the_public_configuration() {
    let configuration: PublicConfiguration = reads_and_writes(
        r#"{"workerPoolAddress":"0x365E7BABAa85eC61Dffe5b520763062e6C29dA27","schedulerPublicAddress":"0x90f8bf6a479f320ead074411a4b0e7944ea8c9c1",
        "configServerUrl":"http://localhost:8888","resultRepositoryURL":"http://localhost:13200","askForReplicatePeriod":5000,"requiredWorkerVersion":""}"#,
    );
    assert_eq!(
        format!("{:#x}", configuration.hash()),
        "0xdc49e765933c8cfcc554e08418affe61cd325b04765fcfabeba996535c983f85",
        "§13"
    );
}

#[test]
fn section_7_7_what_is_pushed() {
    let tail = |rest: &str| format!(r#"{{"chainTaskId":"TASK","workersAddress":{rest}"#);
    let extra = |block: u64, cause: &str| {
        format!(
            r#""taskNotificationExtra":{{"workerpoolAuthorization":null,"smsUrl":null,"blockNumber":{block},"taskAbortCause":{cause}}}"#
        )
    };
    for (rest, top, cause) in [
        (
            format!(
                r#"["WORKER"],"taskNotificationType":"PLEASE_REVEAL",{}"#,
                extra(42, "null")
            ),
            "UNKNOWN",
            TaskAbortCause::Unknown,
        ),
        (
            format!(
                r#"["WORKER"],"taskNotificationType":"PLEASE_ABORT",{}"#,
                extra(0, r#""CONSENSUS_REACHED""#)
            ),
            "CONSENSUS_REACHED",
            TaskAbortCause::ConsensusReached,
        ),
        (
            r#"[],"taskNotificationType":"PLEASE_COMPLETE","taskNotificationExtra":null"#
                .to_owned(),
            "UNKNOWN",
            TaskAbortCause::Unknown,
        ),
    ] {
        // As the original pushes it, with the member that may be left out; and as we push it.
        let theirs = format!(r#"{},"taskAbortCause":"{top}"}}"#, tail(&rest));
        let ours: TaskNotification = reads_and_writes(&(tail(&rest) + "}"));
        let read: TaskNotification = serde_json::from_str(&example(&theirs)).unwrap();
        assert_eq!(read, ours);
        assert_eq!(ours.abort_cause(), cause);
    }
}

#[test]
fn a_notification_concerns_those_it_names_or_everybody() {
    let worker = WORKER.parse().unwrap();
    let concerns = |addresses: &str| {
        let text = format!(
            r#"{{"chainTaskId":"{TASK}","workersAddress":{addresses},"taskNotificationType":"PLEASE_WAIT"}}"#
        );
        serde_json::from_str::<TaskNotification>(&text)
            .unwrap()
            .concerns(worker)
    };
    assert!(concerns("[]"));
    assert!(concerns(&format!("[\"{ZERO}\",\"{WORKER}\"]")));
    assert!(!concerns(&format!("[\"{ZERO}\"]")));
    assert!(!concerns("null"));
}

#[test]
fn section_5_5_reports_as_java_workers_send_them() {
    let starting: ReplicateStatusUpdate = reads_and_writes(
        r#"{"status":"STARTING","modifier":null,"date":null,"details":null,"success":true}"#,
    );
    assert_eq!(
        starting,
        ReplicateStatusUpdate::new(ReplicateStatus::Starting)
    );
    let computed: ReplicateStatusUpdate = reads_and_writes(
        r#"{"status":"COMPUTED","modifier":null,"date":null,"details":{"chainReceipt":null,"resultLink":null,"chainCallbackData":null,"errorMessage":null,
        "cause":null,"computeLogs":{"stdout":"out"},"exitCode":0,"teeSessionGenerationError":null},"success":true}"#,
    );
    assert_eq!(computed.details.unwrap().exit_code, Some(0));
    let aborted: ReplicateStatusUpdate = reads_and_writes(
        r#"{"status":"ABORTED","modifier":null,"date":null,"details":{"chainReceipt":null,"resultLink":null,"chainCallbackData":null,"errorMessage":null,
        "cause":"UNKNOWN","computeLogs":null,"exitCode":null,"teeSessionGenerationError":null},"success":false}"#,
    );
    assert_eq!(
        aborted,
        ReplicateStatusUpdate::because(ReplicateStatus::Aborted, ReplicateStatusCause::Unknown)
    );
}

#[test]
fn a_report_is_read_whatever_else_it_carries() {
    let text = r#"{"success":"maybe","date":1700000000123,"status":"CONTRIBUTED","unknown":[1],
        "details":{"chainReceipt":{"blockNumber":"123"},"exitCode":"-1","cause":"FROM_THE_FUTURE","more":{}}}"#;
    let update: ReplicateStatusUpdate = serde_json::from_str(text).unwrap();
    let details = update.details.unwrap();
    assert_eq!(update.date.unwrap().millis(), 1_700_000_000_123);
    assert_eq!(details.chain_receipt.unwrap().block_number, 123);
    assert_eq!(details.exit_code, Some(-1));
    assert_eq!(details.cause.unwrap().name(), "FROM_THE_FUTURE");
    let null: ReplicateStatusUpdate = serde_json::from_str(r#"{"status":null}"#).unwrap();
    assert_eq!(null.status, None);
    assert!(serde_json::from_str::<ReplicateStatusUpdate>(r#"{"status":"DREAMING"}"#).is_err());
}

#[test]
fn section_3_9_the_next_action_is_a_json_string() {
    let action: TaskNotificationType = reads_and_writes(r#""PLEASE_DOWNLOAD_APP""#);
    assert_eq!(action, TaskNotificationType::PleaseDownloadApp);
}

#[test]
fn section_4_1_a_task_as_its_buyer_reads_it() {
    let task: TaskModel = reads_and_writes(
        r#"{"chainTaskId":"TASK",
        "replicates":[{"self":"http://localhost:13000/tasks/TASK/replicates/WORKER","chainTaskId":"TASK",
        "walletAddress":"WORKER","currentStatus":"COMPUTED",
        "statusUpdateList":[{"status":"CREATED","date":"2026-01-02T03:04:05.678+00:00"},{"status":"STARTING","date":"2026-01-02T03:04:06.001+00:00"}],
        "appLogs":"http://localhost:13000/tasks/TASK/replicates/WORKER/logs","appExitCode":0}],
        "maxExecutionTime":300000,"tag":"TAG","dappType":"DOCKER","dappName":"docker.io/org/app:1.0","commandLine":"--mode fast",
        "initializationBlockNumber":123,"currentStatus":"RUNNING","trust":1,"uploadingWorkerWalletAddress":null,"consensus":null,
        "contributionDeadline":"2026-01-02T03:39:05.000+00:00","revealDeadline":null,"finalDeadline":"2026-01-02T03:54:05.000+00:00",
        "resultLink":null,"chainCallbackData":null,
        "dateStatusList":[{"date":"2026-01-02T03:04:00.000+00:00","status":"RECEIVED"},
        {"date":"2026-01-02T03:04:04.000+00:00","status":"INITIALIZED","chainReceipt":{"blockNumber":123,"txHash":null}}]}"#,
    );
    assert_eq!(task.replicates.unwrap()[0].app_exit_code, Some(0));
}

#[test]
fn what_is_empty_in_a_replicate_is_not_written() {
    let text = example(
        r#"{"chainTaskId":"TASK","walletAddress":"WORKER","currentStatus":"CREATED",
        "statusUpdateList":[],"contributionHash":"","resultLink":"","appLogs":null}"#,
    );
    let replicate: ReplicateModel = serde_json::from_str(&text).unwrap();
    assert_eq!(
        serde_json::to_string(&replicate).unwrap(),
        example(r#"{"chainTaskId":"TASK","walletAddress":"WORKER","currentStatus":"CREATED"}"#)
    );
}

#[test]
fn sections_4_2_and_5_6_logs_of_a_task_and_of_a_worker() {
    reads_and_writes::<TaskLogsModel>(
        r#"{"chainTaskId":"TASK","computeLogsList":[{"walletAddress":"WORKER","stdout":"hello\n","stderr":"warn\n"}]}"#,
    );
    reads_and_writes::<ComputeLogs>(
        r#"{"walletAddress":"WORKER","stdout":"hello\n","stderr":"warn\n"}"#,
    );
    reads_and_writes::<ComputeLogs>("{}");
    reads_and_writes::<ExitMessage>(r#"{"cause":"PRE_COMPUTE_TIMEOUT"}"#);
}

#[test]
fn section_4_3_the_figures_of_a_pool() {
    let metric: PlatformMetric = reads_and_writes(
        r#"{"aliveWorkers":2,"aliveComputingCpu":1,"aliveRegisteredCpu":6,"aliveComputingGpu":0,"aliveRegisteredGpu":0,
        "currentTaskStatusesCount":{"RECEIVED":0,"INITIALIZING":0,"INITIALIZED":0,"INITIALIZE_FAILED":0,"RUNNING":1,"RUNNING_FAILED":0,
        "CONTRIBUTION_TIMEOUT":0,"CONSENSUS_REACHED":0,"REOPENING":0,"REOPENED":0,"REOPEN_FAILED":0,"AT_LEAST_ONE_REVEALED":0,
        "RESULT_UPLOADING":0,"RESULT_UPLOADED":0,"RESULT_UPLOAD_TIMEOUT":0,"FINALIZING":0,"FINALIZED":0,"FINALIZE_FAILED":0,
        "FINAL_DEADLINE_REACHED":0,"COMPLETED":12,"FAILED":1},
        "latestBlockMetric":{"blockNumber":27000001,"blockHash":"0xabc...","blockTimestamp":1767323045},
        "dealEventsCount":14,"dealsCount":14,"replayDealsCount":0,"latestBlockNumberWithDeal":26999990,
        "aliveAvailableCpu":5,"aliveTotalCpu":6,"aliveAvailableGpu":0,"aliveTotalGpu":0}"#,
    );
    assert_eq!(metric.current_task_statuses_count.len(), 21);
}

#[test]
fn section_5_3_which_chain_it_is() {
    let config: PublicChainConfig = reads_and_writes(
        r#"{"chainId":134,"sidechain":true,"chainNodeUrl":"https://bellecour.iex.ec",
        "iexecHubContractAddress":"0x3eca1B216A7DF1C7689aEb259fFB83ADFB894E7f","blockTime":"PT5S"}"#,
    );
    assert_eq!(config.block_time.as_secs(), 5);
    let as_text: PublicChainConfig = serde_json::from_str(
        r#"{"chainId":"134","sidechain":"true","chainNodeUrl":"https://bellecour.iex.ec",
        "iexecHubContractAddress":"0x3ECA1B216A7DF1C7689AEB259FFB83ADFB894E7F","blockTime":5.000000000}"#,
    )
    .unwrap();
    assert_eq!(as_text, config);
}

#[test]
fn an_authorization_with_nothing_in_it_reads_so_that_it_can_be_refused() {
    // spec result-proxy §4.1: Java answers 500 to nulls here, we want to answer 401.
    let nulls = r#"{"chainTaskId":null,"dealId":null,"taskIndex":null,"workerWallet":"","enclaveChallenge":null,"signature":null}"#;
    for text in [nulls, "{}", r#"{"signature":{"value":null}}"#] {
        let authorization: WorkerpoolAuthorization = serde_json::from_str(text).unwrap();
        assert_eq!(authorization, WorkerpoolAuthorization::default());
    }
    let odd: Signature = serde_json::from_str(r#"{"value":"zz"}"#).unwrap();
    assert_eq!(odd.value, "zz");
}

const NO_SIGNATURE: &str = "0x0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000";

#[test]
fn a_result_archive_as_a_java_worker_sends_it() {
    let digest = "0x3333333333333333333333333333333333333333333333333333333333333333";
    let deal = format!("0x{}", "0".repeat(64));
    let text = format!(
        r#"{{"chainTaskId":"{TASK}","dealId":"{deal}","taskIndex":0,"image":null,"cmd":null,"zip":"UEsDBA==","deterministHash":"{digest}","enclaveSignature":"{NO_SIGNATURE}"}}"#
    );
    let result: ResultModel = reads_and_writes(&text);
    assert_eq!(
        result,
        ResultModel::standard(
            TASK.parse().unwrap(),
            b"PK\x03\x04".to_vec(),
            digest.to_owned()
        )
    );
    assert!(!result.has_enclave_signature());
}

#[test]
fn a_result_archive_may_be_an_array_of_numbers() {
    let read = |zip: &str| {
        serde_json::from_str::<ResultModel>(&format!(r#"{{"chainTaskId":"{TASK}","zip":{zip}}}"#))
    };
    assert_eq!(
        read("[80,75,3,4,255,-128,-1,null]").unwrap().zip,
        [80, 75, 3, 4, 255, 128, 255, 0]
    );
    assert_eq!(read("[]").unwrap().zip, [0u8; 0]);
    assert_eq!(read("null").unwrap().zip, [0u8; 0]);
    assert!(read("[256]").is_err());
    assert!(read("[-129]").is_err());
    assert!(read("[0.5]").is_err());
}

#[test]
fn the_padding_of_base64_is_mandatory() {
    let read = |zip: &str| serde_json::from_str::<ResultModel>(&format!(r#"{{"zip":"{zip}"}}"#));
    assert_eq!(read("UEsDBA==").unwrap().zip, b"PK\x03\x04");
    assert!(read("UEsDBA").is_err());
    assert!(read("UEsDBA=").is_err());
    assert!(read("UEs-_A==").is_err());
    assert_eq!(read("").unwrap().enclave_signature, NO_SIGNATURE);
}

#[test]
fn section_5_2_a_worker_of_an_older_version_registers_without_tdx() {
    let text = r#"{"name":"worker1","walletAddress":"0x9965507d1a55bcc2695c58ba16fb37d819b0a4dc","os":"Linux","cpu":"amd64","cpuNb":1,"memorySize":-2,"teeEnabled":false,"gpuEnabled":false}"#;
    let model: WorkerModel = serde_json::from_str(text).unwrap();
    assert_eq!(
        (model.cpu_nb, model.memory_size, model.tdx_enabled),
        (1, -2, false)
    );
    reads_and_writes::<WorkerModel>(
        r#"{"name":"w","walletAddress":"WORKER","os":"Linux","cpu":"amd64","cpuNb":3,"memorySize":15,"gpuEnabled":false,"teeEnabled":false,"tdxEnabled":true}"#,
    );
}
