//! A real HTTP server whose health is switched and which can be killed and started again.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::routing::{any, get};
use futures_util::{StreamExt, stream};
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::support::ReservedPort;

/// The server. Dropping it kills it.
pub(crate) struct Backend {
    port: ReservedPort,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

#[derive(Default)]
struct Shared {
    /// The status of `/health`; 0: no answer at all; 3: two failures, then a success, and so on.
    health: AtomicU16,
    polls: AtomicU64,
    requests: AtomicU64,
    /// Requests to `/hang` that wait.
    hanging: AtomicU64,
    released: AtomicBool,
}

impl Backend {
    pub(crate) fn start() -> Self {
        let mut backend = Self {
            port: ReservedPort::any(),
            shared: Arc::default(),
            runtime: None,
        };
        backend.set_health(200);
        backend.restart();
        backend
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.get()
    }

    /// The status that polls are answered with; 0: none; 3: 500 twice, then 200, and so on.
    pub(crate) fn set_health(&self, status: u16) {
        self.shared.health.store(status, Ordering::SeqCst);
    }

    pub(crate) fn polls(&self) -> u64 {
        self.shared.polls.load(Ordering::SeqCst)
    }

    /// Requests that were no polls.
    pub(crate) fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    pub(crate) fn hanging(&self) -> u64 {
        self.shared.hanging.load(Ordering::SeqCst)
    }

    /// Answers what hangs.
    pub(crate) fn release(&self) {
        self.shared.released.store(true, Ordering::SeqCst);
    }

    /// Closes every connection and the port.
    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }

    pub(crate) fn restart(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
        socket.set_reuse_address(true).expect("SO_REUSEADDR");
        let addr = std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, self.port()));
        socket.bind(&addr.into()).expect("bind");
        socket.listen(256).expect("listen");
        socket.set_nonblocking(true).expect("set_nonblocking");
        let routes = routes(Arc::clone(&self.shared), self.port());
        runtime.spawn(async move {
            let listener = TcpListener::from_std(socket.into()).expect("a listener");
            axum::serve(listener, routes).await.expect("served");
        });
        self.runtime = Some(runtime);
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.kill();
    }
}

fn routes(shared: Arc<Shared>, port: u16) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/status/{status}", any(status))
        .route("/hang", any(hang))
        .route("/large/{mib}", get(large))
        .route("/count", any(count))
        .route("/endless", get(endless))
        .fallback(move |state, method, uri, headers, body| {
            echo(state, method, uri, headers, body, port)
        })
        .with_state(shared)
        .layer(axum::extract::DefaultBodyLimit::disable())
}

async fn health(State(shared): State<Arc<Shared>>) -> StatusCode {
    let poll = shared.polls.fetch_add(1, Ordering::SeqCst);
    loop {
        match shared.health.load(Ordering::SeqCst) {
            0 => tokio::time::sleep(Duration::from_millis(2)).await,
            3 if poll % 3 == 2 => return StatusCode::OK,
            3 => return StatusCode::INTERNAL_SERVER_ERROR,
            status => return StatusCode::from_u16(status).expect("a status"),
        }
    }
}

async fn status(State(shared): State<Arc<Shared>>, Path(status): Path<u16>) -> StatusCode {
    shared.requests.fetch_add(1, Ordering::SeqCst);
    StatusCode::from_u16(status).expect("a status")
}

async fn hang(State(shared): State<Arc<Shared>>) -> &'static str {
    struct Hanging(Arc<Shared>);
    impl Drop for Hanging {
        fn drop(&mut self) {
            self.0.hanging.fetch_sub(1, Ordering::SeqCst);
        }
    }
    shared.hanging.fetch_add(1, Ordering::SeqCst);
    let hanging = Hanging(Arc::clone(&shared));
    while !shared.released.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    drop(hanging);
    "released"
}

/// A body of so many MiB in pieces of 64 KiB, without a length.
async fn large(Path(mib): Path<usize>) -> Body {
    let piece = Bytes::from(vec![b'x'; 64 * 1024]);
    let pieces = stream::iter(0..mib * 16).map(move |_| Ok::<_, Infallible>(piece.clone()));
    Body::from_stream(pieces)
}

/// A first piece, and no second.
async fn endless() -> Body {
    let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"first"))]);
    Body::from_stream(first.chain(stream::pending()))
}

/// How many bytes came.
async fn count(request: Request) -> String {
    let mut body = request.into_body().into_data_stream();
    let mut bytes = 0;
    while let Some(Ok(piece)) = body.next().await {
        bytes += piece.len();
    }
    bytes.to_string()
}

async fn echo(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
    port: u16,
) -> (StatusCode, [(&'static str, &'static str); 4], String) {
    shared.requests.fetch_add(1, Ordering::SeqCst);
    let headers: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap_or("?")))
        .collect();
    let text = serde_json::json!({
        "port": port,
        "method": method.as_str(),
        "uri": uri.to_string(),
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
    });
    let answer = [
        ("x-answer", "42"),
        ("connection", "x-secret"),
        ("x-secret", "1"),
        ("keep-alive", "timeout=9"),
    ];
    (StatusCode::ACCEPTED, answer, text.to_string())
}
