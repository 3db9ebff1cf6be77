//! One kept connection that repeats one request: HTTP/1.1 with as little work on this side as can be, so that on a small machine the
//! scheduler is what is measured. One question is under way at a time; answers are read whole.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The end of an answer's head.
const END_OF_HEAD: &[u8] = b"\r\n\r\n";
/// An answer's head is never this long.
const LONGEST_HEAD: usize = 64 << 10;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] std::io::Error),
    /// It was closed before the answer was whole.
    #[error("the connection was closed in the middle of an answer")]
    Closed,
    /// What came is not what a scheduler answers.
    #[error("the answer is not understood: {0}")]
    NotUnderstood(&'static str),
}

/// A connection that is kept.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

/// An answer's head, as far as it matters.
struct Head {
    status: u16,
    /// Bytes of the head, its end included.
    length: usize,
    /// Bytes of the body.
    body: usize,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn open(address: SocketAddr) -> Result<Self, ConnectionError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            read: Vec::with_capacity(4096),
        })
    }

    /// Sends the bytes of a request and returns the status of its answer.
    ///
    /// # Errors
    /// When there is no whole answer; the connection is of no use then.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<u16, ConnectionError> {
        self.stream.write_all(request).await?;
        self.read.clear();
        loop {
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err(ConnectionError::Closed);
            }
            if let Some(head) = head(&self.read)?
                && self.read.len() >= head.length + head.body
            {
                return Ok(head.status);
            }
        }
    }
}

/// The head, once it is whole.
fn head(bytes: &[u8]) -> Result<Option<Head>, ConnectionError> {
    let Some(end) = bytes
        .windows(END_OF_HEAD.len())
        .position(|window| window == END_OF_HEAD)
    else {
        if bytes.len() > LONGEST_HEAD {
            return Err(ConnectionError::NotUnderstood("its head does not end"));
        }
        return Ok(None);
    };
    let text = std::str::from_utf8(bytes.get(..end).unwrap_or_default())
        .map_err(|_| ConnectionError::NotUnderstood("its head is not text"))?;
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|status| status.parse().ok())
        .ok_or(ConnectionError::NotUnderstood("it has no status"))?;
    let mut body = 0;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            body = value
                .trim()
                .parse()
                .map_err(|_| ConnectionError::NotUnderstood("its length is no number"))?;
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(ConnectionError::NotUnderstood("it comes in chunks"));
        }
    }
    Ok(Some(Head {
        status,
        length: end + END_OF_HEAD.len(),
        body,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        assert!(
            head(b"HTTP/1.1 204 No Content\r\ndate: x\r\n")
                .unwrap()
                .is_none()
        );
        let whole = head(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")
            .unwrap()
            .unwrap();
        assert_eq!((whole.status, whole.length, whole.body), (200, 38, 5));
        assert!(head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
        assert!(head(b"nothing\r\n\r\n").is_err());
    }

    #[tokio::test]
    async fn an_answer_that_comes_in_pieces_is_read_whole_and_the_connection_serves_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut got = [0; 4];
            for _ in 0..2 {
                stream.read_exact(&mut got).await.unwrap();
                for piece in ["HTTP/1.1 200 OK\r\ncontent-", "length: 4\r\n\r\nab", "cd"] {
                    stream.write_all(piece.as_bytes()).await.unwrap();
                    stream.flush().await.unwrap();
                    tokio::task::yield_now().await;
                }
            }
        });
        let mut connection = Connection::open(address).await.unwrap();
        assert_eq!(connection.exchange(b"ask?").await.unwrap(), 200);
        assert_eq!(connection.exchange(b"ask?").await.unwrap(), 200);
        assert!(matches!(
            connection.exchange(b"ask?").await,
            Err(ConnectionError::Closed | ConnectionError::Broken(_))
        ));
    }
}
