//! The routes, the index, and the answers that all pages share.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{CONNECTION, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use super::access::Guard;
use super::inventory::Inventory;
use super::json::{self, JsonSource};
use super::keys::{Keys, OpenKeyClient};
use super::pieces::{body, pieces};
use super::{backing, fleet};
use crate::metrics::{CONTENT_TYPE as METRICS_TYPE, Exposition};
use crate::upstream::Backing;

/// Every page with what it has. What is served and what is listed here is the same.
const PAGES: [(&str, &str); 13] = [
    ("/", "this page"),
    ("/health", "the process is alive"),
    ("/ready", "the backing Redis is usable (503 when not)"),
    (
        "/stats",
        "the gateway's services with the polls of their instances; ?polls=n: the newest n",
    ),
    ("/dump", "everything that is known, as one JSON file"),
    (
        "/metrics",
        "for Prometheus: Respite, and every shard with the names of redis_exporter",
    ),
    (
        "/scrape?target=ID",
        "for Prometheus: one shard, as redis_exporter does",
    ),
    ("/sd", "for Prometheus: the shards, as http_sd reads them"),
    (
        "/shards",
        "the shards; ?state=s: in this state; ?match=glob: with such ids",
    ),
    (
        "/shards/{id}/info",
        "a shard with its INFO; ?section=s: these sections",
    ),
    (
        "/services",
        "services with their nodes; ?group=g; ?service=s: this one; ?all: lapsed nodes, too",
    ),
    ("/bus/{bus}/methods", "the methods of a bus"),
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
    /// Shards, services and buses.
    pub inventory: Arc<dyn Inventory>,
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
        .route("/scrape", get(scrape))
        .route("/sd", get(http_sd))
        .route("/shards", get(shards))
        .route("/shards/{*rest}", get(shard))
        .route("/services", get(services))
        .route("/bus/{*rest}", get(methods))
        .route("/keys/", get(key))
        .route("/keys/{*key}", get(key))
        .fallback(async || no_page())
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
        let _ = writeln!(text, "{path:<18} {what}");
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
    let services = (pages.sources.stats)(usize::MAX);
    let mut parts = pages.sources.inventory.parts();
    parts.push(("services", pieces(services)));
    json::dump(parts)
}

/// Respite's own metrics, then those of every shard.
async fn metrics(State(pages): State<Pages>) -> Response {
    let mut out = Exposition::default();
    for write in &pages.sources.metrics {
        write(&mut out);
    }
    let fleet = pages.guard.shows_fleet();
    let fleet = fleet.then(|| pages.sources.inventory.fleet_metrics());
    let text = std::iter::once(out.finish()).chain(fleet.into_iter().flatten());
    let text = pieces(Box::new(text));
    ([(CONTENT_TYPE, METRICS_TYPE)], body(text)).into_response()
}

async fn scrape(State(pages): State<Pages>, uri: Uri) -> Response {
    fleet::scrape(&*pages.sources.inventory, &uri)
}

async fn http_sd(State(pages): State<Pages>) -> Response {
    fleet::http_sd(&*pages.sources.inventory)
}

async fn shards(State(pages): State<Pages>, uri: Uri) -> Response {
    fleet::shards(&*pages.sources.inventory, &uri)
}

async fn shard(State(pages): State<Pages>, uri: Uri) -> Response {
    fleet::shard(&*pages.sources.inventory, &uri)
}

async fn services(State(pages): State<Pages>, uri: Uri) -> Response {
    backing::services(&*pages.sources.inventory, &uri).await
}

async fn methods(State(pages): State<Pages>, uri: Uri) -> Response {
    backing::methods(&*pages.sources.inventory, &uri).await
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

pub(super) fn no_page() -> Response {
    error(StatusCode::NOT_FOUND, "there is no such page")
}

/// The answer of the reserve of connections to everything but `/health` and `/ready`.
pub(super) fn too_many() -> Response {
    let text = "too many connections: all of them wait for an answer";
    let mut response = error(StatusCode::SERVICE_UNAVAILABLE, text);
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
    response
}

pub(super) fn unauthorized() -> Response {
    let mut response = error(StatusCode::UNAUTHORIZED, "a login is needed");
    let scheme = HeaderValue::from_static("Basic realm=\"respite\", charset=\"UTF-8\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
    response
}
