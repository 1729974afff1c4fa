//! `/scrape`, `/sd`, `/shards`: what is tracked, and what it said.

use std::borrow::Cow;

use axum::http::header::CONTENT_TYPE;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::answers::{error, no_page};
use super::inventory::Inventory;
use super::pieces::json;
use super::query::{all, between, query};
use crate::metrics::CONTENT_TYPE as METRICS_TYPE;

/// `?target=`: the metrics of one shard.
pub(super) fn scrape(inventory: &dyn Inventory, uri: &Uri) -> Response {
    let target = query(uri, "target").unwrap_or_default();
    if target.is_empty() {
        let text = "the parameter target must name a shard: /scrape?target=ID";
        return error(StatusCode::BAD_REQUEST, text);
    }
    match inventory.scrape(&target) {
        Some(text) => ([(CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        None => {
            let text = format!("NOSHARD no shard '{target}', nor one at that address");
            error(StatusCode::NOT_FOUND, &text)
        }
    }
}

/// The targets for Prometheus.
pub(super) fn http_sd(inventory: &dyn Inventory) -> Response {
    json(inventory.http_sd())
}

/// `?state=&match=`: the shards as `SHARD.LIST` tells them.
pub(super) fn shards(inventory: &dyn Inventory, uri: &Uri) -> Response {
    let (state, glob) = (query(uri, "state"), query(uri, "match"));
    match inventory.shards(state.as_deref(), glob.as_deref()) {
        Ok(chunks) => json(chunks),
        Err(error) => error.response(),
    }
}

/// `/shards/{id}/info?section=`: a shard with its INFO.
pub(super) fn shard(inventory: &dyn Inventory, uri: &Uri) -> Response {
    let Some(id) = between(uri, "/shards/", "/info") else {
        return no_page();
    };
    let given: Vec<Cow<'_, str>> = all(uri, "section").collect();
    let sections: Vec<&str> = given
        .iter()
        .flat_map(|value| value.split([',', ' ']))
        .filter(|name| !name.is_empty())
        .collect();
    match inventory.shard(&id, &sections) {
        Ok(text) => json(Box::new([text, "\n".to_owned()].into_iter())),
        Err(error) => error.response(),
    }
}
