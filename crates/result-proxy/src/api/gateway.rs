//! `GET` and `HEAD /ipfs/{cid}`: archives for whoever knows their CID, as an IPFS gateway serves them.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use chassis::extract::Path;
use tokio_util::io::ReaderStream;

use crate::api::Proxy;
use crate::api::error::ApiError;
use crate::cid::Cid;

/// Bytes read from the disk at a time.
const PIECE: usize = 64 * 1024;

/// 200 with the bytes as stored and `application/zip`, whatever the client accepts; 404 with a JSON `error` when no archive
/// has that CID.
pub(super) async fn download(
    State(proxy): State<Arc<Proxy>>,
    method: Method,
    uri: Uri,
    Path(cid): Path<String>,
) -> Result<Response, ApiError> {
    let content = match cid.parse::<Cid>() {
        Ok(cid) => proxy
            .blocks
            .open_content(cid)
            .await
            .map_err(|error| ApiError::failed(&uri, &error))?,
        Err(_) => None,
    };
    let Some((file, size)) = content else {
        let error =
            serde_json::json!({ "error": format!("no archive with the CID {cid} is here") });
        return Ok((StatusCode::NOT_FOUND, Json(error)).into_response());
    };
    let body = match method {
        Method::HEAD => Body::empty(),
        _ => Body::from_stream(ReaderStream::with_capacity(file, PIECE)),
    };
    let headers = [
        (header::CONTENT_TYPE, "application/zip".to_owned()),
        (header::CONTENT_LENGTH, size.to_string()),
        // A CID names its bytes: they never change.
        (
            header::CACHE_CONTROL,
            "public, max-age=31536000, immutable".to_owned(),
        ),
        (header::ETAG, format!("\"{cid}\"")),
    ];
    Ok((headers, body).into_response())
}
