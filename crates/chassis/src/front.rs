//! How a service is reached: with TLS or without, straight or through a proxy. The settings have the names of the original's
//! framework, so that what operators know goes on holding, and one of ours for each role.

use std::path::PathBuf;

use tokio::net::TcpListener;

use crate::env::Reader;
use crate::listen::ListenError;
use crate::tls::{Certificates, PemFile, PemFiles};

const CERTIFICATE: &str = "SERVER_SSL_CERTIFICATE";
const KEY: &str = "SERVER_SSL_CERTIFICATEPRIVATEKEY";

/// A role's own names of these settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrontNames {
    /// The file with the certificate and those that vouch for it.
    pub certificate: &'static str,
    /// The file with its key.
    pub key: &'static str,
    /// Whether what a proxy says of a request is believed.
    pub forward_headers: &'static str,
}

/// How a service is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Front {
    /// What it shows itself with, when it speaks TLS.
    pub tls: Option<PemFiles>,
    /// Whether a proxy before it is believed: see [`crate::origin`].
    pub forwarded: bool,
}

impl Front {
    /// Reads the settings. The files are opened by [`Self::certificates`]: settings can be checked where the files are not.
    pub fn read(read: &mut Reader<'_>, names: FrontNames) -> Self {
        let forwarded = read
            .var(names.forward_headers)
            .property("server.forward-headers-strategy")
            .was("SERVER_FORWARD_HEADERS_STRATEGY")
            .parsed("native, framework or none", strategy)
            .or(false);
        let certificate = file(
            read,
            names.certificate,
            "server.ssl.certificate",
            CERTIFICATE,
        );
        let key = file(
            read,
            names.key,
            "server.ssl.certificate-private-key",
            "SERVER_SSL_CERTIFICATE_PRIVATE_KEY",
        );
        let on = read.var("SERVER_SSL_ENABLED").boolean().or(true);
        if !on {
            return Self {
                tls: None,
                forwarded,
            };
        }
        refuse_what_is_not_here(read, names);
        let tls = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(PemFiles::new(certificate, key)),
            (Some(certificate), None) => {
                let missing = other_name(&certificate, names.key, KEY);
                let set = certificate.setting;
                let expected = format!("must be the file with the key of the certificate {set}");
                read.refuse(missing, None, expected);
                None
            }
            (None, Some(key)) => {
                let missing = other_name(&key, names.certificate, CERTIFICATE);
                let set = key.setting;
                let expected = format!("must be the file with the certificate of the key {set}");
                read.refuse(missing, None, expected);
                None
            }
            (None, None) => None,
        };
        Self { tls, forwarded }
    }

    /// `http` or `https`.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        match self.tls {
            Some(_) => "https",
            None => "http",
        }
    }

    /// Opens the certificate and its key, if there is one.
    ///
    /// # Errors
    /// They cannot be read, or do not fit.
    pub async fn certificates(&self) -> Result<Option<Certificates>, ListenError> {
        match &self.tls {
            Some(files) => Ok(Some(Certificates::open(files.clone()).await?)),
            None => Ok(None),
        }
    }

    /// This front at a port.
    #[must_use]
    pub fn door(&self, listener: TcpListener, certificates: Option<Certificates>) -> Door {
        Door {
            listener,
            certificates,
            forwarded: self.forwarded,
        }
    }
}

/// A port and how it is reached. A listener by itself is one without TLS and without a proxy.
#[derive(Debug)]
pub struct Door {
    pub(crate) listener: TcpListener,
    pub(crate) certificates: Option<Certificates>,
    pub(crate) forwarded: bool,
}

impl From<TcpListener> for Door {
    fn from(listener: TcpListener) -> Self {
        Front::default().door(listener, None)
    }
}

fn strategy(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "native" | "framework" => Some(true),
        "none" => Some(false),
        _ => None,
    }
}

fn file(
    read: &mut Reader<'_>,
    name: &'static str,
    property: &'static str,
    spelled: &'static str,
) -> Option<PemFile> {
    let found = read.var(name).property(property).was(spelled).text();
    let setting = found.set_by().to_owned();
    let text = found.optional()?;
    if text.contains("-----BEGIN") {
        // Never shown: it may be the key.
        let hidden = Some("the text of a PEM file".to_owned());
        read.refuse(&setting, hidden, "must be the path of that file");
        return None;
    }
    let path = text.strip_prefix("file:").unwrap_or(&text);
    Some(PemFile {
        path: PathBuf::from(path),
        setting,
    })
}

/// The name of the setting that is missing, in the language in which its other half was set.
fn other_name(set: &PemFile, ours: &'static str, generic: &'static str) -> &'static str {
    if set.setting.starts_with("SERVER_SSL") {
        generic
    } else {
        ours
    }
}

/// What the framework can do and this cannot: passing over it would mean plain HTTP, or callers that nobody checked.
fn refuse_what_is_not_here(read: &mut Reader<'_>, names: FrontNames) {
    let FrontNames {
        certificate, key, ..
    } = names;
    let store = format!(
        "must not be set: a certificate is read from PEM files. Convert the store with \
         `openssl pkcs12 -in STORE -nokeys -out chain.pem` and `openssl pkcs12 -in STORE -nocerts -nodes -out key.pem` \
         (a JKS first with `keytool -importkeystore -srckeystore STORE.jks -destkeystore STORE.p12 -deststoretype PKCS12`), \
         then set {certificate} and {key} to the two files"
    );
    let bundle =
        format!("must not be set: set {certificate} and {key} to the PEM files of the bundle");
    let clients =
        "must be none: clients' certificates are not checked here; let a proxy check them";
    let any: fn(&str) -> bool = |_| true;
    for (name, spelled, expected, clashes) in [
        (
            "SERVER_SSL_KEYSTORE",
            "SERVER_SSL_KEY_STORE",
            store.as_str(),
            any,
        ),
        (
            "SERVER_SSL_BUNDLE",
            "SERVER_SSL_BUNDLE",
            bundle.as_str(),
            any,
        ),
        (
            "SERVER_SSL_CLIENTAUTH",
            "SERVER_SSL_CLIENT_AUTH",
            clients,
            |text| !text.eq_ignore_ascii_case("none"),
        ),
    ] {
        let found = read.var(name).was(spelled).text();
        let setting = found.set_by().to_owned();
        if let Some(text) = found.optional().filter(|text| clashes(text)) {
            read.refuse(&setting, Some(format!("{text:?}")), expected);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{ConfigErrors, MapEnv, Role};

    const NAMES: FrontNames = FrontNames {
        certificate: "WORKERPOOL_SCHEDULER_TLS_CERTIFICATE",
        key: "WORKERPOOL_SCHEDULER_TLS_KEY",
        forward_headers: "WORKERPOOL_SCHEDULER_FORWARD_HEADERS",
    };

    fn read(variables: &[(&str, &str)]) -> Result<Front, ConfigErrors> {
        let env: MapEnv = variables.iter().copied().collect();
        let mut read = Reader::new(&env, Role::Scheduler);
        let front = Front::read(&mut read, NAMES);
        read.finish(|| Ok(front))
    }

    fn refused(variables: &[(&str, &str)]) -> String {
        read(variables).unwrap_err().to_string()
    }

    #[test]
    fn without_settings_it_is_plain_http_and_believes_nobody() {
        assert_eq!(read(&[]).unwrap(), Front::default());
        assert_eq!(Front::default().scheme(), "http");
    }

    #[test]
    fn the_files_have_the_frameworks_names_and_ours_which_win() {
        let files = |variables: &[(&str, &str)]| {
            let front = read(variables).unwrap();
            assert_eq!(front.scheme(), "https");
            let files = front.tls.unwrap();
            [files.certificate, files.key].map(|file| file.path.display().to_string())
        };
        let generic = [
            ("SERVER_SSL_CERTIFICATE", "file:/a.pem"),
            ("SERVER_SSL_CERTIFICATEPRIVATEKEY", "/b.pem"),
        ];
        assert_eq!(files(&generic), ["/a.pem", "/b.pem"]);
        let spelled = [generic[0], ("SERVER_SSL_CERTIFICATE_PRIVATE_KEY", "/c.pem")];
        assert_eq!(files(&spelled), ["/a.pem", "/c.pem"]);
        let both = [
            generic[0],
            generic[1],
            (NAMES.certificate, "/d.pem"),
            (NAMES.key, "/e.pem"),
        ];
        assert_eq!(files(&both), ["/d.pem", "/e.pem"]);
    }

    #[test]
    fn one_of_the_two_is_not_enough() {
        insta::assert_snapshot!(refused(&[("SERVER_SSL_CERTIFICATE", "/a.pem")]), @"
        a setting of the scheduler cannot be used
          SERVER_SSL_CERTIFICATEPRIVATEKEY is not set: must be the file with the key of the certificate SERVER_SSL_CERTIFICATE
        ");
        insta::assert_snapshot!(refused(&[(NAMES.key, "/b.pem")]), @"
        a setting of the scheduler cannot be used
          WORKERPOOL_SCHEDULER_TLS_CERTIFICATE is not set: must be the file with the certificate of the key WORKERPOOL_SCHEDULER_TLS_KEY
        ");
    }

    #[test]
    fn what_would_silently_be_less_than_the_framework_does_is_refused() {
        let store = refused(&[("SERVER_SSL_KEYSTORE", "/keys.p12")]);
        assert!(
            store.contains("SERVER_SSL_KEYSTORE is \"/keys.p12\"")
                && store.contains("openssl pkcs12 -in STORE -nokeys"),
            "{store}"
        );
        assert!(refused(&[("SERVER_SSL_KEY_STORE", "/keys.p12")]).contains("SERVER_SSL_KEY_STORE"));
        assert!(refused(&[("SERVER_SSL_BUNDLE", "web")]).contains(NAMES.certificate));
        assert!(refused(&[("SERVER_SSL_CLIENTAUTH", "need")]).contains("must be none"));
        read(&[("SERVER_SSL_CLIENTAUTH", "NONE")]).unwrap();
        let off = [
            ("SERVER_SSL_ENABLED", "false"),
            ("SERVER_SSL_KEYSTORE", "/keys.p12"),
            ("SERVER_SSL_CERTIFICATE", "/a.pem"),
        ];
        assert_eq!(read(&off).unwrap().tls, None);
    }

    #[test]
    fn a_key_given_instead_of_its_file_is_not_shown() {
        let text = "-----BEGIN PRIVATE KEY-----\nsesame";
        let refused = refused(&[
            ("SERVER_SSL_CERTIFICATE", "/a.pem"),
            ("SERVER_SSL_CERTIFICATEPRIVATEKEY", text),
        ]);
        assert!(
            refused.contains("must be the path of that file") && !refused.contains("sesame"),
            "{refused}"
        );
    }

    #[test]
    fn a_proxy_is_believed_by_either_strategy() {
        let on = |text: &str| read(&[("SERVER_FORWARDHEADERSSTRATEGY", text)]).map(|f| f.forwarded);
        assert!(on("native").unwrap() && on("FRAMEWORK").unwrap());
        assert!(!on("None").unwrap());
        assert!(
            on("yes")
                .unwrap_err()
                .to_string()
                .contains("native, framework or none")
        );
        let ours = [
            (NAMES.forward_headers, "none"),
            ("SERVER_FORWARDHEADERSSTRATEGY", "native"),
        ];
        assert!(!read(&ours).unwrap().forwarded);
    }
}
