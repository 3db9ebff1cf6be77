//! Running a config server: bind, serve, end.

use std::net::SocketAddr;

use chassis::{Door, ListenError, Shutdown};
use tokio::task::JoinHandle;

use crate::api;
use crate::config::{PORT, Settings};

/// Why a config server does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Its listener failed while it ran.
    #[error("the config server's listener failed: {0}")]
    Serve(#[from] std::io::Error),
    /// A bug: its task panicked.
    #[error("the config server ended by a bug: {0}")]
    Panicked(tokio::task::JoinError),
}

/// A config server that runs.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub addr: SocketAddr,
    task: JoinHandle<Result<(), Error>>,
}

impl Running {
    /// Waits until it has ended.
    ///
    /// # Errors
    /// When it ended otherwise than by its shutdown.
    pub async fn ended(self) -> Result<(), Error> {
        self.task.await.map_err(Error::Panicked)?
    }
}

/// Binds where `settings` say and serves until `shutdown`, in a task of its own.
///
/// # Errors
/// When the port cannot be bound, or there is no certificate where one is set.
pub async fn run(settings: Settings, shutdown: Shutdown) -> Result<Running, Error> {
    let certificates = settings.front.certificates().await?;
    let listener = chassis::listen(settings.listen, PORT).await?;
    let addr = listener.local_addr()?;
    let scheme = settings.front.scheme();
    let door = settings.front.door(listener, certificates);
    tracing::info!(%addr, scheme, chain = settings.chain.chain_id, "config server listens");
    let task = tokio::spawn(serve(settings, door, shutdown));
    Ok(Running { addr, task })
}

/// Serves at a door that is open already, until `shutdown`.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    settings: Settings,
    door: impl Into<Door>,
    shutdown: Shutdown,
) -> Result<(), Error> {
    Ok(chassis::serve(door, api::routes(&settings), shutdown).await?)
}
