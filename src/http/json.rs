//! `/stats` and `/dump`: JSON in pieces, because thousands of polls are remembered.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Uri;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

/// The pieces of a JSON value.
pub type Chunks = Box<dyn Iterator<Item = String> + Send>;

/// Gives a JSON value; of long histories the newest so many.
pub type JsonSource = Arc<dyn Fn(usize) -> Chunks + Send + Sync>;

/// `{"services": […]}`, of each instance the newest `?polls=` polls, or all.
pub(super) fn stats(services: &JsonSource, uri: &Uri) -> Response {
    let most = query(uri, "polls").map_or(Ok(usize::MAX), |text| text.parse());
    let Ok(most) = most else {
        return super::pages::error(
            axum::http::StatusCode::BAD_REQUEST,
            "polls must be a number",
        );
    };
    respond(object(vec![("services", services(most))]))
}

/// Everything, one name per part, to be saved as a file.
pub(super) fn dump(parts: &[(&'static str, JsonSource)]) -> Response {
    let parts = parts
        .iter()
        .map(|(name, source)| (*name, source(usize::MAX)));
    let mut response = respond(object(parts.collect()));
    let file = axum::http::HeaderValue::from_static("attachment; filename=\"respite.json\"");
    response.headers_mut().insert(CONTENT_DISPOSITION, file);
    response
}

fn object(parts: Vec<(&'static str, Chunks)>) -> Chunks {
    let parts = parts
        .into_iter()
        .enumerate()
        .flat_map(|(index, (name, value))| {
            let before = if index == 0 { '{' } else { ',' };
            std::iter::once(format!("{before}\"{name}\":")).chain(value)
        });
    Box::new(parts.chain(std::iter::once("}\n".to_owned())))
}

fn respond(chunks: Chunks) -> Response {
    let body = Body::from_stream(stream::iter(chunks.map(Ok::<_, Infallible>)));
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

/// The value of a parameter, as it stands in the URL.
pub(super) fn query<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    let pairs = uri.query()?.split('&');
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find_map(|(key, value)| (key == name).then_some(value))
}
