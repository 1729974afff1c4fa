//! `/api/…`: what the dashboard shows, for scripts too. One table has the routes, the index and what docs/http.md says.

use std::time::Duration;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::{FutureExt, StreamExt, stream};
use serde_json::json;

use super::access::Sight;
use super::answers::{error, no_page};
use super::inventory::{Asked, PageError};
use super::overview::{OverviewPart, compose};
use super::pieces::{Part, body, piece};
use super::query::{between, query};
use crate::history::Step;

/// How long the backing may take.
const LIMIT: Duration = Duration::from_secs(60);
/// What `/dump` has of these pages, by name; the rest of them it has in another form.
const DUMPED: [(&str, &str, ApiPage); 7] = [
    ("history", "/api/history", ApiPage::History(Step::Minute)),
    ("seconds", "/api/history", ApiPage::History(Step::Second)),
    ("latency", "/api/latency", ApiPage::Latency),
    ("slowlog", "/api/slowlog", ApiPage::Slowlog),
    ("doctor", "/api/doctor", ApiPage::Doctor),
    ("hotkeys", "/api/hotkeys", ApiPage::HotKeys),
    ("log", "/api/log", ApiPage::Log),
];

/// A page under `/api/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiPage {
    /// The key figures over time.
    History(Step),
    /// How long commands took.
    Latency,
    /// Slow commands.
    Slowlog,
    /// What deserves attention.
    Doctor,
    /// The shards.
    Shards,
    /// One shard with its INFO.
    Shard(String),
    /// Where shards come from.
    Watchers,
    /// The keys that are read most.
    HotKeys,
    /// Groups with their services and nodes.
    Services,
    /// Buses with methods, workers and dead calls.
    Buses,
    /// The gateway's services with instances and polls.
    Gateway,
    /// Who is connected.
    Clients,
    /// The last warnings.
    Log,
}

/// Has what the pages show.
pub trait Api: Send + Sync {
    /// The body of a page: one JSON value, without what the viewer may not see.
    fn body(&self, page: &ApiPage, sight: &Sight) -> Asked<Part>;

    /// The overview.
    fn overview(&self) -> Vec<OverviewPart>;
}

/// A route: served, listed in the index and described in docs/http.md from here.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) path: &'static str,
    pub(super) what: &'static str,
    /// Who may run this command may see the page.
    pub(super) command: &'static str,
}

/// The routes under `/api/`.
pub(super) const ROUTES: [Route; 15] = [
    Route {
        path: "/api/overview",
        what: "key figures, limits, states of the shards, findings",
        command: "INFO",
    },
    Route {
        path: "/api/live",
        what: "the same each second, as server-sent events",
        command: "INFO",
    },
    Route {
        path: "/api/history?step=second|minute",
        what: "the key figures of the last five minutes, or of the last hour",
        command: "INFO",
    },
    Route {
        path: "/api/latency",
        what: "how long commands took, by kind and user",
        command: "RESPITE.LATENCY",
    },
    Route {
        path: "/api/slowlog",
        what: "slow commands and where their time went",
        command: "RESPITE.SLOWLOG",
    },
    Route {
        path: "/api/doctor",
        what: "what deserves attention",
        command: "RESPITE.DOCTOR",
    },
    Route {
        path: "/api/shards",
        what: "the shards with role, state, age, load, memory, lag",
        command: "SHARD.LIST",
    },
    Route {
        path: "/api/shards/{id}",
        what: "a shard with its INFO",
        command: "SHARD.INFO",
    },
    Route {
        path: "/api/watchers",
        what: "where shards come from",
        command: "SHARD.WATCHERS",
    },
    Route {
        path: "/api/hotkeys",
        what: "the keys that are read most",
        command: "CACHE.HOTKEYS",
    },
    Route {
        path: "/api/services",
        what: "groups with their services and nodes",
        command: "DISCOVERY.NODES",
    },
    Route {
        path: "/api/buses",
        what: "the buses in use here with methods, workers and dead calls",
        command: "BUS.METHODS",
    },
    Route {
        path: "/api/gateway",
        what: "the gateway's services with instances and their polls",
        command: "GATEWAY.STATS",
    },
    Route {
        path: "/api/clients",
        what: "who is connected",
        command: "CLIENT LIST",
    },
    Route {
        path: "/api/log",
        what: "the last warnings and errors",
        command: "RESPITE.SLOWLOG",
    },
];

/// Which page a path under `/api/` names.
fn page(uri: &Uri) -> Result<Option<ApiPage>, &'static str> {
    Ok(Some(match uri.path() {
        "/api/history" => ApiPage::History(match query(uri, "step").as_deref() {
            None | Some("minute") => Step::Minute,
            Some("second") => Step::Second,
            Some(_) => return Err("step must be second or minute"),
        }),
        "/api/latency" => ApiPage::Latency,
        "/api/slowlog" => ApiPage::Slowlog,
        "/api/doctor" => ApiPage::Doctor,
        "/api/shards" => ApiPage::Shards,
        "/api/watchers" => ApiPage::Watchers,
        "/api/hotkeys" => ApiPage::HotKeys,
        "/api/services" => ApiPage::Services,
        "/api/buses" => ApiPage::Buses,
        "/api/gateway" => ApiPage::Gateway,
        "/api/clients" => ApiPage::Clients,
        "/api/log" => ApiPage::Log,
        _ => return Ok(between(uri, "/api/shards/", "").map(ApiPage::Shard)),
    }))
}

/// The route that a path belongs to.
pub(super) fn route(path: &str) -> Option<&'static Route> {
    let plain = |route: &&Route| route.path.split('?').next() == Some(path);
    let shard = || ROUTES.iter().find(|route| route.path == "/api/shards/{id}");
    ROUTES
        .iter()
        .find(plain)
        .or_else(|| path.starts_with("/api/shards/").then(shard).flatten())
}

/// Answers what is under `/api/`, `/api/live` apart.
pub(super) async fn answer(api: &dyn Api, uri: &Uri, sight: &Sight) -> Response {
    if uri.path() == "/api/overview" {
        return whole(piece(compose(&api.overview(), sight)));
    }
    let page = match page(uri) {
        Ok(Some(page)) => page,
        Ok(None) => return no_page(),
        Err(text) => return error(StatusCode::BAD_REQUEST, text),
    };
    let late = |_| PageError::Unavailable("the backing has not answered in time".to_owned());
    let asked = tokio::time::timeout(LIMIT, api.body(&page, sight)).await;
    match asked.map_err(late).and_then(|asked| asked) {
        Ok(part) => whole(part),
        Err(error) => error.response(),
    }
}

fn whole(part: Part) -> Response {
    let head = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "no-store"),
    ];
    (head, body(part.chain(piece("\n")).boxed())).into_response()
}

/// The pages that `/dump` has too, by name; an error in place of what the viewer may not see.
pub(super) fn dumped(api: &dyn Api, sight: &Sight) -> Vec<(&'static str, Part)> {
    let failed = |text: String| piece(json!({ "error": text }).to_string());
    let parts = DUMPED.iter().map(|(name, path, page)| {
        let denied = route(path).map(|route| sight.may_run(route.command));
        let part = match denied {
            Some(Err(denied)) => failed(denied.to_string()),
            _ => {
                let asked = api.body(page, sight);
                let asked = asked
                    .map(move |part| part.unwrap_or_else(|error| failed(error.text().to_owned())));
                stream::once(asked).flatten().boxed()
            }
        };
        (*name, part)
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_served_and_described() {
        let documented = include_str!("../../docs/http.md");
        for each in &ROUTES {
            let path = each.path.split('?').next().unwrap_or_default();
            let row = format!(
                "| `{}` | {} | `{}` |",
                each.path.replace('|', "\\|"),
                each.what,
                each.command
            );
            assert!(documented.contains(&row), "docs/http.md: {row}");
            let asked = path.replace("{id}", "a%2Fb");
            let uri: Uri = asked.parse().expect("a path");
            assert!(
                matches!(path, "/api/live" | "/api/overview") || matches!(page(&uri), Ok(Some(_))),
                "{path}"
            );
            assert_eq!(route(&asked).map(|found| found.path), Some(each.path));
        }
        let uri: Uri = "/api/shards/a%2Fb".parse().expect("a path");
        assert_eq!(page(&uri), Ok(Some(ApiPage::Shard("a/b".to_owned()))));
        assert_eq!(page(&"/api/x".parse().expect("a path")), Ok(None));
        assert!(page(&"/api/history?step=day".parse().expect("a path")).is_err());
    }
}
