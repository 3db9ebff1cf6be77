//! What every route has in common: headers, framework errors, odd paths, other pages' calls (spec scheduler-api §1).
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at once on what cannot happen"
)]

mod support;

use reqwest::Method;
use serde_json::json;
use support::{Answer, World};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const TASK: &str = "0x65bc5e94ed1486b940bd6cc0013c418efad58a0a52a3d08cee89faaa21970426";
const ANN: &str = "0x90f8bf6a479f320ead074411a4b0e7944ea8c9c1";

/// Every route of the document's index that is read, with a query that it understands.
fn read_routes() -> Vec<String> {
    let routes = [
        "/version",
        "/metrics",
        "/workers/config",
        "/workers/challenge?walletAddress=ANN",
        "/workers/computing",
        "/replicates/available?blockNumber=1",
        "/replicates/interrupted?blockNumber=1",
        "/tasks/logs/challenge?address=ANN&chainId=134",
        "/tasks/TASK",
        "/tasks/TASK/replicates/ANN",
        "/tasks/TASK/logs",
        "/tasks/TASK/replicates/ANN/logs",
        "/connect",
        "/connect/info",
        "/actuator",
        "/actuator/health",
        "/actuator/health/ping",
        "/actuator/info",
        "/v3/api-docs",
        "/v3/api-docs.yaml",
        "/v3/api-docs/swagger-config",
        "/swagger-ui/index.html",
    ];
    let filled = routes.map(|route| route.replace("TASK", TASK).replace("ANN", ANN));
    filled.to_vec()
}

/// And those that are posted to.
fn posted_routes() -> Vec<String> {
    vec![
        format!("/workers/login?walletAddress={ANN}"),
        "/workers/ping".to_owned(),
        "/workers/register".to_owned(),
        format!("/replicates/{TASK}/updateStatus"),
    ]
}

/// Without query.
fn path(route: &str) -> &str {
    route.split('?').next().unwrap()
}

fn is_connect(route: &str) -> bool {
    route.starts_with("/connect")
}

/// A framework error, member by member.
fn assert_framework_error(answer: &Answer, status: u16, reason: &str, path: &str) {
    assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.text);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("retry-after"), None);
    let (date, rest) = answer.text.split_at(r#"{"timestamp":""#.len() + 29);
    assert!(date.ends_with("+00:00"), "{date}");
    assert_eq!(
        rest,
        format!(r#"","status":{status},"error":"{reason}","path":"{path}"}}"#)
    );
}

#[tokio::test]
async fn every_answer_has_the_security_headers_once() {
    let world = World::new().await;
    let mut routes = read_routes();
    routes.push("/nothing/is/here".to_owned());
    routes.push("//version".to_owned());
    for route in routes.iter().chain(&posted_routes()) {
        let answer = world.get(route).await;
        let all = |name: &str| -> Vec<String> {
            let values = answer.headers.get_all(name).iter();
            values
                .map(|value| value.to_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(all("x-content-type-options"), ["nosniff"], "{route}");
        assert_eq!(all("x-xss-protection"), ["0"], "{route}");
        assert_eq!(all("x-frame-options"), ["DENY"], "{route}");
        let own_caching = route == "/connect/info";
        if own_caching {
            assert_eq!(
                all("cache-control"),
                ["no-store, no-cache, must-revalidate, max-age=0"]
            );
            assert_eq!(all("pragma"), Vec::<String>::new());
        } else {
            let no_cache = "no-cache, no-store, max-age=0, must-revalidate";
            assert_eq!(all("cache-control"), [no_cache], "{route}");
            assert_eq!(all("pragma"), ["no-cache"], "{route}");
            assert_eq!(all("expires"), ["0"], "{route}");
        }
        assert_eq!(
            all("vary"),
            [
                "Origin",
                "Access-Control-Request-Method",
                "Access-Control-Request-Headers"
            ],
            "{route}"
        );
        assert_eq!(all("set-cookie"), Vec::<String>::new());
        assert_eq!(all("access-control-allow-origin"), Vec::<String>::new());
    }
}

#[tokio::test]
async fn an_answer_without_a_body_has_no_type_either() {
    let world = World::new().await;
    let worker = world.registered(1).await;
    let nobody = format!("/tasks/{TASK}");
    let bad = [("Authorization", "Bearer x")];
    let unauthorized = world
        .call(Method::GET, "/workers/computing", &bad, None)
        .await;
    for (answer, status) in [(unauthorized, 401), (world.get(&nobody).await, 404)] {
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (status, ""));
        assert_eq!(answer.header("content-type"), None);
        assert_eq!(answer.header("content-length"), Some("0"));
        assert_eq!(answer.header("www-authenticate"), None);
    }
    let nothing = worker.ask(&world).await;
    assert_eq!(nothing.status, 204);
    assert_eq!(nothing.header("content-type"), None);
    assert_eq!(nothing.header("content-length"), None);
}

#[tokio::test]
async fn text_is_bare_whatever_it_is_called() {
    let world = World::new().await;
    let challenge = format!("/workers/challenge?walletAddress={ANN}");
    for route in ["/version", &challenge] {
        for (accept, kind) in [
            ("*/*", "text/plain;charset=UTF-8"),
            ("text/plain", "text/plain;charset=UTF-8"),
            ("application/json", "application/json"),
        ] {
            let headers = [("Accept", accept)];
            let answer = world.call(Method::GET, route, &headers, None).await;
            assert_eq!(answer.header("content-type"), Some(kind), "{route}");
            assert!(!answer.text.starts_with('"'));
            let length = answer.text.len().to_string();
            assert_eq!(answer.header("content-length"), Some(length.as_str()));
        }
    }
}

#[tokio::test]
async fn a_method_that_a_route_does_not_have_is_405_and_says_which_it_has() {
    let world = World::new().await;
    for route in read_routes().iter().filter(|route| !is_connect(route)) {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            let answer = world.call(method, route, &[], None).await;
            assert_framework_error(&answer, 405, "Method Not Allowed", path(route));
            assert!(
                answer.header("allow").unwrap().starts_with("GET"),
                "{route}"
            );
        }
    }
    for route in posted_routes() {
        for method in [Method::GET, Method::HEAD, Method::PUT] {
            let answer = world.call(method.clone(), &route, &[], None).await;
            assert_eq!(answer.status, 405, "{method} {route}");
            assert_eq!(answer.header("allow"), Some("POST"), "{route}");
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_404_and_so_is_anything_with_a_slash_behind_it() {
    let world = World::new().await;
    for route in read_routes().iter().filter(|route| *route != "/connect") {
        let path = format!("{}/", path(route));
        let answer = world.get(&path).await;
        assert_eq!(answer.status, 404, "{path}");
        if !is_connect(&path) {
            assert_framework_error(&answer, 404, "Not Found", &path);
        }
    }
    for path in [
        "/",
        "/logout",
        "/login",
        "/favicon.ico",
        "/actuator/env",
        "/workers",
        "/connect/a/b",
        "/connect/a/b/c/d",
    ] {
        assert_eq!(world.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn head_is_answered_as_get_is_without_the_body() {
    let world = World::new().await;
    for route in read_routes()
        .iter()
        .filter(|route| *route != "/connect/info")
    {
        let get = world.get(route).await;
        let head = world.call(Method::HEAD, route, &[], None).await;
        assert_eq!(head.status, get.status, "{route}");
        assert_eq!(
            head.header("content-type"),
            get.header("content-type"),
            "{route}"
        );
        assert_eq!(head.text, "");
    }
}

#[tokio::test]
async fn what_is_missing_or_cannot_be_read_is_400_and_what_is_not_json_415() {
    let world = World::new().await;
    let worker = world.registered(1).await;
    let bearer = worker.bearer();
    let known = [("Authorization", bearer.as_str())];
    let get = Method::GET;
    for (route, headers) in [
        ("/workers/challenge", &known[..0]),
        ("/tasks/logs/challenge", &known[..0]),
        ("/replicates/available", &known[..]),
        ("/replicates/available?blockNumber=abc", &known[..]),
        ("/replicates/available?blockNumber=", &known[..]),
        ("/replicates/interrupted?blockNumber=1.5", &known[..]),
        ("/workers/computing", &known[..0]),
        (&format!("/tasks/{TASK}/logs"), &known[..0]),
    ] {
        let answer = world.call(get.clone(), route, headers, None).await;
        assert_framework_error(&answer, 400, "Bad Request", path(route));
    }
    for route in posted_routes()
        .iter()
        .filter(|route| !route.ends_with("ping"))
    {
        for broken in ["", "{", "[1]", "\"text\""] {
            let answer = world.call(Method::POST, route, &known, Some(broken)).await;
            assert_framework_error(&answer, 400, "Bad Request", path(route));
        }
        let url = format!("{}{route}", world.base);
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/octet-stream",
        ] {
            let request = reqwest::Client::new()
                .post(&url)
                .header("Authorization", &bearer)
                .header("Content-Type", kind)
                .body("{}");
            assert_eq!(
                request.send().await.unwrap().status(),
                415,
                "{route} {kind}"
            );
        }
        let utf8 = reqwest::Client::new()
            .post(&url)
            .header("Authorization", &bearer)
            .header("Content-Type", "application/json;charset=UTF-8")
            .body("{}");
        assert_ne!(utf8.send().await.unwrap().status(), 415, "{route}");
    }
}

#[tokio::test]
async fn a_browser_is_shown_a_page_where_a_program_is_shown_json() {
    let world = World::new().await;
    let browser = [(
        "Accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    )];
    for (route, status) in [
        ("/nothing", 404),
        ("/workers/challenge", 400),
        ("/workers/ping", 405),
    ] {
        let answer = world.call(Method::GET, route, &browser, None).await;
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(
            answer.header("content-type"),
            Some("text/html;charset=UTF-8")
        );
        assert!(
            answer.text.starts_with("<!DOCTYPE html>"),
            "{}",
            answer.text
        );
    }
}

/// A request to the byte, since clients mend paths and refuse headers; its status.
async fn raw(world: &World, method: &str, path: &str, headers: &str) -> u16 {
    let host = world.base.trim_start_matches("http://");
    let mut connection = TcpStream::connect(host).await.unwrap();
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Length: 0\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut start = [0; 12];
    connection.read_exact(&mut start).await.unwrap();
    let start = std::str::from_utf8(&start).unwrap();
    start.strip_prefix("HTTP/1.1 ").unwrap().parse().unwrap()
}

#[tokio::test]
async fn paths_that_could_mean_two_things_are_refused() {
    let world = World::new().await;
    for path in [
        "//version",
        "/workers//config",
        "/version;a=b",
        "/version%3Ba",
        "/tasks%2Flogs%2Fchallenge",
        "/tasks/%2e%2e/version",
        "/tasks/../version",
        "/./version",
        "/version%5C",
        "/version%00",
        "/connect//info",
        "/connect/1;2/info",
    ] {
        assert_eq!(raw(&world, "GET", path, "").await, 400, "{path}");
    }
}

#[tokio::test]
async fn an_offer_to_upgrade_to_tls_is_passed_over_on_every_route() {
    // §14.6: workers on newer clients send this with each request.
    let world = World::new().await;
    let offer = "Upgrade: TLS/1.2\r\nConnection: Upgrade\r\n";
    let streams = [
        "/connect/1/00000000000000000000000000000001/xhr_streaming",
        "/connect/1/00000000000000000000000000000002/xhr",
        "/connect/1/00000000000000000000000000000003/xhr_send",
    ];
    let streams = streams.map(|route| ("POST", route.to_owned()));
    let reads = read_routes().into_iter().map(|route| ("GET", route));
    let posts = posted_routes().into_iter().map(|route| ("POST", route));
    for (method, route) in reads.chain(posts).chain(streams) {
        let with = raw(&world, method, &route, offer).await;
        let session = route
            .replace("000/xhr", "00f/xhr")
            .replace("0001/", "000a/");
        let without = raw(&world, method, &session.replace("0002/", "000b/"), "").await;
        assert_eq!(with, without, "{method} {route}");
        assert_ne!(with, 101, "{route}");
    }
    // Only a WebSocket is no SockJS client, and told so.
    let socket = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
    assert_eq!(raw(&world, "GET", "/connect", socket).await, 400);
}

#[tokio::test]
async fn pages_of_browsers_may_read_and_post_and_nothing_else() {
    let world = World::new().await;
    let page = ("Origin", "https://page.example");
    for route in read_routes() {
        let answer = world.call(Method::GET, &route, &[page], None).await;
        let allowed = answer.header("access-control-allow-origin");
        if is_connect(&route) {
            assert_eq!((answer.status.as_u16(), allowed), (403, None), "{route}");
        } else if route.starts_with("/actuator") {
            assert_eq!((answer.status.as_u16(), allowed), (200, None), "{route}");
        } else {
            assert_eq!(allowed, Some("*"), "{route}");
            assert_eq!(answer.header("access-control-allow-credentials"), None);
        }
    }
    let preflight = async |route: &str, method: &'static str| {
        let asked = [
            page,
            ("Access-Control-Request-Method", method),
            ("Access-Control-Request-Headers", "authorization, x-any"),
        ];
        world.call(Method::OPTIONS, route, &asked, None).await
    };
    let logs = format!("/tasks/{TASK}/logs");
    for method in ["GET", "HEAD", "POST"] {
        let answer = preflight(&logs, method).await;
        assert_eq!((answer.status.as_u16(), &*answer.text), (200, ""));
        for (name, value) in [
            ("access-control-allow-origin", "*"),
            ("access-control-allow-methods", "GET,HEAD,POST"),
            ("access-control-allow-headers", "authorization, x-any"),
            ("access-control-max-age", "1800"),
        ] {
            assert_eq!(answer.header(name), Some(value));
        }
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
    for method in ["PUT", "DELETE", "PATCH"] {
        let answer = preflight(&logs, method).await;
        assert_eq!(
            (answer.status.as_u16(), &*answer.text),
            (403, "Invalid CORS request")
        );
    }
    let put = world.call(Method::PUT, &logs, &[page], None).await;
    assert_eq!(
        (put.status.as_u16(), &*put.text),
        (403, "Invalid CORS request")
    );
    // No page opens a push channel.
    let session = "/connect/1/00000000000000000000000000000001";
    for transport in ["xhr_streaming", "xhr", "xhr_send"] {
        let route = format!("{session}/{transport}");
        assert_eq!(preflight(&route, "POST").await.status, 403, "{route}");
        let sent = world.call(Method::POST, &route, &[page], Some("[]")).await;
        assert_eq!(sent.status, 403, "{route}");
    }
}

#[tokio::test]
async fn the_longest_logs_that_a_worker_keeps_are_taken() {
    // 100,000 characters of each, all of which JSON writes with six.
    let world = World::new().await;
    let worker = world.registered(1).await;
    let task = support::brought_to(&world, &worker, "COMPUTING").await;
    let text = "\u{1}".repeat(100_000);
    let details = json!({"exitCode": 0, "computeLogs": {"stdout": text, "stderr": text}});
    let answer = worker.report(&world, task, "COMPUTED", details).await;
    assert_eq!(
        (answer.status.as_u16(), &*answer.text),
        (200, "\"PLEASE_CONTRIBUTE\"")
    );
}

#[tokio::test]
async fn the_push_channel_does_not_look_at_what_a_request_calls_itself() {
    let world = World::new().await;
    let url = |session: u8| format!("{}/connect/7/{session:032}/xhr", world.base);
    let client = reqwest::Client::new();
    for (session, kind) in (1u8..).zip([
        None,
        Some("application/x-www-form-urlencoded"),
        Some("text/plain"),
    ]) {
        let mut request = client.post(url(session)).header("Content-Length", "0");
        if let Some(kind) = kind {
            request = request.header("Content-Type", kind);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers().get("content-encoding"), None);
        assert_eq!(answer.text().await.unwrap(), "o\n");
    }
}
