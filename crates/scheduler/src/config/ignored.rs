//! Names of the original that mean nothing to this scheduler, and why: whoever still sets one is told, and nothing is refused for it.

const DATABASE: &str = "data is kept in the folder WORKERPOOL_SCHEDULER_DATA_DIR";
const ADAPTER: &str = "this scheduler sends its transactions itself, unless WORKERPOOL_SCHEDULER_CHAIN_ADAPTER is true; stop the adapter, or two \
     programs use one wallet";
const OLD_SMS: &str = "an SMS is named for each technology: SMS_SCONE, SMS_GRAMINE, SMS_TDX";
const CHAIN: &str =
    "the scheduler asks the config server which chain it is on (IEXEC_CONFIG_SERVER_URL)";
const RESULTS: &str = "results are kept by the result proxy (IEXEC_RESULT_REPOSITORY_URL)";
const LOGS: &str = "what is logged goes to standard error, as WORKERPOOL_LOG says";
const TIMERS: &str = "deadlines are met by timers, not by scans";
const FRAMEWORK: &str = "it is about the original's framework, which is not here";

/// Names that the config server and the result proxy read.
pub(super) const OF_OTHERS: &[(&str, &str)] =
    &[("IEXEC_CHAIN_ID", CHAIN), ("IEXEC_HUB_ADDRESS", CHAIN)];

/// What is about a blockchain adapter.
pub(super) const OF_THE_ADAPTER: &[(&str, &str)] = &[
    ("IEXEC_CORE_CHAIN_ADAPTER_URL", ADAPTER),
    ("BLOCKCHAINADAPTER_URL", ADAPTER),
    ("IEXEC_CORE_CHAIN_ADAPTER_USERNAME", ADAPTER),
    ("BLOCKCHAINADAPTER_AUTH_USERNAME", ADAPTER),
    ("IEXEC_CORE_CHAIN_ADAPTER_PASSWORD", ADAPTER),
    ("BLOCKCHAINADAPTER_AUTH_PASSWORD", ADAPTER),
    ("IEXEC_CORE_CHAIN_ADAPTER_PROTOCOL", ADAPTER),
    ("IEXEC_CORE_CHAIN_ADAPTER_HOST", ADAPTER),
    ("IEXEC_CORE_CHAIN_ADAPTER_PORT", ADAPTER),
];

/// The name, and why it has no effect. Generic forms of the original's properties stand beside the names of their own.
pub(super) const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("MONGO_HOST", DATABASE),
    ("MONGO_PORT", DATABASE),
    ("SPRING_DATA_MONGODB_HOST", DATABASE),
    ("SPRING_DATA_MONGODB_PORT", DATABASE),
    ("SPRING_DATA_MONGODB_DATABASE", DATABASE),
    ("SPRING_DATA_MONGODB_URI", DATABASE),
    ("SPRING_DATA_MONGODB_AUTOINDEXCREATION", DATABASE),
    ("MONGOCK_RUNNERTYPE", DATABASE),
    ("MONGOCK_MIGRATIONSCANPACKAGE", DATABASE),
    ("IEXEC_SMS_HOST", OLD_SMS),
    ("IEXEC_SMS_PORT", OLD_SMS),
    ("IEXEC_PUBLIC_CHAIN_ADDRESS", CHAIN),
    ("IEXEC_IPFS_HOST", RESULTS),
    ("IEXEC_IPFS_PORT", RESULTS),
    ("IEXEC_CORE_GRAYLOG_HOST", LOGS),
    ("IEXEC_CORE_GRAYLOG_PORT", LOGS),
    ("CRON_DEAL_REPLAY", "deals are read as blocks arrive"),
    ("CRON_DETECTOR_WORKERLOST", TIMERS),
    ("CRON_DETECTOR_CHAIN_UNSTARTEDTX", TIMERS),
    ("CRON_DETECTOR_CHAIN_INITIALIZE", TIMERS),
    ("CRON_DETECTOR_CHAIN_CONTRIBUTE", TIMERS),
    ("CRON_DETECTOR_CHAIN_CONSENSUSREACHED", TIMERS),
    ("CRON_DETECTOR_CHAIN_REVEAL", TIMERS),
    ("CRON_DETECTOR_CHAIN_CONTRIBUTEANDFINALIZE", TIMERS),
    ("CRON_DETECTOR_CHAIN_FINALIZE", TIMERS),
    ("CRON_DETECTOR_CHAIN_FINALDEADLINE", TIMERS),
    (
        "CRON_DETECTOR_TIMEOUT_CONTRIBUTE",
        "the original ignores it too",
    ),
    ("REVEAL_TIMEOUT_PERIOD", TIMERS),
    ("CRON_DETECTOR_TIMEOUT_REVEAL", TIMERS),
    ("CRON_DETECTOR_TIMEOUT_RESULTUPLOAD", TIMERS),
    (
        "MANAGEMENT_ENDPOINT_HEALTH_SHOWDETAILS",
        "health always shows its details",
    ),
    ("SPRINGDOC_PACKAGESTOSCAN", FRAMEWORK),
    ("SPRINGDOC_PATHSTOMATCH", FRAMEWORK),
];

#[cfg(test)]
mod tests {
    use chassis::env::MapEnv;

    use super::*;
    use crate::config::Settings;

    const OTHER: &str = "0x00000000000000000000000000000000000000aa";

    /// Every name of spec scheduler-api §9, generic forms of properties and older names included, and a value that differs from the
    /// default.
    const NAMES: &[(&str, &str)] = &[
        ("IEXEC_CORE_PORT", "1"),
        ("SERVER_PORT", "1"),
        ("MONGO_HOST", "mongo"),
        ("SPRING_DATA_MONGODB_HOST", "mongo"),
        ("MONGO_PORT", "1"),
        ("SPRING_DATA_MONGODB_PORT", "1"),
        ("SPRING_DATA_MONGODB_DATABASE", "other"),
        ("SPRING_DATA_MONGODB_AUTOINDEXCREATION", "false"),
        ("IEXEC_PLATFORM_REGISTRY", "http://registry.example"),
        ("SPRING_CONFIG_IMPORT", "http://registry.example"),
        ("IEXEC_PLATFORM_REGISTRY_STACK", "134"),
        ("SPRING_CLOUD_CONFIG_PROFILE", "134"),
        ("IEXEC_PLATFORM_REGISTRY_LABEL", "main"),
        ("SPRING_CLOUD_CONFIG_LABEL", "main"),
        ("MONGOCK_RUNNERTYPE", "x"),
        ("MONGOCK_MIGRATIONSCANPACKAGE", "x"),
        ("CRON_METRICS_REFRESH_PERIOD", "1"),
        ("CRON_DEAL_REPLAY", "1"),
        ("CRON_DETECTOR_WORKERLOST", "1"),
        ("CRON_DETECTOR_CHAIN_UNSTARTEDTX", "1"),
        ("CRON_DETECTOR_CHAIN_INITIALIZE", "1"),
        ("CRON_DETECTOR_CHAIN_CONTRIBUTE", "1"),
        ("CRON_DETECTOR_CHAIN_CONSENSUSREACHED", "1"),
        ("CRON_DETECTOR_CHAIN_REVEAL", "1"),
        ("CRON_DETECTOR_CHAIN_CONTRIBUTEANDFINALIZE", "1"),
        ("CRON_DETECTOR_CHAIN_FINALIZE", "1"),
        ("CRON_DETECTOR_CHAIN_FINALDEADLINE", "1"),
        ("CRON_DETECTOR_TIMEOUT_CONTRIBUTE", "1"),
        ("REVEAL_TIMEOUT_PERIOD", "1"),
        ("CRON_DETECTOR_TIMEOUT_REVEAL", "1"),
        ("CRON_DETECTOR_TIMEOUT_RESULTUPLOAD", "1"),
        ("IEXEC_ASK_REPLICATE_PERIOD", "1"),
        ("WORKERS_ASKFORREPLICATEPERIOD", "1"),
        ("IEXEC_CORE_REQUIRED_WORKER_VERSION", "1"),
        ("WORKERS_REQUIREDWORKERVERSION", "1"),
        ("IEXEC_WORKERS_WHITELIST", OTHER),
        ("WORKERS_WHITELIST", OTHER),
        ("IEXEC_CORE_WALLET_PATH", "/other.json"),
        ("WALLET_ENCRYPTEDFILEPATH", "/other.json"),
        ("IEXEC_CORE_WALLET_PASSWORD", "other"),
        ("WALLET_PASSWORD", "other"),
        ("CHAIN_MAXLOGSBATCHSIZE", "7"),
        ("IEXEC_BLOCKCHAIN_NODE_ADDRESS", "http://node.example"),
        ("CHAIN_NODEADDRESS", "http://node.example"),
        ("CHAIN_OUTOFSERVICETHRESHOLD", "PT7S"),
        ("POOL_ADDRESS", OTHER),
        ("CHAIN_POOLADDRESS", OTHER),
        ("IEXEC_START_BLOCK_NUMBER", "7"),
        ("CHAIN_STARTBLOCKNUMBER", "7"),
        ("IEXEC_GAS_PRICE_MULTIPLIER", "2"),
        ("CHAIN_GASPRICEMULTIPLIER", "2"),
        ("IEXEC_GAS_PRICE_CAP", "7"),
        ("CHAIN_GASPRICECAP", "7"),
        ("IEXEC_CORE_CHAIN_ADAPTER_URL", "http://adapter.example"),
        ("BLOCKCHAINADAPTER_URL", "http://adapter.example"),
        ("IEXEC_CORE_CHAIN_ADAPTER_USERNAME", "ann"),
        ("BLOCKCHAINADAPTER_AUTH_USERNAME", "ann"),
        ("IEXEC_CORE_CHAIN_ADAPTER_PASSWORD", "other"),
        ("BLOCKCHAINADAPTER_AUTH_PASSWORD", "other"),
        ("IEXEC_CONFIG_SERVER_URL", "http://config.example"),
        ("CONFIGSERVER_URL", "http://config.example"),
        ("IEXEC_RESULT_REPOSITORY_URL", "http://results.example"),
        ("RESULTREPOSITORY_URL", "http://results.example"),
        ("IEXEC_CORE_MANAGEMENT_ACTUATORS", "health"),
        ("MANAGEMENT_ENDPOINTS_WEB_EXPOSURE_INCLUDE", "health"),
        ("MANAGEMENT_ENDPOINT_HEALTH_SHOWDETAILS", "never"),
        ("IEXEC_LOGS_PURGE_RATE_IN_DAYS", "7"),
        ("LOGS_PURGERATEINDAYS", "7"),
        ("IEXEC_LOGS_AVAILABILITY_PERIOD_IN_DAYS", "7"),
        ("LOGS_AVAILABILITYPERIODINDAYS", "7"),
        ("SPRINGDOC_PACKAGESTOSCAN", "x"),
        ("SPRINGDOC_PATHSTOMATCH", "x"),
        ("SMS_SCONE", "http://sms.example"),
        ("SMS_GRAMINE", "http://sms.example"),
        ("SMS_TDX", "http://sms.example"),
        ("IEXEC_PRIVATE_CHAIN_ADDRESS", "http://node.example"),
        ("IEXEC_CORE_CHAIN_ADAPTER_PROTOCOL", "https"),
        ("IEXEC_CORE_CHAIN_ADAPTER_HOST", "adapter.example"),
        ("IEXEC_CORE_CHAIN_ADAPTER_PORT", "1"),
        ("IEXEC_CONFIG_SERVER_PROTOCOL", "https"),
        ("IEXEC_CONFIG_SERVER_HOST", "config.example"),
        ("IEXEC_CONFIG_SERVER_PORT", "1"),
        ("IEXEC_RESULT_REPOSITORY_PROTOCOL", "https"),
        ("IEXEC_RESULT_REPOSITORY_HOST", "results.example"),
        ("IEXEC_RESULT_REPOSITORY_PORT", "1"),
        ("IEXEC_CHAIN_HEALTH_POLLING_INTERVAL_IN_BLOCKS", "7"),
        ("IEXEC_CHAIN_HEALTH_OUT_OF_SERVICE_THRESHOLD", "7"),
    ];

    #[test]
    fn every_name_of_the_original_works_or_is_refused_or_is_said_to_have_no_effect() {
        let usual = Settings::from_env(&MapEnv::default()).unwrap();
        for (name, value) in NAMES {
            let env = MapEnv::from([(*name, *value)]);
            let mut without_effect = WITHOUT_EFFECT.iter().chain(OF_THE_ADAPTER);
            let ignored = without_effect.any(|(known, _)| known == name);
            let works = match Settings::from_env(&env) {
                Ok(settings) => {
                    format!("{settings:?}") != format!("{usual:?}")
                        // Never shown.
                        || settings.wallet_password != usual.wallet_password
                }
                Err(errors) => {
                    let text = errors.to_string();
                    assert!(text.contains(name), "{name} is refused with {text}");
                    true
                }
            };
            assert!(works || ignored, "nobody reads {name}");
            assert!(
                !(works && ignored),
                "{name} is said to have no effect, and has one"
            );
        }
    }

    #[test]
    fn logs_may_be_kept_for_less_than_a_day() {
        let env = MapEnv::from([
            ("IEXEC_LOGS_AVAILABILITY_PERIOD_IN_DAYS", "0"),
            ("WORKERPOOL_SCHEDULER_LOGS_PURGE_PERIOD", "2s"),
        ]);
        let settings = Settings::from_env(&env).unwrap();
        assert!(settings.logs_kept.is_zero());
        assert_eq!(settings.logs_purge_period.as_secs(), 2);
        let env = env.with("WORKERPOOL_SCHEDULER_LOGS_KEPT", "PT5S");
        assert_eq!(Settings::from_env(&env).unwrap().logs_kept.as_secs(), 5);
        let never = MapEnv::from([("IEXEC_LOGS_PURGE_RATE_IN_DAYS", "0")]);
        let refused = Settings::from_env(&never).unwrap_err().to_string();
        assert!(
            refused.contains("IEXEC_LOGS_PURGE_RATE_IN_DAYS"),
            "{refused}"
        );
    }
}
