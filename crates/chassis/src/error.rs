//! Errors that are the framework's and not a service's, in the shape of the original's framework (spec scheduler-api §1.4):
//! unknown paths, wrong methods, what is missing or cannot be read in a request, and bugs.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::Request;
use axum::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use poco::units::Timestamp;
use serde::Serialize;

/// A framework error on its way to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameworkError {
    /// The status code.
    pub status: StatusCode,
    /// The path that was asked for, without query.
    pub path: String,
}

impl FrameworkError {
    /// An error with `status` for a request to `path`.
    pub fn new(status: StatusCode, path: impl Into<String>) -> Self {
        Self {
            status,
            path: path.into(),
        }
    }

    fn page(&self) -> String {
        let (code, path) = (self.status, escaped(&self.path));
        format!(
            "<!DOCTYPE html><html><head><title>{code}</title></head><body><h1>{code}</h1><p>{path}</p></body></html>"
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

impl IntoResponse for FrameworkError {
    fn into_response(self) -> Response {
        framework_error(self.status, &self.path)
    }
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(with = "wire::date")]
    timestamp: Timestamp,
    status: u16,
    error: &'a str,
    path: &'a str,
}

/// `{"timestamp":…,"status":400,"error":"Bad Request","path":"/workers/ping"}` with that status. Never with `Retry-After`.
pub fn framework_error(status: StatusCode, path: &str) -> Response {
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let body = Body {
        timestamp: Timestamp::default().saturating_add(since_1970),
        status: status.as_u16(),
        error: status.canonical_reason().unwrap_or("Unknown"),
        path,
    };
    let mut response = (status, axum::Json(body)).into_response();
    response
        .extensions_mut()
        .insert(FrameworkError::new(status, path));
    response
}

/// Shows framework errors as a page to whoever would rather have one.
pub(crate) async fn pages(request: Request, next: Next) -> Response {
    let prefers_page = prefers_page(request.headers());
    let response = next.run(request).await;
    match response.extensions().get::<FrameworkError>() {
        Some(error) if prefers_page => {
            let page = axum::body::Body::from(error.page());
            let (mut parts, _) = response.into_parts();
            let html = HeaderValue::from_static("text/html;charset=UTF-8");
            parts.headers.insert(CONTENT_TYPE, html);
            parts.headers.remove(CONTENT_LENGTH);
            Response::from_parts(parts, page)
        }
        _ => response,
    }
}

/// Whether a page is what the caller names first of what it likes best.
fn prefers_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let mut best = ("", 0.0_f32);
    for kind in accept.unwrap_or_default().split(',') {
        let mut parts = kind.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok());
        let quality = quality.unwrap_or(1.0);
        if quality > best.1 {
            best = (name, quality);
        }
    }
    best.0.eq_ignore_ascii_case("text/html")
}

/// The answer for paths that nothing is at.
pub(crate) async fn not_found(request: Request) -> Response {
    framework_error(StatusCode::NOT_FOUND, request.uri().path())
}

/// The answer for methods that a path does not have; the router adds `Allow`.
pub(crate) async fn method_not_allowed(request: Request) -> Response {
    framework_error(StatusCode::METHOD_NOT_ALLOWED, request.uri().path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_for_whoever_names_it_first_of_what_it_likes_best() {
        let prefers = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            prefers_page(&headers)
        };
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for page in [browser, "text/html", "application/json;q=0.5, Text/HTML"] {
            assert!(prefers(page), "{page}");
        }
        for json in [
            "*/*",
            "application/json, text/html",
            "text/html;q=0.1,*/*",
            "",
        ] {
            assert!(!prefers(json), "{json}");
        }
        assert!(!prefers_page(&HeaderMap::new()));
    }

    #[test]
    fn a_path_cannot_write_into_a_page() {
        let page = FrameworkError::new(StatusCode::NOT_FOUND, "/<b>&").page();
        assert!(page.contains("<p>/&lt;b&gt;&amp;</p>"), "{page}");
    }
}
