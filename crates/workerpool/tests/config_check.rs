//! `workerpool config check` on files as operators have them: what it prints, and how it ends.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests stop at what cannot happen"
)]

use std::path::Path;
use std::process::Command;

fn check(folder: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_workerpool"))
        .args(["config", "check"])
        .args(args)
        .current_dir(folder)
        .env_clear()
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// The rename map of pool-operations §10.4: who reads the name, the name, and a value of it.
const RENAMED: [(&str, &str, &str); 29] = [
    (
        "scheduler",
        "IEXEC_PRIVATE_CHAIN_ADDRESS",
        "http://node:8545",
    ),
    (
        "scheduler",
        "IEXEC_PUBLIC_CHAIN_ADDRESS",
        "http://node:8545",
    ),
    (
        "scheduler",
        "IEXEC_BLOCKCHAIN_NODE_ADDRESS",
        "http://node:8545",
    ),
    (
        "scheduler",
        "IEXEC_HUB_ADDRESS",
        "0x3eca1B216A7DF1C7689aEb259fFB83ADFB894E7f",
    ),
    ("scheduler", "IEXEC_CHAIN_ID", "134"),
    ("scheduler", "IEXEC_CORE_CHAIN_ADAPTER_PROTOCOL", "http"),
    ("scheduler", "IEXEC_CORE_CHAIN_ADAPTER_HOST", "adapter"),
    ("scheduler", "IEXEC_CORE_CHAIN_ADAPTER_PORT", "13010"),
    (
        "scheduler",
        "IEXEC_CORE_CHAIN_ADAPTER_URL",
        "http://adapter:13010",
    ),
    ("scheduler", "IEXEC_CONFIG_SERVER_PROTOCOL", "http"),
    ("scheduler", "IEXEC_CONFIG_SERVER_HOST", "config"),
    ("scheduler", "IEXEC_RESULT_REPOSITORY_PROTOCOL", "http"),
    ("scheduler", "IEXEC_RESULT_REPOSITORY_HOST", "results"),
    ("scheduler", "IEXEC_RESULT_REPOSITORY_PORT", "13200"),
    ("scheduler", "IEXEC_SMS_HOST", "sms"),
    ("scheduler", "IEXEC_IPFS_HOST", "ipfs"),
    ("scheduler", "IEXEC_IPFS_PORT", "5001"),
    (
        "scheduler",
        "IEXEC_CHAIN_HEALTH_POLLING_INTERVAL_IN_BLOCKS",
        "3",
    ),
    (
        "scheduler",
        "IEXEC_CHAIN_HEALTH_OUT_OF_SERVICE_THRESHOLD",
        "4",
    ),
    ("scheduler", "IEXEC_CORE_GRAYLOG_HOST", "graylog"),
    ("worker", "IEXEC_CORE_PROTOCOL", "http"),
    ("worker", "IEXEC_CORE_HOST", "core"),
    ("worker", "IEXEC_CORE_PORT", "13000"),
    ("worker", "IEXEC_CORE_GRAYLOG_HOST", "graylog"),
    (
        "config-server",
        "IEXEC_BLOCKCHAIN_ADAPTER_API_NODE_ADDRESS",
        "http://node:8545",
    ),
    (
        "config-server",
        "IEXEC_BLOCKCHAIN_ADAPTER_API_CHAIN_ID",
        "134",
    ),
    (
        "config-server",
        "IEXEC_BLOCKCHAIN_ADAPTER_API_IS_SIDECHAIN",
        "true",
    ),
    (
        "config-server",
        "IEXEC_BLOCKCHAIN_ADAPTER_API_BLOCK_TIME",
        "5",
    ),
    ("result-proxy", "IEXEC_IPFS_URL", "http://ipfs:5001"),
];

#[test]
fn every_name_of_the_rename_map_is_known_to_its_role() {
    let folder = tempfile::tempdir().unwrap();
    for role in ["scheduler", "worker", "config-server", "result-proxy"] {
        let of = RENAMED.iter().filter(|(who, ..)| *who == role);
        let lines: Vec<String> = of
            .map(|(_, name, value)| format!("{name}={value}\n"))
            .collect();
        std::fs::write(folder.path().join(".env"), lines.concat()).unwrap();
        let (_, printed, said) = check(folder.path(), &["--role", role, ".env"]);
        assert!(!printed.contains("unknown"), "{role}: {printed}\n{said}");
        for (_, name, _) in RENAMED.iter().filter(|(who, ..)| *who == role) {
            assert!(printed.contains(name), "{role} {name}: {printed}");
        }
    }
}

#[test]
fn a_deployment_of_the_original_is_told_service_by_service() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        ".env",
        "POOL=0x365E7BABAa85eC61Dffe5b520763062e6C29dA27\nCORE_PASSWORD=a secret\n",
    );
    write(
        "docker-compose.yml",
        r#"
services:
  core:
    image: iexechub/iexec-core:8.5.0
    environment:
      - IEXEC_CORE_WALLET_PASSWORD=${CORE_PASSWORD}
      - IEXEC_PRIVATE_CHAIN_ADDRESS=http://node:8545
      - POOL_ADDRESS=${POOL}
      - MONGO_HOST=mongo
      - IEXEC_GAS_PRICE_CAPP=22000000000
  worker:
    image: iexechub/iexec-worker:9.2.0
    environment:
      IEXEC_CORE_URL: http://core:13000
      POOL_ADDRESS: "0x12"
      IEXEC_GAS_PRICE_MULTIPLIER: -1
  mongo:
    image: library/mongo:7.0
  page:
    image: nginx
"#,
    );
    let (code, printed, said) = check(folder.path(), &[]);
    assert_eq!(code, Some(64), "{printed}\n{said}");
    insta::assert_snapshot!(printed);
    insta::assert_snapshot!(said, @"error: 4 settings cannot be used");
    assert!(!printed.contains("a secret"));
}

#[test]
fn one_file_for_several_roles_is_checked_for_each_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let env = "IEXEC_CHAIN_ID=134\nIEXEC_IS_SIDECHAIN=true\nIEXEC_HUB_ADDRESS=0x3eca1B216A7DF1C7689aEb259fFB83ADFB894E7f\n\
        IEXEC_BLOCKCHAIN_NODE_ADDRESS=http://node:8545\nPOOL_ADDRESS=0x365E7BABAa85eC61Dffe5b520763062e6C29dA27\n\
        IEXEC_CORE_WALLET_PATH=/wallet.json\nIEXEC_RESULT_PROXY_PORT=13201\n";
    std::fs::write(folder.path().join("pool.env"), env).unwrap();
    let (code, printed, said) = check(folder.path(), &["pool.env"]);
    assert_eq!(code, Some(0), "{printed}\n{said}");
    assert!(
        printed.starts_with("pool.env: scheduler, result-proxy"),
        "{printed}"
    );
    assert!(
        !printed.contains("unknown") && !printed.contains("wrong"),
        "{printed}"
    );
}

#[test]
fn what_cannot_be_read_is_named_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, said) = check(folder.path(), &[]);
    assert_eq!(code, Some(64));
    assert!(said.contains("name the files to check"), "{said}");
    std::fs::write(folder.path().join("compose.yml"), "services: [").unwrap();
    let (code, _, said) = check(folder.path(), &[]);
    assert_eq!(code, Some(64));
    assert!(said.contains("compose.yml is no compose file"), "{said}");
    let (code, _, said) = check(folder.path(), &["missing.env"]);
    assert_eq!(code, Some(64));
    assert!(said.contains("missing.env"), "{said}");
}

#[test]
fn a_secret_in_a_file_that_is_only_in_the_container_is_nothing_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let env = "IEXEC_CORE_WALLET_PATH=/wallet.json\nIEXEC_CORE_WALLET_PASSWORD_FILE=/run/secrets/password\n";
    std::fs::write(folder.path().join("core.env"), env).unwrap();
    let (code, printed, said) = check(folder.path(), &["--role", "scheduler", "core.env"]);
    assert_eq!(code, Some(0), "{printed}\n{said}");
    assert!(!printed.contains("wrong"), "{printed}");
}
