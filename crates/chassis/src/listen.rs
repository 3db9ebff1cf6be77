//! Binding a port, and saying clearly why it cannot be bound.

use std::io::ErrorKind;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::tls::TlsError;

/// Why a service cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else listens there.
    #[error("port {} is already taken on {}\n  mend: set {setting} to another port, or stop what holds it", .addr.port(), .addr.ip())]
    PortTaken {
        /// Where we wanted to listen.
        addr: SocketAddr,
        /// The variable that sets the port.
        setting: String,
    },
    /// The system does not let us, as for a port below 1024.
    #[error(
        "listening on {addr} is not allowed\n  mend: set {setting} to a port above 1023, or give this program the right to bind it"
    )]
    NotAllowed {
        /// Where we wanted to listen.
        addr: SocketAddr,
        /// The variable that sets the port.
        setting: String,
    },
    /// There is nothing to show to clients.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// This machine does not have that address, or something rarer.
    #[error("listening on {addr} failed: {source}")]
    Failed {
        /// Where we wanted to listen.
        addr: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
}

/// Listens on `addr`; port 0 takes any free one, which the listener tells. `setting` is the variable that sets the port.
///
/// # Errors
/// When the port is taken or cannot be bound.
pub async fn listen(addr: SocketAddr, setting: &str) -> Result<TcpListener, ListenError> {
    TcpListener::bind(addr)
        .await
        .map_err(|source| match source.kind() {
            ErrorKind::AddrInUse => ListenError::PortTaken {
                addr,
                setting: setting.to_owned(),
            },
            ErrorKind::PermissionDenied => ListenError::NotAllowed {
                addr,
                setting: setting.to_owned(),
            },
            _ => ListenError::Failed { addr, source },
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_told_with_the_setting_that_changes_it() {
        let first = listen(SocketAddr::from(([127, 0, 0, 1], 0)), "IEXEC_CORE_PORT")
            .await
            .unwrap();
        let addr = first.local_addr().unwrap();
        let error = listen(addr, "IEXEC_CORE_PORT").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "port {} is already taken on 127.0.0.1\n  mend: set IEXEC_CORE_PORT to another port, or stop what holds it",
                addr.port()
            )
        );
    }
}
