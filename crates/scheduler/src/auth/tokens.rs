//! Tokens that a worker carries after its login: signed with a key of this pool that lies in the store (spec scheduler-api §2.3).
//!
//! A token is checked by its signature alone, so none has to be remembered, and a restart invalidates none.

use alloy_primitives::Address;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use poco::units::Timestamp;
use rand::RngCore;
use serde::{Deserialize, Serialize};
use store::{Batch, Collection, Store, StoreError};

/// How long a token is good, in seconds.
const LIFETIME: u64 = 3600;
/// Bytes of a key. A shorter one is none.
const KEY_BYTES: usize = 128;
/// Where the key lies.
const KEY: &str = "worker-tokens";

/// Why a header is no worker's token. All of them are answered 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    /// Not `Bearer `, one space, and something behind it.
    #[error("the header is not of the form Bearer and one token")]
    NotBearer,
    /// Not signed by this pool, for another audience, or expired.
    #[error("the token is not of this scheduler, or has expired")]
    NotValid,
    /// Good, but of a wallet that may not work here any more.
    #[error("the token's wallet is not on the list of workers any more")]
    TakenOff,
}

/// Members in the order in which the original writes them.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    aud: String,
    iat: u64,
    exp: u64,
    sub: String,
}

/// Issues and checks tokens.
pub(crate) struct Tokens {
    sign: EncodingKey,
    check: DecodingKey,
    audience: String,
}

impl Tokens {
    /// With the key in the store, made and stored on the first start.
    pub(super) async fn open(store: &Store, version: &str) -> Result<Self, StoreError> {
        let stored: Option<String> = store.get(Collection::Keys, KEY).await?;
        let stored = stored.map(|text| STANDARD.decode(text).unwrap_or_default());
        let key = match stored {
            Some(key) if key.len() >= KEY_BYTES => key,
            broken => {
                if broken.is_some() {
                    tracing::error!(
                        "the key of workers' tokens is broken; a new one is made, and every worker logs in again"
                    );
                }
                let mut key = vec![0_u8; KEY_BYTES];
                rand::rng().fill_bytes(&mut key);
                store
                    .commit(Batch::new().put(Collection::Keys, KEY, &STANDARD.encode(&key)))
                    .await?;
                key
            }
        };
        Ok(Self::with(&key, version))
    }

    /// With this key.
    pub(crate) fn with(key: &[u8], version: &str) -> Self {
        Self {
            sign: EncodingKey::from_secret(key),
            check: DecodingKey::from_secret(key),
            audience: format!("iExec Scheduler v{version}"),
        }
    }

    /// A fresh token for this wallet (spec scheduler-api Q10); none when it cannot be signed.
    pub(crate) fn issue(&self, wallet: Address, now: Timestamp) -> Option<String> {
        let claims = Claims {
            aud: self.audience.clone(),
            iat: now.as_secs(),
            exp: now.as_secs().saturating_add(LIFETIME),
            sub: poco::hex::lower(&wallet),
        };
        let header = Header {
            typ: None,
            ..Header::new(Algorithm::HS256)
        };
        jsonwebtoken::encode(&header, &claims, &self.sign)
            .inspect_err(|error| tracing::error!(%error, "a token could not be signed"))
            .ok()
    }

    /// The wallet that the header speaks for. The scheme is case-sensitive and followed by exactly one space.
    pub(crate) fn wallet(&self, header: &str, now: Timestamp) -> Result<Address, TokenError> {
        let token = header
            .strip_prefix("Bearer ")
            .ok_or(TokenError::NotBearer)?;
        let mut rules = Validation::new(Algorithm::HS256);
        rules.set_audience(&[&self.audience]);
        rules.set_required_spec_claims(&["aud", "exp", "sub"]);
        // Compared below, with the time of the caller.
        rules.validate_exp = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &self.check, &rules)
            .map_err(|_| TokenError::NotValid)?
            .claims;
        if claims.exp <= now.as_secs() {
            return Err(TokenError::NotValid);
        }
        poco::hex::address(&claims.sub).map_err(|_| TokenError::NotValid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use store::Identity;

    const ANN: Address = Address::repeat_byte(0xaa);
    const START: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn store(folder: &tempfile::TempDir) -> Store {
        let identity = Identity {
            role: "scheduler".into(),
            chain_id: 1,
            hub: Address::ZERO,
            pool: None,
        };
        Store::open(folder.path(), &identity).unwrap()
    }

    async fn tokens(folder: &tempfile::TempDir) -> Tokens {
        Tokens::open(&store(folder), "9.3.0").await.unwrap()
    }

    fn part(token: &str, index: usize) -> String {
        let bytes = URL_SAFE_NO_PAD
            .decode(token.split('.').nth(index).unwrap())
            .unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn a_token_has_the_members_of_the_original_in_its_order() {
        let folder = tempfile::tempdir().unwrap();
        let token = tokens(&folder).await.issue(ANN, START).unwrap();
        assert_eq!(part(&token, 0), r#"{"alg":"HS256"}"#);
        assert_eq!(
            part(&token, 1),
            r#"{"aud":"iExec Scheduler v9.3.0","iat":1700000000,"exp":1700003600,"sub":"0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}"#
        );
    }

    #[tokio::test]
    async fn a_token_is_good_for_an_hour_and_not_a_second_more() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = tokens(&folder).await;
        let header = format!("Bearer {}", tokens.issue(ANN, START).unwrap());
        assert_eq!(
            tokens.wallet(&header, Timestamp::from_secs(1_700_003_599)),
            Ok(ANN)
        );
        assert_eq!(
            tokens.wallet(&header, Timestamp::from_secs(1_700_003_600)),
            Err(TokenError::NotValid)
        );
    }

    #[tokio::test]
    async fn a_token_survives_a_restart_but_not_another_folder() {
        let folder = tempfile::tempdir().unwrap();
        let header = format!(
            "Bearer {}",
            tokens(&folder).await.issue(ANN, START).unwrap()
        );
        assert_eq!(tokens(&folder).await.wallet(&header, START), Ok(ANN));
        let other = tempfile::tempdir().unwrap();
        assert_eq!(
            tokens(&other).await.wallet(&header, START),
            Err(TokenError::NotValid)
        );
    }

    #[tokio::test]
    async fn a_token_of_another_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let header = format!(
            "Bearer {}",
            tokens(&folder).await.issue(ANN, START).unwrap()
        );
        let newer = Tokens::open(&store(&folder), "9.4.0").await.unwrap();
        assert_eq!(newer.wallet(&header, START), Err(TokenError::NotValid));
    }

    #[tokio::test]
    async fn anything_but_bearer_and_one_space_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = tokens(&folder).await;
        let token = tokens.issue(ANN, START).unwrap();
        for header in [
            token.clone(),
            format!("bearer {token}"),
            format!("Bearer  {token}"),
            format!("Bearer{token}"),
            "Bearer ".to_owned(),
            "Bearer not.a.token".to_owned(),
        ] {
            assert!(tokens.wallet(&header, START).is_err(), "{header}");
        }
    }
}
