//! Where a request was sent to, as its caller wrote it: what links in answers begin with.
//!
//! Behind a proxy the caller wrote the proxy's name, and the proxy tells it in headers: `Forwarded` (RFC 7239), or
//! `X-Forwarded-Proto`, `-Host` and `-Port`, with the meanings that the original's framework gives them. They are believed only when the
//! operator says that there is a proxy, and only of a peer in a private network or on this machine. What cannot be understood is passed over.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header::{FORWARDED, HOST};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName};

/// Where a request was sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Scheme, host and port, such as `https://pool.example`, without a slash at the end.
    pub base: String,
    /// Whether a proxy told some of it.
    pub told_by_proxy: bool,
}

impl<S: Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let way = parts.extensions.get::<Way>().copied().unwrap_or_default();
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let believed = way.forwarded && peer.is_some_and(|ConnectInfo(peer)| is_near(peer.ip()));
        let told = if believed {
            Told::by(&parts.headers)
        } else {
            Told::default()
        };
        Ok(told.origin(way, &parts.headers))
    }
}

/// The address that a request came from. Behind a proxy that is believed it is the last one in `X-Forwarded-For` that is not a proxy's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller(
    /// The address.
    pub IpAddr,
);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| {
            peer.ip()
        });
        let way = parts.extensions.get::<Way>().copied().unwrap_or_default();
        if !way.forwarded || !is_near(peer) {
            return Ok(Self(peer));
        }
        let told = parts
            .headers
            .get_all(HeaderName::from_static("x-forwarded-for"));
        let texts = told.iter().filter_map(|text| text.to_str().ok());
        let mut hops: Vec<&str> = texts.flat_map(|text| text.split(',')).collect();
        let mut last = peer;
        while let Some(hop) = hops.pop() {
            // What stands before something that is no address was not written by a proxy of ours.
            let Ok(hop) = hop.trim().parse() else { break };
            last = hop;
            if !is_near(hop) {
                break;
            }
        }
        Ok(Self(last))
    }
}

/// How requests come to a service, noted in each of them where it is not as usual.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Way {
    /// The service speaks TLS itself.
    pub(crate) tls: bool,
    /// There is a proxy before it.
    pub(crate) forwarded: bool,
}

/// Whether a peer is where the operator's proxies are: on this machine or in a private network, link-local and carrier ranges included.
fn is_near(peer: IpAddr) -> bool {
    match peer.to_canonical() {
        IpAddr::V4(address) => {
            address.is_loopback()
                || address.is_private()
                || address.is_link_local()
                || matches!(address.octets(), [100, 64..=127, ..])
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

/// What a proxy told of a request, as far as it is understood.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    scheme: Option<&'static str>,
    host: Option<(String, Option<u16>)>,
    port: Option<u16>,
}

impl Told {
    fn by(headers: &HeaderMap) -> Self {
        let told = Self::by_forwarded(headers);
        if told == Self::default() {
            Self::by_x_forwarded(headers)
        } else {
            told
        }
    }

    fn by_forwarded(headers: &HeaderMap) -> Self {
        let Some(text) = headers.get(FORWARDED).and_then(|text| text.to_str().ok()) else {
            return Self::default();
        };
        let first = |name: &str| {
            let pairs = outside_quotes(text).filter_map(|pair| pair.split_once('='));
            let mut named = pairs.filter(|(other, _)| other.trim().eq_ignore_ascii_case(name));
            named
                .next()
                .map(|(_, value)| value.trim().trim_matches('"'))
        };
        Self {
            scheme: first("proto").and_then(scheme),
            host: first("host").and_then(host),
            port: None,
        }
    }

    fn by_x_forwarded(headers: &HeaderMap) -> Self {
        let first = |name: &'static str| {
            let text = headers.get(HeaderName::from_static(name))?.to_str().ok()?;
            text.split(',').next().map(str::trim)
        };
        Self {
            scheme: first("x-forwarded-proto").and_then(scheme),
            host: first("x-forwarded-host").and_then(host),
            port: first("x-forwarded-port").and_then(port),
        }
    }

    /// As the framework does it: a scheme that was told comes with its own port unless another is told too.
    fn origin(self, way: Way, headers: &HeaderMap) -> Origin {
        let asked = headers
            .get(HOST)
            .and_then(|host| host.to_str().ok())
            .unwrap_or("localhost");
        let own = if way.tls { "https" } else { "http" };
        if self == Self::default() {
            return Origin {
                base: format!("{own}://{asked}"),
                told_by_proxy: false,
            };
        }
        let scheme = self.scheme.unwrap_or(own);
        let (name, named_port) = match (self.host, host(asked)) {
            (Some(told), _) => told,
            (None, Some((name, port))) => (name, port.filter(|_| self.scheme.is_none())),
            (None, None) => (asked.to_owned(), None),
        };
        let usual = if scheme == "https" { 443 } else { 80 };
        let base = match self.port.or(named_port).filter(|port| *port != usual) {
            Some(port) => format!("{scheme}://{name}:{port}"),
            None => format!("{scheme}://{name}"),
        };
        Origin {
            base,
            told_by_proxy: true,
        }
    }
}

fn scheme(text: &str) -> Option<&'static str> {
    ["http", "https"]
        .into_iter()
        .find(|scheme| text.eq_ignore_ascii_case(scheme))
}

fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0)
}

/// A name or an address, and a port if there is one.
fn host(text: &str) -> Option<(String, Option<u16>)> {
    let authority: Authority = text.parse().ok()?;
    let name = authority.host();
    let is_host = match name.strip_prefix('[') {
        Some(address) => address.strip_suffix(']')?.parse::<Ipv6Addr>().is_ok(),
        None => {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
            !name.is_empty() && name.chars().all(is_plain)
        }
    };
    let port = match text.strip_prefix(name)? {
        "" => None,
        rest => Some(port(rest.strip_prefix(':')?)?),
    };
    is_host.then(|| (name.to_owned(), port))
}

/// The parts of a `Forwarded` header, between commas and semicolons that are not in quotes.
fn outside_quotes(text: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c| {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => return !quoted && matches!(c, ',' | ';'),
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const BEHIND: Way = Way {
        tls: false,
        forwarded: true,
    };

    fn parts_of(way: Way, peer: &str, headers: &[(&'static str, &'static str)]) -> Parts {
        let mut request = axum::http::Request::new(());
        for (name, value) in headers {
            let value = HeaderValue::from_static(value);
            request.headers_mut().append(*name, value);
        }
        request.extensions_mut().insert(way);
        let peer = SocketAddr::new(peer.parse().unwrap(), 1);
        request.extensions_mut().insert(ConnectInfo(peer));
        request.into_parts().0
    }

    fn origin_of(way: Way, peer: &str, headers: &[(&'static str, &'static str)]) -> String {
        let mut parts = parts_of(way, peer, headers);
        let found = Origin::from_request_parts(&mut parts, &());
        let found = futures_util::FutureExt::now_or_never(found);
        found.unwrap().unwrap().base
    }

    fn caller_of(way: Way, peer: &str, headers: &[(&'static str, &'static str)]) -> String {
        let mut parts = parts_of(way, peer, headers);
        let found = Caller::from_request_parts(&mut parts, &());
        let found = futures_util::FutureExt::now_or_never(found);
        found.unwrap().unwrap().0.to_string()
    }

    #[test]
    fn the_caller_is_the_last_that_is_no_proxy() {
        let chain = "x-forwarded-for";
        for (headers, caller) in [
            (vec![], "10.0.0.1"),
            (vec![(chain, "192.0.2.7")], "192.0.2.7"),
            // What the caller itself wrote stands before.
            (vec![(chain, "198.51.100.1, 192.0.2.7")], "192.0.2.7"),
            (vec![(chain, "192.0.2.7, 10.0.0.9")], "192.0.2.7"),
            (vec![(chain, "192.0.2.7"), (chain, "10.0.0.9")], "192.0.2.7"),
            (vec![(chain, "10.0.0.5")], "10.0.0.5"),
            (vec![(chain, "unknown")], "10.0.0.1"),
            (vec![(chain, "192.0.2.7, unknown, 10.0.0.9")], "10.0.0.9"),
        ] {
            assert_eq!(
                caller_of(BEHIND, "10.0.0.1", &headers),
                caller,
                "{headers:?}"
            );
        }
        let forged = [(chain, "192.0.2.7")];
        assert_eq!(caller_of(Way::default(), "10.0.0.1", &forged), "10.0.0.1");
        assert_eq!(caller_of(BEHIND, "198.51.100.1", &forged), "198.51.100.1");
    }

    fn told(headers: &[(&'static str, &'static str)]) -> String {
        let mut all = vec![("host", "core:13000")];
        all.extend(headers);
        origin_of(BEHIND, "127.0.0.1", &all)
    }

    #[test]
    fn without_a_proxy_it_is_what_the_caller_wrote() {
        let headers = [("host", "Core:13000"), ("x-forwarded-proto", "https")];
        let base = |way| origin_of(way, "127.0.0.1", &headers);
        assert_eq!(base(Way::default()), "http://Core:13000");
        let tls = Way {
            tls: true,
            ..Way::default()
        };
        assert_eq!(base(tls), "https://Core:13000");
        assert_eq!(origin_of(BEHIND, "127.0.0.1", &[]), "http://localhost");
    }

    #[test]
    fn a_proxys_headers_say_where_the_caller_sent_it() {
        for (headers, base) in [
            (vec![], "http://core:13000"),
            (vec![("x-forwarded-proto", "https")], "https://core"),
            (vec![("x-forwarded-proto", "http")], "http://core"),
            (
                vec![("x-forwarded-host", "pool.example")],
                "http://pool.example",
            ),
            (vec![("x-forwarded-port", "8443")], "http://core:8443"),
            (
                vec![
                    ("x-forwarded-proto", "HTTPS, http"),
                    ("x-forwarded-host", "pool.example , inner"),
                    ("x-forwarded-port", "443,80"),
                ],
                "https://pool.example",
            ),
            (
                vec![
                    ("x-forwarded-proto", "https"),
                    ("x-forwarded-host", "pool.example:8443"),
                ],
                "https://pool.example:8443",
            ),
            (
                vec![
                    ("x-forwarded-host", "pool.example:1"),
                    ("x-forwarded-port", "80"),
                ],
                "http://pool.example",
            ),
            (
                vec![("x-forwarded-host", "[2001:db8::1]:81")],
                "http://[2001:db8::1]:81",
            ),
            (
                vec![("forwarded", "for=192.0.2.1;proto=https;host=pool.example")],
                "https://pool.example",
            ),
            (
                vec![(
                    "forwarded",
                    r#"For="[2001:db8::1]:4711"; Proto=https; Host="pool.example:8443", for=10.0.0.1;host=inner"#,
                )],
                "https://pool.example:8443",
            ),
            // RFC 7239 wins over the older ones.
            (
                vec![
                    ("forwarded", "proto=https;host=new.example"),
                    ("x-forwarded-host", "old.example"),
                ],
                "https://new.example",
            ),
        ] {
            assert_eq!(told(&headers), base, "{headers:?}");
        }
    }

    #[test]
    fn what_is_malformed_is_passed_over() {
        for (name, value) in [
            ("x-forwarded-proto", "gopher"),
            ("x-forwarded-proto", ""),
            ("x-forwarded-proto", ",https"),
            ("x-forwarded-host", "pool.example/path"),
            ("x-forwarded-host", "pool example"),
            ("x-forwarded-host", "user@pool.example"),
            ("x-forwarded-host", "pool.example:"),
            ("x-forwarded-host", "pool.example:0"),
            ("x-forwarded-host", "pool.example:99999"),
            ("x-forwarded-host", "\"><script>"),
            ("x-forwarded-host", "[::1"),
            ("x-forwarded-host", "[::g]"),
            ("x-forwarded-host", "%70ool.example"),
            ("x-forwarded-port", "-1"),
            ("x-forwarded-port", "65536"),
            ("x-forwarded-port", "https"),
            ("forwarded", "proto"),
            ("forwarded", ";;,,=="),
            ("forwarded", "for=\"a;host=evil.example;proto=https"),
            ("forwarded", r#"for="\";host=evil.example""#),
            ("forwarded", "host=_hidden/;proto=wss"),
        ] {
            assert_eq!(
                told(&[(name, value)]),
                "http://core:13000",
                "{name}: {value}"
            );
        }
        let one_is_good = [
            ("x-forwarded-host", "b@d"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-port", "8443"),
        ];
        assert_eq!(told(&one_is_good), "https://core:8443");
        let rest = [
            ("forwarded", "for=192.0.2.1"),
            ("x-forwarded-proto", "https"),
        ];
        assert_eq!(told(&rest), "https://core");
    }

    #[test]
    fn only_neighbours_are_believed() {
        let headers = [("host", "core"), ("x-forwarded-host", "pool.example")];
        for (peer, is_believed) in [
            ("127.0.0.1", true),
            ("10.1.2.3", true),
            ("172.17.0.1", true),
            ("192.168.1.1", true),
            ("169.254.1.1", true),
            ("100.64.0.1", true),
            ("::1", true),
            ("fd00::1", true),
            ("fe80::1", true),
            ("::ffff:10.0.0.1", true),
            ("100.128.0.1", false),
            ("172.32.0.1", false),
            ("192.0.2.1", false),
            ("2001:db8::1", false),
            ("::ffff:192.0.2.1", false),
        ] {
            let base = origin_of(BEHIND, peer, &headers);
            assert_eq!(base == "http://pool.example", is_believed, "{peer}: {base}");
        }
    }
}
