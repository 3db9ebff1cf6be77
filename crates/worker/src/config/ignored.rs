//! Names of the original that mean nothing to this worker, and why: whoever still sets one is told, and nothing is refused for it.

const LOGS: &str = "what is logged is set by WORKERPOOL_LOG or IEXEC_LOG_LEVEL";
const RESTART: &str = "the worker begins anew by itself when the pool's settings change";
const ENCLAVES: &str = "tasks in enclaves are not computed by this version";
const REGISTRIES: &str =
    "credentials are set by IEXEC_WORKER_DOCKER_REGISTRY_USERNAME_0 and _PASSWORD_0, …";
const PROXIES: &str = "the original's present image ignores it too";
const PLAIN: &str = "the worker's port, for health and metrics, is plain HTTP";
const TLS: &str = "the container engine is spoken to without certificates";

/// The name, and why it has no effect. Generic forms of the original's properties stand beside the names of their own.
pub(super) const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("IEXEC_DEVELOPER_LOGGER_ENABLED", LOGS),
    ("WORKER_DEVELOPERLOGGERENABLED", LOGS),
    ("IEXEC_CORE_GRAYLOG_HOST", LOGS),
    ("IEXEC_WORKER_TEE_COMPUTE_MAX_HEAP_SIZE_GB", ENCLAVES),
    ("WORKER_TEECOMPUTEMAXHEAPSIZEGB", ENCLAVES),
    ("IEXEC_WORKER_DOCKER_NETWORK_NAME", ENCLAVES),
    ("WORKER_DOCKERNETWORKNAME", ENCLAVES),
    ("WORKER_DOCKEREXTRAHOSTS", ENCLAVES),
    ("IEXEC_SCONE_SHOW_VERSION", ENCLAVES),
    ("SCONE_SHOWVERSION", ENCLAVES),
    ("IEXEC_SCONE_LOG_LEVEL", ENCLAVES),
    ("SCONE_LOGLEVEL", ENCLAVES),
    ("IEXEC_WORKER_SCONTAIN_REGISTRY_NAME", ENCLAVES),
    ("SCONE_REGISTRY_NAME", ENCLAVES),
    ("IEXEC_WORKER_SCONTAIN_REGISTRY_USERNAME", ENCLAVES),
    ("SCONE_REGISTRY_USERNAME", ENCLAVES),
    ("IEXEC_WORKER_SCONTAIN_REGISTRY_PASSWORD", ENCLAVES),
    ("SCONE_REGISTRY_PASSWORD", ENCLAVES),
    ("IEXEC_LAS_PORT", ENCLAVES),
    ("SCONE_LASPORT", ENCLAVES),
    ("IEXEC_WORKER_SGX_DRIVER_MODE", ENCLAVES),
    ("TEE_SGX_DRIVERMODE", ENCLAVES),
    ("TEE_TDX_SECRETPROVIDERAGENT", ENCLAVES),
    ("DOCKER_CONFIG", REGISTRIES),
    ("DOCKER_CERT_PATH", TLS),
    ("DOCKER_TLS_VERIFY", TLS),
    ("SERVER_SSL_CERTIFICATE", PLAIN),
    ("SERVER_SSL_CERTIFICATEPRIVATEKEY", PLAIN),
    ("SERVER_SSL_KEYSTORE", PLAIN),
    ("SERVER_FORWARDHEADERSSTRATEGY", PLAIN),
    ("MANAGEMENT_ENDPOINT_RESTART_ENABLED", RESTART),
    ("IEXEC_HTTP_PROXY_HOST", PROXIES),
    ("IEXEC_HTTP_PROXY_PORT", PROXIES),
    ("IEXEC_HTTPS_PROXY_HOST", PROXIES),
    ("IEXEC_HTTPS_PROXY_PORT", PROXIES),
];

#[cfg(test)]
mod tests {
    use chassis::env::MapEnv;

    use super::*;
    use crate::config::Settings;

    /// Every name of spec `worker.md` §12, generic forms of properties included, and a value that differs from the default.
    const NAMES: &[(&str, &str)] = &[
        ("IEXEC_WORKER_PORT", "1"),
        ("SERVER_PORT", "1"),
        ("IEXEC_CORE_URL", "http://core.example"),
        ("CORE_URL", "http://core.example"),
        ("POOL_ADDRESS", OTHER),
        ("CORE_POOLADDRESS", OTHER),
        ("IEXEC_WORKER_NAME", "other"),
        ("WORKER_NAME", "other"),
        ("IEXEC_WORKER_BASE_DIR", "/other"),
        ("WORKER_WORKERBASEDIR", "/other"),
        ("IEXEC_WORKER_OVERRIDE_AVAILABLE_CPU_COUNT", "77"),
        ("WORKER_OVERRIDEAVAILABLECPUCOUNT", "77"),
        ("IEXEC_WORKER_GPU_ENABLED", "true"),
        ("WORKER_GPUENABLED", "true"),
        ("IEXEC_GAS_PRICE_MULTIPLIER", "2"),
        ("WORKER_GASPRICEMULTIPLIER", "2"),
        ("IEXEC_GAS_PRICE_CAP", "7"),
        ("WORKER_GASPRICECAP", "7"),
        (
            "IEXEC_WORKER_OVERRIDE_BLOCKCHAIN_NODE_ADDRESS",
            "http://node.example",
        ),
        (
            "WORKER_OVERRIDEBLOCKCHAINNODEADDRESS",
            "http://node.example",
        ),
        ("IEXEC_DEVELOPER_LOGGER_ENABLED", "true"),
        ("WORKER_DEVELOPERLOGGERENABLED", "true"),
        ("IEXEC_WORKER_TEE_COMPUTE_MAX_HEAP_SIZE_GB", "9"),
        ("WORKER_TEECOMPUTEMAXHEAPSIZEGB", "9"),
        ("IEXEC_WORKER_DOCKER_NETWORK_NAME", "net"),
        ("WORKER_DOCKERNETWORKNAME", "net"),
        ("WORKER_DOCKEREXTRAHOSTS", "host:1.2.3.4"),
        ("IEXEC_WORKER_DOCKER_REGISTRY_USERNAME_0", "ann"),
        ("IEXEC_WORKER_DOCKER_REGISTRY_PASSWORD_0", "secret"),
        ("IEXEC_WORKER_DOCKER_REGISTRY_ADDRESS_1", "registry.example"),
        ("IEXEC_WORKER_DOCKER_REGISTRY_USERNAME_1", "ann"),
        ("IEXEC_WORKER_DOCKER_REGISTRY_PASSWORD_1", "secret"),
        ("IEXEC_WORKER_DOCKER_IMAGE_MIN_PULL_TIMEOUT", "PT7M"),
        ("DOCKER_IMAGE_PULLTIMEOUT_MIN", "PT7M"),
        ("IEXEC_WORKER_DOCKER_IMAGE_MAX_PULL_TIMEOUT", "PT70M"),
        ("DOCKER_IMAGE_PULLTIMEOUT_MAX", "PT70M"),
        ("IEXEC_WORKER_WALLET_PATH", "/other.json"),
        ("WALLET_ENCRYPTEDFILEPATH", "/other.json"),
        ("IEXEC_WORKER_WALLET_PASSWORD", "whatever"),
        ("WALLET_PASSWORD", "whatever"),
        ("IEXEC_SCONE_SHOW_VERSION", "false"),
        ("SCONE_SHOWVERSION", "false"),
        ("IEXEC_SCONE_LOG_LEVEL", "info"),
        ("SCONE_LOGLEVEL", "info"),
        ("IEXEC_WORKER_SCONTAIN_REGISTRY_NAME", "registry.example"),
        ("SCONE_REGISTRY_NAME", "registry.example"),
        ("IEXEC_WORKER_SCONTAIN_REGISTRY_USERNAME", "ann"),
        ("SCONE_REGISTRY_USERNAME", "ann"),
        ("IEXEC_WORKER_SCONTAIN_REGISTRY_PASSWORD", "secret"),
        ("SCONE_REGISTRY_PASSWORD", "secret"),
        ("IEXEC_LAS_PORT", "1"),
        ("SCONE_LASPORT", "1"),
        ("IEXEC_WORKER_SGX_DRIVER_MODE", "NATIVE"),
        ("TEE_SGX_DRIVERMODE", "NATIVE"),
        ("TEE_TDX_SECRETPROVIDERAGENT", "/agent"),
        ("IEXEC_WORKER_METRICS_WINDOW_SIZE", "7"),
        ("METRICS_WINDOWSIZE", "7"),
        ("MANAGEMENT_ENDPOINT_RESTART_ENABLED", "false"),
        ("MANAGEMENT_ENDPOINTS_WEB_EXPOSURE_INCLUDE", "health"),
        ("IEXEC_LOG_LEVEL", "debug"),
        ("IEXEC_HTTP_PROXY_HOST", "proxy"),
        ("IEXEC_HTTP_PROXY_PORT", "1"),
        ("IEXEC_HTTPS_PROXY_HOST", "proxy"),
        ("IEXEC_HTTPS_PROXY_PORT", "1"),
        ("DOCKER_HOST", "unix:///other.sock"),
        ("DOCKER_CONFIG", "/root/.docker"),
        ("DOCKER_CERT_PATH", "/certificates"),
        ("IEXEC_CORE_PROTOCOL", "https"),
        ("IEXEC_CORE_HOST", "core.example"),
        ("IEXEC_CORE_PORT", "1"),
        ("IEXEC_CORE_GRAYLOG_HOST", "graylog.example"),
    ];
    /// Read before anything else, for all roles: `chassis::logs`.
    const LOG_LEVEL: &str = "IEXEC_LOG_LEVEL";
    const OTHER: &str = "0x00000000000000000000000000000000000000aa";

    fn minimal() -> MapEnv {
        MapEnv::from([
            ("POOL_ADDRESS", "0x365E7BABAa85eC61Dffe5b520763062e6C29dA27"),
            ("IEXEC_WORKER_WALLET_PATH", "/w.json"),
            ("IEXEC_WORKER_WALLET_PASSWORD", "a real one"),
        ])
    }

    #[test]
    fn every_name_of_the_original_works_or_is_refused_or_is_said_to_have_no_effect() {
        let usual = format!("{:?}", Settings::from_env(&minimal()).unwrap());
        for (name, value) in NAMES {
            let env = minimal().with(*name, *value);
            let ignored = WITHOUT_EFFECT.iter().any(|(known, _)| known == name);
            let works = match Settings::from_env(&env) {
                Ok(settings) => format!("{settings:?}") != usual,
                Err(errors) => {
                    let text = errors.to_string();
                    assert!(text.contains(name), "{name} is refused with {text}");
                    true
                }
            };
            assert!(
                works || ignored || *name == LOG_LEVEL,
                "nobody reads {name}"
            );
            assert!(
                !(works && ignored),
                "{name} is said to have no effect, and has one"
            );
        }
    }
}
