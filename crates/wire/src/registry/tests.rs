use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::*;
use crate::http::tests::{client_of, service};

const LOCATED: &str = r#"{"name":"application","profiles":["134"],"label":null,"version":null,"state":null,
 "propertySources":[
  {"name":"file:config/application-134.yml",
   "source":{
     "sms.scone":{"value":"https://sms.scone.example","origin":"file [config/application-134.yml]:2:10"},
     "some.number":{"value":5,"origin":"x"}}},
  {"name":"file:config/application.yml",
   "source":{"sms.scone":{"value":"https://other.example","origin":"x"},"sms.tdx":"https://sms.tdx.example"}}]}"#;

type Asked = Arc<Mutex<Vec<String>>>;

/// Knows the label `main` and no label.
async fn answer(State(asked): State<Asked>, uri: Uri, headers: HeaderMap) -> Response {
    assert!(
        headers["accept"]
            .to_str()
            .unwrap()
            .starts_with("application/vnd.spring-cloud.config-server.v2+json")
    );
    let path = uri.path().to_owned();
    asked.lock().unwrap().push(path.clone());
    if path.split('/').count() == 3 || path.ends_with("/main") {
        ([("content-type", "application/json")], LOCATED).into_response()
    } else {
        StatusCode::NOT_FOUND.into_response()
    }
}

async fn registry() -> (RegistryClient, Asked) {
    let asked = Asked::default();
    let routes = Router::new().fallback(answer).with_state(asked.clone());
    let peer = client_of(service(routes).await);
    (RegistryClient { peer }, asked)
}

#[tokio::test]
async fn the_first_source_wins_and_both_forms_of_values_are_read() {
    let (registry, _) = registry().await;
    let properties = registry.properties("134", "").await.unwrap();
    let expected = [
        ("sms.scone", "https://sms.scone.example"),
        ("sms.tdx", "https://sms.tdx.example"),
        ("some.number", "5"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(properties, expected.into());
}

#[tokio::test]
async fn stack_and_label_are_asked_for_as_the_original_asks() {
    for (stack, label, paths) in [
        ("134", "", vec!["/application/134"]),
        ("134", "main", vec!["/application/134/main"]),
        ("", "", vec!["/application/default"]),
        ("a,b", "", vec!["/application/a,b"]),
        (
            "134",
            "v10, main",
            vec!["/application/134/v10", "/application/134/main"],
        ),
    ] {
        let (registry, asked) = registry().await;
        registry.properties(stack, label).await.unwrap();
        assert_eq!(*asked.lock().unwrap(), paths);
    }
    let (registry, asked) = registry().await;
    assert!(registry.properties("134", "feature/x").await.is_err());
    assert_eq!(*asked.lock().unwrap(), ["/application/134/feature%28_%29x"]);
}
