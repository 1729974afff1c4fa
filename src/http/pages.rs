//! The routes and the index.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRef, Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use serde_json::json;

use super::access::{Guard, Refused, Sight, Viewer};
use super::answers::{error, no_page, unauthorized};
use super::api::{self, Api};
use super::inventory::Inventory;
use super::json::{self, JsonSource};
use super::keys::{Keys, OpenKeyClient};
use super::live::Live;
use super::pieces::{body, piece, pieces};
use super::rules::{Rule, rule};
use super::session::{self, Door, Sessions};
use super::{backing, fleet, page};
use crate::command::{Rights, Table};
use crate::metrics::{CONTENT_TYPE as METRICS_TYPE, Exposition};
use crate::upstream::Backing;

/// Every page with what it has. What is served and what is listed here is the same.
const PAGES: [(&str, &str); 14] = [
    ("/", "the dashboard, for a browser; this list, for others"),
    ("/login", "the form to log in with; /logout ends that"),
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

/// Writes the metrics of a part of the server, with the names that these rights show.
pub type WriteMetrics = Arc<dyn Fn(&mut Exposition, &Rights) + Send + Sync>;

/// A part of the metrics.
#[derive(Clone)]
pub struct PartOfMetrics {
    /// The command that tells the same: who may not run it does not see this.
    pub command: Option<&'static str>,
    /// Writes it.
    pub write: WriteMetrics,
}

/// Where the pages get what they show.
#[derive(Clone)]
pub struct Sources {
    /// The Redis behind.
    pub backing: Arc<Backing>,
    /// What writes metrics, in the order of the page.
    pub metrics: Vec<PartOfMetrics>,
    /// The services of `/stats`.
    pub stats: JsonSource,
    /// What the dashboard shows.
    pub api: Arc<dyn Api>,
    /// Shards, services and buses.
    pub inventory: Arc<dyn Inventory>,
    /// Opens a client that reads keys.
    pub keys: OpenKeyClient,
    /// The commands that are known now: rules about them are rules about pages.
    pub table: Arc<dyn Fn() -> Arc<Table> + Send + Sync>,
}

#[derive(Clone)]
struct Pages {
    guard: Arc<Guard>,
    sessions: Arc<Sessions>,
    sources: Arc<Sources>,
    keys: Keys,
    live: Arc<Live>,
}

impl FromRef<Pages> for Door {
    fn from_ref(pages: &Pages) -> Self {
        Door {
            guard: Arc::clone(&pages.guard),
            sessions: Arc::clone(&pages.sessions),
        }
    }
}

/// The pages, with what lets requests in.
pub(super) fn routes(guard: Arc<Guard>, sources: Sources) -> Router {
    let pages = Pages {
        keys: Keys::new(Arc::clone(&sources.keys)),
        live: Live::new(Arc::clone(&sources.api)),
        sessions: Arc::default(),
        guard,
        sources: Arc::new(sources),
    };
    let mut router = Router::new();
    for path in page::paths().filter(|path| !matches!(*path, "/" | "/login")) {
        router = router.route(path, get(file));
    }
    let form = get(file)
        .post(session::log_in)
        .layer(DefaultBodyLimit::max(session::FORM_BYTES));
    router
        .route("/", get(index))
        .route("/login", form)
        .route("/logout", get(session::is_open).post(session::log_out))
        .route("/api/live", get(live))
        .route("/api/{*rest}", get(api_page))
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

/// Lets a request in, and sees to it that who asks may see the page.
async fn admit(
    State(pages): State<Pages>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let origin = pages.sessions.apply(request.headers_mut());
    let (uri, headers) = (request.uri(), request.headers());
    let viewer = match pages.guard.admit(uri, headers, origin, peer).await {
        Ok(viewer) => viewer,
        // Whoever opens the dashboard gets the form; scripts, and the page itself, hear what is wrong.
        Err(Refused::Unknown) if request.uri().path() == "/" && is_browser(request.headers()) => {
            return (StatusCode::SEE_OTHER, [(LOCATION, "/login")]).into_response();
        }
        Err(Refused::Unknown | Refused::Wrong) => return unauthorized(request.headers()),
        Err(refused) => return error(refused.status(), &refused.to_string()),
    };
    let sight = pages.guard.sight(viewer, (pages.sources.table)());
    let judged = match rule(request.uri().path()) {
        Rule::Anybody | Rule::ByPart => Ok(()),
        Rule::Command(command) => sight.may_run(command),
        Rule::Everything if sight.rights().is_admin() => Ok(()),
        Rule::Everything => return no_page(),
    };
    if let Err(denied) = judged {
        return error(StatusCode::FORBIDDEN, &denied.to_string());
    }
    request.extensions_mut().insert(viewer);
    request.extensions_mut().insert(sight);
    next.run(request).await
}

/// Whether a person asks.
fn is_browser(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

/// The dashboard for a browser, the list of pages for everybody else.
async fn index(headers: HeaderMap) -> Response {
    if is_browser(&headers)
        && let Some(page) = page::file("/", &headers)
    {
        return page;
    }
    list().into_response()
}

async fn file(uri: Uri, headers: HeaderMap) -> Response {
    page::file(uri.path(), &headers).unwrap_or_else(no_page)
}

async fn api_page(
    State(pages): State<Pages>,
    Extension(sight): Extension<Sight>,
    uri: Uri,
) -> Response {
    api::answer(&*pages.sources.api, &uri, &sight).await
}

async fn live(State(pages): State<Pages>, Extension(sight): Extension<Sight>) -> Response {
    pages.live.events(&pages.guard, sight)
}

fn list() -> String {
    let mut text = format!("respite {}\n\n", env!("CARGO_PKG_VERSION"));
    let api = api::ROUTES.iter().map(|route| (route.path, route.what));
    for (path, what) in PAGES.into_iter().chain(api) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{path:<18} {what}");
    }
    text
}

async fn ready(State(pages): State<Pages>) -> (StatusCode, String) {
    let backing = &pages.sources.backing;
    if backing.is_ready() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    let mut text = "the backing Redis is not usable".to_owned();
    if backing.is_cluster() {
        text = "not all of the cluster behind is usable".to_owned();
        let figures = backing.figures();
        let (masters, up) = (figures.masters, figures.masters_up);
        let served = figures.slots_served;
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            ": {up} of {masters} masters answer, with {served} of 16384 slots"
        );
    }
    (StatusCode::SERVICE_UNAVAILABLE, text + "\n")
}

async fn stats(State(pages): State<Pages>, uri: Uri) -> Response {
    json::stats(&pages.sources.stats, &uri)
}

async fn dump(State(pages): State<Pages>, Extension(sight): Extension<Sight>) -> Response {
    let mut parts = pages.sources.inventory.parts(&sight);
    let services = match sight.may_run("GATEWAY.STATS") {
        Ok(()) => pieces((pages.sources.stats)(usize::MAX)),
        Err(denied) => piece(json!({ "error": denied.to_string() }).to_string()),
    };
    parts.push(("services", services));
    parts.extend(api::dumped(&*pages.sources.api, &sight));
    json::dump(parts)
}

/// Respite's own metrics, then those of every shard.
async fn metrics(State(pages): State<Pages>, Extension(sight): Extension<Sight>) -> Response {
    let mut out = Exposition::default();
    let rights = sight.rights();
    for part in &pages.sources.metrics {
        if part
            .command
            .is_none_or(|command| sight.may_run(command).is_ok())
        {
            (part.write)(&mut out, &rights);
        }
    }
    let fleet = pages.guard.shows_fleet() && sight.may_run("SHARD.INFO").is_ok();
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

async fn services(
    State(pages): State<Pages>,
    Extension(sight): Extension<Sight>,
    uri: Uri,
) -> Response {
    backing::services(&*pages.sources.inventory, &sight, &uri).await
}

async fn methods(
    State(pages): State<Pages>,
    Extension(sight): Extension<Sight>,
    uri: Uri,
) -> Response {
    backing::methods(&*pages.sources.inventory, &sight, &uri).await
}

async fn key(
    State(pages): State<Pages>,
    Extension(viewer): Extension<Viewer>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    pages.keys.get(&uri, viewer, &headers, peer).await
}
