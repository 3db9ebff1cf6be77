//! Taking connections that begin with a handshake. Handshakes run beside each other: who says nothing keeps nobody waiting, and not for long.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the original's server answers to plain HTTP where it speaks TLS.
const TLS_IS_SPOKEN_HERE: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: 62\r\nConnection: close\r\n\r\n\
     Bad Request\r\nThis combination of host and port requires TLS.\r\n";

/// A connection and whose it is.
type Ready = (TlsStream<TcpStream>, SocketAddr);

/// A listener that gives connections whose handshake is done.
pub(crate) struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    /// Ends with the listener.
    handshakes: JoinSet<Option<Ready>>,
}

impl TlsListener {
    pub(crate) fn new(listener: TcpListener, acceptor: TlsAcceptor) -> Self {
        Self {
            listener,
            acceptor,
            handshakes: JoinSet::new(),
        }
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Ready {
        loop {
            tokio::select! {
                (connection, peer) = Listener::accept(&mut self.listener) => {
                    let acceptor = self.acceptor.clone();
                    self.handshakes.spawn(shake_hands(acceptor, connection, peer));
                }
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(ready)) = done {
                        return ready;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

async fn shake_hands(
    acceptor: TlsAcceptor,
    connection: TcpStream,
    peer: SocketAddr,
) -> Option<Ready> {
    let handshake = async {
        // A connection that refuses this is broken, and read will tell.
        let _ = connection.set_nodelay(true);
        let mut beginning = [0];
        connection.peek(&mut beginning).await?;
        // Methods are letters; a handshake begins with the byte 22.
        let [first] = beginning;
        if first.is_ascii_alphabetic() {
            refuse_plain(connection).await?;
            return Err(io::Error::other("plain HTTP"));
        }
        acceptor.accept(connection).await
    };
    let done = tokio::time::timeout(PATIENCE, handshake)
        .await
        .unwrap_or_else(|late| Err(late.into()));
    match done {
        Ok(connection) => Some((connection, peer)),
        // Strangers and port scanners do this all day.
        Err(error) => {
            tracing::debug!(%peer, %error, "no TLS handshake");
            None
        }
    }
}

/// Says why to somebody who speaks plain HTTP.
async fn refuse_plain(mut connection: TcpStream) -> io::Result<()> {
    // Closing on what was not read would reset the connection, and take the answer with it.
    let mut request = [0; 8192];
    let _ = connection.read(&mut request).await?;
    connection.write_all(TLS_IS_SPOKEN_HERE.as_bytes()).await?;
    connection.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_as_long_as_it_says() {
        let (_, body) = TLS_IS_SPOKEN_HERE.split_once("\r\n\r\n").unwrap();
        assert!(TLS_IS_SPOKEN_HERE.contains(&format!("Content-Length: {}\r\n", body.len())));
    }
}
