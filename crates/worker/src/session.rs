//! The worker's session with its scheduler: login, one token for all calls, and a new login when a call is refused with 401. Logins are
//! serialised: of several calls that are refused at the same moment one logs in and the others use what it got. It holds the token
//! and shows it to nobody.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};

use alloy_primitives::Address;
use alloy_signer_local::PrivateKeySigner;
use tokio::sync::Mutex;
use wire::error::ClientError;
use wire::message::Signature;
use wire::scheduler::SchedulerClient;
use wire::token::Token;

/// Who this worker is to the scheduler. Shared by all its tasks.
#[derive(Debug)]
pub struct Session {
    client: SchedulerClient,
    signer: PrivateKeySigner,
    token: Mutex<Option<Token>>,
    logins: AtomicU64,
}

impl Session {
    /// A session that is not logged in yet.
    #[must_use]
    pub fn new(client: SchedulerClient, signer: PrivateKeySigner) -> Self {
        Self {
            client,
            signer,
            token: Mutex::new(None),
            logins: AtomicU64::new(0),
        }
    }

    /// The scheduler's client, for calls that need no token.
    #[must_use]
    pub fn client(&self) -> &SchedulerClient {
        &self.client
    }

    /// The worker's wallet.
    #[must_use]
    pub fn wallet(&self) -> Address {
        self.signer.address()
    }

    /// How often it logged in: a scheduler that wanted a new login may have forgotten more than the token.
    #[must_use]
    pub fn logins(&self) -> u64 {
        self.logins.load(Ordering::Relaxed)
    }

    /// Calls with the token; once more with a new one when the scheduler does not accept it any more.
    ///
    /// # Errors
    /// What the call, or the login before it, came to.
    pub async fn call<T, F>(
        &self,
        call: impl Fn(SchedulerClient, Token) -> F,
    ) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let token = self.token(None).await?;
        match call(self.client.clone(), token.clone()).await {
            Err(error) if error.wants_login() => {
                let token = self.token(Some(&token)).await?;
                call(self.client.clone(), token).await
            }
            answer => answer,
        }
    }

    /// A token other than `refused`.
    ///
    /// # Errors
    /// The login failed.
    pub async fn token(&self, refused: Option<&Token>) -> Result<Token, ClientError> {
        // Held over the login, so that there is one at a time.
        let mut token = self.token.lock().await;
        match token.as_ref() {
            Some(token) if Some(token) != refused => Ok(token.clone()),
            _ => {
                *token = None;
                let new = self.login().await?;
                *token = Some(new.clone());
                Ok(new)
            }
        }
    }

    async fn login(&self) -> Result<Token, ClientError> {
        let wallet = self.signer.address();
        let challenge = self.client.challenge(wallet).await?;
        if !poco::login::is_challenge(&challenge) {
            return Err(ClientError::NotUnderstood {
                url: self.client.base().to_string(),
                expected: "login challenge",
                problem: "it is not 32 bytes in base64, and this wallet signs nothing else"
                    .to_owned(),
                body: challenge.chars().take(60).collect(),
            });
        }
        // The challenge is Base64 text and is read as if it were hexadecimal (spec scheduler-api §2.2).
        let signed = poco::signing::sign_raw(&self.signer, poco::login::digest(&challenge));
        let signature = signed.map_err(|error| ClientError::NotSendable {
            url: self.client.base().to_string(),
            problem: error.to_string(),
        })?;
        let token = self
            .client
            .login(wallet, &Signature::from(signature))
            .await?;
        self.logins.fetch_add(1, Ordering::Relaxed);
        tracing::info!(worker = poco::hex::lower(&wallet), scheduler = %self.client.base(), "logged in");
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use axum::Router;
    use axum::extract::State;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::{get, post};

    use super::*;

    #[tokio::test]
    async fn a_scheduler_that_means_ill_gets_nothing_signed_but_challenges() {
        async fn unsigned_transaction() -> &'static str {
            "ec098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080018080"
        }
        async fn login() -> StatusCode {
            panic!("a signature was sent")
        }
        let router = Router::new()
            .route("/workers/challenge", get(unsigned_transaction))
            .route("/workers/login", post(login));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let client = SchedulerClient::new(url.parse().unwrap()).unwrap();
        let session = Session::new(client, PrivateKeySigner::random());
        let refused = session.token(None).await.unwrap_err();
        assert!(
            matches!(refused, ClientError::NotUnderstood { .. }),
            "{refused}"
        );
    }

    /// A scheduler that gives a new token for every login and accepts the last one only.
    async fn scheduler(logins: Arc<AtomicUsize>) -> SchedulerClient {
        async fn ping(
            State(logins): State<Arc<AtomicUsize>>,
            headers: HeaderMap,
        ) -> Result<&'static str, StatusCode> {
            let wanted = format!("Bearer token-{}", logins.load(Ordering::SeqCst).max(1));
            let given = headers
                .get("authorization")
                .and_then(|value| value.to_str().ok());
            if given == Some(wanted.as_str()) {
                Ok("0xhash")
            } else {
                Err(StatusCode::UNAUTHORIZED)
            }
        }
        async fn login(State(logins): State<Arc<AtomicUsize>>) -> String {
            format!("token-{}", logins.fetch_add(1, Ordering::SeqCst) + 1)
        }
        let router = Router::new()
            .route(
                "/workers/challenge",
                get(|| async { "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" }),
            )
            .route("/workers/login", post(login))
            .route("/workers/ping", post(ping))
            .with_state(logins);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        SchedulerClient::new(url.parse().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_refused_token_leads_to_one_new_login_for_all_who_were_refused() {
        let logins = Arc::new(AtomicUsize::new(0));
        let session = Session::new(
            scheduler(Arc::clone(&logins)).await,
            PrivateKeySigner::random(),
        );
        let ping = || session.call(|client, token| async move { client.ping(&token).await });
        assert_eq!(ping().await.unwrap(), "0xhash");
        assert_eq!(logins.load(Ordering::SeqCst), 1);
        // The scheduler was restarted: it knows no token any more.
        logins.store(5, Ordering::SeqCst);
        let (one, two, three) = tokio::join!(ping(), ping(), ping());
        assert!(one.is_ok() && two.is_ok() && three.is_ok());
        assert_eq!(logins.load(Ordering::SeqCst), 6);
    }
}
