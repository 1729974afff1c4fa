//! What the pages of the admin listener show, wired.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use serde_json::{Map, Value, json};

use crate::bus::{Hub, LookError};
use crate::command::AboutRespite;
use crate::discovery::{Discovery, DiscoveryError, ServiceFilter};
use crate::exporter::Exporter;
use crate::fleet::{Fleet, ShardFilter};
use crate::gateway::Gateway;
use crate::http::{
    Asked, Chunks, Inventory, JsonSource, KeyClient, PageError, Part, Sources, WriteMetrics, piece,
    pieces,
};
use crate::session::shared::Shared;

/// Everything that has something to show.
pub(super) struct Shown {
    pub(super) shared: Arc<Shared>,
    pub(super) fleet: Arc<Fleet>,
    pub(super) discovery: Arc<Discovery>,
    pub(super) bus: Arc<Hub>,
    pub(super) gateway: Arc<Gateway>,
}

impl Shown {
    /// Where the pages get what they show.
    pub(super) fn sources(self) -> Sources {
        let stats = Arc::clone(&self.gateway);
        let stats: JsonSource =
            Arc::new(move |most| -> Chunks { Box::new(stats.stats_json(most)) });
        let clients = Arc::clone(&self.shared);
        Sources {
            backing: Arc::clone(&self.shared.backing),
            metrics: self.metrics(),
            stats,
            inventory: Arc::new(Known {
                shared: self.shared,
                exporter: Exporter::new(Arc::clone(&self.fleet)),
                fleet: self.fleet,
                discovery: self.discovery,
                bus: self.bus,
            }),
            keys: Arc::new(move |peer| {
                let client = clients.internal_client(peer)?;
                Ok(client.map(|client| KeyClient {
                    stream: client.stream,
                    hits: client.hits,
                }))
            }),
        }
    }

    /// A line for each part that has metrics, in the order of the page.
    fn metrics(&self) -> Vec<WriteMetrics> {
        let (process, cache) = (Arc::clone(&self.shared), Arc::clone(&self.shared.cache));
        let (fleet, discovery) = (Arc::clone(&self.fleet), Arc::clone(&self.discovery));
        let (bus, gateway) = (Arc::clone(&self.bus), Arc::clone(&self.gateway));
        vec![
            Arc::new(move |out| process.write_metrics(out)),
            Arc::new(move |out| cache.write_metrics(out)),
            Arc::new(move |out| fleet.write_metrics(out)),
            Arc::new(move |out| discovery.write_metrics(out)),
            Arc::new(move |out| bus.write_metrics(out)),
            Arc::new(move |out| gateway.write_metrics(out)),
        ]
    }
}

/// Shards, services and buses.
struct Known {
    shared: Arc<Shared>,
    exporter: Exporter,
    fleet: Arc<Fleet>,
    discovery: Arc<Discovery>,
    bus: Arc<Hub>,
}

impl Inventory for Known {
    fn fleet_metrics(&self) -> Chunks {
        Box::new(self.exporter.metrics())
    }

    fn scrape(&self, target: &str) -> Option<String> {
        self.exporter.scrape(target)
    }

    fn http_sd(&self) -> Chunks {
        Box::new(self.exporter.http_sd())
    }

    fn shards(&self, state: Option<&str>, glob: Option<&str>) -> Result<Chunks, PageError> {
        let unknown = |()| PageError::Invalid("ERR there is no such state".to_owned());
        let filter = ShardFilter {
            state: state
                .map(|name| name.parse().map_err(unknown))
                .transpose()?,
            glob: glob.map(|glob| glob.as_bytes().to_vec()),
        };
        let end = std::iter::once("\n".to_owned());
        Ok(Box::new(self.fleet.shards_json(filter, false).chain(end)))
    }

    fn shard(&self, id: &str, sections: &[&str]) -> Result<String, PageError> {
        match self.fleet.shard_json(id, sections) {
            Some(shard) => shard.map_err(PageError::Unavailable),
            None => Err(PageError::Unknown(format!("NOSHARD no shard '{id}'"))),
        }
    }

    fn services(&self, group: Option<String>, service: Option<String>, all: bool) -> Asked<Chunks> {
        let group = group.unwrap_or_else(|| Discovery::DEFAULT_GROUP.to_owned());
        let filter = ServiceFilter {
            group,
            service,
            all,
        };
        services(Arc::clone(&self.discovery), filter)
    }

    fn methods(&self, bus: String) -> Asked<String> {
        let hub = Arc::clone(&self.bus);
        async move { hub.methods_json(&bus).await.map_err(of_bus) }.boxed()
    }

    fn parts(&self) -> Vec<(&'static str, Part)> {
        let mut about = Map::new();
        about.insert("version".to_owned(), env!("CARGO_PKG_VERSION").into());
        self.shared.fields(&mut |name, value| {
            about.insert(name.to_owned(), plain(&value.to_string()));
        });
        let clients = &self.shared.clients;
        let clients = json!({
            "connected": clients.len(),
            "received": clients.total_connections(),
            "rejected": clients.total_rejected(),
        });
        let shards = self.fleet.shards_json(ShardFilter::default(), true);
        vec![
            ("respite", piece(Value::Object(about).to_string())),
            ("clients", piece(clients.to_string())),
            ("cache", piece(self.shared.cache.stats_json())),
            ("watchers", piece(self.fleet.watchers_json())),
            ("shards", pieces(Box::new(shards))),
            ("discovery", groups(Arc::clone(&self.discovery))),
            ("buses", buses(Arc::clone(&self.bus))),
        ]
    }
}

/// A number as a number.
fn plain(text: &str) -> Value {
    text.parse::<u64>()
        .map_or_else(|_| text.into(), Value::from)
}

fn services(discovery: Arc<Discovery>, filter: ServiceFilter) -> Asked<Chunks> {
    async move {
        match discovery.services_json(filter).await {
            Ok(chunks) => Ok(Box::new(chunks) as Chunks),
            Err(DiscoveryError::Refused(text)) => Err(PageError::Invalid(text)),
            Err(error) => Err(PageError::Unavailable(error.client_text())),
        }
    }
    .boxed()
}

fn of_bus(error: LookError) -> PageError {
    match error {
        LookError::Name(text) => PageError::Invalid(text),
        unknown @ LookError::Unknown(_) => PageError::Unknown(unknown.to_string()),
        LookError::Backing(text) => PageError::Unavailable(text),
    }
}

/// The value in place of one that could not be had.
fn missing(text: &str) -> String {
    json!({ "error": text }).to_string()
}

/// All groups with their services and nodes, one after the other.
fn groups(discovery: Arc<Discovery>) -> Part {
    let asked = async move {
        let groups = match discovery.groups().await {
            Ok(groups) => groups,
            Err(error) => return piece(missing(&error.client_text())),
        };
        let each = groups.into_iter().map(move |group| {
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
                    | Err(PageError::Unavailable(text)) => piece(missing(&text)),
                }
            }
            .boxed()
        });
        list(each)
    };
    stream::once(asked).flatten().boxed()
}

/// The buses in use here with their methods, one after the other.
fn buses(hub: Arc<Hub>) -> Part {
    let names = hub.bus_names().into_iter();
    let each = names.map(move |bus| {
        let hub = Arc::clone(&hub);
        async move {
            piece(match hub.methods_json(&bus).await {
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
