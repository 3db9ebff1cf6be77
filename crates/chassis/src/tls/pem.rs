//! A certificate and its key, read from files and compared, with an error for each way in which they are of no use.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, InconsistentKeys};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// A file and the variable that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PemFile {
    /// Where it is.
    pub path: PathBuf,
    /// The variable.
    pub setting: String,
}

impl fmt::Display for PemFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.path.display(), self.setting)
    }
}

/// The files that a service shows itself with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PemFiles {
    /// The certificate, then those that vouch for it.
    pub certificate: PemFile,
    /// Its key, in one of the forms PKCS#8, SEC1 and PKCS#1, without a password.
    pub key: PemFile,
    /// How often they are looked at for renewal.
    pub look_every: Duration,
}

/// Why a certificate and its key are of no use.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error(
        "{file} cannot be read: {source}\n  mend: correct the path, or let this program read the file"
    )]
    Unreadable {
        /// Which.
        file: PemFile,
        /// What the system says.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{file} is not a PEM file: {problem}\n  mend: {mend}")]
    NotPem {
        /// Which.
        file: PemFile,
        /// What is wrong.
        problem: String,
        /// What it must be.
        mend: &'static str,
    },
    /// The key needs a password.
    #[error(
        "the key in {file} is encrypted\n  mend: store it without a password, readable for this program only: openssl pkey -in {} -out key.pem",
        .file.path.display()
    )]
    Encrypted {
        /// The key's file.
        file: PemFile,
    },
    /// The two do not belong together.
    #[error(
        "the key in {key} is not the key of the first certificate in {certificate}\n  mend: put the service's own certificate first, and name the key that it was made for"
    )]
    NotItsKey {
        /// The certificate's file.
        certificate: PemFile,
        /// The key's file.
        key: PemFile,
    },
    /// Of a kind that cannot be used.
    #[error(
        "the certificate in {certificate} cannot be used with the key in {key}: {problem}\n  mend: use an X.509 certificate of version 3 with a key that is RSA of 2048 bits or more, ECDSA or Ed25519"
    )]
    Unusable {
        /// The certificate's file.
        certificate: PemFile,
        /// The key's file.
        key: PemFile,
        /// What is wrong.
        problem: String,
    },
}

const CHAIN: &str = "name a file that holds the certificate, then those that vouch for it, each between BEGIN CERTIFICATE and END CERTIFICATE";
const KEY: &str = "name a file that holds the key between BEGIN PRIVATE KEY, BEGIN EC PRIVATE KEY or BEGIN RSA PRIVATE KEY and its end";

/// What stands in the two files.
#[derive(PartialEq, Eq)]
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl PemFiles {
    pub(crate) const fn new(certificate: PemFile, key: PemFile) -> Self {
        Self {
            certificate,
            key,
            look_every: LOOK_EVERY,
        }
    }

    pub(super) async fn read(&self) -> Result<Contents, TlsError> {
        let read = async |file: &PemFile| {
            let unreadable = |source| TlsError::Unreadable {
                file: file.clone(),
                source,
            };
            tokio::fs::read(&file.path).await.map_err(unreadable)
        };
        Ok(Contents {
            certificate: read(&self.certificate).await?,
            key: read(&self.key).await?,
        })
    }

    /// The certificate with its key, once they are seen to fit.
    pub(super) fn understand(
        &self,
        contents: &Contents,
        provider: &CryptoProvider,
    ) -> Result<CertifiedKey, TlsError> {
        let chain = self.chain(&contents.certificate)?;
        let key = self.key(&contents.key)?;
        CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::NotItsKey {
                certificate: self.certificate.clone(),
                key: self.key.clone(),
            },
            other => self.unusable(&other),
        })
    }

    pub(super) fn unusable(&self, problem: &rustls::Error) -> TlsError {
        TlsError::Unusable {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            problem: problem.to_string(),
        }
    }

    fn chain(&self, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let not_pem = |problem: String| TlsError::NotPem {
            file: self.certificate.clone(),
            problem,
            mend: CHAIN,
        };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(text)
            .collect::<Result<_, _>>()
            .map_err(|error| not_pem(error.to_string()))?;
        if chain.is_empty() {
            return Err(not_pem("no certificate is in it".to_owned()));
        }
        Ok(chain)
    }

    fn key(&self, text: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
        // Both forms of encrypted keys say so in their heads, and are no keys to the reader.
        let encrypted = b"ENCRYPTED";
        if text.windows(encrypted.len()).any(|part| part == encrypted) {
            let file = self.key.clone();
            return Err(TlsError::Encrypted { file });
        }
        PrivateKeyDer::from_pem_slice(text).map_err(|error| TlsError::NotPem {
            file: self.key.clone(),
            problem: match error {
                pem::Error::NoItemsFound => "no private key is in it".to_owned(),
                other => other.to_string(),
            },
            mend: KEY,
        })
    }
}
