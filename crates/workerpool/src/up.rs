//! `workerpool up`: config server, result proxy and scheduler in one process, from one data folder. They still meet on the wire, so a
//! worker or a Java service sees no difference; what is known here already (the ports, the folder) need not be set twice.

use std::path::PathBuf;

use chassis::Shutdown;
use chassis::env::{ConfigErrors, Env, Reader, Role};

use crate::exit::Failure;
use crate::roles::{self, unavailable_or_failed};

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
    let (config_server, result_proxy, mut scheduler) =
        whole(config_server, result_proxy, scheduler)?;

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
        .map_err(unavailable_or_failed)?;
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

/// All settings, or all that is wrong with any of them.
fn whole<A, B, C>(
    a: Result<A, ConfigErrors>,
    b: Result<B, ConfigErrors>,
    c: Result<C, ConfigErrors>,
) -> Result<(A, B, C), Failure> {
    match (a, b, c) {
        (Ok(a), Ok(b), Ok(c)) => Ok((a, b, c)),
        (a, b, c) => {
            let errors = [a.err(), b.err(), c.err()];
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
