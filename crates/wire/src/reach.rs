//! Connecting to where a stranger says: a requester's file, dataset or result proxy (spec worker S1, S2, S15). Such a URL must not make
//! this machine speak to itself, to its own network, or to a place that only it can see, such as a cloud's metadata service.
//!
//! The address is checked at the moment of connecting, and the connection goes to exactly what was checked: a name that means a public
//! address when it is looked at, and a private one when it is used, gains nothing. Redirects are never followed here, since each is a
//! URL of its own that must be checked.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};
use url::{Host, Url};

/// Finds the addresses of a name.
pub type Lookup = Arc<
    dyn Fn(String) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>> + Send + Sync,
>;

/// What may be connected to on a stranger's word. Cheap to clone.
#[derive(Clone)]
pub struct Reach {
    allowed: Option<fn(IpAddr) -> bool>,
    lookup: Lookup,
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reach")
            .field("limited", &self.allowed.is_some())
            .finish_non_exhaustive()
    }
}

/// Why a stranger's URL is not connected to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is no URL of http or https.
    #[error("{url:?} is no http:// or https:// URL")]
    NotHttp {
        /// What stands there.
        url: String,
    },
    /// It leads to where only this machine can go.
    #[error("{host} is this machine or in a private network ({address})")]
    Private {
        /// The host in the URL.
        host: String,
        /// Where it leads.
        address: IpAddr,
    },
}

impl Reach {
    /// Addresses that anybody in the internet could reach, and nothing else.
    #[must_use]
    pub fn public() -> Self {
        Self::with(
            Arc::new(|name| Box::pin(by_the_system(name))),
            is_open_to_all,
        )
    }

    /// Any address: for test networks, by a setting.
    #[must_use]
    pub fn anywhere() -> Self {
        Self {
            allowed: None,
            ..Self::public()
        }
    }

    /// [`Self::anywhere`] when `private_too`, else [`Self::public`].
    #[must_use]
    pub fn of(private_too: bool) -> Self {
        if private_too {
            Self::anywhere()
        } else {
            Self::public()
        }
    }

    /// The addresses that `lookup` finds, as far as `allowed` says yes. What tests need to stand in for the internet.
    #[must_use]
    pub fn with(lookup: Lookup, allowed: fn(IpAddr) -> bool) -> Self {
        Self {
            allowed: Some(allowed),
            lookup,
        }
    }

    /// Reads a stranger's text as a URL, and refuses what the text alone shows to lead where it must not.
    ///
    /// # Errors
    /// It is no URL of http or https, or its host is an address that is not allowed.
    pub fn url(&self, text: &str) -> Result<Url, Refusal> {
        let no_url = || Refusal::NotHttp { url: shown(text) };
        let url = Url::parse(text.trim()).map_err(|_| no_url())?;
        self.check(&url)?;
        Ok(url)
    }

    /// Refuses what the URL alone shows to lead where it must not. To be asked about every URL before it is connected to, redirects
    /// included: a client of [`Self::client`] looks at names only.
    ///
    /// # Errors
    /// As [`Self::url`].
    pub fn check(&self, url: &Url) -> Result<(), Refusal> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refusal::NotHttp {
                url: shown(url.as_str()),
            });
        }
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) => return Ok(()),
            None => {
                return Err(Refusal::NotHttp {
                    url: shown(url.as_str()),
                });
            }
        };
        if self.allowed.is_none_or(|allowed| allowed(address)) {
            Ok(())
        } else {
            Err(Refusal::Private {
                host: address.to_string(),
                address,
            })
        }
    }

    /// The refusal that a connection to `url` would meet now; none while its name cannot be looked up. For saying no early: what counts
    /// is the check at the connection.
    pub async fn refusal(&self, url: &Url) -> Option<Refusal> {
        if let Err(refusal) = self.check(url) {
            return Some(refusal);
        }
        let Some(Host::Domain(name)) = url.host() else {
            return None;
        };
        let found = (self.lookup)(name.to_owned()).await.ok()?;
        self.keep_allowed(name, found).err()
    }

    /// The beginning of a client that connects to allowed addresses only and follows no redirect. No proxy of the system is used where
    /// addresses are limited: it would look names up by itself.
    pub fn client(&self) -> ClientBuilder {
        let builder = Client::builder().redirect(Policy::none());
        if self.allowed.is_none() {
            return builder;
        }
        builder
            .no_proxy()
            .dns_resolver(Arc::new(AllowedNames(self.clone())))
    }

    fn keep_allowed(&self, name: &str, found: Vec<IpAddr>) -> Result<Vec<IpAddr>, Refusal> {
        let Some(allowed) = self.allowed else {
            return Ok(found);
        };
        let first = found.first().copied();
        let kept: Vec<_> = found.into_iter().filter(|&one| allowed(one)).collect();
        match first {
            Some(address) if kept.is_empty() => Err(Refusal::Private {
                host: shown(name),
                address,
            }),
            _ => Ok(kept),
        }
    }
}

/// The refusal behind an error of a client of [`Reach::client`], if it is one.
#[must_use]
pub fn refusal_in(error: &reqwest::Error) -> Option<&Refusal> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(refusal) = error.downcast_ref::<Refusal>() {
            return Some(refusal);
        }
        source = error.source();
    }
    None
}

/// Looks names up and keeps what is allowed; the connection is made to what comes out of here.
struct AllowedNames(Reach);

impl Resolve for AllowedNames {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0.clone();
        Box::pin(async move {
            let name = name.as_str();
            let found = (reach.lookup)(name.to_owned()).await?;
            let kept = reach.keep_allowed(name, found)?;
            // Port 0 is the URL's.
            let kept = kept.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(kept) as Addrs)
        })
    }
}

async fn by_the_system(name: String) -> io::Result<Vec<IpAddr>> {
    let found = tokio::net::lookup_host((name, 0)).await?;
    Ok(found.map(|address| address.ip()).collect())
}

/// The beginning of a stranger's text, for messages.
fn shown(text: &str) -> String {
    text.chars().take(200).collect()
}

/// An address that anybody in the internet could reach, and that is not one of this machine's own.
fn is_open_to_all(address: IpAddr) -> bool {
    is_public(address) && !is_this_machine(address)
}

/// Whether an address is of the public internet: not this machine, a private network, a link, or a range set aside for special use.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => v6
            .to_ipv4_mapped()
            .map_or_else(|| is_public_v6(v6), is_public_v4),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    // 0/8 this network, 100.64/10 carriers' NAT, 192.0.0/24 protocol assignments, 192.88.99/24 relays to IPv6, 198.18/15 benchmarks,
    // 240/4 reserved.
    let special = a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19));
    !(special
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation())
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    // Only 2000::/3 is given out for the internet; loopback, links, private networks, multicast and the forms that carry an IPv4
    // address through a translator (64:ff9b::/96 and others) are all outside.
    let given_out = a & 0xe000 == 0x2000;
    // In it: 2001::/23 special uses with Teredo, 2001:db8::/32 and 3fff::/20 documentation, 2002::/16 carries IPv4 addresses.
    let special =
        (a == 0x2001 && (b < 0x0200 || b == 0x0db8)) || a == 0x2002 || (a == 0x3fff && b < 0x1000);
    given_out && !special
}

/// Whether an address is one of this machine's own: only then would a packet to it set out from it. Nothing is sent.
fn is_this_machine(address: IpAddr) -> bool {
    let any: SocketAddr = match address {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    UdpSocket::bind(any)
        .and_then(|socket| {
            socket.connect((address, 9))?;
            socket.local_addr()
        })
        .is_ok_and(|from| from.ip() == address)
}

#[cfg(test)]
mod tests;
