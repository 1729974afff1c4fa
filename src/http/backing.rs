//! `/services` and `/bus/{bus}/methods`: what the backing knows.

use std::time::Duration;

use axum::http::Uri;
use axum::response::Response;

use super::access::Sight;
use super::answers::no_page;
use super::inventory::{Asked, Inventory, PageError};
use super::pieces::json;
use super::query::{between, is_set, query};

/// How long the backing may take, as for keys.
const LIMIT: Duration = Duration::from_secs(60);

/// `?group=&service=&all`: services with their nodes.
pub(super) async fn services(inventory: &dyn Inventory, sight: &Sight, uri: &Uri) -> Response {
    let text = |name| query(uri, name).map(|value| value.into_owned());
    let asked = inventory.services(sight, text("group"), text("service"), is_set(uri, "all"));
    match within(asked).await {
        Ok(chunks) => json(Box::new(chunks.chain(end()))),
        Err(error) => error.response(),
    }
}

/// `/bus/{bus}/methods`: the methods of a bus.
pub(super) async fn methods(inventory: &dyn Inventory, sight: &Sight, uri: &Uri) -> Response {
    let Some(bus) = between(uri, "/bus/", "/methods") else {
        return no_page();
    };
    match within(inventory.methods(sight, bus)).await {
        Ok(text) => json(Box::new(std::iter::once(text).chain(end()))),
        Err(error) => error.response(),
    }
}

fn end() -> impl Iterator<Item = String> + Send {
    std::iter::once("\n".to_owned())
}

async fn within<T>(asked: Asked<T>) -> Result<T, PageError> {
    let late = |_| PageError::Unavailable("the backing has not answered in time".to_owned());
    tokio::time::timeout(LIMIT, asked).await.map_err(late)?
}
