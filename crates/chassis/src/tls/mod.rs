//! TLS by certificate files: versions 1.2 and 1.3, HTTP/1.1, no clients' certificates. Files that are renewed are taken while the
//! service runs.

mod certificates;
mod listener;
mod pem;

pub use certificates::Certificates;
pub use pem::{PemFile, PemFiles, TlsError};

pub(crate) use listener::TlsListener;
