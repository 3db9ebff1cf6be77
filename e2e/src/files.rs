//! A file server of a stranger: datasets and input files of deals.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// Somebody's file server on this machine, and the paths that it was asked for.
#[derive(Debug)]
pub struct Files {
    base: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Files {
    /// Serves these bodies by their paths; any other path redirects to itself for ever. The first time that a body of `/slow` is asked
    /// for, half of it comes and then nothing more. It runs until the process ends.
    ///
    /// # Errors
    /// When this machine gives no port.
    pub fn serve(bodies: &[(&str, &str)]) -> std::io::Result<Self> {
        let bodies: BTreeMap<String, String> = bodies
            .iter()
            .map(|(path, body)| ((*path).to_owned(), (*body).to_owned()))
            .collect();
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let base = format!("http://{}", listener.local_addr()?);
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let list = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for connection in listener.incoming().flatten() {
                held.extend(answer(connection, &bodies, &list));
            }
        });
        Ok(Self { base, asked })
    }

    /// The URL of this path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Where it is, without a slash.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// All paths that were asked for, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Answers one request. Returns the connection when half of the answer is still owed.
fn answer(
    mut connection: TcpStream,
    bodies: &BTreeMap<String, String>,
    asked: &Mutex<Vec<String>>,
) -> Option<TcpStream> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && matches!(connection.read(&mut byte), Ok(1)) {
        request.extend_from_slice(&byte);
    }
    let request = String::from_utf8_lossy(&request);
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let answer = match bodies.get(&path) {
        Some(body) => format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        ),
        None => format!(
            "HTTP/1.1 302 Found\r\nlocation: {path}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        ),
    };
    let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
    let half = path.starts_with("/slow") && !asked.contains(&path);
    asked.push(path);
    drop(asked);
    let owed = if half { 5 } else { 0 };
    let (now, _later) = answer.as_bytes().split_at(answer.len() - owed);
    // A client that has gone away is no fault of the server.
    let _gone = connection.write_all(now);
    half.then_some(connection)
}
