//! Groups with their services, and buses, asked for and written one after the other.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use serde_json::json;

use crate::bus::{Hub, LookError};
use crate::command::Rights;
use crate::discovery::{Discovery, DiscoveryError, ServiceFilter};
use crate::http::{Asked, Chunks, PageError, Part, piece, pieces};

/// The services of a group.
pub(super) fn services(discovery: Arc<Discovery>, filter: ServiceFilter) -> Asked<Chunks> {
    async move {
        match discovery.services_json(filter).await {
            Ok(chunks) => Ok(Box::new(chunks) as Chunks),
            Err(DiscoveryError::Refused(text)) => Err(PageError::Invalid(text)),
            Err(error) => Err(PageError::Unavailable(error.client_text())),
        }
    }
    .boxed()
}

/// Why a bus could not be shown.
pub(super) fn of_bus(error: LookError) -> PageError {
    match error {
        LookError::Name(text) => PageError::Invalid(text),
        unknown @ LookError::Unknown(_) => PageError::Unknown(unknown.to_string()),
        LookError::Backing(text) => PageError::Unavailable(text),
    }
}

/// The value in place of one that could not be had.
pub(super) fn missing(text: &str) -> String {
    json!({ "error": text }).to_string()
}

/// All groups with their services and nodes, one after the other.
pub(super) fn groups(discovery: Arc<Discovery>, rights: Rights) -> Part {
    let asked = async move {
        let groups = match discovery.groups().await {
            Ok(groups) => groups,
            Err(error) => return piece(missing(&error.client_text())),
        };
        let is_seen = move |group: &String| rights.may_use(Discovery::rule_key(group).as_bytes());
        let each = groups.into_iter().filter(is_seen).map(move |group| {
            let filter = ServiceFilter {
                group,
                service: None,
                all: true,
            };
            let asked = services(Arc::clone(&discovery), filter);
            async move {
                match asked.await {
                    Ok(chunks) => pieces(chunks),
                    Err(PageError::Invalid(text) | PageError::Unknown(text))
                    | Err(PageError::Unavailable(text) | PageError::Denied(text)) => {
                        piece(missing(&text))
                    }
                }
            }
            .boxed()
        });
        list(each)
    };
    stream::once(asked).flatten().boxed()
}

/// The buses in use here with their methods, one after the other; `whole`: with workers and dead calls.
pub(super) fn buses(hub: Arc<Hub>, rights: &Rights, whole: bool) -> Part {
    let mut names = hub.bus_names();
    names.retain(|bus| rights.may_use(Hub::rule_key(bus).as_bytes()));
    let names = names.into_iter();
    let each = names.map(move |bus| {
        let hub = Arc::clone(&hub);
        async move {
            let text = if whole {
                hub.bus_json(&bus).await
            } else {
                hub.methods_json(&bus).await
            };
            piece(match text {
                Ok(text) => text,
                Err(error) => json!({"bus": bus, "error": error.to_string()}).to_string(),
            })
        }
        .boxed()
    });
    list(each)
}

/// A JSON array of what is asked for one after the other.
fn list(each: impl Iterator<Item = BoxFuture<'static, Part>> + Send + 'static) -> Part {
    let each = stream::iter(each.enumerate()).then(async |(at, asked)| {
        let comma = if at == 0 { "" } else { "," };
        piece(comma).chain(asked.await)
    });
    piece("[").chain(each.flatten()).chain(piece("]")).boxed()
}
