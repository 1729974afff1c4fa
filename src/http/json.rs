//! `/stats` and `/dump`: JSON in pieces, because thousands of polls are remembered.

use std::sync::Arc;

use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};

use super::answers::error;
use super::pieces::{Chunks, Part, body, json, piece};
use super::query::query;

/// Gives a JSON value; of long histories the newest so many.
pub type JsonSource = Arc<dyn Fn(usize) -> Chunks + Send + Sync>;

/// `{"services": […]}`, of each instance the newest `?polls=` polls, or all.
pub(super) fn stats(services: &JsonSource, uri: &Uri) -> Response {
    let most = query(uri, "polls").map_or(Ok(usize::MAX), |text| text.parse());
    let Ok(most) = most else {
        return error(StatusCode::BAD_REQUEST, "polls must be a number");
    };
    let whole = std::iter::once("{\"services\":".to_owned())
        .chain(services(most))
        .chain(std::iter::once("}\n".to_owned()));
    json(Box::new(whole))
}

/// Everything, one name per part, to be saved as a file.
pub(super) fn dump(parts: Vec<(&'static str, Part)>) -> Response {
    let parts = parts.into_iter().enumerate().map(|(at, (name, part))| {
        let before = if at == 0 { '{' } else { ',' };
        piece(format!("{before}\"{name}\":")).chain(part)
    });
    let whole = stream::iter(parts).flatten().chain(piece("}\n"));
    let mut response = ([(CONTENT_TYPE, "application/json")], body(whole)).into_response();
    let file = HeaderValue::from_static("attachment; filename=\"respite.json\"");
    response.headers_mut().insert(CONTENT_DISPOSITION, file);
    response
}
