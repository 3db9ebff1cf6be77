//! What somebody who means ill could try with logins, challenges and tokens.

use alloy_signer_local::PrivateKeySigner;
use store::Identity;

use super::*;

const CHAIN: u64 = 134;

struct Pool {
    folder: tempfile::TempDir,
}

impl Pool {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// The logins of a process that lets these wallets in.
    async fn auth(&self, allowed: &[Address]) -> Arc<Auth> {
        let identity = Identity {
            role: "scheduler".into(),
            chain_id: CHAIN,
            hub: Address::ZERO,
            pool: None,
        };
        let store = Store::open(self.folder.path(), &identity).unwrap();
        Auth::open(store, CHAIN, allowed.iter().copied().collect(), "9.3.0")
            .await
            .unwrap()
    }
}

fn key(number: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_slice(&[number; 32]).unwrap()
}

fn signed(by: &PrivateKeySigner, challenge: &str) -> String {
    signing::sign_raw(by, poco::login::digest(challenge))
        .unwrap()
        .to_string()
}

async fn log_in(auth: &Auth, worker: &PrivateKeySigner) -> String {
    let challenge = auth
        .worker_challenge(worker.address())
        .await
        .unwrap()
        .unwrap();
    let signature = signed(worker, &challenge);
    match auth.login(worker.address(), &signature).await.unwrap() {
        Login::Token(token) => format!("Bearer {token}"),
        Login::Refused => panic!("the login is refused"),
    }
}

#[tokio::test]
async fn a_signature_that_was_overheard_logs_nobody_in_again() {
    let pool = Pool::new();
    let auth = pool.auth(&[]).await;
    let ann = key(1);
    let challenge = auth.worker_challenge(ann.address()).await.unwrap().unwrap();
    let signature = signed(&ann, &challenge);
    assert!(matches!(
        auth.login(ann.address(), &signature).await.unwrap(),
        Login::Token(_)
    ));
    auth.answered.forget();
    assert_eq!(
        auth.login(ann.address(), &signature).await.unwrap(),
        Login::Refused
    );
    // Neither against the next challenge, nor after a restart.
    let next = auth.worker_challenge(ann.address()).await.unwrap().unwrap();
    assert_ne!(next, challenge);
    assert_eq!(
        auth.login(ann.address(), &signature).await.unwrap(),
        Login::Refused
    );
    drop(auth);
    let auth = pool.auth(&[]).await;
    assert_eq!(
        auth.login(ann.address(), &signature).await.unwrap(),
        Login::Refused
    );
}

#[tokio::test]
async fn a_login_whose_answer_was_lost_succeeds_again() {
    let pool = Pool::new();
    let auth = pool.auth(&[]).await;
    let ann = key(1);
    let challenge = auth.worker_challenge(ann.address()).await.unwrap().unwrap();
    let signature = signed(&ann, &challenge);
    let tries = (0..20).map(|_| auth.login(ann.address(), &signature));
    for login in futures_util::future::join_all(tries).await {
        assert!(matches!(login, Ok(Login::Token(_))));
    }
    // Also when the next challenge was asked for meanwhile.
    auth.worker_challenge(ann.address()).await.unwrap();
    let again = auth.login(ann.address(), &signature).await.unwrap();
    assert!(matches!(again, Login::Token(_)));
    // A wallet that was taken off the list stays off it.
    drop(auth);
    let other = pool.auth(&[Address::repeat_byte(9)]).await;
    let refused = other.login(ann.address(), &signature).await.unwrap();
    assert_eq!(refused, Login::Refused);
}

#[tokio::test]
async fn nobody_logs_in_with_the_challenge_or_the_signature_of_another() {
    let pool = Pool::new();
    let auth = pool.auth(&[]).await;
    let (ann, eve) = (key(1), key(2));
    let for_ann = auth.worker_challenge(ann.address()).await.unwrap().unwrap();
    // Eve signs what Ann was to sign; Eve has Ann's signature; nobody asked at all.
    assert_eq!(
        auth.login(ann.address(), &signed(&eve, &for_ann))
            .await
            .unwrap(),
        Login::Refused
    );
    let anns = signed(&ann, &for_ann);
    assert_eq!(
        auth.login(eve.address(), &anns).await.unwrap(),
        Login::Refused
    );
    let of_eve = auth.worker_challenge(eve.address()).await.unwrap().unwrap();
    assert_eq!(
        auth.login(eve.address(), &anns).await.unwrap(),
        Login::Refused
    );
    assert_eq!(
        auth.login(eve.address(), &signed(&ann, &of_eve))
            .await
            .unwrap(),
        Login::Refused
    );
    // None of this used up Ann's challenge.
    assert!(matches!(
        auth.login(ann.address(), &anns).await.unwrap(),
        Login::Token(_)
    ));
}

#[tokio::test]
async fn the_challenge_for_reading_logs_logs_nobody_in_and_the_other_way_round() {
    let pool = Pool::new();
    let auth = pool.auth(&[]).await;
    let ann = key(1);
    let reading = auth.logs_challenge(ann.address()).await.unwrap();
    let login = auth.worker_challenge(ann.address()).await.unwrap().unwrap();
    assert_ne!(reading.text, login);
    let of_reading = signed(&ann, &reading.text);
    assert_eq!(
        auth.login(ann.address(), &of_reading).await.unwrap(),
        Login::Refused
    );
    let as_reading = Challenge::of_scheduler(CHAIN, login);
    let signature = signing::sign_raw(&ann, as_reading.digest()).unwrap();
    let token = Token::new(&as_reading, &signature, ann.address()).to_string();
    assert_eq!(
        auth.may_read_logs(&token, Some(ann.address())),
        Err(LogsDenied::NotProven)
    );
}

#[tokio::test]
async fn a_logs_token_of_another_chain_reads_nothing() {
    let pool = Pool::new();
    let auth = pool.auth(&[]).await;
    let ann = key(1);
    let text = auth.logs_challenge(ann.address()).await.unwrap().text;
    let read = |chain| {
        let challenge = Challenge::of_scheduler(chain, text.clone());
        let signature = signing::sign_raw(&ann, challenge.digest()).unwrap();
        let token = Token::new(&challenge, &signature, ann.address()).to_string();
        auth.may_read_logs(&token, Some(ann.address()))
    };
    assert_eq!(read(CHAIN), Ok(()));
    assert_eq!(read(CHAIN + 1), Err(LogsDenied::NotProven));
}

#[tokio::test]
async fn two_sessions_of_one_wallet_are_both_good() {
    // As in the original: the second login ends nothing, so that a worker that logs in twice at its start works.
    let pool = Pool::new();
    let auth = pool.auth(&[]).await;
    let ann = key(1);
    let first = log_in(&auth, &ann).await;
    let second = log_in(&auth, &ann).await;
    assert_eq!(auth.worker(&first), Ok(ann.address()));
    assert_eq!(auth.worker(&second), Ok(ann.address()));
}

#[tokio::test]
async fn a_wallet_that_is_taken_off_the_list_is_out_at_once() {
    let pool = Pool::new();
    let (ann, bob) = (key(1), key(2));
    let auth = pool.auth(&[ann.address(), bob.address()]).await;
    let (anns, bobs) = (log_in(&auth, &ann).await, log_in(&auth, &bob).await);
    drop(auth);
    let auth = pool.auth(&[bob.address()]).await;
    assert_eq!(auth.worker(&anns), Err(TokenError::TakenOff));
    assert_eq!(auth.worker(&bobs), Ok(bob.address()));
}

#[tokio::test]
async fn a_challenge_of_a_wallet_that_was_taken_off_the_list_is_worth_nothing() {
    let pool = Pool::new();
    let ann = key(1);
    let auth = pool.auth(&[]).await;
    let challenge = auth.worker_challenge(ann.address()).await.unwrap().unwrap();
    drop(auth);
    let auth = pool.auth(&[key(2).address()]).await;
    assert_eq!(
        auth.login(ann.address(), &signed(&ann, &challenge))
            .await
            .unwrap(),
        Login::Refused
    );
}
