//! Serving HTTP until the end is asked for, then letting what runs come to its end, for a while.

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::serve::{IncomingStream, Listener, ListenerExt as _};
use axum::{Extension, Router};
use tokio_util::sync::CancellationToken;

use crate::error::framework_error;
use crate::front::Door;
use crate::origin::Way;
use crate::shutdown::Shutdown;
use crate::surface::Surface;
use crate::tls::TlsListener;

/// Time that requests have to end after the end was asked for. Less than what container engines give a process.
pub const DRAIN: Duration = Duration::from_secs(8);

/// Serves `routes` behind the [default surface](Surface::default).
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    door: impl Into<Door>,
    routes: Router,
    shutdown: Shutdown,
) -> std::io::Result<()> {
    serve_with(door, routes, Surface::default(), DRAIN, shutdown).await
}

/// Serves `routes` behind `surface` until `shutdown`. Then nothing new is taken, and what runs has `drain` to end; after that
/// it is answered 503 and dropped.
///
/// # Errors
/// When the listener fails.
pub async fn serve_with(
    door: impl Into<Door>,
    routes: Router,
    surface: Surface,
    drain: Duration,
    shutdown: Shutdown,
) -> std::io::Result<()> {
    let Door {
        listener,
        certificates,
        forwarded,
    } = door.into();
    let way = Way {
        tls: certificates.is_some(),
        forwarded,
    };
    let mut app = surface.over(routes);
    if way != Way::default() {
        app = app.layer(Extension(way));
    }
    match certificates {
        None => {
            let listener = listener.tap_io(|connection| {
                // Answers are small and waited for. A connection that refuses this is broken, and read will tell.
                let _ = connection.set_nodelay(true);
            });
            serve_until(listener, app, drain, shutdown).await
        }
        Some(certificates) => {
            // It is `tap_io` by which axum learns whose a connection is.
            let listener = TlsListener::new(listener, certificates.acceptor()).tap_io(|_| {});
            tokio::select! {
                result = serve_until(listener, app, drain, shutdown) => result,
                never = certificates.renew() => match never {},
            }
        }
    }
}

async fn serve_until<L>(
    listener: L,
    app: Router,
    drain: Duration,
    shutdown: Shutdown,
) -> std::io::Result<()>
where
    L: Listener<Addr = SocketAddr>,
    SocketAddr: for<'a> Connected<IncomingStream<'a, L>>,
{
    let over = CancellationToken::new();
    let app = app
        .layer(from_fn_with_state(over.clone(), until_over))
        .into_make_service_with_connect_info::<SocketAddr>();
    let asked = shutdown.triggered();
    let serving = axum::serve(listener, app).with_graceful_shutdown(asked);
    let ended = async {
        shutdown.triggered().await;
        tokio::time::sleep(drain).await;
    };
    tokio::select! {
        result = serving => result,
        () = ended => {
            tracing::warn!(drain_s = drain.as_secs(), "requests still run at the end and are dropped");
            over.cancel();
            Ok(())
        }
    }
}

/// Ends a request when the time to drain is over, so that nothing holds on to what the routes hold.
async fn until_over(
    State(over): State<CancellationToken>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path().to_owned();
    tokio::select! {
        response = next.run(request) => response,
        () = over.cancelled() => framework_error(StatusCode::SERVICE_UNAVAILABLE, &path),
    }
}

/// Bare text, labelled as the original labels it (spec scheduler-api §1.3).
pub fn text(text: impl Into<String>) -> Response {
    ([(CONTENT_TYPE, "text/plain;charset=UTF-8")], text.into()).into_response()
}
