//! The tokens by which uploaders are known: one a wallet, kept in the database, signed with a key from a file.
//!
//! Form and rules are those of spec result-proxy §4.2, so that a key file and its tokens can be taken over from a Java
//! proxy. A token never expires, unless the operator wants it to: then another is given when it is old, and the old one stays good for
//! a while, because whoever got it may still be computing (§13). This module does not decide who gets one.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use alloy_primitives::Address;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use poco::units::Timestamp;
use rand::TryRngCore as _;
use serde::{Deserialize, Serialize};
use store::{Batch, Collection, Store, StoreError};

use crate::clock;

/// How long an old token stays good: longer than the longest category of the network takes.
const GRACE: Duration = Duration::from_secs(3 * 86_400);
/// Bytes of a key that is made here.
const KEY_BYTES: usize = 128;
/// Fewest bytes that HS256 may be used with.
const FEWEST_KEY_BYTES: usize = 32;

/// The key that signs tokens cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or made.
    #[error("the key file {path} (JWT_KEYPATH) cannot be {what}: {source}")]
    File {
        /// The key file.
        path: PathBuf,
        /// `read` or `written`.
        what: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file holds something else.
    #[error(
        "the key file {path} (JWT_KEYPATH) must hold at least {FEWEST_KEY_BYTES} bytes as Base64 text; restore it from a backup, or remove it to have a new key made (every token issued so far becomes invalid)"
    )]
    NotAKey {
        /// The key file.
        path: PathBuf,
    },
}

/// A token could not be issued or looked up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a token could not be signed: {0}")]
    Signing(#[from] jsonwebtoken::errors::Error),
}

/// Claims in the order in which they are written.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    /// The wallet, spelled as in the request that was first answered with a token.
    aud: String,
    /// Seconds since the epoch.
    iat: u64,
    /// A random UUID.
    sub: String,
}

/// The stored token of a wallet; its key is the wallet in lower case.
#[derive(Debug, Serialize, Deserialize)]
struct TokenRecord {
    token: String,
    /// The one before it, for as long as it is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<String>,
}

/// Issues and checks tokens.
pub(crate) struct Tokens {
    store: Store,
    signing: EncodingKey,
    checking: DecodingKey,
    rules: Validation,
    /// How old a token becomes before another is given.
    age: Option<Duration>,
    /// Two logins of one wallet at once must get the same token.
    issuing: tokio::sync::Mutex<()>,
}

impl Tokens {
    /// Tokens signed with the key in `key_file`, which is made if it is missing. Blocks.
    /// With `age`, one that is older is replaced.
    pub(crate) fn open(
        store: Store,
        key_file: &Path,
        age: Option<Duration>,
    ) -> Result<Self, KeyError> {
        let key = read_or_make_key(key_file)?;
        let mut rules = Validation::new(Algorithm::HS256);
        rules.required_spec_claims.clear();
        rules.validate_exp = false;
        rules.validate_aud = false;
        Ok(Self {
            store,
            signing: EncodingKey::from_secret(&key),
            checking: DecodingKey::from_secret(&key),
            rules,
            age,
            issuing: tokio::sync::Mutex::new(()),
        })
    }

    /// The wallet's token: the stored one while the key verifies it, else a new one. `spelled` is the wallet as its owner
    /// wrote it.
    pub(crate) async fn issue(&self, wallet: Address, spelled: &str) -> Result<String, TokenError> {
        self.issue_at(clock::now(), wallet, spelled).await
    }

    async fn issue_at(
        &self,
        now: Timestamp,
        wallet: Address,
        spelled: &str,
    ) -> Result<String, TokenError> {
        let _one_at_a_time = self.issuing.lock().await;
        let key = poco::hex::lower(&wallet);
        let stored = self.stored(&key).await?.map(|record| record.token);
        let stored = stored.and_then(|token| Some((self.claims(&token)?, token)));
        let previous = match stored {
            Some((claims, token)) if !self.is_older(&claims, now, Duration::ZERO) => {
                return Ok(token);
            }
            other => other.map(|(_, token)| token),
        };
        let claims = Claims {
            aud: spelled.to_owned(),
            iat: now.as_secs(),
            sub: uuid::Uuid::new_v4().to_string(),
        };
        let mut header = Header::new(Algorithm::HS256);
        header.typ = None;
        let token = jsonwebtoken::encode(&header, &claims, &self.signing)?;
        let record = TokenRecord {
            token: token.clone(),
            previous,
        };
        self.store
            .commit(Batch::new().put(Collection::Tokens, key, &record))
            .await?;
        Ok(token)
    }

    /// The wallet whose token this is; `None` unless our key signed it and it is the one that is stored.
    pub(crate) async fn wallet_of(&self, token: &str) -> Result<Option<Address>, TokenError> {
        self.wallet_at(clock::now(), token).await
    }

    async fn wallet_at(&self, now: Timestamp, token: &str) -> Result<Option<Address>, TokenError> {
        let Some(claims) = self.claims(token) else {
            return Ok(None);
        };
        if self.is_older(&claims, now, GRACE) {
            return Ok(None);
        }
        let Ok(wallet) = poco::hex::address(&claims.aud) else {
            return Ok(None);
        };
        let stored = self.stored(&poco::hex::lower(&wallet)).await?;
        let is_one_of = |record: &TokenRecord| {
            record.token == token || record.previous.as_deref() == Some(token)
        };
        Ok(stored
            .is_some_and(|record| is_one_of(&record))
            .then_some(wallet))
    }

    /// Whether the token has been good for its time, and for so long beyond it.
    fn is_older(&self, claims: &Claims, now: Timestamp, beyond: Duration) -> bool {
        self.age.is_some_and(|age| {
            let until = claims.iat.saturating_add((age + beyond).as_secs());
            now.as_secs() >= until
        })
    }

    async fn stored(&self, wallet: &str) -> Result<Option<TokenRecord>, StoreError> {
        self.store.get(Collection::Tokens, wallet).await
    }

    fn claims(&self, token: &str) -> Option<Claims> {
        jsonwebtoken::decode::<Claims>(token, &self.checking, &self.rules)
            .ok()
            .map(|token| token.claims)
    }
}

fn read_or_make_key(path: &Path) -> Result<Vec<u8>, KeyError> {
    let failed = |what| {
        move |source| KeyError::File {
            path: path.to_path_buf(),
            what,
            source,
        }
    };
    match std::fs::read_to_string(path) {
        // A line end after the text is forgiven; Java refuses to start over it.
        Ok(text) => match BASE64.decode(text.trim()) {
            Ok(key) if key.len() >= FEWEST_KEY_BYTES => Ok(key),
            _ => Err(KeyError::NotAKey {
                path: path.to_path_buf(),
            }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_key(path).map_err(failed("written"))
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(KeyError::NotAKey {
            path: path.to_path_buf(),
        }),
        Err(error) => Err(failed("read")(error)),
    }
}

/// Makes a key and its file, readable by this user only. The file is never there half written.
fn make_key(path: &Path) -> io::Result<Vec<u8>> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder)?;
    let mut key = vec![0; KEY_BYTES];
    rand::rngs::OsRng
        .try_fill_bytes(&mut key)
        .map_err(io::Error::other)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(BASE64.encode(&key).as_bytes())?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path)
        .map_err(|failed| failed.error)?;
    std::fs::File::open(folder)?.sync_all()?;
    tracing::info!(path = %path.display(), "made a key for tokens");
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALLET: &str = "0x87ae2b87b5db23830572988fb1f51242fbc471ce";

    struct World {
        folder: tempfile::TempDir,
        store: Store,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let identity = store::Identity {
                role: "result-proxy".into(),
                chain_id: 65535,
                hub: Address::ZERO,
                pool: None,
            };
            let store = Store::open(folder.path().join("db"), &identity).unwrap();
            Self { folder, store }
        }

        fn tokens(&self) -> Tokens {
            Tokens::open(self.store.clone(), &self.key_file(), None).unwrap()
        }

        fn key_file(&self) -> PathBuf {
            self.folder.path().join("keys/jwt-sign.key")
        }
    }

    fn part(token: &str, index: usize) -> serde_json::Value {
        let part = token.split('.').nth(index).unwrap();
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(part)
            .unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[tokio::test]
    async fn a_token_has_the_form_of_the_java_proxy() {
        let world = World::new();
        let token = world
            .tokens()
            .issue(WALLET.parse().unwrap(), WALLET)
            .await
            .unwrap();
        assert_eq!(part(&token, 0), serde_json::json!({"alg": "HS256"}));
        let claims = part(&token, 1);
        assert_eq!(claims["aud"], WALLET);
        assert!(claims["iat"].as_u64().unwrap() > 1_700_000_000);
        uuid::Uuid::parse_str(claims["sub"].as_str().unwrap()).unwrap();
        assert_eq!(claims.as_object().unwrap().len(), 3);
    }

    #[tokio::test]
    async fn an_old_token_is_replaced_if_the_operator_wants_it_and_stays_good_for_a_while() {
        let world = World::new();
        let wallet: Address = WALLET.parse().unwrap();
        let day = 86_400;
        let at = |days: u64| Timestamp::from_secs(1_700_000_000 + days * day);
        let for_ever = world.tokens();
        let first = for_ever.issue_at(at(0), wallet, WALLET).await.unwrap();
        assert_eq!(
            for_ever.issue_at(at(1000), wallet, WALLET).await.unwrap(),
            first
        );
        let month = Some(Duration::from_secs(30 * day));
        let tokens = Tokens::open(world.store.clone(), &world.key_file(), month).unwrap();
        assert_eq!(
            tokens.issue_at(at(29), wallet, WALLET).await.unwrap(),
            first
        );
        let second = tokens.issue_at(at(30), wallet, WALLET).await.unwrap();
        assert_ne!(second, first);
        let good = async |token: &str, days| {
            let of = tokens.wallet_at(at(days), token).await.unwrap();
            of == Some(wallet)
        };
        assert!(good(&first, 32).await && good(&second, 32).await);
        assert!(!good(&first, 33).await, "the grace is over");
        assert!(good(&second, 62).await);
        assert!(!good(&second, 63).await);
    }

    #[tokio::test]
    async fn a_wallet_has_one_token_however_it_is_spelled_and_often_it_asks() {
        let world = World::new();
        let tokens = world.tokens();
        let wallet: Address = WALLET.parse().unwrap();
        let first = tokens
            .issue(wallet, &wallet.to_checksum(None))
            .await
            .unwrap();
        assert_eq!(part(&first, 1)["aud"], wallet.to_checksum(None));
        assert_eq!(tokens.issue(wallet, WALLET).await.unwrap(), first);
        assert_eq!(tokens.wallet_of(&first).await.unwrap(), Some(wallet));
        // A restart: the key file and the database are what counts.
        assert_eq!(world.tokens().issue(wallet, WALLET).await.unwrap(), first);
    }

    #[tokio::test]
    async fn logins_at_the_same_time_get_the_same_token() {
        let world = World::new();
        let tokens = world.tokens();
        let wallet: Address = WALLET.parse().unwrap();
        let (one, other) = tokio::join!(tokens.issue(wallet, WALLET), tokens.issue(wallet, WALLET));
        assert_eq!(one.unwrap(), other.unwrap());
    }

    #[tokio::test]
    async fn a_changed_key_makes_a_new_token_and_ends_the_old_one() {
        let world = World::new();
        let wallet: Address = WALLET.parse().unwrap();
        let old = world.tokens().issue(wallet, WALLET).await.unwrap();
        std::fs::remove_file(world.key_file()).unwrap();
        let tokens = world.tokens();
        assert_eq!(tokens.wallet_of(&old).await.unwrap(), None);
        let new = tokens.issue(wallet, WALLET).await.unwrap();
        assert_ne!(new, old);
        assert_eq!(tokens.wallet_of(&new).await.unwrap(), Some(wallet));
    }

    #[tokio::test]
    async fn only_the_stored_token_signed_with_hs256_by_our_key_is_valid() {
        let world = World::new();
        let tokens = world.tokens();
        let token = tokens.issue(WALLET.parse().unwrap(), WALLET).await.unwrap();
        let claims = Claims {
            aud: WALLET.into(),
            iat: 1,
            sub: "another".into(),
        };
        let signed = |algorithm, key: &EncodingKey| {
            jsonwebtoken::encode(&Header::new(algorithm), &claims, key).unwrap()
        };
        let mut cut = token.clone();
        cut.pop();
        let body = token.split('.').nth(1).unwrap();
        for bad in [
            String::new(),
            "nonsense".into(),
            cut,
            format!("Bearer {token}"),
            format!("eyJhbGciOiJub25lIn0.{body}."),
            signed(Algorithm::HS256, &tokens.signing),
            signed(Algorithm::HS512, &tokens.signing),
            signed(Algorithm::HS256, &EncodingKey::from_secret(&[7; 128])),
        ] {
            assert_eq!(tokens.wallet_of(&bad).await.unwrap(), None, "{bad}");
        }
    }

    #[test]
    fn a_key_file_is_made_once_for_this_user_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let world = World::new();
        let path = world.key_file();
        let key = read_or_make_key(&path).unwrap();
        assert_eq!(key.len(), 128);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), BASE64.encode(&key));
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(read_or_make_key(&path).unwrap(), key);
    }

    #[test]
    fn a_key_file_with_a_line_end_is_taken_and_one_without_a_key_is_not() {
        let world = World::new();
        let path = world.key_file();
        let key = read_or_make_key(&path).unwrap();
        std::fs::write(&path, format!("{}\n", BASE64.encode(&key))).unwrap();
        assert_eq!(read_or_make_key(&path).unwrap(), key);
        for wrong in ["", "not base64!", "c2hvcnQ="] {
            std::fs::write(&path, wrong).unwrap();
            let refused = read_or_make_key(&path).unwrap_err();
            assert!(
                matches!(refused, KeyError::NotAKey { .. }),
                "{wrong}: {refused}"
            );
        }
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(matches!(
            read_or_make_key(&path),
            Err(KeyError::NotAKey { .. })
        ));
    }
}
