use super::*;
use alloy_primitives::address;
use chassis::env::MapEnv;

#[test]
fn with_nothing_set_every_default_is_the_original_s() {
    let settings = Settings::from_env(&MapEnv::default()).unwrap();
    assert_eq!(settings.listen, "0.0.0.0:13000".parse().unwrap());
    assert_eq!(
        settings.chain.nodes,
        ["http://localhost:8545".parse().unwrap()]
    );
    assert_eq!(
        settings.chain.pool.text,
        "0x365E7BABAa85eC61Dffe5b520763062e6C29dA27"
    );
    assert_eq!(
        settings.chain.out_of_service,
        Threshold::For(Duration::from_secs(15))
    );
    assert_eq!(settings.chain.gas_price_cap, Wei(22_000_000_000));
    assert_eq!(settings.workers.ask_period, Duration::from_millis(5000));
    assert_eq!(settings.config_server.text, "http://localhost:8888");
    assert_eq!(settings.result_repository.text, "http://localhost:13200");
    assert_eq!(settings.data_dir, PathBuf::from("./data"));
    assert_eq!(settings.logs_kept, DAY * 3);
    assert_eq!(settings.events_kept, DAY * 30);
    assert!(settings.has_sample_password());
}

#[test]
fn older_names_and_generic_names_are_read() {
    let settings = Settings::from_env(&MapEnv::from([
        ("IEXEC_PRIVATE_CHAIN_ADDRESS", "http://node:1"),
        ("IEXEC_CONFIG_SERVER_HOST", "config"),
        ("IEXEC_RESULT_REPOSITORY_PORT", "99"),
        ("IEXEC_CHAIN_HEALTH_OUT_OF_SERVICE_THRESHOLD", "2"),
        ("SERVER_PORT", "14000"),
        ("CHAIN_MAXLOGSBATCHSIZE", "50"),
    ]))
    .unwrap();
    assert_eq!(settings.chain.nodes, ["http://node:1".parse().unwrap()]);
    assert_eq!(settings.config_server.text, "http://config:8888");
    assert_eq!(settings.result_repository.text, "http://localhost:99");
    assert_eq!(
        settings.chain.out_of_service.with(Duration::from_secs(5)),
        Duration::from_secs(30)
    );
    assert_eq!(settings.listen.port(), 14_000);
    assert_eq!(settings.chain.max_logs_batch, 50);
}

#[test]
fn a_newer_name_wins_over_its_older_one() {
    let settings = Settings::from_env(&MapEnv::from([
        ("IEXEC_BLOCKCHAIN_NODE_ADDRESS", "http://new:1"),
        ("IEXEC_PRIVATE_CHAIN_ADDRESS", "http://old:1"),
        ("IEXEC_CHAIN_HEALTH_OUT_OF_SERVICE_THRESHOLD", "2"),
        ("CHAIN_OUTOFSERVICETHRESHOLD", "PT40S"),
    ]))
    .unwrap();
    assert_eq!(settings.chain.nodes, ["http://new:1".parse().unwrap()]);
    assert_eq!(
        settings.chain.out_of_service,
        Threshold::For(Duration::from_secs(40))
    );
}

#[test]
fn the_whitelist_ignores_letter_case_and_blanks() {
    // Q4: a checksummed entry shut its worker out.
    let settings = Settings::from_env(&MapEnv::from([(
        "IEXEC_WORKERS_WHITELIST",
        " 0x90F8bf6A479f320ead074411a4B0e7944Ea8c9C1 ,, 0x1a69b2eb604db8eba185df03ea4f5288dcbbd248",
    )]))
    .unwrap();
    assert_eq!(
        settings.workers.allowed,
        BTreeSet::from([
            address!("90f8bf6a479f320ead074411a4b0e7944ea8c9c1"),
            address!("1a69b2eb604db8eba185df03ea4f5288dcbbd248")
        ])
    );
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let errors = Settings::from_env(&MapEnv::from([
        ("IEXEC_CORE_PORT", "many"),
        ("POOL_ADDRESS", "0x12"),
        ("IEXEC_GAS_PRICE_MULTIPLIER", "0"),
        ("IEXEC_WORKERS_WHITELIST", "ann"),
        ("IEXEC_CONFIG_SERVER_URL", "ftp://config"),
        ("IEXEC_LOGS_PURGE_RATE_IN_DAYS", "0"),
    ]))
    .unwrap_err();
    let said = errors.to_string();
    for name in [
        "IEXEC_CORE_PORT",
        "POOL_ADDRESS",
        "IEXEC_GAS_PRICE_MULTIPLIER",
        "IEXEC_WORKERS_WHITELIST",
        "IEXEC_CONFIG_SERVER_URL",
        "IEXEC_LOGS_PURGE_RATE_IN_DAYS",
    ] {
        assert!(said.contains(name), "{name} is missing in: {said}");
    }
}

#[test]
fn a_password_is_never_shown() {
    let settings = Settings::from_env(&MapEnv::from([(
        "IEXEC_CORE_WALLET_PASSWORD",
        "open sesame",
    )]))
    .unwrap();
    assert!(!format!("{settings:?}").contains("sesame"));
    assert!(!settings.has_sample_password());
}
