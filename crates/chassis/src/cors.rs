//! Which pages of browsers may call us: all of them, with GET, HEAD and POST (spec scheduler-api §1.3). The actuator is not
//! for browsers, and the push channel sees to that itself.

use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
    VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

const METHODS: HeaderValue = HeaderValue::from_static("GET,HEAD,POST");
const ANY: HeaderValue = HeaderValue::from_static("*");
/// Seconds for which a browser remembers an answer.
const MAX_AGE: HeaderValue = HeaderValue::from_static("1800");

/// Answers preflights, refuses calls of other pages with other methods, and lets the rest pass with the headers it needs.
pub(crate) async fn cors(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let outside = path.starts_with("/actuator") || path.starts_with("/connect");
    if outside || !request.headers().contains_key(ORIGIN) {
        return with_vary(next.run(request).await);
    }
    let headers = request.headers();
    let preflight = (request.method() == Method::OPTIONS)
        .then(|| headers.get(ACCESS_CONTROL_REQUEST_METHOD))
        .flatten();
    let response = match preflight {
        Some(method) if allowed(method.as_bytes()) => answer_preflight(headers),
        None if allowed(request.method().as_str().as_bytes()) => {
            let mut response = next.run(request).await;
            response
                .headers_mut()
                .insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
            response
        }
        _ => (StatusCode::FORBIDDEN, "Invalid CORS request").into_response(),
    };
    with_vary(response)
}

fn allowed(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"POST")
}

fn answer_preflight(asked: &HeaderMap) -> Response {
    let mut response = StatusCode::OK.into_response();
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    for wanted in asked.get_all(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.append(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    response
}

fn with_vary(mut response: Response) -> Response {
    for header in [
        "Origin",
        "Access-Control-Request-Method",
        "Access-Control-Request-Headers",
    ] {
        response
            .headers_mut()
            .append(VARY, HeaderValue::from_static(header));
    }
    response
}
