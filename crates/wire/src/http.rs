//! One exchange with a service: repeats where that is safe, limits of time, and errors with a kind. What an answer means is
//! for the clients built on it.

use std::error::Error as _;
use std::time::Duration;

use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use reqwest::redirect::Policy;
use reqwest::{Body, Client, ClientBuilder, Method, StatusCode};
use serde::de::DeserializeOwned;
use url::Url;

use crate::error::ClientError;
use crate::reach::{self, Reach};

/// Time to make a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Time for a whole answer, unless the call says otherwise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Times an exchange is tried.
const ATTEMPTS: u32 = 5;
/// Pause before the second try; each further one is half as long again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Bytes of a body that are taken: no answer of the protocol comes near, and a service may be a stranger's.
const LONGEST: usize = 16 << 20;
/// Bytes of a body shown in errors.
const SHOWN: usize = 300;

/// Whether an exchange that may have arrived is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Doing it twice is the same as doing it once.
    Safe,
    /// Only what cannot have arrived is tried again.
    IfNotArrived,
}

/// The HTTP side of one service.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    base: Url,
    client: Client,
    first_pause: Duration,
}

/// What is sent with a question, as JSON.
pub(crate) enum Payload<'a> {
    /// In memory.
    Bytes(Vec<u8>),
    /// Made piece by piece, anew for every try.
    Stream {
        /// How many bytes.
        length: u64,
        /// Makes it.
        make: &'a (dyn Fn() -> Body + Send + Sync),
    },
}

/// What to ask.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    /// Begins with `/`.
    pub(crate) path: &'a str,
    pub(crate) query: &'a [(&'a str, String)],
    pub(crate) headers: &'a [(&'static str, String)],
    pub(crate) body: Option<Payload<'a>>,
    pub(crate) patience: Duration,
    pub(crate) repeat: Repeat,
}

impl<'a> Request<'a> {
    pub(crate) fn get(path: &'a str) -> Self {
        Self {
            method: Method::GET,
            path,
            query: &[],
            headers: &[],
            body: None,
            patience: PATIENCE,
            repeat: Repeat::Safe,
        }
    }

    pub(crate) fn post(path: &'a str, repeat: Repeat) -> Self {
        Self {
            method: Method::POST,
            repeat,
            ..Self::get(path)
        }
    }
}

/// What was answered, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) url: String,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// What all clients are: authorizations and archives go where the operator or the deal says, and not where an answer points them,
/// so a redirect is an error like any other status.
fn builder() -> ClientBuilder {
    Client::builder()
        .connect_timeout(CONNECT)
        .redirect(Policy::none())
}

impl Peer {
    pub(crate) fn new(base: Url) -> Result<Self, ClientError> {
        Self::by(builder(), base)
    }

    /// A service that a stranger named.
    pub(crate) fn of_stranger(base: Url, reach: &Reach) -> Result<Self, ClientError> {
        reach.check(&base).map_err(|refusal| ClientError::Refused {
            url: shown(&base),
            problem: refusal.to_string(),
        })?;
        Self::by(reach.client().connect_timeout(CONNECT), base)
    }

    fn by(builder: ClientBuilder, base: Url) -> Result<Self, ClientError> {
        let client = builder.build().map_err(|error| ClientError::NotSendable {
            url: shown(&base),
            problem: root_of(&error),
        })?;
        Ok(Self {
            base,
            client,
            first_pause: FIRST_PAUSE,
        })
    }

    pub(crate) const fn base(&self) -> &Url {
        &self.base
    }

    /// The base and `path`; a trailing slash or a path prefix of the base is kept in its place.
    pub(crate) fn url(&self, path: &str, query: &[(&str, String)]) -> Result<Url, ClientError> {
        let text = format!("{}{path}", self.base.as_str().trim_end_matches('/'));
        let mut url = Url::parse(&text).map_err(|error| ClientError::NotSendable {
            url: text.clone(),
            problem: error.to_string(),
        })?;
        if !query.is_empty() {
            url.query_pairs_mut()
                .extend_pairs(query.iter().map(|(name, value)| (*name, value)));
        }
        Ok(url)
    }

    /// Asks, and asks again where that is safe. Any status is an answer.
    pub(crate) async fn ask(&self, request: &Request<'_>) -> Result<Answer, ClientError> {
        let url = self.url(request.path, request.query)?;
        let mut pause = self.first_pause;
        let mut attempt = 1;
        loop {
            let error = match self.ask_once(&url, request).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let again = match &error {
                ClientError::Unreachable { .. } => true,
                ClientError::Broken { .. } => request.repeat == Repeat::Safe,
                _ => false,
            };
            if !again || attempt == ATTEMPTS {
                return Err(error);
            }
            tracing::debug!(url = shown(&url), attempt, %error, "asking again");
            tokio::time::sleep(pause).await;
            pause = pause * 3 / 2;
            attempt += 1;
        }
    }

    async fn ask_once(&self, url: &Url, request: &Request<'_>) -> Result<Answer, ClientError> {
        let failed = |error: &reqwest::Error| failure(url, request.patience, error);
        let mut builder = self
            .client
            .request(request.method.clone(), url.clone())
            .timeout(request.patience);
        for (name, value) in request.headers {
            builder = builder.header(*name, value);
        }
        if request.body.is_some() {
            builder = builder.header(CONTENT_TYPE, "application/json");
        }
        builder = match &request.body {
            // Java clients say that nothing follows, and some proxies insist on being told.
            None if request.method == Method::POST => builder.header(CONTENT_LENGTH, 0),
            None => builder,
            Some(Payload::Bytes(bytes)) => builder.body(bytes.clone()),
            Some(Payload::Stream { length, make }) => {
                builder.header(CONTENT_LENGTH, *length).body(make())
            }
        };
        let mut response = builder.send().await.map_err(|error| failed(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| failed(&error))? {
            if body.len() + piece.len() > LONGEST {
                return Err(ClientError::Broken {
                    url: shown(url),
                    problem: format!("the answer is longer than {LONGEST} bytes"),
                });
            }
            body.extend_from_slice(&piece);
        }
        Ok(Answer {
            url: shown(url),
            status,
            headers,
            body,
        })
    }
}

impl Answer {
    /// Itself when its status is 2xx, else the error that the status is.
    pub(crate) fn success(self) -> Result<Self, ClientError> {
        let url = self.url.clone();
        match self.status.as_u16() {
            200..=299 => Ok(self),
            401 => Err(ClientError::Unauthorized { url }),
            503 => Err(ClientError::Unavailable { url }),
            status => Err(ClientError::Status {
                url,
                status,
                body: self.beginning(),
            }),
        }
    }

    /// The body as JSON.
    pub(crate) fn json<T: DeserializeOwned>(
        &self,
        expected: &'static str,
    ) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| self.not_understood(expected, error.to_string()))
    }

    /// The body as bare text, which may not be empty.
    pub(crate) fn text(&self, expected: &'static str) -> Result<String, ClientError> {
        match std::str::from_utf8(&self.body) {
            Ok("") => Err(self.not_understood(expected, "it is empty".to_owned())),
            Ok(text) => Ok(text.to_owned()),
            Err(error) => Err(self.not_understood(expected, error.to_string())),
        }
    }

    pub(crate) fn not_understood(&self, expected: &'static str, problem: String) -> ClientError {
        ClientError::NotUnderstood {
            url: self.url.clone(),
            expected,
            problem,
            body: self.beginning(),
        }
    }

    fn beginning(&self) -> String {
        let shown = self.body.get(..SHOWN).unwrap_or(&self.body);
        String::from_utf8_lossy(shown).trim().to_owned()
    }
}

/// `value` as a JSON body.
pub(crate) fn json_body<T: serde::Serialize>(
    path: &str,
    value: &T,
) -> Result<Option<Payload<'static>>, ClientError> {
    serde_json::to_vec(value)
        .map(|bytes| Some(Payload::Bytes(bytes)))
        .map_err(|error| ClientError::NotSendable {
            url: path.to_owned(),
            problem: error.to_string(),
        })
}

fn failure(url: &Url, patience: Duration, error: &reqwest::Error) -> ClientError {
    let (url, problem) = (shown(url), root_of(error));
    if reach::refusal_in(error).is_some() {
        ClientError::Refused { url, problem }
    } else if error.is_connect() {
        ClientError::Unreachable { url, problem }
    } else if error.is_timeout() {
        ClientError::TimedOut {
            url,
            after: patience,
        }
    } else if error.is_builder() {
        ClientError::NotSendable { url, problem }
    } else {
        ClientError::Broken { url, problem }
    }
}

/// A URL for people: what it may carry of a password stays out of errors and logs.
pub fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // Only of what has no host, and then there is nothing to hide.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

/// The innermost cause: the outer ones only say that sending failed, and repeat the URL.
fn root_of(error: &reqwest::Error) -> String {
    let mut root = error.source();
    while let Some(inner) = root.and_then(std::error::Error::source) {
        root = Some(inner);
    }
    root.map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
pub(crate) mod tests {
    //! Services for the tests of clients: on a port of their own, each for one test.

    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_password_in_a_url_is_in_no_error() {
        let (base, _) = breaking_service().await;
        let base = base.as_str().replace("http://", "http://ann:secret@");
        let peer = client_of(Url::parse(&base).unwrap());
        let error = peer.ask(&Request::post("/x", Repeat::IfNotArrived)).await;
        let text = format!("{:?}", error.unwrap_err());
        assert!(text.contains("/x") && !text.contains("secret"), "{text}");
        let nowhere = client_of(Url::parse("http://ann:secret@127.0.0.1:1").unwrap());
        let error = nowhere.ask(&Request::get("/x")).await.unwrap_err();
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }

    /// A client that does not pause between tries, and sees no proxy of the machine it runs on.
    pub(crate) fn client_of(base: Url) -> Peer {
        let client = builder().no_proxy().build().unwrap();
        Peer {
            base,
            client,
            first_pause: Duration::ZERO,
        }
    }

    /// Serves `routes` until the test ends.
    pub(crate) async fn service(routes: Router) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        base
    }

    /// Takes every request and closes the connection without an answer; counts them.
    pub(crate) async fn breaking_service() -> (Url, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        tokio::spawn(async move {
            loop {
                let (mut connection, _) = listener.accept().await.unwrap();
                if matches!(connection.read(&mut [0; 4096]).await, Ok(1..)) {
                    count.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        (base, asked)
    }
}
