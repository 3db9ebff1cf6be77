//! The certificate that is shown now, and its renewal: a broken new one is told once and changes nothing.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use poco::units::Timestamp;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::client::verify_server_cert_signed_by_trust_anchor;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::UnixTime;
use tokio_rustls::rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{CertificateError, Error, RootCertStore, ServerConfig};

use super::pem::{Contents, PemFiles, TlsError};

/// The only protocol that is spoken inside.
const HTTP: &[u8] = b"http/1.1";

/// A certificate that is shown to clients, and renewed when its files are.
pub struct Certificates {
    files: PemFiles,
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
    config: Arc<ServerConfig>,
    /// What the last look found; of an error its text.
    seen: Result<Contents, String>,
    age: Age,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl Certificates {
    /// Reads the files. A certificate that is expired is warned of and used: clients decide.
    ///
    /// # Errors
    /// They cannot be read, or do not fit.
    pub async fn open(files: PemFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let contents = files.read().await?;
        let key = files.understand(&contents, &provider)?;
        let current = Arc::new(Current(RwLock::new(Arc::new(key))));
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|problem| files.unusable(&problem))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![HTTP.to_vec()];
        let mut opened = Self {
            files,
            provider,
            current,
            config: Arc::new(config),
            seen: Ok(contents),
            age: Age::Good,
        };
        opened.look_at_age();
        Ok(opened)
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }

    /// Takes what is renewed, for ever.
    pub(crate) async fn renew(mut self) -> Infallible {
        loop {
            tokio::time::sleep(self.files.look_every).await;
            self.look().await;
            self.look_at_age();
        }
    }

    /// Contents are compared, not times of change: a file put back with its old time, or a link turned elsewhere, counts too.
    async fn look(&mut self) {
        let found = self.files.read().await;
        let seen = found.map_err(|error| error.to_string());
        if seen == self.seen {
            return;
        }
        let understood = match &seen {
            Ok(contents) => self
                .files
                .understand(contents, &self.provider)
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.clone()),
        };
        match understood {
            Ok(key) => {
                let certificate = &self.files.certificate.path;
                tracing::info!(file = %certificate.display(), "the certificate is renewed");
                self.current.show(key);
                self.age = Age::Good;
            }
            Err(error) => {
                tracing::warn!(
                    error,
                    "the renewed certificate cannot be used; the one from before stays"
                );
            }
        }
        self.seen = seen;
    }

    /// Warns when the certificate's age has become wrong.
    fn look_at_age(&mut self) {
        let age = Age::of(&self.current.shown(), UnixTime::now(), &self.provider);
        if age != self.age {
            let file = &self.files.certificate;
            match age {
                Age::Good => {}
                Age::Expired { at } => {
                    let since = at.map(wire::date::text);
                    tracing::warn!(%file, since, "the certificate is expired: clients will refuse it; renew the file, it is taken without a restart");
                }
                Age::NotYet { at } => {
                    let from = wire::date::text(at);
                    tracing::warn!(%file, from, "the certificate is not valid yet: clients will refuse it, or this machine's clock is wrong");
                }
            }
            self.age = age;
        }
    }
}

/// What is shown to who says hello.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl Current {
    fn shown(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn show(&self, key: CertifiedKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown())
    }
}

/// Whether a certificate's time has come, and not gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    Good,
    Expired { at: Option<Timestamp> },
    NotYet { at: Timestamp },
}

impl Age {
    /// Asks for a verification by nobody: time is looked at before it is seen that nobody vouches for the certificate.
    fn of(key: &CertifiedKey, now: UnixTime, provider: &CryptoProvider) -> Self {
        let Some(Ok(certificate)) = key.end_entity_cert().ok().map(ParsedCertificate::try_from)
        else {
            return Self::Good;
        };
        let verified = verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &RootCertStore::empty(),
            &[],
            now,
            provider.signature_verification_algorithms.all,
        );
        let at = |time: UnixTime| Timestamp::from_secs(time.as_secs());
        match verified {
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext {
                not_after, ..
            })) => Self::Expired {
                at: Some(at(not_after)),
            },
            Err(Error::InvalidCertificate(CertificateError::Expired)) => Self::Expired { at: None },
            Err(Error::InvalidCertificate(CertificateError::NotValidYetContext {
                not_before,
                ..
            })) => Self::NotYet { at: at(not_before) },
            _ => Self::Good,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;

    use super::*;

    #[test]
    fn the_age_of_a_certificate_is_seen() {
        let provider = aws_lc_rs::default_provider();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2030, 1, 1);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let key = CertifiedKey::from_der(vec![certificate], key, &provider).unwrap();
        let age = |year: u64| {
            let now = Duration::from_secs((year - 1970) * 31_557_600 + 86_400);
            Age::of(&key, UnixTime::since_unix_epoch(now), &provider)
        };
        let at = |text: &str| wire::date::parse(text).unwrap();
        assert_eq!(age(2025), Age::Good);
        let begins = at("2020-01-01T00:00:00Z");
        assert_eq!(age(2019), Age::NotYet { at: begins });
        let ends = at("2030-01-01T00:00:00Z");
        assert_eq!(age(2031), Age::Expired { at: Some(ends) });
    }
}
