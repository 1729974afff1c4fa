//! The answers that all pages share: errors, and JSON.

use axum::http::header::{ACCEPT, CONNECTION, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

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

/// Asks for a login. Not by name where a page's script asks: its browser would open a window of its own.
pub(super) fn unauthorized(asked: &HeaderMap) -> Response {
    let mut response = error(StatusCode::UNAUTHORIZED, "a login is needed");
    let accept = asked.get(ACCEPT).map(HeaderValue::as_bytes);
    if matches!(accept, Some(b"application/json" | b"text/event-stream")) {
        return response;
    }
    let scheme = HeaderValue::from_static("Basic realm=\"respite\", charset=\"UTF-8\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
    response
}
