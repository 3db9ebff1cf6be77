//! Each role by itself: settings from the environment, run, wait for the end.

use chassis::Shutdown;
use chassis::env::Env;

use crate::exit::Failure;

pub(crate) async fn scheduler(env: &dyn Env, shutdown: Shutdown) -> Result<(), Failure> {
    let settings = scheduler::Settings::from_env(env)?;
    let running = scheduler::run(settings, shutdown)
        .await
        .map_err(not_started)?;
    running
        .ended()
        .await
        .map_err(|error| Failure::Failed(error.into()))
}

pub(crate) async fn worker(env: &dyn Env, shutdown: Shutdown) -> Result<(), Failure> {
    let settings = worker::Settings::from_env(env)?;
    let running = worker::run(settings, shutdown)
        .await
        .map_err(|error| Failure::Failed(error.into()))?;
    running
        .wait()
        .await
        .map_err(|error| Failure::Failed(error.into()))
}

/// What a worker runs in containers beside applications.
pub(crate) fn sandbox(words: &[String]) -> Result<(), Failure> {
    match worker::docker::sandbox::helper::main(words) {
        0 => Ok(()),
        _ => Err(Failure::Failed(anyhow::anyhow!(
            "the sandbox did not do what it was told"
        ))),
    }
}

pub(crate) async fn config_server(env: &dyn Env, shutdown: Shutdown) -> Result<(), Failure> {
    let settings = config_server::Settings::from_env(env)?;
    let running = config_server::run(settings, shutdown)
        .await
        .map_err(|error| Failure::Failed(error.into()))?;
    running
        .ended()
        .await
        .map_err(|error| Failure::Failed(error.into()))
}

pub(crate) async fn result_proxy(env: &dyn Env, shutdown: Shutdown) -> Result<(), Failure> {
    let settings = result_proxy::Settings::from_env(env)?;
    let running = result_proxy::run(settings, shutdown)
        .await
        .map_err(|error| Failure::Failed(error.into()))?;
    running
        .finished()
        .await
        .map_err(|error| Failure::Failed(error.into()))
}

/// A start that failed: for a setting, for a service that does not answer, or for another reason.
pub(crate) fn not_started(error: scheduler::StartError) -> Failure {
    match error.exit_code() {
        64 => Failure::Configuration(error.to_string()),
        69 => Failure::Unavailable(error.into()),
        _ => Failure::Failed(error.into()),
    }
}

/// Waits until one of three ends, asks the others to end too, and waits for them. The first error is the one told.
pub(crate) async fn first_to_end(
    shutdown: Shutdown,
    a: impl Future<Output = anyhow::Result<()>>,
    b: impl Future<Output = anyhow::Result<()>>,
    c: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let ending = |result: anyhow::Result<()>| {
        shutdown.trigger();
        result
    };
    let (a, b, c) = tokio::join!(
        async { ending(a.await) },
        async { ending(b.await) },
        async { ending(c.await) }
    );
    a.and(b).and(c)
}
