//! The routes, the index, and the answers that all pages share.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use super::access::Guard;
use super::json::{self, JsonSource};
use super::keys::{Keys, OpenKeyClient};
use crate::metrics::{CONTENT_TYPE as METRICS_TYPE, Exposition};
use crate::upstream::Backing;

/// Every page with what it has. What is served and what is listed here is the same.
const PAGES: [(&str, &str); 7] = [
    ("/", "this page"),
    ("/health", "the process is alive"),
    ("/ready", "the backing Redis is usable (503 when not)"),
    (
        "/stats",
        "the gateway's services with the polls of their instances; ?polls=n: the newest n",
    ),
    ("/dump", "everything that is known, as one JSON file"),
    ("/metrics", "for Prometheus"),
    (
        "/keys/{key}",
        "the value of a key, through the cache; ?db=n: of another database",
    ),
];

/// Writes the metrics of a part of the server.
pub type WriteMetrics = Arc<dyn Fn(&mut Exposition) + Send + Sync>;

/// Where the pages get what they show.
#[derive(Clone)]
pub struct Sources {
    /// The Redis behind.
    pub backing: Arc<Backing>,
    /// What writes metrics, in the order of the page.
    pub metrics: Vec<WriteMetrics>,
    /// The services of `/stats`.
    pub stats: JsonSource,
    /// The parts of `/dump`.
    pub dump: Vec<(&'static str, JsonSource)>,
    /// Opens a client that reads keys.
    pub keys: OpenKeyClient,
}

#[derive(Clone)]
struct Pages {
    guard: Arc<Guard>,
    sources: Arc<Sources>,
    keys: Keys,
    everywhere: bool,
}

pub(super) fn routes(guard: Arc<Guard>, sources: Sources, everywhere: bool) -> Router {
    let pages = Pages {
        keys: Keys::new(Arc::clone(&sources.keys), Arc::clone(&guard)),
        guard,
        sources: Arc::new(sources),
        everywhere,
    };
    Router::new()
        .route("/", get(index))
        .route("/health", get(async || "alive\n"))
        .route("/ready", get(ready))
        .route("/stats", get(stats))
        .route("/dump", get(dump))
        .route("/metrics", get(metrics))
        .route("/keys/", get(key))
        .route("/keys/{*key}", get(key))
        .fallback(async || error(StatusCode::NOT_FOUND, "there is no such page"))
        .layer(middleware::from_fn_with_state(pages.clone(), admit))
        .with_state(pages)
}

async fn admit(
    State(pages): State<Pages>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    match pages
        .guard
        .admit(path, request.headers(), peer, pages.everywhere)
    {
        Ok(()) => next.run(request).await,
        Err(refused) if refused.status() == StatusCode::UNAUTHORIZED => unauthorized(),
        Err(refused) => error(refused.status(), &refused.to_string()),
    }
}

async fn index() -> String {
    let mut text = format!("respite {}\n\n", env!("CARGO_PKG_VERSION"));
    for (path, what) in PAGES {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{path:<12} {what}");
    }
    text
}

async fn ready(State(pages): State<Pages>) -> (StatusCode, &'static str) {
    if pages.sources.backing.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the backing Redis is not usable\n",
        )
    }
}

async fn stats(State(pages): State<Pages>, uri: Uri) -> Response {
    json::stats(&pages.sources.stats, &uri)
}

async fn dump(State(pages): State<Pages>) -> Response {
    json::dump(&pages.sources.dump)
}

async fn metrics(State(pages): State<Pages>) -> Response {
    let mut out = Exposition::default();
    for write in &pages.sources.metrics {
        write(&mut out);
    }
    ([(CONTENT_TYPE, METRICS_TYPE)], out.finish()).into_response()
}

async fn key(
    State(pages): State<Pages>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    pages.keys.get(&uri, &headers, peer).await
}

pub(super) fn json_response(status: StatusCode, value: &Value) -> Response {
    let json = [(CONTENT_TYPE, "application/json")];
    (status, json, format!("{value}\n")).into_response()
}

/// The answer to what cannot be: `{"error": "…"}`.
pub(super) fn error(status: StatusCode, text: &str) -> Response {
    json_response(status, &json!({ "error": text }))
}

pub(super) fn unauthorized() -> Response {
    let mut response = error(StatusCode::UNAUTHORIZED, "a login is needed");
    let scheme = HeaderValue::from_static("Basic realm=\"respite\", charset=\"UTF-8\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
    response
}
