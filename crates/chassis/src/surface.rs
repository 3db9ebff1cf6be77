//! What stands between the network and a service's own routes, the same for every service: limits, refusal of odd paths,
//! CORS, security headers, and the framework's errors for whatever the routes do not answer.

use std::panic::AssertUnwindSafe;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{CACHE_CONTROL, EXPIRES, PRAGMA};
use axum::http::uri::{PathAndQuery, Uri};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use futures_util::FutureExt as _;

use crate::cors::cors;
use crate::error::{framework_error, method_not_allowed, not_found, pages};

/// How a service shows itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Surface {
    /// Bytes that a request's body may have; routes may set their own. Compute logs need 2 MiB (spec scheduler-api §1.4).
    pub body_limit: usize,
    /// What becomes of `//` in a path: one slash, or a refusal as in the original.
    pub slashes: Slashes,
}

/// What becomes of `//` in a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slashes {
    /// 400, as the original's firewall answers.
    Refuse,
    /// One slash: TEE programs join URLs without looking (spec result-proxy §11.2).
    Collapse,
}

impl Default for Surface {
    fn default() -> Self {
        Self {
            body_limit: 8 << 20,
            slashes: Slashes::Refuse,
        }
    }
}

impl Surface {
    /// `routes` behind this surface.
    pub fn over(self, routes: Router) -> Router {
        let routes = routes
            .fallback(not_found)
            .method_not_allowed_fallback(method_not_allowed);
        // As the fallback of an empty router, so that layers see the path before it is routed.
        Router::new()
            .fallback_service(routes)
            .layer(DefaultBodyLimit::max(self.body_limit))
            .layer(from_fn_with_state(self.slashes, firewall))
            .layer(from_fn(cors))
            .layer(from_fn(secure))
            .layer(from_fn(catch_bugs))
            .layer(from_fn(pages))
    }
}

/// Refuses paths that could mean two things.
async fn firewall(State(slashes): State<Slashes>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if slashes == Slashes::Collapse && path.contains("//") {
        match collapsed(request.uri()) {
            Some(uri) => *request.uri_mut() = uri,
            None => return framework_error(StatusCode::BAD_REQUEST, path),
        }
    }
    let path = request.uri().path();
    if is_odd(path) {
        return framework_error(StatusCode::BAD_REQUEST, path);
    }
    next.run(request).await
}

fn is_odd(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let has = |part: &&str| lower.contains(*part);
    ["//", ";", "%3b", "%2f", "%5c", "\\", "%25", "%2e", "%00"]
        .iter()
        .any(has)
        || lower
            .split('/')
            .any(|segment| segment == "." || segment == "..")
}

fn collapsed(uri: &Uri) -> Option<Uri> {
    let mut path = String::with_capacity(uri.path().len());
    for character in uri.path().chars() {
        if !(character == '/' && path.ends_with('/')) {
            path.push(character);
        }
    }
    if let Some(query) = uri.query() {
        path.push('?');
        path.push_str(query);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path.parse::<PathAndQuery>().ok()?);
    Uri::from_parts(parts).ok()
}

/// The headers of spec scheduler-api §1.3, unless the route has set its own.
async fn secure(request: Request, next: Next) -> Response {
    const HEADERS: [(HeaderName, &str); 6] = [
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
        (HeaderName::from_static("x-xss-protection"), "0"),
        (
            CACHE_CONTROL,
            "no-cache, no-store, max-age=0, must-revalidate",
        ),
        (PRAGMA, "no-cache"),
        (EXPIRES, "0"),
        (HeaderName::from_static("x-frame-options"), "DENY"),
    ];
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let caching_is_set = headers.contains_key(CACHE_CONTROL);
    for (name, value) in HEADERS {
        let about_caching = name == PRAGMA || name == EXPIRES;
        if !(about_caching && caching_is_set) {
            headers
                .entry(name)
                .or_insert(HeaderValue::from_static(value));
        }
    }
    response
}

/// A bug in a route is a 500 for its caller, and nothing for everybody else.
async fn catch_bugs(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            let reason = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("unknown");
            tracing::error!(path, reason, "a bug: a request handler panicked");
            framework_error(StatusCode::INTERNAL_SERVER_ERROR, &path)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_could_mean_two_things_is_odd() {
        for odd in [
            "//a",
            "/a/../b",
            "/a/.",
            "/%2E%2e/a",
            "/a%00",
            "/a;b",
            "/a\\b",
            "/a%3Bb",
            "/a%2fb",
        ] {
            assert!(is_odd(odd), "{odd}");
        }
        for plain in ["/", "/a/b", "/a.b/..c", "/tasks/0x%20"] {
            assert!(!is_odd(plain), "{plain}");
        }
    }

    #[test]
    fn collapsing_keeps_the_query() {
        let uri: Uri = "/a///b//?c=//d".parse().unwrap();
        assert_eq!(collapsed(&uri).unwrap().to_string(), "/a/b/?c=//d");
    }
}
