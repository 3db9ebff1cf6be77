//! Services beside the scheduler that it can do without: secret managers, a platform registry, a blockchain adapter.

use std::collections::BTreeMap;

use chassis::env::{self, Kept, Noted, Reader, Secret};
use poco::tag::TeeFramework;
use url::Url;

use super::ignored;

/// Services that the scheduler can do without.
#[derive(Debug, Clone)]
pub struct RemoteSettings {
    /// The secret manager of each enclave technology that the pool serves, told to workers letter by letter (`SMS_SCONE`,
    /// `SMS_GRAMINE`, `SMS_TDX`).
    pub sms: BTreeMap<TeeFramework, Kept<Url>>,
    /// Where the secret managers that are not set are asked (`IEXEC_PLATFORM_REGISTRY`).
    pub registry: Option<RegistrySettings>,
    /// What sends `initialize` and `finalize`, if not the scheduler itself (`WORKERPOOL_SCHEDULER_CHAIN_ADAPTER`).
    pub adapter: Option<AdapterSettings>,
}

/// A platform registry: a Spring Cloud Config server.
#[derive(Debug, Clone)]
pub struct RegistrySettings {
    /// Where it is (`IEXEC_PLATFORM_REGISTRY`).
    pub url: Url,
    /// Which properties are asked for (`IEXEC_PLATFORM_REGISTRY_STACK`).
    pub stack: String,
    /// Which version of them (`IEXEC_PLATFORM_REGISTRY_LABEL`).
    pub label: String,
}

/// A blockchain adapter.
#[derive(Debug, Clone)]
pub struct AdapterSettings {
    /// Where it is (`IEXEC_CORE_CHAIN_ADAPTER_URL`).
    pub url: Url,
    /// Who asks (`IEXEC_CORE_CHAIN_ADAPTER_USERNAME`).
    pub username: String,
    /// What proves it (`IEXEC_CORE_CHAIN_ADAPTER_PASSWORD`).
    pub password: Secret,
}

impl RemoteSettings {
    pub(super) fn read(read: &mut Reader<'_>) -> Result<Self, Noted> {
        let mut sms = BTreeMap::new();
        for (framework, name) in [
            (TeeFramework::Scone, "SMS_SCONE"),
            (TeeFramework::Gramine, "SMS_GRAMINE"),
            (TeeFramework::Tdx, "SMS_TDX"),
        ] {
            if let Some(url) = read.var(name).url().kept().optional() {
                sms.insert(framework, url);
            }
        }
        Ok(Self {
            sms,
            registry: RegistrySettings::read(read),
            adapter: AdapterSettings::read(read)?,
        })
    }
}

impl RegistrySettings {
    fn read(read: &mut Reader<'_>) -> Option<Self> {
        let url = read
            .var("IEXEC_PLATFORM_REGISTRY")
            .property("spring.config.import")
            .parsed("an http:// or https:// URL", imported)
            .optional();
        let stack = read
            .var("IEXEC_PLATFORM_REGISTRY_STACK")
            .property("spring.cloud.config.profile")
            .text()
            .or(String::new());
        let label = read
            .var("IEXEC_PLATFORM_REGISTRY_LABEL")
            .property("spring.cloud.config.label")
            .text()
            .or(String::new());
        // Who says what to ask for means to ask, where the original does.
        let asks = !(stack.is_empty() && label.is_empty());
        let url = url.or_else(|| Url::parse("http://localhost:8888").ok().filter(|_| asks))?;
        Some(Self { url, stack, label })
    }
}

/// A URL, also as the original's framework has it: `optional:configserver:http://…`.
fn imported(text: &str) -> Option<Url> {
    let text = text.strip_prefix("optional:").unwrap_or(text);
    env::url(text.strip_prefix("configserver:").unwrap_or(text))
}

impl AdapterSettings {
    fn read(read: &mut Reader<'_>) -> Result<Option<Self>, Noted> {
        let wanted = read
            .var("WORKERPOOL_SCHEDULER_CHAIN_ADAPTER")
            .boolean()
            .or(false);
        if !wanted {
            read.ignores(ignored::OF_THE_ADAPTER);
            return Ok(None);
        }
        let url = read
            .var("IEXEC_CORE_CHAIN_ADAPTER_URL")
            .property("blockchain-adapter.url")
            .was_parts("IEXEC_CORE_CHAIN_ADAPTER", "http", "localhost", 13_010)
            .url()
            .or_text("http://localhost:13010");
        let username = read
            .var("IEXEC_CORE_CHAIN_ADAPTER_USERNAME")
            .property("blockchain-adapter.auth.username")
            .text()
            .or("admin".to_owned());
        let password = read
            .var("IEXEC_CORE_CHAIN_ADAPTER_PASSWORD")
            .property("blockchain-adapter.auth.password")
            .secret()
            .or_text(super::SAMPLE_PASSWORD);
        Ok(Some(Self {
            url: url?,
            username,
            password: password?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use chassis::env::MapEnv;

    use super::*;
    use crate::config::Settings;

    fn remotes(env: MapEnv) -> RemoteSettings {
        Settings::from_env(&env).unwrap().remotes
    }

    #[test]
    fn nothing_beside_the_scheduler_is_needed() {
        let remotes = remotes(MapEnv::default());
        assert!(remotes.sms.is_empty());
        assert!(remotes.registry.is_none() && remotes.adapter.is_none());
    }

    #[test]
    fn a_blank_secret_manager_is_none_and_a_wrong_one_is_refused() {
        let env = MapEnv::from([("SMS_SCONE", ""), ("SMS_TDX", "https://sms.example/")]);
        let sms = remotes(env).sms;
        assert_eq!(sms.len(), 1);
        assert_eq!(sms[&TeeFramework::Tdx].text, "https://sms.example/");
        let wrong = MapEnv::from([("SMS_GRAMINE", "sms.example")]);
        let refused = Settings::from_env(&wrong).unwrap_err().to_string();
        assert!(refused.contains("SMS_GRAMINE"), "{refused}");
    }

    #[test]
    fn the_registry_is_read_as_the_original_s_framework_writes_it() {
        for text in [
            "http://registry.example:8888",
            "configserver:http://registry.example:8888",
            "optional:configserver:http://registry.example:8888",
        ] {
            let env = MapEnv::from([
                ("SPRING_CONFIG_IMPORT", text),
                ("IEXEC_PLATFORM_REGISTRY_STACK", "134"),
            ]);
            let registry = remotes(env).registry.unwrap();
            assert_eq!(registry.url.as_str(), "http://registry.example:8888/");
            assert_eq!(registry.stack, "134");
        }
        let env = MapEnv::from([("IEXEC_PLATFORM_REGISTRY_STACK", "134")]);
        let registry = remotes(env).registry.unwrap();
        assert_eq!(registry.url.as_str(), "http://localhost:8888/");
    }

    #[test]
    fn an_adapter_that_is_only_there_is_not_used() {
        let there = MapEnv::from([("IEXEC_CORE_CHAIN_ADAPTER_URL", "http://adapter:13010")]);
        assert!(remotes(there.clone()).adapter.is_none());
        let wanted = there.with("WORKERPOOL_SCHEDULER_CHAIN_ADAPTER", "true");
        let adapter = remotes(wanted).adapter.unwrap();
        assert_eq!(adapter.url.as_str(), "http://adapter:13010/");
        assert_eq!(adapter.username, "admin");
        let older = MapEnv::from([
            ("IEXEC_CORE_CHAIN_ADAPTER_HOST", "chain-adapter"),
            ("WORKERPOOL_SCHEDULER_CHAIN_ADAPTER", "true"),
        ]);
        let adapter = remotes(older).adapter.unwrap();
        assert_eq!(adapter.url.as_str(), "http://chain-adapter:13010/");
    }
}
