use std::time::Duration;

use super::*;

fn scheduler(env: &MapEnv) -> Reader<'_> {
    Reader::new(env, Role::Scheduler)
}

#[test]
fn all_errors_are_told_at_once_with_name_value_and_what_is_expected() {
    let env = MapEnv::from([
        ("IEXEC_CORE_PORT", "many"),
        ("IEXEC_GAS_PRICE_MULTIPLIER", "-1"),
        ("IEXEC_RESULT_REPOSITORY_URL", "ftp://somewhere"),
    ]);
    let mut read = scheduler(&env);
    let port = read.var("IEXEC_CORE_PORT").port().or(13000);
    let pool = read.var("POOL_ADDRESS").address().required();
    let multiplier = read
        .var("IEXEC_GAS_PRICE_MULTIPLIER")
        .float()
        .check("greater than 0", |multiplier| *multiplier > 0.0)
        .or(1.0);
    let results = read
        .var("IEXEC_RESULT_REPOSITORY_URL")
        .url()
        .or_text("http://localhost:13200");
    let error = read
        .finish(|| Ok((port, pool?, multiplier, results?)))
        .unwrap_err();
    insta::assert_snapshot!(error, @r#"
    4 settings of the scheduler cannot be used
      IEXEC_CORE_PORT is "many": must be a port, 0 to 65535
      POOL_ADDRESS is not set: must be an address, 0x and 40 hex digits
      IEXEC_GAS_PRICE_MULTIPLIER is "-1": must be greater than 0
      IEXEC_RESULT_REPOSITORY_URL is "ftp://somewhere": must be an http:// or https:// URL
    "#);
}

#[test]
fn an_older_name_is_accepted_with_a_warning_that_names_the_new_one() {
    let env = MapEnv::from([("IEXEC_PRIVATE_CHAIN_ADDRESS", "http://node:8545")]);
    let mut read = scheduler(&env);
    let node = read
        .var("IEXEC_BLOCKCHAIN_NODE_ADDRESS")
        .was("IEXEC_PRIVATE_CHAIN_ADDRESS")
        .url()
        .required()
        .unwrap();
    assert_eq!(node.as_str(), "http://node:8545/");
    assert_eq!(
        read.warnings()[0].to_string(),
        "IEXEC_PRIVATE_CHAIN_ADDRESS is an older name: use IEXEC_BLOCKCHAIN_NODE_ADDRESS"
    );
}

#[test]
fn the_new_name_wins_over_the_older_one_and_nothing_is_warned_of() {
    let env = MapEnv::from([("NEW", "1"), ("OLD", "2")]);
    let mut read = scheduler(&env);
    assert_eq!(read.var("NEW").was("OLD").number::<u8>().or(0), 1);
    assert!(read.warnings().is_empty());
}

#[test]
fn a_url_is_built_of_its_older_parts_with_the_default_for_each_that_is_not_set() {
    let url_in = |env: &MapEnv| {
        let mut read = scheduler(env);
        let url = read
            .var("IEXEC_CONFIG_SERVER_URL")
            .was_parts("IEXEC_CONFIG_SERVER", "http", "localhost", 8888)
            .url()
            .kept()
            .or_text("http://localhost:8888")
            .unwrap();
        (url.text, read.warnings().len())
    };
    let host = MapEnv::from([("IEXEC_CONFIG_SERVER_HOST", "config")]);
    assert_eq!(url_in(&host), ("http://config:8888".to_owned(), 1));
    let both = host
        .with("IEXEC_CONFIG_SERVER_PROTOCOL", "https")
        .with("IEXEC_CONFIG_SERVER_PORT", "443");
    assert_eq!(url_in(&both), ("https://config:443".to_owned(), 1));
    // The port alone is also the config server's own setting.
    let port = MapEnv::from([("IEXEC_CONFIG_SERVER_PORT", "9999")]);
    assert_eq!(url_in(&port), ("http://localhost:9999".to_owned(), 0));
    assert_eq!(
        url_in(&MapEnv::default()),
        ("http://localhost:8888".to_owned(), 0)
    );
    let new = both.with("IEXEC_CONFIG_SERVER_URL", "http://new/");
    assert_eq!(url_in(&new), ("http://new/".to_owned(), 0));
}

#[test]
fn one_role_can_be_set_apart_from_the_others() {
    let env = MapEnv::from([
        ("MONGO_PORT", "1"),
        ("WORKERPOOL_SCHEDULER_MONGO_PORT", "2"),
    ]);
    assert_eq!(scheduler(&env).var("MONGO_PORT").port().or(0), 2);
    assert_eq!(
        Reader::new(&env, Role::ResultProxy)
            .var("MONGO_PORT")
            .port()
            .or(0),
        1
    );
    assert_eq!(
        Role::Scheduler.own_name("IEXEC_CORE_PORT"),
        "WORKERPOOL_SCHEDULER_PORT"
    );
    assert_eq!(
        Role::ConfigServer.own_name("IEXEC_CONFIG_SERVER_PORT"),
        "WORKERPOOL_CONFIG_SERVER_PORT"
    );
    assert_eq!(
        Role::Worker.own_name("POOL_ADDRESS"),
        "WORKERPOOL_WORKER_POOL_ADDRESS"
    );
    assert_eq!(
        Role::Worker.own_name("WORKERPOOL_WORKER_DATA_DIR"),
        "WORKERPOOL_WORKER_DATA_DIR"
    );
}

#[test]
fn the_generic_form_of_a_property_wins_over_its_own_variable() {
    let env = MapEnv::from([
        ("CHAIN_OUTOFSERVICETHRESHOLD", "20s"),
        ("IEXEC_THRESHOLD", "1s"),
    ]);
    let threshold = scheduler(&env)
        .var("IEXEC_THRESHOLD")
        .property("chain.out-of-service-threshold")
        .duration()
        .or(Duration::from_secs(15));
    assert_eq!(threshold, Duration::from_secs(20));
}

#[test]
fn set_to_nothing_is_not_set() {
    let env = MapEnv::from([("IEXEC_CORE_PORT", "  ")]);
    assert_eq!(
        scheduler(&env).var("IEXEC_CORE_PORT").port().or(13000),
        13000
    );
}

#[test]
fn an_empty_password_is_a_password() {
    let env = MapEnv::from([("IEXEC_CORE_WALLET_PASSWORD", "")]);
    let password = scheduler(&env)
        .var("IEXEC_CORE_WALLET_PASSWORD")
        .secret()
        .optional()
        .unwrap();
    assert_eq!(password.reveal(), "");
}

#[test]
fn a_secret_is_not_shown_anywhere() {
    let env = MapEnv::from([("IEXEC_CORE_WALLET_PASSWORD", "open sesame")]);
    let mut read = scheduler(&env);
    let password = read
        .var("IEXEC_CORE_WALLET_PASSWORD")
        .secret()
        .check("at least 20 characters", |secret| {
            secret.reveal().len() >= 20
        })
        .required();
    let error = read.finish(|| password).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("IEXEC_CORE_WALLET_PASSWORD is hidden: must be at least 20"),
        "{error}"
    );
    assert!(!format!("{error} {error:?} {:?}", Secret::new("open sesame")).contains("sesame"));
}

#[test]
fn a_secret_is_read_from_the_file_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "open sesame \r\n").unwrap();
    let env = MapEnv::default().with("IEXEC_CORE_WALLET_PASSWORD_FILE", file.to_str().unwrap());
    let password = scheduler(&env)
        .var("IEXEC_CORE_WALLET_PASSWORD")
        .secret()
        .optional()
        .unwrap();
    assert_eq!(password.reveal(), "open sesame ");

    let env = MapEnv::from([("IEXEC_CORE_WALLET_PASSWORD_FILE", "/nowhere/password")]);
    let mut read = scheduler(&env);
    read.var("IEXEC_CORE_WALLET_PASSWORD")
        .secret()
        .or(Secret::new("whatever"));
    let error = read.finish(|| Ok(())).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("must be a file that can be read"),
        "{error}"
    );
}

#[test]
fn durations_are_read_in_every_form() {
    let read = |text: &str| parse::duration(text);
    for five_seconds in ["PT5S", "pt5s", "5s", "5000ms", "5000", "5 s"] {
        assert_eq!(
            read(five_seconds),
            Some(Duration::from_secs(5)),
            "{five_seconds}"
        );
    }
    assert_eq!(read("2m"), Some(Duration::from_secs(120)));
    assert_eq!(read("3d"), Some(Duration::from_secs(259_200)));
    for wrong in ["", "five", "-1", "5 parsecs", "PT", "99999999999999999999d"] {
        assert_eq!(read(wrong), None, "{wrong}");
    }
}

#[test]
fn lists_lose_their_blanks() {
    let env = MapEnv::from([("IEXEC_WORKERS_WHITELIST", " 0xa, 0xb,,")]);
    assert_eq!(
        scheduler(&env)
            .var("IEXEC_WORKERS_WHITELIST")
            .list()
            .or(vec![]),
        ["0xa", "0xb"]
    );
}
