//! `workerpool up`: config server, result proxy and scheduler in one process, from one data folder. They still meet on the wire, so a
//! worker or a Java service sees no difference; what is known here already (the ports, the folder) need not be set twice.

use std::path::PathBuf;

use chassis::Shutdown;
use chassis::env::{ConfigErrors, Env, Reader, Role};

use crate::exit::Failure;
use crate::roles::{self, not_started};

/// What `up` knows, where the environment is silent.
struct Filled<'e> {
    env: &'e dyn Env,
    known: Vec<(&'static str, String)>,
}

impl Env for Filled<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let set = self.env.get(name).filter(|value| !value.trim().is_empty());
        set.or_else(|| {
            self.known
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.clone())
        })
    }
}

/// Runs all three until the end is asked for or one of them ends.
pub(crate) async fn run(env: &dyn Env, shutdown: Shutdown) -> Result<(), Failure> {
    let mut filled = Filled {
        env,
        known: folders(env)?,
    };

    // Everything is checked before anything binds; URLs that follow from ports are put in once the ports are known.
    let config_server = config_server::Settings::from_env(&filled);
    let result_proxy = result_proxy::Settings::from_env(&filled);
    let ports = (
        config_server
            .as_ref()
            .map_or(0, |settings| settings.listen.port()),
        result_proxy
            .as_ref()
            .map_or(0, |settings| settings.listen.port()),
    );
    filled.know_urls(ports);
    let scheduler = scheduler::Settings::from_env(&filled);
    let tls = (
        config_server
            .as_ref()
            .is_ok_and(|of| of.front.tls.is_some()),
        result_proxy.as_ref().is_ok_and(|of| of.front.tls.is_some()),
    );
    let (config_server, result_proxy, mut scheduler) = whole(
        config_server,
        result_proxy,
        scheduler,
        named_where_certified(env, tls),
    )?;

    let config_server = config_server::run(config_server, shutdown.clone())
        .await
        .map_err(|error| Failure::Failed(error.into()))?;
    let result_proxy = result_proxy::run(result_proxy, shutdown.clone())
        .await
        .map_err(|error| Failure::Failed(error.into()))?;
    let bound = (config_server.addr.port(), result_proxy.addr.port());
    if bound != ports {
        filled.know_urls(bound);
        scheduler = scheduler::Settings::from_env(&filled)?;
    }
    let scheduler = scheduler::run(scheduler, shutdown.clone())
        .await
        .map_err(not_started)?;
    tracing::info!(scheduler = %scheduler.addr, config_server = %config_server.addr, result_proxy = %result_proxy.addr, "the pool is up");

    // Whoever ends first, ends all: a pool without its scheduler, or without its results, is none.
    let ended = roles::first_to_end(
        shutdown,
        async { scheduler.ended().await.map_err(anyhow::Error::from) },
        async { result_proxy.finished().await.map_err(anyhow::Error::from) },
        async { config_server.ended().await.map_err(anyhow::Error::from) },
    );
    ended.await.map_err(Failure::Failed)
}

/// The folders of the roles, within the one of `up`.
fn folders(env: &dyn Env) -> Result<Vec<(&'static str, String)>, ConfigErrors> {
    let mut read = Reader::new(env, Role::Workerpool);
    let data = read
        .var("WORKERPOOL_DATA_DIR")
        .path()
        .or(PathBuf::from("data"));
    read.finish(|| {
        Ok(vec![
            (
                "WORKERPOOL_SCHEDULER_DATA_DIR",
                data.join("scheduler").display().to_string(),
            ),
            (
                "WORKERPOOL_RESULT_PROXY_DATA_DIR",
                data.join("result-proxy").display().to_string(),
            ),
        ])
    })
}

impl Filled<'_> {
    fn know_urls(&mut self, (config_server, result_proxy): (u16, u16)) {
        self.known.retain(|(name, _)| !name.ends_with("_URL"));
        self.known.push((
            "IEXEC_CONFIG_SERVER_URL",
            format!("http://127.0.0.1:{config_server}"),
        ));
        self.known.push((
            "IEXEC_RESULT_REPOSITORY_URL",
            format!("http://127.0.0.1:{result_proxy}"),
        ));
    }
}

/// A certificate is made out to a name: what serves with one is not found at the loopback's address, which `up` would fill in.
fn named_where_certified(
    env: &dyn Env,
    (config_server, result_proxy): (bool, bool),
) -> Result<(), ConfigErrors> {
    let mut read = Reader::new(env, Role::Scheduler);
    let places = [
        (
            config_server,
            "IEXEC_CONFIG_SERVER_URL",
            "config-server.url",
            "config server",
        ),
        (
            result_proxy,
            "IEXEC_RESULT_REPOSITORY_URL",
            "result-repository.url",
            "result proxy",
        ),
    ];
    for (certified, name, property, who) in places {
        let url = read.var(name).property(property).text().optional();
        if certified && url.is_none() {
            let expected = format!(
                "must be the https:// URL of the {who}, with a name that is in its certificate, as workers reach it: the {who} serves TLS"
            );
            read.refuse(name, None, expected);
        }
    }
    read.finish(|| Ok(()))
}

/// All settings, or all that is wrong with any of them.
fn whole<A, B, C>(
    a: Result<A, ConfigErrors>,
    b: Result<B, ConfigErrors>,
    c: Result<C, ConfigErrors>,
    together: Result<(), ConfigErrors>,
) -> Result<(A, B, C), Failure> {
    match (a, b, c, together) {
        (Ok(a), Ok(b), Ok(c), Ok(())) => Ok((a, b, c)),
        (a, b, c, together) => {
            let errors = [a.err(), b.err(), c.err(), together.err()];
            let texts: Vec<String> = errors.iter().flatten().map(ToString::to_string).collect();
            Err(Failure::Configuration(texts.join("\n")))
        }
    }
}

#[cfg(test)]
mod tests {
    use chassis::env::MapEnv;

    use super::*;

    #[test]
    fn what_the_operator_set_wins_over_what_up_knows() {
        let env = MapEnv::from([
            ("IEXEC_CONFIG_SERVER_URL", "http://pool.example:8888"),
            ("IEXEC_RESULT_REPOSITORY_URL", " "),
        ]);
        let mut filled = Filled {
            env: &env,
            known: folders(&env).unwrap(),
        };
        filled.know_urls((1, 2));
        assert_eq!(
            filled.get("IEXEC_CONFIG_SERVER_URL").unwrap(),
            "http://pool.example:8888"
        );
        assert_eq!(
            filled.get("IEXEC_RESULT_REPOSITORY_URL").unwrap(),
            "http://127.0.0.1:2"
        );
        assert_eq!(
            filled.get("WORKERPOOL_SCHEDULER_DATA_DIR").unwrap(),
            "data/scheduler"
        );
    }

    #[tokio::test]
    async fn what_serves_tls_must_be_given_its_url() {
        let tls = MapEnv::from([
            ("SERVER_SSL_CERTIFICATE", "/nowhere/chain.pem"),
            ("SERVER_SSL_CERTIFICATEPRIVATEKEY", "/nowhere/key.pem"),
            ("IEXEC_CHAIN_ID", "1"),
            ("IEXEC_IS_SIDECHAIN", "false"),
            ("IEXEC_BLOCKCHAIN_NODE_ADDRESS", "http://127.0.0.1:1"),
            (
                "IEXEC_HUB_ADDRESS",
                "0x5FC8d32690cc91D4c39d9d3abcBD16989F875707",
            ),
        ]);
        let failure = async |env: &MapEnv| match run(env, Shutdown::new()).await {
            Err(Failure::Configuration(text)) => text,
            Err(Failure::Failed(error)) => error.to_string(),
            _ => panic!("must be refused"),
        };
        let told = failure(&tls).await;
        for name in ["IEXEC_CONFIG_SERVER_URL", "IEXEC_RESULT_REPOSITORY_URL"] {
            assert!(told.contains(&format!("{name} is not set")), "{told}");
        }
        let named = tls
            .with("IEXEC_CONFIG_SERVER_URL", "https://pool.example:8888")
            .with("IEXEC_RESULT_REPOSITORY_URL", "https://pool.example:13200");
        let told = failure(&named).await;
        assert!(
            told.contains("/nowhere/chain.pem (SERVER_SSL_CERTIFICATE) cannot be read"),
            "{told}"
        );
    }

    #[tokio::test]
    async fn wrong_settings_of_all_roles_are_told_together() {
        let env = MapEnv::from([
            ("IEXEC_CHAIN_ID", "none"),
            ("POOL_ADDRESS", "0x12"),
            ("IEXEC_RESULT_PROXY_PORT", "many"),
        ]);
        let Err(Failure::Configuration(text)) = run(&env, Shutdown::new()).await else {
            panic!("must be refused")
        };
        for name in ["IEXEC_CHAIN_ID", "POOL_ADDRESS", "IEXEC_RESULT_PROXY_PORT"] {
            assert!(text.contains(name), "{name} in {text}");
        }
    }
}
