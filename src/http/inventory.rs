//! What the pages about shards, services and buses ask of the server.

use axum::http::StatusCode;
use axum::response::Response;
use futures_util::future::BoxFuture;

use super::access::Sight;
use super::answers::error;
use super::pieces::{Chunks, Part};

/// Why a page is not given; the text says what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageError {
    /// What was asked cannot be: 400.
    Invalid(String),
    /// Whoever asks may not see it: 403.
    Denied(String),
    /// There is no such thing: 404.
    Unknown(String),
    /// Who knows cannot be asked, or has not answered yet: 503.
    Unavailable(String),
}

impl PageError {
    /// What is wrong.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            PageError::Invalid(text)
            | PageError::Denied(text)
            | PageError::Unknown(text)
            | PageError::Unavailable(text) => text,
        }
    }
}

/// A page that the backing has to be asked for.
pub type Asked<T> = BoxFuture<'static, Result<T, PageError>>;

/// Knows shards, services and buses.
pub trait Inventory: Send + Sync {
    /// The metrics of every shard.
    fn fleet_metrics(&self) -> Chunks;

    /// The metrics of one shard, by its id or its address.
    fn scrape(&self, target: &str) -> Option<String>;

    /// The shards for Prometheus' `http_sd`.
    fn http_sd(&self) -> Chunks;

    /// A JSON array of the shards in a state, all without; whose ids a glob matches, all without.
    ///
    /// # Errors
    /// When there is no such state.
    fn shards(&self, state: Option<&str>, glob: Option<&str>) -> Result<Chunks, PageError>;

    /// A shard with its INFO, as JSON; `sections` are the arguments of `INFO`.
    ///
    /// # Errors
    /// When nobody tracks it, or it has not answered yet.
    fn shard(&self, id: &str, sections: &[&str]) -> Result<String, PageError>;

    /// The services of a group with their nodes, as JSON; `all`: with lapsed nodes that are kept.
    /// Only what the viewer may see, here and below.
    fn services(
        &self,
        sight: &Sight,
        group: Option<String>,
        service: Option<String>,
        all: bool,
    ) -> Asked<Chunks>;

    /// The methods of a bus, as JSON.
    fn methods(&self, sight: &Sight, bus: String) -> Asked<String>;

    /// The parts of `/dump`, each a JSON value, beside the gateway's services.
    fn parts(&self, sight: &Sight) -> Vec<(&'static str, Part)>;
}

impl PageError {
    pub(super) fn response(&self) -> Response {
        let (status, text) = match self {
            PageError::Invalid(text) => (StatusCode::BAD_REQUEST, text),
            PageError::Denied(text) => (StatusCode::FORBIDDEN, text),
            PageError::Unknown(text) => (StatusCode::NOT_FOUND, text),
            PageError::Unavailable(text) => (StatusCode::SERVICE_UNAVAILABLE, text),
        };
        error(status, text)
    }
}
