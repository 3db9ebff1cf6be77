//! What every service of ours answers beside its own routes, over real connections (spec scheduler-api §1.3, §1.4, §4.4).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops at once on what cannot happen"
)]

use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use chassis::actuator::{Actuator, Build};
use chassis::env::{MapEnv, Reader, Role};
use chassis::extract::{Json, Path, Query};
use chassis::health::{Condition, Health};
use chassis::metrics::Metrics;
use chassis::{Shutdown, Slashes, Surface};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const LOCAL: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

struct Service {
    base: String,
    client: Client,
    shutdown: Shutdown,
    task: JoinHandle<std::io::Result<()>>,
}

impl Service {
    async fn start(routes: Router, surface: Surface, drain: Duration) -> Self {
        let listener = chassis::listen(LOCAL.into(), "WORKERPOOL_TEST_PORT")
            .await
            .unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = Shutdown::new();
        let task = tokio::spawn(chassis::serve_with(
            listener,
            routes,
            surface,
            drain,
            shutdown.clone(),
        ));
        let client = Client::builder().no_proxy().build().unwrap();
        Self {
            base,
            client,
            shutdown,
            task,
        }
    }

    async fn with(routes: Router) -> Self {
        Self::start(routes, Surface::default(), chassis::serve::DRAIN).await
    }

    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    async fn get(&self, path: &str) -> (u16, HeaderMap, String) {
        answer(self.ask(Method::GET, path)).await
    }
}

async fn answer(request: RequestBuilder) -> (u16, HeaderMap, String) {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    (status, headers, response.text().await.unwrap())
}

#[derive(Deserialize)]
struct Block {
    #[serde(rename = "blockNumber")]
    number: u64,
}

fn routes() -> Router {
    Router::new()
        .route("/version", get(async || chassis::text("9.3.0")))
        .route(
            "/number",
            get(async |Query(block): Query<Block>| block.number.to_string()),
        )
        .route(
            "/tasks/{index}",
            get(async |Path(index): Path<u32>| index.to_string()),
        )
        .route(
            "/body",
            post(async |Json(block): Json<Block>| block.number.to_string()),
        )
        .route("/bug", get(bug))
}

async fn bug() -> &'static str {
    panic!("nothing is here")
}

/// The framework error without its time, which must be a date of the Java form.
fn framework_error(body: &str) -> (u64, String, String) {
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let members: Vec<_> = body.as_object().unwrap().keys().cloned().collect();
    assert_eq!(members.len(), 4, "{body}");
    let date = body["timestamp"].as_str().unwrap();
    assert!(
        wire::date::parse(date).is_ok() && date.ends_with("+00:00"),
        "{date}"
    );
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    (
        body["status"].as_u64().unwrap(),
        text("error"),
        text("path"),
    )
}

fn error(status: u64, error: &str, path: &str) -> (u64, String, String) {
    (status, error.to_owned(), path.to_owned())
}

#[tokio::test]
async fn what_no_route_answers_is_a_framework_error() {
    let service = Service::with(routes()).await;
    let (status, headers, body) = service.get("/nowhere?x=1").await;
    assert_eq!(
        (status, headers["content-type"].to_str().unwrap()),
        (404, "application/json")
    );
    assert_eq!(framework_error(&body), error(404, "Not Found", "/nowhere"));
    let (status, ..) = service.get("/version/").await;
    assert_eq!(status, 404);

    let (status, headers, body) = answer(service.ask(Method::POST, "/version")).await;
    assert_eq!(status, 405);
    assert!(headers["allow"].to_str().unwrap().contains("GET"));
    assert_eq!(
        framework_error(&body),
        error(405, "Method Not Allowed", "/version")
    );
}

#[tokio::test]
async fn a_browser_is_shown_a_page_instead() {
    let service = Service::with(routes()).await;
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    for (method, path, expected) in [
        (Method::GET, "/nowhere", 404),
        (Method::POST, "/version", 405),
        (Method::GET, "/number", 400),
        (Method::GET, "//version", 400),
        (Method::GET, "/bug", 500),
    ] {
        let request = service.ask(method, path).header("Accept", browser);
        let (status, headers, body) = answer(request).await;
        assert_eq!(status, expected, "{path}");
        assert_eq!(headers["content-type"], "text/html;charset=UTF-8");
        assert!(body.contains(&format!("<h1>{expected} ")), "{body}");
        assert_eq!(headers.contains_key("allow"), expected == 405);
    }
    let request = service.ask(Method::GET, "/version");
    let (_, headers, body) = answer(request.header("Accept", browser)).await;
    assert_eq!(
        body, "9.3.0",
        "what is no error stays as it is: {headers:?}"
    );
}

#[tokio::test]
async fn what_is_missing_or_unreadable_in_a_request_is_400() {
    let service = Service::with(routes()).await;
    for path in ["/number", "/number?blockNumber=abc", "/tasks/abc"] {
        let (status, _, body) = service.get(path).await;
        assert_eq!(status, 400, "{path}");
        let path = path.split('?').next().unwrap();
        assert_eq!(framework_error(&body), error(400, "Bad Request", path));
    }
    for json in ["", "{", "{}", r#"{"blockNumber":"x"}"#] {
        let request = service
            .ask(Method::POST, "/body")
            .header("Content-Type", "application/json");
        let (status, _, body) = answer(request.body(json)).await;
        assert_eq!(status, 400, "{json}");
        assert_eq!(framework_error(&body), error(400, "Bad Request", "/body"));
    }
    assert_eq!(service.get("/number?blockNumber=7&unknown=1").await.2, "7");
    // A request without body may say that it is JSON: the original's client always does (spec scheduler-api §1.2).
    let request = service
        .ask(Method::GET, "/version")
        .header("Content-Type", "application/json");
    assert_eq!(answer(request).await.2, "9.3.0");
}

#[tokio::test]
async fn a_body_that_is_not_json_is_415_and_one_that_is_too_long_is_413() {
    let surface = Surface {
        body_limit: 100,
        ..Surface::default()
    };
    let service = Service::start(routes(), surface, chassis::serve::DRAIN).await;
    let plain = service
        .ask(Method::POST, "/body")
        .header("Content-Type", "text/plain")
        .body("{}");
    let (status, _, body) = answer(plain).await;
    assert_eq!(status, 415);
    assert_eq!(
        framework_error(&body),
        error(415, "Unsupported Media Type", "/body")
    );

    let long = format!(r#"{{"blockNumber":1,"padding":"{}"}}"#, "x".repeat(200));
    let request = service
        .ask(Method::POST, "/body")
        .header("Content-Type", "application/json");
    let (status, _, body) = answer(request.body(long)).await;
    assert_eq!(status, 413);
    assert_eq!(
        framework_error(&body),
        error(413, "Payload Too Large", "/body")
    );
}

#[tokio::test]
async fn a_bug_in_a_route_is_500_and_the_service_goes_on() {
    let service = Service::with(routes()).await;
    let (status, _, body) = service.get("/bug").await;
    assert_eq!(status, 500);
    assert_eq!(
        framework_error(&body),
        error(500, "Internal Server Error", "/bug")
    );
    assert_eq!(service.get("/version").await.2, "9.3.0");
}

#[tokio::test]
async fn text_is_bare_and_labelled_and_carries_the_security_headers() {
    let service = Service::with(routes()).await;
    let (status, headers, body) = service.get("/version").await;
    assert_eq!((status, body.as_str()), (200, "9.3.0"));
    let header = |name: &str| headers[name].to_str().unwrap();
    assert_eq!(header("content-type"), "text/plain;charset=UTF-8");
    assert_eq!(header("content-length"), "5");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("x-frame-options"), "DENY");
    assert_eq!(
        header("cache-control"),
        "no-cache, no-store, max-age=0, must-revalidate"
    );
    assert!(!headers.contains_key("access-control-allow-origin"));
    let (status, headers, body) = answer(service.ask(Method::HEAD, "/version")).await;
    assert_eq!(
        (
            status,
            headers["content-length"].to_str().unwrap(),
            body.as_str()
        ),
        (200, "5", "")
    );
}

#[tokio::test]
async fn any_page_may_call_with_get_head_and_post() {
    let service = Service::with(routes()).await;
    let page = |method: Method, path: &str| {
        service
            .ask(method, path)
            .header("Origin", "https://page.example")
    };

    let (status, headers, _) = answer(page(Method::GET, "/version")).await;
    assert_eq!(
        (
            status,
            headers["access-control-allow-origin"].to_str().unwrap()
        ),
        (200, "*")
    );
    assert!(!headers.contains_key("access-control-allow-credentials"));

    let preflight = page(Method::OPTIONS, "/version")
        .header("Access-Control-Request-Method", "GET")
        .header(
            "Access-Control-Request-Headers",
            "authorization, x-anything",
        );
    let (status, headers, body) = answer(preflight).await;
    let header = |name: &str| headers[name].to_str().unwrap();
    assert_eq!((status, body.as_str()), (200, ""));
    assert_eq!(header("access-control-allow-origin"), "*");
    assert_eq!(header("access-control-allow-methods"), "GET,HEAD,POST");
    assert_eq!(
        header("access-control-allow-headers"),
        "authorization, x-anything"
    );
    assert_eq!(header("access-control-max-age"), "1800");
    let vary: Vec<_> = headers
        .get_all("vary")
        .iter()
        .map(|value| value.to_str().unwrap())
        .collect();
    assert_eq!(
        vary,
        [
            "Origin",
            "Access-Control-Request-Method",
            "Access-Control-Request-Headers"
        ]
    );

    let delete =
        page(Method::OPTIONS, "/version").header("Access-Control-Request-Method", "DELETE");
    let (status, _, body) = answer(delete).await;
    assert_eq!((status, body.as_str()), (403, "Invalid CORS request"));
    let (status, _, body) = answer(page(Method::PUT, "/version")).await;
    assert_eq!((status, body.as_str()), (403, "Invalid CORS request"));
}

#[tokio::test]
async fn odd_paths_are_refused_and_doubled_slashes_are_collapsed_where_that_is_wanted() {
    let service = Service::with(routes()).await;
    for path in ["//version", "/tasks/7;x=1", "/tasks/a%2Fb", "/tasks/%252e"] {
        assert_eq!(service.get(path).await.0, 400, "{path}");
    }
    let surface = Surface {
        slashes: Slashes::Collapse,
        ..Surface::default()
    };
    let service = Service::start(routes(), surface, chassis::serve::DRAIN).await;
    let (status, _, body) = service.get("//tasks///7?x=a//b").await;
    assert_eq!((status, body.as_str()), (200, "7"));
}

fn actuator(shown: &[&str]) -> (Actuator, Health) {
    let health = Health::new();
    let build = Build {
        artifact: "iexec-core",
        name: "iexec-core",
        version: "1.2.3",
        group: "com.iexec.core",
    };
    let shown = shown.iter().map(|name| (*name).to_owned()).collect();
    let metrics = Metrics::new("iexec-core", "1.2.3");
    (
        Actuator {
            health: health.clone(),
            metrics,
            build,
            shown,
        },
        health,
    )
}

#[tokio::test]
async fn health_tells_every_component_and_is_503_when_one_cannot_be_used() {
    let (actuator, health) = actuator(&["health", "info"]);
    health.register("blockchainConnection", || {
        Condition::out_of_service()
            .with("consecutiveFailures", 2)
            .with("pollingInterval", "PT5S")
    });
    let service = Service::with(actuator.router()).await;
    let (status, headers, body) = service.get("/actuator/health").await;
    assert_eq!(status, 503);
    assert_eq!(
        headers["content-type"].to_str().unwrap(),
        "application/vnd.spring-boot.actuator.v3+json"
    );
    insta::assert_snapshot!(body, @r#"{"status":"OUT_OF_SERVICE","components":{"blockchainConnection":{"status":"OUT_OF_SERVICE","details":{"consecutiveFailures":2,"pollingInterval":"PT5S"}},"ping":{"status":"UP"}}}"#);
    assert_eq!(
        service.get("/actuator/health/ping").await.2,
        r#"{"status":"UP"}"#
    );
    assert_eq!(
        service.get("/actuator/health/blockchainConnection").await.0,
        503
    );
    assert_eq!(service.get("/actuator/health/nothing").await.0, 404);

    health.register("blockchainConnection", Condition::up);
    assert_eq!(service.get("/actuator/health").await.0, 200);
}

#[tokio::test]
async fn the_actuator_shows_only_what_is_wanted() {
    let (actuator, _) = actuator(&["health", "info"]);
    let service = Service::with(actuator.router()).await;
    insta::assert_snapshot!(
        service.get("/actuator/info").await.2,
        @r#"{"build":{"artifact":"iexec-core","name":"iexec-core","version":"1.2.3","group":"com.iexec.core"}}"#
    );
    assert_eq!(service.get("/actuator/prometheus").await.0, 404);
    let links: serde_json::Value = serde_json::from_str(&service.get("/actuator").await.2).unwrap();
    assert_eq!(
        links["_links"]["health"]["href"],
        format!("{}/actuator/health", service.base)
    );
    assert!(links["_links"]["prometheus"].is_null());
}

#[test]
fn what_is_excluded_is_not_shown_even_with_all_of_the_rest() {
    let shown = |include: &str, exclude: &str| {
        let env = MapEnv::from([
            ("IEXEC_CORE_MANAGEMENT_ACTUATORS", include),
            ("MANAGEMENT_ENDPOINTS_WEB_EXPOSURE_EXCLUDE", exclude),
        ]);
        let mut read = Reader::new(&env, Role::Scheduler);
        let name = "IEXEC_CORE_MANAGEMENT_ACTUATORS";
        chassis::actuator::shown(&mut read, name, &chassis::actuator::USUAL).join(" ")
    };
    assert_eq!(shown("", ""), "health info prometheus");
    assert_eq!(shown("*", ""), "health info metrics prometheus");
    assert_eq!(shown("*", "prometheus, metrics"), "health info");
    assert_eq!(shown("Health, beans", ""), "health");
    assert_eq!(shown("*", "*"), "");
}

#[tokio::test]
async fn figures_are_shown_one_by_one_under_the_original_s_names() {
    let (actuator, health) = actuator(&["*"]);
    let service = Service::with(actuator.router()).await;
    assert_eq!(
        service.get("/actuator/metrics").await.2,
        r#"{"names":["iexec.version","iexec.version.info"]}"#
    );
    let path = "/actuator/metrics/iexec.version.info";
    insta::assert_snapshot!(service.get(path).await.2, @r#"{"name":"iexec.version.info","description":"Exposes the version and the name of the application","measurements":[{"statistic":"VALUE","value":1.0}],"availableTags":[{"tag":"iexecAppName","values":["iexec-core"]},{"tag":"iexecAppVersion","values":["1.2.3"]}]}"#);
    let with = async |tag: &str| service.get(&format!("{path}?tag={tag}")).await.0;
    assert_eq!(with("iexecAppName:iexec-core").await, 200);
    assert_eq!(with("iexecAppName:other").await, 404);
    assert_eq!(with("iexecAppName").await, 400);
    assert_eq!(service.get("/actuator/metrics/nothing").await.0, 404);
    // What Kubernetes asks has nothing to do with how components are.
    health.register("blockchainConnection", Condition::out_of_service);
    for group in ["liveness", "readiness"] {
        let (status, _, body) = service.get(&format!("/actuator/health/{group}")).await;
        assert_eq!((status, body.as_str()), (200, r#"{"status":"UP"}"#));
    }
}

#[tokio::test]
async fn prometheus_reads_the_times_of_requests_by_route() {
    let (actuator, _) = actuator(&["*"]);
    let metrics = actuator.metrics.clone();
    let service = Service::with(metrics.timed(routes()).merge(actuator.router())).await;
    service.get("/tasks/7").await;
    let (status, headers, body) = service.get("/actuator/prometheus").await;
    assert_eq!(status, 200);
    assert_eq!(
        headers["content-type"].to_str().unwrap(),
        "text/plain;version=0.0.4;charset=utf-8"
    );
    let sample =
        r#"http_server_requests_seconds_count{method="GET",uri="/tasks/{index}",status="200"} 1"#;
    assert!(body.contains(sample), "{body}");
    assert!(
        body.contains(r#"iexec_version_info{iexecAppName="iexec-core",iexecAppVersion="1.2.3"} 1"#)
    );
    let openly = service
        .ask(Method::GET, "/actuator/prometheus")
        .header("Accept", "application/openmetrics-text");
    assert!(answer(openly).await.2.ends_with("# EOF\n"));
}

/// A route that says that it was entered, and answers when it is told to.
fn held() -> (Router, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (entered, was_entered) = mpsc::channel(1);
    let (go, may_go) = mpsc::channel::<()>(1);
    let may_go = std::sync::Arc::new(tokio::sync::Mutex::new(may_go));
    let hold = async move || {
        entered.send(()).await.unwrap();
        may_go.lock().await.recv().await;
        "done"
    };
    (Router::new().route("/hold", get(hold)), was_entered, go)
}

#[tokio::test]
async fn a_request_that_runs_at_the_end_is_still_answered() {
    let (routes, mut was_entered, go) = held();
    let service = Service::with(routes).await;
    let request = tokio::spawn(service.ask(Method::GET, "/hold").send());
    was_entered.recv().await.unwrap();
    service.shutdown.trigger();
    go.send(()).await.unwrap();
    assert_eq!(
        request.await.unwrap().unwrap().text().await.unwrap(),
        "done"
    );
    service.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_request_that_does_not_end_does_not_hold_the_service() {
    let (routes, mut was_entered, _go) = held();
    let service = Service::start(routes, Surface::default(), Duration::ZERO).await;
    let request = tokio::spawn(service.ask(Method::GET, "/hold").send());
    was_entered.recv().await.unwrap();
    service.shutdown.trigger();
    service.task.await.unwrap().unwrap();
    assert_eq!(request.await.unwrap().unwrap().status().as_u16(), 503);
}
