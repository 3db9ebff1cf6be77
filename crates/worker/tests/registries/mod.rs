//! Registries that behave as none should.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use futures_util::{StreamExt, stream};

/// A registry that asks for a name and a password, and notes what it is told.
pub(crate) async fn eavesdropper() -> (String, Arc<Mutex<Vec<String>>>) {
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let notes = Arc::clone(&told);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answer = move |headers: HeaderMap| {
        let said = headers
            .get(header::AUTHORIZATION)
            .map(|said| format!("{said:?}"));
        notes.lock().unwrap().push(said.unwrap_or_default());
        async {
            (
                StatusCode::UNAUTHORIZED,
                [(header::WWW_AUTHENTICATE, "Basic realm=\"x\"")],
            )
        }
    };
    let router = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, told)
}

/// The beginning of a layer, and then nothing any more.
pub(crate) fn halting() -> Body {
    let begun = stream::iter([Ok::<_, std::io::Error>(vec![0u8; 1000])]);
    Body::from_stream(begun.chain(stream::pending()))
}

/// A bit of a layer every now and then, each large enough that the engine tells of it. It would be whole after a minute.
pub(crate) fn dripping() -> Body {
    let pieces = stream::repeat(()).then(async |()| {
        tokio::time::sleep(Duration::from_millis(700)).await;
        Ok::<_, std::io::Error>(vec![0u8; 12 << 10])
    });
    Body::from_stream(pieces)
}

/// A registry of images of one layer, of 1 MiB, which comes as that body; its address.
pub(crate) async fn of_one_layer(body: fn() -> Body) -> String {
    let digest = |bytes: &[u8]| {
        let digest = poco::hex::encode(<sha2::Sha256 as sha2::Digest>::digest(bytes));
        format!("sha256:{}", digest.trim_start_matches("0x"))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // The engine gets a layer that several images have once.
    let layer = digest(address.as_bytes());
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":["{layer}"]}}}}"#
    );
    const KIND: &str = "application/vnd.docker.distribution.manifest.v2+json";
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{KIND}","config":{{"mediaType":"application/vnd.docker.container.image.v1+json","size":{},"digest":"{}"}},"layers":[{{"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","size":1048576,"digest":"{layer}"}}]}}"#,
        config.len(),
        digest(config.as_bytes()),
    );
    let answer = move |request: Request| {
        let (manifest, config) = (manifest.clone(), config.clone());
        let path = request.uri().path().to_owned();
        let layer = layer.clone();
        async move {
            if path.contains("/manifests/") {
                ([(header::CONTENT_TYPE, KIND)], manifest).into_response()
            } else if path.ends_with(&layer) {
                // Without a length the engine tells of each half MiB only.
                ([(header::CONTENT_LENGTH, "1048576")], body()).into_response()
            } else if path.contains("/blobs/") {
                config.into_response()
            } else {
                "{}".into_response()
            }
        }
    };
    let router = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}
